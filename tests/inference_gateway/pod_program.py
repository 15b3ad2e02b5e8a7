"""Runs in a pod: tells what it was sent, streams without end, redirects, talks, and answers as an engine does."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

PORT = 8000
live: list[web.Request] = []


def told(request: web.Request, body: bytes = b"") -> dict[str, Any]:
    headers = [[name, value] for name, value in request.headers.items()]
    return {"method": request.method, "path": request.raw_path, "headers": headers, "body": body.decode("latin-1")}


async def mirror(request: web.Request) -> web.Response:
    return web.json_response(told(request, await request.read()), headers={"Cache-Control": "max-age=60"})


async def drip(request: web.Request) -> web.StreamResponse:
    """A stream of no kind that anybody along the way flushes out of politeness."""
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    await response.prepare(request)
    live.append(request)
    try:
        while True:
            await response.write(b"drop\n")
            await asyncio.sleep(0.02)
    finally:
        live.remove(request)


async def count(request: web.Request) -> web.Response:
    return web.json_response(len(live))


async def answer(request: web.Request) -> web.Response:
    """Any status, with a body that the API server might have made."""
    status = int(request.match_info["status"])
    return web.json_response({"kind": "Pod", "own": status}, status=status)


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query.get("to", "/live")})


async def page(request: web.Request) -> web.Response:
    return web.Response(text='<a href="/a?b=1">x</a><img src="/y.png">', content_type="text/html")


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("chat",))
    await socket.prepare(request)
    await socket.send_json(told(request))
    async for message in socket:
        if message.data == "bye":
            await socket.close(code=4001)
        elif message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


async def models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "in-a-pod", "object": "model"}]})


async def generate(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    live.append(request)
    try:
        words = 0
        while words < (asked.get("max_tokens") or 1_000_000):
            await response.write(b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n')
            words += 1
            await asyncio.sleep(0.02)
        await response.write(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    finally:
        live.remove(request)
    return response


def main() -> None:
    app = web.Application(client_max_size=0)
    app.router.add_get("/drip", drip)
    app.router.add_get("/live", count)
    app.router.add_get("/answer/{status}", answer)
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/page", page)
    app.router.add_get("/talk", talk)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", generate)
    app.router.add_route("*", "/{rest:.*}", mirror)
    web.run_app(app, port=PORT, handler_cancellation=True, print=None)


if __name__ == "__main__":
    main()
