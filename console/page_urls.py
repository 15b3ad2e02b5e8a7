"""The addresses of the operator's pages (console.md §2)."""

from __future__ import annotations

from django.urls import path

from console.views import (
    chat,
    deploy_custom,
    deploy_edit,
    deploy_llm,
    invocation,
    logs,
    service_actions,
    service_pages,
    services,
    settings,
    sign_in,
)

urlpatterns = [
    path("", services.services, name="services"),
    path("sign-in", sign_in.sign_in, name="sign-in"),
    path("sign-out", sign_in.sign_out, name="sign-out"),
    path("settings", settings.settings_home, name="settings"),
    path("settings/security", settings.security, name="settings-security"),
    path("settings/tokens", settings.create_token, name="token-create"),
    path("settings/tokens/<int:token_id>/revoke", settings.revoke_token, name="token-revoke"),
    path("settings/appearance", settings.appearance, name="settings-appearance"),
    path("settings/audit", settings.audit, name="settings-audit"),
    path("deploy/bundled", service_actions.deploy_first, name="deploy-bundled"),
    path("deploy/llm", deploy_llm.deploy_llm, name="deploy-llm"),
    path("deploy/custom", deploy_custom.deploy_custom, name="deploy-custom"),
    path("services/<str:name>/edit", deploy_edit.edit, name="service-edit"),
    path("services/<str:name>", service_pages.overview, name="service"),
    path("services/<str:name>/events", service_pages.events, name="service-events"),
    path("services/<str:name>/events/raw", service_pages.events_raw, name="service-events-raw"),
    path("services/<str:name>/versions", service_pages.versions, name="service-versions"),
    path("services/<str:name>/versions/<int:number>", service_pages.version, name="service-version"),
    path("services/<str:name>/versions/<int:number>/switch", service_actions.switch_version, name="service-switch"),
    path("services/<str:name>/logs", logs.logs, name="service-logs"),
    path("services/<str:name>/logs/lines", logs.log_lines, name="service-log-lines"),
    path("services/<str:name>/logs/download", logs.log_download, name="service-log-download"),
    path("services/<str:name>/invocation", invocation.invocation, name="service-invocation"),
    path("services/<str:name>/token", invocation.token, name="service-token"),
    path("services/<str:name>/token/rotate", service_actions.rotate_token, name="service-token-rotate"),
    path("services/<str:name>/chat", chat.chat, name="chat"),
    path("services/<str:name>/chat/list", chat.conversations, name="chat-conversations"),
    path("services/<str:name>/chat/<uuid:conversation>", chat.chat, name="chat-conversation"),
    path("services/<str:name>/chat/<uuid:conversation>/rename", chat.rename, name="chat-rename"),
    path("services/<str:name>/chat/<uuid:conversation>/delete", chat.delete, name="chat-delete"),
    path("services/<str:name>/chat/<uuid:conversation>/undelete", chat.undelete, name="chat-undelete"),
    path("services/<str:name>/stop", service_actions.stop, name="service-stop"),
    path("services/<str:name>/start", service_actions.start, name="service-start"),
    path("services/<str:name>/restart", service_actions.restart, name="service-restart"),
    path("services/<str:name>/scale", service_actions.scale, name="service-scale"),
    path("services/<str:name>/delete", service_actions.delete, name="service-delete"),
]
