"""The files of usage on their way to the tables: killed while they are added to, full, on a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.environment import REPOSITORY
from inference_gateway.database import in_database
from inference_gateway.metering import spool as spools
from inference_gateway.metering.segment import SUFFIX
from inference_gateway.metering.spool import Spool, take_left
from inference_gateway.models import UsageEvent
from tests.inference_gateway.test_usage import SERVICE, closed, totals

#: Adds lines in the folder that it is told, as a server does, and says of each that it is there.
WRITER = """
import itertools, os, sys
from pathlib import Path
import django
django.setup()
from inference_gateway.metering import spool
from tests.inference_gateway.test_usage import closed
spool.SEGMENT_BYTES = 16 * 1024
spooling = spool.Spool(Path(sys.argv[1]))
for number in itertools.count():
    spooling.closed(closed(number))
    os.write(1, b"%d\\n" % number)
"""
KILLED_AFTER = 3000

pytestmark = pytest.mark.django_db(transaction=True)


def find_counted() -> list[str]:
    rows = UsageEvent.objects.filter(service_uid=SERVICE.uid)
    return list(rows.order_by("pk").values_list("request_id", flat=True))


def lengths_in(folder: Path) -> list[int]:
    return sorted(path.stat().st_size for path in folder.glob(f"*{SUFFIX}"))


def add_until_killed(folder: Path) -> list[int]:
    """The numbers of the lines of which a process told before it was killed."""
    command = [sys.executable, "-c", WRITER, str(folder)]
    writer = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    try:
        told = list(itertools.islice(writer.stdout, KILLED_AFTER))
    finally:
        writer.kill()
        writer.wait()
    assert len(told) == KILLED_AFTER
    told += [line for line in writer.stdout if line.endswith(b"\n")]
    writer.stdout.close()
    return [int(line) for line in told]


def full_disk(*arguments: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_process_that_is_killed_while_it_adds_loses_nothing_that_it_told(tmp_path: Path) -> None:
    told = await asyncio.to_thread(add_until_killed, tmp_path)
    assert len(lengths_in(tmp_path)) > 3
    await in_database(take_left, tmp_path)
    counted = sorted(await in_database(find_counted), key=lambda name: int(name.rpartition("-")[2]))
    assert counted[: len(told)] == [f"request-{number}" for number in told]
    assert len(counted) <= len(told) + 1  # one may be added and not be told
    assert os.listdir(tmp_path) == []


async def test_a_full_file_gives_way_to_another_and_goes_once_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 4096)
    monkeypatch.setattr(spools, "LONGEST_SEGMENT_BYTES", 4 * 4096)
    spool = Spool(tmp_path)
    for number in range(500):
        spool.closed(closed(number))
    lengths = lengths_in(tmp_path)
    assert lengths[:4] == [4096, 4096, 2 * 4096, 4 * 4096]  # while nobody takes them they are fewer and longer
    assert set(lengths[4:]) == {4 * 4096}
    await spool.take()
    assert len(lengths_in(tmp_path)) == 1
    assert await in_database(totals) == (500, 500, 2500)
    spool.closed(closed(500))
    await spool.close()
    assert await in_database(find_counted) == [f"request-{number}" for number in range(501)]
    assert os.listdir(tmp_path) == []


async def test_where_no_blocks_can_be_reserved_lines_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 4096)
    monkeypatch.setattr(os, "posix_fallocate", full_disk)
    spool = Spool(tmp_path)
    for number in range(100):
        spool.closed(closed(number))
    await spool.take()
    monkeypatch.undo()
    for number in range(100, 150):
        spool.closed(closed(number))
    await spool.close()
    assert await in_database(find_counted) == [f"request-{number}" for number in range(150)]
    assert os.listdir(tmp_path) == []


async def test_a_line_of_which_the_disk_took_a_part_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full_disk)
    spool = Spool(tmp_path)
    spool.closed(closed(1))
    write = os.pwrite

    def write_a_part(file: int, data: bytes, at: int) -> int:
        monkeypatch.setattr(os, "pwrite", full_disk)
        return write(file, data[:20], at)

    monkeypatch.setattr(os, "pwrite", write_a_part)
    for number in (2, 3):
        with pytest.raises(OSError, match="No space left"):
            spool.closed(closed(number))
    monkeypatch.setattr(os, "pwrite", write)
    spool.closed(closed(4))
    await spool.close()
    assert await in_database(find_counted) == ["request-1", "request-4"]
