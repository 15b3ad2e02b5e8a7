"""How many tokens a question is: the engine is asked for the shortest answer, and counts the question itself.

Its template and its tokenizer are what counts. It costs reading the question once, which most engines then have
in their cache for the question proper.
"""

from __future__ import annotations

import contextlib

from inference_gateway.chat import ChatError, ChatRequest, Usage
from inference_gateway.engines.base import Engine


async def count_tokens(request: ChatRequest, engine: Engine) -> Usage:
    """What the engine counted. Raises ChatError as the engine does, and 501 ``count_unknown``."""
    usage: Usage | None = None
    async with contextlib.aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, Usage):
                usage = event
    if usage is None or not usage.prompt_tokens:
        raise ChatError(501, "count_unknown", "The engine of this service does not say how many tokens it has read.")
    return usage
