"""Where a new service goes, and what the two deployment forms share: errors, visited fields, refusals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from console.access import SignedInRequest, is_scripted
from deployments.accounts import NotAllowed, workspaces_to_change
from deployments.models import Service, Workspace

DEPLOY = "deploy"  # the other act, "preview", is whatever is not this


@dataclass(frozen=True, slots=True)
class FormError:
    """One sentence about one field. ``element_id`` is what a link leads to; ``field`` "" is the form as a whole.

    ``line`` and ``column`` count from 1 where the field is in a text that is edited; 0 where it is none.
    """

    field: str
    element_id: str
    label: str
    message: str
    code: str
    line: int = 0
    column: int = 0


def changeable_workspaces(user: User) -> list[Workspace]:
    """Where the person may deploy, by name. Raises ``NotAllowed`` where there is none."""
    found = list(workspaces_to_change(user))
    if not found:
        raise NotAllowed(_("You may view services, not deploy them. Ask an owner to make you an operator."))
    return found


def choose_workspace(said: str, workspaces: Sequence[Workspace]) -> Workspace | None:
    """The workspace of that slug or id; the first for none said; None where it is not one of these."""
    if not said:
        return workspaces[0]
    return next((one for one in workspaces if said in (one.slug, str(one.pk))), None)


def taken_names(stem: str) -> set[str]:
    """The names in use that begin so. Names are global, for they are the gateway's paths."""
    return set(Service.objects.filter(name__startswith=stem[:40]).order_by().values_list("name", flat=True))


def act_of(request: SignedInRequest) -> str:
    """Which button was pressed; a hidden field of the same name is empty unless a script asks for a preview."""
    return next((one for one in reversed(request.POST.getlist("act")) if one), DEPLOY)


def visited_of(form: Mapping[str, str]) -> frozenset[str]:
    """The fields a person has left at least once: only their errors are shown before **Deploy**."""
    return frozenset(form.get("visited", "").split()[:200])


def by_field(errors: Iterable[FormError]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for error in errors:
        found.setdefault(error.field, []).append(error.message)
    return found


def created_at(request: SignedInRequest, address: str) -> HttpResponse:
    """Lead to the service: a script is told where, a person is sent there."""
    if is_scripted(request):
        return HttpResponse(status=201, headers={"Location": address})
    return HttpResponseRedirect(address)
