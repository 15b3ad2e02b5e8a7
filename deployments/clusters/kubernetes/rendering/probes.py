"""The three checks of a document as Kubernetes' probes (eas.md §3.4), and those of services that name none."""

from __future__ import annotations

import math
from typing import Any

from deployments.catalog import Precision, find_model, find_repository
from deployments.clusters.kubernetes.rendering.facts import Manifest
from deployments.engines import EngineCommand, find_recipe_by_label, read_command
from deployments.engines.recipe import Launch
from deployments.memory_plan import size_of
from deployments.spec import ServiceSpec
from deployments.spec.document import Container, Probe

#: A language model is given at least this long to load, and more where its weights are many.
LEAST_STARTUP_SECONDS = 600
MOST_STARTUP_SECONDS = 7200
#: 100 MB/s, of a disk or a network, is slow and common.
SECONDS_A_GIB = 10.0


def render_probes(spec: ServiceSpec) -> dict[str, Manifest]:
    """The probes of the container that answers requests."""
    checks = checks_of(spec)
    rendered: dict[str, Manifest] = {}
    if startup := checks["startup_check"]:
        rendered["startupProbe"] = startup_probe(spec, startup)
    if spec.parsed.runtime.enable_crash_block:
        rendered.clear()  # both would start the program again
    elif liveness := checks["liveness_check"]:
        rendered["livenessProbe"] = probe(liveness, spec.container.port) | {"successThreshold": 1}
    if health := checks["health_check"]:
        rendered["readinessProbe"] = probe(health, spec.container.port)
    elif not checks["startup_check"] or spec.parsed.runtime.enable_crash_block:
        rendered["readinessProbe"] = open_port(spec.container.port)
    return rendered


def side_probes(container: Container) -> dict[str, Manifest]:
    """The probes of a container beside it: what the document says, and nothing more."""
    checks = {
        "startupProbe": container.startup_check,
        "livenessProbe": container.liveness_check,
        "readinessProbe": container.health_check,
    }
    rendered = {name: probe(check, container.port) for name, check in checks.items() if check is not None}
    for name in ("startupProbe", "livenessProbe"):
        if name in rendered:
            rendered[name]["successThreshold"] = 1
    return rendered


def checks_of(spec: ServiceSpec) -> dict[str, Probe | None]:
    """The document's checks; where a language-model service has none of a kind, its engine's recipe's."""
    container = spec.container
    checks = {
        "startup_check": container.startup_check,
        "liveness_check": container.liveness_check,
        "health_check": container.health_check,
    }
    recipe = find_recipe_by_label(spec.engine or "")
    if recipe is None:
        return checks
    usual = recipe.render(Launch("model", "model", container.port, is_quick=True))
    return {name: check or Probe.model_validate(usual[name]) for name, check in checks.items()}


def startup_probe(spec: ServiceSpec, check: Probe) -> Manifest:
    """The startup probe. One that ends before a model's weights can be there would start it for ever anew."""
    rendered = probe(check, spec.container.port) | {"successThreshold": 1}
    if spec.engine is not None:
        needed = math.ceil(startup_seconds(spec) / check.period_seconds)
        rendered["failureThreshold"] = max(check.failure_threshold, needed)
    return rendered


def startup_seconds(spec: ServiceSpec) -> int:
    """How long a service may take to start, without the pull of its image."""
    check = spec.container.startup_check
    asked = check.initial_delay_seconds + check.period_seconds * check.failure_threshold if check else 0
    if spec.engine is None:
        return max(asked, LEAST_STARTUP_SECONDS)
    loading = math.ceil(weights_gib(spec) * SECONDS_A_GIB)
    return max(asked, min(MOST_STARTUP_SECONDS, max(LEAST_STARTUP_SECONDS, loading)))


def weights_gib(spec: ServiceSpec) -> float:
    """What has to be loaded: the known model's weights, else as much as the memory that was asked for could hold."""
    command = read_command(spec.document["containers"][0])
    name = (command.model or "") if command else ""
    model = find_model(name) or find_repository(name)
    if command is not None and model is not None:
        return size_of(model).weights_gib(precision_of(command))
    return (spec.memory_mib or 0) / 1024


def precision_of(command: EngineCommand) -> Precision:
    named = {"fp32": Precision.FP32, "float32": Precision.FP32, "fp8": Precision.FP8}
    for flag in ("precision", "dtype", "quantization"):
        if value := command.arguments.find(flag):
            return named.get(value, Precision.BF16)
    return Precision.BF16


def probe(check: Probe, port: int) -> Manifest:
    rendered: dict[str, Any] = {
        "initialDelaySeconds": check.initial_delay_seconds,
        "periodSeconds": check.period_seconds,
        "timeoutSeconds": check.timeout_seconds,
        "successThreshold": check.success_threshold,
        "failureThreshold": check.failure_threshold,
    }
    if check.http_get is not None:
        target = check.http_get
        rendered["httpGet"] = {"path": target.path, "port": target.port or port, "scheme": target.scheme.upper()}
    elif check.tcp_socket is not None:
        rendered["tcpSocket"] = {"port": check.tcp_socket.port or port}
    elif check.exec is not None:
        rendered["exec"] = {"command": list(check.exec.command)}
    return rendered


def open_port(port: int) -> Manifest:
    """What stands for a check where there is none: something accepts connections."""
    return {
        "tcpSocket": {"port": port},
        "initialDelaySeconds": 0,
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
