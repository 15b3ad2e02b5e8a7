"""From a service document to Kubernetes' objects: whole manifests, and the rules behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from deployments.clusters.kubernetes.rendering import ClusterFacts, Manifest, render
from deployments.clusters.kubernetes.rendering.texts import literal, with_exec
from tests.deployments.clusters.kubernetes.cases import CASES, SETTINGS, Case
from tests.deployments.clusters.kubernetes.golden import FOLDER, path_of, rendered_text
from tests.deployments.clusters.kubernetes.rendered import document, expand, rendered
from tests.kube import KubeCluster


@pytest.mark.parametrize("name", CASES)
def test_manifests_are_as_they_were(name: str) -> None:
    assert rendered_text(CASES[name]) == path_of(name).read_text(encoding="utf-8"), "see golden.py"


@pytest.mark.kubernetes
@pytest.mark.parametrize("name", CASES)
def test_the_api_server_takes_every_manifest_whole(name: str, kube: KubeCluster, namespace: str) -> None:
    case = CASES[name]
    manifests = render(*case.build(namespace))
    text = yaml.safe_dump_all(manifests)
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--field-manager=slipway", "-f", "-")
    said = kube.kubectl(*words, stdin=text)
    assert said.count("serverside-applied (server dry run)") == len(manifests), said


def test_no_manifest_is_kept_that_nothing_renders() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(CASES)


def test_rendering_twice_gives_the_same() -> None:
    for case in CASES.values():
        assert render(*case.build()) == render(*case.build())


def test_the_hash_follows_the_manifest() -> None:
    def digest(case: Case) -> str:
        return str(rendered(case)["metadata"]["annotations"]["slipway.dev/spec-hash"])

    plain = Case(document())
    other = Case(document(metadata={"cpu": 2}))
    assert digest(plain) == digest(Case(document()))
    assert digest(plain) != digest(other)
    assert digest(plain) != digest(replace(plain, settings=replace(SETTINGS, installation="another")))


def test_a_scale_changes_nothing_of_the_pods_and_a_restart_does() -> None:
    def template(**workload: Any) -> Manifest:
        found: Manifest = rendered(Case(document(), workload=workload))["spec"]["template"]
        return found

    assert template(instances=1) == template(instances=5)
    assert template(restart_token="1") != template(restart_token="2")
    assert template(revision=1) != template(revision=2)


@pytest.mark.parametrize(
    ("strategy", "replace_", "surge", "unavailable"),
    [
        ({}, False, 1, 0),
        ({}, True, 1, 0),  # no instance may be missing, so the update waits
        ({"max_surge": 2, "max_unavailable": 1}, False, 2, 0),
        ({"max_surge": 2, "max_unavailable": 1}, True, 0, 1),
        ({"max_surge": 0, "max_unavailable": 2}, False, 0, 2),
        ({"max_surge": 0, "max_unavailable": 0}, False, 1, 0),
        ({"max_surge": "50%", "max_unavailable": 0}, False, 2, 0),
    ],
)
def test_updates_add_first_and_replace_where_there_is_no_room(
    strategy: dict[str, Any], replace_: bool, surge: int, unavailable: int
) -> None:
    case = Case(document(metadata={"instance": 4, "rolling_strategy": strategy}), facts=ClusterFacts(replace=replace_))
    update = rendered(case)["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxSurge": surge, "maxUnavailable": unavailable}


@pytest.mark.parametrize(
    ("script", "run"),
    [
        ("python a.py --port=8000", "exec python a.py --port=8000"),
        ("cd /srv\npython a.py", "cd /srv\nexec python a.py"),
        ('server --listen "$HOST"', 'exec server --listen "$HOST"'),
        ("exec python a.py", "exec python a.py"),
        ("A=1 python a.py", "A=1 python a.py"),
        ("a; b", "a; b"),
        ("a && b", "a && b"),
        ("for x in 1 2\ndo\nrun $x\ndone", "for x in 1 2\ndo\nrun $x\ndone"),
        ("wait", "wait"),
        ("cat <<X\nhello\nX", "cat <<X\nhello\nX"),
        ('echo "a\nb c"', 'echo "a\nb c"'),
        ("python a.py \\\n  --port=1", "python a.py \\\n  --port=1"),
    ],
)
def test_the_last_command_takes_the_place_of_its_shell_where_that_is_safe(script: str, run: str) -> None:
    assert with_exec(script) == run


@pytest.mark.parametrize(
    "text", ["", "$", "$$", "$$$", "$(PORT)", "$$(PORT)", "a $(date) $PORT $$ ${X} $", "$($(PORT))"]
)
def test_kubernetes_gives_a_text_back_as_it_was_written(text: str) -> None:
    assert expand(literal(text), {"PORT": "8000", "date": "never"}) == text
