"""From a service document back to the LLM form: without loss where the form wrote it, else with what is lost."""

from __future__ import annotations

import pytest

from deployments.catalog import load_catalog
from deployments.clusters.base import Capacity
from deployments.engines import engine_of, find_recipe, is_recipe_command
from deployments.llm_form import LlmRequest, llm_request_of, render_document
from deployments.spec import ServiceSpec
from tests.deployments.test_llm_form import BUNDLED, CLUSTER, CUSTOM, LAPTOP, OLD_GPU


def every_request() -> list[LlmRequest]:
    opened = [
        LlmRequest.parse({"service_name": "chat", "model": one.name, "acceleration": key, "precision": precision})
        for one in load_catalog()
        for key in one.accelerations
        for precision in ("", *(str(p) for p in one.precisions if is_loadable(key, str(p))))
    ]
    families = sorted({one.family for one in load_catalog()})
    custom = [
        LlmRequest.parse({**CUSTOM, "model": family, "parameter_quantity": size, "acceleration": key})
        for family in ("", *families)
        for size in (0.5, 7, 72)
        for key in ("none", "vllm", "bladellm")
    ]
    return opened + custom


def is_loadable(acceleration: str, precision: str) -> bool:
    recipe = find_recipe(acceleration)
    return recipe is not None and precision in recipe.precisions


@pytest.mark.parametrize("nodes", [LAPTOP, CLUSTER, OLD_GPU, ()], ids=["laptop", "cluster", "old-gpu", "nothing"])
def test_every_model_and_acceleration_renders_a_valid_document(nodes: tuple[Capacity, ...]) -> None:
    for request in every_request():
        document = render_document(request, nodes)
        spec = ServiceSpec.parse(document)
        recipe = find_recipe(request.acceleration)
        assert recipe is not None
        assert spec.engine == recipe.label == engine_of({"containers": document["containers"]})
        trusts_code = "--trust-remote-code" in document["containers"][0]["script"]
        assert is_recipe_command(document["containers"][0]) or (request.model is None and trusts_code)


@pytest.mark.parametrize("nodes", [LAPTOP, CLUSTER, OLD_GPU], ids=["laptop", "cluster", "old-gpu"])
def test_every_document_of_the_form_finds_its_way_back_without_loss(nodes: tuple[Capacity, ...]) -> None:
    for request in every_request():
        document = render_document(request, nodes)
        found, lost = llm_request_of(document)
        assert found is not None
        assert lost == []
        assert render_document(found, nodes) == document
        assert (found.model, found.family, found.acceleration) == (request.model, request.family, request.acceleration)


def test_a_request_is_the_same_after_the_form_it_fills_in() -> None:
    for request in every_request():
        assert LlmRequest.parse(request.as_form()) == request


def test_what_the_form_cannot_hold_is_listed() -> None:
    document = render_document(LlmRequest.parse(BUNDLED), LAPTOP)
    document["containers"][0]["env"] = [{"name": "TZ", "value": "UTC"}]
    document["containers"][0]["script"] += " --max-new-tokens=100"
    document["metadata"]["rpc"] = {"keepalive": 1000}
    document["labels"]["team"] = "a"
    request, lost = llm_request_of(document)
    assert request is not None
    assert lost == [
        "metadata.rpc.keepalive",
        "labels.team",
        "containers[0].script",
        "containers[0].env[0].name",
        "containers[0].env[0].value",
    ]


def test_a_command_spelled_differently_loses_nothing() -> None:
    document = {
        "metadata": {"name": "chat", "instance": 2, "cpu": 2, "memory": 2048},
        "containers": [
            {
                "image": "chat-llm-webui:3.0",
                "script": "python3 webui/webui_server.py --model_path SmolLM2-135M-Instruct --port 8000",
                "port": 8000,
            }
        ],
    }
    request, lost = llm_request_of(document)
    assert request is not None
    assert (request.service_name, request.instances) == ("chat", 2)
    assert lost == []


def test_a_second_command_in_the_script_is_lost() -> None:
    document = render_document(LlmRequest.parse(BUNDLED), LAPTOP)
    document["containers"][0]["script"] = "pip install x\n" + document["containers"][0]["script"]
    assert llm_request_of(document)[1] == ["containers[0].script"]


def test_a_custom_document_of_unknown_size_says_that_the_size_must_be_given() -> None:
    document = {
        "metadata": {"name": "tuned", "cpu": 2, "memory": 4096},
        "containers": [{"image": "vllm:0.14.0-gpu", "script": "vllm serve /model_dir --port 8000", "port": 8000}],
        "storage": [{"mount_path": "/model_dir/", "oss": {"path": "oss://models/x/"}}],
    }
    request, lost = llm_request_of(document)
    assert request is not None
    assert request.model_path == "oss://models/x/"
    assert "parameter_quantity" in lost


@pytest.mark.parametrize(
    "script",
    ["python -m http.server 8000", "vllm serve someone/else --port 8000", "vllm serve /model_dir", "vllm serve"],
)
def test_a_document_of_another_kind_has_no_form(script: str) -> None:
    document = {"metadata": {"name": "web"}, "containers": [{"image": "x", "script": script}]}
    request, lost = llm_request_of(document)
    assert request is None
    assert lost == ["containers[0].script"]
