"""One service's pages: who sees what of it, its token, and the actions with their confirmations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from console.snippets import TOKEN_MARK
from deployments.clusters import get_cluster
from deployments.encryption import decrypt
from deployments.llm_form import LlmRequest, render_document
from deployments.models import AuditEntry, Desired, Revision, Service, ServiceEvent, Status
from deployments.spec.text import read_text
from tests.console.conftest import TOKEN, ServiceMaker, document

READ = ("", "/monitoring", "/events", "/versions", "/invocation")
CHANGERS_READ = (
    "/logs",
    "/versions/1",
    "/versions/compare",
    "/events/raw",
    "/stop",
    "/restart",
    "/scale",
    "/delete",
    "/token/rotate",
)
POSTS = ("/stop", "/start", "/restart", "/scale", "/delete", "/token", "/token/rotate", "/versions/1/switch")
MOST_QUERIES = 10
LLM = {"service_name": "chat_a"}
FOLDER = {"model_source": "custom", "parameter_quantity": 0.5, "model_path": "oss://bucket/mine/"}


@pytest.mark.parametrize("path", [*READ, *CHANGERS_READ])
def test_pages_open_for_an_operator_and_are_not_there_for_a_stranger(
    operator: Client, stranger: Client, make_service: ServiceMaker, path: str
) -> None:
    make_service("chat_a")
    assert operator.get(f"/services/chat_a{path}").status_code == 200
    assert stranger.get(f"/services/chat_a{path}").status_code == 404
    assert operator.get(f"/services/chat_b{path}").status_code == 404
    assert Client().get(f"/services/chat_a{path}").status_code == 302


@pytest.mark.parametrize("path", POSTS)
def test_a_viewer_changes_nothing_and_is_told_who_may(
    owner: Client, viewer: Client, stranger: Client, make_service: ServiceMaker, path: str
) -> None:
    service = make_service("chat_a")
    answer = viewer.post(f"/services/chat_a{path}", {"typed_name": "chat_a", "instances": "3"})
    assert answer.status_code == 403
    assert "olga" in answer.content.decode()
    assert stranger.post(f"/services/chat_a{path}", {"typed_name": "chat_a"}).status_code == 404
    assert Service.objects.get().generation == service.generation


def test_a_viewer_sees_the_status_but_neither_environment_log_nor_token(
    owner: Client, viewer: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a", Status.FAILED)
    ServiceEvent.objects.create(
        service=service, type="Warning", code="Failed", message="It broke.", cure="Mend it.", log_tail="secret line"
    )
    assert "pesto-genovese" in owner.get("/services/chat_a").content.decode()
    assert "secret line" in owner.get("/services/chat_a").content.decode()
    pages = "".join(viewer.get(f"/services/chat_a{path}").content.decode() for path in READ)
    assert "It broke." in pages
    for hidden in ("pesto-genovese", "secret line", "SECRET_SAUCE", TOKEN, "Reveal"):
        assert hidden not in pages
    for path in ("/logs", "/logs/lines?instance=x", "/logs/download?instance=x", "/versions/1", "/events/raw"):
        assert viewer.get(f"/services/chat_a{path}").status_code == 403


def test_the_token_is_in_no_html_before_reveal_and_revealing_is_audited(
    operator: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    for path in (*READ, *CHANGERS_READ):
        for headers in ({}, {"HX-Request": "true"}):
            page = operator.get(f"/services/chat_a{path}", headers=headers).content.decode()
            assert TOKEN not in page
            assert TOKEN_MARK not in page
    assert not AuditEntry.objects.exists()
    assert operator.get("/services/chat_a/token").status_code == 405
    answer = operator.post("/services/chat_a/token", {"purpose": "copy"}, headers={"HX-Request": "true"})
    assert answer.json() == {"token": TOKEN}
    assert "no-store" in answer["Cache-Control"]
    assert TOKEN in operator.post("/services/chat_a/token").content.decode()
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", "actor_name", "target"))
    assert actions == [
        ("service.copy_token", "oskar", "chat_a"),
        ("service.reveal_token", "oskar", "chat_a"),
    ]


def test_rotating_asks_for_the_name_and_makes_another_token(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    answer = operator.post("/services/chat_a/token/rotate", {"typed_name": "chat_b"})
    assert answer.status_code == 422
    service.refresh_from_db()
    assert decrypt(service.token_encrypted) == TOKEN
    assert operator.post("/services/chat_a/token/rotate", {"typed_name": "chat_a"}).status_code == 302
    service.refresh_from_db()
    assert decrypt(service.token_encrypted) != TOKEN


def test_deleting_asks_for_the_name(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert operator.post("/services/chat_a/delete").status_code == 422
    assert Service.objects.get().desired == Desired.RUNNING
    assert operator.post("/services/chat_a/delete", {"typed_name": "chat_a"})["Location"] == "/"
    assert Service.objects.get().desired == Desired.DELETED


def test_a_confirmation_gives_the_numbers(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a", ready=2, wanted_instances=2)
    assert "2 instances end" in operator.get("/services/chat_a/stop").content.decode()
    assert "Ends 2 instances and removes 1 version" in operator.get("/services/chat_a/delete").content.decode()
    assert Service.objects.get().desired == Desired.RUNNING


def test_a_script_gets_a_fragment_and_then_an_event(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    script = {"HX-Request": "true"}
    assert "<html" not in operator.get("/services/chat_a/stop", headers=script).content.decode()
    answer = operator.post("/services/chat_a/stop", headers=script)
    assert answer.status_code == 204
    assert json.loads(answer["HX-Trigger"])["slipway:done"]["service"] == "chat_a"
    assert Service.objects.get().desired == Desired.STOPPED


def test_what_cannot_be_done_is_said_in_the_form(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a", Status.STOPPED)
    answer = operator.post("/services/chat_a/restart", headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert "Start it instead" in answer.content.decode()
    for wrong in ("-1", "1001", "two", "", "1" * 40):
        assert operator.post("/services/chat_a/scale", {"instances": wrong}).status_code == 422
    assert Service.objects.get().wanted_instances == 1


def test_starting_is_one_post_without_a_question(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a", Status.STOPPED)
    assert operator.get("/services/chat_a/start").status_code == 405
    assert operator.post("/services/chat_a/start", {"next": "https://evil.example"})["Location"] == "/services/chat_a"
    assert Service.objects.get().desired == Desired.RUNNING


def test_actions_need_the_csrf_token(workspace: object, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    assert client.post("/services/chat_a/stop").status_code == 403
    assert Service.objects.get().desired == Desired.RUNNING


def test_switching_wants_an_older_version_again(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    newer = Revision.objects.create(service=service, number=2, document=document("chat_a", A="b"), reason="More")
    Service.objects.filter(pk=service.pk).update(wanted_revision=newer)
    assert operator.post("/services/chat_a/versions/9/switch").status_code == 404
    assert "From r2 to r1" in operator.get("/services/chat_a/versions/1/switch").content.decode()
    assert operator.post("/services/chat_a/versions/1/switch").status_code == 302
    wanted = Service.objects.get().wanted_revision
    assert wanted is not None
    assert wanted.number == 1


def test_any_two_versions_are_compared_and_secrets_only_said_to_differ(
    operator: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    for number, letter in ((2, "b"), (3, "c")):
        changed = document("chat_a", SECRET_SAUCE=f"{letter}-sauce")
        changed["metadata"]["cpu"] = number * 4
        Revision.objects.create(service=service, number=number, document=changed)
    page = operator.get("/services/chat_a/versions/compare?from=1&to=3").content.decode()
    assert "From r1 to r3" in page
    assert "metadata.cpu" in page
    assert ">2</del>" in page.replace("before: </span>", ">")
    assert ">12</ins>" in page.replace("after: </span>", ">")
    assert "containers[0].env[0].value" in page
    assert "sauce" not in page.lower().replace("secret_sauce", "")
    same = operator.get("/services/chat_a/versions/compare?from=r2&to=2").content.decode()
    assert "are the same document" in same


def test_without_a_choice_the_wanted_version_is_compared_with_the_one_before(
    operator: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    newer = Revision.objects.create(service=service, number=2, document=document("chat_a", A="b"))
    Service.objects.filter(pk=service.pk).update(wanted_revision=newer)
    assert "From r1 to r2" in operator.get("/services/chat_a/versions/compare").content.decode()


@pytest.mark.parametrize("number", ["9", "", "x", "-1", "1" * 400, "²", "%00"])
def test_comparing_with_a_version_that_is_not_there_names_the_end(
    operator: Client, make_service: ServiceMaker, number: str
) -> None:
    make_service("chat_a")
    answer = operator.get(f"/services/chat_a/versions/compare?from={number}&to=1")
    assert answer.status_code == 400
    assert "from: there is no version" in answer.content.decode()
    assert "to: there is no version" not in answer.content.decode()


def test_the_failure_card_shows_cause_cure_and_twenty_log_lines(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a", Status.FAILED, reason="CrashLoopBackOff")
    lines = "\n".join(f"line {number}<b>" for number in range(40))
    ServiceEvent.objects.create(
        service=service, type="Warning", code="CrashLoopBackOff", message="It exited.", cure="Mend it.", log_tail=lines
    )
    page = operator.get("/services/chat_a").content.decode()
    assert "Why it does not run" in page
    assert "line 20&lt;b&gt;" in page
    assert "line 19&lt;b&gt;" not in page


@pytest.mark.parametrize(
    ("document", "element"),
    [
        (LLM | {"model": "SmolLM2-135M-Instruct"}, "model-search"),
        (
            LLM | {"model_source": "custom", "parameter_quantity": 0.5, "model_path": "oss://bucket/mine/"},
            "f-model_path",
        ),
        ({}, "f-run"),
    ],
)
def test_the_cure_of_a_wrong_model_is_where_the_form_names_it(
    operator: Client, make_service: ServiceMaker, document: dict[str, Any], element: str
) -> None:
    service = make_service("chat_a", Status.FAILED, reason="CrashLoopBackOff")
    if document:
        rendered = render_document(LlmRequest.parse(document), get_cluster().capacity())
        Revision.objects.filter(service=service).update(document=rendered)
    ServiceEvent.objects.create(
        service=service, type="Warning", code="CrashLoopBackOff", message="m", cure="c", fix={"field": "model"}
    )
    page = operator.get("/services/chat_a").content.decode()
    assert f'href="/services/chat_a/edit#{element}"' in page
    assert f'id="{element}"' in operator.get("/services/chat_a/edit").content.decode()


def test_the_failure_card_counts_on_with_the_header(operator: Client, make_service: ServiceMaker) -> None:
    now = "The program exited 8 times, the last with code 3."
    service = make_service("chat_a", Status.FAILED, reason="CrashLoopBackOff", message=now)
    began = "The program exited 3 times, the last with code 3."
    ServiceEvent.objects.create(
        service=service, type="Warning", code="CrashLoopBackOff", message=began, cure="Mend it."
    )
    page = operator.get("/services/chat_a").content.decode()
    header = page[page.index('id="service-header"') : page.index("</header>", page.index('id="service-header"'))]
    card = page[page.index('id="failure"') : page.index("</section>", page.index('id="failure"'))]
    history = page[page.index('id="happened-title"') :]
    assert now in header
    assert now in card
    assert began not in card
    assert began in history


def test_events_filter_warnings(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    ServiceEvent.objects.create(service=service, code="Created", message="Made today.")
    ServiceEvent.objects.create(service=service, type="Warning", code="Oops", message="Went wrong.")
    page = operator.get("/services/chat_a/events?type=Warning").content.decode()
    assert "Went wrong." in page
    assert "Made today." not in page


@pytest.mark.parametrize("path", READ)
def test_pages_of_a_service_ask_at_most_ten_queries(
    operator: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries, path: str
) -> None:
    service = make_service("chat_a", ready=20, wanted_instances=20)
    for number in range(40):
        ServiceEvent.objects.create(service=service, code="Created", message=f"Event {number}")
        Revision.objects.create(
            service=service, number=number + 2, document=document("chat_a"), author=User.objects.get(username="oskar")
        )
    with django_assert_max_num_queries(MOST_QUERIES):
        assert operator.get(f"/services/chat_a{path}").status_code == 200


def test_a_live_refetch_of_a_page_brings_no_frame(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    page = operator.get("/services/chat_a", headers={"X-Slipway-Live": "all"}).content.decode()
    assert 'id="service-header"' in page
    assert "<html" not in page


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_the_document_is_downloaded_and_reads_as_it_is(operator: Client, make_service: ServiceMaker, kind: str) -> None:
    service = make_service("chat_a", wanted_instances=3)
    answer = operator.get(f"/services/chat_a/document.{kind}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="chat_a-r1.{kind}"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert read_text(answer.content.decode(), kind).document == service.document
    older = operator.get(f"/services/chat_a/versions/1/document.{kind}")
    assert read_text(older.content.decode(), kind).document["metadata"]["instance"] == 1
    assert operator.get(f"/services/chat_a/versions/9/document.{kind}").status_code == 404


def test_a_document_is_for_those_who_may_change_the_service(
    viewer: Client, stranger: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    assert viewer.get("/services/chat_a/document.json").status_code == 403
    assert stranger.get("/services/chat_a/document.json").status_code == 404


def test_switching_says_what_restarts_and_what_differs(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a", ready=2, wanted_instances=2)
    document = {**service.document, "labels": {}}
    Revision.objects.create(service=service, number=2, document=document, reason="No label")
    page = operator.get("/services/chat_a/versions/2/switch").content.decode()
    assert "From r1 to r2: 2 fields differ. Restarts 2 instances one by one." in page
    assert "If r2 does not start, what serves now goes on." in page


def test_a_version_that_cannot_run_any_more_says_so_before_the_switch(
    operator: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    gone = {**service.document, "storage": [{"mount_path": "/n", "nfs": {"server": "a", "path": "/b"}}]}
    Revision.objects.create(service=service, number=2, document=gone, reason="NFS")
    for address in ("/services/chat_a/versions/2/switch", "/services/chat_a/versions/2"):
        page = operator.get(address).content.decode()
        assert "NFS storage cannot be mounted on the local cluster." in page
    assert operator.post("/services/chat_a/versions/2/switch").status_code == 422
    service.refresh_from_db()
    assert service.wanted_revision is not None
    assert service.wanted_revision.number == 1


def test_a_running_service_is_converted_from_its_menu(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert 'href="/services/chat_a/edit?form=custom"' in operator.get("/services/chat_a").content.decode()
    page = operator.get("/services/chat_a/edit?form=custom").content.decode()
    assert 'id="part-program"' in page
    assert "Open in the LLM form" in page
