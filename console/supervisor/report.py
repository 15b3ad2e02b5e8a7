"""What the supervisor says on the terminal, and what of it goes into its own log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from console.environment import Environment


def complain(sentence: str) -> None:
    """One line on standard error."""
    print(f"slipway: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - this is its terminal


def say(text: str) -> None:
    """Text for the person at the terminal, who may have gone: a closed terminal is no reason to stop."""
    try:
        print(text, flush=True)  # noqa: T201 - this is its terminal
    except OSError:
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - for as long as this process lives


class Journal:
    """``log/supervisor.log``, and the same lines on the terminal. Passwords only ever go through ``say``."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def note(self, sentence: str) -> None:
        """Record something that happened to a part."""
        say(f"slipway: {sentence}")
        instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{instant} {sentence}\n")


def render_ready(environment: Environment, new_password: str | None, *, is_first_start: bool, seconds: float) -> str:
    """The lines of a successful start. ``new_password`` is the one this very start generated, if it did."""
    if new_password is not None:
        password = f"{new_password}   (shown this once; change it after signing in)"
    elif is_first_start:
        password = "the one in SLIPWAY_ADMIN_PASSWORD"
    elif environment.admin_password is not None:
        password = "as before (SLIPWAY_ADMIN_PASSWORD is read by the first start only; make password sets a new one)"
    else:
        password = "as before (forgotten? make password sets a new one)"
    lines = [
        "",
        f"Slipway is ready after {seconds:.1f} s.",
        "",
        f"  Address   {environment.address}",
        "  User      admin",
        f"  Password  {password}",
        "",
        f"  Data and logs are in {environment.data_dir}. Ctrl-C stops everything.",
    ]
    if not environment.is_loopback:
        commands = "any command" if environment.local_commands == "any" else "only the catalog's recipes"
        lines.append(f"  Other machines can reach {environment.host}:{environment.port}; services may run {commands}.")
    return "\n".join((*lines, ""))
