"""The bell: who is told what, what is read, and that it costs a page one query."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from deployments.chronicle import Notice
from deployments.models import Workspace
from deployments.notices import notify, unread_count
from deployments.words import say
from tests.console.conftest import ServiceMaker


def tell(make_service: ServiceMaker, *names: str) -> None:
    for name in names:
        notify(make_service(name), "RUNNING", say("%(name)s runs again.", name=name), at=timezone.now())


def test_members_find_it_in_the_bell_and_strangers_do_not(
    owner: Client, viewer: Client, stranger: Client, make_service: ServiceMaker
) -> None:
    tell(make_service, "chat_a")
    for client in (owner, viewer):
        assert "chat_a runs again." in client.get("/notices").content.decode()
        assert "Notices, 1 unread" in client.get("/").content.decode()
    assert "chat_a" not in stranger.get("/notices").content.decode()
    assert "Notices, none unread" in stranger.get("/").content.decode()
    assert Client().get("/notices").status_code == 302


def test_one_person_s_reading_is_not_another_s(owner: Client, viewer: Client, make_service: ServiceMaker) -> None:
    tell(make_service, "chat_a", "chat_b")
    assert viewer.post("/notices/read")["Location"] == "/notices"
    assert unread_count(User.objects.get(username="vera")) == 0
    assert unread_count(User.objects.get(username="olga")) == 2


def test_one_service_s_notices_or_a_single_one_are_read_apart(owner: Client, make_service: ServiceMaker) -> None:
    tell(make_service, "chat_a", "chat_b", "chat_c")
    olga = User.objects.get(username="olga")
    page = owner.post("/notices/read", {"service": "chat_a"}, headers={"X-Slipway-Bell": "1"}).content.decode()
    assert 'data-unread="2"' in page
    newest = Notice.objects.filter(person=olga, service_name="chat_c").get()
    owner.post("/notices/read", {"id": str(newest.pk)})
    assert unread_count(olga) == 1
    for wrong in ("x", "-1", "9" * 30, "²", str(10**18)):
        owner.post("/notices/read", {"id": wrong})
    assert unread_count(olga) == 1


def test_nobody_reads_for_another(owner: Client, viewer: Client, make_service: ServiceMaker) -> None:
    tell(make_service, "chat_a")
    theirs = Notice.objects.get(person__username="olga")
    viewer.post("/notices/read", {"id": str(theirs.pk)})
    theirs.refresh_from_db()
    assert theirs.read_at is None


def test_a_deleted_service_is_told_of_and_leads_nowhere(owner: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    notify(service, "Deleted", say("%(name)s has been deleted.", name="chat_a"), at=timezone.now())
    assert 'href="/services/chat_a"' in owner.get("/notices").content.decode()
    service.delete()
    page = owner.get("/notices").content.decode()
    assert "chat_a has been deleted." in page
    assert 'href="/services/chat_a"' not in page


def test_the_list_goes_on_over_pages(owner: Client, make_service: ServiceMaker, workspace: Workspace) -> None:
    olga = User.objects.get(username="olga")
    rows = [
        Notice(person=olga, workspace=workspace, service_name="chat_a", code="RUNNING", message=f"Number {number}.")
        for number in range(120)
    ]
    Notice.objects.bulk_create(rows)
    assert "1–50 of 120" in owner.get("/notices").content.decode()
    assert "101–120 of 120" in owner.get("/notices?page=3").content.decode()


@pytest.mark.parametrize("path", ["/notices", "/notices/bell"])
def test_what_people_wrote_is_shown_as_text(owner: Client, workspace: Workspace, path: str) -> None:
    olga = User.objects.get(username="olga")
    said = say("%(name)s failed.", name="<b>chat</b>")
    Notice.objects.create(person=olga, workspace=workspace, service_name="x", code="Failed", message=said)
    assert "&lt;b&gt;chat&lt;/b&gt; failed." in owner.get(path).content.decode()
