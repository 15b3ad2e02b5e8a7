"""What the server answers, as the command line understands it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from console.cli.client import Client
from console.cli.dialogue import endpoint_of
from console.cli.errors import CliError, ExitCode
from console.cli.following import follow
from console.cli.profiles import Profile
from tests.cli.conftest import Scripted


@pytest.fixture
def client(server: Scripted) -> Iterator[Client]:
    one = Client(Profile(server.url, "token"))
    yield one
    one.close()


def ok(**fields: Any) -> tuple[int, str]:
    return 200, json.dumps({"RequestId": "r", **fields})


def refused(status: int, code: str, **fields: Any) -> tuple[int, str]:
    return status, json.dumps({"RequestId": "r", "Code": code, "Message": "No.", **fields})


def page(instance: str, lines: list[str], next_line: int, kept: list[str]) -> tuple[int, str]:
    return ok(InstanceName=instance, Logs=lines, NextLine=next_line, Instances=kept)


def test_another_region_is_found_out_once(server: Scripted, client: Client) -> None:
    server.answers = [
        refused(404, "ClusterNotFound"),
        ok(Services=[{"Region": "harbour"}]),
        ok(ServiceName="a"),
        ok(ServiceName="a"),
    ]
    client.describe("a")
    client.describe("a")
    assert [path.partition("?")[0] for path in server.paths] == [
        "/api/v2/services/local/a",
        "/api/v2/services",
        "/api/v2/services/harbour/a",
        "/api/v2/services/harbour/a",
    ]


def test_a_region_that_was_named_is_not_guessed_at(server: Scripted, client: Client) -> None:
    server.answers = [refused(404, "ClusterNotFound")]
    with pytest.raises(CliError) as caught:
        client.describe("elsewhere/a")
    assert caught.value.code == "ClusterNotFound"


def test_a_name_cannot_leave_its_place_in_the_path(server: Scripted, client: Client) -> None:
    server.answers = [ok()]
    client.describe("local/a?b#c%2e")
    assert server.paths == ["/api/v2/services/local/a%3Fb%23c%252e"]


def test_an_error_is_the_servers_sentence_its_code_and_the_fields(server: Scripted, client: Client) -> None:
    server.answers = [refused(400, "InvalidParameter", Errors=[{"Field": "metadata.cpu", "Message": "No."}])]
    with pytest.raises(CliError) as caught:
        client.describe("a")
    assert caught.value.line() == "No. (InvalidParameter: metadata.cpu)"


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, "{}"), (301, ""), (502, "<html>"), (200, "[]")])
def test_somebody_else_at_the_address_is_told_as_that(
    server: Scripted, client: Client, answer: tuple[int, str]
) -> None:
    server.answers = [answer]
    with pytest.raises(CliError) as caught:
        client.describe("a")
    assert caught.value.code == "not_slipway"
    assert caught.value.exit_code is ExitCode.UNREACHABLE


def test_who_may_not_see_the_token_is_told_what_to_do(server: Scripted, client: Client) -> None:
    hidden = ok(ServiceName="a", AccessToken="", InternetEndpoint="https://public.example.com/api/predict/a")
    server.answers = [hidden, hidden]
    with pytest.raises(CliError) as caught:
        endpoint_of(client, "a", None)
    assert caught.value.code == "no_service_token"
    endpoint, _ = endpoint_of(client, "a", "own")
    assert (endpoint.url, endpoint.token) == (f"{server.url}/api/predict/a", "own")


def test_a_log_is_followed_to_the_next_instance_and_to_the_end_of_the_service(server: Scripted, client: Client) -> None:
    server.answers = [
        page("old", ["1"], 1, ["old"]),
        page("old", ["2"], 2, ["new", "old"]),
        page("new", ["3"], 1, ["new", "old"]),
        refused(404, "ServiceNotFound"),
    ]
    assert list(follow(client, "a", {}, {"Tail": 5})) == [("old", ["1"]), ("old", ["2"]), ("new", ["3"])]
    assert "Tail=5" in server.paths[0]
    assert "FromLine=1" in server.paths[1]
    assert "FromLine=0" in server.paths[2]
    assert "InstanceName=new" in server.paths[2]
