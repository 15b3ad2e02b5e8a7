"""What a click would do stands beside the button: checks, and what is written to the cluster."""

from __future__ import annotations

import html
import re
from pathlib import Path

import yaml
from django.conf import settings
from django.test import Client
from django.utils.html import strip_tags

from console.yaml_html import yaml_html
from deployments.spec.text import YAML, write_text
from tests.console.conftest import ServiceMaker
from tests.console.test_deploy_custom import ADDRESS, custom


def manifests_of(page: str) -> str:
    """The card's text as somebody reads it."""
    found = re.search(r'<section class="card" id="manifests".*?</section>', page, re.DOTALL)
    assert found is not None
    return strip_tags(found[0])


def test_the_llm_form_shows_what_would_be_started(operator: Client) -> None:
    page = operator.get("/deploy/llm").content.decode()
    assert "1 object" in manifests_of(page)
    assert "webui/webui_server.py" in manifests_of(page)
    assert "it starts at once" in page


def test_secrets_are_masked_in_the_manifest(operator: Client) -> None:
    form = custom(operator, env=[("HF_TOKEN", "hush-hush"), ("MODE", "fast")], act="preview")
    shown = manifests_of(operator.post(ADDRESS, form).content.decode())
    assert "MODE: fast" in shown
    assert "HF_TOKEN: ••••••••" in shown
    assert "hush-hush" not in shown


def test_a_document_with_a_mistake_has_no_manifest(operator: Client) -> None:
    page = operator.post(ADDRESS, custom(operator, port="8080", act="preview")).content.decode()
    assert 'id="manifests"' not in page


def test_storage_is_looked_at_when_somebody_asks(operator: Client) -> None:
    form = custom(operator, mounts=[("oss", "oss://form-bucket/weights/", "/model_dir")])
    page = operator.post(ADDRESS, form | {"act": "preview"}).content.decode()
    assert 'value="check-access"' in page
    assert "is not there" not in page
    page = operator.post(ADDRESS, form | {"act": "check-access"}).content.decode()
    assert "oss://form-bucket/weights/ is not there." in page
    folder = Path(settings.SLIPWAY_DATA_DIR) / "oss" / "form-bucket" / "weights"
    folder.mkdir(parents=True)
    assert "is empty" in operator.post(ADDRESS, form | {"act": "check-access"}).content.decode()
    (folder / "config.json").write_text("{}")
    assert "can be read" in operator.post(ADDRESS, form | {"act": "check-access"}).content.decode()


def test_without_mounts_there_is_nothing_to_look_at(operator: Client) -> None:
    assert 'value="check-access"' not in operator.get(ADDRESS).content.decode()


def test_an_update_shows_it_too(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    for kind in ("llm", "custom"):
        page = operator.get(f"/services/chat_a/edit?form={kind}").content.decode()
        assert "Process/chat_a" in manifests_of(page)
        assert "pesto-genovese" not in manifests_of(page)


def test_painted_yaml_is_the_same_text() -> None:
    document = {
        "kind": "Deployment",
        "metadata": {"name": "chat-a", "labels": {"app.kubernetes.io/managed-by": "slipway", "empty": ""}},
        "spec": {
            "replicas": 2,
            "paused": False,
            "args": ["--flag=<b>", "8000", "a: b", "# no comment"],
            "containers": [{"name": "main", "script": "set -e\n  echo \"a: b\"\n\nexec run\n", "env": []}],
            "none": {},
        },
    }  # fmt: skip
    text = write_text(document, YAML)
    painted = yaml_html(text)
    assert html.unescape(strip_tags(painted)) == text.rstrip("\n")
    assert yaml.safe_load(text) == document
    assert '<span class="y-name">replicas</span>: <span class="y-number">2</span>' in painted
    assert "<b>" not in painted
