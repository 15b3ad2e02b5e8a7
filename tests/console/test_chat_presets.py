"""System prompts that a person keeps."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from console.views.chat_presets import MOST_PRESETS
from inference_gateway.models import PromptPreset
from tests.console.test_chat_page import sign_in

pytestmark = pytest.mark.django_db


def post(client: Client, path: str = "", **body: Any) -> Any:
    return client.post(f"/chat/presets{path}", body, content_type="application/json")


def names(client: Client) -> list[str]:
    return [row["name"] for row in client.get("/chat/presets").json()["presets"]]


def test_a_preset_is_kept_renamed_changed_and_deleted() -> None:
    client = sign_in("vera")
    kept = post(client, name="  Brief\tanswers ", text="Be brief.\0")
    assert (kept.status_code, kept.json()["name"]) == (201, "Brief answers")
    key = kept.json()["id"]
    assert post(client, f"/{key}", name="Short").json() == {"id": key, "name": "Short", "text": "Be brief.\ufffd"}
    assert post(client, f"/{key}", text="Be very brief.").json()["text"] == "Be very brief."
    assert names(client) == ["Short"]
    assert [post(client, f"/{key}/delete").status_code for _ in range(2)] == [204, 204]
    assert names(client) == []


def test_a_name_is_taken_once_in_any_case() -> None:
    client = sign_in("vera")
    post(client, name="Übersetzer", text="a")
    other = post(client, name="Other", text="b").json()["id"]
    for answer in (post(client, name="ÜBERSETZER", text="c"), post(client, f"/{other}", name="übersetzer")):
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert names(client) == ["Other", "Übersetzer"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "", "text": "a"}, "invalid_name"),
        ({"name": "x" * 61, "text": "a"}, "invalid_name"),
        ({"name": 5, "text": "a"}, "invalid_name"),
        ({"name": "a", "text": " "}, "invalid_text"),
        ({"name": "a"}, "invalid_text"),
        ({"name": "a", "text": "x" * 100_001}, "invalid_text"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_cure(body: dict[str, Any], code: str) -> None:
    answer = post(sign_in("vera"), **body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert not PromptPreset.objects.exists()


def test_nonsense_is_refused() -> None:
    client = sign_in("vera")
    for body in (b"{", b"[]", b'"x"'):
        assert client.post("/chat/presets", body, content_type="application/json").status_code == 400
    key = post(client, name="a", text="b").json()["id"]
    assert post(client, f"/{key}").status_code == 404


def test_nobody_sees_or_touches_anothers() -> None:
    client, other = sign_in("vera"), sign_in("otto")
    key = post(client, name="Mine", text="a").json()["id"]
    assert names(other) == []
    assert post(other, f"/{key}", name="Yours").status_code == 404
    assert post(other, f"/{key}/delete").status_code == 204
    assert names(client) == ["Mine"]


def test_so_many_are_kept_and_no_more() -> None:
    client = sign_in("vera")
    for number in range(MOST_PRESETS):
        assert post(client, name=f"Number {number}", text="a").status_code == 201
    answer = post(client, name="One more", text="a")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_presets")
