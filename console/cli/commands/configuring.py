"""``config`` and ``completion``: setting up the command itself."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace

import click
from click.shell_completion import get_completion_class

from console.cli import profiles
from console.cli.client import Client, make_token
from console.cli.errors import usage
from console.cli.options import complete_profile, output_option
from console.cli.output import print_json, print_list
from console.cli.profiles import DEFAULT_NAME, DEFAULT_URL, Profile, check_name, check_token, check_url
from console.cli.session import Session, pass_session


@click.group(invoke_without_command=True)
@click.option("-e", "--url", help="Slipway's address.")
@click.option("-t", "--token", help="A personal access token. Without one you sign in, and one is made.")
@click.option("-u", "--user", help="Sign in as this person.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--profile", shell_complete=complete_profile, help="The profile to write; it becomes the current one.")
@click.option("--region", help="The region, where Slipway has several names for it.")
@click.option("--workspace", help="The workspace that create and ls mean unless they say another.")
@pass_session
@click.pass_context
def config(context: click.Context, session: Session, /, password_stdin: bool, **given: str | None) -> None:
    """Set up where Slipway is and who you are.

    Asks for what is not given. The profile file holds a token, never a password.
    """
    if context.invoked_subcommand is not None:
        return
    name = check_name(given["profile"] or session.given.profile or DEFAULT_NAME)
    before = session.profiles.by_name.get(name)
    url = given["url"] or session.given.url
    if not url:
        url = ask("Address of Slipway", before.url if before else DEFAULT_URL)
    url = check_url(url)
    token = given["token"] or session.given.token
    if not token:
        user = given["user"] or ask("User name", "admin")
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ask("Password", hidden=True)
        token = make_token(url, user, password, f"slipway on {socket.gethostname()}"[:120])
    kept = before if before and before.url == url else Profile(url)
    chosen = replace(
        kept,
        token=check_token(token),
        region=given["region"] or session.given.region or kept.region,
        workspace=given["workspace"] or kept.workspace,
    )
    person = Client(chosen).call("GET", "/me")  # a wrong token is told now, and not kept
    profiles.save(session.path, session.profiles.with_profile(name, chosen))
    click.echo(f"Signed in to {url} as {person['UserName']}. Profile {name} is in {session.path}.")


def ask(question: str, default: str | None = None, *, hidden: bool = False) -> str:
    """Ask the person at the terminal. Raises ``CliError`` where there is none."""
    if not sys.stdin.isatty():
        option = {"Address of Slipway": "--url", "User name": "--user", "Password": "--password-stdin"}[question]
        raise usage(f"{question} is missing, and nobody is there to ask. Give it with {option}.")
    answer: str = click.prompt(question, default=default, hide_input=hidden, err=True)
    return answer


@config.command("ls")
@output_option
@pass_session
def list_profiles(session: Session, output: str) -> None:
    """List the profiles, without their tokens."""
    known = session.profiles
    rows = [
        {
            "Name": name,
            "Current": name == known.current,
            "Url": one.url,
            "Region": one.region,
            "Workspace": one.workspace,
        }
        for name, one in known.by_name.items()
    ]
    if output == "json":
        print_json({"Profiles": rows})
        return
    columns = ("", "NAME", "URL", "REGION", "WORKSPACE")
    print_list(
        columns,
        [("*" if row["Current"] else "", row["Name"], row["Url"], row["Region"], row["Workspace"]) for row in rows],
    )


@config.command("use")
@click.argument("name", shell_complete=complete_profile)
@pass_session
def use_profile(session: Session, name: str) -> None:
    """Make NAME the profile that commands use."""
    profiles.save(session.path, session.profiles.with_profile(name, session.profiles.get(name)))
    click.echo(f"Commands now use profile {name}: {session.profiles.get(name).url}.")


@config.command("rm")
@click.argument("name", shell_complete=complete_profile)
@pass_session
def remove_profile(session: Session, name: str) -> None:
    """Forget NAME. Its token stays valid: delete it under Settings in the console."""
    session.profiles.get(name)
    profiles.save(session.path, session.profiles.without(name))
    click.echo(f"Profile {name} is forgotten.")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    It completes verbs, options, and the names of services, instances, versions and models.
    """
    script = get_completion_class(shell)
    assert script is not None  # click has both
    click.echo(script(context.find_root().command, {}, "slipway", "_SLIPWAY_COMPLETE").source())
