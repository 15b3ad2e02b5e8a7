"""What the local cluster refuses, by its code, before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters.base import Capacity, ClusterError, Refusal
from deployments.clusters.local.backend import LocalCluster, new_name
from deployments.clusters.local.capacity import machine_capacity, parse_gpus
from deployments.engines import is_recipe_command
from deployments.spec import ServiceSpec
from tests.deployments.clusters.workloads import spec_of

MACHINE = Capacity("here", cpu_cores=2, memory_mib=4096, gpus=1, images=("chat-llm",))


def cluster_of(machine: Capacity = MACHINE, **settings: Any) -> LocalCluster:
    return LocalCluster(Path("/nowhere"), capacity=lambda: machine, **settings)


def mounted(source: dict[str, Any]) -> ServiceSpec:
    return spec_of(storage=[{"mount_path": "/m", **source}])


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        ("too_many_containers", lambda: ServiceSpec.parse(
            {"metadata": {"name": "two"}, "containers": [{"image": "a", "script": "x"}, {"image": "b", "script": "x"}]}
        )),
        ("command_missing", lambda: spec_of(container={"script": None})),
        ("command_invalid", lambda: spec_of(container={"script": None, "command": "a 'b"})),
        ("requirements_unsupported", lambda: spec_of(container={"prepare": {"pythonRequirements": ["numpy"]}})),
        ("requirements_unsupported", lambda: spec_of(container={"prepare": {"pythonRequirementsPath": "/m/r.txt"}})),
        ("nfs_unsupported", lambda: mounted({"nfs": {"server": "s", "path": "/"}})),
        ("git_unsupported", lambda: mounted({"git": {"repo": "https://example.org/r.git"}})),
        ("dataset_unsupported", lambda: mounted({"dataset": {"id": "d-1"}})),
        ("gpu_unavailable", lambda: spec_of(metadata={"gpu": 2})),
        ("exec_check_unsupported", lambda: spec_of(container={"health_check": {"exec": {"command": ["true"]}}})),
        ("engine_missing", lambda: spec_of(labels={"ServiceEngineType": "bladellm"})),
        ("engine_missing", lambda: spec_of(labels={"ServiceEngineType": "vllm"})),
        ("engine_missing", lambda: spec_of(container={"image": "r/vllm:0.14.0-gpu"})),
    ],
)  # fmt: skip
def test_refused(code: str, spec: Any) -> None:
    refusal = cluster_of().refuse(spec())

    assert refusal is not None
    assert refusal.code == code
    assert refusal.message.endswith(".")
    assert refusal.cure.endswith(".")


def test_a_refusal_names_the_field_to_change() -> None:
    refusal = cluster_of().refuse(mounted({"nfs": {"server": "s", "path": "/"}}))
    assert refusal is not None
    assert refusal.field == "storage[0].nfs"


def test_a_ceiling_above_the_machine_harms_nothing() -> None:
    assert cluster_of().refuse(spec_of(metadata={"memory": 8_388_608, "cpu": 512})) is None


def test_a_missing_engine_library_is_named() -> None:
    refusal = cluster_of(Capacity("here", 2, 4096)).refuse(spec_of(container={"image": "chat-llm-webui:3.0"}))

    assert refusal is not None
    assert "xllamacpp" in refusal.message


@pytest.mark.parametrize(
    "spec",
    [
        lambda: spec_of(metadata={"gpu": 1, "memory": 4096, "cpu": 64}),
        lambda: mounted({"oss": {"path": "oss://bucket/x/"}}),
        lambda: mounted({"empty_dir": {}}),
        lambda: spec_of(container={"image": "chat-llm-webui:3.0", "script": "python api/api_server.py"}),
    ],
)
def test_not_refused(spec: Any) -> None:
    assert cluster_of().refuse(spec()) is None


def test_numbers_are_told() -> None:
    refusal = cluster_of().refuse(spec_of(metadata={"gpu": 2}))

    assert refusal is not None
    assert "2 GPUs. This machine has 1." in refusal.message


def test_on_other_addresses_only_recipes_run() -> None:
    def is_recipe(container: Mapping[str, Any], writable: tuple[str, ...]) -> bool:
        return bool(container["script"] == "recipe")

    cluster = cluster_of(commands_policy="recipes", is_recipe=is_recipe)

    assert cluster.refuse(spec_of("recipe")) is None
    refusal = cluster.refuse(spec_of("rm -r /"))
    assert refusal is not None
    assert refusal.code == "command_not_allowed"


def test_where_only_recipes_run_history_is_exported_into_what_is_mounted() -> None:
    cluster = cluster_of(commands_policy="recipes", is_recipe=is_recipe_command)
    script = "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"
    container = {"image": "chat-llm-webui:3.0", "port": 8000}
    bucket = {"path": "oss://models/history/"}

    def refuse(folder: str, source: dict[str, Any]) -> Refusal | None:
        spec = spec_of(
            f"{script} --export-history-path={folder} --export-interval=60",
            container=container,
            storage=[{"mount_path": "/history", **source}],
        )
        return cluster.refuse(spec)

    assert refuse("/history", {"oss": bucket}) is None
    assert refuse("/history/chat", {"empty_dir": {}}) is None
    for folder, source in (
        ("/histories", {"oss": bucket}),
        ("/history/../etc", {"oss": bucket}),
        ("/", {"oss": bucket}),
        ("/history", {"oss": bucket | {"readOnly": True}}),
    ):
        refusal = refuse(folder, source)
        assert refusal is not None
        assert refusal.code == "command_not_allowed"
        assert "mount one that is not readOnly" in refusal.cure


@pytest.mark.parametrize("uid", ["", "..", "a/b", ".hidden", "a" * 65])
def test_a_service_id_never_leaves_the_data_directory(uid: str) -> None:
    with pytest.raises(ClusterError) as problem:
        cluster_of().observe(uid)

    assert problem.value.code == "service_uid_invalid"


@pytest.mark.parametrize(
    ("service", "begins"),
    [
        ("chat", "chat-r12-"),
        ("my_model_2", "my-model-2-r12-"),
        ("_x_", "x-r12-"),
        ("___", "service-r12-"),
        ("a" * 63, "a" * 54),
    ],
)
def test_instance_names_are_dns_labels(service: str, begins: str) -> None:
    name = new_name(service, 12)

    assert name.startswith(begins)
    assert len(name) <= 63
    assert len({new_name(service, 12) for _ in range(20)}) > 1


def test_the_machine_is_described() -> None:
    here = machine_capacity()

    assert here.node
    assert here.cpu_cores > 0
    assert here.memory_mib > 256
    assert "chat-llm" in here.images
    assert "bladellm" not in here.images


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("NVIDIA H100 80GB HBM3, 81559\n", (1, "NVIDIA H100 80GB HBM3", 79.6)),
        ("NVIDIA A10, 23028\nNVIDIA A10, 22000\n", (2, "NVIDIA A10", 21.5)),
        ("NVIDIA GB10, [N/A]\n", (1, "NVIDIA GB10", 0.0)),
        ("", (0, "", 0.0)),
    ],
)
def test_nvidia_smi_is_understood(answer: str, expected: tuple[int, str, float]) -> None:
    assert parse_gpus(answer) == expected
