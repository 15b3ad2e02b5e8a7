"""The Celery application. It makes things quick, never right: see ``deployments.tasks``."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("slipway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["deployments", "inference_gateway"])


@setup_logging.connect
def _use_django_logging(**_: Any) -> None:
    """Keep Celery from installing handlers of its own (a receiver is all it takes)."""
    logging.config.dictConfig(settings.LOGGING)


@beat_init.connect
def _sweep_at_once(**_: Any) -> None:
    """Beat's own first sweep would come a whole interval after its start."""
    app.send_task("deployments.tasks.sweep", expires=2.0, retry=False)
