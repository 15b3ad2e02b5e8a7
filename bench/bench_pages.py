"""The console's pages with 10,000 services in the database, against the budgets of console.md §8.

    python bench/bench_pages.py [--services 10000] [--rounds 40] [--no-browser] [--database-url postgres://…] [--quick]

Fills a database of its own: SQLite in a temporary folder, or the PostgreSQL of ``--database-url`` (or
``TEST_DATABASE_URL``), in a database made for it and dropped again. Ten workspaces; three services in four are
stopped, the rest run, move and fail; five events each, an instance for each that runs, a conversation for one in five.

    server   p50 and p95 of a page as the server makes it, its CPU, its questions to the database, its size
    sweep    what the two-second sweep and the half-minute tidying cost when nothing is due
    browser  first contentful paint, layout shift, the longest interaction, and row → page, in Chromium against a
             Slipway of its own on the same rows, all stopped
    log      frames while a log of 100,000 lines is scrolled through
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django
from django.core.management import call_command
from django.db import connections

from console.environment import SETTINGS

CREATE = "CREATE DATABASE slipway_bench_pages"
DROP = "DROP DATABASE IF EXISTS slipway_bench_pages WITH (FORCE)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=10_000, help="rows in the database (10000)")
    parser.add_argument("--rounds", type=int, default=40, help="requests for each address (40)")
    parser.add_argument("--no-browser", action="store_true", help="leave out what needs Chromium")
    parser.add_argument("--database-url", default=os.environ.get("TEST_DATABASE_URL", ""), help="PostgreSQL")
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.services, chosen.rounds = 500, 2
    for setting in SETTINGS:
        os.environ.pop(setting.name, None)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        data_dir = Path(folder) / "data"
        os.environ["SLIPWAY_DATA_DIR"] = str(data_dir)
        os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
        with database(chosen.database_url):
            # Imported here, for models can be imported once Django is set up, and that is done above.
            from bench import pages_database, pages_in_browser, pages_on_server

            pages_database.fill(chosen.services)
            pages_on_server.measure(chosen.rounds)
            pages_on_server.measure_sweep()
            if not chosen.no_browser and not chosen.database_url:
                pages_database.stop_everything()
                pages_in_browser.measure(data_dir)


@contextmanager
def database(url: str) -> Iterator[None]:
    """Django on an empty, migrated database: SQLite in the data folder, or a new one of the PostgreSQL at ``url``."""
    if not url:
        set_up()
        yield
        return
    # Only where PostgreSQL was asked for: its driver is an extra of the installation.
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DROP)
        connection.execute(CREATE)
    os.environ["DATABASE_URL"] = urlunsplit(urlsplit(url)._replace(path="/slipway_bench_pages"))
    try:
        set_up()
        yield
    finally:
        connections.close_all()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(DROP)


def set_up() -> None:
    django.setup()
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    main()
