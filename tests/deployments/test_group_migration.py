"""Documents that named a group before there were any: their services are its members from the update on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import StateApps

from deployments.encryption import decrypt

BEFORE, AFTER = ("deployments", "0013_api_keys"), ("deployments", "0015_form_groups")
Migrate = Callable[[tuple[str, str]], StateApps]


@pytest.fixture
def migrate(transactional_db: None) -> Iterator[Migrate]:
    """The database as of a migration; all of them at last, whatever happens."""

    def to(target: tuple[str, str]) -> StateApps:
        executor = MigrationExecutor(connection)
        executor.migrate([target])
        return executor.loader.project_state([target]).apps

    try:
        yield to
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())


def test_services_whose_documents_name_a_group_become_its_members_without_its_requests(migrate: Migrate) -> None:
    before = migrate(BEFORE)
    spaces = [
        before.get_model("deployments", "Workspace").objects.create(slug=one, name=one) for one in ("red", "blue")
    ]

    def add(name: str, group: Any, place: int = 0) -> None:
        service = before.get_model("deployments", "Service").objects.create(
            uid=f"eas-m-{name}", name=name, workspace=spaces[place], token_encrypted="x"
        )
        metadata = {"name": name} | ({} if group is None else {"group": group})
        revision = service.revisions.create(number=1, document={"metadata": metadata, "containers": []})
        type(service).objects.filter(pk=service.pk).update(wanted_revision=revision)

    add("first", "team")
    add("second", "team")
    add("elsewhere", "team", 1)
    add("alone", None)
    add("like_a_service", "first")
    add("odd", {"no": "name"})
    add("short", "g")
    after = migrate(AFTER)
    services = after.get_model("deployments", "Service").objects
    group = after.get_model("deployments", "ServiceGroup").objects.get()
    assert (group.name, group.workspace.slug, group.traffic_mode) == ("team", "red", "auto")
    assert len(decrypt(group.token_encrypted)) > 20
    assert set(services.filter(group=group).values_list("name", flat=True)) == {"first", "second"}
    assert set(services.values_list("weight", "traffic_state")) == {(-1, "standalone")}
