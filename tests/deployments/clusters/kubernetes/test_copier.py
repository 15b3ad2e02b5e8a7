"""The program that copies a folder of an object store, against a real server of S3's protocol."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

from console.environment import REPOSITORY
from deployments.clusters.kubernetes.copier import PART, CopyFailed, Source, copy
from deployments.clusters.kubernetes.object_store import connect, s3_address

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOLDER = Source("models", "team/qwen")
FILES = {"config.json": b"{}", "weights/a.bin": b"a" * 70_000, "empty": b""}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(endpoint: str) -> Iterator[S3Client]:
    """A store with one bucket, and in it one folder beside others."""
    found = connect(endpoint, "test-key", "test-secret", attempts=1)
    found.create_bucket(Bucket=FOLDER.bucket)
    for name, content in FILES.items():
        found.put_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/{name}", Body=content)
    found.put_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/", Body=b"")
    found.put_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}-other/config.json", Body=b"another")
    yield found
    for page in found.get_paginator("list_objects_v2").paginate(Bucket=FOLDER.bucket):
        for one in page.get("Contents", ()):
            found.delete_object(Bucket=FOLDER.bucket, Key=one["Key"])
    found.delete_bucket(Bucket=FOLDER.bucket)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_copied_whole_and_nothing_of_its_neighbours(client: S3Client, tmp_path: Path) -> None:
    assert copy(client, FOLDER, tmp_path) == len(FILES)
    assert contents(tmp_path) == FILES


def test_a_whole_bucket_is_copied(client: S3Client, tmp_path: Path) -> None:
    copy(client, Source(FOLDER.bucket, ""), tmp_path)
    assert (tmp_path / "team/qwen-other/config.json").read_bytes() == b"another"


def test_what_is_there_is_not_copied_again_and_what_is_gone_goes(client: S3Client, tmp_path: Path) -> None:
    copy(client, FOLDER, tmp_path)
    assert copy(client, FOLDER, tmp_path) == 0
    time.sleep(1.1)  # times of objects are whole seconds
    client.put_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/config.json", Body=b"[]")
    client.delete_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/weights/a.bin")
    assert copy(client, FOLDER, tmp_path) == 1
    assert contents(tmp_path) == {"config.json": b"[]", "empty": b""}
    assert not (tmp_path / "weights").exists()


def test_parts_that_a_killed_copier_left_go_and_those_of_one_that_runs_stay(client: S3Client, tmp_path: Path) -> None:
    old, young = tmp_path / f"{PART}old", tmp_path / f"{PART}young"
    old.write_bytes(b"x")
    young.write_bytes(b"y")
    os.utime(old, (1, 1))
    copy(client, FOLDER, tmp_path)
    assert not old.exists()
    assert young.exists()


def test_several_instances_may_copy_to_one_volume_at_once(client: S3Client, tmp_path: Path) -> None:
    failed: list[Exception] = []

    def run() -> None:
        try:
            copy(client, FOLDER, tmp_path)
        except CopyFailed as problem:
            failed.append(problem)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert contents(tmp_path) == FILES


def test_a_file_that_is_read_is_replaced_and_not_changed(client: S3Client, tmp_path: Path) -> None:
    copy(client, FOLDER, tmp_path)
    with (tmp_path / "config.json").open("rb") as held:
        client.put_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/config.json", Body=b"longer than it was")
        copy(client, FOLDER, tmp_path)
        assert held.read() == b"{}"
    assert (tmp_path / "config.json").read_bytes() == b"longer than it was"


def test_no_bucket_and_no_files_are_told_apart(client: S3Client, tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match=r"^NoSuchBucket: there is no bucket absent"):
        copy(client, Source("absent", "x"), tmp_path)
    with pytest.raises(CopyFailed, match=r"^NoSuchKey: there are no files under oss://models/nothing/"):
        copy(client, Source(FOLDER.bucket, "nothing"), tmp_path)


def test_an_empty_folder_removes_nothing_that_was_copied(client: S3Client, tmp_path: Path) -> None:
    copy(client, FOLDER, tmp_path)
    for name in (*FILES, ""):
        client.delete_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/{name}")
    with pytest.raises(CopyFailed, match="NoSuchKey"):
        copy(client, FOLDER, tmp_path)
    assert contents(tmp_path) == FILES


def test_an_object_cannot_leave_the_folder(client: S3Client, tmp_path: Path) -> None:
    client.put_object(Bucket=FOLDER.bucket, Key=f"{FOLDER.prefix}/../../out", Body=b"x")
    with pytest.raises(CopyFailed, match="InvalidName"):
        copy(client, FOLDER, tmp_path / "in")
    assert not (tmp_path / "out").exists()


def test_a_store_that_refuses_or_is_away_is_named(tmp_path: Path) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>AccessDenied</Code><Message>not you</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(
        CopyFailed, match=r"^AccessDenied: the object store does not let oss://models/team/qwen/ be read"
    ):
        copy(connect(address, "a", "b", attempts=1), FOLDER, tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(CopyFailed, match="EndpointConnectionError"):
        copy(connect(address, "a", "b", attempts=1), FOLDER, tmp_path)


def test_the_program_ends_well_or_says_why_and_never_tells_the_key(
    client: S3Client, endpoint: str, tmp_path: Path
) -> None:
    def run(bucket: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deployments.clusters.kubernetes.copier", f"--bucket={bucket}"]
        command += [f"--prefix={FOLDER.prefix}/", f"--endpoint={endpoint}", f"--target={tmp_path}"]
        environment = {
            "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": "the-id", "AWS_SECRET_ACCESS_KEY": "the-secret",
        }  # fmt: skip
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    done = run(FOLDER.bucket)
    assert done.returncode == 0, done.stderr
    size = sum(map(len, FILES.values()))
    assert done.stdout.splitlines() == [
        f"slipway: copying {FOLDER}",
        f"slipway: 0.0 of 0.1 MiB copied (0 of {size} bytes)",
        "slipway: 3 files copied, the others were here",
    ]
    assert contents(tmp_path) == FILES
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o666
    failed = run("absent")
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[-1].startswith("slipway: NoSuchBucket")
    for text in (done.stdout, done.stderr, failed.stdout, failed.stderr):
        assert "the-id" not in text
        assert "the-secret" not in text


@pytest.mark.parametrize(
    ("endpoint", "address", "region", "style"),
    [
        (
            "oss-cn-shanghai-internal.aliyuncs.com",
            "https://s3.oss-cn-shanghai-internal.aliyuncs.com", "cn-shanghai", "virtual",
        ),
        (
            "https://s3.oss-cn-hangzhou.aliyuncs.com/",
            "https://s3.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou", "virtual",
        ),
        ("http://minio:9000", "http://minio:9000", "us-east-1", "path"),
        ("minio.example.com", "https://minio.example.com", "us-east-1", "path"),
    ],
)  # fmt: skip
def test_an_endpoint_is_the_stores_address_of_s3(endpoint: str, address: str, region: str, style: str) -> None:
    assert s3_address(endpoint) == (address, region, style)
