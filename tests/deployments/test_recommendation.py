"""What a model needs and where it goes, against sizes worked out by hand and machines that are documented."""

from __future__ import annotations

import pytest

from deployments.catalog import CatalogModel, Precision, find_model, load_catalog
from deployments.clusters.base import Capacity, Refusal
from deployments.fitting import Recommendation
from deployments.machines import find_instance_type, load_instance_types
from deployments.memory_plan import size_of, size_of_custom
from deployments.recommendation import (
    list_options,
    recommend,
    want_custom,
    want_model,
    why_not,
)

LAPTOP = (Capacity("laptop", 2, 8192, images=("chat-llm",)),)
LAPTOP_WITH_VLLM = (Capacity("laptop", 8, 32768, images=("chat-llm", "vllm")),)
ALL = ("chat-llm", "vllm", "bladellm")
A10_NODE = Capacity("gpu-1", 32, 122880, 2, "NVIDIA A10", 22.5, ALL, downloads=True)
T4_NODE = Capacity("gpu-2", 8, 31744, 1, "Tesla T4", 15.0, ALL, downloads=True)
UNLABELLED_NODE = Capacity("gpu-3", 32, 122880, 2, images=ALL, downloads=True)
CPU_NODE = Capacity("cpu-1", 8, 32768, images=ALL, downloads=True)


def model(name: str) -> CatalogModel:
    found = find_model(name)
    assert found is not None
    return found


def refusal_code(name: str, acceleration: str, nodes: tuple[Capacity, ...], precision: str = "") -> str | None:
    found = why_not(model(name), acceleration, Precision(precision) if precision else None, nodes)
    return found.code if found else None


@pytest.mark.parametrize(
    ("name", "tokens", "weights_gib", "cache_gib"),
    [
        ("Qwen2.5-7B-Instruct", 8192, 14.2, 0.44),
        ("Qwen2.5-7B-Instruct", 32768, 14.2, 1.75),
        ("Llama-3.1-8B-Instruct", 32768, 15.0, 4.0),
        ("Llama-3.1-8B-Instruct", 131072, 15.0, 16.0),
    ],
)
def test_weights_and_cache_agree_with_sizes_worked_out_by_hand(
    name: str, tokens: int, weights_gib: float, cache_gib: float
) -> None:
    size = size_of(model(name))
    assert size.weights_gib(Precision.BF16) == pytest.approx(weights_gib, rel=0.01)
    assert size.kv_gib_per_token(Precision.BF16, 1) * tokens == pytest.approx(cache_gib, rel=0.01)


def test_a_quantised_copy_keeps_its_token_tables_at_16_bits() -> None:
    # The published 4-bit files of Qwen2.5-7B-Instruct are 5.57 × 10^9 bytes.
    size = size_of(model("Qwen2.5-7B-Instruct"))
    assert size.weights_gib(Precision.INT4) * 2**30 == pytest.approx(5.57e9, rel=0.02)


def test_the_cache_is_kept_whole_on_every_gpu_once_heads_run_out() -> None:
    size = size_of(model("Qwen2.5-7B-Instruct"))  # 4 key-value heads
    one = size.kv_gib_per_token(Precision.BF16, 1)
    assert size.kv_gib_per_token(Precision.BF16, 4) == one
    assert size.kv_gib_per_token(Precision.BF16, 8) == 2 * one


def test_the_bundled_model_gets_two_cores_and_two_gib_on_a_laptop() -> None:
    found = recommend(want_model(model("SmolLM2-135M-Instruct"), "none"), LAPTOP)
    assert (found.cpu, found.memory_mb, found.gpu) == (2, 2048, 0)
    assert found.fits
    assert found.refusal is None
    assert found.machine.name == "laptop"
    assert (found.context_tokens, found.users) == (8192, 4)


def test_where_cores_are_set_aside_two_instances_and_an_update_find_room_on_one_node() -> None:
    for cores in (2, 4, 32):
        node = Capacity("node", cores, 32768, images=ALL, downloads=True, reserves=True)
        assert 3 * recommend(want_model(model("SmolLM2-135M-Instruct"), "none"), (node,)).cpu <= 0.75 * cores
    tiny = Capacity("tiny", 0.5, 8192, images=ALL, reserves=True)
    assert recommend(want_model(model("SmolLM2-135M-Instruct"), "none"), (tiny,)).cpu == 0.25


