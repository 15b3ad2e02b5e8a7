"""A model folder of one's own, deployed from the form on each engine that reads it, and talked to in every protocol.

The folder is the bundled model, converted; see ``tests.extras`` for where the libraries come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.interpreters import TRANSFORMERS, VLLM
from tests.chatting import CAPITAL, ask_over_everything
from tests.extras import EXTRA_SETTINGS, convert_bundled_model, why_missing
from tests.slipway_client import PASSWORD, SlipwayClient
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(1200)]
needs_transformers = pytest.mark.skipif(bool(why_missing(TRANSFORMERS)), reason=why_missing(TRANSFORMERS))
needs_vllm = pytest.mark.skipif(bool(why_missing(VLLM)), reason=why_missing(VLLM))

START_SECONDS = 400


@pytest.fixture(scope="module")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    """A Slipway that is told of the engines' libraries, with the folder and a place for history in its bucket."""
    data_dir = tmp_path_factory.mktemp("custom") / "data"
    bucket = data_dir / "oss" / "models"
    bucket.mkdir(parents=True, mode=0o700)
    data_dir.chmod(0o700)
    if not why_missing(TRANSFORMERS) or not why_missing(VLLM):
        convert_bundled_model(bucket / "smol")
    build_static_files(data_dir)
    running = SlipwayProcess(data_dir, SLIPWAY_ADMIN_PASSWORD=PASSWORD)
    running.variables |= EXTRA_SETTINGS
    try:
        yield running.start()
    finally:
        running.end_everything()


@pytest.fixture(scope="module")
def client(slipway: SlipwayProcess) -> SlipwayClient:
    return SlipwayClient(slipway)


@pytest.fixture(scope="module")
def person(slipway: SlipwayProcess) -> Iterator[httpx.Client]:
    """Somebody at a browser without scripts, signed in."""
    with httpx.Client(base_url=slipway.address, timeout=60, follow_redirects=True) as browser:
        fill_in(browser, "/sign-in", username="admin", password=PASSWORD)
        yield browser


def fill_in(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(path).text)
    assert token is not None
    headers = {"Referer": str(browser.base_url)}
    return browser.post(path, data={"csrfmiddlewaretoken": token[1], **fields}, headers=headers)


def deploy(person: httpx.Client, name: str, **fields: str) -> httpx.Response:
    """Fill in the LLM form for a folder of one's own, and click Deploy."""
    form = {
        "service_name": name,
        "model_source": "custom",
        "parameter_quantity": "0.135",
        "model_path": "oss://models/smol/",
        "mount_path": "/model_dir",
        "acceleration": "none",
        "instances": "1",
        "context_tokens": "1024",
        "act": "deploy",
    }
    return fill_in(person, "/deploy/llm", **{**form, **fields})


def change_to_export(client: SlipwayClient, name: str, command: str) -> None:
    """What Update Service does with the document: the runtime's command, and a folder for the history."""
    document = json.loads(client.describe(name)["ServiceConfig"])
    container = {**document["containers"][0], "image": "chat-llm-webui:3.0", "script": command}
    document["containers"] = [container]
    document["labels"]["ServiceEngineType"] = "chat-llm"
    document["storage"].append({"mount_path": "/history", "oss": {"path": "oss://models/history/"}})
    assert client.call("PUT", f"/services/local/{name}/stop").status_code == 200
    client.wait_for(name, "Stopped")
    answer = client.call("PUT", f"/services/local/{name}", document)
    assert answer.status_code == 200, answer.text
    assert client.call("PUT", f"/services/local/{name}/start").status_code == 200


@pytest.mark.parametrize(
    ("acceleration", "command"),
    [
        pytest.param("none", "--backend=transformers", marks=needs_transformers, id="transformers"),
        pytest.param("vllm", "--backend=vllm", marks=needs_vllm, id="vllm"),
    ],
)
def test_a_folder_is_deployed_from_the_form_chatted_with_and_its_history_exported(
    slipway: SlipwayProcess, client: SlipwayClient, person: httpx.Client, acceleration: str, command: str
) -> None:
    name = f"folder_on_{acceleration}"
    deployed = deploy(person, name, acceleration=acceleration)
    assert deployed.url.path == f"/services/{name}", deployed.text
    client.wait_for(name, "Running", START_SECONDS)
    ask_over_everything(client, name)

    history = slipway.data_dir / "oss" / "models" / "history"
    history.mkdir(exist_ok=True)
    script = f"python webui/webui_server.py --port=8000 --model-path=/model_dir --cpu --context=1024 {command}"
    change_to_export(client, name, f"{script} --export-history-path=/history")
    client.wait_for(name, "Running", START_SECONDS)
    ask_over_everything(client, name)
    assert client.call("DELETE", f"/services/local/{name}").status_code == 200
    client.wait_gone(name)
    records = [record for record in read_records(history) if record["messages"][-1]["content"] == CAPITAL]
    assert {record["protocol"] for record in records} == {"openai"}  # the gateway's way to every engine
    assert len(records) == 4
    assert all("Paris" in record["answers"][0]["text"] for record in records)
    for file in history.iterdir():
        file.unlink()


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Every whole file's lines; a runtime that was stopped leaves no other."""
    assert [file.suffix for file in folder.iterdir()] == [".jsonl"]
    return [json.loads(line) for file in folder.iterdir() for line in file.read_text("utf-8").splitlines()]


def test_an_engine_that_is_not_installed_is_said_at_the_form_with_the_line_to_type(
    tmp_path: Path, slipway: SlipwayProcess, person: httpx.Client
) -> None:
    folder = slipway.data_dir / "oss" / "models" / "folder"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    for acceleration, extra in (("none", TRANSFORMERS), ("vllm", VLLM)):
        if why_missing(extra):
            refused = deploy(person, "nowhere", model_path="oss://models/folder/", acceleration=acceleration)
            assert refused.status_code == 422
            assert f"pip install {extra.packages}" in refused.text
            assert extra.variable in refused.text
    (folder / "config.json").unlink()
    (folder / "model.gguf").write_text("GGUF")
    refused = deploy(person, "nowhere", model_path="oss://models/folder/", acceleration="vllm")
    assert refused.status_code == 422
    assert ("vLLM reads Hugging Face folders" in refused.text) is not bool(why_missing(VLLM))
