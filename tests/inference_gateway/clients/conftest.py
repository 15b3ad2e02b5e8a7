"""Whose clients call: those with a service's own token, and those with a person's API key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.contrib.auth.models import User

from deployments.api_keys import KeyTerms, issue_api_key
from deployments.models import Membership, Role
from tests.inference_gateway.rig import Deployed

LetIn = Callable[[Deployed], Deployed]


@pytest.fixture(params=["token", "API key"])
def let_in(request: pytest.FixtureRequest) -> LetIn:
    """A service as a client with the one or the other sees it."""

    def with_key(service: Deployed) -> Deployed:
        workspace = service.row.workspace
        person = User.objects.create(username="vera")
        Membership.objects.create(user=person, workspace=workspace, role=Role.VIEWER)
        _, secret = issue_api_key(person, workspace, KeyTerms("laptop"), None)
        return replace(service, token=secret)

    return with_key if request.param == "API key" else lambda service: service
