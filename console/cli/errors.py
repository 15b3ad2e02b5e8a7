"""How a command fails: one sentence on stderr, and an exit code that a script can tell apart."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees. ``docs/cli.md`` explains them."""

    DONE = 0
    REFUSED = 1  # Slipway said no, or the service failed
    USAGE = 2  # the command line or the profile is wrong
    TIMEOUT = 3  # the service had not got there in time
    UNREACHABLE = 4  # nobody answers at the address
    INTERRUPTED = 130  # Ctrl-C, as shells count it


class CliError(Exception):
    """A command cannot go on. ``message`` is a sentence with the cure, ``code`` is stable, "" where there is none;
    ``fields`` are those that the message leaves unnamed.
    """

    def __init__(
        self, message: str, code: str = "", exit_code: ExitCode = ExitCode.REFUSED, fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.exit_code = exit_code
        self.fields = fields

    def line(self) -> str:
        """The one line that is shown."""
        text = " ".join(self.message.split())
        where = f": {', '.join(self.fields)}" if self.fields else ""
        return f"{text} ({self.code}{where})" if self.code else text


def usage(message: str) -> CliError:
    """The command line or the profile is wrong."""
    return CliError(message, exit_code=ExitCode.USAGE)
