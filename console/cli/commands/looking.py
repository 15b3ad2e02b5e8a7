"""``logs``, ``events`` and ``w``: looking at what a service does."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from console.cli.client import PAGE_SIZE, Client
from console.cli.errors import CliError, ExitCode
from console.cli.following import follow
from console.cli.options import complete_instance, output_option, service_argument
from console.cli.output import local_time, log_line, note, print_json, print_list
from console.cli.session import Session, pass_session
from console.cli.waiting import cure_of

WORKER_COLUMNS = ("INSTANCENAME", "INNERIP", "HOSTIP", "STARTAT", "RESTARTS", "STATUS", "READY", "REASON", "LASTSTATE")


@click.command()
@service_argument
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option("-n", "--tail", type=click.IntRange(1, PAGE_SIZE), default=100, show_default=True, help="Last lines.")
@click.option("--all", "whole", is_flag=True, help="Everything that is kept.")
@click.option(
    "--instance",
    shell_complete=complete_instance,
    help="Of this instance, also of one that has ended; of a container beside it: INSTANCE/side-1.",
)
@click.option("--keyword", help="Only lines that hold this text.")
@click.option("--previous", is_flag=True, help="Of the program before the last restart.")
@output_option
@pass_session
def logs(session: Session, /, service: str, output: str, **given: Any) -> None:
    """Print the log of a service.

    Of its newest instance, or of --instance.
    """
    if given["previous"] and given["follows"]:
        raise CliError("A log that has ended does not go on: leave out -f or --previous.", exit_code=ExitCode.USAGE)
    query = {
        "InstanceName": given["instance"],
        "Keyword": given["keyword"],
        "Previous": "true" if given["previous"] else None,
    }
    client = session.client
    if given["follows"]:
        start = {"FromLine": 0} if given["whole"] else {"Tail": given["tail"]}
        for instance, lines in follow(client, service, query, start):
            for line in lines:
                show_line(line, instance, output)
        return
    found = read_all(client, service, query) if given["whole"] else read_tail(client, service, query, given["tail"])
    if output == "json":
        print_json(found)
        return
    if not found["InstanceName"]:
        note(f"{service} has no log yet.")
    for line in found["Logs"]:
        click.echo(log_line(line, sys.stdout))


def show_line(line: str, instance: str, output: str) -> None:
    """A line of a log that is followed; as JSON an object a line."""
    if output == "json":
        print_json({"InstanceName": instance, "Line": line}, indent=None)
    else:
        click.echo(log_line(line, sys.stdout))
    sys.stdout.flush()


def read_tail(client: Client, service: str, query: dict[str, Any], count: int) -> dict[str, Any]:
    """The last lines."""
    return client.service("GET", service, "/logs", query=query | {"Tail": count})


def read_all(client: Client, service: str, query: dict[str, Any]) -> dict[str, Any]:
    """Every line that is kept, of one instance from the first page to the last."""
    found = client.service("GET", service, "/logs", query=query | {"FromLine": 0, "PageSize": PAGE_SIZE})
    query = query | {"InstanceName": found["InstanceName"]}
    page = found
    while len(page["Logs"]) == PAGE_SIZE:
        page = client.service(
            "GET", service, "/logs", query=query | {"FromLine": page["NextLine"], "PageSize": PAGE_SIZE}
        )
        found["Logs"] += page["Logs"]
        found["NextLine"] = page["NextLine"]
    return found


@click.command()
@service_argument
@click.option("-n", "--count", type=click.IntRange(1, PAGE_SIZE), default=50, show_default=True, help="How many.")
@click.option("--warnings", is_flag=True, help="Warnings only.")
@click.option("--instance", help="Of this instance only.")
@output_option
@pass_session
def events(session: Session, service: str, count: int, warnings: bool, instance: str | None, output: str) -> None:
    """Show what happened to a service.

    The last seven days, the newest last, with what to do about it.
    """
    found = session.client.events(service, count, EventType="Warning" if warnings else None, InstanceName=instance)
    if output == "json":
        print_json({"Events": found, "TotalCount": len(found)})
        return
    columns = ("TIME", "TYPE", "REASON", "INSTANCE", "MESSAGE")
    print_list(
        columns,
        [
            (
                local_time(one["Time"]),
                one["Type"],
                one["Code"],
                one["InstanceName"],
                " ".join(filter(None, (one["Message"], times_words(one["Times"]), cure_of(service, one)))),
            )
            for one in found
        ],
    )


def times_words(times: int) -> str:
    """How often it has happened, where that is more than once."""
    return f"Seen {times} times." if times > 1 else ""


@click.command("w")
@service_argument
@click.option("-w", "--watch", is_flag=True, help="Show them again whenever something changes, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="With -w: seconds between looks.",
)
@output_option
@pass_session
def workers(session: Session, service: str, watch: bool, interval: float, output: str) -> None:
    """Show a service's instances (workers)."""
    told: list[tuple[object, ...]] | None = None
    while True:
        rows = session.client.service_list(service, "Instances")
        seen = [worker_row(row) for row in rows]
        if seen != told:
            if told is not None and output == "table":
                click.echo()
            told = seen
            if output == "json":
                print_json({"Instances": rows, "TotalCount": len(rows)}, indent=None if watch else 2)
            else:
                print_list(WORKER_COLUMNS, seen)
            sys.stdout.flush()
        if not watch:
            return
        time.sleep(interval)


def worker_row(row: dict[str, Any]) -> tuple[object, ...]:
    """An instance in eascmd's columns."""
    last = [
        {key: state[key] for key in ("exitCode", "finishedAt", "reason", "startedAt")} for state in row["LastState"]
    ]
    return (
        row["InstanceName"],
        row["InnerIP"],
        row["HostIP"],
        local_time(row["StartAt"]),
        row["RestartCount"],
        row["Status"],
        f"[{row['ReadyProcesses']}/{row['TotalProcesses']}]",
        row["Reason"],
        json.dumps(last[0], ensure_ascii=False) if last else "",
    )
