"""A program with the routes that engines have beside chat: it answers like them and remembers what it got."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.inference_gateway.serving_thread import AppThread
from tests.ports import free_port


class ManyRoutesEngine(AppThread):
    """Serves ``served`` and refuses every other ``model``, as vLLM does. ``seen``: path and fields of each request."""

    def __init__(self, served: str = "served-name") -> None:
        super().__init__(free_port())
        self.served = served
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def make_app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        routes = app.router
        routes.add_get("/v1/models", self._list)
        routes.add_post("/v1/embeddings", self._embed)
        routes.add_post("/v1/rerank", self._rerank)
        routes.add_post("/v1/audio/speech", self._speak)
        routes.add_post("/v1/moderations", self._moderate)
        routes.add_post("/v1/images/generations", self._draw)
        for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
            routes.add_post(path, self._transcribe)
        for path in ("/v1/images/edits", "/v1/images/variations"):
            routes.add_post(path, self._edit)
        routes.add_post("/v1/responses", self._respond)
        routes.add_get("/v1/responses/{id}", self._retrieve)
        return app

    async def _read(self, request: web.Request) -> dict[str, Any]:
        if request.content_type == "application/json":
            body: dict[str, Any] = await request.json()
        else:
            form = await request.post()
            body = {
                name: value.file.read() if isinstance(value, web.FileField) else value for name, value in form.items()
            }
        self.seen.append((request.path, body))
        if request.content_type == "application/json" and body.get("model") != self.served:
            told = {"object": "error", "message": f"The model `{body.get('model')}` does not exist.", "code": 404}
            raise web.HTTPNotFound(text=web.json_response(told).text, content_type="application/json")
        return body

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.served, "max_model_len": 512}]})

    async def _embed(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [{"object": "embedding", "index": n, "embedding": [float(n), 0.5]} for n, _ in enumerate(texts)]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response({"object": "list", "model": self.served, "data": data, "usage": usage})

    async def _rerank(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        assert None not in body.values()  # vLLM refuses top_n: null
        results = [
            {"index": n, "document": {"text": text}, "relevance_score": 1.0 / (n + 1)}
            for n, text in enumerate(body["documents"])
        ]
        return web.json_response({"id": "rerank-1", "model": self.served, "results": results[: body.get("top_n")]})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        await self._read(request)
        response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
        await response.prepare(request)
        for part in (b"ID3\0", bytes(range(256)), b"\xff\xfb"):
            await response.write(part)
        return response

    async def _moderate(self, request: web.Request) -> web.Response:
        await self._read(request)
        result = {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
        return web.json_response({"id": "modr-1", "model": self.served, "results": [result]})

    async def _draw(self, request: web.Request) -> web.Response:
        await self._read(request)
        return web.json_response({"created": 1, "data": [{"b64_json": "aGk="}]})

    async def _edit(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        return web.json_response({"created": 1, "data": [{"b64_json": "aGk=", "url": str(len(body["image"]))}]})

    async def _transcribe(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        return web.json_response({"text": f"{len(body['file'])} bytes"})

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        answer = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": self.served,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "output": [
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
                }
            ],
        }
        if not body.get("stream"):
            return web.json_response(answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        delta = b'{"type":"response.output_text.delta","delta":"hi","item_id":"msg_1","output_index":0,'
        await response.write(b"event: response.output_text.delta\ndata: " + delta + b'"content_index":0}\n\n')
        return response

    async def _retrieve(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, {}))
        return web.json_response({"id": request.match_info["id"], "object": "response"})
