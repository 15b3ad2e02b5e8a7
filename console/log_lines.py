"""One line for each log record, with a traceback folded into it, so that a log can be read line by line."""

from __future__ import annotations

import logging
import time


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z WARNING deployments.reconcile text``; line breaks inside become ``\\n``."""

    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "").replace("\n", "\\n")
