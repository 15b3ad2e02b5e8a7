"""What a failure is said to be: real last lines of real programs, and the numbers of a limit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.clusters import local
from deployments.clusters.base import InstanceObservation, InstancePhase, ProgramExit, Trouble
from deployments.failures import CAUSES, Program, explain_end, explain_silence, explain_trouble
from deployments.failures.causes import NAMED, UNNAMED
from deployments.failures.signs import PATTERNS, find_sign, public_name
from deployments.failures.troubles import WORDINGS
from deployments.stages import Stage

LOCAL = Path(local.__file__).parent
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
FOLDERS = (("/srv/slipway/oss/b/qwen", "oss://b/qwen/"), ("/srv/slipway/instances/x/volumes/1", "/scratch"))

#: Last lines as programs write them, with what they mean.
LINES = [
    (
        "The command line is wrong: unrecognized arguments: --tensor-paralel=2. --help lists the flags.",
        "UnknownFlag",
        "--tensor-paralel",
    ),
    ("api_server.py: error: unrecognized arguments: --max-modle-len 4096", "UnknownFlag", "--max-modle-len"),
    ("http.server: error: unrecognized arguments: --secret=hunter2", "UnknownFlag", "--secret"),
    ("Error: No such option: --prot", "UnknownFlag", "--prot"),
    ("curl: option --fial: is unknown", "Crashed", ""),
    ("unknown option '--wat'", "UnknownFlag", "--wat"),
    ("ls: unrecognized option '--colour-me'", "UnknownFlag", "--colour-me"),
    ("grep: invalid option -- 'Q'", "Crashed", ""),
    ("flag provided but not defined: -prot", "UnknownFlag", "-prot"),
    (
        "Model path /srv/slipway/oss/b/qwen holds no GGUF file and no config.json. Put a GGUF file …",
        "ModelFolderWrong",
        "/srv/slipway/oss/b/qwen",
    ),
    (
        "Model path /m has a config.json but no weights (*.safetensors). Copy the folder again, whole.",
        "ModelFolderWrong",
        "/m",
    ),
    ("OSError: /model does not appear to have a file named config.json. Checkout …", "ModelFolderWrong", "/model"),
    ("server.py: error: argument port: invalid int value: '127.0.0.1'", "FlagValueWrong", "port"),
    ("The command line is wrong: argument --port: 'x' is no whole number. --help …", "FlagValueWrong", "--port"),
    ("Error: Invalid value for '--port': 'x' is not a valid integer.", "FlagValueWrong", "--port"),
    ("Model path /nope does not exist, and no preset has that name. Give a GGUF file…", "ModelMissing", "/nope"),
    (
        "OSError: qwen/nope is not a local folder and is not a valid model identifier listed on…",
        "ModelMissing",
        "qwen/nope",
    ),
    ("Cannot listen on 127.0.0.1:8000: Address already in use. Choose another --port or --host.", "PortTaken", ""),
    ("OSError: [Errno 98] Address already in use", "PortTaken", ""),
    ("Error: listen EADDRINUSE: address already in use :::8000", "PortTaken", ""),
    ("ModuleNotFoundError: No module named 'torch'", "ModuleMissing", "torch"),
    ("/usr/bin/python3: No module named uvicorn", "ModuleMissing", "uvicorn"),
    ("Error: Cannot find module 'express'", "ModuleMissing", "express"),
    ("ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", "GpuMissing", ""),
    ("ImportError: libssl.so.1.1: cannot open shared object file: No such file", "LibraryMissing", "libssl.so.1.1"),
    ("RuntimeError: No CUDA GPUs are available", "GpuMissing", ""),
    ("AssertionError: Torch not compiled with CUDA enabled", "GpuMissing", ""),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", "GpuOutOfMemory", ""),
    ("sh: 1: serve-model: not found", "ProgramMissing", "serve-model"),
    ("bash: line 1: serve-model: command not found", "ProgramMissing", "serve-model"),
    (
        "FileNotFoundError: [Errno 2] No such file or directory: '/etc/app/config.yaml'",
        "FileMissing",
        "/etc/app/config.yaml",
    ),
    (
        "python3: can't open file '/srv/app/serve.py': [Errno 2] No such file or directory",
        "FileMissing",
        "/srv/app/serve.py",
    ),
    ("cat: weights.bin: No such file or directory", "FileMissing", "weights.bin"),
    ("sh: 1: cannot open /nope/x: No such file", "FileMissing", "/nope/x"),
    ("PermissionError: [Errno 13] Permission denied: '/srv/x'", "PermissionDenied", "/srv/x"),
    ("sh: 1: ./run.sh: Permission denied", "PermissionDenied", "./run.sh"),
    ("OSError: [Errno 28] No space left on device", "DiskFull", ""),
    ("MemoryError", "MachineOutOfMemory", ""),
    ("ValueError: something of their own", "Crashed", ""),
]


def ended(*lines: str, code: int = 1, cause: str = "", **values: str | int) -> InstanceObservation:
    how = "OOMKilled" if cause == "OutOfMemory" else "StartError" if cause else "Error"
    end = ProgramExit(code, how, "", NOW - timedelta(seconds=4), NOW, cause, values)
    return InstanceObservation("a", 1, InstancePhase.BACKOFF, last_exit=end, log_tail=lines, folders=FOLDERS)


@pytest.mark.parametrize(("line", "code", "name"), LINES)
def test_the_last_line_of_a_program_says_the_cause(line: str, code: str, name: str) -> None:
    cause = explain_end(ended("some talk", line, "", "more talk"), Program())
    assert cause.code == code
    sign = find_sign([line])
    assert (sign.name if sign else "") == name


def test_every_cause_that_can_be_given_is_in_the_table_and_no_other() -> None:
    by_log = {code for code, _ in PATTERNS} | set(NAMED) | set(UNNAMED)
    known_to_shims = set(re.findall(r'Cause\(\s*"(\w+)"', "".join(path.read_text() for path in LOCAL.glob("*.py"))))
    by_silence = {explain_silence(stage, 60.0, Program(), "").code for stage in Stage}
    assert known_to_shims >= {"OutOfMemory", "FolderMissing", "PortsExhausted"}
    assert by_log | known_to_shims | by_silence | set(WORDINGS) == set(CAUSES)


@pytest.mark.parametrize("cause", sorted(WORDINGS))
@pytest.mark.parametrize("is_waiting", [True, False])
def test_every_trouble_has_words_whatever_is_known_of_it(cause: str, is_waiting: bool) -> None:
    explained = explain_trouble(Trouble(cause, {}, is_waiting=is_waiting))
    assert explained.code == cause
    assert explained.what.endswith(".")
    assert explained.cure.endswith(".")


def test_a_trouble_of_a_later_version_keeps_the_platform_s_words() -> None:
    explained = explain_trouble(Trouble("OfTomorrow", {"reason": "it rains"}))
    assert (explained.code, explained.what) == ("OfTomorrow", "The cluster creates no instance: it rains.")


def test_an_unknown_flag_is_named_without_its_value_and_the_nearest_real_one_offered() -> None:
    program = Program(flags=("tensor-parallel-size", "port", "model"))
    cause = explain_end(ended("error: unrecognized arguments: --tensor-paralel=secret"), program)
    assert cause.what == "The program does not know the flag --tensor-paralel."
    assert "--tensor-parallel-size" in cause.cure
    assert cause.fix is not None
    assert cause.fix.field == "containers[0].script"
    assert "secret" not in cause.what + cause.cure


def test_a_flag_like_no_other_is_offered_nothing() -> None:
    cause = explain_end(ended("error: unrecognized arguments: --zzz"), Program(flags=("port", "model")))
    assert cause.cure == "Correct the flag, or leave it out."


def test_the_server_s_own_path_becomes_the_document_s_name_of_it() -> None:
    cause = explain_end(ended("Model path /srv/slipway/oss/b/qwen holds no GGUF file and no config.json."), Program())
    assert "oss://b/qwen/" in cause.what
    assert "/srv" not in cause.what + cause.cure
    missing = explain_end(ended("No such file or directory: '/srv/private/config.yaml'"), Program())
    assert "config.yaml" in missing.what
    assert "/srv" not in missing.what


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/srv/slipway/oss/b/qwen/config.json", "oss://b/qwen/config.json"),
        ("/srv/slipway/oss/b/qwen2", "qwen2"),
        ("/srv/slipway/instances/x/volumes/1/a/b", "/scratch/a/b"),
        ("/", "/"),
    ],
)
def test_paths_are_named_as_the_document_names_them(path: str, name: str) -> None:
    assert public_name(path, FOLDERS) == name


def test_out_of_memory_says_need_limit_and_the_next_size_that_fits() -> None:
    program = Program(plan_mib=lambda: 19_866, machine_mib=65_536)
    cause = explain_end(ended(cause="OutOfMemory", used_mib=16_400, limit_mib=16_384), program)
    assert cause.what == "Out of memory: the model needs 19.4 GiB, the limit is 16 GiB."
    assert cause.cure == "Use 24 GiB, or a smaller model."
    assert cause.fix is not None
    assert (cause.fix.field, cause.fix.value) == ("metadata.memory", 24_576)


def test_out_of_memory_without_a_plan_goes_by_what_was_used() -> None:
    cause = explain_end(ended(cause="OutOfMemory", used_mib=210, limit_mib=200), Program(machine_mib=65_536))
    assert "used 0.21 GiB and wanted more, the limit is 0.20 GiB" in cause.what
    assert cause.fix is not None
    assert cause.fix.value == 512  # a quarter more than was used, and the next size up


def test_what_the_machine_has_not_is_not_offered() -> None:
    program = Program(plan_mib=lambda: 90_000, machine_mib=16_384)
    cause = explain_end(ended(cause="OutOfMemory", used_mib=8_200, limit_mib=8_192), program)
    assert "This machine has 16 GiB" in cause.cure
    assert cause.fix is not None
    assert cause.fix.value is None


def test_a_missing_folder_is_named_by_its_source() -> None:
    cause = explain_end(ended(cause="FolderMissing", source="oss://b/qwen/", mount_path="/model_dir"), Program())
    assert cause.what == "oss://b/qwen/ is mounted at /model_dir, but there is no such folder."


@pytest.mark.parametrize(("code", "cause"), [(0, "EndedByItself"), (-9, "MachineOutOfMemory"), (127, "ProgramMissing")])
def test_an_exit_code_alone_says_something(code: int, cause: str) -> None:
    assert explain_end(ended("nothing of use", code=code), Program()).code == cause


def test_a_program_that_ended_well_is_not_blamed_for_an_old_line() -> None:
    assert explain_end(ended("unknown option --x, passed over", code=0), Program()).code == "EndedByItself"


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.STARTING, "PortNeverOpened"),
        (Stage.LOADING, "StillLoading"),
        (Stage.WARMING, "NoToken"),
        (Stage.CHECKING, "CheckFails"),
    ],
)
def test_a_silent_program_is_told_by_how_far_it_came(stage: Stage, code: str) -> None:
    cause = explain_silence(stage, 600.0, Program(port=8000), "Its last step.")
    assert cause.code == code
    assert cause.code in CAUSES
    assert "10 minutes" in cause.what


def test_a_log_line_of_a_megabyte_is_no_trouble() -> None:
    assert find_sign(["unknown option: " + "x" * 1_000_000 + " --flag"]) is None
    assert find_sign(["(" * 2_000]) is None
