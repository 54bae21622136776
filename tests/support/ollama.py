"""A small stand-in for Ollama, as far as unloading its models goes."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from aiohttp import web


class Ollama:
    """Keeps `loaded` (the names of the models in memory), what was `asked` (method, path, key and body of each
    request), and does wrong what a test sets: `status` for every answer, `stubborn` models that stay, `slow` seconds
    before each answer. An unloaded model is gone `after` seconds, as the real one answers before it has ended it."""

    def __init__(self, *loaded: str, after: float = 0.0) -> None:
        self.loaded = list(loaded)
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.status = 200
        self.stubborn: tuple[str, ...] = ()
        self.slow = 0.0
        self._after = after
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/ps", self._ps)
        app.router.add_post("/api/generate", self._generate)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def bodies(self) -> list[Any]:
        """What was posted."""
        return [body for method, _, _, body in self.asked if method == "POST"]

    async def _take(self, request: web.Request) -> Any:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, request.headers.get("Authorization"), body))
        await asyncio.sleep(self.slow)
        return body

    async def _ps(self, request: web.Request) -> web.Response:
        await self._take(request)
        models = [{"name": name, "model": name, "size_vram": 2**32} for name in self.loaded]
        return web.json_response({"models": models}, status=self.status)

    async def _generate(self, request: web.Request) -> web.Response:
        body = await self._take(request)
        if body["model"] in self.stubborn:
            return web.json_response({"error": "no"}, status=500)
        if body["keep_alive"] == 0 and not body.get("prompt"):
            task = asyncio.create_task(self._end(body["model"]))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        return web.json_response({"model": body["model"], "done": True, "done_reason": "unload"}, status=self.status)

    async def _end(self, name: str) -> None:
        await asyncio.sleep(self._after)
        self.loaded.remove(name)
