"""The StandIn that tests start."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import random
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web
from PIL import Image

from tests.support.ports import kept_port, listen_at

from .engine import SECRETS, Engine, new_id, now_ms
from .files import File, Files, Place
from .gates import Gate
from .misbehaviour import Misbehaviour
from .prompts import Definitions, Refused, check
from .release import MAX_UPLOAD, MEMORY, RELEASES
from .routes import Routes
from .sockets import Sockets

DEFAULT_MODELS: dict[str, list[str]] = {
    "checkpoints": ["sd_xl_base_1.0.safetensors", "tiny.safetensors", "tiny2.safetensors", "tiny_sd15.safetensors"],
    "loras": ["anime_style.safetensors", "detail.safetensors"],
    "vae": ["ae.safetensors", "qwen_image_vae.safetensors"],
    "text_encoders": [
        "clip_l.safetensors",
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "qwen_3_4b.safetensors",
        "t5xxl_fp8_e4m3fn_scaled.safetensors",
    ],
    "diffusion_models": [
        "flux1-dev.safetensors",
        "qwen_image_fp8_e4m3fn.safetensors",
        "z_image_turbo_bf16.safetensors",
    ],
    "controlnet": ["canny.safetensors"],
    "upscale_models": ["4x-UltraSharp.pth"],
}
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """A request as it arrived; `path` as it was on the wire, with its %2F."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    query: dict[str, str]


