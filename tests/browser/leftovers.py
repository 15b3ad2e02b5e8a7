"""What a file's tests left on the Slipway that all files share, taken away before the next file begins."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

#: The service of the bundled model that stays from file to file: starting it takes seconds.
CHAT_SERVICE = "chat_shared"
#: Those that a fresh Slipway has.
FIRST_WORKSPACE, FIRST_PERSON = "default", "admin"


def remove_leftovers(slipway: SlipwayProcess, password: str) -> None:
    """Delete services, members and workspaces, and switch off people, who cannot be deleted.

    The list is then as short as on a fresh Slipway, and no page waits for what another file's instances do. A Slipway
    that a failed test left stopped is started again.
    """
    if slipway.process is None or slipway.process.poll() is not None:
        slipway.start()
    slipway.wait_ready()
    with httpx.Client(base_url=f"{slipway.address}/api/v2", auth=(FIRST_PERSON, password), timeout=30) as api:
        for name in services(api):
            api.delete(f"/services/local/{name}")
        for one in all_of(api, "/workspaces/default/members", "Members"):
            if one["UserName"] != FIRST_PERSON:
                api.delete(f"/workspaces/default/members/{quote(one['UserName'])}").raise_for_status()
        for one in all_of(api, "/people", "People"):
            if one["UserName"] != FIRST_PERSON and one["Active"]:
                api.put(f"/people/{quote(one['UserName'])}/deactivate").raise_for_status()
        wait_until(lambda: not services(api), "the services of this file are gone", 90)
        for one in all_of(api, "/workspaces", "Workspaces"):
            if one["WorkspaceId"] != FIRST_WORKSPACE:
                api.delete(f"/workspaces/{one['WorkspaceId']}").raise_for_status()


def services(api: httpx.Client) -> list[str]:
    """The names of all services but ``CHAT_SERVICE``."""
    names = [one["ServiceName"] for one in all_of(api, "/services", "Services")]
    return [name for name in names if name != CHAT_SERVICE]


def all_of(api: httpx.Client, path: str, field: str) -> list[dict[str, Any]]:
    """The rows of every page of a list."""
    rows: list[dict[str, Any]] = []
    while True:
        answer = api.get(path, params={"PageSize": "100", "PageNumber": str(len(rows) // 100 + 1)}).raise_for_status()
        rows += answer.json()[field]
        if len(rows) >= answer.json()["TotalCount"]:
            return rows
