"""Parts that outlived their supervisor, where the system does not end them with it (elsewhere than on Linux)."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from deployments.clusters.local.processes import find_process, is_alive


class PartsRecord:
    """``supervisor.parts`` in the data folder: each part's process, by id and start time."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "supervisor.parts"
        self._processes: dict[str, tuple[int, str]] = {}

    def add(self, name: str, pid: int) -> None:
        """Remember a part that was just started."""
        found = find_process(pid)
        self._processes[name] = (pid, found.start if found is not None else "")
        draft = self._path.with_name(f".{self._path.name}")
        draft.write_text(json.dumps(self._processes))
        draft.replace(self._path)

    def clear(self) -> None:
        """Everything has ended."""
        self._path.unlink(missing_ok=True)

    def kill_leftovers(self, timeout_seconds: float = 5.0) -> list[str]:
        """End what the record of an earlier supervisor names, and return the names of what was alive."""
        try:
            recorded: dict[str, tuple[int, str]] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return []
        alive = {name: (pid, start) for name, (pid, start) in recorded.items() if is_alive(pid, start)}
        for pid, _ in alive.values():
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + timeout_seconds
        while any(is_alive(pid, start) for pid, start in alive.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.clear()
        return sorted(alive)
