"""The way from the event loop to the database: a few threads of the gateway's own.

Django's own pool has one thread, which the console's views share; a slow page would hold up traffic.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")

THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="gateway-database")


async def in_database(function: Callable[Arguments, Found], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Found:
    """Run ``function``, which may use the ORM, in a thread. Cancelling the wait does not stop the query.

    It runs in the caller's context, so that what it words is in the language of whoever is at the other end.
    """

    def call() -> Found:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(THREADS, contextvars.copy_context().run, call)
