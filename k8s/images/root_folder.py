"""Root file systems: made of Debian's packages, copied, and worked in by ``RUN``. Needs root and Linux.

A command runs with the folder as its root, in namespaces of its own for mounts and processes: whatever it mounts or
leaves running ends with it. It shares this machine's network and reaches registries as this machine does: proxies,
settings of pip and npm, and certificates are lent to it by the environment and never become part of the image.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from k8s.images.dockerfile import Run

SUITE = "bookworm"
#: The Debian that ``debian:bookworm-slim`` is.
DEBIAN_COMMAND = ("debootstrap", "--variant=minbase", SUITE)
#: What the image of that name has less than the packages: pages to read, and translations.
_NOT_KEPT = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var/lib/apt/lists")

#: Variables by which programs are told how to reach registries, and those of them that name a file of certificates.
_LENT = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "NPM_CONFIG_REGISTRY")
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
_LENT_FOLDER = "/run/lent"

#: ``$1`` the root, ``$2`` the folder of files lent, ``$3`` the command's folder, ``$4`` the command.
_IN_NAMESPACES = """
set -eu
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
mkdir "$1/run/lent" "$1/run/lock"
mount --bind "$2" "$1/run/lent"
mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
exec chroot "$1" /bin/sh -c 'cd "$1" && exec /bin/sh -e -c "$2"' sh "$3" "$4"
"""


class BuildFailed(Exception):
    """A command of the build failed. The text says which, and the end of what it wrote."""


def make_debian(root: Path) -> None:
    """What ``FROM debian`` begins with. Raises BuildFailed."""
    _check((*DEBIAN_COMMAND, str(root)))
    # In an image nothing starts a service: installing a package must not try.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    excluded = "".join(f"path-exclude /{folder}/*\n" for folder in _NOT_KEPT[:-1])
    (root / "etc/dpkg/dpkg.cfg.d/image").write_text(
        f"force-unsafe-io\n{excluded}path-include /usr/share/doc/*/copyright\n"
    )
    (root / "etc/apt/apt.conf.d/image").write_text(
        'Acquire::Languages "none";\nAPT::Keep-Downloaded-Packages "false";\n'
    )
    for folder in (*_NOT_KEPT, "var/cache/apt/archives"):
        for entry in (root / folder).iterdir():
            if folder != "usr/share/doc" and entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").touch()


def copy_tree(source: Path, target: Path, *, by_links: bool = False) -> None:
    """Everything as it is: owners, times, links. Into ``target`` where that is a folder.

    ``by_links`` shares the files' content with ``source``: for a tree that nothing will write to. Raises BuildFailed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    here = f"{source}/." if source.is_dir() else str(source)
    way = ("--link", "--force") if by_links else ("--reflink=auto",)
    _check(("cp", "-a", *way, "-T", here, str(target)))


def run(root: Path, step: Run, variables: Mapping[str, str]) -> None:
    """Do a RUN in ``root``. ``variables`` are the builder's own. Raises BuildFailed."""
    (root / step.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    with tempfile.TemporaryDirectory() as lent:
        environment |= _lend(variables, Path(lent)) | step.environment
        script = ("/bin/sh", "-c", _IN_NAMESPACES, "sh", str(root), lent, step.folder, step.command)
        _check(("unshare", "--mount", "--pid", "--fork", "--kill-child", *script), environment, step.command)


def _lend(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    lent = {name: value for name, value in variables.items() if name.upper() in _LENT}
    for name in _CERTIFICATES:
        if (file := variables.get(name)) and Path(file).is_file():
            shutil.copyfile(file, folder / name)
            lent[name] = f"{_LENT_FOLDER}/{name}"
    folder.chmod(0o755)
    return lent


def _check(command: tuple[str, ...], environment: Mapping[str, str] | None = None, shown: str = "") -> None:
    variables = dict(os.environ if environment is None else environment)
    done = subprocess.run(
        command,
        env=variables,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise BuildFailed(f"{shown or shlex.join(command)} ended with exit code {done.returncode}.\n{last}")
