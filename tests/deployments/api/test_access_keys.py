"""Access keys over REST, and requests that are signed with them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from deployments.access_keys import KEEP_REVOKED, MAX_ACCESS_KEYS, forget_old_keys, issue_access_key
from deployments.models import AccessKey, AuditEntry, Service, UsedNonce
from deployments.throttle import TRIES_A_NAME_AND_ADDRESS
from tests.deployments.api.conftest import Api
from tests.signing import acs3_headers, roa_headers

pytestmark = pytest.mark.django_db
Key = tuple[str, str]
ME = "/api/v2/me"
OCTETS = "application/octet-stream"


@pytest.fixture
def key(owner: Api) -> Key:
    """The owner's access key: id and secret."""
    assert owner.user is not None
    row, secret = issue_access_key(owner.user, "ci")
    return row.key_id, secret


def send(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes = b"",
    query: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    response = Client().generic(method, path, body, content_type=OCTETS, headers=headers, query_params=query or {})
    return response.status_code, json.loads(response.content)


def code_of(answer: tuple[int, dict[str, Any]]) -> str:
    assert answer[0] == 401
    return str(answer[1]["Code"])


def test_a_key_is_made_shown_once_listed_and_revoked(owner: Api) -> None:
    status, made = owner.post("access-keys", {"Name": "ci", "ExpiresInDays": 30})
    assert status == 201
    assert made["AccessKeyId"].startswith("LTAI")
    assert len(made["AccessKeySecret"]) == 30
    status, found = owner.get("access-keys")
    assert status == 200
    assert found["TotalCount"] == 1
    assert found["AccessKeys"][0] == {
        name: made[name] for name in ("AccessKeyId", "Name", "CreateTime", "ExpireTime", "LastUsedTime")
    }
    assert made["AccessKeySecret"] not in json.dumps(found)
    assert owner.delete(f"access-keys/{made['AccessKeyId']}")[0] == 200
    assert owner.delete(f"access-keys/{made['AccessKeyId']}")[1]["Code"] == "AccessKeyNotFound"
    assert owner.get("access-keys")[1]["TotalCount"] == 0


def test_the_secret_is_in_no_column_and_no_audit_entry(key: Key) -> None:
    assert key[1] not in str(list(AccessKey.objects.values()))
    assert key[1] not in str(list(AuditEntry.objects.values()))


def test_making_and_revoking_a_key_is_audited(owner: Api, key: Key) -> None:
    owner.delete(f"access-keys/{key[0]}")
    entries = AuditEntry.objects.order_by("pk").values_list("actor_name", "action", "target")
    assert list(entries) == [("olga", "access_key.create", key[0]), ("olga", "access_key.revoke", key[0])]


def test_nobody_lists_or_revokes_another_s_key(operator: Api, stranger: Api, key: Key) -> None:
    for other in (operator, stranger):
        assert other.get("access-keys")[1]["TotalCount"] == 0
        assert other.delete(f"access-keys/{key[0]}")[0] == 404
    assert send("GET", ME, acs3_headers(key, "GET", ME))[0] == 200


@pytest.mark.parametrize("body", [{}, {"Name": ""}, {"Name": "a\nb"}, {"Name": "x", "ExpiresInDays": 0}])
def test_a_key_needs_a_name_and_a_sensible_end(owner: Api, body: dict[str, Any]) -> None:
    assert owner.post("access-keys", body)[1]["Code"] == "InvalidParameter"


def test_nobody_has_more_keys_than_the_limit(owner: Api) -> None:
    assert owner.user is not None
    AccessKey.objects.bulk_create(
        AccessKey(key_id=f"k{number}", user=owner.user, name="k") for number in range(MAX_ACCESS_KEYS)
    )
    assert owner.post("access-keys", {"Name": "one more"})[1]["Code"] == "too_many_access_keys"
    assert owner.delete("access-keys/k7")[0] == 200
    assert owner.post("access-keys", {"Name": "one more"})[0] == 201


def test_a_signed_request_is_its_owner_s(key: Key, service: Service) -> None:
    for headers in (acs3_headers(key, "GET", ME), roa_headers(key, "GET", ME)):
        status, answer = send("GET", ME, headers)
        assert status == 200, answer
        assert answer["UserName"] == "olga"
    path, body = f"/api/v2/services/local/{service.name}/scale", b'{"Instances": 2}'
    assert send("PUT", path, acs3_headers(key, "PUT", path, body=body), body)[0] == 200
    service.refresh_from_db()
    assert service.wanted_instances == 2


def test_a_query_is_part_of_what_is_signed(key: Key, service: Service) -> None:
    path, query = "/api/v2/services", {"Filter": "a b+ü", "Label": '{"k": "v*"}', "GroupName": ""}
    for sign in (acs3_headers, roa_headers):
        status, answer = send("GET", path, sign(key, "GET", path, query=query), query=query)
        assert status == 200, answer
        signed = sign(key, "GET", path, query=query)
        assert code_of(send("GET", path, signed, query=query | {"Filter": "b"})) == "SignatureDoesNotMatch"


def test_a_changed_body_is_refused(key: Key, service: Service) -> None:
    path = f"/api/v2/services/local/{service.name}/scale"
    headers = acs3_headers(key, "PUT", path, body=b'{"Instances": 2}')
    assert code_of(send("PUT", path, headers, b'{"Instances": 9}')) == "SignatureDoesNotMatch"
    service.refresh_from_db()
    assert service.wanted_instances == 1


def test_a_request_is_taken_once_even_when_the_cache_has_forgotten_everything(key: Key, valkey: redis.Redis) -> None:
    for headers in (acs3_headers(key, "GET", ME), roa_headers(key, "GET", ME)):
        assert send("GET", ME, headers)[0] == 200
        assert code_of(send("GET", ME, headers)) == "SignatureNonceUsed"
        valkey.flushdb()
        assert code_of(send("GET", ME, headers)) == "SignatureNonceUsed"


def test_two_keys_may_use_the_same_nonce(key: Key, operator: Api) -> None:
    assert operator.user is not None
    row, secret = issue_access_key(operator.user, "other")
    for one in (key, (row.key_id, secret)):
        assert send("GET", ME, acs3_headers(one, "GET", ME, nonce="same"))[0] == 200


def test_a_refused_request_uses_no_nonce(key: Key) -> None:
    wrong = (key[0], "x" * 30)
    assert code_of(send("GET", ME, acs3_headers(wrong, "GET", ME, nonce="n"))) == "SignatureDoesNotMatch"
    assert not UsedNonce.objects.exists()
    assert send("GET", ME, acs3_headers(key, "GET", ME, nonce="n"))[0] == 200


def test_an_old_or_early_date_is_refused(key: Key) -> None:
    for minutes in (-16, 16):
        at = timezone.now() + timedelta(minutes=minutes)
        for headers in (acs3_headers(key, "GET", ME, at=at), roa_headers(key, "GET", ME, at=at)):
            assert code_of(send("GET", ME, headers)) == "InvalidTimeStamp.Expired"
    assert send("GET", ME, acs3_headers(key, "GET", ME, at=timezone.now() - timedelta(minutes=14)))[0] == 200


def test_a_key_that_is_unknown_revoked_expired_or_of_a_switched_off_account_says_so(owner: Api, key: Key) -> None:
    def code() -> str:
        return code_of(send("GET", ME, acs3_headers(key, "GET", ME)))

    unknown = ("LTAInothing", key[1])
    assert code_of(send("GET", ME, acs3_headers(unknown, "GET", ME))) == "InvalidAccessKeyId.NotFound"
    AccessKey.objects.update(expires_at=timezone.now())
    assert code() == "InvalidAccessKeyId.Inactive"
    AccessKey.objects.update(expires_at=None)
    User.objects.update(is_active=False)
    assert code() == "InvalidAccessKeyId.Inactive"
    User.objects.update(is_active=True)
    assert send("GET", ME, acs3_headers(key, "GET", ME))[0] == 200
    owner.delete(f"access-keys/{key[0]}")
    assert code() == "InvalidAccessKeyId.Inactive"
    assert AccessKey.objects.get().secret_encrypted == ""


def test_a_secret_of_another_secret_key_is_not_a_crash(key: Key, settings: Any) -> None:
    settings.SECRET_KEY = "another key that nobody stored anything with"
    status, answer = send("GET", ME, acs3_headers(key, "GET", ME))
    assert (status, answer["Code"]) == (401, "InvalidAccessKeyId.Inactive")


@pytest.mark.usefixtures("long_window")
def test_wrong_signatures_are_throttled_and_right_ones_never(key: Key) -> None:
    wrong = (key[0], "x" * 30)
    answers = [send("GET", ME, acs3_headers(wrong, "GET", ME)) for _ in range(TRIES_A_NAME_AND_ADDRESS + 1)]
    assert [status for status, _ in answers] == [401] * TRIES_A_NAME_AND_ADDRESS + [429]
    assert answers[-1][1]["Code"] == "Throttling"
    assert "signatures" in answers[-1][1]["Message"]
    assert send("GET", ME, acs3_headers(key, "GET", ME))[0] == 200


@pytest.mark.usefixtures("long_window")
def test_a_throttled_sdk_is_told_the_wait_in_its_own_header(key: Key) -> None:
    for _ in range(TRIES_A_NAME_AND_ADDRESS + 1):
        response = Client().get(ME, headers=acs3_headers((key[0], "x"), "GET", ME))
    assert int(response["x-acs-retry-after"]) == 1000 * int(response["Retry-After"]) > 0


def test_the_older_signature_can_be_switched_off(key: Key, settings: Any) -> None:
    settings.SLIPWAY_HMAC_SHA1 = False
    assert code_of(send("GET", ME, roa_headers(key, "GET", ME))) == "UnsupportedSignatureMethod"
    assert send("GET", ME, acs3_headers(key, "GET", ME))[0] == 200


def test_a_host_header_with_its_scheme_is_signed_as_sent_and_judged_without_it(key: Key) -> None:
    for host, status in (("http://testserver", 200), ("https://evil.example", 400)):
        headers = acs3_headers(key, "GET", ME, host=host)
        assert Client().get(ME, headers=headers).status_code == status


def test_a_body_over_the_limit_is_413(key: Key) -> None:
    body = b" " * (4 * 1024 * 1024 + 1)
    headers = acs3_headers(key, "POST", "/api/v2/services", body=body)
    status, answer = send("POST", "/api/v2/services", headers, body)
    assert (status, answer["Code"]) == (413, "BodyTooLarge")


def test_use_is_noted_and_costs_a_bounded_number_of_queries(key: Key, django_assert_max_num_queries: Any) -> None:
    assert AccessKey.objects.get().last_used_at is None
    # The key, the nonce in a transaction of its own, the note of the use; then what the caller asked for.
    with django_assert_max_num_queries(9):
        send("GET", ME, acs3_headers(key, "GET", ME))
    assert AccessKey.objects.get().last_used_at is not None
    with django_assert_max_num_queries(8):
        send("GET", ME, acs3_headers(key, "GET", ME))


def test_what_outlived_its_use_is_forgotten_and_nothing_else(owner: Api, key: Key) -> None:
    assert send("GET", ME, acs3_headers(key, "GET", ME))[0] == 200
    row = AccessKey.objects.get()
    UsedNonce.objects.create(access_key=row, nonce="old", expires_at=timezone.now() - timedelta(seconds=1))
    for name, age in (("long", KEEP_REVOKED + timedelta(days=1)), ("lately", timedelta(days=1))):
        AccessKey.objects.create(key_id=name, user=row.user, name=name, revoked_at=timezone.now() - age)
    forget_old_keys()
    assert UsedNonce.objects.exclude(nonce="old").count() == UsedNonce.objects.count() == 1
    assert set(AccessKey.objects.values_list("key_id", flat=True)) == {key[0], "lately"}
