"""Where Slipway and its services are called, as pages and REST tell it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str:
    """The address people use, without a slash at its end: the configured one, else the one they came by."""
    return settings.SLIPWAY_PUBLIC_URL or f"{request.scheme}://{request.get_host()}"


def endpoint_of(base: str, name: str) -> str:
    """The service's address below an address of Slipway (eas.md §1.1)."""
    return f"{base.rstrip('/')}/api/predict/{name}"


def direct_url(host: str, port: int) -> str:
    """Where HTTP reaches what listens there, without a slash at the end."""
    return f"http://{render_host(host)}:{port}"


def render_host(host: str) -> str:
    """A host's name or address as URLs write it: an IPv6 address has brackets."""
    return f"[{host}]" if ":" in host else host
