"""Options that several commands take, and the completion of their values."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from console.cli import profiles
from console.cli.client import Client
from console.cli.errors import CliError
from console.cli.profiles import Given
from console.cli.session import Session
from console.cli.waiting import DEFAULT_TIMEOUT_SECONDS, Patience

Command = TypeVar("Command", bound=Callable[..., Any])
#: A shell that waits for Tab longer than this is worse than one without names.
COMPLETION_SECONDS = 3.0


def path_of(config: str | None) -> Path:
    """The file of profiles: the one that was named, else the usual one."""
    return Path(config).expanduser() if config else profiles.default_path(os.environ)


def given_by(parameters: dict[str, Any]) -> Given:
    """What the options of ``slipway`` itself, or their variables, say."""
    return Given(**{key: parameters.get(key) for key in ("profile", "url", "token", "region")})


def client_for_completion(context: click.Context) -> Client:
    """A client by the options typed so far; no command has run yet."""
    typed = context.find_root().params
    chosen = profiles.resolve(given_by(typed), profiles.load(path_of(typed.get("config"))))
    return Client(chosen, timeout_seconds=COMPLETION_SECONDS)


def _quietly(find: Callable[[Client], list[str]], context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Values that begin as typed. What goes wrong completes nothing: Tab is no place for an error."""
    try:
        return [CompletionItem(one) for one in find(client_for_completion(context)) if one.startswith(incomplete)]
    except (CliError, KeyError):
        return []


def typed_service(context: click.Context) -> str:
    """The service on the line so far. Behind an option without its value click leaves it among the rest."""
    return str(context.params.get("service") or next(iter(context.args), ""))


def complete_service(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of services."""
    query = {"Filter": incomplete, "PageSize": 200, "Sort": "ServiceName", "Order": "asc"}
    return _quietly(
        lambda client: [one["ServiceName"] for one in client.call("GET", "/services", query=query)["Services"]],
        context,
        incomplete,
    )


def complete_instance(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the instances of the service typed before, also of those that have ended."""
    name = typed_service(context)
    return _quietly(
        lambda client: client.service("GET", name, "/logs", query={"Tail": 1})["Instances"], context, incomplete
    )


def complete_version(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of the versions of the service typed before."""
    name = typed_service(context)
    return _quietly(
        lambda client: [str(one["Version"]) for one in client.service_list(name, "Versions")], context, incomplete
    )


def complete_model(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Models of the catalog that run there."""
    return _quietly(
        lambda client: [one["Model"] for one in client.call("GET", "/models")["Models"] if one["Runnable"]],
        context,
        incomplete,
    )


def complete_profile(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of profiles."""
    try:
        known = profiles.load(path_of(context.find_root().params.get("config"))).by_name
    except CliError:
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def choose_profile(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """``--profile`` behind the verb, where people type it too: it wins over the one before."""
    if value is None:
        return
    root = context.find_root()
    root.params["profile"] = value  # for completion, which runs no command
    if isinstance(root.obj, Session):
        root.obj.given = replace(root.obj.given, profile=value)


def late_profile_option() -> click.Option:
    """One for each verb: click's options belong to one command."""
    return click.Option(
        ["--profile"],
        expose_value=False,
        callback=choose_profile,
        shell_complete=complete_profile,
        help="Use this profile of the file.",
    )


service_argument = click.argument("service", shell_complete=complete_service)
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    envvar="SLIPWAY_OUTPUT",
    show_default=True,
    help="A table for people, or JSON as REST has it.",
)


def waiting_options(command: Command) -> Command:
    """``--wait/--no-wait`` and ``--timeout``."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=1, max=10_000_000),
        default=DEFAULT_TIMEOUT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="Wait no longer than this.",
    )
    wait = click.option(
        "--wait/--no-wait", default=True, help="Wait until it is done (the default), or only ask for it."
    )
    return wait(timeout(command))


def patience_of(*, wait: bool, timeout: float, output: str) -> Patience:
    """How the options say to wait."""
    return Patience(wait, timeout, output == "table")
