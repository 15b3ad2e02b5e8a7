"""``manage.py await_database``: what pods wait for before they begin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder

from console.management.commands.prepare import create_first_people


@pytest.mark.django_db
def test_a_prepared_database_is_awaited_no_longer() -> None:
    create_first_people("a password for tests")
    call_command("await_database", prepared=True, seconds=0)


@pytest.mark.django_db
def test_a_database_that_answers_is_enough_for_whoever_prepares_it() -> None:
    MigrationRecorder.Migration.objects.filter(app="console").delete()
    call_command("await_database", seconds=0)


@pytest.mark.django_db
def test_missing_migrations_and_missing_people_are_told() -> None:
    assert not User.objects.exists()
    with pytest.raises(CommandError, match="no operator yet"):
        call_command("await_database", prepared=True, seconds=0)
    MigrationRecorder.Migration.objects.filter(app="deployments").delete()
    with pytest.raises(CommandError, match="migrations of this version are not applied"):
        call_command("await_database", prepared=True, seconds=0)
