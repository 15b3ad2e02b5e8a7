"""Writes a program's output to files of numbered lines.

A file's name is the number of its first line and the run it belongs to (``000000000120.3.log``), so a reader
finds a line without an index. Each line begins with the time it came, in UTC. The oldest files go when all
together exceed the limit. Standard library only: every shim loads this.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import time
from collections import deque
from typing import BinaryIO

FILE_BYTES = 10 * 1024 * 1024
KEPT_FILES = 5  # of full size
MOST_FILES = 200  # a crash loop leaves many small ones
LINE_CHARACTERS = 16_384  # a longer line continues as the next
TAIL_LINES, TAIL_CHARACTERS = 20, 2_000


def log_files(folder: str) -> list[tuple[int, int, str]]:
    """(first line, run, path) of each file, oldest first."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    files = []
    for name in names:
        first, _, rest = name.partition(".")
        run, _, suffix = rest.partition(".")
        if suffix == "log" and first.isdigit() and run.isdigit():
            files.append((int(first), int(run), os.path.join(folder, name)))
    return sorted(files)


def count_lines(path: str) -> int:
    """Complete lines of a file, read in blocks."""
    lines = 0
    with contextlib.suppress(OSError), open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
    return lines


class LogWriter:
    """One per shim. Never raises for what it is given or for a full disk: lines are lost then, not services."""

    def __init__(self, folder: str, file_bytes: int = FILE_BYTES) -> None:
        self.folder = folder
        self.file_bytes = file_bytes
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.run = 0
        self.file: BinaryIO | None = None
        self.written = 0
        self.pending = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        files = log_files(folder)
        self.next_line = files[-1][0] + count_lines(files[-1][2]) if files else 0

    def start_run(self, run: int) -> None:
        """Lines from here on belong to another program; its file begins with its first line."""
        self.finish_run()
        self.run = run
        self.tail.clear()

    def finish_run(self) -> None:
        """Write what came without a line's end."""
        self.take(self.decoder.decode(b"", final=True))
        self.decoder.reset()
        if rest := self.pending.rstrip("\r"):
            self.write_lines(pieces(rest))
        self.pending = ""
        if self.file is not None:
            self.file.close()
            self.file = None

    def feed(self, data: bytes) -> None:
        """Take what the program wrote, in any cut."""
        self.take(self.decoder.decode(data))

    def take(self, text: str) -> None:
        # A progress bar goes back to the line's start again and again; each state is a line of its own here.
        text = (self.pending + text).replace("\r\n", "\n")
        held = "\r" if text.endswith("\r") else ""  # its line feed may still come
        *lines, self.pending = text.removesuffix("\r").split("\n")
        complete = [part for line in lines for part in pieces(line)]
        *broken, self.pending = pieces(self.pending)
        if len(self.pending) >= LINE_CHARACTERS:
            broken.append(self.pending)
            self.pending = ""
        self.pending += held
        if complete or broken:
            self.write_lines(complete + broken)

    def write_lines(self, lines: list[str]) -> None:
        stamp = timestamp(time.time())
        self.tail.extend(line[:TAIL_CHARACTERS] for line in lines[-TAIL_LINES:])
        for begin in range(0, len(lines), 1000):
            batch = lines[begin : begin + 1000]
            data = "".join(f"{stamp} {line}\n" for line in batch).encode()
            try:
                if self.file is None or self.written >= self.file_bytes:
                    self.open_next()
                assert self.file is not None
                self.file.write(data)
            except OSError:
                continue
            self.written += len(data)
            self.next_line += len(batch)

    def open_next(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
        path = os.path.join(self.folder, f"{self.next_line:012d}.{self.run}.log")
        # Unbuffered: a reader sees each line at once, and a killed shim loses none.
        self.file = open(path, "wb", buffering=0)  # noqa: SIM115 - lives as long as its run
        self.written = 0
        self.remove_oldest()

    def remove_oldest(self) -> None:
        files = log_files(self.folder)
        sizes = [os.path.getsize(path) for _, _, path in files]
        room = self.file_bytes * (KEPT_FILES - 1)
        while len(files) > 1 and (sum(sizes) > room or len(files) > MOST_FILES):
            os.unlink(files.pop(0)[2])
            sizes.pop(0)


def pieces(line: str) -> list[str]:
    """One line as printed, in lines as kept: without carriage returns and NUL, and of bounded length."""
    line = line.replace("\0", "\\x00")
    states = [state for state in line.split("\r") if state] or [""]
    return [
        state[begin : begin + LINE_CHARACTERS]
        for state in states
        for begin in range(0, max(len(state), 1), LINE_CHARACTERS)
    ]


def timestamp(unix_seconds: float) -> str:
    moment = time.gmtime(unix_seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(unix_seconds % 1 * 1000):03d}Z"
