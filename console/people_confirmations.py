"""What is said before a workspace or somebody's access changes: the consequence, with numbers (console.md §4)."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.confirmations import Confirmation
from deployments.models import AccessKey, ApiKey, Membership, PersonalToken, Role, Workspace
from deployments.words import number
from inference_gateway.models import Conversation


def confirm_delete_workspace(workspace: Workspace) -> Confirmation:
    members = workspace.memberships.count()
    conversations = Conversation.objects.filter(workspace=workspace).count()
    sentences = [
        ngettext("%(count)s person loses the way in to it.", "%(count)s people lose the way in to it.", members)
        % {"count": number(members)}
    ]
    if conversations:
        sentences.append(
            ngettext(
                "%(count)s conversation with services that were here is deleted for good.",
                "%(count)s conversations with services that were here are deleted for good.",
                conversations,
            )
            % {"count": number(conversations)}
        )
    return Confirmation(
        "delete",
        _("Delete %(name)s?") % {"name": workspace.name},
        tuple(sentences),
        _("Delete"),
        field="typed_name",
        is_danger=True,
    )


def confirm_remove(workspace: Workspace, person: User) -> Confirmation:
    names = {"name": person.get_username(), "workspace": workspace.name}
    return Confirmation(
        "remove",
        _("Remove %(name)s from %(workspace)s?") % names,
        (
            services_words(workspace),
            _("Open pages and chats of %(name)s close at once. What they made stays; invite them again to undo this.")
            % names,
        ),
        _("Remove"),
        is_danger=True,
    )


def confirm_leave(workspace: Workspace) -> Confirmation:
    return Confirmation(
        "leave",
        _("Leave %(workspace)s?") % {"workspace": workspace.name},
        (services_words(workspace), _("An owner can invite you again.")),
        _("Leave"),
        is_danger=True,
    )


def services_words(workspace: Workspace) -> str:
    count = workspace.services.count()
    words = ngettext(
        "%(count)s service is out of sight from then on.", "%(count)s services are out of sight from then on.", count
    )
    return words % {"count": number(count)}


def confirm_reset_password(person: User) -> Confirmation:
    name = {"name": person.get_username()}
    return Confirmation(
        "password",
        _("Reset the password of %(name)s?") % name,
        (
            _("The present password ends, and %(name)s is signed out in every browser.") % name,
            _("You are shown a one-time password, once. Tokens and access keys go on."),
        ),
        _("Reset password"),
        is_danger=True,
    )


def confirm_deactivate(person: User) -> Confirmation:
    name = {"name": person.get_username()}
    tokens = PersonalToken.objects.filter(user=person).count()
    keys = AccessKey.objects.filter(user=person, revoked_at=None).count()
    api_keys = ApiKey.objects.filter(user=person, revoked_at=None).count()
    sentences = [
        _("%(name)s is signed out everywhere at once and cannot sign in. Their services and conversations stay.")
        % name,
        _("Personal tokens that end for good: %(tokens)s. Access keys: %(keys)s. API keys: %(api_keys)s.")
        % {"tokens": number(tokens), "keys": number(keys), "api_keys": number(api_keys)},
    ]
    alone = [one.name for one in owned_alone(person)]
    if alone:
        sentences.append(_("No other owner is left for: %(names)s.") % {"names": ", ".join(alone)})
    return Confirmation(
        "deactivate",
        _("Switch off the account of %(name)s?") % name,
        tuple(sentences),
        _("Switch off"),
        field="typed_name",
        is_danger=True,
    )


def owned_alone(person: User) -> list[Workspace]:
    """The workspaces that this person alone owns."""
    owned = Workspace.objects.filter(memberships__user=person, memberships__role=Role.OWNER)
    shared = (
        Membership.objects.filter(workspace__in=owned, role=Role.OWNER, user__is_active=True)
        .exclude(user=person)
        .values("workspace")
    )
    return list(owned.exclude(pk__in=shared).order_by("name"))
