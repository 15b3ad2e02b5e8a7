"""How much of its weights a process has in memory, and that its log tells: real processes that map real files."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deployments.bytes_done import BytesDone, read_line
from inference_gateway.runtime.engine_host import EngineProcess
from inference_gateway.runtime.load_progress import Loaded, LoadProgress, list_weights
from inference_gateway.runtime.model_files import ModelFiles
from tests.waiting import wait_until

if TYPE_CHECKING:
    import aiohttp

    from inference_gateway.engines.base import Engine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which pages a process has")

MIB = 2**20
#: Maps a file and touches a page at a time as far as it is told to, then says so.
READER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
memory.madvise(mmap.MADV_RANDOM)
for end in sys.stdin:
    sum(memory[at] for at in range(0, int(end), 4096))
    print("read", flush=True)
"""


@contextmanager
def reader(file: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def read_to(process: subprocess.Popen[str], end: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{end}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "read\n"


def test_what_a_process_has_of_a_file_is_told_and_grows(tmp_path: Path) -> None:
    file = tmp_path / "weights of a model.gguf"
    file.write_bytes(bytes(64 * MIB))
    progress = LoadProgress([file])
    with reader(file) as process:
        read_to(process, 0)
        assert progress.look(process.pid) is None
        read_to(process, 16 * MIB)
        some = progress.look(process.pid)
        assert some is not None
        # The system maps pages around the one that is touched.
        assert 16 * MIB <= some.bytes < 32 * MIB
        read_to(process, 64 * MIB)
        assert progress.look(process.pid) == Loaded(64 * MIB, 64 * MIB)
    assert progress.look(process.pid) is None


def test_another_file_of_the_process_does_not_count(tmp_path: Path) -> None:
    weights, other = tmp_path / "model.gguf", tmp_path / "other.gguf"
    for file in (weights, other):
        file.write_bytes(bytes(MIB))
    with reader(other) as process:
        read_to(process, MIB)
        assert LoadProgress([weights]).look(process.pid) is None


def test_a_link_to_weights_is_followed(tmp_path: Path) -> None:
    blob, link = tmp_path / "blob", tmp_path / "model.safetensors"
    blob.write_bytes(bytes(MIB))
    link.symlink_to(blob)
    with reader(link) as process:
        read_to(process, MIB)
        assert LoadProgress(list_weights(tmp_path)).look(process.pid) == Loaded(MIB, MIB)


def test_the_weights_of_a_model_are_all_its_parts(tmp_path: Path) -> None:
    names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "n-00002-of-00002.gguf", "n.gguf", "pytorch_model.bin"]
    for name in names:
        (tmp_path / name).touch()
    assert [one.name for one in list_weights(tmp_path / names[0])] == names[:2]
    assert [one.name for one in list_weights(tmp_path / "n.gguf")] == ["n.gguf"]
    assert [one.name for one in list_weights(tmp_path)] == ["pytorch_model.bin"]
    (tmp_path / "model.safetensors").touch()
    assert [one.name for one in list_weights(tmp_path)] == ["model.safetensors"]


#: The same in steps of some tenths of a second, as from a slow disk; then it is loaded.
SLOW = """
import mmap, sys, time
with open(sys.argv[1], "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
memory.madvise(mmap.MADV_RANDOM)
for part in range(16):
    time.sleep(0.25)
    begin = part * len(memory) // 16
    sum(memory[at] for at in range(begin, begin + len(memory) // 16, 4096))
print("ready", flush=True)
sys.stdin.read()
"""


class SlowEngine(EngineProcess):
    """Takes four seconds to load, and answers nothing."""

    def render_command(self) -> list[str]:
        return [sys.executable, "-c", SLOW, str(self.model.path)]

    def render_environment(self) -> dict[str, str]:
        return {}

    def read_line(self, line: str) -> tuple[int, str | None]:
        return logging.INFO, None

    def describe_load_failure(self, reason: str) -> str:
        return reason

    def make_engine(self, session: aiohttp.ClientSession, name: str) -> Engine:
        raise NotImplementedError


def test_the_log_tells_how_much_is_loaded_until_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "slow.gguf"
    file.write_bytes(bytes(64 * MIB))
    engine = SlowEngine(ModelFiles(file, "slow", None))

    def told() -> list[BytesDone]:
        return [found for record in caplog.records if (found := read_line(record.getMessage())) is not None]

    with caplog.at_level(logging.INFO, "slipway.engine"):
        engine.start()
        try:
            wait_until(lambda: engine.is_ready, "it is loaded", 30)
            steps = told()
        finally:
            engine.stop()
        assert told() == steps, "nothing is told of what is loaded"
    assert len(steps) >= 2
    assert {one.total for one in steps} == {64 * MIB}
    done = [one.done for one in steps]
    assert done == sorted(set(done)), "each line tells something new"
    assert 0 < done[0] < 64 * MIB
