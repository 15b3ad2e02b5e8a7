"""``chat`` and ``invoke``: using a service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import httpx

from console.cli import terminal_chat
from console.cli.client import open_http, unreachable
from console.cli.dialogue import READ_SECONDS, Dialogue, Endpoint, endpoint_of
from console.cli.errors import CliError, usage
from console.cli.options import service_argument
from console.cli.output import note, plain
from console.cli.profiles import check_token, reason_of
from console.cli.session import Session, pass_session
from console.cli.waiting import DEFAULT_TIMEOUT_SECONDS, Patience, wait_for

IN_MOTION = {"Creating", "Starting", "Waiting", "Updating", "Scaling"}

token_option = click.option(
    "--service-token",
    envvar="SLIPWAY_SERVICE_TOKEN",
    help="The service's token, for those who may not see it. [env: SLIPWAY_SERVICE_TOKEN]",
)


@click.command()
@service_argument
@click.argument("question", nargs=-1)
@click.option("--system", default="", help="How the model should behave.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 is always the likeliest word.")
@click.option("--top-p", type=click.FloatRange(0, 1), help="Choose among the likeliest words of this share.")
@click.option("--max-tokens", type=click.IntRange(1), help="The longest answer, in tokens.")
@click.option("--seed", type=int, help="The same seed, question and service give the same answer.")
@token_option
@pass_session
def chat(
    session: Session, /, service: str, question: tuple[str, ...], system: str, service_token: str | None, **given: Any
) -> None:
    """Talk with a language model. With QUESTION, or a question on standard input, print one answer and end.

    Ctrl-C stops an answer, Ctrl-D leaves.
    """
    given_token = check_token(service_token) if service_token else None
    endpoint, found = endpoint_of(session.client, service, given_token)
    if found["Status"] in IN_MOTION and not found["RunningInstance"]:
        wait_for(session.client, service, "start", Patience(True, DEFAULT_TIMEOUT_SECONDS, is_for_people=False))
    elif not found["RunningInstance"]:
        cure = f" Start it with slipway start {service}." if found["Status"] == "Stopped" else ""
        raise CliError(f"{found['ServiceName']} is {found['Status']}: {found['Message']}{cure}", "not_running")
    parameters = {key: value for key, value in given.items() if value is not None}
    dialogue = Dialogue(
        endpoint,
        system=system,
        parameters=parameters,
        renew=lambda: endpoint_of(session.client, service, given_token)[0],
    )
    try:
        if question or not sys.stdin.isatty():
            print_answer(dialogue, " ".join(question) or sys.stdin.read().strip())
        else:
            note(f"Talking with {found['ServiceName']}. /help for commands, Ctrl-C stops an answer, Ctrl-D leaves.")
            terminal_chat.run(dialogue)
    finally:
        dialogue.close()


def print_answer(dialogue: Dialogue, question: str) -> None:
    """One answer and nothing else on standard output, as it comes."""
    if not question:
        raise usage("There is no question: give one as an argument or on standard input.")
    for piece in dialogue.ask(question):
        text = plain(piece.text) if sys.stdout.isatty() else piece.text
        click.echo(text, nl=False)
        sys.stdout.flush()
    click.echo()


@click.command()
@service_argument
@click.argument("path", default="")
@click.option("-d", "--data", help="The body: text, @FILE, or - for standard input.")
@click.option("-X", "--request", "method", help="The method; by default POST with a body, GET without.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Send this header too.")
@click.option("-i", "--include", is_flag=True, help="Print status and headers first, on standard error.")
@token_option
@pass_session
def invoke(
    session: Session, /, service: str, path: str, data: str | None, service_token: str | None, **given: Any
) -> None:
    """Send one raw request to a service.

    PATH is below the service's address. The answer is printed as it comes.
    """
    endpoint, _ = endpoint_of(session.client, service, check_token(service_token) if service_token else None)
    body = None if data is None else read_body(data)
    headers = {"Authorization": endpoint.token, **content_type_of(body), **dict(map(parse_header, given["headers"]))}
    method = (given["method"] or ("GET" if body is None else "POST")).upper()
    send(endpoint, method, path, body, headers, include=given["include"])


def send(
    endpoint: Endpoint, method: str, path: str, body: bytes | None, headers: dict[str, str], *, include: bool
) -> None:
    """Carry the answer's bytes to standard output. Raises ``CliError`` for an error's status, after its body."""
    url = endpoint.url + (f"/{path.lstrip('/')}" if path else "")
    out = sys.stdout.buffer
    try:
        with (
            open_http(endpoint.url, READ_SECONDS) as http,
            http.stream(method, url, content=body, headers=headers) as answer,
        ):
            if include:
                note(f"{answer.http_version} {answer.status_code} {answer.reason_phrase}")
                for name, value in answer.headers.items():
                    note(f"{name}: {value}")
                note("")
            last = b"\n"
            for piece in answer.iter_bytes():
                last = piece or last
                out.write(piece)
                out.flush()
            if sys.stdout.isatty() and not last.endswith(b"\n"):
                out.write(b"\n")
            status = answer.status_code
    except httpx.InvalidURL as error:
        raise usage(f"{path!r} is no path: {error}.") from error
    except httpx.TransportError as error:
        raise unreachable(endpoint.url, error) from error
    if status >= 400:
        raise CliError(f"The service answered {status}.", f"http_{status}")


def read_body(data: str) -> bytes:
    """``-d`` as curl has it: the text itself, a file's bytes, or standard input's."""
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise usage(f"{data[1:]} cannot be read: {reason_of(error)}.") from error


def content_type_of(body: bytes | None) -> dict[str, str]:
    """JSON for what is JSON's object or list, else text: EAS takes a bare prompt too (eas.md §1.2)."""
    if body is None:
        return {}
    try:
        is_json = isinstance(json.loads(body), dict | list)
    except ValueError:
        is_json = False
    return {"Content-Type": "application/json" if is_json else "text/plain; charset=utf-8"}


def parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable() or not text.isascii():
        raise usage(f"{text!r} is no header. Write it as 'Name: value'.")
    return name.strip().title(), value.strip()
