"""Whether an object is as it was rendered: every value that Slipway sets is there, whatever others add. Pure.

The spec hash tells that what was rendered last is what is rendered now, values that are no longer set included; the
values themselves tell whether somebody changed one by hand. Kubernetes fills in defaults, drops values that say nothing
and rewrites quantities: none of that is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployments.clusters.kubernetes.quantities import quantity

#: Lists that server-side apply merges by an element's key: others may add elements (a sidecar, a volume). In every
#: other list an additional element is a change.
MERGED = frozenset(
    [
        "containers",
        "initContainers",
        "env",
        "ports",
        "volumeMounts",
        "volumeDevices",
        "volumes",
        "imagePullSecrets",
        "topologySpreadConstraints",
        "finalizers",
        "ownerReferences",
    ]
)
#: Of these kinds all lists are atomic, whatever they are called.
ATOMIC_KINDS = frozenset({"NetworkPolicy"})
#: Fields that hold quantities, or maps of them.
QUANTITIES = frozenset(["requests", "limits", "capacity", "sizeLimit", "averageValue", "storage"])
#: Fields that Kubernetes leaves out where they are zero, false or empty, because that is what they are without.
DROPPED = frozenset(
    [
        "annotations",
        "labels",
        "nodeSelector",
        "value",
        "readOnly",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "stdin",
        "tty",
        "minReadySeconds",
        "initialDelaySeconds",
        "optional",
        "paused",
        "publishNotReadyAddresses",
        "subPath",
        "storageClassName",
        "args",
        "command",
        "env",
        "ports",
        "volumeMounts",
        "tolerations",
        "imagePullSecrets",
        "data",
        "nodePort",
    ]
)


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the values that are not as wanted. Both are ``store.trimmed``."""
    return tuple(find_differences(wanted, there, "", is_atomic=wanted.get("kind") in ATOMIC_KINDS))


def find_differences(wanted: Any, there: Any, path: str, *, is_atomic: bool) -> Iterator[str]:
    if wanted is None:
        return
    if isinstance(wanted, Mapping):
        if not isinstance(there, Mapping):
            yield path
            return
        for name, value in wanted.items():
            inside = f"{path}.{name}" if path else str(name)
            if name not in there:
                if not may_be_absent(name, value):
                    yield inside
            elif not is_same_quantity(name, path.rpartition(".")[2], value, there[name]):
                yield from find_differences(value, there[name], inside, is_atomic=is_atomic)
    elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
        yield from list_differences(wanted, there, path, is_atomic=is_atomic)
    elif wanted != there or isinstance(wanted, bool) is not isinstance(there, bool):
        yield path


def may_be_absent(name: str, value: Any) -> bool:
    """Whether leaving a field out says the same as this value of it."""
    return value is None or (name in DROPPED and not value)


def list_differences(wanted: Sequence[Any], there: Any, path: str, *, is_atomic: bool) -> Iterator[str]:
    if not isinstance(there, Sequence) or isinstance(there, str):
        yield path
        return
    is_merged = not is_atomic and path.rpartition(".")[2] in MERGED
    if not is_merged and len(wanted) != len(there):
        yield path
        return
    for index, value in enumerate(wanted):
        inside = f"{path}[{index}]"
        if not is_merged:
            yield from find_differences(value, there[index], inside, is_atomic=is_atomic)
            continue
        # Nearly always it stands at its own place: looked for elsewhere only where it does not.
        found = there[index] if index < len(there) else None
        if any(find_differences(value, found, inside, is_atomic=is_atomic)):
            found = find_counterpart(value, there, index)
            yield from find_differences(value, found, inside, is_atomic=is_atomic)


def find_counterpart(wanted: Any, there: Sequence[Any], index: int) -> Any:
    """What server-side apply takes for the same element, else the one at its place, None where there is none."""
    at_place = there[index] if index < len(there) else None
    return next((one for one in there if has_same_key(wanted, one)), at_place)


def has_same_key(wanted: Any, there: Any) -> bool:
    """Whether server-side apply takes the two for one element."""
    if not isinstance(wanted, Mapping) or not isinstance(there, Mapping):
        return bool(wanted == there)
    for names in (("mountPath",), ("containerPort", "protocol"), ("port", "protocol"), ("topologyKey",), ("name",)):
        if names[0] in wanted:
            return all(wanted.get(name, there.get(name)) == there.get(name) for name in names)
    return False


def is_same_quantity(name: str, above: str, wanted: Any, there: Any) -> bool:
    """Whether both are quantities and the same amount, however they are written: ``1024Mi`` and ``1Gi``.

    ``name`` is the field's, ``above`` that of the field it is in.
    """
    if name not in QUANTITIES and above not in QUANTITIES:
        return False
    if not isinstance(wanted, str | int | float) or not isinstance(there, str | int | float):
        return False
    try:
        return quantity(wanted) == quantity(there)
    except ValueError:
        return False
