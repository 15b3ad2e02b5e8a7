"""The reader of Dockerfiles, what a COPY takes, and our own Dockerfiles as they are read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from console.environment import REPOSITORY
from k8s.images.build import KEPT_SECONDS, NAMES, Cellar, Image, main
from k8s.images.context import Context, NotInContext
from k8s.images.dockerfile import Copy, DockerfileInvalid, Run, parse

SMALL = """
# a comment
ARG DEBIAN=debian:bookworm-slim
FROM ${DEBIAN} AS first
ARG EXTRA="a b"
ENV A=1 B="two words"
RUN echo one \\
    # in between
 && echo two

FROM first
WORKDIR /srv
COPY --from=first /etc/hosts hosts
COPY one two ./
USER 10:10
EXPOSE 80
CMD ["sh", "-c", "true"]
"""


def test_stages_steps_and_configuration_are_read() -> None:
    first, last = parse(SMALL)
    assert (first.name, first.base, last.base) == ("first", "debian:bookworm-slim", "first")
    assert first.steps == [Run("echo one && echo two", "/", {"EXTRA": "a b", "A": "1", "B": "two words"})]
    assert last.steps == [Copy(("/etc/hosts",), "/srv/hosts", "first"), Copy(("one", "two"), "/srv/")]
    assert last.needs == {"first"}
    assert last.config == {
        "Env": ["A=1", "B=two words"],
        "WorkingDir": "/srv",
        "User": "10:10",
        "ExposedPorts": {"80/tcp": {}},
        "Cmd": ["sh", "-c", "true"],
    }


def test_an_argument_given_replaces_the_default() -> None:
    assert parse(SMALL, {"DEBIAN": "mine"})[0].base == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RUN true",
        "FROM a\nADD x y",
        "FROM a\nCOPY --chown=1 x y",
        "FROM a\nCMD true",
        "FROM ${NAMELESS}",
        "FROM a b",
    ],
)
def test_what_is_not_followed_is_refused_by_name(text: str) -> None:
    with pytest.raises(DockerfileInvalid) as raised:
        parse(text)
    assert str(raised.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/one.py", "a/two.pyc", "a/__pycache__/three.py", "b/four.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_copy_leaves_out_what_is_ignored(folder: Path) -> None:
    context = Context(folder, ("**/*.pyc", "**/__pycache__", "b"))
    assert context.files("a") == ["a/one.py"]
    for hidden in ("b", "b/four.py", "nothing"):
        with pytest.raises(NotInContext):
            context.files(hidden)


def test_the_digest_follows_names_contents_and_rights_and_nothing_else(folder: Path) -> None:
    context = Context(folder, ("**/*.pyc", "**/__pycache__"))
    before = context.digest("a")
    (folder / "a/two.pyc").write_text("other")
    os.utime(folder / "a/one.py", (1, 1))
    assert context.digest("a") == before
    (folder / "a/one.py").chmod(0o755)
    executable = context.digest("a")
    (folder / "a/one.py").write_text("other")
    assert len({before, executable, context.digest("a")}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_dockerfile_copies_is_there(name: str) -> None:
    image = Image.read(name)
    copied = [step for stage in image.stages for step in stage.steps if isinstance(step, Copy) and not step.origin]
    assert copied
    assert all(image.context.files(source) for step in copied for source in step.sources)
    assert not [
        file for step in copied for source in step.sources for file in image.context.files(source) if ".pyc" in file
    ]


@pytest.mark.parametrize("name", NAMES)
def test_images_run_as_a_user_of_their_own(name: str) -> None:
    user = Image.read(name).stages[-1].config["User"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def locked_versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (REPOSITORY / name).read_text(), re.MULTILINE))


def test_the_runtime_s_packages_are_slipway_s_in_the_same_versions() -> None:
    runtime = locked_versions("requirements-runtime.lock")
    assert {"aiohttp", "xllamacpp"} <= runtime.keys()
    assert runtime.items() <= locked_versions("requirements.lock").items()


#: Imports of the runtime, with every package away that its image does not have.
LOADS = """
import importlib.machinery, importlib.metadata, sys
allowed = set(sys.argv[1].split(","))
away = {
    module
    for module, packages in importlib.metadata.packages_distributions().items()
    if not {package.lower().replace("_", "-") for package in packages} & allowed
}
away -= {"inference_gateway", "deployments", "console"}

finder = importlib.machinery.PathFinder

class Installed:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in away else finder.find_spec(name, path, target)

sys.meta_path = [Installed() if one is finder else one for one in sys.meta_path]
import inference_gateway.runtime.llamacpp, inference_gateway.runtime.server
assert "aiohttp" in sys.modules
"""


def test_the_runtime_imports_nothing_that_its_image_does_not_have() -> None:
    locked = ",".join(locked_versions("requirements-runtime.lock"))
    command = [sys.executable, "-c", LOADS, locked]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_test_cluster_the_dockerfiles_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TEST_CLUSTER", str(tmp_path / "none"))
    assert main([]) == 1
    said = capsys.readouterr().err
    assert all(f"k8s/images/{name}/Dockerfile" in said for name in NAMES)


def test_old_stages_are_forgotten_and_the_newest_of_each_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(("made-9", "made-8", "made-7", "made-6", "made-5", "other-1", "debian-bookworm-1")):
        (tmp_path / name / "root").mkdir(parents=True)
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    cellar = Cellar(tmp_path)
    cellar.prune(now=1_000_000)
    kept = ["debian-bookworm-1", "made-6", "made-7", "made-8", "made-9", "other-1"]
    assert sorted(one.name for one in tmp_path.iterdir()) == kept
    assert cellar.has("other-1")  # which counts as used, now
    cellar.prune(now=1_000_001 + KEPT_SECONDS)
    assert [one.name for one in tmp_path.iterdir()] == ["other-1"]
