"""Waiting until a service is as it was asked to be, saying each step and, where it is known, how long it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import click
from rich.text import Text

from console.cli.client import Client
from console.cli.errors import CliError, ExitCode
from console.cli.estimates import Estimate, duration, stage_of
from console.cli.output import console_for, has_colours, plain

POLL_SECONDS = 0.5
#: A server that is restarted is away for seconds; one that is away for longer is gone.
PATIENCE_SECONDS = 30.0
DEFAULT_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait: not at all, or so long; and whether the steps go to standard output as eascmd's do."""

    waits: bool
    timeout_seconds: float
    is_for_people: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look at a service means for who waits."""

    is_done: bool
    failure: str = ""
    code: str = ""


def judge(seen: Mapping[str, Any] | None, kind: str) -> Verdict:
    """Whether a service, None when it is gone, is as ``kind`` wants it: settled, and with all its instances."""
    if seen is None:
        gone = "" if kind == "delete" else "The service has been deleted meanwhile."
        return Verdict(is_done=True, failure=gone, code="ServiceNotFound" if gone else "")
    status, reason = str(seen["Status"]), str(seen["Reason"])
    if kind == "delete":
        failed = status == "DeleteFailed"
        return Verdict(is_done=failed, failure=str(seen["Message"]) if failed else "", code=reason if failed else "")
    if status in {"Failed", "DeleteFailed"} or reason == "UpdateHalted":
        return Verdict(is_done=True, failure=str(seen["Message"]), code=reason)
    wants_none = seen["WantedStatus"] == "stopped" or seen["TotalInstance"] == 0
    if status == "Running":
        return Verdict(is_done=seen["PendingInstance"] == 0 and not (kind == "stop" and wants_none))
    return Verdict(is_done=status == "Stopped" and wants_none)


def find_estimate(client: Client, service: Mapping[str, Any], kind: str) -> Estimate | None:
    """The usual time of what is waited for. None: nothing is known, or nobody tells, which is no reason to fail."""
    try:
        found = client.service("GET", service["ServiceName"], "/usual-times")["UsualTimes"]
    except CliError:
        return None
    stage = stage_of(kind, service)
    return next((Estimate.parse(one) for one in found if one["Stage"] == stage), None)


def find_cure(client: Client, name: str, code: str) -> str:
    """What the last event with this code says to do about it, "" where it says nothing."""
    if client.find(name) is None:
        return ""
    warnings = client.events(name, 20, EventType="Warning")
    return next((cure_of(name, one) for one in reversed(warnings) if one["Code"] == code), "")


def cure_of(name: str, event: Mapping[str, Any]) -> str:
    """An event's cure, with the command where the value to set is known."""
    fix = event["Fix"]
    is_a_value = fix["Value"] != "" and fix["Field"].startswith("metadata.")
    command = f"slipway modify {name} -D{fix['Field']}={fix['Value']}" if is_a_value else ""
    return f"{event['Cure']} For instance: {command}" if command else str(event["Cure"])


def wait_for(client: Client, name: str, kind: str, patience: Patience) -> dict[str, Any] | None:
    """Wait until the service is settled; its description then, None when it is gone.

    Raises ``CliError`` where the service failed, where time is up, and for Ctrl-C: the service goes on.
    """
    try:
        return _wait(client, name, kind, patience)
    except KeyboardInterrupt:
        raise CliError(
            f"Stopped waiting; Slipway goes on. See how far it is with slipway desc {name}.",
            exit_code=ExitCode.INTERRUPTED,
        ) from None


def _wait(client: Client, name: str, kind: str, patience: Patience) -> dict[str, Any] | None:
    began = time.monotonic()
    look = _patient(lambda: client.find(name))
    seen = look()
    has_to_wait = seen is not None and not judge(seen, kind).is_done
    known = find_estimate(client, seen, kind) if seen is not None and has_to_wait else None
    with Progress(is_for_people=patience.is_for_people) as progress:
        if has_to_wait:
            progress.say(known.source() if known else "No earlier run tells how long this takes.")
        while True:
            elapsed = time.monotonic() - began
            verdict = judge(seen, kind)
            if seen is not None and not verdict.is_done:
                progress.step(seen, elapsed, known)
            if verdict.failure:
                raise CliError(f"{verdict.failure} {find_cure(client, name, verdict.code)}".strip(), verdict.code)
            if verdict.is_done:
                return seen
            if elapsed > patience.timeout_seconds:
                status = seen["Status"] if seen else ""
                raise CliError(
                    f"{name} is still {status} after {duration(elapsed)}; Slipway goes on. Wait longer with --timeout.",
                    "wait_timeout",
                    ExitCode.TIMEOUT,
                )
            time.sleep(POLL_SECONDS)
            seen = look()


def _patient(look: Callable[[], dict[str, Any] | None]) -> Callable[[], dict[str, Any] | None]:
    """``look``, tried again while nobody answers, as after a restart of the server."""

    def looking() -> dict[str, Any] | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return look()
            except CliError as error:
                if error.exit_code is not ExitCode.UNREACHABLE or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    return looking


class Progress:
    """Steps as lines, each once; and on a terminal a last line that moves, with the time that is left."""

    def __init__(self, *, is_for_people: bool) -> None:
        self._stream = sys.stdout if is_for_people else sys.stderr
        self._told = ""
        console = console_for(sys.stderr)
        self._live = console.status("") if console.is_terminal and sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str, *, is_step: bool = False) -> None:
        """One line that stays; a step has eascmd's mark."""
        line = ok(plain(text), self._stream) if is_step else plain(text)
        if self._live is not None and self._stream.isatty():
            # Above the line that moves, which is on the same screen.
            self._live.console.print(Text.from_ansi(line))
        else:
            click.echo(line, file=self._stream)

    def step(self, seen: Mapping[str, Any], elapsed_seconds: float, known: Estimate | None) -> None:
        """How far it is: a new status is a new line, in eascmd's form."""
        total, pending, running = seen["TotalInstance"], seen["PendingInstance"], seen["RunningInstance"]
        counts = f"{seen['Status']} [Total: {total}, Pending: {pending}, Running: {running}]"
        if counts != self._told:
            self._told = counts
            left = f" ({known.remaining(elapsed_seconds)})" if known else ""
            self.say(f"{counts} {seen['Message']}{left}", is_step=True)
        if self._live is not None:
            left = known.remaining(elapsed_seconds) if known else "no earlier run to go by"
            # The time first, and cut to the line: a second line would flicker.
            moving = Text(plain(f"{duration(elapsed_seconds)}, {left}. {seen['Message']}"))
            moving.truncate(self._live.console.width - 3, overflow="ellipsis")
            self._live.update(moving)


def ok(text: str, stream: TextIO) -> str:
    """A line of progress as eascmd writes it."""
    return f"{click.style('[OK]', fg='green') if has_colours(stream) else '[OK]'} {text}"


def finish(client: Client, name: str, kind: str, patience: Patience) -> dict[str, Any] | None:
    """Wait where that is wanted, and say how it ended. Returns the service as it is then, None when it is gone."""
    if not patience.waits:
        return client.find(name)
    seen = wait_for(client, name, kind, patience)
    done = "Service was deleted successfully" if seen is None else f"Service is {str(seen['Status']).lower()}"
    stream = sys.stdout if patience.is_for_people else sys.stderr
    click.echo(ok(done, stream), file=stream)
    return seen