class StandIn:
    """A ComfyUI that needs no models and no disk.

    Everything posted over HTTP is kept: `requests` (all), `prompts` (accepted bodies of POST /prompt), `interrupts`
    (their bodies, None without one), `deleted` (ids that clients asked to delete), `uploads` (names as clients gave
    them, with the subfolder), `freed` (bodies of POST /free). `most_views_at_once` is the highest number of downloads
    that were under way together. `devices` are those that it tells of. `gallery` and `template_files` are the workflows
    that come with it.
    """

    def __init__(
        self,
        release: str = "0.33.0",
        step_seconds: float = 0.01,
        load_seconds: float = 0.0,
        models: dict[str, list[str]] | None = None,
        preview_method: str | None = None,
        api_key: str | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        custom_nodes: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.facts = RELEASES[release]
        self.models = DEFAULT_MODELS if models is None else models
        self.misbehave = Misbehaviour()
        self.requests: list[Received] = []
        self.prompts: list[dict[str, Any]] = []
        self.interrupts: list[Any] = []
        self.deleted: list[str] = []
        self.uploads: list[str] = []
        self.freed: list[dict[str, Any]] = []
        self.views = self.most_views_at_once = 0
        self.files = Files()
        self.userdata: dict[str, File] = {}
        self.gallery: list[dict[str, Any]] | None = None  # the groups of /templates/index.json; None without one
        self.template_files: dict[str, Any] = {}  # graphs by their names; of examples by package and name
        self.node_replacements: dict[str, list[dict[str, Any]]] = {}  # what became of old classes, by their names
        self.metadata: dict[str, dict[str, str]] = {}  # what model files say of themselves, by their names
        memory = {f"{prefix}vram_{kind}": MEMORY for prefix in ("", "torch_") for kind in ("total", "free")}
        self.devices: list[dict[str, Any]] = [{"name": "cpu", "type": "cpu", "index": None, **memory}]
        self._api_key = api_key
        self.gate: Gate | None = None  # what stands before it
        self._step_seconds, self._load_seconds = step_seconds, load_seconds
        self._preview_method = preview_method or self.facts.preview_method
        self._host, self._port = host, port
        self._kept: socket.socket | None = None
        self._custom_nodes = custom_nodes or {}
        self._put_example()

    def _put_example(self) -> None:
        stream = io.BytesIO()
        Image.effect_noise((64, 64), 40).convert("RGB").save(stream, "PNG")
        self.files.put(Place("input", "", "example.png"), stream.getvalue())

    # --- coming and going ---

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.kill()
        if self._kept:
            self._kept.close()

    async def start(self) -> None:
        self.room = self._sockets()
        definitions = Definitions(self.facts, self.models, self.files, self._custom_nodes)
        self.engine = Engine(
            self.facts,
            definitions,
            self.files,
            self.room,
            self.misbehave,
            self._step_seconds,
            self._load_seconds,
            self._preview_method,
        )
        app = web.Application(
            client_max_size=MAX_UPLOAD, middlewares=[self._record, self._misbehaving, self._origin, self._failing]
        )
        self._add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        if self._kept is None:
            self._kept = kept_port(self._host, self._port)
            self._port = self._kept.getsockname()[1]
        await self.listen()
        self._tasks = [asyncio.create_task(self.engine.work()), asyncio.create_task(self.room.publish())]

    def _sockets(self) -> Sockets:
        return Sockets(self.misbehave)

    def _add_routes(self, app: web.Application) -> None:
        Routes(self).add_to(app)

    async def kill(self) -> None:
        """End as by SIGKILL: no farewell on any connection, and nobody listens any more."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.stop_listening()
        await self._runner.cleanup()
        for error in ended:  # a fault of the stand-in itself, which else would look like a hanging server
            if isinstance(error, Exception):
                raise error

    async def stop_listening(self) -> None:
        """End every connection and refuse new ones, as behind a broken network; the work goes on. `listen` ends it."""
        for site in list(self._runner.sites):
            await site.stop()
        for connection in self._runner.server.connections if self._runner.server else []:
            if connection.transport is not None:
                connection.transport.abort()

    async def listen(self) -> None:
        assert self._kept is not None
        await web.SockSite(self._runner, listen_at(self._kept)).start()

    async def restart(self) -> None:
        """After `kill`: the same port and files, an empty history and queue, numbers from 0."""
        if self._tasks:
            await self.kill()
        self.files.empty("temp")
        await self.start()

    # --- what a test looks at ---

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def running(self) -> list[str]:
        return [item[1] for item in self.engine.running.values()]

    @property
    def pending(self) -> list[str]:
        return [item[1] for item in self.engine.pending]

    @property
    def history(self) -> dict[str, dict[str, Any]]:
        return self.engine.history

    @property
    def sockets(self) -> list[str]:
        """The client ids of the sockets that are open now."""
        return [client for client, _, _ in self.room.open]

    # --- what a test does ---

    def release(self) -> None:
        """Let go what is held, and hold nothing any more until a test asks for it again."""
        self.misbehave.hold_before = self.misbehave.hold_at_step = None
        self.engine.released.set()
        self.engine.released = asyncio.Event()

    async def until_held(self, seconds: float = 10.0) -> None:
        """Until the execution waits where `hold_before` or `hold_at_step` says."""
        await asyncio.wait_for(self.engine.held.wait(), seconds)

    async def post(
        self, graph: dict[str, Any], client_id: str | None = None, prompt_id: str | None = None, **body: Any
    ) -> str:
        """Enqueue somebody else's job; it is not among `prompts`."""
        body = {"prompt": graph, **body}
        if client_id is not None:
            body["client_id"] = client_id
        if prompt_id is not None:
            body["prompt_id"] = prompt_id
        return str(self.submit(body)["prompt_id"])

    def example_graph(self, steps: int = 6, seed: int | None = None, **over: Any) -> dict[str, Any]:
        """A plain text-to-image graph. `over` sets inputs by name; `text` and `negative` are the two prompts."""
        seed = random.randrange(2**32) if seed is None else seed
        graph: dict[str, Any] = {
            "3": {
                "class_type": "KSampler",
                "inputs": {
                    "seed": seed,
                    "steps": steps,
                    "cfg": 7.0,
                    "sampler_name": "euler",
                    "scheduler": "normal",
                    "denoise": 1.0,
                    "model": ["4", 0],
                    "positive": ["6", 0],
                    "negative": ["7", 0],
                    "latent_image": ["5", 0],
                },
                "_meta": {"title": "KSampler"},
            },
            "4": {
                "class_type": "CheckpointLoaderSimple",
                "inputs": {"ckpt_name": (self.models.get("checkpoints") or ["model.safetensors"])[0]},
            },
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": over.pop("negative", "blurry"), "clip": ["4", 1]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
        }
        for name, value in over.items():
            inputs = next((node["inputs"] for node in graph.values() if name in node["inputs"]), None)
            if inputs is None:
                raise KeyError(f"no node of the example has an input {name!r}")
            inputs[name] = value
        return graph

    # --- between the routes and the engine ---

    def submit(self, body: Any) -> dict[str, Any]:
        """What POST /prompt does. Raises Refused for a 400; anything else raised is a 500."""
        number = self.engine.take_number(
            body.get("number") if "prompt" in body else None, bool("prompt" in body and body.get("front"))
        )
        if "prompt" not in body:
            raise Refused("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = self._prompt_id(body)
        # Kept apart from the body: the validation writes converted values into it, as the real one does.
        graph = copy.deepcopy(body["prompt"])
        accepted = check(graph, self.engine.definitions, self.facts, self.files, body.get("partial_execution_targets"))
        extra = self._extra_data(body)
        self.engine.enqueue((number, prompt_id, graph, extra, accepted.outputs))
        return {"prompt_id": prompt_id, "number": number, "node_errors": accepted.node_errors}

    def _prompt_id(self, body: dict[str, Any]) -> str:
        if self.misbehave.ignore_prompt_id or "prompt_id" not in body:
            return new_id()
        asked = body["prompt_id"]
        if not self.facts.uuid_prompt_ids:
            return str(asked)
        if asked is None:
            return new_id()
        if not isinstance(asked, str) or not CANONICAL_UUID.fullmatch(asked):
            raise Refused(
                "invalid_prompt_id",
                "prompt_id must be a valid UUID",
                "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
                "omit it to let the server generate one",
            )
        return asked

    def _extra_data(self, body: dict[str, Any]) -> Any:
        """Null is no object: an error of the server, but for the older one without a client id."""
        extra = body.get("extra_data", {})
        if "client_id" in body:
            extra = {**extra, "client_id": body["client_id"]}
        if self.facts.jobs:  # it keeps keys to itself
            kept = {name: value for name, value in extra.items() if name not in SECRETS}
            extra = {**kept, "create_time": now_ms()}
        return extra

    # --- middlewares, outermost first ---

    @property
    def _record(self) -> Any:
        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            parsed = None
            if request.can_read_body and "multipart" not in request.content_type:
                with contextlib.suppress(ValueError):
                    parsed = json.loads(await request.read())
            self.requests.append(
                Received(request.method, request.rel_url.raw_path, dict(request.headers), parsed, dict(request.query))
            )
            return await handler(request)

        return record

    def _may_enter(self, request: web.Request) -> bool:
        return self._api_key is None or request.headers.get("Authorization") == f"Bearer {self._api_key}"

    @property
    def _misbehaving(self) -> Any:
        @web.middleware
        async def misbehaving(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.misbehave.redirect_to is not None:
                return web.Response(status=302, headers={"Location": self.misbehave.redirect_to + str(request.rel_url)})
            refusal = await self.gate(request) if self.gate else None
            if refusal:
                return refusal
            if not self._may_enter(request):
                return web.Response(status=401, text="401: Unauthorized")
            after = self.misbehave.retry_after
            headers = None if after is None else {"Retry-After": after}
            for prefix, value in self.misbehave.json_for.items():
                if request.path.removeprefix("/api").startswith(prefix):
                    return web.json_response(value)
            for prefix, status in self.misbehave.status_for.items():
                if request.path.removeprefix("/api").startswith(prefix.removeprefix("/api")):
                    return web.Response(status=status, text=f"{status}: the proxy says no", headers=headers)
            return await handler(request)

        return misbehaving

    @property
    def _origin(self) -> Any:
        @web.middleware
        async def origin(request: web.Request, handler: Handler) -> web.StreamResponse:
            came, host = request.headers.get("Origin"), request.headers.get("Host", "")
            if self.facts.refuses_cross_site and request.headers.get("Sec-Fetch-Site") == "cross-site":
                return web.Response(status=403)
            if came is not None:
                page, here = urlsplit(came), urlsplit(f"//{host}")
                same_port = page.port is None or here.port is None or page.port == here.port
                if here.hostname in LOOPBACK and page.hostname and not (page.hostname == here.hostname and same_port):
                    return web.Response(status=403)
            return await handler(request)

        return origin

    @property
    def _failing(self) -> Any:
        """aiohttp's own 500, without the traceback in the test's log."""

        @web.middleware
        async def failing(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException as error:
                if error.status == 404 and request.method in ("GET", "HEAD"):
                    return web.Response(status=404, content_type="application/octet-stream")
                if error.status == 404:  # a page of the front end could be there, for GET
                    return web.Response(status=405, text="405: Method Not Allowed")
                raise
            except Refused as refused:
                return web.json_response(refused.answer, status=400)
            except Exception:
                return web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")

        return failing
