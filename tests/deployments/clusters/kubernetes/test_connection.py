"""Requests to a real API server, straight and through a proxy that misbehaves."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes import sending
from deployments.clusters.kubernetes.connection import Connection, Selection
from deployments.clusters.kubernetes.kinds import NODE, SECRET, Manifest
from deployments.clusters.kubernetes.settings import KubernetesSettings
from tests.kube import KubeCluster
from tests.kube_faults import Chooser, Fault, FaultProxy, fault_proxy
from tests.ports import free_port

pytestmark = pytest.mark.kubernetes

LABELLED = Selection("slipway.dev/installation=mine")


def secret(name: str = "one", value: str = "x") -> Manifest:
    data = {"token": base64.b64encode(value.encode()).decode()}
    metadata = {"name": name, "labels": {"slipway.dev/installation": "mine"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@pytest.fixture
def connection(kube: KubeCluster, namespace: str) -> Connection:
    return Connection(kube.settings(namespace))


@pytest.fixture
def proxy(kube: KubeCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with fault_proxy(kube.kubeconfig, tmp_path) as found:
        yield found


@pytest.fixture
def proxied(proxy: FaultProxy, namespace: str) -> Connection:
    return Connection(KubernetesSettings(namespace=namespace, kubeconfig=str(proxy.kubeconfig)))


def first(times: int, fault: Fault, method: str = "") -> Chooser:
    """The first so many requests (of a method) go wrong, the others through."""
    left = [times]

    def choose(asked: str, path: str) -> Fault | None:
        if left[0] == 0 or (method and asked != method):
            return None
        left[0] -= 1
        return fault

    return choose


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClusterError) as caught:
        call()
    assert caught.value.message.endswith((".", ")", "-")) or ":" in caught.value.message
    return caught.value.code


def test_what_is_applied_is_found_listed_changed_and_deleted(connection: Connection) -> None:
    made = connection.apply(secret())

    assert connection.find(SECRET, "one") == made
    (listed,) = connection.list(SECRET, LABELLED).items
    assert (listed["kind"], listed["metadata"]["uid"]) == ("Secret", made["metadata"]["uid"])
    changed = connection.patch(SECRET, "one", {"data": {"more": "eA=="}})
    assert changed is not None
    assert set(changed["data"]) == {"token", "more"}
    connection.delete(made)
    connection.delete(made)
    assert connection.find(SECRET, "one") is None
    assert connection.patch(SECRET, "one", {}) is None


def test_applying_the_same_twice_changes_nothing(connection: Connection) -> None:
    assert connection.apply(secret()) == connection.apply(secret())


def test_a_dry_run_leaves_nothing(connection: Connection) -> None:
    assert connection.apply(secret(), is_dry_run=True)["metadata"]["name"] == "one"
    assert connection.find(SECRET, "one") is None


def test_another_object_of_the_same_name_is_not_deleted(connection: Connection) -> None:
    old = connection.apply(secret())
    connection.delete(old)
    new = connection.apply(secret())

    connection.delete(old)

    assert connection.find(SECRET, "one") == new


def test_a_list_has_all_pages(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.clusters.kubernetes.connection.PAGE_SIZE", 2)
    for name in ("a", "b", "c", "d", "e"):
        connection.apply(secret(name))

    names = [one["metadata"]["name"] for one in connection.list(SECRET, LABELLED).items]

    assert names == ["a", "b", "c", "d", "e"]
    assert connection.counts == {"apply": 5, "list": 3}


def test_a_list_without_content_holds_no_secrets(connection: Connection) -> None:
    connection.apply(secret())

    (listed,) = connection.list(SECRET, Selection(LABELLED.labels, metadata_only=True)).items

    assert listed["kind"] == "Secret"
    assert "data" not in listed


def test_a_watch_goes_on_from_a_list_and_ends_by_itself(connection: Connection) -> None:
    before = connection.list(SECRET, LABELLED).resource_version
    made = connection.apply(secret())
    connection.delete(made)

    with connection.watch(SECRET, before, LABELLED, timeout_seconds=1) as events:
        seen = [(event["type"], event["object"]["metadata"].get("name")) for event in events]

    assert [one for one in seen if one[0] != "BOOKMARK"] == [("ADDED", "one"), ("DELETED", "one")]


EXPIRED = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}\n'


@pytest.mark.parametrize("fault", [Fault(410), Fault(200, body=EXPIRED)])
def test_a_watch_from_long_ago_is_expired(proxied: Connection, proxy: FaultProxy, fault: Fault) -> None:
    def watch() -> list[Any]:
        with proxied.watch(SECRET, "1", timeout_seconds=5) as events:
            return list(events)

    proxy.choose = lambda method, path: fault

    assert code_of(watch) == "expired"


def test_a_watch_that_says_nothing_for_too_long_is_given_up(
    proxied: Connection, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.clusters.kubernetes.connection.WATCH_GRACE_SECONDS", -0.7)

    def watch() -> list[Any]:
        with proxied.watch(SECRET, "1", timeout_seconds=1) as events:
            return list(events)

    proxy.choose = lambda method, path: Fault(stall_seconds=3.0)

    assert code_of(watch) == "not_reachable"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"datas": {}}, ".datas"),
        ({"data": {"a b": "eA=="}}, "data[a b]"),
    ],
)
def test_a_wrong_field_is_named_and_needs_a_person(connection: Connection, change: Manifest, field: str) -> None:
    with pytest.raises(ClusterError) as caught:
        connection.apply(secret() | change)

    assert caught.value.code == "invalid"
    assert caught.value.needs_person
    assert field in caught.value.message
    assert connection.counts == {"apply": 1}


def test_a_missing_namespace_is_told_from_a_missing_object(kube: KubeCluster) -> None:
    connection = Connection(kube.settings("nobody-made-this"))

    assert code_of(lambda: connection.apply(secret())) == "namespace_missing"
    assert connection.find(SECRET, "one") is None
    assert connection.list(SECRET).items == ()


def with_user(kube: KubeCluster, folder: Path, user: dict[str, Any]) -> Path:
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = user
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def token_of(kube: KubeCluster) -> str:
    return str(yaml.safe_load(kube.kubeconfig.read_text())["users"][0]["user"]["token"])


def test_a_wrong_token_is_unauthorized(kube: KubeCluster, tmp_path: Path) -> None:
    path = with_user(kube, tmp_path, {"token": "wrong"})

    assert code_of(lambda: Connection(KubernetesSettings(kubeconfig=str(path))).list(NODE)) == "unauthorized"


def test_a_token_that_was_exchanged_is_read_anew(
    kube: KubeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "RELOAD_SECONDS", 0.0)
    token = tmp_path / "token"
    token.write_text("wrong")
    path = with_user(kube, tmp_path, {"tokenFile": str(token)})
    connection = Connection(KubernetesSettings(kubeconfig=str(path)))
    assert code_of(lambda: connection.list(NODE)) == "unauthorized"

    token.write_text(token_of(kube))

    assert connection.list(NODE).items


def test_an_exec_plugin_gives_the_token(kube: KubeCluster, tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token_of(kube)},
    }
    printed = tmp_path / "credential.json"
    printed.write_text(json.dumps(credential))
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "cat",
        "args": [str(printed)],
        "interactiveMode": "Never",
    }
    path = with_user(kube, tmp_path, {"exec": plugin})

    assert Connection(KubernetesSettings(kubeconfig=str(path))).list(NODE).items


def test_what_an_account_may_not_do_is_named(kube: KubeCluster, namespace: str, tmp_path: Path) -> None:
    kube.kubectl("create", "serviceaccount", "weak", "-n", namespace)
    token = kube.kubectl("create", "token", "weak", "-n", namespace).strip()
    path = with_user(kube, tmp_path, {"token": token})
    connection = Connection(KubernetesSettings(namespace=namespace, kubeconfig=str(path)))

    with pytest.raises(ClusterError) as caught:
        connection.list(SECRET)

    assert caught.value.code == "forbidden"
    assert f"list secrets in namespace {namespace}" in caught.value.message


def test_a_quota_that_is_used_up_is_told_with_its_numbers(
    kube: KubeCluster, namespace: str, connection: Connection
) -> None:
    kube.kubectl("create", "quota", "few", "--hard=count/secrets=0", "-n", namespace)

    def refused() -> ClusterError | None:
        try:
            connection.apply(secret())
        except ClusterError as error:
            return error
        return None

    error = refused()
    assert error is not None
    assert error.code == "quota_exceeded"
    assert "count/secrets" in error.message


def test_a_kubeconfig_that_is_not_there_is_told_with_the_cure(tmp_path: Path) -> None:
    connection = Connection(KubernetesSettings(kubeconfig=str(tmp_path / "none")))

    with pytest.raises(ClusterError) as caught:
        connection.list(NODE)

    assert caught.value.code == "kubeconfig_invalid"
    assert "KUBECONFIG" in caught.value.cure


def test_nobody_at_the_address_is_not_reachable(
    kube: KubeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", 0.5)
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))

    assert code_of(lambda: Connection(KubernetesSettings(kubeconfig=str(path))).list(NODE)) == "not_reachable"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_answers_that_pass_are_waited_out(proxied: Connection, proxy: FaultProxy, status: int) -> None:
    proxy.choose = first(2, Fault(status, {"Retry-After": "0"}))

    assert proxied.apply(secret())["metadata"]["name"] == "one"

    assert len(proxy.seen) == 3


@pytest.mark.parametrize("status", [409, 500, 504])
def test_a_write_that_was_done_although_its_answer_failed_is_done_once(
    proxied: Connection, proxy: FaultProxy, connection: Connection, status: int
) -> None:
    proxy.choose = first(1, Fault(status, after=True))

    made = proxied.apply(secret())

    assert connection.find(SECRET, "one") == made
    proxy.choose = first(1, Fault(status, after=True), "DELETE")
    proxied.delete(made)
    assert connection.find(SECRET, "one") is None


def test_retry_after_holds_back_every_thread(proxied: Connection, proxy: FaultProxy) -> None:
    proxied.apply(secret())
    proxy.choose = first(1, Fault(429, {"Retry-After": "1"}))
    waiting = threading.Thread(target=proxied.list, args=(SECRET,))
    waiting.start()
    while len(proxy.seen) < 2:
        pass

    proxied.find(SECRET, "one")
    waiting.join()

    assert len(proxy.seen) == 4
    assert [one.split("/")[-1].split("?")[0] for one in proxy.seen[:2]] == ["one", "secrets"]


def test_a_server_that_wants_a_long_pause_is_throttled_and_asked_no_more(
    proxied: Connection, proxy: FaultProxy
) -> None:
    proxy.choose = lambda method, path: Fault(429, {"Retry-After": "3600"})

    assert [code_of(lambda: proxied.list(SECRET)) for _ in range(2)] == ["throttled", "throttled"]

    assert len(proxy.seen) == 1


@pytest.mark.parametrize("cut_at", [0, 1, 100, 400])
def test_a_list_that_broke_off_is_asked_for_again(
    proxied: Connection, proxy: FaultProxy, connection: Connection, cut_at: int
) -> None:
    for name in ("a", "b"):
        connection.apply(secret(name))
    proxy.choose = first(2, Fault(cut_at=cut_at), "GET")

    assert len(proxied.list(SECRET, LABELLED).items) == 2


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"kind": "SecretList", "items": []}', b"<html>"])
def test_what_is_no_list_is_never_taken_for_an_empty_one(
    proxied: Connection, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", 0.5)
    proxy.choose = lambda method, path: Fault(200, body=body)

    assert code_of(lambda: proxied.list(SECRET)) == "answer_broken"


def test_pages_that_grew_too_old_are_begun_anew(
    proxied: Connection, proxy: FaultProxy, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.clusters.kubernetes.connection.PAGE_SIZE", 1)
    for name in ("a", "b", "c"):
        connection.apply(secret(name))
    gone = first(1, Fault(410))
    proxy.choose = lambda method, path: gone(method, path) if "continue=" in path else None

    assert [one["metadata"]["name"] for one in proxied.list(SECRET, LABELLED).items] == ["a", "b", "c"]


def test_a_peer_that_says_nothing_is_given_up(
    proxied: Connection, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LIST_READ_SECONDS", 0.3)
    monkeypatch.setattr("deployments.clusters.kubernetes.connection.LIST_READ_SECONDS", 0.3)
    proxy.choose = first(1, Fault(stall_seconds=2.0))

    assert proxied.list(SECRET, LABELLED).items == ()

    assert len(proxy.seen) == 2
