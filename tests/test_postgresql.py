"""The whole of Slipway on PostgreSQL instead of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import temporary_postgres
from tests.programs import require_program
from tests.slipway_process import SlipwayProcess

pytestmark = [pytest.mark.postgresql, pytest.mark.supervisor]


@pytest.fixture
def database_url() -> Iterator[str]:
    with temporary_postgres(require_program("postgresql")) as url:
        yield url


def test_slipway_starts_and_starts_again_on_postgresql(database_url: str, tmp_path: Path) -> None:
    slipway = SlipwayProcess(tmp_path / "data", DATABASE_URL=database_url)
    try:
        slipway.start()
        assert slipway.password()
        assert slipway.stop() == 0
        slipway.start()
        assert "shown this once" not in slipway.output
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT username FROM auth_user").fetchall() == [("admin",)]
        assert not (tmp_path / "data" / "db.sqlite3").exists()
    finally:
        slipway.end_everything()


def test_a_postgresql_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    slipway = SlipwayProcess(tmp_path / "data", DATABASE_URL="postgres://slipway@127.0.0.1:1/slipway")
    try:
        slipway.launch()
        assert slipway.finish() == 1
        last = slipway.output.splitlines()[-1]
        assert "DATABASE_URL" in last
    finally:
        slipway.end_everything()
