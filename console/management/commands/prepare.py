"""``manage.py prepare``: bring the database up to date, and on the first start make someone who can sign in."""

from __future__ import annotations

import json
import os
import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection, transaction

from deployments.models import Membership, Role, Workspace

#: No look-alikes (0 O, 1 l I): the password is read from a terminal once.
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GENERATED_LENGTH = 16


class Command(BaseCommand):
    """Safe to repeat. What it created is written as JSON to ``--result-fd`` and nowhere else."""

    requires_system_checks: tuple[str, ...] = ()  # a start waits for this command; the checks are CI's
    help = "Apply migrations; on the first start create the workspace default and the operator admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--result-fd", type=int, help="file descriptor for the result, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
            created, password = create_first_people(settings.SLIPWAY.admin_password)
        except DatabaseError as error:
            where = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CommandError(f"The {where} database cannot be prepared: {first_line}. See DATABASE_URL.") from error
        result = {"created_admin": created, "new_password": password}
        if options["result_fd"] is not None:
            with os.fdopen(options["result_fd"], "w") as pipe:
                json.dump(result, pipe)
        elif password is not None:
            self.stdout.write(f"Created the operator admin with the password {password}")


def create_first_people(given_password: str | None) -> tuple[bool, str | None]:
    """Where there is nobody yet, create workspace ``default`` and its owner ``admin``.

    Returns whether ``admin`` was created, and the password where one was generated. Two at once are safe: the
    second finds the first's rows or fails on their unique names and changes nothing.
    """
    with transaction.atomic():
        if User.objects.exists():
            return False, None
        workspace, _ = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})
        generated = None
        if given_password is None:
            generated = "".join(secrets.choice(_LETTERS) for _ in range(_GENERATED_LENGTH))
        admin = User.objects.create_superuser("admin", password=given_password or generated)
        Membership.objects.create(workspace=workspace, user=admin, role=Role.OWNER)
        return True, generated
