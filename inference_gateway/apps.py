"""The Django application inference_gateway."""

from __future__ import annotations

from django.apps import AppConfig


class InferenceGatewayConfig(AppConfig):
    name = "inference_gateway"
