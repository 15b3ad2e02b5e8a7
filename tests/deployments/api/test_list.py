"""Listing services over REST: order, pages, filters, and how much it asks of the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries

from deployments.models import Instance, Service, Status
from tests.deployments.api.conftest import Api

pytestmark = pytest.mark.django_db
Make = Callable[..., Service]


def test_the_list_is_newest_first_and_paged(owner: Api, make_service: Make) -> None:
    for number in range(5):
        make_service(f"svc_{number}")
    answer = owner.get("services", PageSize="2", PageNumber="2")[1]
    assert [one["ServiceName"] for one in answer["Services"]] == ["svc_2", "svc_1"]
    assert (answer["PageNumber"], answer["PageSize"], answer["TotalCount"]) == (2, 2, 5)
    assert owner.get("services", PageNumber="1000000")[1]["Services"] == []


def test_the_list_sorts(owner: Api, make_service: Make) -> None:
    for name in ("bbb", "aaa", "ccc"):
        make_service(name)
    answer = owner.get("services", Sort="ServiceName", Order="asc")[1]
    assert [one["ServiceName"] for one in answer["Services"]] == ["aaa", "bbb", "ccc"]
    for sort in ("CreateTime", "UpdateTime", "ServiceStatus", "createtime"):
        assert owner.get("services", Sort=sort, Order="DESC")[1]["TotalCount"] == 3


FILTERS = [
    ({"Filter": "ALPH"}, {"alpha"}),
    ({"Filter": "%"}, set()),
    ({"Filter": "a_b"}, set()),
    ({"ServiceName": "alph"}, set()),
    ({"ServiceName": "alpha"}, {"alpha"}),
    ({"ServiceStatus": "Failed"}, {"beta"}),
    ({"ServiceStatus": "Pending"}, set()),
    ({"ServiceType": "LLM"}, {"alpha"}),
    ({"ServiceType": "Standard"}, {"beta", "gamma"}),
    ({"ServiceType": "RAG"}, {"delta"}),
    ({"Label": '{"team": "a"}'}, {"beta"}),
    ({"Label": '{"0": "zero", "a__gt": "true"}'}, {"gamma"}),
    ({"Label": '{"team": "b"}'}, set()),
    ({"GroupName": "gang"}, {"beta"}),
    ({"ResourceId": "eas-r-1"}, {"beta"}),
    ({"WorkspaceId": "red"}, {"alpha", "beta", "gamma", "delta"}),
    ({"WorkspaceId": "blue"}, set()),
    ({"ParentServiceUid": "x"}, set()),
    ({"Filter": "a", "ServiceStatus": "Failed"}, {"beta"}),
    ({"Unknown": "x", "Filter": ""}, {"alpha", "beta", "gamma", "delta"}),
]


@pytest.mark.parametrize(("query", "names"), FILTERS)
def test_the_list_filters(owner: Api, make_service: Make, query: dict[str, str], names: set[str]) -> None:
    make_service("alpha", labels={"ServiceEngineType": "Chat-LLM"})
    make_service("beta", metadata={"name": "beta", "group": "gang", "resource": "eas-r-1"}, labels={"team": "a"})
    make_service("gamma", labels={"0": "zero", "a__gt": True})
    make_service("delta", metadata={"name": "delta", "type": "RAG"}, labels={"ServiceEngineType": "chat-llm"})
    Service.objects.filter(name="beta").update(status=Status.FAILED)
    status, answer = owner.get("services", **query)
    assert status == 200
    assert {one["ServiceName"] for one in answer["Services"]} == names
    assert answer["TotalCount"] == len(names)


def test_a_service_is_found_by_its_uid(owner: Api, make_service: Make) -> None:
    make_service("other")
    uid = make_service("chat").uid
    assert [one["ServiceName"] for one in owner.get("services", ServiceUid=uid)[1]["Services"]] == ["chat"]


WRONG = [
    ("PageNumber", ["0", "-1", "x", "1.5", "9" * 30, "٣", "\0", "1e3"]),
    ("PageSize", ["0", "-5", "1001", "9" * 5000, "ten"]),
    ("Sort", ["Colour", "password", "\0"]),
    ("Order", ["up"]),
    ("ServiceStatus", ["Nice"]),
    ("ServiceType", ["LL"]),
    ("Label", ["x", "[]", '{"a": []}', "{" * 5000]),
    ("Filter", ["a\0b"]),
    ("ServiceName", ["\0"]),
    ("GroupName", ["\0"]),
]


@pytest.mark.parametrize(("parameter", "value"), [(name, value) for name, values in WRONG for value in values])
def test_a_wrong_parameter_of_the_list_is_named(owner: Api, parameter: str, value: str) -> None:
    status, answer = owner.get("services", **{parameter: value})
    assert status == 400
    assert answer["Errors"][0]["Field"] == parameter


def test_queries_do_not_grow_with_the_rows(
    owner: Api, make_service: Make, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        row = make_service(f"svc_{number}")
        Instance.objects.create(service=row, name=f"i-{number}", revision_number=1, phase="Running")
    with django_assert_max_num_queries(8):
        assert owner.get("services")[1]["TotalCount"] == 30
    with django_assert_max_num_queries(8):
        owner.get("services", Label='{"a": "b"}', WorkspaceId="red", ServiceType="LLM")
    for part in ("", "/versions", "/versions/1", "/instances", "/instances/i-3", "/logs", "/events", "/endpoints"):
        with django_assert_max_num_queries(10):
            assert owner.get(f"services/local/svc_3{part}")[0] == 200
    for path in ("audit", "me", "workspaces", "tokens", "models"):
        with django_assert_max_num_queries(8):
            assert owner.get(path)[0] == 200
