"""The LLM form: every error at once with its cure, and the document that it makes."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalog import find_model
from deployments.clusters.base import Capacity, Refusal
from deployments.engines import is_recipe_command
from deployments.llm_form import (
    FormInvalid,
    LlmRequest,
    llm_request_of,
    preview,
    recommend_for,
    refuse_request,
    render_document,
    suggest_service_name,
)
from deployments.spec import ServiceSpec

LAPTOP = (Capacity("laptop", 2, 8192, images=("chat-llm",)),)
ALL = ("chat-llm", "vllm", "bladellm")
CLUSTER = (Capacity("gpu-1", 32, 245760, 2, "NVIDIA A10", 22.5, ALL, downloads=True),)
OLD_GPU = (Capacity("gpu-2", 8, 31744, 1, "Tesla T4", 15.0, ALL, downloads=True),)

BUNDLED: dict[str, Any] = {
    "service_name": "chat",
    "model_source": "open-source",
    "model": "SmolLM2-135M-Instruct",
    "acceleration": "none",
    "instances": 1,
}
CUSTOM: dict[str, Any] = {
    "service_name": "tuned",
    "model_source": "custom",
    "model": "Qwen2.5",
    "parameter_quantity": "0.5B",
    "precision": "bf16",
    "model_path": "oss://models/qwen-tuned/",
    "acceleration": "none",
}


def codes(form: object) -> dict[str, str]:
    """Code by field of what is wrong with a form."""
    with pytest.raises(FormInvalid) as caught:
        LlmRequest.parse(form)
    return {error.field: error.code for error in caught.value.errors}


def message(form: object, field: str) -> str:
    with pytest.raises(FormInvalid) as caught:
        LlmRequest.parse(form)
    return next(error.message for error in caught.value.errors if error.field == field)


def test_the_smallest_form_names_a_service_and_a_model() -> None:
    request = LlmRequest.parse({"service_name": "chat", "model": "smollm2-135m-instruct"})
    assert request.model is find_model("SmolLM2-135M-Instruct")
    assert (request.model_source, request.acceleration, request.instances) == ("open-source", "none", 1)


def test_the_bundled_model_becomes_the_documented_service_document() -> None:
    document = render_document(LlmRequest.parse(BUNDLED), LAPTOP)
    assert document["metadata"] == {"name": "chat", "instance": 1, "cpu": 2, "memory": 2048, "gpu": 0}
    assert document["labels"] == {"ServiceEngineType": "chat-llm"}
    (container,) = document["containers"]
    assert container["image"] == "chat-llm-webui:3.0"
    assert container["script"] == "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"
    assert container["port"] == 8000
    assert "storage" not in document


def test_a_form_of_text_reads_like_one_of_numbers() -> None:
    as_text = {"instances": "2", "cpu": "1.5", "memory": "1024", "gpu": "", "precision": " ", "context_tokens": "2048"}
    request = LlmRequest.parse({**BUNDLED, **as_text})
    assert (request.instances, request.cpu, request.memory, request.gpu) == (2, 1.5, 1024, None)
    assert (request.precision, request.context_tokens) == (None, 2048)


def test_several_errors_are_told_at_once() -> None:
    found = codes({"service_name": "Chat A", "model": "nothing", "acceleration": "turbo", "instances": -1})
    assert found == {
        "service_name": "name_invalid",
        "model": "model_unknown",
        "acceleration": "not_a_choice",
        "instances": "out_of_range",
    }


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"service_name": ""}, "service_name", "name_missing"),
        ({"service_name": "ab"}, "service_name", "name_invalid"),
        ({"service_name": "a" * 64}, "service_name", "name_invalid"),
        ({"service_name": 5}, "service_name", "name_invalid"),
        ({"model": None}, "model", "model_missing"),
        ({"model": "gpt-4"}, "model", "model_unknown"),
        ({"model": ["x"]}, "model", "not_text"),
        ({"model_source": "hub"}, "model_source", "not_a_choice"),
        ({"acceleration": "vllm"}, "acceleration", "acceleration_unsupported"),
        ({"acceleration": True}, "acceleration", "not_text"),
        ({"instances": 1001}, "instances", "out_of_range"),
        ({"instances": 1.5}, "instances", "not_a_number"),
        ({"instances": True}, "instances", "not_a_number"),
        ({"instances": "many"}, "instances", "not_a_number"),
        ({"cpu": 0}, "cpu", "out_of_range"),
        ({"cpu": 513}, "cpu", "out_of_range"),
        ({"cpu": "nan"}, "cpu", "not_a_number"),
        ({"cpu": 10**400}, "cpu", "not_a_number"),
        ({"memory": 0}, "memory", "out_of_range"),
        ({"memory": 8_388_609}, "memory", "out_of_range"),
        ({"gpu": 65}, "gpu", "out_of_range"),
        ({"gpu": float("inf")}, "gpu", "not_a_number"),
        ({"precision": "fp17"}, "precision", "not_a_choice"),
        ({"precision": "fp16"}, "precision", "precision_unsupported"),
        ({"context_tokens": 16384}, "context_tokens", "context_too_long"),
        ({"users": 0}, "users", "out_of_range"),
        ({"instance_type": "ml.gu7i.c8m31.1-gu30"}, "instance_type", "instance_type_unknown"),
        ({"gpu_product": "A10; rm"}, "gpu_product", "gpu_product"),
        ({"instance_type": "ml.gu7i.c8m30.1-gu30", "cpu": 4}, "cpu", "conflict"),
        ({"model_path": "oss://b/p/"}, "model_path", "not_for_open_source"),
        ({"oss_path": "oss://b/p/"}, "oss_path", "not_for_open_source"),
        ({"acelleration": "none"}, "acelleration", "unknown_field"),
        ({"zzz": 1}, "zzz", "unknown_field"),
    ],
)
def test_each_wrong_field_of_an_open_source_model_has_its_code(change: dict[str, Any], field: str, code: str) -> None:
    assert codes({**BUNDLED, **change}) == {field: code}


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"model_path": ""}, "model_path", "model_path_missing"),
        ({"model_path": "s3://b/p"}, "model_path", "oss_path"),
        ({"model_path": "oss://"}, "model_path", "oss_path"),
        ({"model_path": "oss://bucket/../x"}, "model_path", "oss_path"),
        ({"oss_path": "oss://other/folder/"}, "oss_path", "conflict"),
        ({"model": "NoSuchFamily"}, "model", "family_unknown"),
        ({"parameter_quantity": ""}, "parameter_quantity", "quantity_missing"),
        ({"parameter_quantity": "big"}, "parameter_quantity", "not_a_quantity"),
        ({"parameter_quantity": 0}, "parameter_quantity", "not_a_quantity"),
        ({"mount_path": "model_dir"}, "mount_path", "mount_path"),
        ({"mount_path": "/etc/model"}, "mount_path", "mount_path"),
        ({"mount_path": "/model dir"}, "mount_path", "mount_path"),
        ({"mount_path": "/model;id"}, "mount_path", "mount_path"),
        ({"mount_path": "/model$(id)"}, "mount_path", "mount_path"),
        ({"mount_path": "/a/../b"}, "mount_path", "mount_path"),
        ({"mount_path": "/"}, "mount_path", "mount_path"),
    ],
)
def test_each_wrong_field_of_a_custom_model_has_its_code(change: dict[str, Any], field: str, code: str) -> None:
    assert codes({**CUSTOM, **change}) == {field: code}


def test_a_form_that_is_no_object_is_refused() -> None:
    assert codes(["service_name"]) == {"": "not_an_object"}


@pytest.mark.parametrize(
    ("change", "field", "cure"),
    [
        ({"service_name": "Chat A"}, "service_name", "Use `chat_a`?"),
        ({"model": "Qwen2-7"}, "model", "Did you mean Qwen2-7b?"),
        ({"instance": 2}, "instance", "Did you mean instances?"),
        ({"acceleration": "vllm"}, "acceleration", "Choose Not Accelerated (none)."),
        ({"instance_type": "ml.gu7i.c8m31.1-gu30"}, "instance_type", "Did you mean ml.gu7i.c8m30.1-gu30?"),
        ({"model": "Qwen2-72b", "acceleration": "vllm"}, "acceleration", "Choose Not Accelerated (none)."),
    ],
)
def test_a_message_names_the_cure(change: dict[str, Any], field: str, cure: str) -> None:
    assert cure in message({**BUNDLED, **change}, field)


def test_a_custom_model_mounts_its_oss_folder() -> None:
    document = render_document(LlmRequest.parse(CUSTOM), CLUSTER)
    assert document["storage"] == [
        {"mount_path": "/model_dir", "oss": {"path": "oss://models/qwen-tuned/", "readOnly": True}}
    ]
    assert "--model-path=/model_dir" in document["containers"][0]["script"]


def test_the_folder_may_be_given_as_oss_path_too() -> None:
    form = {key: value for key, value in CUSTOM.items() if key != "model_path"}
    assert LlmRequest.parse({**form, "oss_path": "oss://models/x/"}).model_path == "oss://models/x/"


def test_a_catalog_model_as_custom_type_says_its_own_size() -> None:
    form = {key: value for key, value in CUSTOM.items() if key != "parameter_quantity"}
    request = LlmRequest.parse({**form, "model": "llama2-13b"})
    assert (request.family, request.parameter_quantity) == ("Llama 2", 13.016)


def test_a_custom_model_on_a_machine_without_gpu_is_told_to_use_the_processor() -> None:
    document = render_document(LlmRequest.parse(CUSTOM), LAPTOP)
    assert document["metadata"]["gpu"] == 0
    assert document["containers"][0]["script"].endswith("--cpu --context=4096 --slots=4")


def test_vllm_on_a_processor_is_told_its_memory_and_compiles_nothing() -> None:
    laptop = (Capacity("laptop", 4, 16384, images=("chat-llm", "vllm")),)
    request = LlmRequest.parse({**CUSTOM, "model": "", "parameter_quantity": 0.135, "acceleration": "vllm"})
    document = render_document(request, laptop)
    assert document["containers"][0]["script"] == (
        "vllm serve /model_dir --port 8000 --served-model-name tuned --max-model-len 4096 "
        "--dtype bfloat16 --enforce-eager --max-num-seqs 4 --kv-cache-memory-bytes 1024M"
    )
    assert is_recipe_command(document["containers"][0])
    found, lost = llm_request_of(document)
    assert found is not None
    assert lost == []
    assert render_document(found, laptop) == document


def test_the_cluster_s_own_word_on_the_document_counts() -> None:
    def refuse(spec: ServiceSpec) -> Refusal:
        return Refusal("model_layout", f"{spec.mounts[0].oss} holds no model.", "Copy it there.")

    request = LlmRequest.parse({**CUSTOM, "parameter_quantity": 0.5})
    refusal = refuse_request(request, CLUSTER, refuse)
    assert refusal is not None
    assert refusal.code == "model_layout"
    assert preview(request, CLUSTER, refuse)["resources"]["refusal"]["code"] == "model_layout"
    assert refuse_request(request, CLUSTER) is None


def test_vllm_gets_every_gpu_the_recommendation_takes() -> None:
    request = LlmRequest.parse({**BUNDLED, "model": "Qwen1.5-14b", "acceleration": "vllm", "context_tokens": 4096})
    document = render_document(request, CLUSTER)
    assert document["metadata"]["gpu"] == 2
    assert document["containers"][0]["script"] == (
        "vllm serve Qwen/Qwen1.5-14B-Chat --port 8000 --served-model-name Qwen1.5-14b "
        "--tensor-parallel-size 2 --max-model-len 4096"
    )


def test_a_quantised_precision_names_the_repository_that_holds_it() -> None:
    request = LlmRequest.parse({**BUNDLED, "model": "Qwen2-7b", "acceleration": "vllm", "precision": "int4"})
    assert "vllm serve Qwen/Qwen2-7B-Instruct-GPTQ-Int4 " in preview(request, CLUSTER)["command"]


def test_a_gpu_without_bfloat16_gets_fp16() -> None:
    request = LlmRequest.parse({**BUNDLED, "model": "Qwen1.5-1.8b", "acceleration": "vllm"})
    assert "--dtype float16" in preview(request, OLD_GPU)["command"]
    assert "--dtype" not in preview(request, CLUSTER)["command"]


def test_the_operators_own_figures_win_over_the_recommendation() -> None:
    request = LlmRequest.parse({**BUNDLED, "cpu": 1, "memory": 1500, "instances": 3, "workspace": "team"})
    metadata = render_document(request, LAPTOP)["metadata"]
    assert metadata == {
        "name": "chat", "instance": 3, "cpu": 1, "memory": 1500, "gpu": 0, "workspace_id": "team",
    }  # fmt: skip


def test_a_chosen_instance_type_is_asked_for_and_fills_in_its_size() -> None:
    request = LlmRequest.parse({**BUNDLED, "model": "Qwen2-7b", "instance_type": "ml.gu7i.c16m60.1-gu30"})
    document = render_document(request, CLUSTER)
    assert document["cloud"] == {"computing": {"instances": [{"type": "ml.gu7i.c16m60.1-gu30"}]}}
    assert (document["metadata"]["cpu"], document["metadata"]["memory"], document["metadata"]["gpu"]) == (16, 61440, 1)


def test_a_chosen_kind_of_gpu_is_recommended_for_and_asked_for() -> None:
    nodes = (*CLUSTER, Capacity("gpu-3", 32, 245760, 1, "NVIDIA L20", 44.0, ALL, downloads=True))
    asked = {**BUNDLED, "model": "Qwen2-7b", "gpu_product": "NVIDIA L20"}
    request = LlmRequest.parse(asked)
    document = render_document(request, nodes)
    assert document["metadata"]["gpu_product"] == "NVIDIA L20"
    assert recommend_for(request, nodes).machine.gpu_product == "NVIDIA L20"
    assert LlmRequest.parse(request.as_form()) == request
    found, lost = llm_request_of(document)
    assert (found.gpu_product if found else None, lost) == ("NVIDIA L20", [])


def test_without_gpus_no_kind_of_them_is_asked_for() -> None:
    request = LlmRequest.parse({**BUNDLED, "gpu_product": "NVIDIA-A10"})
    assert "gpu_product" not in render_document(request, LAPTOP)["metadata"]


def test_the_preview_holds_document_command_and_resources() -> None:
    answer = preview(LlmRequest.parse(BUNDLED), LAPTOP)
    assert set(answer) == {"document", "command", "resources"}
    assert answer["command"] == answer["document"]["containers"][0]["script"]
    resources = answer["resources"]
    assert resources["fits"] is True
    assert (resources["cpu"], resources["memory"], resources["gpu"]) == (2, 2048, 0)
    assert resources["bar"]["total_gib"] == 8.0
    assert "refusal" not in resources


def test_the_preview_of_a_misfit_is_shown_with_the_reason() -> None:
    answer = preview(LlmRequest.parse({**BUNDLED, "model": "Qwen2-7b"}), LAPTOP)
    assert answer["resources"]["fits"] is False
    assert answer["resources"]["refusal"]["code"] == "gpu_missing"
    assert answer["document"]["metadata"]["gpu"] == 1


def test_too_little_memory_of_ones_own_is_refused_with_what_is_needed() -> None:
    refusal = refuse_request(LlmRequest.parse({**BUNDLED, "memory": 512}), LAPTOP)
    assert refusal is not None
    assert refusal.code == "memory_short"
    assert "2048" in refusal.cure
    assert refuse_request(LlmRequest.parse(BUNDLED), LAPTOP) is None


def test_too_few_gpus_of_ones_own_are_refused() -> None:
    request = LlmRequest.parse({**BUNDLED, "model": "Qwen1.5-14b", "acceleration": "vllm", "gpu": 1})
    refusal = refuse_request(request, CLUSTER)
    assert refusal is not None
    assert refusal.code == "gpu_memory_short"


def test_a_free_name_is_suggested_for_a_model() -> None:
    assert suggest_service_name("SmolLM2-135M-Instruct", ()) == "smollm2_135m_instruct"
    taken = {"smollm2_135m_instruct", "smollm2_135m_instruct_2"}
    assert suggest_service_name("SmolLM2-135M-Instruct", taken) == "smollm2_135m_instruct_3"
