"""``logs -f``: a log that goes on, over restarts of the service and of Slipway, until somebody has seen enough."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from console.cli.client import PAGE_SIZE, Client
from console.cli.errors import CliError, ExitCode
from console.cli.output import note

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0


def follow(
    client: Client, service: str, query: Mapping[str, Any], start: Mapping[str, Any]
) -> Iterator[tuple[str, list[str]]]:
    """(instance, lines) as they come. ``start`` is the first question's ``Tail`` or ``FromLine``.

    Without an ``InstanceName`` in ``query`` it goes over to a newer instance once the one before has nothing more.
    Ends when the service is deleted; a server that is away is waited for a minute.
    """
    is_fixed = bool(query.get("InstanceName"))
    instance = str(query.get("InstanceName") or "")
    where: Mapping[str, Any] = start
    silent_since = time.monotonic()
    while True:
        asked = {**query, **where, "InstanceName": instance, "PageSize": PAGE_SIZE}
        try:
            page = client.service("GET", service, "/logs", query=asked)
        except CliError as error:
            if error.code == "ServiceNotFound" and instance:
                note(f"{service} is deleted.")
                return
            if error.code == "InstanceNotFound" and instance and not is_fixed:
                instance, where = "", {"FromLine": 0}
                continue
            if error.exit_code is not ExitCode.UNREACHABLE or time.monotonic() - silent_since > PATIENCE_SECONDS:
                raise
            time.sleep(POLL_SECONDS)
            continue
        silent_since = time.monotonic()
        if page["InstanceName"] and not instance:
            instance = page["InstanceName"]
            note(f"==> {instance} <==")
        if page["Logs"]:
            yield instance, page["Logs"]
        if instance:
            where = {"FromLine": page["NextLine"]}
        newest = page["Instances"][0] if page["Instances"] else ""
        if len(page["Logs"]) == PAGE_SIZE:
            continue
        if newest and newest != instance and not is_fixed:
            instance, where = newest, {"FromLine": 0}
            note(f"==> {instance} <==")
            continue
        time.sleep(POLL_SECONDS)
