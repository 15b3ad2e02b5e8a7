"""What processes cost, from /proc: processor time and memory of a process and all below it; and where they may run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterable

from deployments.clusters.local.processes import descendants, process_table, read_text

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: A state in ``/proc/net/tcp``.
LISTENING = "0A"


def parse_cpu_seconds(stat: str, ticks_per_second: int = TICKS_PER_SECOND) -> float:
    """Processor time of a line of ``/proc/<pid>/stat``, its ended threads included; 0 for an empty one. Pure.

    The kernel counts the sum in nanoseconds and rounds to ticks (10 ms): good for windows of a second and more.
    """
    fields = stat[stat.rfind(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / ticks_per_second if len(fields) > 12 else 0.0


def parse_memory_kib(smaps_rollup: str) -> int:
    """The proportional set size of ``/proc/<pid>/smaps_rollup``: pages that processes share are counted once. Pure."""
    found = re.search(r"^Pss:\s+(\d+) kB", smaps_rollup, re.MULTILINE)
    return int(found[1]) if found else 0


def parse_resident_kib(status: str) -> int:
    """The resident memory of ``/proc/<pid>/status``. Pure."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else 0


def family(roots: Iterable[int]) -> list[int]:
    """``roots`` and every process below them."""
    roots = list(roots)
    table = process_table()
    alive = {row.pid for row in table if not row.is_zombie}
    return sorted({*(pid for pid in roots if pid in alive), *(row.pid for row in descendants(roots, table))})


def cpu_seconds(pids: Iterable[int]) -> float:
    return sum(parse_cpu_seconds(read_text(f"/proc/{pid}/stat")) for pid in pids)


def memory_kib(pids: Iterable[int]) -> int:
    """What the processes hold themselves; the kernel's buffers of their sockets are not in it."""
    return sum(
        parse_memory_kib(read_text(f"/proc/{pid}/smaps_rollup")) or parse_resident_kib(read_text(f"/proc/{pid}/status"))
        for pid in pids
    )


def find_holders(port: int, pids: Iterable[int]) -> dict[int, int]:
    """Which process holds this machine's end at ``port`` of each connection, by the port of the other end."""
    callers: dict[str, int] = {}
    for line in read_text("/proc/net/tcp").splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] != LISTENING and fields[9] != "0":
            callers[f"socket:[{fields[9]}]"] = int(fields[2].rpartition(":")[2], 16)
    holders: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            for file in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if (caller := callers.get(os.readlink(f"/proc/{pid}/fd/{file}"))) is not None:
                        holders[caller] = pid
    return holders


def pin(pids: Iterable[int], cpus: set[int]) -> None:
    """Let the processes, every thread of them, run on ``cpus`` only."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), cpus)


def split_cpus(allowed: set[int]) -> tuple[set[int], set[int]]:
    """The gateway's one core, and all others for engine and load; a machine of one core has it for both. Pure."""
    first, *others = sorted(allowed)
    return {first}, set(others) or {first}


def end(process: subprocess.Popen[bytes], grace_seconds: float = 10.0) -> None:
    """End a process that leads a session of its own, and everything in it."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