def test_the_bundled_model_never_takes_a_gpu() -> None:
    found = recommend(want_model(model("SmolLM2-135M-Instruct"), "none"), (A10_NODE,))
    assert found.gpu == 0


def test_a_machine_too_small_for_the_bundled_model_says_what_is_missing() -> None:
    tiny = (Capacity("tiny", 1, 512, images=("chat-llm",)),)
    found = recommend(want_model(model("SmolLM2-135M-Instruct"), "none"), tiny)
    assert found.refusal is not None
    assert found.refusal.code == "memory_short"
    assert "0.8 GiB short" in found.refusal.message


@pytest.mark.parametrize(
    ("name", "product", "gpus"),
    [
        ("DeepSeek-R1-Distill-Qwen-7B", "GU30", 1),  # documented: one A10, which is a GU30's size
        ("DeepSeek-R1-Distill-Llama-8B", "GU30", 1),
        ("DeepSeek-R1-Distill-Qwen-14B", "GPU L", 1),
        ("DeepSeek-R1-Distill-Llama-70B", "GU120", 2),
        ("DeepSeek-R1", "GU120", 8),
    ],
)
def test_rented_machines_agree_with_the_documented_minimum(name: str, product: str, gpus: int) -> None:
    found = recommend(want_model(model(name), "vllm"), (CPU_NODE,))
    assert (found.machine.gpu_product, found.gpu) == (product, gpus)
    assert found.machine.instance_type


def test_blade_llm_asks_for_1_7_times_the_weights() -> None:
    found = recommend(want_model(model("llama2-7b"), "bladellm"), (CPU_NODE,))
    assert found.bar.needed_gib == pytest.approx(1.7 * found.bar.weights_gib)
    assert found.machine.gpu_product == "GU30"  # documented: a 7B model at fp16 needs a 24 GB card


def test_a_node_with_room_is_taken_before_anything_is_rented() -> None:
    found = recommend(want_model(model("Qwen2-7b"), "vllm"), (CPU_NODE, A10_NODE))
    assert found.machine.name == "gpu-1"
    assert found.gpu == 1
    assert found.refusal is None
    assert found.machine.instance_type == ""


def test_the_smallest_node_that_fits_is_taken() -> None:
    found = recommend(want_model(model("Qwen1.5-1.8b"), "vllm"), (A10_NODE, T4_NODE))
    assert found.machine.name == "gpu-2"


def test_two_gpus_are_taken_where_one_is_too_small() -> None:
    found = recommend(want_model(model("Qwen1.5-14b"), "vllm"), (A10_NODE,))
    assert (found.machine.name, found.gpu) == ("gpu-1", 2)


def test_heads_that_cannot_be_divided_keep_a_model_on_one_gpu() -> None:
    # falcon-7b has 71 heads: two cards of 8 GiB hold it in sum, but vLLM cannot cut it.
    two_small = (Capacity("n", 8, 65536, 2, "NVIDIA A2", 12.0, ALL, downloads=True),)
    assert refusal_code("falcon-7b", "vllm", two_small) == "gpu_memory_short"
    assert refusal_code("falcon-7b", "none", two_small) is None


def test_a_gpu_without_bfloat16_loads_fp16_and_says_so() -> None:
    found = recommend(want_model(model("Qwen1.5-1.8b"), "vllm"), (T4_NODE,))
    assert found.precision is Precision.FP16
    assert any("no bfloat16" in sentence for sentence in found.sentences)


def test_a_longer_context_for_more_users_needs_more_cache() -> None:
    small = recommend(want_model(model("Qwen2-7b"), "vllm"), (A10_NODE,))
    large = recommend(want_model(model("Qwen2-7b"), "vllm", context_tokens=8192, users=8), (A10_NODE,))
    assert large.bar.kv_cache_gib == pytest.approx(16 * small.bar.kv_cache_gib)


