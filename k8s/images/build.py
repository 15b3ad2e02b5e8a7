"""``make images``: build Slipway's images by their Dockerfiles, without Docker, and load them into a test cluster.

A folder of Debian's packages (debootstrap) takes the place of ``debian:bookworm-slim``, ``RUN`` works in it by chroot,
and ``cluster image`` makes an image of the result. A stage is kept under a digest of everything that it is made from,
so a second build does only what has changed. Needs root, and says so.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s.images import root_folder
from k8s.images.context import Context, NotInContext
from k8s.images.dockerfile import Copy, DockerfileInvalid, Stage, parse

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
NAMES = ("slipway", "chat-llm", "postgres")
#: Programs of Debian's packages that the builder uses.
PROGRAMS = {"debootstrap": "debootstrap", "unshare": "util-linux", "chroot": "coreutils", "ctr": "containerd"}
#: Of each stage, what the builds of so many versions made is kept, as long as it was used within a week.
KEPT_VERSIONS = 4
KEPT_SECONDS = 7 * 24 * 3600
#: A change of the builder itself that old stages do not have is told by another number.
FORMAT = 1


class CannotBuild(Exception):
    """Nothing can be built here. The text is one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its Dockerfile read, and the folder that it copies from."""

    name: str
    stages: list[Stage]
    context: Context

    @classmethod
    def read(cls, name: str) -> Image:
        """Raises DockerfileInvalid."""
        dockerfile = HERE / name / "Dockerfile"
        folder = dockerfile.parent if name == "postgres" else REPOSITORY
        return cls(name, parse(dockerfile.read_text()), Context.of(folder, dockerfile))

    @property
    def reference(self) -> str:
        return f"kube.local/{self.name}:dev"

    def keys(self) -> dict[str, str]:
        """By stage, a digest of all that it is made from; an image's name is the key of what is not built here.

        Raises NotInContext.
        """
        keys: dict[str, str] = {}
        for stage in self.stages:
            base = keys.get(stage.base) or f"{FORMAT} {' '.join(root_folder.DEBIAN_COMMAND)}"
            digest = hashlib.sha256(base.encode())
            for step in stage.steps:
                digest.update(repr(step).encode())
                if isinstance(step, Copy):
                    origin = keys[step.origin] if step.origin else ""
                    contents = [] if step.origin else [self.context.digest(source) for source in step.sources]
                    digest.update(f"{origin}{contents}".encode())
            keys[stage.name] = f"{stage.name}-{digest.hexdigest()[:20]}"
        return keys


class Cellar:
    """The folder that keeps stages: ``<key>/root``, there only when it is whole, and when each was last used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Cellar:
        """The user's own, in the folder for caches."""
        return cls(Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway-images")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One build at a time: the second finds the first's stages."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def root(self, key: str) -> Path:
        return self.folder / key / "root"

    def has(self, key: str) -> bool:
        if not self.root(key).is_dir():
            return False
        os.utime(self.folder / key)
        return True

    @contextmanager
    def fill(self, key: str) -> Iterator[Path]:
        """A folder to build ``root`` in; it takes its place when the block ends well."""
        draft = self.folder / f"{key}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft / "root"
        os.rename(draft, self.folder / key)

    def prune(self, now: float) -> None:
        """Forget what no build has used for a week, and of each stage all but the last few."""
        entries = sorted((one for one in self.folder.iterdir() if one.is_dir()), key=lambda one: -one.stat().st_mtime)
        kept: Counter[str] = Counter()
        for entry in entries:
            stage = entry.name.rpartition("-")[0]
            kept[stage] += 1
            if kept[stage] > KEPT_VERSIONS or now - entry.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(entry)


def build_stage(image: Image, stage: Stage, keys: Mapping[str, str], cellar: Cellar) -> None:
    """Make one stage unless it is kept. What it needs has been made. Raises BuildFailed, NotInContext."""
    key = keys[stage.name]
    if cellar.has(key):
        return
    began = time.monotonic()
    base = keys.get(stage.base) or build_debian(cellar)
    # A command may write to any file; copies do not, and put new ones in place of those that are there.
    by_links = all(isinstance(step, Copy) for step in stage.steps)
    with cellar.fill(key) as root:
        root_folder.copy_tree(cellar.root(base), root, by_links=by_links)
        for step in stage.steps:
            if not isinstance(step, Copy):
                root_folder.run(root, step, os.environ)
            elif step.origin is None:
                image.context.copy(step.sources, root, step.target)
            else:
                origin = cellar.root(keys[step.origin])
                for source in step.sources:
                    root_folder.copy_tree(
                        origin / source.lstrip("/"), root / step.target.lstrip("/"), by_links=by_links
                    )
    say(f"{image.name}: {stage.name} took {time.monotonic() - began:.0f} s")


def build_debian(cellar: Cellar) -> str:
    """The key of Debian's own stage, made unless it is kept. Raises BuildFailed."""
    key = f"debian-{root_folder.SUITE}-{FORMAT}"
    if not cellar.has(key):
        began = time.monotonic()
        with cellar.fill(key) as root:
            root_folder.make_debian(root)
        say(f"debian {root_folder.SUITE} took {time.monotonic() - began:.0f} s")
    return key


def build(image: Image, cellar: Cellar) -> str:
    """Make all that the image needs, and no other stage. Returns its key. Raises BuildFailed, NotInContext."""
    keys = image.keys()
    needed = {image.stages[-1].name}
    for stage in reversed(image.stages):
        if stage.name in needed and not cellar.has(keys[stage.name]):
            needed |= stage.needs
    for stage in image.stages:
        if stage.name in needed:
            build_stage(image, stage, keys, cellar)
    return keys[image.stages[-1].name]


def load(image: Image, key: str, cellar: Cellar, cluster: Path) -> bool:
    """Give the image to the cluster unless it was given already. Raises BuildFailed."""
    config = json.dumps(image.stages[-1].config, sort_keys=True)
    identity = subprocess.run(
        (cluster, "kubectl", "get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"),
        capture_output=True,
        text=True,
        check=False,
    )
    if identity.returncode:
        raise CannotBuild("No test cluster is up to load images into. Start it: cluster up (tests/kube.py says more).")
    # A cluster made anew has no images, whatever was loaded into the last one.
    stamp = cellar.folder / f"{image.name}.loaded"
    loaded = f"{identity.stdout} {image.reference} {key} {hashlib.sha256(config.encode()).hexdigest()}"
    if stamp.is_file() and stamp.read_text() == loaded:
        return False
    done = subprocess.run(
        (cluster, "image", image.reference, cellar.root(key), config), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise root_folder.BuildFailed(f"{cluster} image {image.reference} failed.\n{done.stderr.strip()}")
    stamp.write_text(loaded)
    return True


def find_cluster(variables: Mapping[str, str]) -> Path | None:
    """The test cluster's program: SLIPWAY's tests know it by the same names (tests/kube.py)."""
    named = variables.get("TEST_CLUSTER")
    found = Path(named) if named else REPOSITORY.parent / "shared" / "kube" / "cluster"
    return found if os.access(found, os.X_OK) else None


def check_machine(variables: Mapping[str, str]) -> Path:
    """The test cluster's program. Raises CannotBuild with what is missing."""
    cluster = find_cluster(variables)
    if cluster is None:
        files = ", ".join(str((HERE / name / "Dockerfile").relative_to(REPOSITORY)) for name in NAMES)
        raise CannotBuild(
            "There is no test cluster here to build images for (TEST_CLUSTER names its program). With Docker, "
            f"build from {files}: the first lines of each say how."
        )
    if os.geteuid() != 0:
        raise CannotBuild(
            "Building a root file system needs root. Run it as root, or build the Dockerfiles with Docker."
        )
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise CannotBuild(f"Debian packages are missing: {' '.join(missing)}. Install them with apt-get.")
    return cluster


def say(text: str) -> None:
    print(f"images: {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make images", description="Build Slipway's images without Docker.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(NAMES)}; default: all")
    names = parser.parse_args(arguments).names or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no image is called {', '.join(unknown)}: they are {', '.join(NAMES)}")
    cellar = Cellar.of(os.environ)
    try:
        cluster = check_machine(os.environ)
        with cellar.turn():
            for name in names:
                image = Image.read(name)
                is_new = load(image, build(image, cellar), cellar, cluster)
                say(f"{image.reference} {'is loaded' if is_new else 'is as it was'}")
            cellar.prune(time.time())
    except (CannotBuild, DockerfileInvalid, NotInContext, root_folder.BuildFailed) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
