"""The services list as its address says: search, filter, sort, page; and the rows that answer it.

A fixed number of queries whatever the row count: the counts, one page of rows, the instances of those rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy

from console.badges import Badge, badge_of, step_of
from console.service_columns import ALL, DEFAULT, encode_columns, parse_columns, resources_words
from deployments.accounts import rights_in_workspaces
from deployments.clusters import get_cluster
from deployments.models import Desired, Instance, Service, ServiceQuerySet, Status, Workspace
from deployments.spec import ENGINE_LABEL, LLM_ENGINES
from deployments.status import IN_MOTION

PAGE_SIZES = (25, 50, 100)
DEFAULT_PAGE_SIZE = 50
DEFAULT_SORT = "-created"
SORTS = {column.key: column.sort for column in ALL if column.sort}
SHOWN_WITH = ("workspace", "wanted_revision", "created_by")
STATES: Mapping[str, frozenset[Status]] = {
    "running": frozenset({Status.RUNNING}),
    "moving": frozenset(IN_MOTION),
    "failed": frozenset({Status.FAILED, Status.DELETE_FAILED}),
    "stopped": frozenset({Status.STOPPED}),
}
STATE_WORDS = {
    "": gettext_lazy("All"),
    "running": gettext_lazy("Running"),
    "moving": gettext_lazy("In motion"),
    "failed": gettext_lazy("Failed"),
    "stopped": gettext_lazy("Stopped"),
}


@dataclass(frozen=True)
class ListQuery:
    """What the address asks for. Whatever it says that does not exist counts as not said."""

    q: str = ""
    state: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1
    rows: int = DEFAULT_PAGE_SIZE
    workspace: str = ""
    columns: tuple[str, ...] = DEFAULT

    @classmethod
    def parse(cls, values: Mapping[str, str], columns: Iterable[str] = ()) -> ListQuery:
        """Read the query string; ``columns`` are all of its ``column``."""
        sort = values.get("sort", DEFAULT_SORT)
        state = values.get("state", "")
        page, rows = values.get("page", ""), values.get("rows", "")
        return cls(
            q=values.get("q", "").replace("\0", "").strip()[:100],
            state=state if state in STATES else "",
            sort=sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT,
            page=int(page) if page.isdecimal() and 0 < len(page) < 7 else 1,
            rows=int(rows) if rows in {str(size) for size in PAGE_SIZES} else DEFAULT_PAGE_SIZE,
            workspace=values.get("workspace", "").replace("\0", "")[:63],
            columns=parse_columns(columns),
        )

    def encode(self, **changes: str | int) -> str:
        """The query string of this list with some things changed; what is as by default is left out."""
        changed = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        plain = ListQuery()
        said = {
            name: getattr(changed, name)
            for name in ("q", "state", "sort", "page", "rows", "workspace")
            if getattr(changed, name) != getattr(plain, name)
        }
        return urlencode([*said.items(), *(("column", key) for key in encode_columns(changed.columns))])

    @property
    def hidden_columns(self) -> list[str]:
        """What a form has to say of the columns so that they stay."""
        return encode_columns(self.columns)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.q or self.state or self.workspace)


@dataclass(frozen=True, slots=True)
class Row:
    """One service as the list shows it."""

    service: Service
    badge: Badge
    step: str
    ready: int
    engine: str
    may_change: bool

    @property
    def is_stopped(self) -> bool:
        return self.service.desired == Desired.STOPPED

    @property
    def is_leaving(self) -> bool:
        return self.service.desired == Desired.DELETED

    @property
    def can(self) -> str:
        """Which bulk actions would change something, as the page tells its script."""
        if self.is_leaving:
            return "delete" if self.service.status == Status.DELETE_FAILED else ""
        return "start delete" if self.is_stopped else "stop restart delete"

    @property
    def resources(self) -> str:
        revision = self.service.wanted_revision
        return resources_words(revision.document) if revision else ""

    @property
    def has_chat(self) -> bool:
        """Whether the web chat can talk to it: it is a language model's service by its label."""
        return self.engine in LLM_ENGINES


@dataclass(frozen=True, slots=True)
class StateFilter:
    state: str
    word: str
    count: int
    query: str
    is_current: bool


