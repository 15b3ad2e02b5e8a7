"""``ServiceSpec``: a document that has been checked, with the questions the rest of Slipway asks of it."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from pydantic import ValidationError

from deployments.spec.document import Container, Rpc, ServiceDocument
from deployments.spec.errors import FieldError, SpecInvalid
from deployments.spec.gateway_policy import GatewayPolicy, not_an_object, policy_errors, read_policy
from deployments.spec.messages import explain, shorten
from deployments.spec.names import check_name
from deployments.spec.storage import Mount
from deployments.words import number

MAX_DOCUMENT_BYTES = 1_048_576
MAX_DEPTH = 32
LLM_ENGINES = ("chat-llm", "vllm", "bladellm")
ENGINE_LABEL = "ServiceEngineType"


@dataclass(frozen=True)
class ServiceSpec:
    """What one service should be. Immutable; ``document`` is canonical and holds no token."""

    document: Mapping[str, Any]
    parsed: ServiceDocument
    token: str | None

    @classmethod
    def parse(cls, document: object) -> ServiceSpec:
        """Validate an EAS service document (eas.md §3).

        Accepts the name at the top level too (``metadata.name`` wins) and both spellings of aliases. Unknown
        keys are kept. Raises ``SpecInvalid`` with every error found.
        """
        if not isinstance(document, Mapping):
            problem = _("The service document must be a JSON object.")
            raise SpecInvalid([FieldError("", "not_an_object", problem)])
        canonical = canonicalise(document)
        errors: list[FieldError] = []
        name_error = check_name(canonical["metadata"].get("name"))
        if name_error:
            errors.append(name_error)
        wrong = wrong_variables(canonical)
        try:
            parsed = ServiceDocument.model_validate(canonical)
        except ValidationError as problem:
            told = {error.field for error in errors}
            errors += [error for error in explain(problem, ServiceDocument) if error.field not in told]
            told = {error.field for error in errors}
            raise SpecInvalid([*errors, *(error for error in wrong if error.field not in told)]) from None
        errors += [*wrong, *across_parts(parsed)]
        if errors:
            raise SpecInvalid(errors)
        token = canonical.pop("token", None)
        return cls(canonical, parsed, token)

    @property
    def name(self) -> str:
        return self.parsed.metadata.name

    @property
    def instances(self) -> int:
        return self.parsed.metadata.instance

    @property
    def container(self) -> Container:
        """The container that answers requests: the first."""
        return self.parsed.containers[0]

    @property
    def mounts(self) -> tuple[Mount, ...]:
        return tuple(self.parsed.storage)

    @property
    def cpu_cores(self) -> float | None:
        """The ceiling of CPU cores, None for no ceiling."""
        return self.parsed.metadata.cpu

    @property
    def memory_mib(self) -> int | None:
        """The ceiling of memory; EAS's "MB" are MiB. None for no ceiling."""
        return self.parsed.metadata.memory

    @property
    def gpu(self) -> int:
        return self.parsed.metadata.gpu

    @property
    def engine(self) -> str | None:
        """The language-model engine by the label (design.md, "Write path"), or None for any other program."""
        label = str(self.parsed.labels.get(ENGINE_LABEL, "")).lower()
        return label if label in LLM_ENGINES else None

    @property
    def workspace(self) -> str | None:
        value = self.parsed.metadata.workspace_id
        return None if value in (None, "") else str(value)

    @property
    def group(self) -> str:
        """The service group that it belongs to (eas.md §4.5), "" for none."""
        return self.parsed.metadata.group or ""

    @property
    def termination_grace_seconds(self) -> int:
        given = self.parsed.runtime.termination_grace_period
        return self.parsed.metadata.termination_grace_period if given is None else given

    @property
    def keepalive_seconds(self) -> float:
        """The longest one request may take (eas.md §3.2 ``rpc.keepalive``, §9)."""
        return self.parsed.metadata.rpc.keepalive / 1000

    @cached_property
    def gateway_policy(self) -> GatewayPolicy:
        """Limits over the whole service, and how answers come (eas.md §2.5)."""
        return read_policy(self.document)

    @property
    def rpc(self) -> Rpc:
        """What one instance takes (eas.md §3.2)."""
        return self.parsed.metadata.rpc

    @cached_property
    def surge(self) -> int:
        """Instances an update may add, at least one when none may be missing (eas.md §3.2)."""
        surge = share(self.parsed.metadata.rolling_strategy.max_surge, self.instances, round_up=True)
        return surge or (0 if self.unavailable else 1)

    @cached_property
    def unavailable(self) -> int:
        """Instances an update may miss."""
        return share(self.parsed.metadata.rolling_strategy.max_unavailable, self.instances, round_up=False)

    def differs_only_in_instances(self, other: ServiceSpec) -> bool:
        """True where going from one to the other needs no new revision (eas.md §4.4 ``modify``)."""
        return without_instances(self.document) == without_instances(other.document)

    def with_instances(self, instances: int) -> ServiceSpec:
        """The same spec for another number of instances (0 to 1000)."""
        document = copy.deepcopy(dict(self.document))
        document["metadata"]["instance"] = instances
        return ServiceSpec.parse(document)


