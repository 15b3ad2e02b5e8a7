"""Form, JSON and YAML are one document: switching loses nothing, and errors stand at their line."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from console.deploy_custom import FORM, Draft, read, switch_view
from console.deploy_starters import STARTERS
from deployments.llm_form import llm_request_of
from deployments.models import Service
from deployments.spec import ServiceSpec
from deployments.spec.text import JSON, YAML, read_text, write_text
from tests.console.test_deploy_custom import ADDRESS, custom
from tests.console.test_deploy_llm import fields_of, text_of

WHOLE: dict[str, Any] = {
    "metadata": {"name": "whole", "instance": 2, "cpu": 0.5, "rpc": {"keepalive": 1000}, "cuda": "11.2"},
    "containers": [
        {
            "image": "tools:1",
            "script": "echo a\npython3 -m http.server $PORT\n",
            "port": 7000,
            "env": [{"name": "A", "value": 1, "k": 2}, {"name": "TEXT", "value": "two\nlines"}],
            "startup_check": {"tcp_socket": {"port": 7000}},
        },
    ],
    "storage": [
        {"mount_path": "/n", "nfs": {"server": "a", "path": "/b"}},
        {"mount_path": "/a", "oss": {"path": "oss://bucket/a", "readOnly": True}},
    ],
    "labels": {"team": "a"},
    "autoscaler": {"min": 1, "max": 2, "strategies": {"qps": 10}},
}


def text_form(client: Client, text: str, view: str = JSON, **changes: Any) -> dict[str, Any]:
    return custom(client, view=view, document=text, **changes)


def raw(response: Any) -> str:
    page: str = response.content.decode()
    return page


@pytest.mark.parametrize("path", [(YAML, JSON, FORM), (JSON, FORM, YAML), (FORM, YAML, FORM, JSON, YAML)])
def test_going_through_the_views_keeps_every_value(path: tuple[str, ...]) -> None:
    draft = Draft.of(WHOLE)
    assert draft.view == FORM
    for view in path:
        switched = switch_view(draft, view)
        assert switched.problem is None
        draft = switched.draft
        assert read(draft).document == WHOLE
        assert json.dumps(read(draft).document) == json.dumps(WHOLE)


def test_the_views_are_buttons_that_work_without_scripts(operator: Client) -> None:
    form = text_form(operator, json.dumps(WHOLE), act="view:yaml")
    page = raw(operator.post(ADDRESS, form))
    fields = fields_of(page)
    assert fields["view"] == "yaml"
    assert read_text(fields["document"], YAML).document == WHOLE
    assert re.search(r'value="view:yaml"[^>]*aria-pressed="true"', page)
    fields |= {"act": "view:form"}
    shown = fields_of(raw(operator.post(ADDRESS, fields)))
    assert shown["service_name"] == "whole"
    assert json.loads(shown["base_document"]) == WHOLE


@pytest.mark.parametrize("view", ["form", "yaml"])
def test_text_that_cannot_be_read_stays_where_it_is_and_says_its_line(operator: Client, view: str) -> None:
    broken = '{"metadata": {\n "name": "kept",}}'
    page = raw(operator.post(ADDRESS, text_form(operator, broken, act=f"view:{view}")))
    assert fields_of(page)["view"] == "json"
    assert fields_of(page)["document"] == broken
    assert "Line 2: A name in" in html.unescape(page)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"metadata": 5}, "metadata"),
        ({"metadata": {"name": "abc"}, "containers": {"image": "a"}}, "containers.image"),
        ({"metadata": {"name": "abc"}, "containers": [{"image": ["a"]}]}, "containers[0].image[0]"),
        ({"metadata": {"name": "abc"}, "containers": [{"image": "a", "env": ["A=1"]}]}, "containers[0].env[0]"),
        (
            {"metadata": {}, "containers": [{"image": "a", "env": [{"name": f"N{n}"} for n in range(201)]}]},
            "containers[0].env",
        ),
    ],
)
def test_what_the_fields_would_change_stays_text(operator: Client, document: dict[str, Any], named: str) -> None:
    form = text_form(operator, json.dumps(document), act="view:form")
    page = raw(operator.post(ADDRESS, form))
    assert fields_of(page)["view"] == "json"
    assert json.loads(fields_of(page)["document"]) == document
    assert f"The form cannot show this without changing it: {named}" in html.unescape(page)


def test_yaml_deploys(operator: Client) -> None:
    text = write_text({**WHOLE, "storage": []}, YAML)
    assert operator.post(ADDRESS, text_form(operator, text, YAML)).status_code == 302
    assert Service.objects.get().document["containers"][0]["env"][1]["value"] == "two\nlines"


@pytest.mark.parametrize(
    ("view", "text", "line", "said"),
    [
        (
            JSON,
            '{\n "metadata": {"name": "abc"},\n "containers": [{"image": "a",\n "port": 8080}]}',
            4,
            "8080 is reserved",
        ),
        (YAML, "metadata:\n  name: abc\ncontainers:\n- image: a\n  port: 8080\n", 5, "8080 is reserved"),
        (YAML, "metadata:\n  name: abc\n  cpu: lots\ncontainers:\n- image: a\n", 3, "a number of cores over 0"),
        (YAML, "metadata:\n  name: abc\ncontainers:\n- script: a\n", 4, "image is missing"),
        (JSON, '{\n "name": "A B",\n "containers": [{"image": "a"}]}', 2, "Use `a_b`?"),
    ],
)
def test_an_error_stands_at_its_line(operator: Client, view: str, text: str, line: int, said: str) -> None:
    response = operator.post(ADDRESS, text_form(operator, text, view))
    assert response.status_code == 422
    page = text_of(response)
    listed = page[page.index('id="document-errors"') :]
    assert re.search(rf'data-line="{line}"[^>]*data-message="[^"]*{re.escape(said)}', listed)
    assert f"Line {line}: " in page[page.index('id="error-summary"') : page.index('class="view-bar"')]


HOSTILE = [
    (JSON, '{"metadata": {"name": "abc", "cpu": 1e400}}'),
    (JSON, '{"metadata": {"name": "abc", "cpu": NaN}}'),
    (JSON, '{"metadata": {"name": "\\u0000"}}'),
    (JSON, '{"metadata": {"name": "\\ud800"}}'),
    (JSON, "[" * 60_000),
    (JSON, '{"a":' * 60 + "1" + "}" * 60),
    (JSON, "[1, 2]"),
    (JSON, '{"metadata": {"name": "abc"}, "metadata": {}}'),
    (JSON, '{"metadata": {"name": "名前"}, "containers": [{"image": "名前"}]}'),
    (JSON, ""),
    (JSON, "null"),
    (JSON, '{"x": "' + "a" * 1_048_576 + '"}'),
    (JSON, '{"metadata": null, "containers": null}'),
    (JSON, '{"metadata": [], "containers": [[]], "storage": {}, "labels": 1, "networking": [], "rpc": 1}'),
    (JSON, '{"containers": [{"env": {"name": 1}, "startup_check": [1]}], "storage": [1, null]}'),
    (YAML, "metadata:\n\tname: abc\n"),
    (YAML, "a: &a [x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n"),
    (YAML, "!!python/object/apply:os.system ['true']"),
    (YAML, "- a\n- b\n"),
    (YAML, "metadata: {name: abc}\n---\nmetadata: {}\n"),
    (YAML, "{" * 5_000),
    (YAML, "\x07"),
]


@pytest.mark.parametrize(("view", "text"), HOSTILE, ids=[f"{view}-{text[:24]!r}" for view, text in HOSTILE])
@pytest.mark.parametrize("act", ["deploy", "preview", "view:form", "view:yaml", "view:json", "import", "undo"])
def test_hostile_text_is_refused_with_a_sentence_and_kept(operator: Client, view: str, text: str, act: str) -> None:
    response = operator.post(ADDRESS, text_form(operator, text, view, act=act))
    assert response.status_code == (422 if act == "deploy" else 200)
    fields = fields_of(raw(response))
    if not act.startswith("view:"):
        assert fields["document"].strip("\n") == text.strip("\n")
    assert not Service.objects.exists()


@pytest.mark.parametrize("view", [FORM, JSON, YAML])
def test_a_document_of_a_megabyte_goes_through(operator: Client, view: str) -> None:
    big = {**WHOLE, "storage": [], "labels": {"note": "x" * 900_000}}
    form = text_form(operator, json.dumps(big), act=f"view:{view}")
    fields = fields_of(raw(operator.post(ADDRESS, form)))
    assert fields["view"] == view
    assert operator.post(ADDRESS, fields | {"env_name": ["A"], "env_value": ["1"]}).status_code == 302


@pytest.mark.parametrize("starter", STARTERS, ids=[one.key for one in STARTERS])
def test_every_starter_is_a_whole_document_that_every_view_holds(starter: Any) -> None:
    document = starter.document({starter.stem}, ())
    spec = ServiceSpec.parse(document)
    assert spec.name == f"{starter.stem}_2"
    for view in (FORM, JSON, YAML):
        draft = Draft.of(document, view)
        assert draft.view == view
        assert read(draft).document == document


def test_a_starter_takes_the_place_of_what_was_written_and_undo_brings_it_back(operator: Client) -> None:
    written = text_form(operator, "# mine\nmetadata:\n  name: mine\n", YAML, act="starter:vllm")
    page = raw(operator.post(ADDRESS, written))
    chosen = fields_of(page)
    assert "vllm serve /model_dir" in chosen["document"]
    assert "took the place of what was here" in page
    previewed = fields_of(raw(operator.post(ADDRESS, chosen | {"act": "preview"})))
    back = fields_of(raw(operator.post(ADDRESS, previewed | {"act": "undo"})))
    assert back["view"] == "yaml"
    assert back["document"].strip("\n") == "# mine\nmetadata:\n  name: mine"
    assert "undo_text" not in back


def test_a_starter_in_the_form_is_undone_too(operator: Client) -> None:
    chosen = fields_of(raw(operator.post(ADDRESS, custom(operator, image="mine:1", act="starter:bundled"))))
    assert "SmolLM2" in chosen["run"]
    back = fields_of(raw(operator.post(ADDRESS, chosen | {"act": "undo"})))
    assert back["image"] == "mine:1"


def test_comments_are_said_to_go_and_come_back_with_undo(operator: Client) -> None:
    page = raw(operator.post(ADDRESS, text_form(operator, "# why\nmetadata:\n  name: abc\n", YAML, act="view:json")))
    assert "Comments are only kept in YAML" in page
    back = fields_of(raw(operator.post(ADDRESS, fields_of(page) | {"act": "undo"})))
    assert back["document"].startswith("# why")


@pytest.mark.parametrize(
    ("name", "content", "view"),
    [
        ("service.yaml", write_text(WHOLE, YAML).encode(), "form"),
        ("service.json", b"\xef\xbb\xbf" + json.dumps(WHOLE).encode(), "form"),
        ("broken.json", b'{"metadata": ', "json"),
        ("noted.txt", b"# a note\nmetadata: [", "yaml"),
    ],
)
def test_a_file_is_imported(operator: Client, name: str, content: bytes, view: str) -> None:
    form = custom(operator, image="mine:1", act="import") | {"file": SimpleUploadedFile(name, content)}
    page = raw(operator.post(ADDRESS, form))
    fields = fields_of(page)
    assert fields["view"] == view
    assert f"The file {name} took the place" in page
    if view == "form":
        assert json.loads(fields["base_document"]) == WHOLE
    else:
        assert fields["document"].strip("\n") == content.decode()
    back = fields_of(raw(operator.post(ADDRESS, fields | {"act": "undo"})))
    assert back["image"] == "mine:1"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe\x00", "is not text in UTF-8"), (b" " * 1_048_577, "is too large"), (None, "Choose a")],
)
def test_a_file_that_is_no_document_changes_nothing(operator: Client, content: bytes | None, said: str) -> None:
    form = custom(operator, image="mine:1", act="import")
    if content is not None:
        form["file"] = SimpleUploadedFile("x.json", content)
    page = raw(operator.post(ADDRESS, form))
    assert said in page
    assert fields_of(page)["image"] == "mine:1"


def test_a_document_from_alibaba_says_what_does_nothing_here(operator: Client) -> None:
    document = {
        "metadata": {"name": "from_eas", "instance": 1, "cuda": "11.2", "rpc": {"max_batch_size": 5}, "instences": 2},
        "cloud": {"computing": {"instances": [{"type": "ecs.c7.large"}]}, "networking": {"vpc_id": "vpc-1"}},
        "containers": [{"image": "a", "script": "true", "envs": []}],
        "autoscaler": {"min": 1},
    }
    page = text_of(operator.post(ADDRESS, text_form(operator, json.dumps(document, indent=1), act="preview")))
    notes = page[page.index('id="notes"') :]
    for path in ("metadata.cuda", "metadata.rpc.max_batch_size", "cloud.networking", "autoscaler"):
        assert f"{path} is kept, and does nothing on this Slipway." in notes
    assert "metadata.instences is no field that Slipway knows. Did you mean instance?" in notes
    assert "containers[0].envs is no field that Slipway knows. Did you mean env?" in notes
    assert "cloud.computing" not in notes
    assert "6 fields do nothing here" in notes


def test_a_processor_is_refused_with_what_it_needs(operator: Client) -> None:
    document = {"metadata": {"name": "pmml_old"}, "processor": "pmml", "model_path": "oss://b/m"}
    response = operator.post(ADDRESS, text_form(operator, json.dumps(document)))
    assert response.status_code == 422
    assert "Processors are not supported." in text_of(response)


def test_the_llm_form_lists_what_it_cannot_hold_before_it_opens(operator: Client) -> None:
    document = next(one for one in STARTERS if one.key == "bundled").document((), ())
    document["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": "hidden-from-view"}]
    form = text_form(operator, json.dumps(document))
    page = text_of(operator.post(f"{ADDRESS}?to=llm", form))
    listed = page[page.index('id="left-out"') : page.index("Open without them")]
    assert "containers[0].env[0].name" in listed
    assert "HF_TOKEN" in listed
    assert "hidden-from-view" not in listed
    assert "<title>Custom Deployment" in page
    page = raw(operator.post(f"{ADDRESS}?to=llm&sure=1", form))
    assert "<title>LLM Deployment" in page
    assert fields_of(page)["service_name"] == document["metadata"]["name"]


def test_a_document_that_the_llm_form_holds_opens_there_at_once(operator: Client) -> None:
    document = next(one for one in STARTERS if one.key == "vllm").document((), ())
    assert llm_request_of(document)[1] == []
    page = raw(operator.post(f"{ADDRESS}?to=llm", text_form(operator, json.dumps(document))))
    assert "<title>LLM Deployment" in page
    assert fields_of(page)["model_path"] == "oss://my-bucket/models/my-model/"
    assert fields_of(page)["acceleration"] == "vllm"


def test_a_program_that_is_no_model_is_not_opened_in_the_llm_form(operator: Client) -> None:
    page = raw(operator.post(f"{ADDRESS}?to=llm", custom(operator)))
    assert "The LLM form cannot open this" in page
    assert fields_of(page)["service_name"] == "custom"


def test_the_schema_knows_every_field_and_its_values(operator: Client) -> None:
    schema = operator.get("/deploy/document-schema").json()
    container = schema["properties"]["containers"]["items"]["properties"]
    assert container["port"]["type"] == "integer"
    assert container["startup_check"]["properties"]["http_get"]["properties"]["scheme"]["enum"][0] == "HTTP"
    assert schema["properties"]["labels"]["properties"]["ServiceEngineType"]["enum"] == ["chat-llm", "vllm", "bladellm"]
    assert schema["properties"]["storage"]["items"]["properties"]["oss"]["properties"]["readOnly"]["type"] == "boolean"
    assert schema["properties"]["autoscaler"]["deprecated"] is True
    assert schema["properties"]["metadata"]["properties"]["instance"]["maximum"] == 1000


def test_the_schema_is_for_people_who_are_signed_in(client: Client, db: None) -> None:
    assert client.get("/deploy/document-schema").status_code in (302, 401)


def test_a_text_takes_few_queries(operator: Client, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    form = text_form(operator, json.dumps({**WHOLE, "workspace_id": "x"}), act="preview")
    for act in ("preview", "starter:vllm", "view:yaml"):
        with django_assert_max_num_queries(12):
            operator.post(ADDRESS, form | {"act": act})
