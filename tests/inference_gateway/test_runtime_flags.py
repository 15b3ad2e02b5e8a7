"""The command lines of eas.md §1.7."""

from __future__ import annotations

import pytest

from inference_gateway.runtime.flags import REFUSED, FlagError, Flags, check_backend, parse
from inference_gateway.runtime.model_files import Backend

BOTH_SPELLINGS = [
    ("model-path", "a_b/model", "model_path", "a_b/model"),
    ("max-new-tokens", "64", "max_new_tokens", 64),
    ("temperature", "0.5", "temperature", 0.5),
    ("max-round", "3", "max_round", 3),
    ("top-k", "7", "top_k", 7),
    ("top-p", "0.5", "top_p", 0.5),
    ("log-level", "debug", "log_level", "DEBUG"),
    ("port", "9000", "port", 9000),
    ("host", "0.0.0.0", "host", "0.0.0.0"),
    ("slots", "2", "slots", 2),
    ("context", "512", "context_tokens", 512),
    ("served-model-name", "chat", "served_model_name", "chat"),
    ("system-prompt", "Be kind.", "system_prompt", "Be kind."),
    ("threads", "2", "threads", 2),
    ("export-history-path", "/his_tory", "export_history_path", "/his_tory"),
    ("export-interval", "60", "export_interval", 60),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), BOTH_SPELLINGS)
def test_a_flag_is_taken_in_both_spellings_and_both_forms(name: str, text: str, field: str, value: object) -> None:
    for spelling in (name, name.replace("-", "_")):
        for arguments in ([f"--{spelling}={text}"], [f"--{spelling}", text]):
            assert getattr(parse(arguments, {}), field) == value


@pytest.mark.parametrize("name", ["api-only", "no-api", "no-template"])
def test_a_switch_may_have_a_value(name: str) -> None:
    field = name.replace("-", "_")
    assert getattr(parse([f"--{name}"], {}), field) is True
    assert getattr(parse([f"--{field}=True"], {}), field) is True
    assert getattr(parse([f"--{name}", "False"], {}), field) is False


def test_without_flags_everything_has_its_default() -> None:
    assert parse([], {}) == Flags()


@pytest.mark.parametrize("flag", ["--model-type=qwen", "--backend=auto"])
def test_what_is_true_anyway_is_accepted(flag: str) -> None:
    assert parse([flag], {}) == Flags()


def test_backend_and_precision_are_chosen_by_name() -> None:
    assert parse(["--backend=llama.cpp"], {}).backend is Backend.LLAMA
    for name in ("transformers", "Transformers", "hf"):
        assert parse(["--backend", name], {}).backend is Backend.TRANSFORMERS
    assert parse(["--backend=vLLM"], {}).backend is Backend.VLLM
    assert parse(["--precision=FP16"], {}).precision == "fp16"
    assert parse(["--cpu"], {}).cpu is True


def test_the_port_comes_from_the_environment_unless_a_flag_says_otherwise() -> None:
    assert parse([], {"PORT": "9001"}).port == 9001
    assert parse(["--port=9002"], {"PORT": "9001"}).port == 9002


def test_it_listens_on_this_machine_only_unless_told() -> None:
    assert parse(["--listen"], {}).host == "0.0.0.0"
    assert parse(["--listen", "--host=10.0.0.1"], {}).host == "10.0.0.1"
    assert parse([], {"SLIPWAY_LISTEN_HOST": "0.0.0.0"}).host == "0.0.0.0"


def test_the_flags_are_the_defaults_of_eas_s_fields() -> None:
    flags = parse(["--temperature=0.2", "--top_k=5", "--max_round=2", "--max-new-tokens=9"], {})
    defaults = flags.render_eas_defaults()
    assert (defaults.temperature, defaults.top_k, defaults.top_p) == (0.2, 5, 0.8)
    assert (defaults.max_rounds, defaults.max_new_tokens) == (2, 9)


def test_a_backend_that_cannot_obey_a_flag_refuses_it() -> None:
    precise, parallel = parse(["--precision=fp16"], {}), parse(["--tensor-parallel-size=2"], {})
    check_backend(precise, Backend.TRANSFORMERS)
    check_backend(parallel, Backend.VLLM)
    with pytest.raises(FlagError, match="--precision"):
        check_backend(precise, Backend.LLAMA)
    for backend in (Backend.LLAMA, Backend.TRANSFORMERS):
        check_backend(parse(["--tensor-parallel-size=1"], {}), backend)
        with pytest.raises(FlagError, match="--backend=vllm"):
            check_backend(parallel, backend)


@pytest.mark.parametrize("name", [*REFUSED, "backend"])
def test_what_this_version_does_not_do_is_refused_by_name(name: str) -> None:
    for spelling in (f"--{name}=blade", f"--{name.replace('-', '_')}=blade"):
        with pytest.raises(FlagError, match=f"--{name}"):
            parse([spelling], {})


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max_length=0.8"],
        ["--temperature=0,5"],
        ["--temperature=nan"],
        ["--top-p=1.5"],
        ["--top-k=0"],
        ["--port=70000"],
        ["--port"],
        ["--log-level=LOUD"],
        ["--max-new-tokens=-1"],
        ["--slots=0"],
        ["--precision=int3"],
        ["--export-interval=0"],
        ["--export-interval=1h"],
        ["--export-history-path="],
        ["--model-path="],
        ["--cpu=perhaps"],
        ["--no-api", "--api-only"],
        ["word"],
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments: list[str]) -> None:
    with pytest.raises(FlagError) as caught:
        parse(arguments, {})
    assert "\n" not in str(caught.value)
    assert arguments[0].partition("=")[0].replace("_", "-") in str(caught.value)


def test_a_wrong_port_in_the_environment_is_told() -> None:
    with pytest.raises(FlagError, match="PORT"):
        parse([], {"PORT": "many"})


def test_api_server_cannot_be_without_its_api() -> None:
    with pytest.raises(FlagError, match="--no-api"):
        parse(["--no_api"], {}, is_api_only=True)
