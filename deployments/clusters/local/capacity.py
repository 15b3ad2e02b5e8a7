"""What this machine offers: cores, memory, graphics processors, and the engines that are installed."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from deployments.clusters.base import Capacity, Refusal
from deployments.interpreters import TRANSFORMERS, VLLM, explain_missing, find_python

logger = logging.getLogger(__name__)
MIB = 1024 * 1024
#: Engines whose libraries are optional. Transformers is the chat-llm runtime's for Hugging Face folders.
EXTRAS = {"transformers": TRANSFORMERS, "vllm": VLLM}


@functools.cache
def machine_capacity() -> Capacity:
    """Looked at once in a process's life: none of it changes while a machine runs."""
    gpus, product, gpu_memory_gib = graphics_processors()
    images = ["chat-llm"] if importlib.util.find_spec("xllamacpp") else []
    absent: dict[str, Refusal] = {}
    for engine, extra in EXTRAS.items():
        if find_python(extra, os.environ):
            images.append(engine)
        else:
            absent[engine] = Refusal("engine_missing", *explain_missing(extra, os.environ))
    return Capacity(
        node=platform.node() or "localhost",
        cpu_cores=usable_cores(),
        memory_mib=memory_mib(),
        gpus=gpus,
        gpu_product=product,
        gpu_memory_gib=gpu_memory_gib,
        images=tuple(images),
        absent=absent,
    )


def usable_cores() -> float:
    """Cores this process may use: affinity, and the quota of its control group (v2)."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [float(present)]
    for folder in control_groups():
        words = read_words(folder / "cpu.max")
        if len(words) == 2 and words[0].isdigit():
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas)


def memory_mib() -> int:
    """Memory of the machine or of the tightest control group around this process (v1 and v2)."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    files = [folder / "memory.max" for folder in control_groups()]
    for path in [*files, Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]:
        words = read_words(path)
        if words and words[0].isdigit():
            limits.append(int(words[0]))
    return min(limits) // MIB


def free_cores() -> float:
    """Cores that the last minute's load has left over. Load is the machine's, and the cores may be a part of it."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 0.0
    return round(max(usable_cores() - load, 0.0), 1)


def free_memory_mib() -> int:
    """Memory a new program could get: the machine's, or what the tightest control group leaves."""
    room = [memory_mib()]
    available = re.search(r"^MemAvailable:\s+(\d+) kB$", read_text(Path("/proc/meminfo")), re.MULTILINE)
    if available:
        room.append(int(available[1]) // 1024)
    for folder in control_groups():
        limit, used = read_words(folder / "memory.max"), read_words(folder / "memory.current")
        if limit and used and limit[0].isdigit() and used[0].isdigit():
            room.append(max(int(limit[0]) - int(used[0]), 0) // MIB)
    return min(room)


def free_gpus() -> int:
    """Graphics processors whose memory nobody uses: nothing here reserves one."""
    answer = ask_nvidia("memory.used,memory.total")
    used = [line.split(",") for line in answer.splitlines() if line.count(",") == 1]
    figures = [(float(one), float(all_)) for one, all_ in used if is_figure(one) and is_figure(all_)]
    return sum(one < 0.05 * all_ for one, all_ in figures)


def control_groups() -> list[Path]:
    """The control group of this process and all above it, in the unified hierarchy."""
    root = Path("/sys/fs/cgroup")
    own = next((line[3:] for line in read_words(Path("/proc/self/cgroup")) if line.startswith("0::")), "/")
    folder = root / own.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def read_words(path: Path) -> list[str]:
    return read_text(path).split()


def read_text(path: Path) -> str:
    """A file's text, "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def graphics_processors() -> tuple[int, str, float]:
    """How many, which, and the memory of the smallest in GiB, as ``nvidia-smi`` tells; (0, "", 0.0) without."""
    return parse_gpus(ask_nvidia("name,memory.total"))


def ask_nvidia(columns: str) -> str:
    """``nvidia-smi``'s answer, a line for each graphics processor; "" without it or without an answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, f"--query-gpu={columns}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as problem:
        logger.warning("nvidia-smi gave no answer (%s): this machine counts as one without GPUs.", problem)
        return ""


def parse_gpus(answer: str) -> tuple[int, str, float]:
    """``NAME, MEMORY`` lines, memory in MiB; "[N/A]" where memory is shared with the processor."""
    rows = [line.rpartition(",") for line in answer.splitlines() if "," in line]
    sizes = [float(size) / 1024 for _, _, size in rows if is_figure(size)]
    return len(rows), rows[0][0].strip() if rows else "", round(min(sizes, default=0.0), 1)


def is_figure(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()
