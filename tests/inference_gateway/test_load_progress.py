"""How much of its weights a process has in memory: real processes that map real files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference_gateway.runtime.load_progress import Loaded, LoadProgress, list_weights

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
