"""Update Service: prefilled, with what saving restarts said before the click."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from console.deploy_effect import carry_over
from deployments import lifecycle
from deployments.clusters import get_cluster
from deployments.encryption import decrypt
from deployments.llm_form import LlmRequest, render_document
from deployments.models import Desired, Revision, Service
from deployments.spec import ServiceSpec
from deployments.spec.text import write_text
from tests.console.conftest import TOKEN, ServiceMaker
from tests.console.test_deploy_llm import fields_of, start, text_of

EDIT = "/services/chat_a/edit"


@pytest.fixture
def llm_service(make_service: ServiceMaker) -> Service:
    """A service as the LLM form would have written it, running twice."""
    service = make_service("chat_a", ready=2, wanted_instances=2)
    request = LlmRequest.parse({"service_name": "chat_a", "model": "SmolLM2-135M-Instruct", "instances": 2})
    Revision.objects.filter(service=service).update(document=render_document(request, get_cluster().capacity()))
    return Service.objects.get()


@pytest.fixture
def custom_service(make_service: ServiceMaker) -> Service:
    """A service whose environment the LLM form cannot hold."""
    return make_service("chat_a", ready=2, wanted_instances=2)


def edit_form(client: Client, **changes: str) -> dict[str, str]:
    return start(client, EDIT, **changes)


def test_the_llm_form_opens_with_what_the_service_has(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator)
    assert form["model"] == "SmolLM2-135M-Instruct"
    assert form["instances"] == "2"
    assert form["base"] == "1"


def test_saving_an_unchanged_form_changes_nothing(operator: Client, llm_service: Service) -> None:
    page = text_of(operator.get(EDIT))
    assert "Nothing changes yet." in page
    assert operator.post(EDIT, edit_form(operator)).status_code == 302
    service = Service.objects.get()
    assert service.revisions.count() == 1
    assert service.generation == llm_service.generation


def test_more_instances_restart_nothing(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, instances="3")
    preview = text_of(operator.post(EDIT, form | {"act": "preview"}))
    assert "No restart: only the number of instances changes, from 2 to 3." in preview
    assert Service.objects.get().wanted_instances == 2
    assert operator.post(EDIT, form).status_code == 302
    service = Service.objects.get()
    assert service.wanted_instances == 3
    assert service.revisions.count() == 1


def test_emptied_instances_stay_as_many_as_now(operator: Client, llm_service: Service) -> None:
    assert "Empty: as many as now." in text_of(operator.get(EDIT))
    assert operator.post(EDIT, edit_form(operator, instances="", cpu="3")).status_code == 302
    assert Service.objects.get().wanted_instances == 2


def test_emptied_instances_of_the_custom_form_stay_as_many_as_now(operator: Client, custom_service: Service) -> None:
    form = edit_form(operator, instances="", cpu="3")
    page = text_of(operator.post(EDIT, {**form, "act": "preview"}))
    assert "Empty: as many as now." in page
    assert "Scales" not in page
    assert operator.post(EDIT, form).status_code == 302
    service = Service.objects.get()
    assert service.wanted_instances == 2
    assert service.document["metadata"]["cpu"] == 3


def test_other_changes_say_how_many_instances_restart(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, memory="3072")
    preview = text_of(operator.post(EDIT, form | {"act": "preview"}))
    assert "Restarts 2 instances one by one." in preview
    assert preview.index("Restarts 2 instances") < preview.index('id="deploy-button"')
    assert "metadata.memory" in preview
    assert "3072</ins>" in preview
    assert operator.post(EDIT, form).status_code == 302
    service = Service.objects.get()
    assert service.document["metadata"]["memory"] == 3072
    assert service.revisions.count() == 2


def test_a_stopped_service_takes_it_at_its_next_start(operator: Client, llm_service: Service) -> None:
    Service.objects.update(desired=Desired.STOPPED, status="Stopped")
    preview = text_of(operator.post(EDIT, edit_form(operator, memory="3072", act="preview")))
    assert "it takes effect at the next start" in preview
    assert operator.post(EDIT, edit_form(operator, memory="3072")).status_code == 302


def test_edits_survive_somebody_elses(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, memory="3072")
    other = User.objects.create_user("li")
    document = llm_service.document
    document["metadata"]["cpu"] = 1
    lifecycle.update(llm_service, ServiceSpec.parse(document), other)
    response = operator.post(EDIT, form)
    page = text_of(response)
    assert response.status_code == 409
    assert "li saved r2 meanwhile. Your edits are kept. Compare, then save." in page
    assert fields_of(page)["memory"] == "3072"
    assert Service.objects.get().revisions.count() == 2
    assert operator.post(EDIT, fields_of(page)).status_code == 302
    assert Service.objects.get().document["metadata"]["memory"] == 3072


def test_looking_on_does_not_hide_that_somebody_else_saved(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, memory="3072")
    save_elsewhere(llm_service, cpu=1)
    page = operator.post(EDIT, form | {"act": "preview"}).content.decode()
    assert "li saved r2 meanwhile" in page
    assert "Before" in page[page.index('id="meanwhile"') :]
    response = operator.post(EDIT, fields_of(page))
    assert response.status_code == 409
    assert Service.objects.get().revisions.count() == 2


def test_a_third_save_is_shown_too(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, memory="3072")
    save_elsewhere(llm_service, cpu=1)
    told = fields_of(operator.post(EDIT, form).content.decode())
    save_elsewhere(Service.objects.get(), cpu=2)
    response = operator.post(EDIT, told)
    assert response.status_code == 409
    assert "li saved r3 meanwhile" in text_of(response)
    assert operator.post(EDIT, fields_of(response.content.decode())).status_code == 302


@pytest.mark.parametrize("address", [EDIT, f"{EDIT}?form=custom"])
def test_their_changes_are_added_to_mine(operator: Client, llm_service: Service, address: str) -> None:
    form = start(operator, address, memory="3072")
    save_elsewhere(llm_service, cpu=1)
    page = operator.post(address, form | {"act": "take-theirs"}).content.decode()
    both = fields_of(page)
    assert "saved r2 meanwhile" not in page
    assert (both["cpu"], both["memory"], both["base"]) == ("1", "3072", "2")
    assert operator.post(address, both).status_code == 302
    metadata = Service.objects.get().document["metadata"]
    assert (metadata["cpu"], metadata["memory"]) == (1, 3072)


def test_two_people_may_each_add_a_variable(operator: Client, custom_service: Service) -> None:
    form = start(operator, EDIT)
    mine = json.loads(form["base_document"])
    mine["containers"][0]["env"].append({"name": "MINE", "value": "1"})
    text = form | {"view": "yaml", "document": write_text(mine, "yaml")}
    document = custom_service.document
    document["containers"][0]["env"].append({"name": "THEIRS", "value": "2"})
    lifecycle.update(custom_service, ServiceSpec.parse(document), User.objects.create_user("li"))
    page = operator.post(EDIT, text | {"act": "take-theirs"}).content.decode()
    both = fields_of(page)
    assert operator.post(EDIT, both).status_code == 302
    names = [one["name"] for one in Service.objects.get().document["containers"][0]["env"]]
    assert names == ["SECRET_SAUCE", "MINE", "THEIRS"]


def test_undoing_the_merge_tells_of_their_changes_again(operator: Client, custom_service: Service) -> None:
    form = start(operator, EDIT, memory="3072")
    save_elsewhere(custom_service, cpu=1)
    both = fields_of(operator.post(EDIT, form | {"act": "take-theirs"}).content.decode())
    page = operator.post(EDIT, both | {"act": "undo"}).content.decode()
    assert "li saved r2 meanwhile" in page
    assert fields_of(page)["cpu"] == "2"
    assert operator.post(EDIT, fields_of(page)).status_code == 409


def test_what_both_changed_is_named(operator: Client, custom_service: Service) -> None:
    form = start(operator, EDIT, memory="3072")
    save_elsewhere(custom_service, memory=1024, cpu=1)
    page = text_of(operator.post(EDIT, form))
    contested = page[page.index("Both of you changed:") : page.index('id="take-theirs"')]
    assert "metadata.memory" in contested
    assert "metadata.cpu" not in contested


@pytest.mark.parametrize("address", [EDIT, f"{EDIT}?form=custom"])
def test_whoever_scaled_meanwhile_is_not_overruled(operator: Client, llm_service: Service, address: str) -> None:
    form = start(operator, address, memory="3072")
    lifecycle.scale(llm_service, 4, User.objects.create_user("li"))
    preview = text_of(operator.post(address, form | {"act": "preview"}))
    assert "metadata.instance<" not in preview
    assert operator.post(address, form).status_code == 302
    assert Service.objects.get().wanted_instances == 4


def test_a_reason_stands_beside_the_version(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, memory="3072", reason="More  room\nfor <long> talks")
    page = operator.post(EDIT, form | {"act": "preview"}).content.decode()
    assert "More  room" in fields_of(page)["reason"]
    assert operator.post(EDIT, form).status_code == 302
    revision = Service.objects.get().revisions.first()
    assert revision is not None
    assert revision.reason == "More room for <long> talks"
    assert "More room for <long> talks" in text_of(operator.get("/services/chat_a/versions"))


def test_the_llm_form_keeps_what_it_has_no_field_for(operator: Client, llm_service: Service) -> None:
    document = llm_service.document
    document["labels"]["team"] = "harbour"
    Revision.objects.filter(service=llm_service).update(document=document)
    assert "<title>Update Service" in text_of(operator.get(EDIT))
    assert 'id="part-program"' in text_of(operator.get(EDIT))
    address = f"{EDIT}?form=llm"
    page = text_of(operator.get(address))
    assert "labels.team" in page[page.index('id="lost"') :]
    assert operator.post(address, start(operator, address, memory="3072")).status_code == 302
    saved = Service.objects.get().document
    assert saved["labels"]["team"] == "harbour"
    assert saved["metadata"]["memory"] == 3072


def save_elsewhere(service: Service, **metadata: int) -> None:
    """Another person saves other metadata."""
    document = service.document
    document["metadata"] |= metadata
    other, _ = User.objects.get_or_create(username="li")
    lifecycle.update(service, ServiceSpec.parse(document), other)


def test_wrong_fields_save_nothing(operator: Client, llm_service: Service) -> None:
    response = operator.post(EDIT, edit_form(operator, cpu="many", instances="5000"))
    assert response.status_code == 422
    assert "Nothing was saved: 2 things to correct" in text_of(response)
    assert Service.objects.get().revisions.count() == 1


def test_a_model_that_does_not_fit_is_refused(operator: Client, llm_service: Service) -> None:
    response = operator.post(EDIT, edit_form(operator, model="Qwen2-72b"))
    assert response.status_code == 422
    assert 'href="#model-search"' in text_of(response)
    assert Service.objects.get().revisions.count() == 1


def test_a_document_the_llm_form_cannot_hold_opens_the_custom_form(operator: Client, custom_service: Service) -> None:
    page = text_of(operator.get(EDIT))
    assert "The LLM form cannot hold all of this document" in page
    assert "containers[0].env[0].name" in page
    form = fields_of(operator.get(EDIT).content.decode())
    assert json.loads(form["base_document"])["containers"][0]["env"][0]["name"] == "SECRET_SAUCE"


def test_the_custom_form_saves_and_hides_secrets_in_the_changes(operator: Client, custom_service: Service) -> None:
    address = f"{EDIT}?form=custom"
    form = start(operator, address) | {"env_name": "SECRET_SAUCE", "env_value": "arrabbiata"}
    preview = text_of(operator.post(address, form | {"act": "preview"}))
    changes = preview[preview.index('id="diff"') : preview.index("</table>", preview.index('id="diff"'))]
    assert "containers[0].env[0].value" in changes
    assert "changed" in changes
    assert "arrabbiata" not in changes
    assert "pesto" not in changes
    assert "metadata" not in changes
    assert operator.post(address, form).status_code == 302
    assert Service.objects.get().document["containers"][0]["env"][0]["value"] == "arrabbiata"


def test_a_new_token_is_announced_and_restarts_nothing(operator: Client, custom_service: Service) -> None:
    address = f"{EDIT}?form=custom"
    form = start(operator, address)
    document = json.loads(form["base_document"]) | {"token": "a-new-token-of-mine"}
    form |= {"view": "json", "document": json.dumps(document)}
    preview = text_of(operator.post(address, form | {"act": "preview"}))
    assert "No restart: only the service token changes." in preview
    assert decrypt(Service.objects.get().token_encrypted) == TOKEN
    assert operator.post(address, form).status_code == 302
    assert decrypt(Service.objects.get().token_encrypted) == "a-new-token-of-mine"
    assert Service.objects.get().revisions.count() == 1


def test_the_llm_edit_converts_to_the_custom_form(operator: Client, llm_service: Service) -> None:
    form = edit_form(operator, memory="3072", act="preview")
    page = operator.post(f"{EDIT}?form=custom&from=llm", form).content.decode()
    assert json.loads(fields_of(page)["base_document"])["metadata"]["memory"] == 3072
    assert 'name="base"' in page


def test_a_service_keeps_its_name(operator: Client, custom_service: Service) -> None:
    address = f"{EDIT}?form=custom"
    response = operator.post(address, start(operator, address, service_name="another"))
    assert response.status_code == 422
    assert "A service keeps its name" in text_of(response)


def test_viewers_are_told_who_may_change_it(viewer: Client, owner: Client, llm_service: Service) -> None:
    response = viewer.get(EDIT)
    assert response.status_code == 403
    assert "You can view chat_a, not change it. Owners: olga." in text_of(response)
    assert viewer.post(EDIT, {"instances": "9"}).status_code == 403
    assert Service.objects.get().wanted_instances == 2


def test_strangers_find_nothing(stranger: Client, llm_service: Service) -> None:
    assert stranger.get(EDIT).status_code == 404
    assert stranger.post(EDIT, {}).status_code == 404


def test_a_page_takes_few_queries(
    operator: Client, llm_service: Service, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    form = edit_form(operator, memory="3072", act="preview")
    with django_assert_max_num_queries(12):
        operator.get(EDIT)
    with django_assert_max_num_queries(12):
        operator.post(EDIT, form)


def test_carrying_over_touches_only_what_the_form_changed() -> None:
    current = {"a": 1, "spelled": "python  x", "own": [1], "list": [{"k": 1, "mine": 2}]}
    was = {"a": 1, "spelled": "python x", "gone": 5, "list": [{"k": 1}]}
    now = {"a": 2, "spelled": "python x", "new": 3, "list": [{"k": 4}]}
    assert carry_over(current, was, now) == {
        "a": 2,
        "spelled": "python  x",
        "own": [1],
        "list": [{"k": 4, "mine": 2}],
        "new": 3,
    }
