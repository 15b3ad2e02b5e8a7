"""Pages as the server makes them, for ``bench_pages``: in this process, through every middleware."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deployments.asking import ask_due
from deployments.clusters import get_cluster
from deployments.models import Membership, Role, Service, Workspace
from deployments.reconcile import remove_orphans

LIST_MS = 300  # console.md §8, p95
PAGES = (
    ("/", LIST_MS),
    ("/?page=200", LIST_MS),
    ("/?page=100&rows=100", LIST_MS),
    ("/?sort=name", LIST_MS),
    ("/?sort=-status&page=150", LIST_MS),
    ("/?sort=updated&page=77", LIST_MS),
    ("/?sort=workspace&column=workspace&page=50", LIST_MS),
    ("/?q=embed", LIST_MS),
    ("/?q=nothing_like_it", LIST_MS),
    ("/?state=running&sort=name&page=9", LIST_MS),
    ("/?workspace=team-3&q=chat&sort=-created", LIST_MS),
    ("/services/chat_00001", None),
    ("/services/chat_00001/events", None),
    ("/services/chat_00001/logs", None),
    ("/services/chat_00001/chat", None),
    ("/palette?q=chat_07", 150),
    ("/palette?q=stop", 150),
    ("/settings/audit", None),
)


def measure(rounds: int) -> None:
    """One line an address; a budget that is missed is marked."""
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    member = Client()
    member.force_login(make_member())
    print(f"{'address':52}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms':>9}{'queries':>9}{'KiB':>7}")
    for address, most_ms in PAGES:
        measure_page(client, address, most_ms, rounds)
    measure_page(member, "/?sort=name&page=30", LIST_MS, rounds, label="/?sort=name&page=30 (a member of three)")
    live = {"X-Slipway-Live": "chat_00001,chat_00002"}
    measure_page(client, "/?page=100", LIST_MS, rounds, label="/?page=100 (a hint of two rows)", headers=live)


def make_member() -> User:
    """Somebody who sees three of the workspaces."""
    user = User.objects.create_user("member")
    for workspace in Workspace.objects.filter(slug__startswith="team-").order_by("pk")[:3]:
        Membership.objects.create(user=user, workspace=workspace, role=Role.OPERATOR)
    return user


def measure_page(
    client: Client,
    address: str,
    most_ms: float | None,
    rounds: int,
    *,
    label: str = "",
    headers: dict[str, str] | None = None,
) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(address, headers=headers)
    count = len(queries)  # the next request empties the log
    assert answer.status_code == 200, (address, answer.status_code)
    wall, cpu = [], []
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        client.get(address, headers=headers)
        cpu.append((time.process_time() - began_cpu) * 1000)
        wall.append((time.perf_counter() - began) * 1000)
    p95 = statistics.quantiles(wall, n=20)[-1]
    missed = " > budget" if most_ms is not None and p95 > most_ms else ""
    print(
        f"{label or address:52}{statistics.median(wall):9.1f}{p95:9.1f}{statistics.median(cpu):9.1f}"
        f"{count:9}{len(answer.content) / 1024:7.0f}{missed}",
        flush=True,
    )


def measure_sweep() -> None:
    """What is done every two seconds and every half minute, with nothing due, and with everything due."""
    print(f"{'sweep, nothing due':52}{median_ms(ask_due):9.2f} ms")
    print(f"{'orphans of the cluster, every 30 s':52}{median_ms(lambda: remove_orphans(get_cluster())):9.2f} ms")
    Service.objects.update(next_check_at=timezone.now())
    print(f"{'all due':52}{median_ms(ask_due, rounds=1):9.2f} ms")


def median_ms(what: Callable[[], object], rounds: int = 30) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
