"""``POST /api/v2/preflight``: what would happen, without it happening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from deployments.models import AuditEntry, Service, Status
from tests.deployments.api.conftest import Api
from tests.deployments.api.test_services import assert_nothing_is_null
from tests.deployments.driving import TINY_SERVER, driven, remove_everything, tiny_document

pytestmark = pytest.mark.django_db(transaction=True)


def with_env(document: dict[str, Any], **values: str) -> dict[str, Any]:
    document["containers"][0]["env"] = [{"name": name, "value": value} for name, value in values.items()]
    return document


def test_a_new_service_is_shown_and_not_created(owner: Api) -> None:
    status, answer = owner.request("POST", "preflight", with_env(tiny_document("new_one"), HF_TOKEN="hush-hush"))
    assert status == 200
    assert_nothing_is_null(answer)
    assert (answer["ServiceName"], answer["Exists"], answer["WouldRun"]) == ("new_one", False, True)
    [process] = answer["Objects"]
    assert (process["Name"], process["Act"], process["Changes"]) == ("Process/new_one", "create", [])
    assert process["Manifest"]["argv"][2] == TINY_SERVER
    assert process["Manifest"]["env"]["HF_TOKEN"] == "••••••••"
    assert [(check["Check"], check["State"]) for check in answer["Checks"]] == [("capacity", "ok")]
    assert not Service.objects.exists()
    assert not AuditEntry.objects.filter(target="new_one").exists()


def test_an_update_is_compared_with_what_runs(owner: Api, make_service: Callable[..., Service]) -> None:
    before = with_env(tiny_document("chat"), MODE="fast", API_KEY="one")
    driven(make_service(containers=before["containers"]), Status.RUNNING)
    try:
        same = owner.request("POST", "preflight", before)[1]["Objects"][0]
        assert (same["Act"], same["Changes"]) == ("keep", [])
        after = with_env(tiny_document("chat", cpu=2), MODE="slow", API_KEY="two")
        [process] = owner.request("POST", "preflight", after)[1]["Objects"]
    finally:
        remove_everything()
    assert process["Act"] == "change"
    changes = {change["Path"]: change for change in process["Changes"]}
    assert changes["cpu_cores"] == {"Path": "cpu_cores", "Before": "", "After": "2.0", "Secret": False}
    assert changes["env.API_KEY"] == {"Path": "env.API_KEY", "Before": "", "After": "", "Secret": True}
    assert "one" not in str(process["Manifest"]["env"]["API_KEY"])


def test_what_the_cluster_refuses_is_the_first_check(owner: Api) -> None:
    _, answer = owner.request("POST", "preflight", tiny_document("big", gpu=64))
    assert not answer["WouldRun"]
    assert (answer["Checks"][0]["Check"], answer["Checks"][0]["Code"]) == ("cluster", "gpu_unavailable")
    assert answer["Checks"][0]["Cure"]


def test_mounted_storage_is_looked_at_unless_told_otherwise(owner: Api) -> None:
    mount = {"mount_path": "/data", "oss": {"path": "oss://preflight-bucket/weights/"}}
    document = {**tiny_document("mounts"), "storage": [mount]}
    _, answer = owner.request("POST", "preflight", document)
    assert not answer["WouldRun"]
    assert [check["Code"] for check in answer["Checks"]] == ["", "storage_missing"]
    assert answer["Checks"][1]["Values"] == {"path": "oss://preflight-bucket/weights/"}
    _, answer = owner.request("POST", "preflight", document, query={"Access": "false"})
    assert [check["Check"] for check in answer["Checks"]] == ["capacity"]
    folder = Path(settings.SLIPWAY_DATA_DIR) / "oss" / "preflight-bucket" / "weights"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    _, answer = owner.request("POST", "preflight", document)
    assert answer["Checks"][1]["State"] == "ok"


def test_a_wrong_document_names_its_fields(owner: Api) -> None:
    status, answer = owner.request("POST", "preflight", {"metadata": {"name": "A B"}})
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert answer["Errors"]


def test_rights_are_those_of_creating_and_updating(
    viewer: Api, stranger: Api, owner: Api, make_service: Callable[..., Service]
) -> None:
    make_service("chat")
    assert viewer.request("POST", "preflight", tiny_document("chat"))[0] == 403
    assert viewer.request("POST", "preflight", tiny_document("other"))[0] == 403
    assert stranger.request("POST", "preflight", tiny_document("chat"))[1]["Code"] == "name_taken"
