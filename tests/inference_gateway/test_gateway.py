"""The gateway over real HTTP: dialects, tokens, addresses, limits. The answers come from the bundled model."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from django.contrib.auth.models import User

from deployments import accounts, lifecycle
from deployments.models import Desired, Instance, Service, Status
from inference_gateway.authentication import is_right_signature
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, token_of
from tests.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.backends

SHORT = {"prompt": "Say hello.", "max_new_tokens": 8}


@pytest.fixture
def chat(server: Server, runtime_port: int) -> Deployed:
    return deploy(server, runtime_port)


def code_of(response: httpx.Response) -> str:
    body = response.json()
    return str(body["error"]["code"] if "error" in body else body["code"])


def frames_of(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\0")
    return [json.loads(frame) for frame in body.split(b"\0") if frame]


def test_a_prompt_as_the_whole_body_streams_cumulative_frames(chat: Deployed) -> None:
    headers = chat.auth | {"Content-Type": "application/x-www-form-urlencoded"}  # what curl says
    response = httpx.post(chat.url, content="Say hello, 世界!", headers=headers, timeout=60)
    frames = frames_of(response.content)
    texts = [frame["response"] for frame in frames]
    assert response.status_code == 200
    assert len(texts) > 1
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert frames[-1]["history"] == [["Say hello, 世界!", texts[-1]]]


def test_json_without_streaming_is_one_object_with_both_keys(chat: Deployed) -> None:
    body = SHORT | {"use_stream_chat": "False", "history": [["q", "a"], []], "langchain": True, "unknown ": 1}
    answer = httpx.post(chat.url, json=body, headers=chat.auth, timeout=60).json()
    assert answer["response"]
    assert answer["history"] == [["q", "a"], ["Say hello.", answer["response"]]]


def test_a_form_is_read_by_its_fields(chat: Deployed) -> None:
    form = {"prompt": "Say hello.", "use_stream_chat": "false", "max_new_tokens": "4"}
    answer = httpx.post(chat.url, data=form, headers=chat.auth, timeout=60).json()
    assert answer["history"][-1][0] == "Say hello."


def test_fields_left_out_mean_what_the_services_command_says(server: Server, endless: EndlessEngine) -> None:
    script = "python webui/webui_server.py --port=$PORT --max_new_tokens 77 --temperature=0.25"
    service = deploy(server, endless.port, script=script)
    endless.ends_after = 1
    httpx.post(service.url, json={"prompt": "x"}, headers=service.auth, timeout=30)
    assert (endless.asked[0]["max_tokens"], endless.asked[0]["temperature"]) == (77, 0.25)


def test_the_openai_sdk_works_unchanged_below_a_service(chat: Deployed) -> None:
    client = openai.OpenAI(base_url=f"{chat.url}/v1", api_key=chat.token, max_retries=0)
    question: Any = [{"role": "user", "content": "Say hello."}]
    whole = client.chat.completions.create(model="default", messages=question, max_tokens=8)
    assert whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0
    chunks = list(client.chat.completions.create(model="any", messages=question, max_tokens=8, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert client.completions.create(model="default", prompt="Once upon", max_tokens=4).choices[0].text
    assert [model.id for model in client.models.list()] == [chat.row.name]


def test_under_v1_the_model_names_the_service(server: Server, chat: Deployed) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=chat.token, max_retries=0)
    question: Any = [{"role": "user", "content": "Say hello."}]
    answer = client.chat.completions.create(model=chat.row.name, messages=question, max_tokens=4)
    assert answer.choices[0].message.content
    assert [model.id for model in client.models.list()] == [chat.row.name]


def test_under_v1_another_services_token_an_unknown_model_and_none_are_told_apart(
    server: Server, chat: Deployed
) -> None:
    url = f"{server.url}/v1/chat/completions"
    other = deploy(server, free_port())
    body = {"model": chat.row.name, "messages": [{"role": "user", "content": "x"}]}
    answers = [
        httpx.post(url, json=body),
        httpx.post(url, json=body, headers=other.auth),
        httpx.post(url, json=body | {"model": "no_such"}, headers=chat.auth),
        httpx.post(url, json=body | {"model": None}, headers=chat.auth),
        httpx.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer wrong"}),
    ]
    assert [(one.status_code, code_of(one)) for one in answers] == [
        (401, "Unauthorized"),
        (401, "Unauthorized"),
        (404, "model_not_found"),
        (400, "model_missing"),
        (401, "Unauthorized"),
    ]
    assert all("error" in one.json() for one in answers)


@pytest.mark.parametrize("shape", ["{}", "Bearer {}", "bearer {}", "BEARER  {}"])
def test_a_token_is_taken_raw_and_as_bearer(chat: Deployed, shape: str) -> None:
    response = httpx.get(chat.url, headers={"Authorization": shape.format(chat.token)})
    assert response.status_code == 200
    assert response.json()["service"] == chat.row.name


def signed(token: str, path: str, body: bytes) -> dict[str, str]:
    """Headers as PredictClient makes them (eas.md §2.2)."""
    digest = hashlib.md5(body).hexdigest()
    date, kind = "Mon, 01 Jan 2024 00:00:00 GMT", "application/octet-stream"
    message = f"POST\n{digest}\n{kind}\n{date}\n{path}".encode()
    signature = base64.b64encode(hmac.digest(token.encode(), message, "sha1")).decode()
    return {"Content-MD5": digest, "Date": date, "Content-Type": kind, "Authorization": f"EAS {signature}"}


def test_a_signed_request_is_answered_and_a_swapped_body_is_not(chat: Deployed) -> None:
    body = json.dumps(SHORT).encode()
    headers = signed(chat.token, chat.path, body)
    assert httpx.post(chat.url, content=body, headers=headers, timeout=60).status_code == 200
    swapped = httpx.post(chat.url, content=body.replace(b"hello", b"hullo"), headers=headers)
    assert (swapped.status_code, code_of(swapped)) == (401, "Unauthorized")


def test_whoever_has_no_token_of_this_service_is_refused_with_the_cure(server: Server, chat: Deployed) -> None:
    person = User.objects.create_superuser("root", password="correct horse")
    _, personal = accounts.issue_personal_token(person, "laptop")
    other = deploy(server, free_port())
    values = ["", "Bearer", "x", f"Bearer {other.token}", personal, f"Bearer {personal}", chat.token + "x"]
    values += ["Basic " + base64.b64encode(b"root:correct horse").decode(), "EAS x", "x" * 60_000]
    for value in values:
        response = httpx.post(chat.url, json=SHORT, headers={"Authorization": value})
        assert (response.status_code, code_of(response)) == (401, "Unauthorized"), value[:80]
    missing = httpx.post(chat.url, json=SHORT)
    assert set(missing.json()) == {"code", "message"}
    assert "Authorization" in missing.json()["message"]
    double = httpx.post(chat.url, json=SHORT, headers=[("Authorization", chat.token), ("Authorization", "x")])
    assert double.status_code == 401


def test_a_rotated_token_is_refused_at_once_and_the_new_one_taken(chat: Deployed) -> None:
    person = User.objects.create_superuser("root")
    assert httpx.get(chat.url, headers=chat.auth).status_code == 200
    lifecycle.rotate_token(chat.row, person)
    assert httpx.get(chat.url, headers={"Authorization": token_of(chat.row)}).status_code == 200
    wait_until(lambda: httpx.get(chat.url, headers=chat.auth).status_code == 401, "the old token is refused", 1.0)


@pytest.mark.parametrize("name", ["nobody_here", "UPPER", "a", "sv%63", "x'--", "%00", "é" * 40])
def test_an_unknown_service_is_404_with_a_body(server: Server, name: str) -> None:
    response = httpx.post(f"{server.url}/api/predict/{name}", json=SHORT)
    assert (response.status_code, code_of(response)) == (404, "service_not_found")


@pytest.mark.parametrize("path", ["/api/predict/", "/api/predict//svc", "/api/predict"])
def test_an_address_without_a_service_is_404(server: Server, path: str) -> None:
    assert httpx.post(server.url + path, json=SHORT).status_code == 404


def test_dot_segments_are_refused_whatever_their_spelling(chat: Deployed) -> None:
    for rest in ("/../other", "/%2e%2E/other", "/v1/./models", "/.%2e"):
        raw = http.client.HTTPConnection("127.0.0.1", httpx.URL(chat.url).port)  # others tidy paths up
        raw.request("GET", chat.path + rest, headers=chat.auth)
        answer = raw.getresponse()
        body = answer.read()
        raw.close()
        assert answer.status == 400, rest
        assert b"path_invalid" in body


def test_a_slash_at_the_end_is_answered_in_place(chat: Deployed) -> None:
    assert httpx.post(f"{chat.url}/", json=SHORT, headers=chat.auth, timeout=60).status_code == 200
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    assert httpx.post(f"{chat.url}/v1/chat/completions/", json=body, headers=chat.auth, timeout=60).status_code == 200


def test_wrong_methods_are_405_and_say_which_are_right(chat: Deployed) -> None:
    for method, rest, allowed in (
        ("DELETE", "", "GET, HEAD, POST"),
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/completions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
    ):
        response = httpx.request(method, chat.url + rest, headers=chat.auth)
        assert (response.status_code, response.headers["Allow"]) == (405, allowed), rest
        assert code_of(response) == "method_not_allowed"


def test_a_browser_of_another_origin_may_ask_without_a_token_and_call_with_one(chat: Deployed) -> None:
    asked = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = httpx.options(chat.url, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    answer = httpx.get(chat.url, headers=chat.auth | {"Origin": "https://elsewhere.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_every_answer_has_a_request_id_and_keeps_a_harmless_one_of_the_caller(chat: Deployed) -> None:
    assert httpx.get(chat.url, headers=chat.auth | {"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"
    strange = httpx.get(chat.url, headers={"X-Request-Id": "a b<script>"})
    assert strange.status_code == 401
    assert len(strange.headers["X-Request-Id"]) == 32


def test_head_answers_like_get_without_a_body(chat: Deployed) -> None:
    response = httpx.head(chat.url, headers=chat.auth)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("", b'{"prompt": 5}', "invalid_parameter"),
        ("/v1/chat/completions", b'{"messages": []}', "invalid_parameter"),
        ("/v1/chat/completions", b'{"messages": [{"role": "alien", "content": "x"}]}', "unknown_role"),
        ("/v1/completions", b"not json", "invalid_json"),
        ("", b"\xff\xfe", "invalid_encoding"),
        ("", b"", "invalid_parameter"),
    ],
)
def test_what_cannot_be_read_is_400_in_the_dialect_of_the_path(
    chat: Deployed, path: str, body: bytes, code: str
) -> None:
    headers = chat.auth | {"Content-Type": "application/json"} if path else chat.auth
    response = httpx.post(chat.url + path, content=body, headers=headers, timeout=60)
    assert (response.status_code, code_of(response)) == (400, code)
    assert ("error" in response.json()) == path.startswith("/v1")


def test_a_body_over_one_mebibyte_is_413_with_and_without_a_declared_length(chat: Deployed) -> None:
    big = b"x" * (1024 * 1024 + 1)
    for content in (big, iter([big[:500_000], big[500_000:]])):
        response = httpx.post(chat.url, content=content, headers=chat.auth, timeout=30)
        assert (response.status_code, code_of(response)) == (413, "body_too_large")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_who_sends_ten_megabytes_before_looking_sees_the_413(server: Server, chat: Deployed, is_chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = itertools.repeat(b"x" * 100_000, 100) if is_chunked else b"x" * 10_000_000
    connection.request("POST", chat.path, body, chat.auth, encode_chunked=is_chunked)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"desired": Desired.STOPPED, "status": Status.STOPPED}, "is stopped"),
        ({"status": Status.FAILED, "message": "Killed: out of memory."}, "Killed: out of memory."),
        ({"status": Status.WAITING, "message": "Loading weights."}, "Loading weights."),
        ({"wanted_instances": 0}, "scaled to 0"),
    ],
)
def test_without_a_ready_instance_it_is_503_with_the_reason(
    server: Server, changes: dict[str, Any], words: str
) -> None:
    service = deploy(server)
    Service.objects.filter(pk=service.row.pk).update(**{"wanted_instances": 1, **changes})
    for path in ("", "/v1/chat/completions"):
        body = SHORT | {"messages": [{"role": "user", "content": "x"}]}
        response = httpx.post(service.url + path, json=body, headers=service.auth)
        assert (response.status_code, code_of(response)) == (503, "no_healthy_upstream")
        assert "no healthy upstream" in response.text
        assert words in response.text
        assert response.headers["Retry-After"] == "1"


def test_readiness_as_alibabas_sdk_asks_for_it(server: Server, runtime_port: int) -> None:
    service = deploy(server, runtime_port)
    Instance.objects.filter(service=service.row).update(ready_at=None)
    before = httpx.get(service.url, headers=service.auth)
    assert (before.status_code, before.content) == (503, b"no healthy upstream")
    service.row.instances.update(ready_at=service.row.created_at)
    assert httpx.get(service.url, headers=service.auth).status_code == 200


def test_over_the_concurrency_limit_it_is_429(server: Server, endless: EndlessEngine) -> None:
    policy = {"gateway_policy": {"concurrency_limit": {"enable": True, "limit": 1}}}
    service = deploy(server, endless.port, networking=policy)
    with httpx.stream("POST", service.url, json=SHORT, headers=service.auth) as first:
        pieces = first.iter_bytes()  # an iterator let go of closes the connection
        next(pieces)
        second = httpx.post(service.url, json=SHORT, headers=service.auth)
        assert (second.status_code, code_of(second)) == (429, "too_many_requests")
        assert second.headers["Retry-After"] == "1"
    endless.ends_after = 1
    wait_until(lambda: httpx.post(service.url, json=SHORT, headers=service.auth).status_code == 200, "room again", 5)


def test_an_answer_longer_than_the_keepalive_is_408(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, metadata={"rpc": {"keepalive": 300}})
    whole = httpx.post(service.url, json=SHORT | {"use_stream_chat": False}, headers=service.auth)
    assert (whole.status_code, code_of(whole)) == (408, "request_timeout")
    streamed = httpx.post(service.url, json=SHORT, headers=service.auth)
    last = frames_of(streamed.content)[-1]
    assert (last["error"]["code"], last["response"].startswith("word ")) == ("request_timeout", True)
    wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("path", ["", "/v1/chat/completions"])
def test_a_caller_who_leaves_stops_the_engine_within_a_second(
    server: Server, endless: EndlessEngine, path: str, is_stream: bool
) -> None:
    service = deploy(server, endless.port)
    body = {**SHORT, "use_stream_chat": is_stream, "stream": is_stream}
    body["messages"] = [{"role": "user", "content": "x"}]
    leave = httpx.Timeout(30, read=0.5)
    try:
        with httpx.stream("POST", service.url + path, json=body, headers=service.auth, timeout=leave) as response:
            next(response.iter_bytes())
    except httpx.ReadTimeout:
        assert not is_stream
    assert endless.asked
    wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)


def test_an_engine_that_needs_its_own_model_name_gets_it(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, engine="vllm", script="vllm serve /models/x --port 8000")
    endless.ends_after = 1
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.token, max_retries=0)
    question: Any = [{"role": "user", "content": "x"}]
    answer = client.chat.completions.create(model="default", messages=question)
    assert endless.asked[0]["model"] == "served-name"
    assert answer.choices[0].message.content == "word "


def test_many_callers_at_once_each_get_their_own_answer(chat: Deployed) -> None:
    def ask(number: int) -> str:
        body = SHORT | {"use_stream_chat": False, "prompt": f"Count from {number}."}
        history = httpx.post(chat.url, json=body, headers=chat.auth, timeout=60).json()["history"]
        return str(history[-1][0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [f"Count from {number}." for number in range(8)]


def test_the_test_vectors_of_the_signature_hold() -> None:
    def scope(path: bytes) -> dict[str, Any]:
        headers = [(b"content-type", b"application/octet-stream"), (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT")]
        return {"method": "POST", "raw_path": path, "query_string": b"", "headers": headers}

    token, plain = "dGVzdC10b2tlbg==", scope(b"/api/predict/llm_demo001")
    odd = scope(b"/api/predict/llm_demo001/a%20b/%C3%BC")
    assert is_right_signature(plain, b"aiS7cE0NzN6EyOHP/WF/riAIuSM=", token, b"Hello EAS")
    assert is_right_signature(odd, b"5ZW1cbw11o5aGP0lb+fUvGhO8Ok=", token, b"Hello EAS")
    assert is_right_signature(plain, b"5hHXrQRUerAnFutXilf5Jf4ruxU=", token, b"")
    assert not is_right_signature(plain, b"5hHXrQRUerAnFutXilf5Jf4ruxU=", token, b"x")
