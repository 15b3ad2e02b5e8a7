"""The services list: what its address asks for, who sees what, and how many queries it costs."""

from __future__ import annotations

import re
from datetime import timedelta

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from deployments.models import Service, Status
from tests.console.conftest import ServiceMaker

MOST_QUERIES = 8


def shown(client: Client, address: str = "/") -> list[str]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.content
    return re.findall(r'<tr id="row-([a-z0-9_]+)"', answer.content.decode())


def badge(client: Client, name: str, address: str = "/") -> str:
    found = re.search(rf'data-service="{name}" data-status="([A-Za-z]+)"', client.get(address).content.decode())
    assert found
    return found[1]


def test_a_teammate_sees_the_workspace_and_a_stranger_does_not(
    owner: Client, viewer: Client, stranger: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    assert (shown(owner), shown(viewer), shown(stranger)) == (["chat_a"], ["chat_a"], [])


def test_a_viewer_is_offered_no_changes(owner: Client, viewer: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert "Update Service" in owner.get("/").content.decode()
    page = viewer.get("/").content.decode()
    assert "View Web App" in page
    assert "Update Service" not in page
    assert "/services/chat_a/delete" not in page


def test_search_filter_sort_and_page_are_in_the_address(owner: Client, make_service: ServiceMaker) -> None:
    for number in range(30):
        make_service(f"svc_{number:02d}", Status.STOPPED if number % 2 else Status.RUNNING)
    assert shown(owner, "/?q=svc_1&sort=name") == [f"svc_1{digit}" for digit in range(10)]
    assert shown(owner, "/?sort=-name&rows=25&page=2") == [f"svc_0{digit}" for digit in (4, 3, 2, 1, 0)]
    assert shown(owner, "/?state=stopped&q=svc_0&sort=name") == ["svc_01", "svc_03", "svc_05", "svc_07", "svc_09"]
    assert shown(owner, "/?page=99&rows=25&sort=name")[0] == "svc_25"
    assert len(shown(owner, "/?sort=nonsense&rows=7&page=x&state=y")) == 30


def test_the_filters_count_what_the_search_leaves(owner: Client, make_service: ServiceMaker) -> None:
    make_service("red_one")
    make_service("red_two", Status.FAILED)
    make_service("blue", Status.STOPPED)
    counts = {one.state: one.count for one in owner.get("/?q=red&state=failed").context["filters"]}
    assert counts == {"": 2, "running": 1, "moving": 0, "failed": 1, "stopped": 0}


def test_an_empty_slipway_offers_the_bundled_model_and_no_match_clears_the_filters(
    owner: Client, make_service: ServiceMaker
) -> None:
    page = owner.get("/").content.decode()
    assert "SmolLM2-135M-Instruct" in page
    assert 'action="/deploy/bundled"' in page
    make_service("chat_a")
    page = owner.get("/?q=nothing_like_it").content.decode()
    assert "Clear filters" in page
    assert 'action="/deploy/bundled"' not in page


def test_the_badge_says_what_is_known_now(owner: Client, make_service: ServiceMaker) -> None:
    long_ago = timezone.now() - timedelta(minutes=4)
    make_service("partial", ready=1, wanted_instances=3)
    make_service("silent", observed_at=long_ago, progress_since=long_ago)
    make_service("asked_now", observed_at=long_ago, progress_since=timezone.now())
    make_service("rests", Status.STOPPED, observed_at=long_ago, progress_since=long_ago)
    page = owner.get("/").content.decode()
    assert "Running 1/3" in page
    assert "Unknown, seen 4 min ago" in page
    assert [badge(owner, name) for name in ("partial", "silent", "asked_now", "rests")] == [
        "Running",
        "Unknown",
        "Running",
        "Stopped",
    ]


def test_a_live_refetch_gets_the_rows_it_names_and_the_order_of_all(owner: Client, make_service: ServiceMaker) -> None:
    for name in ("aaa", "bbb", "ccc"):
        make_service(name)
    answer = owner.get("/?sort=name", headers={"X-Slipway-Live": "bbb,gone"})
    page = answer.content.decode()
    assert re.findall(r'<tr id="row-([a-z]+)"', page) == ["bbb"]
    assert 'data-order="aaa bbb ccc"' in page
    assert "<html" not in page


def test_the_query_count_does_not_grow_with_the_rows(
    owner: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    make_service("only_one")
    with django_assert_max_num_queries(MOST_QUERIES):
        assert len(shown(owner)) == 1
    for number in range(60):
        make_service(f"svc_{number}")
    with django_assert_max_num_queries(MOST_QUERIES):
        assert len(shown(owner, "/?q=svc&sort=-name")) == 50
    with django_assert_max_num_queries(MOST_QUERIES):
        owner.get("/?sort=name", headers={"X-Slipway-Live": "svc_1,svc_2"})


def test_names_from_the_address_are_escaped(owner: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    page = owner.get("/?q=%3Cscript%3Ealert(1)%3C/script%3E%00").content.decode()
    assert "<script>alert" not in page


def test_one_click_deploys_the_bundled_model(owner: Client) -> None:
    answer = owner.post("/deploy/bundled")
    assert answer["Location"] == "/services/chat"
    service = Service.objects.get(name="chat")
    assert service.created_by == User.objects.get(username="olga")
    assert service.spec().engine == "chat-llm"
    assert owner.post("/deploy/bundled")["Location"] == "/services/chat_2"


def test_a_viewer_cannot_deploy(viewer: Client) -> None:
    assert viewer.post("/deploy/bundled").status_code == 403
    assert not Service.objects.exists()


def test_columns_are_chosen_in_the_address_and_stay_with_sort_and_search(
    owner: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    heads = r'<th scope="col"[^>]*>(?:<a[^>]*>)?([A-Z][a-z ]+)'
    assert re.findall(heads, owner.get("/").content.decode()) == ["Service", "Status", "Instances", "Created"]
    page = owner.get("/?column=updated&column=resources&column=nonsense&column=revision").content.decode()
    assert re.findall(heads, page) == ["Service", "Version", "Resources", "Updated"]
    assert "2 CPU · 2 GiB" in page
    assert 'href="?sort=name&amp;column=name&amp;column=revision&amp;column=resources&amp;column=updated"' in page
    assert page.count('type="hidden" name="column" value="updated"') == 1
    assert re.findall(heads, owner.get("/?column=name").content.decode()) == ["Service"]


def test_every_sortable_column_says_its_order(owner: Client, make_service: ServiceMaker) -> None:
    make_service("bbb", wanted_instances=2)
    make_service("aaa", wanted_instances=1)
    make_service("ccc", wanted_instances=3)
    assert shown(owner, "/?sort=instances") == ["aaa", "bbb", "ccc"]
    assert shown(owner, "/?sort=-instances") == ["ccc", "bbb", "aaa"]
    for sort in ("workspace", "author", "updated"):
        page = owner.get(f"/?sort={sort}&column={sort}").content.decode()
        assert len(re.findall(r'aria-sort="ascending"', page)) == 1
