"""``--export-history-path``: what was asked and answered, as JSON Lines (eas.md §1.7; the record: docs/runtime.md).

One file for each process and interval of ``--export-interval`` seconds. While its interval lasts it is called
``….jsonl.part``; at the end it is flushed to the disk and takes its name ``….jsonl`` in one step, so that a
file of that name is whole and never changes again. A record is in the file before the caller sees the end of
his answer. What a killed process left as ``.part`` is finished by the next one on the same machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import queue
import re
import secrets
import socket
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference_gateway.chat import Answer, ChatError, ChatEvent, ChatRequest, Choice
from inference_gateway.engines.base import Engine
from inference_gateway.http import Ending

logger = logging.getLogger("slipway.runtime")

PART_SUFFIX = ".part"

#: A clock may be set while the writer waits for the end of an interval: it looks again this often.
_LONGEST_WAIT_SECONDS = 30.0

_HOST = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:64] or "host"
_LEFT_BEHIND = re.compile(rf"conversations-\d{{8}}T\d{{6}}Z-{re.escape(_HOST)}-[0-9a-f]{{8}}\.jsonl\.part")


class ExportFolderUnusable(Exception):
    """Nothing can be written there; the text is one sentence with the cure."""


@dataclass(slots=True)
class _Part:
    """The file being written. ``size_bytes`` is that of its whole lines; the instants are Unix time."""

    path: Path
    descriptor: int
    begins_at: int
    ends_at: int
    size_bytes: int = 0


class HistoryExport:
    """Writes records from a thread of its own, so that a slow mount delays no other answer.

    ``open`` once, ``close`` at the end, after the last ``submit``. A record that cannot be written is lost,
    which is logged; the answers go on.
    """

    def __init__(self, folder: Path, interval_seconds: int) -> None:
        self._folder = folder
        self._interval_seconds = interval_seconds
        self._jobs: queue.SimpleQueue[tuple[Mapping[str, Any], Future[None]] | None] = queue.SimpleQueue()
        self._part: _Part | None = None
        self._thread = threading.Thread(target=self._run, name="history-export")

    def open(self) -> None:
        """Check the folder, finish what a killed process left, and begin. Raises ExportFolderUnusable."""
        check_folder(self._folder)
        finish_left_behind(self._folder)
        self._thread.start()

    def close(self) -> None:
        """Write what was submitted and finish the file. Safe to call before ``open``."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def submit(self, record: Mapping[str, Any]) -> Future[None]:
        """Done once the record is in the file, or is known to be lost."""
        done: Future[None] = Future()
        self._jobs.put((record, done))
        return done

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._find_wait_seconds())
            except queue.Empty:
                self._finish_if_over()
                continue
            if job is None:
                self._finish()
                return
            record, done = job
            try:
                self._finish_if_over()
                self._write(render_line(record))
            except OSError as error:
                logger.error(
                    "history_export_failed: a conversation could not be written to %s: %s. It is lost.",
                    self._folder,
                    error.strerror,
                )
            except Exception:
                logger.exception("history_export_failed: a conversation could not be written. It is lost.")
            finally:
                done.set_result(None)

    def _find_wait_seconds(self) -> float | None:
        if self._part is None:
            return None
        return min(max(self._part.ends_at - time.time(), 0.0), _LONGEST_WAIT_SECONDS)

    def _write(self, line: bytes) -> None:
        """Append a whole line or nothing. Raises OSError."""
        if self._part is not None and os.fstat(self._part.descriptor).st_nlink == 0:
            os.close(self._part.descriptor)  # Somebody removed the file: what is written to it would be gone.
            self._part = None
        part = self._part = self._part or open_part(self._folder, self._interval_seconds, time.time())
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(part.descriptor, rest) :]
        except OSError:
            # Half a line, on a full disk for example, would spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(part.descriptor, part.size_bytes)
            raise
        part.size_bytes += len(line)

    def _finish_if_over(self) -> None:
        part = self._part
        if part is not None and not part.begins_at <= time.time() < part.ends_at:
            self._finish()

    def _finish(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        try:
            finish_part(part.path, part.descriptor)
        except OSError as error:
            logger.error(
                "history_export_failed: %s could not be given its last name: %s. Its lines are whole.",
                part.path,
                error.strerror,
            )
        finally:
            os.close(part.descriptor)


def check_folder(folder: Path) -> None:
    """Raises ExportFolderUnusable. Tried rather than asked: a mount's permissions say little."""
    probe = folder / f".conversations-{secrets.token_hex(8)}"
    try:
        if not folder.is_dir():
            what = "is no folder" if folder.exists() else "does not exist"
            raise ExportFolderUnusable(
                f"--export-history-path {folder} {what}. Create the folder, or leave the flag out."
            )
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.close(descriptor)
        probe.unlink()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ExportFolderUnusable(
            f"--export-history-path {folder} cannot be written to: {reason}. "
            "Give this user the right to write there, or choose another folder."
        ) from error


def open_part(folder: Path, interval_seconds: int, now: float) -> _Part:
    """A new file for the interval that ``now`` (Unix time) lies in; intervals begin at multiples of their length."""
    begins_at = int(now) // interval_seconds * interval_seconds
    begin = datetime.fromtimestamp(begins_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    while True:
        path = folder / f"conversations-{begin}-{_HOST}-{secrets.token_hex(4)}.jsonl{PART_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        with contextlib.suppress(OSError):  # Some mounts have no locks: there nothing is taken over either.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Before the lock a process that starts at this moment could take it for one left behind, and remove it.
        if path.exists():
            return _Part(path, descriptor, begins_at, begins_at + interval_seconds)
        os.close(descriptor)


def finish_part(path: Path, descriptor: int) -> None:
    """Flush the file and give it its last name, or remove it where it holds nothing. Raises OSError."""
    if os.fstat(descriptor).st_size == 0:
        path.unlink()
        return
    os.fsync(descriptor)
    path.rename(path.with_name(path.name.removesuffix(PART_SUFFIX)))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:  # Not every mount can; the file itself is on the disk.
        logger.debug("%s cannot be flushed", path.parent)
    finally:
        os.close(folder)


def finish_left_behind(folder: Path) -> None:
    """Finish the files of processes of this machine that were killed: a line cut off at the end is dropped.

    A process that lives holds the lock of its file. Files of other machines are left alone, for a lock may
    not reach that far.
    """
    for path in sorted(folder.iterdir()):
        if not _LEFT_BEHIND.fullmatch(path.name):
            continue
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, find_end_of_lines(descriptor))
            finish_part(path, descriptor)
        except BlockingIOError:
            logger.debug("%s is being written by another process", path)
        except FileNotFoundError:
            logger.debug("%s was finished by another process", path)
        except OSError as error:
            logger.warning("%s was left behind and could not be finished: %s", path, error.strerror)
        finally:
            os.close(descriptor)


def find_end_of_lines(descriptor: int) -> int:
    """Bytes up to the end of the last whole line."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def render_line(record: Mapping[str, Any]) -> bytes:
    """One line of JSON in UTF-8. Half a surrogate pair, which JSON allows and UTF-8 does not, stays escaped. Pure."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _render_answer(choice: Choice) -> dict[str, Any]:
    return {
        "text": choice.text,
        "reasoning": choice.reasoning,
        "tool_calls": choice.tool_calls,
        "finish_reason": choice.finish_reason,
    }


class RecordingEngine:
    """An ``Engine`` whose answers are exported, however they end."""

    def __init__(self, engine: Engine, export: HistoryExport, model: str, protocol: str) -> None:
        self._engine = engine
        self._export = export
        self._model = model
        self._protocol = protocol

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        answer, asked_at = Answer(), datetime.now(UTC)
        ending, code = Ending.CANCELLED, None
        try:
            async with contextlib.aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    answer.add(event)
                    yield event
            ending = Ending.FINISHED
        except Exception as error:
            ending, code = Ending.FAILED, error.code if isinstance(error, ChatError) else "internal_error"
            raise
        finally:
            if ending is Ending.CANCELLED and all(choice.finish_reason for choice in answer.choices):
                ending = Ending.FINISHED  # He left with everything in hand.
            record = self._render(request, answer, asked_at, ending, code)
            # The end is told only once the record is in the file. A second cancellation cannot take it back.
            await asyncio.shield(asyncio.wrap_future(self._export.submit(record)))

    def _render(
        self, request: ChatRequest, answer: Answer, asked_at: datetime, ending: Ending, error_code: str | None
    ) -> dict[str, Any]:
        parameters = {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "stop": list(request.stop),
            "n": request.n,
        }
        return {
            "id": secrets.token_hex(16),
            "asked_at": asked_at.isoformat(timespec="milliseconds"),
            "answered_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "model": self._model,
            "protocol": self._protocol,
            "messages": [dict(message) for message in request.messages],
            "prompt": request.prompt,
            "parameters": dict(request.extra) | parameters,
            "answers": [_render_answer(choice) for choice in answer.choices],
            "ending": ending.value,
            "error": error_code,
            "usage": answer.usage.as_json() if answer.usage is not None else None,
        }
