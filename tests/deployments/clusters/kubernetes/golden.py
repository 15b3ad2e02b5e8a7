"""The manifests of ``cases.py``, kept whole in ``golden/``. After a wanted change

    DJANGO_SETTINGS_MODULE=console.settings python -m tests.deployments.clusters.kubernetes.golden

writes them anew, and their difference is what a reviewer reads.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from deployments.clusters.kubernetes.rendering import render
from tests.deployments.clusters.kubernetes.cases import CASES, Case

FOLDER = Path(__file__).with_name("golden")


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


def rendered_text(case: Case) -> str:
    manifests = render(*case.build())
    return str(yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


class _Dumper(yaml.SafeDumper):
    """Without anchors: a reader sees each part where it stands."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for kept in FOLDER.glob("*.yaml"):
        if kept.stem not in CASES:
            kept.unlink()
    for name, case in CASES.items():
        path_of(name).write_text(rendered_text(case), encoding="utf-8")


if __name__ == "__main__":
    main()
