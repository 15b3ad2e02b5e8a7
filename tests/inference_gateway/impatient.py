"""uvicorn's protocols as Slipway has them, with shorter times: what takes a minute is tested in seconds."""

from __future__ import annotations

from inference_gateway.server_protocols import RefusableProtocol, UpgradeBlindProtocol


class ImpatientHttp(UpgradeBlindProtocol):
    head_seconds = 1.5
    body_seconds = 1.5
    least_bytes = 200
    stalled_seconds = 2.0


class ImpatientWebSocket(RefusableProtocol):
    stalled_seconds = 2.0