def test_the_most_a_machine_holds_is_what_still_fits() -> None:
    wanted = want_model(model("Qwen2-7b"), "vllm")
    most = recommend(wanted, (A10_NODE,))
    exact = recommend(want_model(model("Qwen2-7b"), "vllm", users=most.most_users), (A10_NODE,))
    over = recommend(want_model(model("Qwen2-7b"), "vllm", users=most.most_users + 1), (A10_NODE,))
    assert exact.gpu == 1
    assert over.gpu == 2


@pytest.mark.parametrize(
    ("name", "acceleration", "nodes", "code"),
    [
        ("SmolLM2-135M-Instruct", "none", LAPTOP, None),
        ("SmolLM2-135M-Instruct", "vllm", LAPTOP, "acceleration_unsupported"),
        ("Qwen2-7b", "none", LAPTOP, "gpu_missing"),
        ("Qwen2-7b", "vllm", LAPTOP, "engine_missing"),
        ("Qwen2-7b", "bladellm", LAPTOP, "engine_missing"),
        ("Qwen2-7b", "none", (), "no_machine"),
        ("Qwen2-7b", "none", (CPU_NODE,), "gpu_missing"),
        ("Qwen2-7b", "vllm", (A10_NODE,), None),
        ("Qwen2-72b", "none", (A10_NODE,), "gpu_memory_short"),
        ("Qwen2-7b", "none", (UNLABELLED_NODE,), "gpu_memory_unknown"),
        ("Qwen1.5-1.8b", "bladellm", (T4_NODE,), "gpu_unfit"),
        ("Qwen1.5-1.8b", "bladellm", (A10_NODE,), None),
    ],
)
def test_every_reason_against_has_its_code(
    name: str, acceleration: str, nodes: tuple[Capacity, ...], code: str | None
) -> None:
    assert refusal_code(name, acceleration, nodes) == code


def test_a_gpu_alone_does_not_bring_weights_to_a_machine_that_fetches_none() -> None:
    workstation = (Capacity("desk", 16, 65536, 1, "NVIDIA RTX 4090", 23.5, ("chat-llm", "vllm")),)
    assert refusal_code("Qwen2-7b", "none", workstation) == "weights_absent"


def test_a_missing_gpu_is_stated_with_its_size() -> None:
    refusal = why_not(model("Qwen2-7b"), "none", None, LAPTOP)
    assert refusal is not None
    assert refusal.message == "Needs a GPU with 15.9 GiB free; this machine has none."


def test_a_shortfall_is_stated_in_gib() -> None:
    refusal = why_not(model("Qwen2-72b"), "none", None, (A10_NODE,))
    assert refusal is not None
    assert "has 45.0 GiB" in refusal.message
    assert "short" in refusal.message


def test_a_precision_that_is_not_published_is_refused() -> None:
    assert refusal_code("Qwen2-7b", "vllm", (A10_NODE,), "fp8") == "precision_unsupported"
    assert refusal_code("Qwen2-7b", "bladellm", (A10_NODE,), "int4") == "precision_unsupported"


def test_a_context_longer_than_the_model_reads_is_refused() -> None:
    found = recommend(want_model(model("llama2-7b"), "vllm", context_tokens=8192), (A10_NODE,))
    assert found.refusal is not None
    assert found.refusal.code == "context_too_long"


def test_a_folder_of_ones_own_runs_on_the_processor_of_a_laptop() -> None:
    found = recommend(want_custom("none", 0.5, "Qwen2.5", Precision.INT4), LAPTOP)
    assert (found.gpu, found.refusal) == (0, None)
    assert found.cpu == 2


def test_a_folder_of_ones_own_runs_on_vllms_build_for_processors() -> None:
    found = recommend(want_custom("vllm", 0.5, "Qwen2.5"), LAPTOP_WITH_VLLM)
    assert (found.gpu, found.refusal) == (0, None)


def test_vllm_on_a_cluster_needs_a_gpu_for_a_folder_of_ones_own() -> None:
    found = recommend(want_custom("vllm", 0.5, "Qwen2.5"), (CPU_NODE,))
    assert found.refusal is not None
    assert found.refusal.code == "gpu_missing"


