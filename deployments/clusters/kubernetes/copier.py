"""Copies a folder of an object store before an instance starts: the program of an init container.

    python -m deployments.clusters.kubernetes.copier --bucket=B --prefix=models/qwen --endpoint=URL --target=/storage

It may be ended at any moment and run again, also by several instances at once on one volume: a file appears whole,
under its own name, or not at all; one that is there with the size and time of its object is not copied again. Files
that the folder has no more are removed. Nothing is ever removed because a list failed or was empty.

The last line says what went wrong, with S3's own code in it, and the exit status is 1. ``AWS_ACCESS_KEY_ID`` and
``AWS_SECRET_ACCESS_KEY`` are the key; without them nothing is signed. Neither is ever printed.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from deployments.bytes_done import BytesDone, pause_seconds
from deployments.clusters.kubernetes.object_store import connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GIB = 2**30
FILES_AT_ONCE = 4
#: What is being copied lies beside its place under such a name.
PART = ".slipway-part-"
PART_AGE_SECONDS = 6 * 3600.0  # older ones are of a copier that was killed
#: Each file by several connections, in pieces of 16 MiB.
TRANSFER = TransferConfig(multipart_threshold=32 * 2**20, multipart_chunksize=16 * 2**20, max_concurrency=4)
CODES = {"403": "AccessDenied", "404": "NoSuchKey"}  # of answers without a body


class CopyFailed(Exception):
    """It cannot be copied; the text is one line for the log, which begins with a code."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of a bucket; ``prefix`` without slashes at its ends, "" for the whole bucket."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"oss://{self.bucket}/{self.prefix}".rstrip("/") + "/"


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the folder. ``name`` is its path below it."""

    key: str
    name: str
    size: int
    modified_at: datetime
    etag: str

    def is_at(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return found.st_size == self.size and int(found.st_mtime) == int(self.modified_at.timestamp())


class Progress:
    """How much has been copied, on a line every few seconds (``bytes_done``). Used by several threads."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._lock = threading.Lock()
        self._total = sum(item.size for item in items)
        self._copied = 0
        self._began_at = self._told_at = time.monotonic()
        if self._total:
            self._tell()

    def add(self, count: int) -> None:
        with self._lock:
            self._copied += count
            now = time.monotonic()
            if now - self._told_at < pause_seconds(now - self._began_at):
                return
            self._told_at = now
            self._tell()

    def _tell(self) -> None:
        # What is fetched once more after a failure counts twice.
        say(BytesDone(min(self._copied, self._total), self._total).line("copied"))


def say(text: str) -> None:
    print(f"slipway: {text}", flush=True)  # noqa: T201 - a program's log


def copy(client: S3Client, source: Source, target: Path) -> int:
    """Make ``target`` what ``source`` is. Returns how many files were copied. Raises ``CopyFailed``."""
    with failures_in_words(source):
        items = list(listed(client, source))
        if not items:
            raise CopyFailed(f"NoSuchKey: there are no files under {source}")
        target.mkdir(parents=True, exist_ok=True)
        missing = [item for item in items if not item.is_at(target / item.name)]
        room(target, missing)
        copy_all(client, source, target, missing)
        remove_others(target, {item.name for item in items})
    return len(missing)


def listed(client: S3Client, source: Source) -> Iterator[Item]:
    """The folder's objects. What stands for a folder itself is left out."""
    start = f"{source.prefix}/" if source.prefix else ""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=start):
        for found in page.get("Contents", ()):
            key = found["Key"]
            name = key[len(start) :]
            if not name or name.endswith("/"):
                continue
            if any(part in ("", ".", "..") or part.startswith(PART) for part in name.split("/")) or "\0" in name:
                raise CopyFailed(f"InvalidName: the object {key!r} cannot be a file")
            yield Item(key, name, found["Size"], found["LastModified"], found["ETag"])


def room(target: Path, missing: Sequence[Item]) -> None:
    """Whether there is place, before hours of copying have shown that there is none."""
    needed = sum(item.size for item in missing)
    free = shutil.disk_usage(target).free
    if needed > free:
        raise CopyFailed(f"NoSpace: {needed / GIB:.1f} GiB are to be copied, and {free / GIB:.1f} GiB are free")


def copy_all(client: S3Client, source: Source, target: Path, items: Sequence[Item]) -> None:
    """Several files at once. The first that fails ends all."""
    progress = Progress(items)
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        running = [pool.submit(copy_one, client, source, target, item, progress) for item in items]
        done, left = wait(running, return_when=FIRST_EXCEPTION)
        for one in left:
            one.cancel()
        for one in done:
            one.result()


def copy_one(client: S3Client, source: Source, target: Path, item: Item, progress: Progress) -> None:
    path = target / item.name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{PART}{uuid.uuid4().hex}")
    try:
        client.download_file(source.bucket, item.key, str(part), Callback=progress.add, Config=TRANSFER)
        if part.stat().st_size != item.size:
            raise CopyFailed(f"Changed: {item.key} was changed while it was copied")
        seconds = int(item.modified_at.timestamp())
        os.utime(part, (seconds, seconds))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_others(target: Path, names: set[str]) -> None:
    """What the folder has no more, and what killed copiers have left. A part that is young may be another's."""
    for path in sorted(target.rglob("*"), reverse=True):
        with contextlib.suppress(FileNotFoundError, OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()  # fails where something is in it, as it should
            elif path.name.startswith(PART):
                if time.time() - path.stat().st_mtime > PART_AGE_SECONDS:
                    path.unlink()
            elif str(path.relative_to(target)) not in names:
                path.unlink()


@contextlib.contextmanager
def failures_in_words(source: Source) -> Iterator[None]:
    """Everything that can fail, as ``CopyFailed``."""
    try:
        yield
    except ClientError as problem:
        raise CopyFailed(told(problem.response.get("Error", {}), source)) from None
    except BotoCoreError as problem:
        raise CopyFailed(f"{type(problem).__name__}: {problem}") from None
    except OSError as problem:
        code = "NoSpace" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else "NotWritten"
        raise CopyFailed(f"{code}: {problem.strerror or problem}") from None


def told(error: Any, source: Source) -> str:
    code = CODES.get(str(error.get("Code", "")), str(error.get("Code", "")) or "Unknown")
    if code == "NoSuchBucket":
        return f"NoSuchBucket: there is no bucket {source.bucket}"
    if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return f"{code}: the object store does not let {source} be read: {error.get('Message', '')}".rstrip(": ")
    return f"{code}: {error.get('Message', '')}".rstrip(": ")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="copier")
    for option in ("bucket", "prefix", "endpoint", "target"):
        parser.add_argument(f"--{option}", required=True)
    asked = parser.parse_args(words)
    # Whoever the program runs as has to read what is copied here.
    os.umask(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    key_id, key_secret = os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    source = Source(asked.bucket, asked.prefix.strip("/"))
    say(f"copying {source}")
    try:
        copied = copy(connect(asked.endpoint, key_id, key_secret), source, Path(asked.target))
    except CopyFailed as problem:
        say(str(problem))
        return 1
    say(f"{copied} files copied, the others were here")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
