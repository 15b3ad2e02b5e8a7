"""The OpenAPI document and docs/rest.md list the same operations, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

from django.core.management import call_command
from django.test import Client

from console.environment import REPOSITORY
from deployments.engines import RECIPES
from deployments.llm_request import FIELDS

METHODS = {"get", "post", "put", "delete", "patch"}


def test_docs_list_the_operations_of_the_openapi_document(db: None) -> None:
    document = json.loads(Client().get("/api/schema/?format=json").content)
    served = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method in METHODS
    }
    text = (REPOSITORY / "docs" / "rest.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Z]+ /api/v2/\S+)` \|", text, re.MULTILINE)) == served


def test_the_openapi_document_is_valid_and_without_warnings(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))
    assert (tmp_path / "schema.yaml").stat().st_size > 10_000


def test_the_openapi_document_lists_the_llm_form_s_fields(db: None) -> None:
    document = json.loads(Client().get("/api/schema/?format=json").content)
    body = document["paths"]["/api/v2/llm-services"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == set(FIELDS)
    assert set(body["properties"]["acceleration"]["enum"]) == {recipe.key for recipe in RECIPES}