class ServiceList:
    """The list for one person. Properties ask the database once each."""

    def __init__(self, user: User, query: ListQuery, now: datetime) -> None:
        self.user, self.query, self.now = user, query, now

    def visible(self) -> ServiceQuerySet:
        return Service.objects.visible_to(self.user)

    def searched(self) -> ServiceQuerySet:
        """All that the search and the workspace leave, in any state: what the filters count."""
        rows = self.visible()
        if self.query.workspace:
            rows = rows.filter(workspace__slug=self.query.workspace)
        if self.query.q:
            rows = rows.filter(Q(name__icontains=self.query.q) | Q(uid=self.query.q))
        return rows

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many services each filter would show; "" is all."""
        by_status = {
            Status(one["status"]): one["number"]
            for one in self.searched().order_by().values("status").annotate(number=Count("pk"))
        }
        counts = {state: sum(by_status.get(status, 0) for status in statuses) for state, statuses in STATES.items()}
        return {"": sum(by_status.values()), **counts}

    @cached_property
    def filters(self) -> list[StateFilter]:
        return [
            StateFilter(state, str(word), self.counts[state], self.query.encode(state=state), state == self.query.state)
            for state, word in STATE_WORDS.items()
        ]

    def matching(self) -> ServiceQuerySet:
        """All that the address asks for, on whatever page."""
        rows = self.searched()
        return rows.filter(status__in=STATES[self.query.state]) if self.query.state else rows

    @cached_property
    def page(self) -> Page[tuple[int, str]]:
        """The keys and names of the page's services; one past the end shows the last.

        These alone: sorting 10,000 rows with their documents costs ten times as much.
        """
        rows = self.matching()
        descending = self.query.sort.startswith("-")
        column = SORTS[self.query.sort.removeprefix("-")]
        order = [f"-{column}" if descending else column, "-pk" if descending else "pk"]
        if column == "status":
            order.insert(1, "name")
        paginator = Paginator(rows.order_by(*order).values_list("pk", "name"), self.query.rows)
        paginator.__dict__["count"] = self.counts[self.query.state]  # counted already, with the filters
        return paginator.get_page(self.query.page)

    @cached_property
    def services(self) -> list[Service]:
        """The services of the page, in its order."""
        keys = [key for key, _ in self.page.object_list]
        found = Service.objects.select_related(*SHOWN_WITH).in_bulk(keys)
        return [found[key] for key in keys if key in found]

    def rows(self, only: Sequence[str] | None = None) -> list[Row]:
        """The rows of the page, or those of the names given that the person may see, wherever they sort now."""
        services = self.services if only is None else self.named(only)
        ready = dict(
            Instance.objects.filter(Instance.routable(), service__in=[service.pk for service in services])
            .order_by()
            .values_list("service_id")
            .annotate(number=Count("pk"))
        )
        changeable = self.changeable_workspaces
        heard_at = get_cluster().heard_at()
        return [
            Row(
                service=service,
                badge=badge_of(service, ready.get(service.pk, 0), self.now, heard_at),
                step=step_of(service),
                ready=ready.get(service.pk, 0),
                engine=engine_words(service),
                may_change=service.workspace_id in changeable,
            )
            for service in services
        ]

    def named(self, names: Sequence[str]) -> list[Service]:
        return list(self.visible().filter(name__in=names).select_related(*SHOWN_WITH))

    @cached_property
    def changeable_workspaces(self) -> frozenset[int]:
        return frozenset(workspace.pk for workspace, may_change in self.workspaces.items() if may_change)

    @cached_property
    def workspaces(self) -> dict[Workspace, bool]:
        """Those the person belongs to, by name, and whether they may change things there."""
        return rights_in_workspaces(self.user)


def engine_words(service: Service) -> str:
    """What runs, in a few words: the engine by its label, else the image's name."""
    if service.wanted_revision is None:
        return ""
    document = service.wanted_revision.document
    label = (document.get("labels") or {}).get(ENGINE_LABEL)
    if label:
        return str(label).lower()
    containers = document.get("containers") or [{}]
    return str(containers[0].get("image", "")).rsplit("/", 1)[-1]
