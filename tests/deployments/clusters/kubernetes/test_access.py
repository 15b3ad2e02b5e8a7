"""What a service needs from elsewhere, asked of a real object store: buckets, folders, keys, silence."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from deployments.clusters.kubernetes.access import AccessKeys, Folder, check_folder, check_folders

KEYS = AccessKeys("akid", "secret")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of an object store with a bucket of one folder and one file."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="models")
    for key in [*(f"qwen-old/part-{number}" for number in range(30)), "qwen/config.json", "small.gguf"]:
        client.put_object(Bucket="models", Key=key, Body=b"{}")
    yield address
    server.stop()


def folder(store: str, prefix: str, bucket: str = "models") -> Folder:
    return Folder(f"oss://{bucket}/{prefix}", bucket, prefix, store)


@pytest.mark.parametrize("prefix", ["qwen", "small.gguf", ""])
def test_a_folder_a_file_and_a_whole_bucket_can_be_read(store: str, prefix: str) -> None:
    check = check_folder(folder(store, prefix), KEYS)
    assert (check.key, check.state) == ("storage", "ok")


@pytest.mark.parametrize("prefix", ["qw", "qwen-older", "nothing/here"])
def test_what_is_not_there_is_said_with_its_path(store: str, prefix: str) -> None:
    check = check_folder(folder(store, prefix), KEYS)
    assert (check.state, check.code) == ("fails", "storage_empty")
    assert f"oss://models/{prefix}" in check.message


def test_a_bucket_that_is_not_there_is_named(store: str) -> None:
    check = check_folder(folder(store, "x", bucket="nobodys"), KEYS)
    assert (check.state, check.code) == ("fails", "storage_bucket_missing")


def test_without_an_endpoint_nobody_is_asked() -> None:
    check = check_folder(folder("", "qwen"), KEYS)
    assert (check.state, check.code) == ("fails", "storage_endpoint_missing")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid", "http://"])
def test_what_cannot_be_reached_from_here_is_not_called_a_failure(endpoint: str) -> None:
    check = check_folder(folder(endpoint, "qwen"), KEYS)
    assert (check.state, check.code) == ("unknown", "storage_unreachable")


def test_a_store_that_says_nothing_costs_seconds_once(store: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        deaf = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        found = check_folders([folder(deaf, "a"), folder(deaf, "b"), folder(store, "qwen")], KEYS)
        took = time.monotonic() - began
    assert [check.state for check in found] == ["unknown", "unknown", "ok"]
    assert took < 9, "both were waited for at the same time, and given up"
