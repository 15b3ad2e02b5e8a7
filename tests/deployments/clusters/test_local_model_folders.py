"""What a mounted model folder holds decides which engine can read it, before anything is created."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters.base import Capacity, Refusal
from deployments.clusters.local.backend import LocalCluster
from deployments.clusters.local.launch import Place, render_environment
from deployments.interpreters import VLLM
from deployments.spec import ServiceSpec
from tests.deployments.clusters.workloads import spec_of
from tests.deployments.test_interpreters import make_python

ABSENT = {
    "transformers": Refusal("engine_missing", "Transformers is not installed.", "Install it: pip."),
    "vllm": Refusal("engine_missing", "vLLM is not installed.", "Install it: pip."),
}
RUNTIME, SERVER = "python webui/webui_server.py --port=8000", "vllm serve"


def model_of(local_data_dir: Path, *names: str) -> None:
    folder = local_data_dir / "oss" / "bucket" / "model"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def refuse(local_data_dir: Path, script: str, *images: str, **document: Any) -> Refusal | None:
    image = "vllm:0.14.0-gpu" if script.startswith(SERVER) else "chat-llm-webui:3.0"
    spec = spec_of(
        container={"image": image, "script": script},
        storage=[{"mount_path": "/model_dir", "oss": {"path": "oss://bucket/model/"}}],
        **document,
    )
    absent = {name: told for name, told in ABSENT.items() if name not in images}
    machine = Capacity("here", 2, 4096, images=("chat-llm", *images), absent=absent)
    return LocalCluster(local_data_dir, capacity=lambda: machine).refuse(spec)


def test_a_hugging_face_folder_needs_its_library(local_data_dir: Path) -> None:
    model_of(local_data_dir, "config.json", "model.safetensors")
    script = f"{RUNTIME} --model-path=/model_dir"
    refusal = refuse(local_data_dir, script)
    assert refusal is not None
    assert refusal.code == "engine_missing"
    assert refusal.message == "oss://bucket/model/ is a Hugging Face folder. Transformers is not installed."
    assert refuse(local_data_dir, script, "transformers") is None
    refusal = refuse(local_data_dir, f"{script} --backend=vllm", "transformers")
    assert refusal is not None
    assert "vLLM is not installed." in refusal.message
    assert refuse(local_data_dir, f"{script} --backend=vllm", "vllm") is None


@pytest.mark.parametrize("model", ["/model_dir", "/model_dir/model.gguf"])
def test_a_gguf_file_is_llama_cpp_s_alone(local_data_dir: Path, model: str) -> None:
    model_of(local_data_dir, "config.json", "model.gguf")
    assert refuse(local_data_dir, f"{RUNTIME} --model-path={model}") is None
    for script in (f"{SERVER} {model} --port 8000", f"{RUNTIME} --backend=vllm --model-path={model}"):
        refusal = refuse(local_data_dir, script, "vllm")
        assert refusal is not None
        assert (refusal.code, refusal.field) == ("model_layout", "containers[0].script")
        assert "llama.cpp" in refusal.cure


def test_a_folder_that_is_not_there_yet_and_one_that_is_not_mounted_are_not_judged(local_data_dir: Path) -> None:
    assert refuse(local_data_dir, f"{RUNTIME} --model-path=/model_dir") is None
    model_of(local_data_dir, "config.json")
    assert refuse(local_data_dir, f"{RUNTIME} --model-path=/elsewhere") is None
    assert refuse(local_data_dir, f"{RUNTIME} --model-path=SmolLM2-135M-Instruct") is None


def test_an_instance_is_told_which_python_has_an_engine_s_libraries(tmp_path: Path) -> None:
    python = make_python(tmp_path, "vllm")
    base = {"PATH": os.environ["PATH"], VLLM.variable: python}
    place = Place(tmp_path, tmp_path)

    def environment(spec: ServiceSpec) -> dict[str, str]:
        return render_environment(spec, (), place, base)

    runtime = environment(spec_of(container={"image": "chat-llm-webui:3.0"}))
    assert runtime[VLLM.variable] == python
    assert runtime["SLIPWAY_PYTHON"] != python
    assert environment(spec_of(container={"image": "vllm:0.14.0-gpu"}))["SLIPWAY_PYTHON"] == python
