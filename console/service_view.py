"""What every page of one service shows: its header, its rights, and the tabs that the person may open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _

from console.badges import badge_of, step_of
from console.cluster_view import cluster_notice
from console.service_list import Row, engine_words
from deployments.accounts import may_change
from deployments.clusters import get_cluster
from deployments.models import Instance, Service


@dataclass(frozen=True, slots=True)
class Tab:
    key: str
    word: str
    href: str


def tabs_of(service: Service, *, changeable: bool) -> list[Tab]:
    """The tabs that work; logs are for those who may change the service."""
    base = f"/services/{service.name}"
    tabs = [Tab("overview", _("Overview"), base), Tab("monitoring", _("Monitoring"), f"{base}/monitoring")]
    if changeable:
        tabs.append(Tab("logs", _("Logs"), f"{base}/logs"))
    tabs += [Tab("events", _("Events"), f"{base}/events"), Tab("versions", _("Versions"), f"{base}/versions")]
    if changeable:  # it needs the token
        tabs.append(Tab("debug", _("Online debugging"), f"{base}/debug"))
    return tabs


def row_of(user: User, service: Service, instances: Sequence[Instance], now: datetime) -> Row:
    """The service as a row of one: badge, step, rights."""
    ready = sum(is_ready(instance) for instance in instances)
    return Row(
        service=service,
        badge=badge_of(service, ready, now, get_cluster().heard_at()),
        step=step_of(service),
        ready=ready,
        engine=engine_words(service),
        may_change=may_change(user, service.workspace),
    )


def is_ready(instance: Instance) -> bool:
    """As ``Instance.routable`` asks the database."""
    return instance.ready_at is not None and instance.phase == "Running"


def page_of(user: User, service: Service, tab: str) -> dict[str, Any]:
    """The context of ``console/service/base.html``."""
    now = timezone.now()
    instances = list(service.instances.all())
    row = row_of(user, service, instances, now)
    return {
        "section": "services",
        "service": service,
        "name": service.name,
        "row": row,
        "badge": row.badge,
        "cluster_notice": cluster_notice([row.badge]),
        "instances": instances,
        "tabs": tabs_of(service, changeable=row.may_change),
        "tab": tab,
        "now": now,
    }


def document_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
