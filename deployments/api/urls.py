"""Paths of the REST control plane (eas.md §4.1), below ``/api/v2/``. None ends in a slash, as EAS's."""

from __future__ import annotations

from django.urls import path, re_path

from deployments.api.access_keys import AccessKeysView, AccessKeyView
from deployments.api.api_keys import ApiKeysView, ApiKeyView, MemberLimitsView, WorkspaceLimitsView
from deployments.api.clusters import ClustersView, ClusterView
from deployments.api.groups import GroupEndpointsView, GroupsView, GroupTokenView, GroupView, ReleaseView
from deployments.api.happenings import EventsView, UsualTimesView
from deployments.api.instances import InstancesView, InstanceView, LogsView
from deployments.api.llm import LlmServicesView, ModelsView
from deployments.api.nowhere import NowhereView
from deployments.api.people import AuditView, MeView, PersonalTokenView, TokensView
from deployments.api.persons import (
    ActivatePersonView,
    DeactivatePersonView,
    PeopleView,
    PersonPasswordView,
    PersonView,
)
from deployments.api.preflight import PreflightView
from deployments.api.service import EndpointsView, ScaleView, ServiceView, TokenView, VerbView
from deployments.api.services import ServicesView
from deployments.api.versions import SwitchVersionView, VersionsView, VersionView
from deployments.api.workspaces import MembersView, MemberView, WorkspacesView, WorkspaceView

SERVICE = "services/<str:cluster>/<str:name>"
GROUP = "groups/<str:cluster>/<str:name>"

urlpatterns = [
    path("services", ServicesView.as_view()),
    path("llm-services", LlmServicesView.as_view()),
    path("preflight", PreflightView.as_view()),
    path("models", ModelsView.as_view()),
    path(SERVICE, ServiceView.as_view()),
    *(path(f"{SERVICE}/{verb}", VerbView.as_view(verb=verb)) for verb in VerbView.doing),
    path(f"{SERVICE}/scale", ScaleView.as_view()),
    path(f"{SERVICE}/token", TokenView.as_view()),
    path(f"{SERVICE}/endpoints", EndpointsView.as_view()),
    path(f"{SERVICE}/release", ReleaseView.as_view()),
    path(f"{SERVICE}/versions", VersionsView.as_view()),
    path(f"{SERVICE}/versions/<str:number>", VersionView.as_view()),
    path(f"{SERVICE}/version", SwitchVersionView.as_view()),
    path(f"{SERVICE}/instances", InstancesView.as_view()),
    path(f"{SERVICE}/instances/<str:instance>", InstanceView.as_view()),
    path(f"{SERVICE}/logs", LogsView.as_view()),
    path(f"{SERVICE}/events", EventsView.as_view()),
    path(f"{SERVICE}/usual-times", UsualTimesView.as_view()),
    path("groups", GroupsView.as_view()),
    path(GROUP, GroupView.as_view()),
    path(f"{GROUP}/endpoints", GroupEndpointsView.as_view()),
    path(f"{GROUP}/token", GroupTokenView.as_view()),
    path("clusters", ClustersView.as_view()),
    path("clusters/<str:cluster>", ClusterView.as_view()),
    path("me", MeView.as_view()),
    path("tokens", TokensView.as_view()),
    path("tokens/<str:token_id>", PersonalTokenView.as_view()),
    path("access-keys", AccessKeysView.as_view()),
    path("access-keys/<str:key_id>", AccessKeyView.as_view()),
    path("api-keys", ApiKeysView.as_view()),
    path("api-keys/<str:key_id>", ApiKeyView.as_view()),
    path("workspaces", WorkspacesView.as_view()),
    path("workspaces/<str:workspace>", WorkspaceView.as_view()),
    path("workspaces/<str:workspace>/members", MembersView.as_view()),
    path("workspaces/<str:workspace>/members/<str:name>", MemberView.as_view()),
    path("workspaces/<str:workspace>/limits", WorkspaceLimitsView.as_view()),
    path("workspaces/<str:workspace>/members/<str:name>/limits", MemberLimitsView.as_view()),
    path("people", PeopleView.as_view()),
    path("people/<str:name>", PersonView.as_view()),
    path("people/<str:name>/password", PersonPasswordView.as_view()),
    path("people/<str:name>/deactivate", DeactivatePersonView.as_view()),
    path("people/<str:name>/activate", ActivatePersonView.as_view()),
    path("audit", AuditView.as_view()),
    re_path(r"", NowhereView.as_view()),
]
