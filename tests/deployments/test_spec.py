"""The service document: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deployments.spec import ServiceSpec, SpecInvalid, check_name, merge_documents, suggest_name

Document = dict[str, Any]


def document(**metadata: Any) -> Document:
    return {
        "metadata": {"name": "chat_a", "instance": 2, "cpu": 2, "memory": 4096, **metadata},
        "containers": [{"image": "chat-llm-webui:3.0", "script": "python x.py --port=8000", "port": 8000}],
    }


def errors_of(wrong: object) -> dict[str, str]:
    with pytest.raises(SpecInvalid) as caught:
        ServiceSpec.parse(wrong)
    for error in caught.value.errors:
        assert error.message, error
    return {error.field: error.code for error in caught.value.errors}


def with_container(**changes: Any) -> Document:
    wrong = document()
    wrong["containers"][0].update(changes)
    return wrong


def with_storage(*mounts: Document) -> Document:
    return document() | {"storage": list(mounts)}


def test_a_plain_document_is_read() -> None:
    spec = ServiceSpec.parse(document())
    assert (spec.name, spec.instances, spec.cpu_cores, spec.memory_mib, spec.gpu) == (
        "chat_a",
        2,
        2.0,
        4096,
        0,
    )
    assert (spec.container.port, spec.container.image) == (8000, "chat-llm-webui:3.0")
    assert (spec.termination_grace_seconds, spec.keepalive_seconds) == (30, 600.0)


def test_unknown_keys_are_kept_at_every_level() -> None:
    given = document(future={"a": 1})
    given["containers"][0]["sidecar"] = True
    given["sinker"] = {"type": "sls"}
    kept = ServiceSpec.parse(given).document
    assert kept["metadata"]["future"] == {"a": 1}
    assert kept["containers"][0]["sidecar"] is True
    assert kept["sinker"] == {"type": "sls"}


def test_the_token_is_taken_out_of_the_stored_document() -> None:
    spec = ServiceSpec.parse(document() | {"token": "my-own-token-1"})
    assert spec.token == "my-own-token-1"
    assert "token" not in spec.document


def test_a_wrong_token_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SpecInvalid) as caught:
        ServiceSpec.parse(document() | {"token": "has a space"})
    assert "has a space" not in str(caught.value)


def test_the_name_may_stand_at_the_top_and_metadata_wins() -> None:
    given = document()
    del given["metadata"]["name"]
    assert ServiceSpec.parse(given | {"name": "top_name"}).name == "top_name"
    assert ServiceSpec.parse(document() | {"name": "top_name"}).name == "chat_a"


def test_the_given_document_is_not_changed() -> None:
    given = document() | {"name": "top_name", "token": "my-own-token-1"}
    before = copy.deepcopy(given)
    ServiceSpec.parse(given)
    assert given == before


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Chat", "chat-a", "chat a", "çhat", "", None, 7, "chat\n"])
def test_wrong_names_are_refused(name: object) -> None:
    assert "metadata.name" in errors_of(document(name=name))


@pytest.mark.parametrize("name", ["abc", "a" * 63, "0_1", "___"])
def test_right_names_pass(name: str) -> None:
    assert check_name(name) is None


def test_a_wrong_name_comes_with_a_better_one() -> None:
    assert suggest_name("Chat A!") == "chat_a"
    assert suggest_name("!") == ""


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("instance", -1),
        ("instance", 1001),
        ("instance", None),
        ("instance", True),
        ("instance", 1.5),
        ("instance", "x"),
        ("cpu", 0),
        ("cpu", 512.5),
        ("cpu", "many"),
        ("memory", 0),
        ("memory", 8_388_609),
        ("gpu", -1),
        ("gpu", 65),
        ("gpu", 10**400),
        ("rpc", 3),
        ("rolling_strategy", {"max_surge": "x"}),
        ("rpc", {"keepalive": 0}),
    ],
)
def test_metadata_out_of_range_names_the_field(key: str, wrong: object) -> None:
    assert any(field.startswith(f"metadata.{key}") for field in errors_of(document(**{key: wrong})))


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("instance", 0),
        ("instance", 1000),
        ("cpu", 0.1),
        ("cpu", 512),
        ("memory", 1),
        ("memory", 8_388_608),
        ("gpu", 64),
        ("memory", "4096"),
    ],
)
def test_the_ends_of_the_ranges_pass(key: str, right: object) -> None:
    assert ServiceSpec.parse(document(**{key: right})).document["metadata"][key] == right


@pytest.mark.parametrize("port", [8080, 9090])
def test_the_engine_s_ports_are_reserved(port: int) -> None:
    assert errors_of(with_container(port=port)) == {"containers[0].port": "port_reserved"}


@pytest.mark.parametrize("port", [0, 65536, "http", -1, None])
def test_ports_out_of_range_are_refused(port: object) -> None:
    assert "containers[0].port" in errors_of(with_container(port=port))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"image": ""}, "containers[0].image"),
        ({"image": "../../etc"}, "containers[0].image"),
        ({"image": "a b"}, "containers[0].image"),
        ({"command": "other"}, "containers[0]"),
        ({"env": [{"name": "1A", "value": "x"}]}, "containers[0].env[0].name"),
        ({"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]}, "containers[0].env[1].name"),
        ({"env": {"A": "x"}}, "containers[0].env"),
        ({"args": "one"}, "containers[0].args"),
        ({"health_check": {}}, "containers[0].health_check"),
        ({"readiness_check": {"http_get": {"path": "x"}}}, "containers[0].readiness_check.http_get.path"),
    ],
)
def test_wrong_containers_name_the_field(change: Document, field: str) -> None:
    assert field in errors_of(with_container(**change))


@pytest.mark.parametrize("path", ["/", "//", "relative", "/usr/lib/x", "/etc", "/a/../etc", "/a b", "", "/bin/"])
def test_mounts_over_the_system_are_refused(path: str) -> None:
    wrong = with_storage({"mount_path": path, "empty_dir": {}})
    assert any(field.startswith("storage[0]") for field in errors_of(wrong))


@pytest.mark.parametrize(
    "path", ["http://b/x", "oss://", "oss://B/x", "oss://a..b/x", "oss://bucket/../x", "oss:/bucket/x", "bucket/x"]
)
def test_wrong_oss_paths_are_refused(path: str) -> None:
    wrong = with_storage({"mount_path": "/model_dir", "oss": {"path": path}})
    assert "storage[0].oss.path" in errors_of(wrong)


def test_overlapping_mounts_are_refused_and_neighbours_pass() -> None:
    first = {"mount_path": "/data", "empty_dir": {}}
    assert "storage[1].mount_path" in errors_of(with_storage(first, {"mount_path": "/data/in", "empty_dir": {}}))
    ServiceSpec.parse(with_storage(first, {"mount_path": "/data2", "empty_dir": {}}))


def test_a_mount_needs_exactly_one_source() -> None:
    assert "storage[0]" in errors_of(with_storage({"mount_path": "/data"}))
    both = {"mount_path": "/data", "empty_dir": {}, "oss": {"path": "oss://bucket/x"}}
    assert "storage[0]" in errors_of(with_storage(both))


def test_oss_paths_know_bucket_and_prefix() -> None:
    spec = ServiceSpec.parse(
        with_storage({"mount_path": "/m", "oss": {"path": "oss://bucket/a//b/", "readOnly": True}})
    )
    oss = spec.mounts[0].oss
    assert oss is not None
    assert (oss.bucket, oss.prefix, oss.read_only) == ("bucket", "a/b", True)


@pytest.mark.parametrize("path", ["oss://b/p", "oss://b", "oss://a.b-c/", "oss://" + 63 * "b" + "/p"])
def test_a_bucket_is_named_as_short_or_as_long_as_one_likes(path: str) -> None:
    oss = ServiceSpec.parse(with_storage({"mount_path": "/m", "oss": {"path": path}})).mounts[0].oss
    assert oss is not None
    assert oss.bucket == path.removeprefix("oss://").split("/")[0]


@pytest.mark.parametrize(
    "networking", [None, {}, {"gateway_policy": None}, {"gateway_policy": {"concurrency_limit": None}}]
)
def test_a_concurrency_limit_of_null_is_none(networking: object) -> None:
    assert ServiceSpec.parse(document() | {"networking": networking}).gateway_policy.concurrency_limit is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (document() | {"containers": [5]}, "containers[0] must be an object; got 5."),
        (document() | {"containers": {}}, "containers must be a list of containers; got an object."),
        (with_container(args=[None]), "containers[0].args[0] must be a text; got null."),
        (document(name=5), "metadata.name must be a text; got 5. Use a-z, 0-9 and _, 3 to 63 characters."),
    ],
)
def test_a_wrong_type_is_told_once_and_in_the_words_of_json(wrong: Document, message: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        ServiceSpec.parse(wrong)
    assert [error.message for error in caught.value.errors] == [message]


@pytest.mark.parametrize("wrong", [None, [], "text", 7, {"metadata": []}, {"metadata": None}, {}])
def test_what_is_no_document_is_refused(wrong: object) -> None:
    assert errors_of(wrong)


def test_nesting_without_end_is_refused() -> None:
    deep: Document = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert errors_of(document() | {"deep": deep})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nul \0", "half \ud800"])
def test_values_no_database_takes_are_refused(value: object) -> None:
    assert errors_of(document() | {"labels": {"a": value}})


def test_every_error_is_told_at_once() -> None:
    wrong = document(instance=-1, cpu=0)
    wrong["containers"][0]["port"] = 8080
    assert set(errors_of(wrong)) == {"metadata.instance", "metadata.cpu", "containers[0].port"}


@pytest.mark.parametrize("limit", [0, -1, True, "x", None, 1.5])
def test_a_wrong_concurrency_limit_is_refused(limit: object) -> None:
    policy = {"gateway_policy": {"concurrency_limit": {"enable": True, "limit": limit}}}
    assert "networking.gateway_policy.concurrency_limit.limit" in errors_of(document() | {"networking": policy})


def test_a_concurrency_limit_counts_only_when_enabled() -> None:
    for enable, expected in ((True, 3), (False, None)):
        policy = {"gateway_policy": {"concurrency_limit": {"enable": enable, "limit": 3}}}
        assert ServiceSpec.parse(document() | {"networking": policy}).gateway_policy.concurrency_limit == expected


@pytest.mark.parametrize("seconds", [-1, True, "x", 1.5, 3601])
def test_a_wrong_time_of_grace_for_answers_is_refused(seconds: object) -> None:
    policy = {"gateway_policy": {"resume_seconds": seconds}}
    assert errors_of(document() | {"networking": policy}) == {
        "networking.gateway_policy.resume_seconds": "resume_invalid"
    }


@pytest.mark.parametrize(("given", "expected"), [(None, 0), (0, 0), (30, 30)])
def test_answers_have_a_time_of_grace_only_where_the_document_says_so(given: int | None, expected: int) -> None:
    policy = {"gateway_policy": {"resume_seconds": given}}
    assert ServiceSpec.parse(document() | {"networking": policy}).gateway_policy.resume_seconds == expected


@pytest.mark.parametrize("key", ["networking", "labels", "runtime", "storage"])
def test_parts_of_the_wrong_type_are_refused(key: str) -> None:
    assert errors_of(document() | {key: 7})


def test_termination_grace_is_read_from_all_three_places() -> None:
    assert ServiceSpec.parse(document(**{"eas.termination_grace_period": 5})).termination_grace_seconds == 5
    assert ServiceSpec.parse(document() | {"eas.termination_grace_period": 6}).termination_grace_seconds == 6
    assert ServiceSpec.parse(document() | {"runtime": {"termination_grace_period": 7}}).termination_grace_seconds == 7


def test_rolling_shares_round_as_kubernetes_rounds() -> None:
    spec = ServiceSpec.parse(document(instance=10, rolling_strategy={"max_surge": "25%", "max_unavailable": "25%"}))
    assert (spec.surge, spec.unavailable) == (3, 2)
    both_zero = ServiceSpec.parse(document(rolling_strategy={"max_surge": 0, "max_unavailable": 0}))
    assert both_zero.surge == 1, "an update must be able to move"


def test_only_the_count_differs() -> None:
    one, two = ServiceSpec.parse(document(instance=1)), ServiceSpec.parse(document(instance=2))
    assert one.differs_only_in_instances(two)
    assert not one.differs_only_in_instances(ServiceSpec.parse(document(instance=1, cpu=3)))


def test_merging_goes_key_by_key_and_lists_replace() -> None:
    base: Document = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    patch: Document = {"a": {"y": [3]}, "c": None}
    merge: Callable[..., Document] = merge_documents
    assert merge(base, patch) == {"a": {"x": 1, "y": [3]}, "b": 1, "c": None}
    assert base["a"]["y"] == [1, 2]


def test_each_variable_given_twice_is_named_whatever_else_is_wrong() -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    assert errors_of(with_container(env=twice)) == {"containers[0].env[1].name": "env_twice"}
    wrong = errors_of(with_container(env=[*twice, {"name": "1BAD"}, {"name": "1BAD"}, "text", {}], port=8080))
    assert wrong["containers[0].env[1].name"] == "env_twice"
    assert wrong["containers[0].env[2].name"] == "invalid"
    assert wrong["containers[0].port"] == "port_reserved"


@pytest.mark.parametrize("name", ["valueFrom", "value_from"])
def test_a_variable_whose_value_lies_elsewhere_is_refused(name: str) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "TOKEN", name: {"secretKeyRef": {"name": "s", "key": "k"}}}]
    assert errors_of(with_container(env=env)) == {f"containers[0].env[1].{name}": "env_elsewhere"}
