"""A document that was stored under older rules and is refused now: told to the operator, and cured by an update."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments import lifecycle
from deployments.api.service import parse_update
from deployments.clusters import get_cluster
from deployments.models import Desired, Service, Status, Workspace
from deployments.reconcile import reconcile
from deployments.spec import ServiceSpec
from inference_gateway.directory import read_service
from inference_gateway.routing import no_upstream
from tests.deployments.driving import drive, driven, tiny_document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("op", password="x")


@pytest.fixture
def refused(operator: User) -> Iterator[Service]:
    """A running service whose document now names a reserved port."""
    workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
    made = lifecycle.create(workspace, operator, ServiceSpec.parse(tiny_document("tiny_a")))
    service = driven(made, Status.RUNNING)
    revision = service.wanted_revision
    assert revision is not None
    revision.document["containers"][0]["port"] = 8080
    revision.save()
    yield Service.objects.get(pk=service.pk)
    Service.objects.filter(pk=service.pk).update(desired=Desired.DELETED, generation=10_000)
    drive(service, None)


def names_of(service: Service) -> list[tuple[str, str]]:
    return [(seen.name, str(seen.started_at)) for seen in get_cluster().observe(service.uid).instances]


def look(service: Service) -> Service:
    reconcile(service.pk)
    return Service.objects.get(pk=service.pk)


def test_what_runs_is_left_and_the_operator_told_once(refused: Service) -> None:
    before = names_of(refused)
    row = look(look(refused))
    assert (row.status, row.reason) == (Status.RUNNING, "DocumentRefused")
    assert "8080" in row.message
    events = row.events.filter(code="DocumentRefused")
    assert [bool(event.cure) for event in events] == [True]
    assert names_of(row) == before


def test_a_motion_that_cannot_go_on_ends_as_failed(refused: Service, operator: User) -> None:
    lifecycle.restart(refused, operator)
    row = look(refused)
    assert (row.status, row.reason) == (Status.FAILED, "DocumentRefused")


def test_a_corrected_document_cures_it(refused: Service, operator: User) -> None:
    look(refused)
    spec = parse_update(refused, {"containers": tiny_document("tiny_a")["containers"]})
    lifecycle.update(refused, spec, operator)
    assert driven(refused, Status.RUNNING).reason == "RUNNING"


def test_its_pages_open_and_show_the_way_out(refused: Service, client: Client, operator: User) -> None:
    client.force_login(operator)
    for page in ("", "/edit", "/versions", "/chat"):
        assert client.get(f"/services/{refused.name}{page}").status_code == 200, page
    look(refused)
    assert "Update the service with a corrected document." in client.get(f"/services/{refused.name}").content.decode()


def test_callers_are_told_that_nothing_answers(refused: Service) -> None:
    entry = read_service(refused.name)
    assert entry is not None
    assert entry.routes == ()
    assert "refuses its document" in no_upstream(entry).message


def test_it_can_be_deleted(refused: Service, operator: User) -> None:
    lifecycle.delete(refused, operator)
    drive(refused, None)


def test_it_can_be_stopped_and_keeps_its_logs(refused: Service, operator: User) -> None:
    look(refused)
    names = [name for name, _ in names_of(refused)]
    lifecycle.stop(refused, operator)
    assert driven(refused, Status.STOPPED).reason == "Stopped"
    assert names_of(refused) == []
    assert set(names) <= set(get_cluster().list_logs(refused.uid))


def test_it_can_be_scaled_to_zero(refused: Service, operator: User) -> None:
    lifecycle.scale(refused, 0, operator)
    assert driven(refused, Status.STOPPED).reason == "ScaledToZero"
    assert names_of(refused) == []


def test_started_again_it_says_that_it_is_refused(refused: Service, operator: User) -> None:
    lifecycle.stop(refused, operator)
    driven(refused, Status.STOPPED)
    row = look(lifecycle.start(refused, operator))
    assert (row.status, row.reason) == (Status.FAILED, "DocumentRefused")
