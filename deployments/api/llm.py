"""The LLM form over REST, and the models it offers with the reasons against them."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import llm_form
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_object
from deployments.api.errors import invalid, wrong
from deployments.api.lookup import workspace_for_create
from deployments.api.openapi import answers, parameters, schema_of
from deployments.api.services import CreateAnswer, DryRunAnswer, create
from deployments.catalog import CatalogModel, load_catalog
from deployments.clusters import get_cluster
from deployments.clusters.base import Capacity
from deployments.engines import RECIPES
from deployments.llm_request import FormInvalid, LlmRequest
from deployments.recommendation import why_not
from deployments.spec import ServiceSpec


class LlmForm(TypedDict, total=False):
    """The form's fields, for the OpenAPI document; ``LlmRequest.parse`` judges them. Left out: recommended."""

    service_name: Required[str]
    model_source: Literal["open-source", "custom"]
    model: str
    acceleration: Literal["none", "vllm", "bladellm"]
    precision: str
    model_path: str
    mount_path: str
    parameter_quantity: float
    instances: int
    instance_type: str
    cpu: float
    memory: int
    gpu: int
    gpu_product: str
    context_tokens: int
    users: int
    workspace: str


class Acceleration(TypedDict):
    """One way to run a model. ``WhyNot`` says why it cannot run here, "" where it can."""

    Acceleration: str
    Title: str
    Runnable: bool
    WhyNotCode: str
    WhyNot: str
    Cure: str


class ModelFields(TypedDict):
    """One model of the catalog."""

    Model: str
    HubId: str
    Family: str
    ParametersBillion: float
    ContextTokens: int
    Precisions: list[str]
    Licence: str
    Languages: list[str]
    Bundled: bool
    Gated: bool
    Runnable: bool
    Accelerations: list[Acceleration]


class ModelList(TypedDict):
    """The catalog, in the form's order."""

    Models: list[ModelFields]
    TotalCount: int


class LlmServicesView(APIView):
    """The LLM form."""

    @extend_schema(
        operation_id="CreateLlmService",
        parameters=[
            *parameters(OpenApiTypes.BOOL, "dry_run"),
            *parameters(OpenApiTypes.STR, "WorkspaceId"),
        ],
        request={"application/json": schema_of(LlmForm)},
        responses=answers(CreateAnswer, 201, validates=True) | answers(DryRunAnswer),
    )
    def post(self, request: Request) -> Response:
        """Create a service from the form's fields; with ``dry_run=true`` only say what would be created."""
        try:
            form = LlmRequest.parse(read_object(request))
        except FormInvalid as problem:
            return invalid(problem.errors)
        cluster = get_cluster()
        nodes = cluster.capacity()
        if query.flag(request, "dry_run"):
            workspace_for_create(caller(request), query.text(request, "WorkspaceId"), form.workspace or None)
            return Response(llm_form.preview(form, nodes, cluster.refuse))
        if refusal := llm_form.refuse_request(form, nodes, cluster.refuse):
            raise wrong("model", refusal.code, f"{refusal.message} {refusal.cure}".strip())
        return create(request, ServiceSpec.parse(llm_form.render_document(form, nodes)))


class ModelsView(APIView):
    """The catalog."""

    @extend_schema(operation_id="ListModels", responses=answers(ModelList))
    def get(self, request: Request) -> Response:
        """Every model of the form, with what speaks against it here."""
        nodes = get_cluster().capacity()
        found = [model_fields(model, nodes) for model in load_catalog()]
        return Response(ModelList(Models=found, TotalCount=len(found)))


def model_fields(model: CatalogModel, nodes: tuple[Capacity, ...]) -> ModelFields:
    ways = [acceleration_fields(model, recipe.key, recipe.title, nodes) for recipe in RECIPES]
    return ModelFields(
        Model=model.name,
        HubId=model.hub_id,
        Family=model.family,
        ParametersBillion=model.parameters_billion,
        ContextTokens=model.context_tokens,
        Precisions=[str(one) for one in model.precisions],
        Licence=model.licence,
        Languages=list(model.languages),
        Bundled=model.is_bundled,
        Gated=model.gated,
        Runnable=any(way["Runnable"] for way in ways),
        Accelerations=ways,
    )


def acceleration_fields(model: CatalogModel, key: str, title: str, nodes: tuple[Capacity, ...]) -> Acceleration:
    refusal = why_not(model, key, None, nodes)
    said: dict[str, Any] = {"WhyNotCode": "", "WhyNot": "", "Cure": ""}
    if refusal is not None:
        said = {"WhyNotCode": refusal.code, "WhyNot": refusal.message, "Cure": refusal.cure}
    return Acceleration(
        Acceleration=key,
        Title=title,
        Runnable=refusal is None,
        WhyNotCode=said["WhyNotCode"],
        WhyNot=said["WhyNot"],
        Cure=said["Cure"],
    )
