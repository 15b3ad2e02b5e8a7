"""The machine's processes, from /proc (and from ``ps`` where there is no /proc).

A process is named by its id *and* its start, because ids are used again; after a reboot no name is valid.
Standard library only: every shim loads this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

HAS_PROC = os.path.exists("/proc/self/stat")
MARKER = "SLIPWAY_INSTANCE"  # in the environment of everything an instance starts
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One row of the process table."""

    pid: int
    parent: int
    session: int
    start: str  # opaque; equal for the same process only
    is_zombie: bool


def boot_id() -> str:
    """Changes when the machine starts; "" where the system has none."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def read_text(path: str) -> str:
    """A small file of /proc; "" when the process is gone or not ours."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def find_process(pid: int) -> Process | None:
    if not HAS_PROC:
        return next((row for row in ps_table() if row.pid == pid), None)
    text = read_text(f"/proc/{pid}/stat")
    # The command's name stands in parentheses and may hold spaces and parentheses itself.
    fields = text[text.rfind(")") + 2 :].split()
    if len(fields) < 20:
        return None
    return Process(pid, int(fields[1]), int(fields[3]), fields[19], fields[0] in "ZX")


def is_alive(pid: int, start: str) -> bool:
    """Whether this very process runs (a zombie does not)."""
    row = find_process(pid) if pid > 0 else None
    return row is not None and row.start == start and not row.is_zombie


def process_table() -> list[Process]:
    if not HAS_PROC:
        return ps_table()
    rows = (find_process(pid) for pid in process_ids())
    return [row for row in rows if row is not None]


def process_ids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def ps_table() -> list[Process]:
    """macOS: slower, and its start has a resolution of a second."""
    import subprocess  # only here: slow to import, and every shim would pay for it

    command = ["/bin/ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="]
    rows = []
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        pid, parent, group, state, *start = line.split()
        rows.append(Process(int(pid), int(parent), int(group), " ".join(start), state.startswith("Z")))
    return rows


def descendants(roots: Iterable[int], table: Iterable[Process]) -> list[Process]:
    """Everything below ``roots`` in the tree, zombies too, without the roots."""
    children: dict[int, list[Process]] = {}
    for row in table:
        children.setdefault(row.parent, []).append(row)
    found: list[Process] = []
    pending = list(roots)
    while pending:
        below = children.pop(pending.pop(), [])
        found += below
        pending += [row.pid for row in below]
    return found


def leftovers(folder: str, program_pid: int, program_start: str, booted: str) -> list[int]:
    """Living processes of an instance whose shim is dead, wherever they hid.

    Known by the marker in their environment, by the program's session (some programs overwrite their
    environment), and by descent from one of these.
    """
    table = process_table()
    wanted = f"{MARKER}={folder}"
    same_boot = booted == boot_id()
    leader = next((row for row in table if row.pid == program_pid), None)
    # A living leader with another start is a stranger that got the old number; so is its session.
    is_session_ours = same_boot and program_pid > 0 and (leader is None or leader.start == program_start)
    own = {
        row.pid
        for row in table
        if (is_session_ours and row.session == program_pid)
        or (HAS_PROC and wanted in read_text(f"/proc/{row.pid}/environ").split("\0"))
    }
    own |= {row.pid for row in descendants(own, table)}
    alive = {row.pid for row in table if not row.is_zombie}
    return sorted(own & alive - {os.getpid()})


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_all(find: Callable[[], list[int]], patience_seconds: float = 5.0) -> bool:
    """SIGKILL until ``find`` finds nothing: a process may fork while it is being looked for."""
    deadline = time.monotonic() + patience_seconds
    while pids := find():
        send(pids, signal.SIGKILL)
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
    return True


class MemoryWatch:
    """The resident memory of everything below one process, cheap enough to ask twice a second.

    A process that was no descendant once never becomes one, so each look reads only processes that are new
    since the last; now and then it starts over, in case an id was used again unseen.
    """

    FULL_LOOKS = 60

    def __init__(self, root: int) -> None:
        self.root = root
        self.own: set[int] = set()
        self.strangers: set[int] = set()
        self.looks = 0

    def resident_bytes(self, above: int) -> int:
        """The sum of resident sets; where it exceeds ``above``, shared pages are counted once."""
        pids = self.look()
        total = sum(resident_bytes(pid) for pid in pids)
        if total > above and len(pids) > 1:
            total = min(total, sum(proportional_bytes(pid) for pid in pids))
        return total

    def look(self) -> set[int]:
        if not HAS_PROC:
            return {row.pid for row in descendants([self.root], process_table())}
        self.looks += 1
        if self.looks % self.FULL_LOOKS == 1:
            self.own, self.strangers = set(), set()
        now = set(process_ids())
        self.own &= now
        self.strangers &= now
        fresh = [find_process(pid) for pid in now - self.own - self.strangers]
        rows = [row for row in fresh if row is not None]
        below = {row.pid for row in descendants([self.root, *self.own], rows)}
        self.own |= below
        self.strangers |= {row.pid for row in rows} - below
        return self.own


def resident_bytes(pid: int) -> int:
    if not HAS_PROC:
        import subprocess  # as in ps_table

        command = ["/bin/ps", "-o", "rss=", "-p", str(pid)]
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return int(text) * 1024 if text.isdigit() else 0
    fields = read_text(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE_BYTES if len(fields) > 1 else 0


def proportional_bytes(pid: int) -> int:
    """The process's share of its resident pages (PSS); all of them where the kernel does not say."""
    for line in read_text(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return resident_bytes(pid)
