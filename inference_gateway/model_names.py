"""What the engines of instances call their models, and which name a question is asked under."""

from __future__ import annotations

from typing import Any

import aiohttp

from deployments.clusters.passage import Passage
from inference_gateway.directory import Route, ServiceEntry

MODELS_TIMEOUT = aiohttp.ClientTimeout(total=5)
MAX_MODELS_REMEMBERED = 1000


class ModelNames:
    """Under which name each instance's engine serves its model: callers may write any (eas.md §1.9)."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._names: dict[tuple[str, str], tuple[str, ...]] = {}

    async def choose(self, service: ServiceEntry, route: Route, passage: Passage, asked: str | None) -> str | None:
        """The name to ask the engine for: the caller's where the engine has it (an adapter), else its first."""
        if not self.knows(service, route):
            names = tuple(str(model["id"]) for model in await self._fetch(route, passage))
            if not names:
                return None
            if len(self._names) > MAX_MODELS_REMEMBERED:
                self._names.clear()
            self._names[route.instance, route.address] = names
        return self.choose_known(service, route, asked)

    def knows(self, service: ServiceEntry, route: Route) -> bool:
        """Whether ``choose_known`` may be asked."""
        return service.traits.engine == "chat-llm" or (route.instance, route.address) in self._names

    def choose_known(self, service: ServiceEntry, route: Route, asked: str | None) -> str | None:
        """As ``choose``, of an instance whose names are known."""
        if service.traits.engine == "chat-llm":
            return None  # it takes any
        names = self._names[route.instance, route.address]
        return asked if asked in names else names[0]

    async def find_context(self, route: Route, passage: Passage) -> int | None:
        """How many tokens a dialogue holds, where the engine lists it: vLLM's word for it, or llama.cpp's."""
        for model in await self._fetch(route, passage):
            told = model.get("meta")
            trained = told.get("n_ctx_train") if isinstance(told, dict) else None
            for value in (model.get("max_model_len"), trained):
                if isinstance(value, int) and value > 0:
                    return value
        return None

    async def _fetch(self, route: Route, passage: Passage) -> list[dict[str, Any]]:
        """What the engine lists; nothing where it does not answer: the question itself will say why."""
        try:
            async with self._session.get(
                f"{route.address}/v1/models",
                headers=passage.headers,
                timeout=MODELS_TIMEOUT,
                allow_redirects=False,
                **passage.client_options,
            ) as response:
                body: Any = await response.json(content_type=None)
            return [model for model in body["data"] if "id" in model]
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError):
            return []
