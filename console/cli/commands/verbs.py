"""``stop``, ``start``, ``restart``, ``release``, ``delete`` and ``version``: what a service is asked to do."""

from __future__ import annotations

import click

from console.cli.commands.services import settle
from console.cli.errors import CliError, ExitCode, usage
from console.cli.options import complete_version, output_option, patience_of, service_argument, waiting_options
from console.cli.output import local_time, print_json, print_list
from console.cli.session import Session, pass_session


@click.command()
@service_argument
@waiting_options
@output_option
@pass_session
def stop(session: Session, service: str, wait: bool, timeout: float, output: str) -> None:
    """Stop a service.

    Its instances end, everything else is kept.
    """
    ask(session, service, "stop", wait=wait, timeout=timeout, output=output)


@click.command()
@service_argument
@waiting_options
@output_option
@pass_session
def start(session: Session, service: str, wait: bool, timeout: float, output: str) -> None:
    """Start a stopped or failed service."""
    ask(session, service, "start", wait=wait, timeout=timeout, output=output)


@click.command()
@service_argument
@waiting_options
@output_option
@pass_session
def restart(session: Session, service: str, wait: bool, timeout: float, output: str) -> None:
    """Replace a service's instances, one by one."""
    ask(session, service, "restart", wait=wait, timeout=timeout, output=output)


def ask(session: Session, service: str, verb: str, *, wait: bool, timeout: float, output: str) -> None:
    """One verb, and how it went."""
    answer = session.client.service("PUT", service, f"/{verb}")
    settle(session.client, service, verb, answer, patience_of(wait=wait, timeout=timeout, output=output))


@click.command()
@service_argument
@click.option("--state", type=click.Choice(["grouping", "standalone"]), help="Take requests of its group, or none.")
@click.option("--weight", type=click.IntRange(-1, 1000), help="Its share beside the others'; -1: by its instances.")
@output_option
@pass_session
def release(session: Session, service: str, state: str | None, weight: int | None, output: str) -> None:
    """Let a service take requests of its group.

    Nothing restarts, and a change counts within a second.
    """
    body = {"TrafficState": state, "Weight": weight}
    if state is None and weight is None:
        raise usage("Say what to change: --state grouping, --weight 40, or both.")
    answer = session.client.service("PUT", service, "/release", body={k: v for k, v in body.items() if v is not None})
    if output == "json":
        print_json(answer)
    else:
        click.echo(answer["Message"])


@click.command()
@service_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@waiting_options
@output_option
@pass_session
def delete(session: Session, service: str, yes: bool, wait: bool, timeout: float, output: str) -> None:
    """Delete a service. Asks first.

    Its versions, events and logs go with it.
    """
    client = session.client
    found = client.describe(service)
    if not yes:
        confirm(f"Are you sure to delete the service [{found['ServiceName']}] in [{found['Region']}]?")
    answer = client.service("DELETE", service)
    if output == "table":
        answer["Message"] = f"Service [{found['ServiceName']}] in region [{found['Region']}] is terminating"
    settle(client, service, "delete", answer, patience_of(wait=wait, timeout=timeout, output=output))


def confirm(question: str) -> None:
    """Ask on standard error, so that answers stay clean. Raises ``CliError`` for no, and where nobody can answer."""
    try:
        agreed = click.confirm(question, default=True, err=True)
    except click.Abort:
        click.echo(err=True)  # the question stands on a line of its own
        raise CliError("Nothing was deleted: nobody said yes. Use -y to go ahead unasked.", "not_confirmed") from None
    if not agreed:
        raise CliError("Nothing was deleted.", "not_confirmed", ExitCode.REFUSED)


@click.command()
@service_argument
@click.argument("number", required=False, type=click.IntRange(1), shell_complete=complete_version)
@waiting_options
@output_option
@pass_session
def version(session: Session, service: str, number: int | None, wait: bool, timeout: float, output: str) -> None:
    """Switch to version NUMBER, or list them all."""
    client = session.client
    if number is not None:
        answer = client.service("PUT", service, "/version", body={"Version": number})
        settle(client, service, "update", answer, patience_of(wait=wait, timeout=timeout, output=output))
        return
    rows = client.service_list(service, "Versions")
    if output == "json":
        print_json({"Versions": rows, "TotalCount": len(rows)})
        return
    columns = ("VERSION", "BUILDTIME", "AUTHOR", "RUNNABLE", "STATE", "REASON")
    print_list(
        columns,
        [
            (
                row["Version"],
                local_time(row["BuildTime"]),
                row["Author"],
                row["ServiceRunnable"],
                "current" if row["Current"] else "wanted" if row["Wanted"] else "",
                row["Reason"],
            )
            for row in rows
        ],
    )