def canonicalise(document: Mapping[str, Any]) -> dict[str, Any]:
    """A private copy with the name in ``metadata`` and EAS's aliases in their first spelling."""
    try:
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        problem = _("The service document must hold JSON values only: no NaN, no infinity, no cycles.")
        raise SpecInvalid([FieldError("", "not_json", problem)]) from None
    if len(text) > MAX_DOCUMENT_BYTES or depth(document) > MAX_DEPTH:
        problem = _("The service document is too large: at most %(size)s MiB and %(levels)s levels.")
        problem %= {"size": number(MAX_DOCUMENT_BYTES / 2**20), "levels": number(MAX_DEPTH)}
        raise SpecInvalid([FieldError("", "document_too_large", problem)])
    if "\\u0000" in text or has_surrogates(text):
        problem = _("The service document holds a NUL or half a character. Remove it.")
        raise SpecInvalid([FieldError("", "text_invalid", problem)])
    canonical: dict[str, Any] = json.loads(text)
    metadata = canonical.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise SpecInvalid([FieldError("metadata", "not_an_object", not_an_object("metadata"))])
    top_name = canonical.pop("name", None)
    if not metadata.get("name") and top_name is not None:
        metadata["name"] = top_name
    top_grace = canonical.pop("eas.termination_grace_period", None)
    if top_grace is not None:
        metadata.setdefault("eas.termination_grace_period", top_grace)
    rpc = canonical.get("rpc")
    if isinstance(rpc, dict) and "rpc" not in metadata:
        metadata["rpc"] = canonical.pop("rpc")
    return canonical


def wrong_variables(canonical: Mapping[str, Any]) -> list[FieldError]:
    """Each variable whose name an earlier one of its container has, or whose value lies elsewhere (eas.md §3.3 has
    ``name`` and ``value``). Asked of the plain document, since what else is wrong with it must not hide this.
    """
    errors = []
    containers = canonical.get("containers")
    for place, container in enumerate(containers if isinstance(containers, list) else []):
        env = container.get("env") if isinstance(container, dict) else None
        seen = set()
        for index, variable in enumerate(env if isinstance(env, list) else []):
            if not isinstance(variable, dict):
                continue
            if elsewhere := variable.keys() & {"valueFrom", "value_from"}:
                path = f"containers[{place}].env[{index}].{min(elsewhere)}"
                message = _("%(path)s is not supported: it would leave the variable empty. Give its value in value.")
                errors.append(FieldError(path, "env_elsewhere", message % {"path": path}))
            name = variable.get("name")
            if not isinstance(name, str) or not name:
                continue
            if name in seen:
                path = f"containers[{place}].env[{index}].name"
                message = _("%(path)s %(name)s is given twice. Keep one of the two.")
                message %= {"path": path, "name": shorten(name)}
                errors.append(FieldError(path, "env_twice", message))
            seen.add(name)
    return errors


def across_parts(parsed: ServiceDocument) -> list[FieldError]:
    """Rules that no single field can check."""
    errors = []
    if not parsed.containers:
        message = _("containers must list at least one container with an image. Processors are not supported.")
        errors.append(FieldError("containers", "containers_missing", message))
    paths = [mount.folder for mount in parsed.storage]
    for index, path in enumerate(paths):
        for other in paths[:index]:
            if (path + "/").startswith(other + "/") or (other + "/").startswith(path + "/"):
                message = _("%(path)s overlaps %(other)s. Give each mount a folder of its own.")
                message %= {"path": path, "other": other}
                errors.append(FieldError(f"storage[{index}].mount_path", "mount_overlap", message))
    errors += policy_errors(parsed.model_extra or {})
    return errors


def merge_documents(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``UpdateType=merge`` (sdk-wire.md §4): objects merge key by key, lists and values replace."""
    merged = copy.deepcopy(dict(base))
    for key, value in patch.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge_documents(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def without_instances(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in document["metadata"].items() if key != "instance"}
    return {**document, "metadata": metadata}


def share(value: int | str, whole: int, *, round_up: bool) -> int:
    """A count, or a percentage of ``whole`` rounded as Kubernetes rounds it."""
    if isinstance(value, int):
        return value
    part = int(value.rstrip("%")) * whole / 100
    return math.ceil(part) if round_up else math.floor(part)


def depth(value: object) -> int:
    """How deeply objects and lists nest, without recursion."""
    deepest, pending = 0, [(value, 1)]
    while pending and deepest <= MAX_DEPTH:
        item, level = pending.pop()
        deepest = max(deepest, level)
        if isinstance(item, Mapping):
            pending += [(child, level + 1) for child in item.values()]
        elif isinstance(item, list):
            pending += [(child, level + 1) for child in item]
    return deepest


def has_surrogates(escaped: str) -> bool:
    """Whether JSON text holds half of a surrogate pair, which no database or terminal takes."""
    try:
        json.dumps(json.loads(escaped), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
