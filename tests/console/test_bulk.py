"""One action on many services: asked with numbers, done for each, refused for each with its reason."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from console.bulk import carry_out, parse_names, question_of
from deployments.models import AuditEntry, Desired, Service, Status, Workspace
from tests.console.conftest import ServiceMaker

pytestmark = pytest.mark.django_db
SCRIPTED = {"HX-Request": "true"}


def desired(name: str) -> str:
    return str(Service.objects.get(name=name).desired)


def test_it_is_asked_with_numbers_and_nothing_is_done_yet(owner: Client, make_service: ServiceMaker) -> None:
    make_service("one", ready=2)
    make_service("two", ready=1)
    make_service("rests", Status.STOPPED)
    page = owner.post("/bulk", {"action": "stop", "service": ["one", "two", "rests"]}).content.decode()
    assert "Stop 2 services?" in page
    assert "3 instances end" in page
    assert "1 is stopped already." in page
    assert {desired(name) for name in ("one", "two")} == {Desired.RUNNING}


def test_it_is_done_for_each_and_each_refusal_has_its_reason(
    owner: Client, make_service: ServiceMaker, stranger: Client
) -> None:
    make_service("one")
    make_service("leaves", desired=Desired.DELETED)
    make_service("foreign", workspace=Workspace.objects.get(slug="elsewhere"))
    names = "one leaves foreign no_such"
    page = owner.post("/bulk", {"action": "stop", "names": names, "confirmed": "1"}).content.decode()
    assert "1 service was changed" in page
    assert "3 were not" in page
    assert "is being deleted" in page
    assert page.count("Nothing here of that name, or not for you.") == 2
    assert desired("one") == Desired.STOPPED
    assert desired("foreign") == Desired.RUNNING
    assert AuditEntry.objects.filter(action="service.stop", target="one").count() == 1


def test_a_viewer_changes_nothing(viewer: Client, make_service: ServiceMaker) -> None:
    make_service("one")
    asked = viewer.post("/bulk", {"action": "stop", "names": "one"}).content.decode()
    assert "may only be viewed by you" in asked
    done = viewer.post("/bulk", {"action": "stop", "names": "one", "confirmed": "1"}).content.decode()
    assert "You may view it, not change it." in done
    assert desired("one") == Desired.RUNNING
    assert 'form="bulk"' not in viewer.get("/").content.decode()


def test_deleting_wants_its_number_typed(owner: Client, make_service: ServiceMaker) -> None:
    make_service("one")
    make_service("two")
    form = {"action": "delete", "names": "one two", "confirmed": "1"}
    answer = owner.post("/bulk", form | {"typed_phrase": "delete 3"})
    assert answer.status_code == 422
    assert "Type delete 2, exactly" in answer.content.decode()
    assert desired("one") == Desired.RUNNING
    assert owner.post("/bulk", form | {"typed_phrase": " delete 2 "}).status_code == 200
    assert {desired("one"), desired("two")} == {Desired.DELETED}


def test_all_that_match_are_those_of_the_address(owner: Client, make_service: ServiceMaker) -> None:
    for name in ("red_one", "red_two", "blue"):
        make_service(name)
    make_service("red_rests", Status.STOPPED)
    page = owner.post("/bulk", {"action": "restart", "all": "1", "query": "q=red&state=running&page=7"})
    assert "Restart 2 services?" in page.content.decode()
    named = re.search(r'name="names" value="([^"]*)"', page.content.decode())
    assert named
    assert named[1].split() == ["red_one", "red_two"]


def test_what_does_not_fit_into_one_request_goes_on_in_the_next(owner: Client, make_service: ServiceMaker) -> None:
    names = [f"svc_{number}" for number in range(5)]
    for name in names:
        make_service(name)
    user = User.objects.get(username="olga")
    report = carry_out(user, "stop", [*names[:2], "no_such", *names[2:]], seconds=0)
    assert [one.name for one in report.outcomes] == ["svc_0"]
    assert report.rest == ("svc_1", "no_such", "svc_2", "svc_3", "svc_4")
    form = {
        "action": "stop",
        "names": " ".join(report.rest),
        "confirmed": "1",
        "done": "1",
        "refused": '[["x", "<b>"]]',
    }
    page = owner.post("/bulk", form, headers=SCRIPTED)
    assert "4 services were changed" in page.content.decode()
    assert "2 were not" in page.content.decode()
    assert "&lt;b&gt;" in page.content.decode()
    assert json.loads(page["HX-Trigger"])["slipway:bulk-done"]
    assert {desired(name) for name in names[1:]} == {Desired.STOPPED}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"action": "explode", "names": "one"}, "Choose what to do"),
        ({"action": "stop"}, "No service is selected"),
        ({"action": "stop", "names": "../etc <b>"}, "No service is selected"),
        ({"action": "stop", "all": "1", "query": "q=no_such"}, "No service is selected"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(owner: Client, form: dict[str, str], said: str) -> None:
    answer = owner.post("/bulk", form)
    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_odd_forms_do_no_harm(owner: Client, make_service: ServiceMaker) -> None:
    make_service("one")
    for refused in ("null", "[1]", "{}", '[["a"]]', "not json"):
        form = {"action": "start", "names": "one", "confirmed": "1", "done": "-4x", "refused": refused}
        assert owner.post("/bulk", form).status_code == 200
    assert parse_names("one one two x") == ("one", "two")


def test_nothing_to_do_offers_no_button(owner: Client, make_service: ServiceMaker) -> None:
    make_service("one")
    question = question_of(User.objects.get(username="olga"), "start", ["one"])
    assert question.button == ""
    assert question.sentences == ("1 is not stopped.",)


def test_asking_costs_the_same_number_of_questions_for_a_hundred(
    owner: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(100):
        make_service(f"svc_{number}", ready=0)
    with django_assert_max_num_queries(12):
        owner.post("/bulk", {"action": "stop", "all": "1", "query": ""})
