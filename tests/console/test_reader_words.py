"""What pages show of statuses, numbers and fields, in the language of their reader."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone, translation

from console.field_words import with_label
from console.templatetags.slipway import ago, day, exact
from deployments.models import Instance, Status
from tests.console.conftest import ServiceMaker

NEEDS_PERSIAN = pytest.mark.skipif("fa" not in dict(settings.LANGUAGES), reason="Persian is not offered")
AT = datetime(2026, 11, 20, 8, 5, 9, tzinfo=UTC)


@NEEDS_PERSIAN
def test_an_instance_s_phase_and_last_end_are_in_the_reader_s_language(
    operator: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a", Status.WAITING)
    Instance.objects.create(
        service=service,
        name="chat_a-r1-aaaa",
        revision_number=1,
        phase="BackOff",
        restart_count=12,
        last_exit_code=3,
        last_exit_reason="OOMKilled",
        last_exit_at=timezone.now() - timedelta(minutes=3),
    )
    page = operator.get("/services/chat_a", headers={"Accept-Language": "fa"}).content.decode()
    table = page[page.index('id="instance-chat_a-r1-aaaa"') :]
    with translation.override("fa"):
        assert translation.gettext("Waiting to be started again") in table
        assert translation.gettext("Out of memory") in table
    assert "BackOff" not in table
    assert "OOMKilled" not in table
    assert "۱۲</td>" in table
    assert "۳ دقیقه" in table


@NEEDS_PERSIAN
def test_instants_have_the_reader_s_digits_and_their_zone() -> None:
    with translation.override("fa"):
        assert ">۲۰۲۶-۱۱-۲۰ ۰۸:۰۵:۰۹ UTC<" in exact(AT)
        assert ">۲۰۲۶-۱۱-۲۰<" in day(AT)
        assert 'datetime="2026-11-20T08:05:09+00:00"' in ago(AT)
    assert 'title="2026-11-20 08:05:09 UTC"' in ago(AT, AT + timedelta(hours=2))
    assert ">2 h ago<" in ago(AT, AT + timedelta(hours=2))


@pytest.mark.parametrize(
    ("language", "message", "expected"),
    [
        ("en", "metadata.cpu must be a number; got x.", "CPU must be a number; got x."),
        ("en", "users must be at least 1.", "CPU must be at least 1."),
        ("en", "There are too many users here.", "There are too many users here."),
        ("fa", "مقدار \u2068metadata.cpu\u2069 باید عدد باشد.", "مقدار \u2068CPU\u2069 باید عدد باشد."),
        ("ja", "値 metadata.cpuは数です。", "値 CPUは数です。"),
        ("ja", "metadata.cpu_limit と metadata.cpu です。", "metadata.cpu_limit と CPU です。"),
    ],
)
def test_a_field_is_called_by_its_label_wherever_the_sentence_names_it(
    language: str, message: str, expected: str
) -> None:
    path = "users" if "users" in message else "metadata.cpu"
    with translation.override(language):
        assert with_label(message, path, "CPU") == expected


@pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES])
def test_no_field_s_path_stands_in_what_the_form_says(operator: Client, language: str) -> None:
    answer = operator.post(
        "/deploy/custom",
        {"act": "deploy", "view": "form", "service_name": "chat_a", "image": "python:3.11", "cpu": "much", "port": "0"},
        headers={"Accept-Language": language},
    )
    shown = re.findall(r'class="field-error"[^>]*>(.*?)</p>', answer.content.decode(), re.DOTALL)
    assert len(shown) >= 2
    assert not [one for one in shown if "metadata." in one or "containers[" in one]
