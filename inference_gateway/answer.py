"""Answers one decoded question over HTTP: engine's events → exchange's bytes → caller.

The gateway and the chat-llm runtime share this. What either adds (routing, recording, limits) is an
``Engine`` around an engine, so that it sees every event and every ending.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator

from deployments.words import say
from inference_gateway.chat import Answer, ChatError
from inference_gateway.codecs import JSON_TYPE, Exchange
from inference_gateway.engines.base import Engine
from inference_gateway.http import (
    Ending,
    Headers,
    Receive,
    Send,
    render_wait,
    run_until_disconnect,
    send_body,
    send_stream,
)

logger = logging.getLogger(__name__)

INTERNAL_ERROR = ChatError(500, "internal_error", say("The answer broke off by a fault of the server."))


async def answer_exchange(
    exchange: Exchange, engine: Engine, receive: Receive, send: Send, headers: Headers = ()
) -> Ending:
    """Answer, streamed or not as the exchange asks. The body must have been read.

    Ends in one of three ways: FINISHED; FAILED, with an error as status and body before the first byte, and
    as a frame of the dialect after it; CANCELLED, when the caller left, with the engine stopped by then.
    """
    reply = _Reply(exchange, engine, send, tuple(headers))
    ending = await run_until_disconnect(reply.run(), receive)
    return Ending.FAILED if ending is Ending.FINISHED and reply.has_failed else ending


class _Reply:
    def __init__(
        self, exchange: Exchange, engine: Engine, send: Send, headers: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        self._exchange = exchange
        self._engine = engine
        self._send = send
        self._headers = headers
        self.has_failed = False

    async def run(self) -> None:
        try:
            if self._exchange.is_stream:
                frames = self._make_frames()
                await send_stream(self._send, 200, self._exchange.stream_type, frames, self._headers)
            else:
                await send_body(self._send, 200, await self._fold(), self._exchange.whole_type, self._headers)
        except ChatError as error:
            # Only from before the first byte: later ones are frames.
            self.has_failed = True
            body = self._exchange.encode_error(error)
            await send_body(self._send, error.status, body, JSON_TYPE, (*self._headers, *render_wait(error)))

    async def _fold(self) -> bytes:
        answer = Answer()
        try:
            async with contextlib.aclosing(self._engine.generate(self._exchange.request)) as events:
                async for event in events:
                    answer.add(event)
        except ChatError:
            raise
        except Exception as error:
            logger.exception("An answer failed")
            raise INTERNAL_ERROR from error
        return self._exchange.fold(answer)

    async def _make_frames(self) -> AsyncGenerator[bytes, None]:
        encoder = self._exchange.encoder()
        has_begun = False
        try:
            async with contextlib.aclosing(self._engine.generate(self._exchange.request)) as events:
                async for event in events:
                    frame = encoder.encode(event)
                    if frame:
                        has_begun = True
                        yield frame
            yield encoder.finish()
        except ChatError as error:
            if not has_begun:
                raise
            self.has_failed = True
            yield encoder.fail(error)
        except Exception as error:
            logger.exception("An answer failed")
            if not has_begun:
                raise INTERNAL_ERROR from error
            self.has_failed = True
            yield encoder.fail(INTERNAL_ERROR)
