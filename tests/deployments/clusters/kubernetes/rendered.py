"""Documents and what is rendered of them, for tests of single rules."""

from __future__ import annotations

from typing import Any

from deployments.clusters.kubernetes.rendering import Manifest, render
from tests.deployments.clusters.kubernetes.cases import Case


def document(container: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """A program of an image of which nothing is known; a None in ``container`` leaves a key out."""
    metadata = {"name": "tiny", "instance": 1} | parts.pop("metadata", {})
    first = {"image": "tools:1", "script": "exec sleep 1000"} | (container or {})
    kept = {key: value for key, value in first.items() if value is not None}
    return {"metadata": metadata, "containers": [kept], **parts}


def objects(case: Case | dict[str, Any], kind: str) -> list[Manifest]:
    case = case if isinstance(case, Case) else Case(case)
    return [one for one in render(*case.build()) if one["kind"] == kind]


def rendered(case: Case | dict[str, Any], kind: str = "Deployment") -> Manifest:
    (found,) = objects(case, kind)
    return found


def pod_of(case: Case | dict[str, Any]) -> Manifest:
    pod: Manifest = rendered(case)["spec"]["template"]["spec"]
    return pod


def main_of(case: Case | dict[str, Any]) -> Manifest:
    container: Manifest = pod_of(case)["containers"][0]
    return container


def expand(text: str, variables: dict[str, str]) -> str:
    """What Kubernetes makes of a container's text: ``$(NAME)`` where the name is known, and ``$$`` is ``$``."""
    out, at = "", 0
    while at < len(text):
        here, following = text[at], text[at + 1 : at + 2]
        if here != "$" or not following:
            out, at = out + here, at + 1
        elif following == "$":
            out, at = out + "$", at + 2
        elif following == "(" and (end := text.find(")", at)) > 0:
            name = text[at + 2 : end]
            out, at = out + variables.get(name, f"$({name})"), end + 1
        else:
            out, at = out + here, at + 1
    return out