def test_a_custom_model_is_shaped_like_the_nearest_of_its_family() -> None:
    custom = size_of_custom(7.6, "Qwen2.5")
    known = size_of(model("Qwen2.5-7B-Instruct"))
    assert custom.kv_elements_per_token == pytest.approx(known.kv_elements_per_token, rel=0.01)
    assert custom.weights_gib(Precision.BF16) == pytest.approx(14.2, rel=0.01)


def test_a_chosen_instance_type_is_taken_whether_it_fits_or_not() -> None:
    found = recommend(want_model(model("Qwen2-72b"), "none"), (A10_NODE,), "ecs.gn6i-c4g1.xlarge")
    assert (found.cpu, found.memory_mb, found.gpu) == (4, 15360, 1)
    assert found.bar.shortfall_gib > 100


def test_an_unknown_instance_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        recommend(want_model(model("Qwen2-7b"), "none"), (A10_NODE,), "ml.unknown")


def test_the_picker_offers_nodes_and_rented_machines_with_their_shortfall() -> None:
    options = list_options(want_model(model("Qwen1.5-14b"), "vllm"), (A10_NODE,))
    assert options[0].machine.name == "gpu-1"
    by_name = {option.machine.name: option for option in options}
    assert by_name["ecs.gn6i-c4g1.xlarge"].bar.shortfall_gib > 0
    assert by_name["ecs.gn8is.2xlarge"].fits


def test_the_picker_offers_this_machine_alone_where_none_can_be_rented() -> None:
    options = list_options(want_model(model("SmolLM2-135M-Instruct"), "none"), LAPTOP)
    assert [option.machine.name for option in options] == ["laptop"]


def test_the_picker_leaves_out_gpus_an_engine_does_not_run_on() -> None:
    options = list_options(want_model(model("Qwen2-7b"), "bladellm"), (A10_NODE,))
    assert not any(option.machine.gpu_product in ("T4", "V100") for option in options)


def all_recommendations() -> list[Recommendation]:
    return [
        recommend(want_model(one, acceleration, precision), nodes)
        for one in load_catalog()
        for acceleration in one.accelerations
        for precision in (None, *one.precisions)
        for nodes in (LAPTOP, LAPTOP_WITH_VLLM, (CPU_NODE,), (A10_NODE, T4_NODE), ())
    ]


def test_every_recommendation_of_the_catalog_can_be_shown() -> None:
    for found in all_recommendations():
        answer = found.as_dict()
        bar = found.bar
        assert 0 < found.cpu <= 512
        assert 1 <= found.memory_mb <= 8_388_608
        assert 0 <= found.gpu <= 64
        assert found.fits == (bar.needed_gib <= bar.total_gib)
        assert bar.needed_gib + bar.free_gib - bar.shortfall_gib == pytest.approx(bar.total_gib)
        assert None not in answer.values()
        assert found.sentences
        if found.fits:
            assert found.most_users >= found.users
            assert found.most_context_tokens >= found.context_tokens


def test_without_a_refusal_the_recommendation_fits_a_node() -> None:
    for found in all_recommendations():
        if found.refusal is None:
            assert found.fits
            assert not found.machine.instance_type


def test_instance_types_come_from_the_smallest_up() -> None:
    totals = [one.gpus * one.gpu_memory_gib for one in load_instance_types()]
    assert totals == sorted(totals)
    assert len({one.name for one in load_instance_types()}) == len(totals)


def test_the_documented_instance_types_are_known() -> None:
    found = find_instance_type("ml.gu7i.c16m60.1-gu30")
    assert found is not None
    assert (found.cpu_cores, found.memory_mib, found.gpus, found.gpu_product) == (16, 61440, 1, "GU30")
    assert find_instance_type("ml.unknown") is None


def test_an_engine_that_is_absent_says_how_to_install_it() -> None:
    told = Refusal("engine_missing", "vLLM is not installed.", "Install it: pip install vllm.")
    laptop = (Capacity("laptop", 8, 32768, images=("chat-llm",), absent={"vllm": told}),)
    assert recommend(want_custom("vllm", 1.0), laptop).refusal == told
