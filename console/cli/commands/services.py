"""``create``, ``modify``, ``ls`` and ``desc``: services and their documents."""

from __future__ import annotations

import json
from typing import Any

import click

from console.cli.client import Client
from console.cli.definitions import (
    Definition,
    changes,
    needs_the_document,
    parse_definition,
    read_document,
    with_definitions,
)
from console.cli.errors import usage
from console.cli.options import (
    complete_model,
    output_option,
    patience_of,
    service_argument,
    waiting_options,
)
from console.cli.output import local_time, print_json, print_list, print_pairs
from console.cli.session import Session, pass_session
from console.cli.waiting import Patience, finish

definition_option = click.option(
    "-D", "definitions", multiple=True, metavar="KEY=VALUE", help="Set one value, as -Dmetadata.instance=2."
)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--model", shell_complete=complete_model, help="Deploy a model of the catalog instead of a FILE.")
@click.option("--name", help="The service's name; in a FILE it is metadata.name.")
@click.option("--instances", type=click.IntRange(0, 1000), help="How many instances.")
@click.option("--acceleration", help="With --model: the engine, as none or vllm.")
@click.option("--workspace", help="The workspace it belongs to.")
@definition_option
@click.option("--dry-run", is_flag=True, help="Only show the document that would be created.")
@waiting_options
@output_option
@pass_session
def create(session: Session, /, file: str | None, wait: bool, timeout: float, output: str, **given: Any) -> None:
    """Create a service from FILE, or from --model.

    FILE is a service document in JSON or YAML, - is standard input.
    """
    definitions = [parse_definition(text) for text in given["definitions"]]
    if (file is None) == (given["model"] is None):
        raise usage("Name a FILE with a service document, or a model with --model.")
    query = {
        "WorkspaceId": given["workspace"] or session.profile.workspace,
        "dry_run": "true" if given["dry_run"] else None,
    }
    if file is None:
        path, body = "/llm-services", form_of(given, definitions)
    else:
        path, body = "/services", document_of(file, given, definitions)
    answer = session.client.call("POST", path, query=query, body=body)
    if given["dry_run"]:
        if output == "json":
            print_json(answer)
        else:
            print_json(answer["document"])
        return
    show_created(session.client, answer, patience_of(wait=wait, timeout=timeout, output=output))


def form_of(given: dict[str, Any], definitions: list[Definition]) -> dict[str, Any]:
    """The fields of the LLM form; ``-D`` sets those that have no option of their own."""
    if not given["name"]:
        raise usage("Name the service with --name.")
    fields = {
        "service_name": given["name"],
        "model": given["model"],
        "acceleration": given["acceleration"],
        "instances": given["instances"],
    }
    return with_definitions({key: value for key, value in fields.items() if value is not None}, definitions)


def document_of(file: str, given: dict[str, Any], definitions: list[Definition]) -> dict[str, Any]:
    """The file's document with what the options say."""
    if given["acceleration"]:
        raise usage("--acceleration goes with --model; in a FILE the command line says it.")
    options = {"name": given["name"], "instance": given["instances"]}
    own = [Definition(("metadata", key), value) for key, value in options.items() if value is not None]
    return with_definitions(read_document(file), [*own, *definitions])


def show_created(client: Client, answer: dict[str, Any], patience: Patience) -> None:
    """What eascmd prints: the request's id, the address and the token, then how far it is."""
    name = answer["ServiceName"]
    request_id = client.request_id
    if patience.is_for_people:
        token = (client.find(name) or {}).get("AccessToken", "")
        click.echo(f"RequestId: {request_id}")
        print_pairs([("Intranet Endpoint", answer["IntranetEndpoint"]), ("Token", token)])
    seen = finish(client, name, "create", patience)
    if not patience.is_for_people:
        print_json(seen or answer)


