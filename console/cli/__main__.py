"""``slipway``, or ``python -m console.cli``: every failure is one line on stderr and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from console.cli.app import slipway
from console.cli.errors import CliError, ExitCode


def main(arguments: Sequence[str]) -> int:
    """Run one command line. Returns the exit code."""
    try:
        result = slipway.main(list(arguments), prog_name="slipway", standalone_mode=False)
    except CliError as error:
        return fail(error.line(), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:  # a help text, not a mistake
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "slipway"
        return fail(f"{error.format_message()} See {where} --help.", ExitCode.USAGE)
    except click.ClickException as error:
        return fail(error.format_message(), ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has left, as head does. The interpreter's last flush must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.REFUSED
    return result if isinstance(result, int) else ExitCode.DONE


def fail(line: str, code: ExitCode) -> int:
    """Say why, in one line."""
    click.echo(f"slipway: {' '.join(line.split())}", err=True)
    return code


def run() -> None:
    """The entry point of the installed command."""
    if sys.stdin is None:  # closed by whoever started this: nobody can answer, and nothing can be read
        sys.stdin = io.TextIOWrapper(io.BytesIO())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets another one, not an error.
            stream.reconfigure(errors="replace")
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
