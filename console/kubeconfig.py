"""Whether the file that says how to reach a Kubernetes cluster is there and names one. Nobody is asked.

What it says is judged where PyYAML is installed: ``make run`` reads the settings before anything is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

USUAL = "~/.kube/config"


def find_problem(named: str, context: str) -> str | None:
    """A sentence with the cure, None where there is none. ``named``: KUBECONFIG; ``context``: SLIPWAY_KUBE_CONTEXT.

    As kubectl reads them: several files with ``:`` between count as one, and those that are not there do not count.
    """
    written = f"KUBECONFIG={named[:200]!r}" if named else f"The usual {USUAL}"
    paths = [os.path.expanduser(path) for path in (named or USUAL).split(os.pathsep) if path]
    present = [path for path in paths if os.path.exists(path)]
    if not present and not named:
        return (
            f"KUBECONFIG is not set, and there is no {USUAL}: SLIPWAY_CLUSTER=kubernetes has no cluster to reach. "
            "Set KUBECONFIG to a file that kubectl can use."
        )
    if not present or not all(os.path.isfile(path) for path in present):
        return f"{written} is no file. Use the path of a file that kubectl can use."
    texts = []
    for path in present:
        try:
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "it is no text"
            return f"{written} cannot be read: {reason}. Use a file that kubectl can use, and that this user may read."
    return content_problem(written, texts, context) if find_spec("yaml") is not None else None


def content_problem(written: str, texts: Iterable[str], context: str) -> str | None:
    import yaml  # late: bootstrap.py runs before it is installed

    contexts: dict[str, Any] = {}
    clusters: set[str] = set()
    current = ""
    for text in texts:
        try:
            config = yaml.safe_load(text)
        except yaml.YAMLError:
            return f"{written} is no YAML. Use a file that kubectl can use."
        if not isinstance(config, Mapping):
            return f"{written} is no kubeconfig. Use a file that kubectl can use."
        for name, entry in entries(config, "contexts"):
            contexts.setdefault(name, entry.get("context"))
        clusters.update(name for name, _ in entries(config, "clusters"))
        current = str(config.get("current-context") or current)
    if not contexts:
        return f"{written} names no context. Use a file that kubectl can use."
    there = ", ".join(sorted(contexts))
    if context and context not in contexts:
        return f"SLIPWAY_KUBE_CONTEXT={context[:80]!r} is no context of the kubeconfig. Use one of: {there}."
    if not context and not current:
        return f"{written} has no current context. Set SLIPWAY_KUBE_CONTEXT to one of: {there}."
    if not context and current not in contexts:
        return f"{written} has no context {current!r}, its current one. Set SLIPWAY_KUBE_CONTEXT to one of: {there}."
    chosen = contexts[context or current]
    cluster = str(chosen.get("cluster") or "") if isinstance(chosen, Mapping) else ""
    if cluster not in clusters:
        return (
            f"{written} has no cluster {cluster!r}, which its context {context or current!r} names. Correct the file."
        )
    return None


def entries(config: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The named entries of a list; what is none of them is left out."""
    found = config.get(kind)
    listed = found if isinstance(found, list) else []
    return [(str(one["name"]), one) for one in listed if isinstance(one, Mapping) and one.get("name")]
