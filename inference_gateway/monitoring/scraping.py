"""Asks the instances of language-model services for their ``/metrics`` and adds it to their rows. In a worker.

One worker at a time, by a key in Valkey; addresses are those of our own instances' rows and nothing that a page or a
caller says; no redirect is followed, no answer waited for longer than two seconds or read beyond a mebibyte. What an
instance said last is remembered in Valkey, so that what it counts since can be told; without that, one look is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from django.core.cache import cache

from deployments.clusters import find_passage
from deployments.clusters.base import ClusterError
from deployments.clusters.passage import Passage
from deployments.models import Instance
from deployments.spec import ENGINE_LABEL, LLM_ENGINES
from inference_gateway.directory import Route
from inference_gateway.engines.openai_http import open_session
from inference_gateway.monitoring.engines import Reading, UnreadableError, parse
from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.models import Sample
from inference_gateway.monitoring.samples import MINUTE, Row, floor, write

logger = logging.getLogger(__name__)

LEASE = "slipway:scraping"
#: Longer than a round may take; a worker that was killed holds it for so long.
LEASE_SECONDS = 60
WRITER = "scraper"
AT_ONCE = 32
TIMEOUT = aiohttp.ClientTimeout(total=2)
MOST_BYTES = 1024 * 1024
#: Of an instance that was not heard for longer, what it counted meanwhile belongs to no minute.
REMEMBER_SECONDS = 300
ENGINES = (*LLM_ENGINES, "sglang")
SERVING = "service__serving_revision__document__labels"


@dataclass(frozen=True, slots=True)
class Place:
    """One instance to ask. ``passage`` None: the way to it is not known."""

    service_uid: str
    route: Route
    passage: Passage | None


def scrape(now: datetime) -> bool:
    """Ask all of them once. False where another worker is at it."""
    if not cache.add(LEASE, 1, timeout=LEASE_SECONDS):
        return False
    try:
        places = find_places()
        if places:
            readings = asyncio.run(_ask_all(places))
            keep(places, readings, now)
    finally:
        cache.delete(LEASE)
    return True


def find_places() -> list[Place]:
    """Every instance that takes requests, of services whose engine has metrics."""
    rows = Instance.objects.filter(Instance.routable()).exclude(port=0)
    columns = ("service__uid", f"{SERVING}__{ENGINE_LABEL}", "name", "host", "port", "revision_number", "base_url")
    passages: dict[str, Passage | None] = {}
    places = []
    for uid, engine, name, host, port, revision, base_url in rows.values_list(*columns):
        if str(engine).lower() not in ENGINES:
            continue
        if base_url not in passages:
            passages[base_url] = _find_passage(base_url)
        places.append(Place(uid, Route(name, host, port, revision, base_url), passages[base_url]))
    return places


def _find_passage(base_url: str) -> Passage | None:
    try:
        return find_passage(base_url)
    except ClusterError as error:
        logger.warning("the way to instances is not known: %s", error.message)
        return None


async def _ask_all(places: Sequence[Place]) -> list[Reading | None]:
    room = asyncio.Semaphore(AT_ONCE)
    async with open_session() as session:

        async def ask(place: Place) -> Reading | None:
            async with room:
                return await _ask(session, place)

        return await asyncio.gather(*map(ask, places))


async def _ask(session: aiohttp.ClientSession, place: Place) -> Reading | None:
    """None where it does not answer, or not with metrics."""
    passage = place.passage
    if passage is None:
        return None
    try:
        async with session.get(
            f"{place.route.address}/metrics",
            headers=passage.headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            **passage.client_options,
        ) as response:
            if response.status != 200:
                return None
            body = b""
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > MOST_BYTES:
                    return None
        return parse(body.decode("utf-8", "replace"))
    except (aiohttp.ClientError, TimeoutError, OSError, UnreadableError) as error:
        logger.debug("no metrics of %s: %s", place.route.instance, error)
        return None


def keep(places: Sequence[Place], readings: Sequence[Reading | None], now: datetime) -> None:
    """Add what was read to the rows of this minute."""
    names = {place.route.instance: f"slipway:engine-reading:{place.route.instance}" for place in places}
    before: Mapping[str, dict[str, object]] = cache.get_many(list(names.values()))
    found: dict[str, Measures] = {}
    levels: dict[str, dict[str, list[float]]] = {}
    remembered = {}
    for place, reading in zip(places, readings, strict=True):
        measures = found.setdefault(place.service_uid, Measures())
        measures.count("looks")
        if reading is None:
            measures.count("failed_looks")
            continue
        name = names[place.route.instance]
        remembered[name] = reading.grown.as_json()
        if (last := before.get(name)) is not None:
            measures.add(reading.grown.since(Measures.read(last)))
        for level, value in reading.levels.items():
            levels.setdefault(place.service_uid, {}).setdefault(level, []).append(value)
    cache.set_many(remembered, timeout=REMEMBER_SECONDS)
    for uid, by_level in levels.items():
        for level, values in by_level.items():
            # Requests of all instances together; of shares the mean.
            found[uid].look(level, sum(values) if level in ("running", "waiting") else sum(values) / len(values))
    minute = floor(now, MINUTE)
    written = Sample.objects.filter(
        kind=Sample.Kind.ENGINE, step_seconds=MINUTE, begins_at=minute, writer=WRITER, service_uid__in=found
    )
    for row in written:
        found[row.service_uid].add(Measures.read(row.measures))
    write([Row(uid, Sample.Kind.ENGINE, minute, measures) for uid, measures in found.items()], WRITER)
