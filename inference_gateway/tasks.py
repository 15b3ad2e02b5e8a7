"""Celery tasks of the gateway's own rows."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from inference_gateway.webchat.bin import empty_bin


@shared_task(name="inference_gateway.tasks.tidy")
def tidy() -> None:
    """Every five minutes: remove conversations whose time in the bin is over."""
    empty_bin(timezone.now())
