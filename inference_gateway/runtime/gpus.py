"""How busy the GPUs are that this process sees, by the program that comes with NVIDIA's driver."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from dataclasses import dataclass

COMMAND = (
    "nvidia-smi",
    "--query-gpu=index,utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)
TIMEOUT_SECONDS = 2.0
#: The program takes a tenth of a second; who asks more often reads what the last one heard.
FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    busy_percent: float
    used_mib: float
    free_mib: float


def parse(text: str) -> tuple[Gpu, ...]:
    """What the program printed. A GPU that says ``[N/A]`` of something is left out. Pure."""
    found = []
    for line in text.splitlines():
        try:
            index, busy, used, whole = (float(field) for field in line.split(","))
        except ValueError:
            continue
        found.append(Gpu(int(index), busy, used, whole - used))
    return tuple(found)


class Gpus:
    """Asks at most every few seconds, and nothing at all where there is no such program."""

    def __init__(self) -> None:
        self._program = shutil.which(COMMAND[0])
        self._heard: tuple[Gpu, ...] = ()
        self._heard_at = -FRESH_SECONDS

    async def look(self) -> tuple[Gpu, ...]:
        """Empty where there is none, or none that answers."""
        if self._program is not None and time.monotonic() - self._heard_at > FRESH_SECONDS:
            self._heard_at = time.monotonic()
            self._heard = await asyncio.to_thread(self._ask, self._program)
        return self._heard

    def _ask(self, program: str) -> tuple[Gpu, ...]:
        try:
            done = subprocess.run(
                (program, *COMMAND[1:]), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return ()
        return parse(done.stdout)
