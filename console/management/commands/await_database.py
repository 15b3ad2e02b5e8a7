"""``manage.py await_database``: wait until the database answers, or until ``prepare`` has been there too.

For platforms that start everything at once (k8s/base): whoever prepares waits for the database, and the others wait
for what was prepared.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

_PAUSE_SECONDS = 0.5


class Command(BaseCommand):
    """Ends with 0 once it is so, and with a sentence when it took too long."""

    requires_system_checks: tuple[str, ...] = ()
    help = "Wait until the database answers; with --prepared, until this version's migrations are applied."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--prepared", action="store_true", help="wait for manage.py prepare as well")
        parser.add_argument("--seconds", type=float, default=300.0, help="how long, 300 unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        deadline = time.monotonic() + options["seconds"]
        while (lacks := find_lack(is_prepared=options["prepared"])) is not None:
            if time.monotonic() > deadline:
                raise CommandError(f"After {options['seconds']:g} s: {lacks}")
            time.sleep(_PAUSE_SECONDS)


def find_lack(*, is_prepared: bool) -> str | None:
    """What is missing, as a sentence with the cure, or None."""
    try:
        connection.ensure_connection()
        if not is_prepared:
            return None
        executor = MigrationExecutor(connection)
        # Applied ones that are unknown here belong to a newer version, and an older one waits for nothing.
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if missing:
            return f"{missing} migrations of this version are not applied. See the log of manage.py prepare."
        if not User.objects.exists():
            return "There is no operator yet. See the log of manage.py prepare."
    except DatabaseError as error:
        connection.close()  # the next look begins anew
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"The database does not answer: {first_line}. See DATABASE_URL."
    return None
