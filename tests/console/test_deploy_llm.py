"""LLM Deployment: filled in, previewed, refused with the cure, deployed."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from deployments.models import Membership, Role, Service, Workspace
from tests.console.conftest import ServiceMaker

BUNDLED = "SmolLM2-135M-Instruct"
ADDRESS = "/deploy/llm"


def fields_of(page: str) -> dict[str, str]:
    """The form as a browser without scripts would send it back."""
    form = page[page.index('<form id="deploy-form"') : page.rindex("</form>")]
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        pairs = dict(re.findall(r'([\w:.-]+)="([^"]*)"', tag))
        is_choice = pairs.get("type") in ("radio", "checkbox")
        if "name" in pairs and not tag.endswith("disabled>") and (not is_choice or " checked" in tag):
            found[pairs["name"]] = html.unescape(pairs.get("value", ""))
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.findall(r'<option value="([^"]*)" selected', options) or re.findall(r'value="([^"]*)"', options)
        found[name] = html.unescape(chosen[0])
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        found[name] = html.unescape(text)
    return found


def start(client: Client, address: str = ADDRESS, **changes: str) -> dict[str, str]:
    response = client.get(address)
    assert response.status_code == 200
    return fields_of(response.content.decode()) | changes


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def test_the_form_comes_filled_in_with_the_bundled_model(operator: Client) -> None:
    form = start(operator)
    assert form["model"] == BUNDLED
    assert form["service_name"] == "smollm2_135m_instruct"
    assert form["instances"] == "1"
    assert float(form["cpu"]) > 0
    assert int(form["memory"]) >= 1024
    assert form["gpu"] == "0"


def test_document_and_command_are_shown_before_anything_is_created(operator: Client) -> None:
    page = text_of(operator.get(ADDRESS))
    assert "--model-path=SmolLM2-135M-Instruct" in page
    assert '"ServiceEngineType": "chat-llm"' in page
    assert page.index('id="document"') < page.index('id="deploy-button"')
    assert "Fits here" in page


def test_deploying_the_form_as_it_comes_creates_the_service(operator: Client) -> None:
    response = operator.post(ADDRESS, start(operator))
    service = Service.objects.get()
    assert response.status_code == 302
    assert response["Location"] == f"/services/{service.name}"
    assert service.document["containers"][0]["script"].endswith("--model-path=SmolLM2-135M-Instruct")
    assert service.created_by == User.objects.get(username="oskar")


def test_a_script_is_told_where_the_service_is(operator: Client) -> None:
    response = operator.post(ADDRESS, start(operator), headers={"X-Slipway-Live": "all"})
    assert response.status_code == 201
    assert response["Location"] == f"/services/{Service.objects.get().name}"


def test_the_offered_name_is_free(operator: Client, make_service: ServiceMaker) -> None:
    make_service("smollm2_135m_instruct")
    assert start(operator)["service_name"] == "smollm2_135m_instruct_2"


def test_every_model_is_listed_and_misfits_say_how_much_is_missing(operator: Client) -> None:
    page = text_of(operator.get(ADDRESS))
    assert page.count('class="model-row"') > 40
    row = page[page.index('id="row-model-qwen2-72b"') :][:1500]
    assert "Fits here" not in row
    assert re.search(r"[\d,.]+ GiB (of GPU memory )?short", row)


def test_an_acceleration_that_cannot_be_used_stays_visible_with_the_reason(operator: Client) -> None:
    page = text_of(operator.get(ADDRESS))
    assert "PAI-BladeLLM" in page
    assert f"{BUNDLED} does not run on vLLM. Choose Not Accelerated." in page


@pytest.mark.parametrize(
    ("changes", "field", "cure"),
    [
        ({"service_name": "Chat A"}, "service_name", "Use `chat_a`?"),
        ({"cpu": "many"}, "cpu", "CPU must be a number over 0"),
        ({"memory": "0"}, "memory", "Memory must be a whole number from 1"),
        ({"gpu": "65"}, "gpu", "GPUs must be a whole number from 0 to 64"),
        ({"instances": "1001"}, "instances", "Instances must be a whole number from 0 to 1,000"),
        ({"context_tokens": "9000"}, "context_tokens", "reads at most 8,192 tokens"),
        ({"users": "0"}, "users", "Users at once must be a whole number from 1"),
        ({"acceleration": "vllm"}, "acceleration", "does not run on vLLM"),
        ({"precision": "fp8"}, "precision", "cannot be loaded in fp8. Choose int4."),
        ({"model": ""}, "model", "Choose a model"),
        ({"model": "Qwen9"}, "model", "no model"),
        ({"memory": "512"}, "memory", "Set memory to"),
        ({"model": "Qwen2-72b"}, "model", "GiB"),
        ({"model_source": "custom"}, "parameter_quantity", "Parameter Quantity is missing"),
        ({"model_source": "custom", "parameter_quantity": "1"}, "model_path", "OSS folder"),
        (
            {"model_source": "custom", "parameter_quantity": "1", "model_path": "bucket/x"},
            "model_path",
            "must look like oss://BUCKET/FOLDER/",
        ),
        (
            {"model_source": "custom", "parameter_quantity": "1", "model_path": "oss://buck/x", "mount_path": "/etc"},
            "mount_path",
            "such as /model_dir",
        ),
        (
            {"model_source": "custom", "parameter_quantity": "400", "model_path": "oss://buck/x"},
            "parameter_quantity",
            "GiB",
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_cure_and_nothing_is_created(
    operator: Client, changes: dict[str, str], field: str, cure: str
) -> None:
    response = operator.post(ADDRESS, start(operator, **changes))
    page = text_of(response)
    assert response.status_code == 422
    assert "<title>Error: LLM Deployment" in page
    element = "model-search" if field == "model" else f"f-{field}"
    summary = page[page.index('id="error-summary"') :][:3000]
    assert f'href="#{element}"' in summary
    assert cure in summary
    assert f'id="{element}"' in page
    assert f'id="f-{field}-error"' in page
    assert not Service.objects.exists()


def test_several_errors_are_all_listed_and_what_was_typed_stays(operator: Client) -> None:
    wrong = {"service_name": "No Name!", "cpu": "many", "instances": "-3"}
    response = operator.post(ADDRESS, start(operator, **wrong))
    page = text_of(response)
    assert "3 things to correct" in page
    assert {name: fields_of(response.content.decode())[name] for name in wrong} == wrong
    assert "autofocus" in page[page.index('id="error-summary"') :][:60]


def test_a_taken_name_is_said_at_the_field(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    response = operator.post(ADDRESS, start(operator, service_name="chat_a"))
    assert response.status_code == 422
    assert "A service named chat_a exists already. Choose another name" in text_of(response)
    assert 'id="f-service_name-error"' in text_of(response)
    assert Service.objects.count() == 1
    response = operator.post(ADDRESS, start(operator, service_name="chat_a"), headers={"Accept-Language": "ja"})
    assert "exists already" not in text_of(response)


def test_a_preview_creates_nothing_and_fills_in_for_the_new_model(operator: Client) -> None:
    response = operator.post(ADDRESS, start(operator, model="Qwen2-7b", act="preview"))
    form = fields_of(response.content.decode())
    assert response.status_code == 200
    assert form["service_name"] == "qwen2_7b"
    assert form["gpu"] == "1"
    assert "--model-path=Qwen/Qwen2-7B-Instruct" in text_of(response)
    assert not Service.objects.exists()


def test_changing_the_model_keeps_what_was_typed_and_lists_the_rest(operator: Client) -> None:
    first = operator.post(ADDRESS, start(operator, cpu="1.5", act="preview"))
    form = fields_of(first.content.decode()) | {"model": "Qwen2-7b", "act": "preview"}
    page = text_of(operator.post(ADDRESS, form))
    resets = page[page.index('id="resets"') : page.index("</section>", page.index('id="resets"'))]
    assert fields_of(page)["cpu"] == "1.5"
    assert "Kept as you set them: CPU." in resets
    assert "GPUs" in resets
    assert "0 → 1" in resets
    again = fields_of(page) | {"act": "preview"}
    assert "0 → 1" in text_of(operator.post(ADDRESS, again))


def test_figures_of_the_last_model_do_not_stand_for_one_that_is_not_known_yet(operator: Client) -> None:
    form = start(operator, cpu="1.5", model_source="custom", act="preview")
    blank = fields_of(operator.post(ADDRESS, form).content.decode())
    assert (blank["cpu"], blank["memory"], blank["users"]) == ("1.5", "", "")
    known = blank | {"parameter_quantity": "0.5", "model_path": "oss://models/mine/", "act": "preview"}
    page = text_of(operator.post(ADDRESS, known))
    assert fields_of(page)["memory"] == "2560"
    assert "2048 → 2560" in page[page.index('id="resets"') :]


def test_an_emptied_figure_goes_back_to_the_recommendation(operator: Client) -> None:
    form = start(operator)
    page = operator.post(ADDRESS, form | {"memory": "", "act": "preview"}).content.decode()
    assert fields_of(page)["memory"] == form["memory"]


def test_an_emptied_name_is_an_error_with_a_free_one_and_never_another_name(operator: Client) -> None:
    response = operator.post(ADDRESS, start(operator, service_name=""))
    page = text_of(response)
    assert response.status_code == 422
    assert "Service Name is missing." in page
    assert "Use `smollm2_135m_instruct`?" in page
    assert fields_of(page)["service_name"] == ""
    assert not Service.objects.exists()


def test_emptied_instances_are_the_one_that_the_hint_names(operator: Client) -> None:
    assert "Empty: 1." in text_of(operator.get(ADDRESS))
    assert operator.post(ADDRESS, start(operator, instances="")).status_code == 302
    assert Service.objects.get().wanted_instances == 1


def test_while_typing_only_fields_that_were_left_once_show_errors(operator: Client) -> None:
    wrong = start(operator, cpu="many", gpu="x", visited="cpu", act="preview")
    page = text_of(operator.post(ADDRESS, wrong, headers={"X-Slipway-Live": "all"}))
    assert 'id="f-cpu-error"' in page
    assert 'id="f-gpu-error"' not in page
    assert "<html" not in page


def test_a_custom_model_is_deployed_from_its_folder(operator: Client) -> None:
    form = start(operator, model_source="custom", parameter_quantity="0.5", model_path="oss://models/mine/")
    preview = operator.post(ADDRESS, form | {"act": "preview"})
    assert operator.post(ADDRESS, fields_of(preview.content.decode())).status_code == 302
    document = Service.objects.get().document
    assert document["storage"] == [
        {"mount_path": "/model_dir", "oss": {"path": "oss://models/mine/", "readOnly": True}}
    ]
    assert "--model-path=/model_dir" in document["containers"][0]["script"]


def test_viewers_are_told_whom_to_ask(viewer: Client) -> None:
    assert viewer.get(ADDRESS).status_code == 403
    assert viewer.post(ADDRESS, {"model": BUNDLED}).status_code == 403
    assert not Service.objects.exists()


def test_nobody_deploys_without_signing_in(client: Client, db: None) -> None:
    assert client.get(ADDRESS)["Location"].startswith("/sign-in")
    assert client.post(ADDRESS, headers={"X-Slipway-Live": "all"}).status_code == 401


def test_a_service_goes_to_the_workspace_that_was_chosen(operator: Client, workspace: Workspace) -> None:
    second = Workspace.objects.create(slug="wharf", name="Wharf")
    user = User.objects.get(username="oskar")
    Membership.objects.create(user=user, workspace=second, role=Role.OPERATOR)
    assert operator.post(ADDRESS, start(operator, workspace="wharf")).status_code == 302
    assert Service.objects.get().workspace == second


def test_another_workspace_than_ones_own_is_refused(operator: Client) -> None:
    Workspace.objects.create(slug="wharf", name="Wharf")
    response = operator.post(ADDRESS, start(operator, workspace="wharf"))
    assert response.status_code == 422
    assert "Choose one of your workspaces: harbour." in text_of(response)
    assert not Service.objects.exists()


def test_a_model_is_chosen_by_the_address(operator: Client) -> None:
    assert start(operator, f"{ADDRESS}?model=Qwen2-7b")["model"] == "Qwen2-7b"


def test_there_is_no_inline_script_or_style(operator: Client) -> None:
    page = operator.get(ADDRESS).content.decode()
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son[a-z]+=", page)


def test_a_page_takes_few_queries(
    operator: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        make_service(f"smollm2_{number}")
    captured: CaptureQueriesContext
    with django_assert_max_num_queries(12) as captured:
        operator.get(ADDRESS)
    assert len(captured)
    form = start(operator, act="preview")
    with django_assert_max_num_queries(12):
        operator.post(ADDRESS, form)
