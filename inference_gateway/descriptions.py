"""What a service looks like to a client that asks for models: its document's facts, and what its engine says."""

from __future__ import annotations

import time
from typing import Any

from deployments.clusters.passage import Passage
from inference_gateway.codecs.xinference import Described, render_description
from inference_gateway.directory import ServiceEntry
from inference_gateway.model_names import ModelNames


async def describe_model(service: ServiceEntry, models: ModelNames, passage: Passage) -> dict[str, Any]:
    """The description of a service that has a route; ``passage`` is to the first."""
    facts = service.traits.facts
    context = facts.context_tokens
    if context is None:
        context = await models.find_context(service.routes[0], passage)
    return describe_briefly(service, context)


def describe_briefly(service: ServiceEntry, context_tokens: int | None) -> dict[str, Any]:
    """The description of any service, by what is known of it here."""
    facts = service.traits.facts
    return render_description(
        Described(
            uid=service.name,
            model_type=facts.type,
            model_name=facts.name or service.name,
            abilities=facts.abilities,
            engine=service.traits.engine,
            replicas=len(service.routes),
            address=f"/api/predict/{service.name}",
            created=int(time.time()),
            context_tokens=context_tokens,
        )
    )
