"""Whether the database still needs ``manage.py prepare``, told without Django: loading it takes longer than asking.

Only SQLite is looked into. On PostgreSQL the command always runs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console.environment import REPOSITORY, Environment
from console.supervisor.parts import render_death_pact

OWN_APPS = ("deployments", "inference_gateway", "console")
DJANGO_APPS = ("auth", "contenttypes", "sessions")


class PreparationFailed(Exception):
    """``manage.py prepare`` did not succeed. The text is its last line, ``details`` are those before."""

    def __init__(self, said: str) -> None:
        *before, last = said.splitlines() or ["The database could not be prepared."]
        super().__init__(last.removeprefix("CommandError: "))
        self.details = before[-15:]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the preparation did. ``new_password`` is set where it generated one."""

    created_admin: bool = False
    new_password: str | None = None


def expected_migrations() -> frozenset[tuple[str, str]]:
    """(app, migration) for every migration file that this version brings."""
    return frozenset(_migrations_on_disk())


def _migrations_on_disk() -> Iterator[tuple[str, str]]:
    django = importlib.util.find_spec("django")
    assert django is not None
    assert django.submodule_search_locations
    contributed = Path(django.submodule_search_locations[0]) / "contrib"
    folders = {app: REPOSITORY / app for app in OWN_APPS} | {app: contributed / app for app in DJANGO_APPS}
    for app, folder in folders.items():
        for file in (folder / "migrations").glob("*.py"):
            if file.stem[0] not in "_~":
                yield app, file.stem


def is_prepared(environment: Environment) -> bool:
    """Whether every migration is applied and somebody can sign in."""
    path = environment.database_file
    if path is None or not path.is_file():
        return False
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            applied = {(app, name) for app, name in connection.execute("SELECT app, name FROM django_migrations")}
            has_people = connection.execute("SELECT 1 FROM auth_user LIMIT 1").fetchone() is not None
        finally:
            connection.close()
    except sqlite3.Error:
        return False  # the command says what is wrong with it
    return has_people and expected_migrations() <= applied


class PreparationRun:
    """``manage.py prepare`` under way. Its result comes through a pipe, so a password reaches no log."""

    def __init__(self, environment_variables: dict[str, str]) -> None:
        result, write_end = os.pipe()
        self._result = os.fdopen(result, "rb")
        try:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "prepare", "--result-fd", str(write_end)],
                cwd=REPOSITORY,
                env=environment_variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(write_end,),
                preexec_fn=render_death_pact(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            )
        finally:
            os.close(write_end)

    def finish(self) -> Preparation:
        """Read the result of a process that has ended. Raises ``PreparationFailed``."""
        assert self.process.stderr is not None
        with self._result, self.process.stderr:
            result = self._result.read()
            complaint = self.process.stderr.read().decode("utf-8", "replace").strip()
        if self.process.wait() != 0:
            raise PreparationFailed(complaint)
        return Preparation(**json.loads(result))
