"""A server that speaks enough of ComfyUI's protocol for a run to end well, and sends anything in place of any answer.

It lives in a thread of its own where it is entered by `with`, so that what it computes is not taken for the tool's;
`on_this_loop` has it on the test's event loop, and so on the clock of the test's own.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

HOSTILE = "hostile server"  # the name of its thread
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Raw:
    """Bytes that go out on the websocket as they are: frames that no library sends."""

    data: bytes = field(repr=False)


@dataclass
class HostileServer:
    """Everything may be set before or while it serves.

    `answers` are by path, the longest beginning that fits counts: bytes, text, anything else as JSON, or a function
    of the request. `outputs` is what the run made, as the history tells it; `files` are those that `/view` gives out,
    by name, or by subfolder and name. `frames` are sent when a prompt was posted: texts, bytes, `Raw`, or values as
    JSON, in which "PROMPT" stands for the prompt's id.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    outputs: Any = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    frames: list[Any] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)  # more of the history's entry
    ends: bool = True  # whether a run ends
    queue: dict[str, Any] = field(default_factory=lambda: {"queue_running": [], "queue_pending": []})
    history: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(
        default_factory=lambda: {"text": ["STRING", {}], "seed": ["INT", {"min": 0, "max": 9}]}
    )

    def __post_init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.prompts: list[dict[str, Any]] = []
        self.views = 0
        self._telling: list[asyncio.Task[None]] = []
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._serve, name=HOSTILE, daemon=True)

    # --- coming and going ---

    def __enter__(self) -> Self:
        self.thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(10)

    @contextlib.asynccontextmanager
    async def on_this_loop(self) -> AsyncIterator[Self]:
        """The same on the running event loop."""
        running = asyncio.create_task(self._run())
        while not self._ready.is_set():
            await asyncio.sleep(0.001)
        yield self
        self._stop.set()
        await running

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        for task in self._telling:
            task.cancel()
        await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[tuple[str, str, dict[str, str]]]:
        """The requests to paths that begin so."""
        return [request for request in self.requests if request[1].startswith(path)]

    # --- answers ---

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests.append((request.method, path, dict(request.headers)))
        fitting = [known for known in self.answers if path.startswith(known)]
        if path == "/prompt" and isinstance(self.answers.get(path), dict):
            return await self._post(request, self.answers[path])
        if fitting:
            return await self._send(request, self.answers[max(fitting, key=len)])
        if path == "/ws":
            return await self._socket(request)
        if path == "/view":
            self.views += 1
            name = request.query.get("filename", "")
            whole_name = f"{request.query.get('subfolder', '')}/{name}"
            given = self.files.get(whole_name, self.files.get(name, self.files.get("*")))
            return web.Response(status=404) if given is None else await self._send(request, given)
        if path == "/prompt":
            return await self._post(request)
        return web.json_response(self._usual(request), status=404 if path.startswith("/userdata") else 200)

    def _usual(self, request: web.Request) -> Any:
        path = request.path
        if path == "/system_stats":
            return {"system": {"comfyui_version": "0.33.0"}, "devices": []}
        if path.startswith("/object_info"):
            name = path.removeprefix("/object_info").strip("/")
            return {"Maker": self.definition} if name in ("", "Maker") else {}
        if path == "/queue":
            return self.queue
        if path.startswith("/history"):
            return self._told(path.removeprefix("/history").strip("/"))
        if path == "/upload/image":
            return {"name": "x.png", "subfolder": "", "type": "input"}
        if path in ("/models", "/embeddings"):
            return []
        return {}

    @property
    def definition(self) -> dict[str, Any]:
        return {
            "input": {"required": self.inputs},
            "output": ["IMAGE"],
            "output_node": True,
            "name": "Maker",
            "display_name": "Maker",
        }

    def _told(self, prompt_id: str) -> Any:
        entries = dict(self.history)
        if self.ends:
            for body in self.prompts:
                row = [0, body["prompt_id"], body["prompt"], body.get("extra_data", {}), ["1"]]
                status = {"status_str": "success", "completed": True, "messages": []}
                entries[body["prompt_id"]] = {"prompt": row, "outputs": self.outputs, "status": status} | self.entry
        if not prompt_id:
            return entries
        return {prompt_id: entries[prompt_id]} if prompt_id in entries else {}

    async def _post(self, request: web.Request, more: Mapping[str, Any] | None = None) -> web.StreamResponse:
        body = await request.json()
        self.prompts.append(body)
        self._telling.append(asyncio.create_task(self._tell(body)))
        answer = {"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}, **(more or {})}
        if answer["prompt_id"] == "PROMPT":
            answer["prompt_id"] = body["prompt_id"]
        return web.json_response(answer)

    async def _tell(self, body: Mapping[str, Any]) -> None:
        await asyncio.sleep(0.05)
        prompt_id = body["prompt_id"]
        socket = self._sockets.get(str(body.get("client_id")))
        if socket is None:
            return
        last: list[Any] = []
        if self.ends:
            about = {"prompt_id": prompt_id}
            last = [
                {"type": "execution_success", "data": about},
                {"type": "executing", "data": {"node": None, **about}},
            ]
        with contextlib.suppress(ConnectionError, RuntimeError):
            for frame in [*self.frames, *last]:
                await self._frame(socket, frame, prompt_id)

    async def _frame(self, socket: web.WebSocketResponse, frame: Any, prompt_id: str) -> None:
        if isinstance(frame, Raw):
            self._transports[socket].write(frame.data)
        elif isinstance(frame, bytes):
            await socket.send_bytes(frame.replace(b"PROMPT" + b" " * 30, prompt_id.encode()))
        else:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            await socket.send_str(text.replace("PROMPT", prompt_id))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        self._sockets[request.query.get("clientId", "")] = socket
        assert isinstance(request.transport, asyncio.Transport)
        self._transports[socket] = request.transport
        async for _ in socket:
            pass
        return socket

    async def _send(self, request: web.Request, given: Any) -> web.StreamResponse:
        if callable(given):
            response: web.StreamResponse = await given(request)
            return response
        if isinstance(given, bytes):
            return web.Response(body=given, content_type="application/json")
        if isinstance(given, str):
            return web.Response(text=given, content_type="application/json")
        return web.json_response(given)


def status(code: int, text: str = "", **headers: str) -> Answer:
    """An answer with this status and these headers."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            status=code, text=text, headers={name.replace("_", "-"): of for name, of in headers.items()}
        )

    return answer


def echoing(code: int, body: Callable[[str], Any]) -> Answer:
    """An answer that has the request's headers in it: `body` makes it of them."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(body(json.dumps(dict(request.headers))), status=code)

    return answer
