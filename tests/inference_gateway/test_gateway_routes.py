"""OpenAI's other routes, below a service and flat: OpenAI's own client, against a program that has them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.inference_gateway.many_routes import ManyRoutesEngine
from tests.inference_gateway.rig import Deployed, Server, deploy

VLLM = "vllm serve /models/x --port 8000"


@pytest.fixture
def many() -> Iterator[ManyRoutesEngine]:
    with ManyRoutesEngine() as engine:
        yield engine


@pytest.fixture
def service(server: Server, many: ManyRoutesEngine) -> Deployed:
    return deploy(server, many.port, engine="vllm", script=VLLM)


@pytest.fixture(params=["below", "flat"])
def caller(request: pytest.FixtureRequest, server: Server, service: Deployed) -> tuple[openai.OpenAI, str]:
    """A client, and the model's name for it: the engine's own below the service, the service's flat."""
    if request.param == "below":
        return openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.token, max_retries=0), "served-name"
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=service.token, max_retries=0), service.row.name


def test_embeddings_moderations_images_and_responses(caller: tuple[openai.OpenAI, str], many: ManyRoutesEngine) -> None:
    client, model = caller
    embedded = client.embeddings.create(model=model, input=["a", "ü"], encoding_format="float")
    assert [one.embedding for one in embedded.data] == [[0.0, 0.5], [1.0, 0.5]]
    assert not client.moderations.create(model=model, input="x").results[0].flagged
    drawn = client.images.generate(model=model, prompt="x")
    assert drawn.data is not None
    assert drawn.data[0].b64_json == "aGk="
    assert client.responses.create(model=model, input="x").output_text == "hi"
    streamed = list(client.responses.create(model=model, input="x", stream=True))
    assert [event.type for event in streamed] == ["response.output_text.delta"]
    assert client.responses.retrieve("resp_7").id == "resp_7"
    assert {body["model"] for _, body in many.seen if body} == {"served-name"}


def test_audio_and_pictures_as_forms_and_speech_as_a_stream_of_bytes(
    caller: tuple[openai.OpenAI, str], many: ManyRoutesEngine
) -> None:
    client, model = caller
    sound = ("sound.wav", io.BytesIO(bytes(range(256)) * 20_000))  # larger than what is looked at for the name
    assert client.audio.transcriptions.create(model=model, file=sound, language="en").text == "5120000 bytes"
    assert client.audio.translations.create(model=model, file=("a.wav", b"1234")).text == "4 bytes"
    picture = ("a.png", b"12345")
    for drawn in (
        client.images.edit(model=model, image=picture, prompt="x"),
        client.images.create_variation(model=model, image=picture),
    ):
        assert drawn.data is not None
        assert drawn.data[0].url == "5"
    assert [body["model"] for _, body in many.seen] == [model] * 4  # a form is not rewritten
    with client.audio.speech.with_streaming_response.create(model=model, input="x", voice="v") as spoken:
        assert spoken.headers["Content-Type"] == "audio/mpeg"
        assert b"".join(spoken.iter_bytes()) == b"ID3\0" + bytes(range(256)) + b"\xff\xfb"


def test_flat_a_file_before_the_name_is_carried_whole(
    server: Server, service: Deployed, many: ManyRoutesEngine
) -> None:
    """As OpenAI's own examples for curl send it; past the first MiB the token says which service is meant."""
    for size in (1000, 3_000_000):
        files: list[Any] = [("file", ("a.wav", b"x" * size)), ("model", (None, service.row.name))]
        url = f"{server.url}/v1/audio/transcriptions"
        answer = httpx.post(url, files=files, headers=service.auth, timeout=30)
        assert (answer.status_code, answer.json()) == (200, {"text": f"{size} bytes"})
        assert many.seen[-1][1]["model"] == service.row.name


def test_a_body_below_a_service_is_carried_byte_for_byte(service: Deployed, many: ManyRoutesEngine) -> None:
    body = {"model": "served-name", "query": "q", "documents": ["a", "b"], "top_n": 1}
    answer = httpx.post(f"{service.url}/v1/rerank", json=body, headers=service.auth).json()
    assert [one["document"]["text"] for one in answer["results"]] == ["a"]
    assert many.seen[-1][1] == body


def test_an_engine_without_the_route_answers_404_in_openai_s_shape(
    server: Server, service: Deployed, runtime_port: int
) -> None:
    chat = deploy(server, runtime_port)
    for one, base, model in (
        (service, server.url, service.row.name),
        (chat, chat.url, "x"),
        (service, service.url, ""),
    ):
        answer = httpx.post(f"{base}/v1/audio/embeddings", json={"model": model}, headers=one.auth)
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["code"], error["type"], error["param"]) == ("path_not_found", "not_found_error", None)
        assert "/v1/audio/embeddings" in error["message"]
        assert answer.json()["detail"] == error["message"]


def test_what_an_engine_refuses_is_its_own_words_in_openai_s_shape(service: Deployed) -> None:
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.token, max_retries=0)
    with pytest.raises(openai.NotFoundError, match="The model `other` does not exist"):
        client.embeddings.create(model="other", input="x")


def test_a_program_that_is_no_language_model_speaks_for_itself_but_flat_in_openai_s_shape(
    server: Server, many: ManyRoutesEngine
) -> None:
    program = deploy(server, many.port, engine=None, script="python app.py")
    below = httpx.post(f"{program.url}/v1/nothing", json={}, headers=program.auth)
    assert (below.status_code, below.text) == (404, "404: Not Found")
    body = {"model": program.row.name, "input": "x"}
    flat = httpx.post(f"{server.url}/v1/embeddings", json=body, headers=program.auth)
    assert flat.json()["model"] == "served-name"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b'{"input": "x"}', "application/json", 400, "model_missing"),
        (b'{"model": "no_such_service"}', "application/json", 404, "model_not_found"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'{"model": ', "application/json", 400, "invalid_json"),
        (b'{"model": "x", "input": "' + b"x" * (16 * 1024 * 1024), "application/json", 413, "body_too_large"),
    ],
)
def test_flat_what_names_no_service_is_refused(
    server: Server, service: Deployed, content: bytes, kind: str, status: int, code: str
) -> None:
    url = f"{server.url}/v1/embeddings"
    answer = httpx.post(url, content=content, headers=service.auth | {"Content-Type": kind}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_flat_a_token_of_a_moment_ago_is_known(server: Server, service: Deployed, many: ManyRoutesEngine) -> None:
    assert httpx.get(f"{server.url}/v1/models", headers=service.auth).status_code == 200
    newer = deploy(server, many.port, engine="vllm", script=VLLM)
    listed = httpx.get(f"{server.url}/v1/models", headers=newer.auth).json()
    assert [one["id"] for one in listed["data"]] == [newer.row.name]


def test_flat_routes_need_the_service_s_token(server: Server, service: Deployed, many: ManyRoutesEngine) -> None:
    other = deploy(server, many.port, engine="vllm", script=VLLM)
    body: dict[str, Any] = {"model": service.row.name, "input": "x"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, other.auth):
        for method, path in (("POST", "/v1/embeddings"), ("POST", "/v1/audio/speech")):
            answer = httpx.request(method, server.url + path, content=json.dumps(body), headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "Unauthorized")
    assert httpx.get(f"{server.url}/v1/responses/x", headers={"Authorization": "wrong"}).status_code == 401
    assert many.seen == []
