"""The dialogue in a terminal: lines are read, answers appear as they are written.

Ctrl-C stops the answer, or empties the line; Ctrl-D leaves. Commands begin with a slash.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing

import click

from console.cli.dialogue import Dialogue
from console.cli.errors import CliError
from console.cli.output import dimmed, note, plain

try:
    import readline  # noqa: F401 - input() then has editing, and arrow keys for what was asked before
except ImportError:  # not on every system; lines can be read without it
    pass

PROMPT = ">>> "
MORE = "... "
QUOTES = '"""'
HELP = """\
/system TEXT   say how the model should behave, from the next question on; without TEXT: nothing special
/retry         ask the last question again
/new           begin anew: the model forgets what was said
/help          this
/exit          leave, as Ctrl-D does
Ctrl-C stops an answer. Lines between \"\"\" are one question."""


def run(dialogue: Dialogue, read: Callable[[str], str] = input) -> None:
    """Ask and answer until the person leaves."""
    while True:
        try:
            line = read_question(read)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            note("\nCtrl-D leaves.")
            continue
        command, _, rest = line.partition(" ")
        if not line:
            continue
        if command in {"/exit", "/quit", "/bye"}:
            return
        if line.startswith("/") and command in COMMANDS:
            COMMANDS[command](dialogue, rest.strip())
        elif line.startswith("/"):
            note(f"There is no {command}. /help shows what there is.")
        else:
            answer(dialogue, line)


def read_question(read: Callable[[str], str]) -> str:
    """A line, or the lines between triple quotes. Raises ``EOFError`` and ``KeyboardInterrupt``."""
    line = read(PROMPT).strip()
    if not line.startswith(QUOTES):
        return line
    lines = [line.removeprefix(QUOTES)]
    while QUOTES not in lines[-1]:
        lines.append(read(MORE))
    return "\n".join(lines).replace(QUOTES, "").strip()


def answer(dialogue: Dialogue, question: str) -> None:
    """Print the answer as it comes; an error is a line, and the dialogue goes on."""
    try:
        with closing(dialogue.ask(question)) as pieces:
            was_thinking: bool | None = None
            for piece in pieces:
                if was_thinking is not None and bool(piece.thought) != was_thinking:
                    click.echo()
                was_thinking = bool(piece.thought)
                click.echo(dimmed(plain(piece.thought), sys.stdout) if was_thinking else plain(piece.text), nl=False)
                sys.stdout.flush()
    except KeyboardInterrupt:
        click.echo()
        note("Stopped.")
    except CliError as error:
        click.echo()
        note(f"slipway: {error.line()}")
    else:
        click.echo()
        forgotten = f" The oldest {dialogue.left_out} rounds no longer fit." if dialogue.left_out else ""
        click.echo(dimmed(f"[{dialogue.statistics.line()}]{forgotten}", sys.stderr), err=True)


def set_system(dialogue: Dialogue, text: str) -> None:
    dialogue.system = text
    note("The model is told so from the next question on." if text else "The model is told nothing special.")


def begin_anew(dialogue: Dialogue, _: str) -> None:
    dialogue.rounds.clear()
    note("A new dialogue.")


def retry(dialogue: Dialogue, _: str) -> None:
    if not dialogue.rounds:
        note("Nothing was asked yet.")
        return
    last = dialogue.rounds.pop()
    rounds_before = len(dialogue.rounds)
    answer(dialogue, last[0])
    if len(dialogue.rounds) == rounds_before:  # not a word came: the old answer stays
        dialogue.rounds.append(last)


def show_help(_: Dialogue, _rest: str) -> None:
    note(HELP)


COMMANDS: dict[str, Callable[[Dialogue, str], None]] = {
    "/system": set_system,
    "/retry": retry,
    "/new": begin_anew,
    "/help": show_help,
}
