"""Mount paths are replaced as whole path prefixes and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deployments.clusters.local.mounts import Volume, replace_paths, volumes
from tests.deployments.clusters.workloads import spec_of

MODEL = Volume("/model_dir", Path("/d/oss/b/p"), "oss://b/p", is_private=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/model_dir", "/d/oss/b/p"),
        ("/model_dir/", "/d/oss/b/p/"),
        ("/model_dir/x/y.gguf", "/d/oss/b/p/x/y.gguf"),
        ("--p=/model_dir", "--p=/d/oss/b/p"),
        ("--model-path /model_dir/x --port 8000", "--model-path /d/oss/b/p/x --port 8000"),
        ('"/model_dir"', '"/d/oss/b/p"'),
        ("'/model_dir/a b'", "'/d/oss/b/p/a b'"),
        ("a:/model_dir:/b", "a:/d/oss/b/p:/b"),
        ("cd /model_dir;ls", "cd /d/oss/b/p;ls"),
        ("(ls /model_dir)", "(ls /d/oss/b/p)"),
        ("x=`ls /model_dir`", "x=`ls /d/oss/b/p`"),
        ("cat </model_dir/a>/model_dir/b", "cat </d/oss/b/p/a>/d/oss/b/p/b"),
        ("${MODEL:-/model_dir}", "${MODEL:-/d/oss/b/p}"),
        ('{\\"path\\": \\"/model_dir\\"}', '{\\"path\\": \\"/d/oss/b/p\\"}'),
        ("one\n/model_dir\ntwo", "one\n/d/oss/b/p\ntwo"),
        ("/model_dir,/model_dir", "/d/oss/b/p,/d/oss/b/p"),
    ],
)
def test_replaced(before: str, after: str) -> None:
    assert replace_paths(before, [MODEL]) == after


@pytest.mark.parametrize(
    "text",
    [
        "/model_dir2",
        "/model_dir-old",
        "/model_dir.bak",
        "/model_dir_x",
        "/x/model_dir",
        "x/model_dir",
        "./model_dir",
        "~/model_dir",
        "$HOME/model_dir",
        "${HOME}/model_dir",
        "https://host/model_dir",
        "https://host:80/model_dir/x",
        "/model_dirä",
        "/model_dir\\ two",
        "/model_dir*",
        "model_dir",
    ],
)
def test_left_alone(text: str) -> None:
    assert replace_paths(text, [MODEL]) == text


def test_what_was_put_in_is_not_replaced_again() -> None:
    first = Volume("/a", Path("/b/x"), "", is_private=False)
    second = Volume("/b", Path("/a/y"), "", is_private=False)

    assert replace_paths("/a/1 /b/2", [first, second]) == "/b/x/1 /a/y/2"


@pytest.mark.parametrize("script", ["cat /v/name", "cat '/v/name'", 'cat "/v/name"', "x='it is'; cat /v/name"])
@pytest.mark.parametrize("name", ["plain", "two words", "it's", 'a "b"', "$HOME `id`", "back\\slash"])
def test_a_shell_reads_odd_folder_names_as_one_word(tmp_path: Path, script: str, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "name").write_text("found")

    text = replace_paths(script, [Volume("/v", folder, "", is_private=False)], is_shell=True)

    assert subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=True).stdout == "found"


def test_volumes_lie_in_the_object_store_or_in_the_instance() -> None:
    spec = spec_of(
        storage=[
            {"mount_path": "/model_dir/", "oss": {"path": "oss://models/qwen/7b/", "readOnly": True}},
            {"mount_path": "/all", "oss": {"path": "oss://models/"}},
            {"mount_path": "/scratch", "empty_dir": {"medium": "memory", "size_limit": 2}},
        ]
    )

    found = volumes(spec.mounts, Path("/d/oss"), Path("/d/i"))

    assert found == (
        Volume("/model_dir", Path("/d/oss/models/qwen/7b"), "oss://models/qwen/7b/", is_private=False),
        Volume("/all", Path("/d/oss/models"), "oss://models/", is_private=False),
        Volume("/scratch", Path("/d/i/volumes/2"), "empty_dir", is_private=True),
    )