@click.command()
@service_argument
@definition_option
@click.option("-s", "--source", metavar="FILE", help="Send this document; only what changes has to be in it.")
@click.option("--replace", is_flag=True, help="With -s: FILE is the whole document, what it leaves out goes.")
@click.option("--revision", type=click.IntRange(1), help="Refuse where another version was saved since this one.")
@click.option("--reason", help="Why, for the list of versions.")
@waiting_options
@output_option
@pass_session
def modify(session: Session, /, service: str, wait: bool, timeout: float, output: str, **given: Any) -> None:
    """Change a service. Changing only metadata.instance scales it, and running instances stay."""
    definitions = [parse_definition(text) for text in given["definitions"]]
    if not definitions and not given["source"]:
        raise usage("Say what to change: -Dmetadata.instance=2, or -s FILE.")
    if given["replace"] and not given["source"]:
        raise usage("--replace needs the whole document: name it with -s FILE.")
    client = session.client
    body = read_document(given["source"]) if given["source"] else {}
    revision = given["revision"]
    if needs_the_document(definitions) and not given["replace"]:
        before = client.describe(service)
        revision = revision or before["WantedVersion"]
        stored = json.loads(before["ServiceConfig"] or "{}")
        body = {**body, **changes({**stored, **body}, definitions)}
    else:
        body = with_definitions(body, definitions)
    query = {
        "UpdateType": "replace" if given["replace"] else "merge",
        "Revision": revision,
        "Reason": given["reason"],
    }
    answer = client.service("PUT", service, query=query, body=body)
    kind = {"Scaling": "scale"}.get(answer["Status"], "update")
    settle(client, service, kind, answer, patience_of(wait=wait, timeout=timeout, output=output))


def settle(client: Client, name: str, kind: str, answer: dict[str, Any], patience: Patience) -> None:
    """Say what a change answered, wait for it, and give a program the service as it is then."""
    if patience.is_for_people:
        click.echo(answer["Message"])
    seen = finish(client, name, kind, patience)
    if not patience.is_for_people:
        print_json(seen or answer)


@click.command("ls")
@click.option("--filter", "part", help="Part of the name.")
@click.option("--status", help="Only services with this status.")
@click.option("--workspace", help="Only services of this workspace.")
@click.option("--sort", type=click.Choice(["CreateTime", "UpdateTime", "ServiceName", "ServiceStatus"]))
@click.option("--asc", "order", flag_value="asc", help="Smallest, or oldest, first.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@output_option
@pass_session
def list_services(session: Session, /, output: str, quiet: bool, **given: Any) -> None:
    """List services, newest first."""
    rows = session.client.services(
        Filter=given["part"],
        ServiceStatus=given["status"],
        WorkspaceId=given["workspace"] or session.profile.workspace,
        Sort=given["sort"],
        Order=given["order"],
    )
    if output == "json":
        print_json({"Services": rows, "TotalCount": len(rows)})
    elif quiet:
        for row in rows:
            click.echo(row["ServiceName"])
    else:
        columns = ("SERVICENAME", "REGION", "INSTANCE", "CREATETIME", "UPDATETIME", "STATUS", "WEIGHT", "SERVICEPATH")
        print_list(columns, [list_row(row) for row in rows])


def list_row(row: dict[str, Any]) -> tuple[object, ...]:
    """A service in eascmd's columns."""
    return (
        row["ServiceName"],
        row["Region"],
        f"{row['RunningInstance']}/{row['TotalInstance']}",
        local_time(row["CreateTime"]),
        local_time(row["UpdateTime"]),
        row["Status"],
        row["Weight"],
        path_of(row["InternetEndpoint"]),
    )


def path_of(endpoint: str) -> str:
    """An address without scheme and host."""
    return "/" + endpoint.partition("://")[2].partition("/")[2]


@click.command("desc")
@service_argument
@output_option
@pass_session
def describe(session: Session, service: str, output: str) -> None:
    """Describe a service and show its document."""
    found = session.client.describe(service)
    if output == "json":
        print_json(found)
        return
    versions = session.client.service_list(service, "Versions")
    names = ("Status", "ServiceName", "ServiceId", "Region", "WorkspaceId", "Author", "AccessToken")
    counts = ("TotalInstance", "RunningInstance", "PendingInstance", "Cpu", "Gpu", "Memory", "Image")
    group = ("ServiceGroup", "TrafficState", "Weight")
    rows: list[tuple[str, object]] = [(name, found[name]) for name in names + counts + group]
    rows += [
        ("LatestVersion", found["LatestVersion"]),
        ("CurrentVersion", found["CurrentVersion"]),
        ("Versions", ", ".join(str(one["Version"]) for one in versions)),
        ("Message", found["Message"]),
        ("CreateTime", local_time(found["CreateTime"])),
        ("UpdateTime", local_time(found["UpdateTime"])),
        ("InternetEndpoint", found["InternetEndpoint"]),
        ("IntranetEndpoint", found["IntranetEndpoint"]),
        ("ServiceConfig", pretty(found["ServiceConfig"])),
    ]
    print_pairs(rows)


def pretty(document: str) -> str:
    """A document as people read it; viewers get none."""
    return json.dumps(json.loads(document), ensure_ascii=False, indent=2) if document else ""
