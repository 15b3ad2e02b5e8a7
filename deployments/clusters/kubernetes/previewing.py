"""What ``apply`` would write, beside what is there, as it may be shown: no secret's value is in it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployments.clusters.kubernetes.comparing import find_counterpart, is_same_quantity, may_be_absent
from deployments.clusters.kubernetes.kinds import Manifest, key_of
from deployments.clusters.preview import MASK, ObjectPreview, mask_value


def preview_objects(
    wanted: Sequence[Manifest], there: Mapping[str, Manifest], surplus: Sequence[Manifest]
) -> tuple[ObjectPreview, ...]:
    """All are ``store.trimmed``. Of what would be removed only the name is told."""
    return (
        *(preview_object(manifest, there.get(key_of(manifest))) for manifest in wanted),
        *(ObjectPreview(key_of(found), None, masked(shown_part(found))) for found in surplus),
    )


def preview_object(manifest: Manifest, found: Manifest | None) -> ObjectPreview:
    live = None if found is None else common_part(manifest, found)
    hidden = () if live is None else tuple(hidden_changes(manifest, live, ""))
    return ObjectPreview(key_of(manifest), masked(manifest), None if live is None else masked(live), hidden)


def shown_part(found: Manifest) -> Manifest:
    metadata = {name: value for name, value in found["metadata"].items() if name in {"name", "namespace", "labels"}}
    return {"apiVersion": found.get("apiVersion"), "kind": found["kind"], "metadata": metadata}


def common_part(wanted: Any, there: Any, name: str = "", above: str = "") -> Any:
    """Of what is there no more than the values that would be written, spelled alike where they mean the same."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return {
            key: common_part(value, there[key], key, name) if key in there else value
            for key, value in wanted.items()
            if key in there or may_be_absent(key, value)
        }
    if isinstance(wanted, list) and isinstance(there, list):
        pairs = [(value, find_counterpart(value, there, index)) for index, value in enumerate(wanted)]
        found = [common_part(value, one, above=name) for value, one in pairs if one is not None]
        return found if len(found) == len(there) or all(isinstance(one, Mapping) for one in there) else there
    return wanted if is_same_quantity(name, above, wanted, there) else there


def masked(part: Any) -> Any:
    """A Secret's values, and those of variables whose names tell of a secret, are hidden."""
    if isinstance(part, Mapping):
        if part.get("kind") == "Secret":
            return {**part, "data": dict.fromkeys(part.get("data") or {}, MASK)}
        if isinstance(part.get("name"), str) and isinstance(part.get("value"), str):
            return {**part, "value": mask_value(part["name"], part["value"])}
        return {key: masked(value) for key, value in part.items()}
    return [masked(one) for one in part] if isinstance(part, list) else part


def hidden_changes(wanted: Any, live: Any, path: str) -> Iterator[str]:
    """Paths of what differs and looks the same once it is hidden."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        is_hidden = wanted != live and masked(wanted) == masked(live)
        if is_hidden and isinstance(wanted.get("value"), str):
            yield f"{path}.value"
            return
        for key, value in wanted.items():
            inside = f"{path}.{key}" if path else str(key)
            if wanted.get("kind") == "Secret" and key == "data":
                yield from (f"data.{name}" for name in value if name in live[key] and value[name] != live[key][name])
            elif key in live:
                yield from hidden_changes(value, live[key], inside)
    elif isinstance(wanted, list) and isinstance(live, list):
        for index, (value, found) in enumerate(zip(wanted, live, strict=False)):
            yield from hidden_changes(value, found, f"{path}[{index}]")
