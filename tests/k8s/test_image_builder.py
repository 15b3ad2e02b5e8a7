"""The builder itself, on a Dockerfile of its own: it needs root and Debian's packages, as ``make images`` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.images.build import PROGRAMS, Cellar, Image, build
from k8s.images.context import Context
from k8s.images.dockerfile import Run, parse
from k8s.images.root_folder import BuildFailed, run

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.timeout(600),  # the first Debian is a minute or two of unpacking
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(program) is None for program in PROGRAMS),
        reason="building a root file system needs root, debootstrap and containerd",
    ),
]

TEXT = """
FROM debian:bookworm-slim AS made
ARG WORD=hello
COPY say.sh /srv/
RUN sh /srv/say.sh "${WORD}" >/srv/said && touch /tmp/left

FROM debian:bookworm-slim
WORKDIR /srv
COPY --from=made /srv/said said
"""


@pytest.fixture
def cellar() -> Iterator[Cellar]:
    """The builder's own: a Debian in it is used, one that is missing is made and kept."""
    cellar = Cellar.of(os.environ)
    with cellar.turn():
        yield cellar


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "say.sh").write_text(f'echo "$1 {tmp_path}"\n')
    return Image("small", parse(TEXT), Context(tmp_path))


def test_a_second_build_does_only_what_has_changed(cellar: Cellar, image: Image) -> None:
    first = build(image, cellar)
    said = cellar.root(first) / "srv/said"
    assert said.read_text() == f"hello {image.context.folder}\n"
    assert not (cellar.root(first) / "tmp/left").exists()
    made_at = said.stat().st_ino
    assert build(image, cellar) == first
    assert said.stat().st_ino == made_at

    (image.context.folder / "say.sh").write_text('echo "$1 again"\n')
    second = build(image, cellar)
    assert second != first
    assert (cellar.root(second) / "srv/said").read_text() == "hello again\n"
    for key in (first, second, *image.keys().values()):
        shutil.rmtree(cellar.folder / key, ignore_errors=True)


def test_a_command_that_fails_is_told_with_what_it_said_and_leaves_no_stage(cellar: Cellar, image: Image) -> None:
    (image.context.folder / "say.sh").write_text("echo not today >&2\nexit 3\n")
    with pytest.raises(BuildFailed, match=r"exit code 3[\s\S]*not today"):
        build(image, cellar)
    assert not cellar.has(image.keys()["made"])
    shutil.rmtree(cellar.folder / f"{image.keys()['made']}.draft")


def test_what_a_command_mounts_or_leaves_running_ends_with_it(cellar: Cellar, image: Image) -> None:
    key = build(image, cellar)
    before = Path("/proc/mounts").read_text()
    run(cellar.root(key), Run("mount -t tmpfs tmpfs /mnt && touch /mnt/x && (sleep 300 &) && echo", "/", {}), {})
    assert Path("/proc/mounts").read_text() == before
    assert not (cellar.root(key) / "mnt/x").exists()
    sleepers = [
        folder
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and os.path.islink(folder / "root") and _root_of(folder) == str(cellar.root(key))
    ]
    assert sleepers == []
    for one in image.keys().values():
        shutil.rmtree(cellar.folder / one, ignore_errors=True)


def _root_of(process: Path) -> str:
    try:
        return os.readlink(process / "root")
    except OSError:
        return ""
