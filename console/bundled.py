"""The first run's one click: the bundled model with everything the LLM form recommends."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from deployments import lifecycle
from deployments.accounts import NotAllowed, may_change, workspaces_of
from deployments.catalog import CatalogModel, load_catalog
from deployments.clusters import get_cluster
from deployments.llm_form import LlmRequest, render_document, suggest_service_name
from deployments.models import Service
from deployments.spec import ServiceSpec


def find_bundled() -> CatalogModel | None:
    """The catalog's model that comes with Slipway and runs on any machine."""
    return next((model for model in load_catalog() if model.is_bundled), None)


def deploy_bundled(actor: User, model: CatalogModel) -> Service:
    """Create a service of the bundled model, as an untouched LLM form would. Raises as ``lifecycle.create``."""
    workspace = next((one for one in workspaces_of(actor) if may_change(actor, one)), None)
    if workspace is None:
        raise NotAllowed(_("You are in no workspace where you may deploy. Ask an owner to make you operator."))
    taken = set(Service.objects.filter(name__startswith="chat").values_list("name", flat=True))
    request = LlmRequest.parse({"service_name": suggest_service_name("chat", taken), "model": model.name})
    document = render_document(request, get_cluster().capacity())
    return lifecycle.create(workspace, actor, ServiceSpec.parse(document))
