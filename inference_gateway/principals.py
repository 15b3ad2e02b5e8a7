"""On whose account a request is answered, and which limits count for it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum


class Proof(StrEnum):
    """How a caller showed who it is."""

    SERVICE_TOKEN = "service_token"
    API_KEY = "api_key"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used; None is no limit. Minutes begin with the first use in them, days and months are UTC's."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None

    @property
    def are_any(self) -> bool:
        return any(getattr(self, one.name) is not None for one in fields(self))


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose limits they are: ``key:12``, ``person:3@1``, ``workspace:1`` or ``service:<uid>`` (a service's own token).

    A person has limits in a workspace, set by its owners: what ``person:3@1`` uses in workspace 1 counts nowhere else.
    """

    id: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. ``key_id`` is an API key's; a service's token has none and belongs to no person.

    ``limited`` names those of key, person and workspace that have a limit.
    """

    proof: Proof
    workspace_id: int
    person_id: int | None = None
    key_id: int | None = None
    limited: tuple[Subject, ...] = ()
