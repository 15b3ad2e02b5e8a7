"""A failure as a card: what, why with numbers, the cure as a button, evidence (console.md §4, "Cause-and-cure card").

The button leads to the form, at the field that has to change, with the value that would cure it already in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from console.deploy_custom import Draft
from console.deploy_fields import mapping
from console.deploy_llm import Typed
from deployments.failures import TROUBLE_REASONS
from deployments.failures.cause import CLUSTER
from deployments.llm_form import llm_request_of
from deployments.llm_request import CUSTOM
from deployments.models import Service, ServiceEvent, Status
from deployments.status import IN_MOTION
from deployments.words import number, translated

LOG_LINES = 20
MEMORY, COMMAND, MODEL = "metadata.memory", "containers[0].script", "model"
#: The input of a document's path, by form; the custom form has one for each but the checks.
ELEMENTS = {
    MEMORY: "f-memory", "metadata.cpu": "f-cpu", "metadata.gpu": "f-gpu", "containers[0].image": "f-image",
    COMMAND: "f-run", "storage": "part-mounts", MODEL: "model-search",
}  # fmt: skip
#: What the LLM form has no input for.
CUSTOM_ONLY = (COMMAND, "containers[0].image", "storage")
#: What no form has an input for: these are changed in the document.
DOCUMENT_ONLY = (
    "containers", "containers[0].prepare", "containers[0].startup_check", "containers[0].liveness_check",
    "metadata.disk", "metadata.rolling_strategy", "metadata.scheduling",
)  # fmt: skip
#: Reasons to act on even while the service runs, or waits for what may come by itself.
TOLD_ON_TOP = frozenset({"UpdateHalted", "DocumentRefused"}) | TROUBLE_REASONS


@dataclass(frozen=True, slots=True)
class Card:
    """One failure. ``what`` is what holds now; the event tells when it began."""

    event: ServiceEvent
    what: str
    cure: str
    log_tail: str
    fix_href: str
    fix_word: str
    title: str = ""  # of a service's present card
    waits: bool = False  # for what comes by itself

    @property
    def is_repeated(self) -> bool:
        return self.event.times > 1


def find_card(service: Service, events: list[ServiceEvent]) -> Card | None:
    """The card of a service's present trouble: the newest warning of its reason, found among ``events`` if there."""
    if service.status not in (Status.FAILED, Status.DELETE_FAILED) and service.reason not in TOLD_ON_TOP:
        return None
    found = next((event for event in events if event.code == service.reason and event.cure), None)
    if found is None:
        found = service.events.filter(code=service.reason, type=ServiceEvent.Type.WARNING).first()
    if found is None:
        return None
    waits = service.status in IN_MOTION
    card = card_of(service, found, what=translated(service.sentence))
    return replace(card, title=title_of(service, waits=waits), waits=waits)


def title_of(service: Service, *, waits: bool) -> str:
    """What a service's present card is about."""
    if waits:
        return _("What it waits for")
    if service.reason == "UpdateHalted":
        return _("Why the update was rolled back")
    if service.status == Status.DELETE_FAILED:
        return _("Why it cannot be deleted")
    if service.status == Status.FAILED:
        return _("Why it does not run")
    return _("Why it is left as it is")


def card_of(service: Service, event: ServiceEvent, *, what: str = "") -> Card:
    """The card of one event; ``what`` is the sentence that holds by now."""
    return Card(
        event=event,
        what=what or translated(event.sentence),
        cure=translated(event.cure_sentence),
        log_tail="\n".join(event.log_tail.splitlines()[-LOG_LINES:]),
        fix_href=fix_href(service, event.fix),
        fix_word=fix_word(event.fix),
    )


def fix_href(service: Service, fix: Mapping[str, Any] | None) -> str:
    """Where the cure is made: the form of the service, at the field, with the value in the address."""
    base = f"/services/{service.name}/edit"
    if not fix:
        return base
    field, value = str(fix.get("field", "")), fix.get("value")
    if field == CLUSTER:
        return "/clusters"
    query = {"form": "custom"} if field in CUSTOM_ONLY else {}
    if field in DOCUMENT_ONLY:
        query = {"form": "custom", "view": "json"}
    if field == MEMORY and value is not None:
        query["memory"] = str(value)
    element = model_element(service) if field == MODEL else ELEMENTS.get(field, "f-document")
    return f"{base}{'?' if query else ''}{urlencode(query)}#{element}"


def model_element(service: Service) -> str:
    """The input that says which model it is, in the form that opens for the service's document."""
    request, lost = llm_request_of(service.document)
    if request is None or lost:
        return ELEMENTS["storage"] if service.document.get("storage") else ELEMENTS[COMMAND]
    return "f-model_path" if request.model_source == CUSTOM else ELEMENTS[MODEL]


def fix_word(fix: Mapping[str, Any] | None) -> str:
    """The button's words."""
    field, value = (str(fix.get("field", "")), fix.get("value")) if fix else ("", None)
    if field == MEMORY and isinstance(value, int):
        gib = value / 1024
        size = number(gib, 0 if gib == int(gib) else 2 if gib < 2 else 1)
        return _("Set the memory to %(size)s GiB") % {"size": size}
    words = {
        MEMORY: _("Change the memory"),
        COMMAND: _("Correct the command"),
        "containers[0].startup_check": _("Give it more time"),
        "storage": _("Correct the mount"),
        "metadata.cpu": _("Change the CPU"),
        "metadata.gpu": _("Change the GPUs"),
        "containers[0].image": _("Correct the image"),
        CLUSTER: _("See the cluster"),
        MODEL: _("Choose the model"),
    }
    return words.get(field, _("Correct it"))


def proposed_memory(query: Mapping[str, str]) -> str:
    """The memory that a card's button proposes, in MiB; "" where the address proposes none."""
    said = query.get("memory", "")
    return said if said.isdecimal() and 0 < len(said) < 10 else ""


def with_proposal(typed: Typed, query: Mapping[str, str]) -> Typed:
    """The LLM form with what the address proposes."""
    memory = proposed_memory(query)
    return replace(typed, values={**typed.values, "memory": memory}) if memory else typed


def custom_with_proposal(draft: Draft, query: Mapping[str, str]) -> Draft:
    """The custom form with what the address proposes."""
    memory = proposed_memory(query)
    if not memory:
        return draft
    metadata = {**mapping(draft.base.get("metadata")), "memory": int(memory)}
    return Draft.of({**draft.base, "metadata": metadata}, draft.view)
