"""Launch recipes: what they write, what they recognise, and what may run where only recipes may."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalog import Precision, load_catalog
from deployments.engines import (
    RECIPES,
    Launch,
    Recipe,
    engine_of,
    find_recipe,
    is_recipe_command,
    read_command,
)
from deployments.engines.chat_llm import GGUF_SLOTS
from deployments.spec.spec import LLM_ENGINES, ServiceSpec
from inference_gateway.runtime.flags import Flags, parse

BUNDLED = Launch(model="SmolLM2-135M-Instruct", served_name="chat", port=8000, is_quick=True)
FOLDER = Launch(model="/model_dir", served_name="chat", port=8000, gpus=2, precision=Precision.FP16)


def recipe(key: str) -> Recipe:
    found = find_recipe(key)
    assert found is not None
    return found


def container(**changes: Any) -> dict[str, Any]:
    return {"image": "chat-llm-webui:3.0", "port": 8000, **changes}


def test_the_registry_holds_the_three_accelerations_of_the_form_in_order() -> None:
    assert [(one.key, one.title) for one in RECIPES] == [
        ("none", "Not Accelerated"),
        ("vllm", "vLLM"),
        ("bladellm", "BladeLLM"),
    ]


def test_labels_are_the_ones_the_service_spec_knows() -> None:
    assert tuple(one.label for one in RECIPES) == LLM_ENGINES


def test_every_acceleration_the_catalog_names_has_a_recipe() -> None:
    named = {key for model in load_catalog() for key in model.accelerations}
    assert named == {one.key for one in RECIPES}


def test_the_bundled_model_starts_with_the_documented_command() -> None:
    rendered = recipe("none").render(BUNDLED)
    assert rendered["image"] == "chat-llm-webui:3.0"
    assert rendered["script"] == ("python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct")
    assert rendered["port"] == 8000
    assert rendered["startup_check"]["initial_delay_seconds"] == 0


@pytest.mark.parametrize(
    ("key", "script"),
    [
        ("none", "python webui/webui_server.py --port=8000 --model-path=/model_dir --precision=fp16"),
        (
            "vllm",
            ("vllm serve /model_dir --port 8000 --served-model-name chat --tensor-parallel-size 2 --dtype float16"),
        ),
        (
            "bladellm",
            ("blade_llm_server --model /model_dir --host 0.0.0.0 --port 8000 --tensor_parallel_size 2 --dtype float16"),
        ),
    ],
)
def test_each_engine_starts_with_its_own_command(key: str, script: str) -> None:
    assert recipe(key).render(FOLDER)["script"] == script


def test_a_folder_on_a_processor_gets_context_and_slots_but_no_precision() -> None:
    launch = Launch("/model_dir", "chat", 8000, precision=Precision.BF16, context_tokens=4096, users=2, on_cpu=True)
    rendered = recipe("none").render(launch)
    assert rendered["script"] == (
        "python webui/webui_server.py --port=8000 --model-path=/model_dir --cpu --context=4096 --slots=2"
    )
    assert is_recipe_command(rendered)


def test_the_runtime_takes_every_flag_the_recipe_writes_for_a_processor() -> None:
    launch = Launch("/model_dir", "chat", 8000, precision=Precision.BF16, context_tokens=4096, users=2, on_cpu=True)
    words = recipe("none").render(launch)["script"].split(" ")[2:]
    flags = parse(words, {})
    assert (flags.model_path, flags.port, flags.context_tokens, flags.slots) == ("/model_dir", 8000, 4096, 2)


def test_the_runtime_generates_as_many_dialogues_as_are_planned_for() -> None:
    assert Flags().slots == GGUF_SLOTS


def test_vllm_gets_context_quantisation_and_remote_code() -> None:
    launch = Launch(
        model="THUDM/chatglm3-6b",
        served_name="glm",
        port=8001,
        precision=Precision.FP8,
        context_tokens=4096,
        remote_code=True,
    )
    assert recipe("vllm").render(launch)["script"] == (
        "vllm serve THUDM/chatglm3-6b --port 8001 --served-model-name glm --max-model-len 4096 "
        "--quantization fp8 --trust-remote-code"
    )


def test_models_that_are_fetched_get_the_checks_of_the_llm_recipe() -> None:
    rendered = recipe("vllm").render(FOLDER)
    startup = rendered["startup_check"]
    assert startup["http_get"] == {"path": "/health", "port": 8000}
    assert (startup["initial_delay_seconds"], startup["period_seconds"], startup["failure_threshold"]) == (
        60,
        10,
        30,
    )
    assert rendered["liveness_check"]["period_seconds"] == 30
    assert rendered["health_check"]["http_get"]["path"] == "/v1/models"


def test_an_engine_without_a_health_route_is_alive_while_its_port_is_open() -> None:
    rendered = recipe("bladellm").render(FOLDER)
    assert rendered["liveness_check"]["tcp_socket"] == {"port": 8000}
    assert "http_get" not in rendered["startup_check"]


@pytest.mark.parametrize("key", [one.key for one in RECIPES])
@pytest.mark.parametrize("launch", [BUNDLED, FOLDER], ids=["bundled", "folder"])
def test_what_a_recipe_renders_is_valid_recognised_and_a_recipe_command(key: str, launch: Launch) -> None:
    rendered = recipe(key).render(launch)
    ServiceSpec.parse({"metadata": {"name": "chat"}, "containers": [rendered]})
    assert engine_of(rendered) == recipe(key).label
    assert is_recipe_command(rendered)


@pytest.mark.parametrize(
    ("script", "label"),
    [
        ("python webui/webui_server.py --port=8000 --model-path=x", "chat-llm"),
        ("python3.11 -u /app/webui/webui_server.py --listen=0.0.0.0 --model_path x", "chat-llm"),
        ("pip install einops\npython api/api_server.py --model-path=x", "chat-llm"),
        ("cd /app && exec python webui/webui_server.py", "chat-llm"),
        ("VLLM_USE_V1=0 vllm serve /model_dir", "vllm"),
        ("/opt/venv/bin/vllm serve \\\n  /model_dir", "vllm"),
        ("python -m vllm.entrypoints.openai.api_server --model /model_dir", "vllm"),
        ("bash -c 'blade_llm_server --model /model_dir'", "bladellm"),
        ("python -m http.server 8000", None),
        ("echo vllm serve", None),
        ("python webui/webui_server.pyc", None),
        ("vllm bench", None),
        ("it's not shell", None),
        ("", None),
    ],
)
def test_a_custom_command_is_recognised_by_the_program_it_starts(script: str, label: str | None) -> None:
    assert engine_of(container(script=script)) == label


def test_a_command_given_as_a_list_with_arguments_is_recognised() -> None:
    given = container(command=["vllm"], args=["serve", "/model_dir"])
    command = read_command(given)
    assert command is not None
    assert (command.recipe.key, command.model) == ("vllm", "/model_dir")


def test_a_label_that_names_an_engine_decides() -> None:
    document = {"labels": {"ServiceEngineType": "vLLM"}, "containers": [container(script="./start.sh")]}
    assert engine_of(document) == "vllm"


def test_a_label_of_another_kind_leaves_the_command_to_decide() -> None:
    document = {"labels": {"ServiceEngineType": "sglang"}, "containers": [container(script="vllm serve x")]}
    assert engine_of(document) == "vllm"


def test_a_document_without_containers_is_no_engine() -> None:
    assert engine_of({"metadata": {"name": "chat"}, "containers": []}) is None


def test_a_flag_is_read_in_every_spelling() -> None:
    scripts = ("--model_path=m", "--model-path m", "--cpu --model-path m", "--model_path m --cpu")
    for script in scripts:
        command = read_command(container(script=f"python webui/webui_server.py {script}"))
        assert command is not None
        assert command.model == "m", script


WEBUI = "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"


@pytest.mark.parametrize(
    "given",
    [
        container(script=WEBUI),
        container(command=WEBUI),
        container(script="python api/api_server.py --model-path SmolLM2-135M-Instruct --port 8000 --max_round 3"),
        container(script=WEBUI, env=[], args=[]),
        container(script=WEBUI, image="eas-registry.cn-hangzhou.cr.aliyuncs.com/pai-eas/chat-llm-webui:3.0.4"),
        {"image": "chat-llm-webui:3.0", "script": WEBUI},
        container(script="vllm serve /model_dir --port 8000", image="vllm:0.14.0-gpu"),
        container(script="vllm serve THUDM/chatglm3-6b --port 8000 --trust-remote-code", image="vllm:0.14.0-gpu"),
    ],
)
def test_commands_a_recipe_could_have_written_are_allowed(given: dict[str, Any]) -> None:
    assert is_recipe_command(given)


@pytest.mark.parametrize(
    "script",
    [
        WEBUI + "; id",
        WEBUI + " && id",
        WEBUI + " | tee x",
        WEBUI + "\nid",
        WEBUI + "\n",
        WEBUI + " $(id)",
        WEBUI + " `id`",
        WEBUI + " > /tmp/x",
        WEBUI + " &",
        WEBUI + " --log-level=$HOME",
        "id; " + WEBUI,
        "exec " + WEBUI,
        "PYTHONPATH=/model_dir " + WEBUI,
        "bash -c '" + WEBUI + "'",
        "/model_dir/python webui/webui_server.py --port=8000 --model-path=/model_dir",
        "python /model_dir/webui/webui_server.py --port=8000 --model-path=/model_dir",
        "python -m http.server 8000",
        WEBUI + " --export-history-path=/somewhere",
        WEBUI + " --port=8001",
        WEBUI + " --model-path=/model_dir",
        WEBUI + " extra",
        WEBUI + " --log-level=LOUD",
        WEBUI.replace("8000", "8001"),
        WEBUI.replace(" --port=8000", ""),
        WEBUI.replace("SmolLM2-135M-Instruct", "someone/else"),
        WEBUI.replace("SmolLM2-135M-Instruct", "/etc/passwd"),
        WEBUI.replace("SmolLM2-135M-Instruct", "/model_dir/../../etc"),
        WEBUI.replace("SmolLM2-135M-Instruct", "../model"),
        "python webui/webui_server.py --port=8000",
        "vllm serve /model_dir --port 8000 --trust-remote-code",
        "vllm serve /model_dir /other --port 8000",
        "",
    ],
)
def test_anything_more_than_a_recipe_is_refused(script: str) -> None:
    for image in ("chat-llm-webui:3.0", "vllm:0.14.0-gpu"):
        assert not is_recipe_command(container(script=script, image=image))


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "python:3.11"},
        {"image": "evil.example/chat-llm-webui:3.0"},
        {"image": "chat-llm-webui"},
        {"image": "vllm:0.14.0-gpu"},
        {"env": [{"name": "LD_PRELOAD", "value": "/model_dir/x.so"}]},
        {"args": ["--cpu"]},
        {"prepare": {"pythonRequirements": ["evil"]}},
        {"liveness_check": {"exec": {"command": ["id"]}}},
        {"liveness_check": {"http_get": {"path": "/", "port": 22}}},
        {"readiness_check": {"http_get": {"path": "/", "host": "example.org"}}},
        {"command": WEBUI},
        {"script": ["python"]},
        {"lifecycle": {}},
        {"port": 8001},
    ],
)
def test_a_recipe_command_with_anything_beside_it_is_refused(changes: dict[str, Any]) -> None:
    assert is_recipe_command(container(script=WEBUI))
    assert not is_recipe_command(container(**{"script": WEBUI, **changes}))


def test_blade_llm_does_not_run_on_older_gpus() -> None:
    blade = recipe("bladellm")
    assert blade.is_unfit("Tesla T4")
    assert blade.is_unfit("Tesla V100-SXM2-32GB")
    assert not blade.is_unfit("NVIDIA A10")
    assert not blade.is_unfit("NVIDIA L40S")
