"""Celery tasks of the gateway's own rows."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from inference_gateway.monitoring import samples, scraping
from inference_gateway.webchat.bin import empty_bin


@shared_task(name="inference_gateway.tasks.tidy")
def tidy() -> None:
    """Every five minutes: remove conversations whose time in the bin is over, and what was measured long ago."""
    now = timezone.now()
    empty_bin(now)
    samples.prune(now)


@shared_task(name="inference_gateway.tasks.scrape_engines")
def scrape_engines() -> None:
    """Every fifteen seconds: read what engines say of themselves."""
    scraping.scrape(timezone.now())


@shared_task(name="inference_gateway.tasks.fold_samples")
def fold_samples() -> None:
    """Every minute: make coarse steps of fine ones."""
    samples.fold(timezone.now())
