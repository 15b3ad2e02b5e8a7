"""Custom Deployment: fields and JSON are one document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from console.deploy_custom import Draft, read
from deployments.models import Service
from tests.console.conftest import ServiceMaker
from tests.console.test_deploy_llm import fields_of, start, text_of

ADDRESS = "/deploy/custom"


def custom(client: Client, **changes: Any) -> dict[str, Any]:
    """The starter form with changes; rows are given as ``env`` and ``mounts``."""
    form: dict[str, Any] = dict(start(client, ADDRESS))
    for name in ("env_name", "env_value", "mount_kind", "mount_source", "mount_path"):
        form.pop(name, None)
    env, mounts = changes.pop("env", []), changes.pop("mounts", [])
    form |= {"env_name": [one[0] for one in env], "env_value": [one[1] for one in env]}
    for index, name in enumerate(("mount_kind", "mount_source", "mount_path")):
        form[name] = [one[index] for one in mounts]
    return form | changes


def test_the_starter_runs_as_it_comes(operator: Client) -> None:
    assert operator.post(ADDRESS, custom(operator)).status_code == 302
    service = Service.objects.get()
    assert service.name == "custom"
    assert service.document["containers"][0]["port"] == 8000
    assert service.document["metadata"] == {"name": "custom", "instance": 1, "cpu": 1, "memory": 512}


def test_fields_become_the_document(operator: Client) -> None:
    form = custom(
        operator,
        service_name="tool",
        image="tools:2",
        port="7000",
        run="echo a\r\npython3 -m http.server $PORT",
        instances="3",
        cpu="0.5",
        memory="",
        env=[("MODE", "fast"), ("", ""), ("EMPTY", "")],
        mounts=[("oss", "oss://bucket/data/", "/mnt/data"), ("oss", "", ""), ("empty_dir", "", "/scratch")],
    )
    assert operator.post(ADDRESS, form).status_code == 302
    assert Service.objects.get().document == {
        "metadata": {"name": "tool", "instance": 3, "cpu": 0.5},
        "containers": [
            {
                "image": "tools:2",
                "script": "echo a\npython3 -m http.server $PORT",
                "port": 7000,
                "env": [{"name": "MODE", "value": "fast"}, {"name": "EMPTY", "value": ""}],
            }
        ],
        "storage": [
            {"mount_path": "/mnt/data", "oss": {"path": "oss://bucket/data/"}},
            {"mount_path": "/scratch", "empty_dir": {}},
        ],
    }


def test_a_preview_writes_the_fields_into_the_json(operator: Client) -> None:
    page = operator.post(ADDRESS, custom(operator, image="tools:9", act="preview")).content.decode()
    assert json.loads(fields_of(page)["base_document"])["containers"][0]["image"] == "tools:9"
    assert not Service.objects.exists()


def test_what_the_json_says_fills_the_fields_in(operator: Client) -> None:
    document = {
        "metadata": {"name": "from_json", "gpu": 0, "rpc": {"keepalive": 1000}},
        "containers": [{"image": "tools:1", "command": ["python3", "-V"], "env": [{"name": "A", "value": 1}]}],
    }
    form = custom(operator, view="json", document=json.dumps(document), act="view:form")
    page = operator.post(ADDRESS, form).content.decode()
    fields = fields_of(page)
    assert fields["view"] == "form"
    assert fields["service_name"] == "from_json"
    assert fields["instances"] == ""
    assert fields["run_kind"] == "command"
    assert json.loads(fields["run"]) == ["python3", "-V"]
    assert json.loads(fields["base_document"]) == document
    assert "metadata.rpc" in page


def test_the_fields_keep_what_they_cannot_show(operator: Client) -> None:
    document = {
        "metadata": {"name": "whole", "instance": 1, "rpc": {"keepalive": 1000}},
        "containers": [
            {"image": "tools:1", "script": "sleep 60\n", "args": ["-x"], "env": [{"name": "A", "value": 1, "k": 2}]},
            {"image": "beside:1", "script": "true"},
        ],
        "storage": [{"mount_path": "/a", "oss": {"path": "oss://bucket/a", "readOnly": True}}, {"git": {"repo": "x"}}],
        "labels": {"team": "a"},
    }
    shown = Draft.of(document)
    assert shown.view == "form"
    assert read(shown).document == document


@pytest.mark.parametrize(
    ("changes", "element", "cure"),
    [
        ({"service_name": "Not So"}, "f-service_name", "Use `not_so`?"),
        ({"image": ""}, "f-image", "the name of an image"),
        ({"image": "a b"}, "f-image", "Image"),
        ({"port": "8080"}, "f-port", "8080"),
        ({"port": "http"}, "f-port", "a port from 1 to 65535"),
        ({"instances": "-1"}, "f-instances", "a whole number from 0 to 1000"),
        ({"cpu": "0"}, "f-cpu", "a number of cores over 0"),
        ({"memory": "much"}, "f-memory", "megabytes, from 1"),
        ({"gpu": "99"}, "f-gpu", "from 0 to 64"),
        ({"env": [("", ""), ("1BAD", "x")]}, "env-1-name", "Name must be a name of letters, digits"),
        ({"env": [("A", "1"), ("", ""), ("A", "2")]}, "env-2-name", "Name 'A' is given twice. Keep one of the two."),
        ({"env": [("A", "1"), ("A", "2"), ("1BAD", "x")]}, "env-1-name", "Name 'A' is given twice."),
        ({"env": [("A", "1"), ("A", "2"), ("1BAD", "x")]}, "env-2-name", "Name must be a name of letters, digits"),
        ({"service_name": ""}, "f-service_name", "Use `custom`?"),
        ({"mounts": [("oss", "s3://x", "/mnt")]}, "mount-0-source", "oss://"),
        ({"mounts": [("oss", "", ""), ("empty_dir", "", "etc")]}, "mount-1-path", "/"),
        ({"mounts": [("empty_dir", "", "/etc/x")]}, "mount-0-path", "/etc"),
        ({"view": "json", "document": '{"metadata": {,}}'}, "f-document", "Line 1: A name"),
        ({"view": "json", "document": "[1]"}, "f-document", "must be an object"),
        ({"view": "json", "document": '{"metadata": {"name": "abc"}}'}, "f-document", "containers must list"),
    ],
)
def test_a_wrong_field_is_named_with_its_cure_and_nothing_is_created(
    operator: Client, changes: dict[str, Any], element: str, cure: str
) -> None:
    response = operator.post(ADDRESS, custom(operator, **changes))
    page = text_of(response)
    assert response.status_code == 422
    assert "<title>Error: Custom Deployment" in page
    summary = page[page.index('id="error-summary"') : page.index('class="view-bar"')]
    assert f'href="#{element}"' in summary
    assert cure in summary
    assert f'id="{element}"' in page
    assert not Service.objects.exists()


def test_emptied_instances_are_the_one_that_the_hint_names(operator: Client) -> None:
    assert "Empty: 1." in text_of(operator.get(ADDRESS))
    assert operator.post(ADDRESS, custom(operator, instances="")).status_code == 302
    assert Service.objects.get().wanted_instances == 1


def test_json_that_cannot_be_read_is_kept_as_typed(operator: Client) -> None:
    broken = '{"metadata": {"name": "kept",}}'
    page = operator.post(ADDRESS, custom(operator, view="json", document=broken)).content.decode()
    assert fields_of(page)["document"] == broken


def test_a_taken_name_is_said_at_the_field(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    page = text_of(operator.post(ADDRESS, custom(operator, service_name="chat_a")))
    assert "A service named chat_a exists already." in page
    assert 'id="f-service_name-error"' in page
    assert Service.objects.count() == 1


def test_what_the_cluster_can_never_run_is_refused(operator: Client) -> None:
    document = json.loads(custom(operator)["base_document"])
    document["storage"] = [{"mount_path": "/n", "nfs": {"server": "a", "path": "/b"}}]
    response = operator.post(ADDRESS, custom(operator, view="json", document=json.dumps(document)))
    assert response.status_code == 422
    assert "nfs" in text_of(response)
    assert not Service.objects.exists()


def test_rows_are_added_and_removed_without_scripts(operator: Client) -> None:
    form = custom(operator, env=[("A", "1"), ("B", "2")], act="add-env")
    page = operator.post(ADDRESS, form).content.decode()
    assert page.count('class="env-row"') == 3
    page = operator.post(ADDRESS, form | {"act": "remove-env:0"}).content.decode()
    assert 'value="A"' not in page
    assert 'value="B"' in page
    assert not Service.objects.exists()


def test_a_row_that_is_being_emptied_stays_in_its_place(operator: Client) -> None:
    form = custom(operator, env=[("A", "1"), ("", ""), ("C", "3")], act="preview")
    page = operator.post(ADDRESS, form, headers={"X-Slipway-Live": "all"}).content.decode()
    assert 'id="env-2-name" name="env_name" value="C"' in page


def test_the_llm_form_is_converted_with_its_document(operator: Client) -> None:
    form = start(operator, "/deploy/llm", service_name="converted")
    page = operator.post("/deploy/custom?from=llm", form | {"act": "preview"}).content.decode()
    assert "<title>Custom Deployment" in page
    document = json.loads(fields_of(page)["base_document"])
    assert document["metadata"]["name"] == "converted"
    assert document["labels"] == {"ServiceEngineType": "chat-llm"}
    assert not Service.objects.exists()


def test_an_llm_form_with_errors_is_not_converted(operator: Client) -> None:
    form = start(operator, "/deploy/llm", cpu="many")
    response = operator.post("/deploy/custom?from=llm", form | {"act": "preview"})
    assert response.status_code == 422
    assert "CPU must be a number" in text_of(response)


def test_viewers_are_told_whom_to_ask(viewer: Client) -> None:
    assert viewer.get(ADDRESS).status_code == 403
    assert viewer.post(ADDRESS, {}).status_code == 403


def test_a_page_takes_few_queries(operator: Client, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    form = custom(operator, act="preview")
    with django_assert_max_num_queries(12):
        operator.get(ADDRESS)
    with django_assert_max_num_queries(12):
        operator.post(ADDRESS, form)
