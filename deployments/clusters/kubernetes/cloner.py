"""Clones a Git repository before an instance starts: the program of an init container.

    python -m deployments.clusters.kubernetes.cloner --repo=URL --branch=main --commit=0123abc --target=/storage

It may be ended at any moment and run again: what is there is brought to the commit that is asked for. ``GIT_USERNAME``
and ``GIT_PASSWORD`` are given to git when it asks, so that they are on no command line and in no file; git's own words
are the log, with an exit status of 1 where it failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: What git runs to ask for a name or a password; its argument says which of them.
ASKPASS = """\
#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "${GIT_USERNAME:-oauth2}" ;;
*) printf '%s\\n' "$GIT_PASSWORD" ;;
esac
"""


class CloneFailed(Exception):
    """Git has said why; a text is what it does not know."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """``branch`` may be a tag; "" is the repository's own. ``commit`` "" is the newest of it."""

    repo: str
    branch: str = ""
    commit: str = ""


def clone(wanted: Wanted, target: Path, environment: Mapping[str, str]) -> None:
    """Make ``target`` the work tree of what is wanted. Raises ``CloneFailed``."""

    def tries(*words: str) -> bool:
        # Volumes belong to another user than whoever runs this.
        command = ["git", "-c", f"safe.directory={target}", "-C", str(target), *words]
        return subprocess.run(command, env=environment, check=False).returncode == 0

    def git(*words: str) -> None:
        if not tries(*words):
            raise CloneFailed

    target.mkdir(parents=True, exist_ok=True)
    git("init", "--quiet")
    has_lfs = shutil.which("git-lfs", path=environment.get("PATH")) is not None
    if has_lfs:
        git("lfs", "install", "--local", "--skip-repo")
    if not wanted.commit:
        git("fetch", "--quiet", "--depth=1", "--", wanted.repo, wanted.branch or "HEAD")
    elif len(wanted.commit) < 40 or not tries("fetch", "--quiet", "--depth=1", "--", wanted.repo, wanted.commit):
        # Not every server gives a commit by its hash, and none by a part of it: then what has it is fetched.
        everything = wanted.branch or "+refs/heads/*:refs/remotes/origin/*"
        git("fetch", "--quiet", "--tags", "--force", "--", wanted.repo, everything)
    git("checkout", "--quiet", "--force", "--detach", wanted.commit or "FETCH_HEAD")
    git("clean", "--quiet", "-ffdx")
    git("submodule", "update", "--quiet", "--init", "--recursive", "--force")
    if not has_lfs and any("filter=lfs" in path.read_text(errors="replace") for path in target.rglob(".gitattributes")):
        raise CloneFailed("It keeps files with Git LFS, which this image does not have.")


def git_environment(variables: Mapping[str, str], askpass: Path) -> dict[str, str]:
    """No prompts, no configuration of whoever's home this is, and whoever the program runs as may read and write."""
    return {
        **variables,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": str(askpass),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "http:https",
        "HOME": str(askpass.parent),
        "LC_ALL": "C.UTF-8",
    }


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="cloner")
    parser.add_argument("--repo", required=True)
    parser.add_argument("--branch", default="")
    parser.add_argument("--commit", default="")
    parser.add_argument("--target", required=True)
    asked = parser.parse_args(words)
    os.umask(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    askpass = Path(os.environ.get("TMPDIR", "/tmp")) / f"slipway-askpass-{os.getpid()}"  # noqa: S108 - in a container
    askpass.write_text(ASKPASS, encoding="utf-8")
    askpass.chmod(0o700)
    say(f"cloning {asked.repo}")
    try:
        clone(Wanted(asked.repo, asked.branch, asked.commit), Path(asked.target), git_environment(os.environ, askpass))
    except (CloneFailed, OSError) as problem:
        say(f"the repository could not be cloned. {problem}".rstrip())
        return 1
    finally:
        askpass.unlink(missing_ok=True)
    say("the repository is there")
    return 0


def say(text: str) -> None:
    print(f"slipway: {text}", flush=True)  # noqa: T201 - a program's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
