"""``/healthz`` (this process answers) and ``/readyz`` (the whole of Slipway does, with each check's reason)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from deployments.readiness import count_unobserved, find_worker_heartbeat_age_seconds, is_watched

logger = logging.getLogger(__name__)

#: The sweep stamps every two seconds: three missed ones mean that no worker works.
OLDEST_HEARTBEAT_SECONDS = 6.0


def _check_database() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return None


def _check_valkey() -> str | None:
    cache.get("slipway:readyz")
    return None


def _check_worker() -> str | None:
    age_seconds = find_worker_heartbeat_age_seconds()
    if age_seconds is None:
        return "No Celery worker has done a sweep yet. Wait a few seconds, then see the worker's and beat's logs."
    if age_seconds >= OLDEST_HEARTBEAT_SECONDS:
        return f"The last sweep was {age_seconds:.0f} s ago. See the worker's and beat's logs."
    return None


def _check_services() -> str | None:
    if settings.SLIPWAY_BOOT_AT is None:
        return None
    unseen = count_unobserved(settings.SLIPWAY_BOOT_AT)
    return f"Services not looked at since the start: {unseen}. The sweep does so." if unseen else None


def _check_watcher() -> str | None:
    if settings.SLIPWAY_CLUSTER != "kubernetes" or is_watched(settings.SLIPWAY_KUBERNETES.key):
        return None
    return "Nobody watches the cluster. See the log of manage.py watch_cluster."


def _find_heartbeat_age() -> float | None:
    try:
        return find_worker_heartbeat_age_seconds()
    except Exception:  # an edge: it answered a moment ago, and the next question tells
        logger.warning("the worker's heartbeat could not be read", exc_info=True)
        return None


_CHECKS: dict[str, tuple[Callable[[], str | None], str]] = {
    "database": (_check_database, "The database does not answer. See DATABASE_URL and the server's log."),
    "valkey": (_check_valkey, "Valkey does not answer. See REDIS_URL and Valkey's log."),
    "worker": (_check_worker, "The worker's heartbeat cannot be read, for Valkey does not answer."),
    "watcher": (_check_watcher, "Whether the cluster is watched cannot be told, for the database does not answer."),
    "services": (_check_services, "The services cannot be counted, for the database does not answer."),
}


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers requests."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every check passes, else 503; both list all checks, ``reason`` empty where one passed."""
    checks = {}
    for name, (check, failure) in _CHECKS.items():
        try:
            reason = check() or ""
        except Exception:  # an edge: whatever a driver raises means "not ready", and is in the log
            logger.warning("readiness check %s failed", name, exc_info=True)
            reason = failure
        checks[name] = {"ok": not reason, "reason": reason}
    is_ready = all(check["ok"] for check in checks.values())
    body = {
        "status": "ready" if is_ready else "not ready",
        "checks": checks,
        # For the supervisor, which restarts a worker that has not worked for long.
        "worker_heartbeat_age_seconds": _find_heartbeat_age() if checks["valkey"]["ok"] else None,
    }
    return JsonResponse(body, status=200 if is_ready else 503)
