"""The verbs over REST: what repeats, what conflicts, what an update keeps, in every state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from deployments import lifecycle
from deployments.encryption import decrypt
from deployments.models import AuditEntry, Desired, Revision, Service, ServiceEvent, Status
from deployments.spec import ServiceSpec, merge_documents
from tests.deployments.api.conftest import Api
from tests.deployments.driving import tiny_document

pytestmark = pytest.mark.django_db
Make = Callable[..., Service]
CHAT = "services/local/chat"

#: Every change but create, with a body that asks for what the fixture's service already has where there is one.
VERBS: dict[str, tuple[str, str, Any]] = {
    "start": ("PUT", f"{CHAT}/start", None),
    "stop": ("PUT", f"{CHAT}/stop", None),
    "restart": ("PUT", f"{CHAT}/restart", None),
    "scale": ("PUT", f"{CHAT}/scale", {"Instances": 4}),
    "merge": ("PUT", CHAT, {"metadata": {"cpu": 2}}),
    "switch": ("PUT", f"{CHAT}/version", {"Version": 1}),
    "delete": ("DELETE", CHAT, None),
}


def state_of(service: Service) -> dict[str, Any]:
    """All that a person wants of a service: what a repetition may not change."""
    row: dict[str, Any] = dict(Service.objects.values().get(pk=service.pk))
    return {key: row[key] for key in row if key not in {"observed_at", "next_check_at", "updated_at"}}


@pytest.mark.parametrize("verb", ["start", "stop", "scale", "merge", "switch", "delete"])
def test_repeating_is_200_and_changes_nothing(owner: Api, service: Service, verb: str) -> None:
    owner.put(CHAT, {"metadata": {"memory": 512}})  # so that version 1 is another one
    if verb == "start":
        owner.put(f"{CHAT}/stop")
    assert owner.request(*VERBS[verb])[0] == 200
    before, entries, events = state_of(service), AuditEntry.objects.count(), ServiceEvent.objects.count()
    status, answer = owner.request(*VERBS[verb])
    assert status == 200
    assert "Nothing to change" in answer["Message"]
    assert state_of(service) == before
    assert (AuditEntry.objects.count(), ServiceEvent.objects.count()) == (entries, events)


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("desired", Desired.values)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_in_every_state_is_answered(
    owner: Api, service: Service, status: str, desired: str, verb: str
) -> None:
    Service.objects.filter(pk=service.pk).update(status=status, desired=desired)
    code, answer = owner.request(*VERBS[verb])
    if desired == Desired.DELETED and verb != "delete":
        assert (code, answer["Code"]) == (409, "deleting")
    elif desired == Desired.STOPPED and verb == "restart":
        assert (code, answer["Code"]) == (409, "stopped")
    else:
        assert code == 200
    assert owner.get(CHAT)[0] == 200


def test_start_has_left_stopped_before_it_answers(owner: Api, service: Service) -> None:
    Service.objects.filter(pk=service.pk).update(status=Status.STOPPED, desired=Desired.STOPPED)
    answer = owner.put(f"{CHAT}/start")[1]
    assert answer["Status"] == "Starting"
    assert owner.get(CHAT)[1]["Status"] == "Starting"


def test_a_change_is_audited_with_who_from_and_to(owner: Api, operator: Api, service: Service) -> None:
    operator.put(f"{CHAT}/scale", {"Instances": 3})
    entry = owner.get("audit", Action="service.scale")[1]["Entries"][0]
    assert (entry["Actor"], entry["Target"], entry["WorkspaceId"]) == ("oscar", "chat", "red")
    assert json.loads(entry["Before"])["instances"] == 1
    assert json.loads(entry["After"])["instances"] == 3


# Update


def test_merging_changes_only_what_is_given(owner: Api, service: Service) -> None:
    assert owner.put(CHAT, {"metadata": {"cpu": 2}, "labels": {"team": "a"}})[0] == 200
    document = json.loads(owner.get(CHAT)[1]["ServiceConfig"])
    assert document["metadata"]["cpu"] == 2
    assert document["metadata"]["eas.termination_grace_period"] == 5
    assert document["containers"] == tiny_document("chat")["containers"]
    assert Revision.objects.count() == 2


def test_replacing_keeps_nothing_but_the_name_and_the_token(owner: Api, service: Service) -> None:
    token = decrypt(service.token_encrypted)
    owner.put(CHAT, {"metadata": {"cpu": 2}})
    document = {"containers": [{"image": "tools:1", "script": "sleep 9"}]}
    assert owner.put(CHAT, document, UpdateType="replace")[0] == 200
    answer = owner.get(CHAT)[1]
    assert json.loads(answer["ServiceConfig"])["metadata"] == {"name": "chat", "instance": 1}
    assert answer["AccessToken"] == token


def test_a_token_in_an_update_is_taken_and_not_shown_in_the_document(owner: Api, service: Service) -> None:
    owner.put(CHAT, {"token": "my-own-token-1"})
    answer = owner.get(CHAT)[1]
    assert answer["AccessToken"] == "my-own-token-1"
    assert "my-own-token-1" not in answer["ServiceConfig"]
    assert "my-own-token-1" not in json.dumps(owner.get("audit")[1])


def test_changing_only_the_instances_makes_no_version(owner: Api, service: Service) -> None:
    assert owner.put(CHAT, {"metadata": {"instance": 3}})[0] == 200
    answer = owner.get(CHAT)[1]
    assert (answer["TotalInstance"], answer["LatestVersion"]) == (3, 1)


def test_a_merge_after_a_scale_keeps_the_scale(owner: Api, service: Service) -> None:
    owner.put(f"{CHAT}/scale", {"Instances": 5})
    owner.put(CHAT, {"metadata": {"cpu": 1}})
    assert owner.get(CHAT)[1]["TotalInstance"] == 5


def test_a_scale_that_came_while_an_edit_was_under_way_stays(owner: Api, service: Service) -> None:
    assert owner.user is not None
    read_before = Service.objects.get(pk=service.pk)
    merged = ServiceSpec.parse(merge_documents(read_before.document, {"metadata": {"cpu": 1}, "token": "my-own-token"}))
    owner.put(f"{CHAT}/scale", {"Instances": 5})
    lifecycle.update(read_before, merged, owner.user, base=1, keep_instances=True)
    answer = owner.get(CHAT)[1]
    assert (answer["TotalInstance"], answer["Cpu"], answer["AccessToken"]) == (5, 1, "my-own-token")


@pytest.mark.parametrize("how", [{"query": {"Revision": "1"}}, {"headers": {"If-Match": '"1"'}}])
def test_an_edit_of_an_old_version_is_409(owner: Api, operator: Api, service: Service, how: dict[str, Any]) -> None:
    query, headers = how.get("query", {}), how.get("headers", {})
    assert owner.request("PUT", CHAT, {"metadata": {"cpu": 1}}, headers=headers, query=query)[0] == 200
    status, answer = operator.request("PUT", CHAT, {"metadata": {"cpu": 2}}, headers=headers, query=query)
    assert (status, answer["Code"]) == (409, "edited_meanwhile")
    assert "olga" in answer["Message"]
    assert json.loads(owner.get(CHAT)[1]["ServiceConfig"])["metadata"]["cpu"] == 1


def test_the_etag_of_a_description_is_good_for_if_match(owner: Api, service: Service) -> None:
    response = owner.client.get(f"/api/v2/{CHAT}", headers=owner.headers)
    assert owner.request("PUT", CHAT, {"metadata": {"cpu": 1}}, headers={"If-Match": response["ETag"]})[0] == 200
    assert owner.request("PUT", CHAT, {"metadata": {"cpu": 2}}, headers={"If-Match": "*"})[0] == 200


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [({"UpdateType": "patch"}, {}, "UpdateType"), ({"Revision": "0"}, {}, "Revision"),
     ({"Revision": "9" * 30}, {}, "Revision"), ({}, {"If-Match": "abc"}, "If-Match")],
)  # fmt: skip
def test_a_wrong_parameter_of_update_is_named(
    owner: Api, service: Service, query: dict[str, str], headers: dict[str, str], field: str
) -> None:
    status, answer = owner.request("PUT", CHAT, {"metadata": {"cpu": 1}}, headers=headers, query=query)
    assert status == 400
    assert answer["Errors"][0]["Field"] == field


@pytest.mark.parametrize(
    ("patch", "field"),
    [({"metadata": {"name": "other"}}, "metadata.name"),
     ({"metadata": {"workspace_id": "blue"}}, "metadata.workspace_id"),
     ({"metadata": {"cpu": -1}}, "metadata.cpu"), ({"containers": []}, "containers"),
     ({"containers": [{"image": "a", "port": 9090}]}, "containers[0].port")],
)  # fmt: skip
def test_a_wrong_update_names_its_field_and_changes_nothing(
    owner: Api, service: Service, patch: dict[str, Any], field: str
) -> None:
    status, answer = owner.put(CHAT, patch)
    assert status == 400
    assert answer["Errors"][0]["Field"] == field
    service.refresh_from_db()
    assert service.generation == 1


# Scale, token, versions


@pytest.mark.parametrize("body", [{}, {"Instances": -1}, {"Instances": 1001}, {"Instances": "2"}, {"Instances": True},
                                  {"Instances": 1.5}, {"Instances": 10**40}, {"Instances": None}, [1]])  # fmt: skip
def test_a_wrong_number_of_instances_is_400(owner: Api, service: Service, body: Any) -> None:
    assert owner.put(f"{CHAT}/scale", body)[0] == 400


def test_rotating_gives_another_token_and_is_audited_without_it(owner: Api, service: Service) -> None:
    old = owner.get(CHAT)[1]["AccessToken"]
    status, answer = owner.post(f"{CHAT}/token")
    assert status == 200
    assert answer["AccessToken"] not in {"", old}
    assert owner.get(CHAT)[1]["AccessToken"] == answer["AccessToken"]
    trail = json.dumps(owner.get("audit")[1])
    assert "service.rotate_token" in trail
    assert answer["AccessToken"] not in trail


def test_versions_carry_their_number_as_image_id(owner: Api, service: Service) -> None:
    owner.put(CHAT, {"metadata": {"cpu": 1}}, Reason="More room")
    Service.objects.filter(pk=service.pk).update(serving_revision=Revision.objects.get(number=1))
    answer = owner.get(f"{CHAT}/versions")[1]
    second, first = answer["Versions"]
    assert [second["ImageId"], first["ImageId"]] == [2, 1]
    assert (second["Author"], second["Reason"], second["Wanted"], second["Current"]) == (
        "olga",
        "More room",
        True,
        False,
    )
    assert (first["ImageAvailable"], first["ServiceRunnable"], first["Current"]) == ("true", "true", True)
    assert (answer["TotalCount"], answer["PageNumber"], answer["PageSize"]) == (2, 1, 100)
    assert owner.get(f"{CHAT}/versions/1")[1]["Document"]["metadata"] == tiny_document("chat")["metadata"]
    described = owner.get(CHAT)[1]
    assert (described["CurrentVersion"], described["LatestVersion"]) == (1, 2)


def test_switching_back_wants_the_old_version_and_makes_none(owner: Api, service: Service) -> None:
    owner.put(CHAT, {"metadata": {"cpu": 1}})
    assert owner.put(f"{CHAT}/version", {"Version": 1})[0] == 200
    answer = owner.get(CHAT)[1]
    assert (answer["WantedVersion"], answer["LatestVersion"]) == (1, 2)
    assert "cpu" not in json.loads(answer["ServiceConfig"])["metadata"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"Version": 7}, 404), ({"Version": 0}, 400), ({"Version": -1}, 400), ({"Version": "1"}, 400), ({}, 400),
     ({"Version": True}, 400), ({"Version": 10**30}, 400), ({"Version": None}, 400)],
)  # fmt: skip
def test_switching_to_no_version_is_refused(owner: Api, service: Service, body: Any, status: int) -> None:
    assert owner.put(f"{CHAT}/version", body)[0] == status


def test_a_token_of_another_secret_key_does_not_break_descriptions(owner: Api, service: Service) -> None:
    Service.objects.filter(pk=service.pk).update(token_encrypted="not readable")
    assert owner.get(CHAT)[1]["AccessToken"] == ""
    assert owner.get(f"{CHAT}/endpoints")[0] == 200
    status, answer = owner.put(CHAT, {"metadata": {"cpu": 1}})
    assert (status, answer["Code"]) == (409, "SecretUnreadable")
    assert owner.post(f"{CHAT}/token")[0] == 200
    assert owner.put(CHAT, {"metadata": {"cpu": 1}})[0] == 200


# The LLM form and the catalog


LLM = {"service_name": "chat", "model_source": "open-source", "model": "SmolLM2-135M-Instruct", "acceleration": "none",
       "instances": 1}  # fmt: skip


def test_the_llm_form_makes_a_service(owner: Api) -> None:
    status, answer = owner.post("llm-services", LLM)
    assert (status, answer["ServiceName"], answer["Status"]) == (201, "chat", "Creating")
    assert owner.get(CHAT)[1]["ServiceType"] == "LLM"
    assert owner.post("llm-services", LLM)[1]["Code"] == "name_taken"


def test_a_dry_run_of_the_llm_form_makes_none(owner: Api) -> None:
    status, answer = owner.post("llm-services", LLM, dry_run="true")
    assert status == 200
    assert set(answer) == {"RequestId", "document", "command", "resources"}
    assert answer["command"] == answer["document"]["containers"][0]["script"]
    assert ServiceSpec.parse(answer["document"]).name == "chat"
    assert not Service.objects.exists()


def test_the_document_of_a_dry_run_creates_the_same_service(owner: Api) -> None:
    document = owner.post("llm-services", LLM, dry_run="true")[1]["document"]
    assert owner.post("services", document)[0] == 201
    assert Revision.objects.get().document == document


def test_the_llm_form_names_every_wrong_field(owner: Api) -> None:
    wrong = {"service_name": "Bad Name", "model": "no-such-model", "acceleration": "magic", "instances": "many", "x": 1}
    status, answer = owner.post("llm-services", wrong)
    assert status == 400
    assert {"service_name", "model", "acceleration", "instances", "x"} <= {one["Field"] for one in answer["Errors"]}


def test_what_cannot_run_here_is_previewed_and_not_created(owner: Api) -> None:
    misfit = {**LLM, "model": "Qwen2-7b", "acceleration": "bladellm"}
    status, answer = owner.post("llm-services", misfit, dry_run="true")
    assert status == 200
    assert answer["resources"]["refusal"]["code"]
    status, answer = owner.post("llm-services", misfit)
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert not Service.objects.exists()


def test_viewers_and_strangers_make_no_llm_service(viewer: Api, stranger: Api) -> None:
    for person in (viewer, stranger):
        assert person.post("llm-services", LLM)[0] == 403
        assert person.post("llm-services", LLM, WorkspaceId="red")[0] in {400, 403}
    assert not Service.objects.exists()


def test_the_catalog_says_what_runs_here_and_why_not(owner: Api) -> None:
    models = {one["Model"]: one for one in owner.get("models")[1]["Models"]}
    assert models["SmolLM2-135M-Instruct"]["Runnable"]
    blade = next(way for way in models["Qwen2-7b"]["Accelerations"] if way["Acceleration"] == "bladellm")
    assert not blade["Runnable"]
    assert blade["WhyNotCode"]
    assert blade["WhyNot"]


def test_the_openapi_document_lists_every_operation(owner: Api) -> None:
    response = owner.client.get("/api/schema/?format=json")
    assert response.status_code == 200
    document = json.loads(response.content)
    assert set(document["paths"]["/api/v2/services"]) == {"get", "post"}
    assert set(document["paths"]["/api/v2/services/{cluster}/{name}"]) == {"get", "put", "delete"}
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))
    assert {"CreateService", "ListServices", "DescribeServiceLog", "UpdateServiceVersion"} <= set(names)
