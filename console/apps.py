"""The console application; it also makes the Celery app current, so that ``shared_task`` finds the broker."""

from __future__ import annotations

from django.apps import AppConfig

from console.celery import app as celery_app


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        celery_app.set_default()
