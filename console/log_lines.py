"""One line for each log record, with a traceback folded into it, so that a log can be read line by line."""

from __future__ import annotations

import logging
import time

from deployments.request_ids import request_id


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z WARNING deployments.reconcile text``; line breaks inside become ``\\n``.

    While a request is answered its id stands before the text, as ``request=7f3a21bc``: the one in ``X-Request-Id``.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(answered)s%(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - overrides
        instant = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{instant}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        # Here and not in a filter: a handler formats where the line is logged, in the context of its request.
        answered = request_id.get()
        record.answered = f"request={answered} " if answered else ""
        return super().format(record).replace("\r", "").replace("\n", "\\n")


class NotReadyFilter(logging.Filter):
    """Drops what Django logs of ``/readyz`` saying 503: that is an answer, not an error, and comes often."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        return getattr(record, "status_code", None) != 503 or getattr(request, "path", None) != "/readyz"
