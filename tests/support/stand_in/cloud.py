"""A stand-in for Comfy Cloud as it is documented: the engine of the local one behind the doors of the other service."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from aiohttp import web

from .engine import SECRETS, Engine, new_id, now_ms
from .files import KINDS, Place, content_type
from .jobs import cancel, job
from .routes import Routes, upload_fields
from .server import Received, StandIn
from .sockets import Sockets

KEY = "comfyui-a+key/of=the&tests"  # with what a URL has to escape
ACCOUNT = "the account"  # to whom every job belongs, whatever client id it was posted with
MAX_IMAGE = 50 * 2**20
OPEN_TO_ALL = ("/api/system_stats",)


@dataclass(frozen=True)
class Refusal:
    """How POST /api/prompt answers instead of taking a job."""

    status: int
    type: str
    message: str
    retry_after: str | None = None


@dataclass
class Account(Sockets):
    """Every socket of the account gets every frame, and none is told that nothing runs any more. `names_previews` is
    whether previews come with their prompt's id for clients that can read it."""

    names_previews: bool = True

    def send(self, kind: str, data: dict[str, Any], client: str | None = None) -> None:
        if kind == "executing" and data.get("node") is None:
            return
        if kind == "feature_flags" and not self.names_previews:
            return
        if kind == "execution_start":
            self.send("notification", {"value": "A job of yours has started"})
        super().send(kind, data, client if kind == "feature_flags" or "sid" in data else None)

    def send_bytes(self, event: int, payload: bytes, client: str | None = None) -> None:
        super().send_bytes(event, payload)

    def wants_metadata(self, client: str | None) -> bool:
        return self.names_previews and any(flags.get("supports_preview_metadata") for flags in self.flags.values())


@dataclass
class Storage:
    """Where the files lie: another origin, whose addresses are good as they are and for nobody who shows a key."""

    requests: list[Received] = field(default_factory=list)
    redirect_to: str | None = None  # sends on to this address instead of giving the file
    _signed: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # path and query -> kind and content

    async def start(self, host: str) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._give)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        listening = socket.create_server((host, 0))
        self.url = f"http://{host}:{listening.getsockname()[1]}"
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    def sign(self, name: str, content: bytes) -> str:
        """An address as such stores make them: it is good only with every escaped character as it stands."""
        path = f"/bucket/{new_id()}%2F{name}?X-Credential=a%2Fb%40c&X-Signature={secrets.token_hex(8)}%2B%3D"
        self._signed[path] = content_type(name), content
        return self.url + path

    async def _give(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(
            Received(request.method, request.rel_url.raw_path, dict(request.headers), None, dict(request.query))
        )
        if {"X-API-Key", "Authorization", "Cookie"} & set(request.headers):
            return web.Response(status=400, text="only one way to authenticate is allowed")
        if self.redirect_to is not None:
            return web.Response(status=302, headers={"Location": self.redirect_to})
        kind, content = self._signed.get(request.raw_path, ("", None))
        if content is None:
            return web.Response(status=403, text="SignatureDoesNotMatch")
        return web.Response(body=content, content_type=kind)


class CloudRoutes(Routes):
    """The routes that are documented, each only where it is documented."""

    comfy: CloudStandIn

    def add_to(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/ws", self.ws)
        add("POST", "/api/prompt", self.post_prompt)
        add("GET", "/api/queue", self.queue)
        add("GET", "/api/jobs/{job_id}", self.job)
        add("POST", "/api/jobs/{job_id}/cancel", self.cancel_job)
        add("GET", "/api/object_info", self.object_info)
        add("GET", "/api/experiment/models", self.model_folders)
        add("GET", "/api/experiment/models/{folder}", self.models)
        add("GET", "/api/userdata", self.userdata)
        add("GET", "/api/userdata/{file}", self.userdata_file)
        add("POST", "/api/userdata/{file}", self.save_userdata)
        add("GET", "/api/system_stats", self.system_stats)
        add("GET", "/api/features", self.features)
        add("GET", "/api/user", self.user)
        add("GET", "/api/view", self.view)
        add("POST", "/api/upload/image", self.upload_image)

    async def post_prompt(self, request: web.Request) -> web.StreamResponse:
        refusal = self.comfy.refusal
        if refusal is None:
            return await super().post_prompt(request)
        error = {"type": refusal.type, "message": refusal.message, "details": "", "extra_info": {}}
        headers = {"Retry-After": refusal.retry_after} if refusal.retry_after is not None else None
        return web.json_response({"error": error, "node_errors": {}}, status=refusal.status, headers=headers)

    async def queue(self, request: web.Request) -> web.StreamResponse:
        engine = self.comfy.engine

        def shown(item: tuple[Any, ...]) -> list[Any]:
            number, prompt_id, graph, extra, outputs = item
            return [number, prompt_id, graph, outputs, {"create_time": extra["create_time"]}]

        running, pending = map(shown, engine.running.values()), map(shown, engine.pending)
        return web.json_response({"queue_running": list(running), "queue_pending": list(pending)})

    async def job(self, request: web.Request) -> web.StreamResponse:
        found = self.comfy.job(request.match_info["job_id"])
        return missing("Job not found") if found is None else web.json_response(found)

    async def cancel_job(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job_id"]
        found = self.comfy.job(job_id)
        if found is None:
            return missing("Job not found")
        if cancel(self.comfy.engine, job_id) and found["status"] == "pending":
            self.comfy.cancelled[job_id] = found
        return web.json_response({"cancelled": True})

    async def model_folders(self, request: web.Request) -> web.StreamResponse:
        return web.json_response([{"name": name, "folders": [name]} for name in self.comfy.models])

    async def models(self, request: web.Request) -> web.StreamResponse:
        names = self.comfy.models.get(request.match_info["folder"])
        if not names:
            return missing("Folder not found or no models in folder")
        return web.json_response([{"name": name, "pathIndex": 0} for name in names])

    async def user(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "active"})

    async def _viewed(self, request: web.Request) -> web.StreamResponse:
        query = request.rel_url.query
        place = Place(query.get("type", "output"), query.get("subfolder", ""), query.get("filename", ""))
        file = self.comfy.files.get(place)
        await asyncio.sleep(self.comfy.misbehave.view_delay)
        if file is None or self.comfy.misbehave.misses(place.name):
            return missing("File not found")
        where = self.comfy.signed_elsewhere
        if where is None:
            where = self.comfy.storage.sign(place.name, file.content)
        return web.Response(status=302, headers={"Location": where})

    async def upload_image(self, request: web.Request) -> web.StreamResponse:
        fields = await upload_fields(request)
        image = fields.get("image")
        kind = fields.get("type", "output")
        if not isinstance(image, web.FileField) or kind not in KINDS:
            return missing("image is required", 400)
        content = image.file.read()
        if len(content) > MAX_IMAGE:
            return missing("Image exceeds maximum file size of 50 MB", 400)
        name = hashlib.sha256(content).hexdigest() + PurePosixPath(image.filename).suffix.lower()
        self.comfy.uploads.append(image.filename)
        self.comfy.files.put(Place(kind, "", name), content)
        return web.json_response({"name": name, "subfolder": fields.get("subfolder", ""), "type": kind})


def missing(message: str, status: int = 404) -> web.Response:
    code = "NOT_FOUND" if status == 404 else "BAD_REQUEST"
    return web.json_response({"code": code, "message": message}, status=status)


class CloudStandIn(StandIn):
    """Comfy Cloud with one account, whose key is `key`, and one job at a time.

    `refusal` is what POST /api/prompt answers while it is set; `cancelled` are the jobs that were cancelled before
    they ran; `storage` is the other origin, with the `requests` that it got. `signed_elsewhere` sends every download
    to that address instead.
    """

    def __init__(self, key: str = KEY, names_previews: bool = True, **options: Any) -> None:
        super().__init__(api_key=key, **options)
        self.key = key
        self._names_previews = names_previews
        self.refusal: Refusal | None = None
        self.cancelled: dict[str, dict[str, Any]] = {}
        self.storage = Storage()
        self.signed_elsewhere: str | None = None

    async def start(self) -> None:
        await self.storage.start(self._host)
        await super().start()

    async def kill(self) -> None:
        await super().kill()
        await self.storage.stop()

    def _sockets(self) -> Sockets:
        return Account(self.misbehave, names_previews=self._names_previews)

    def _add_routes(self, app: web.Application) -> None:
        CloudRoutes(self).add_to(app)

    def _may_enter(self, request: web.Request) -> bool:
        if request.path == "/ws":
            return request.query.get("token") == self.key
        return request.path in OPEN_TO_ALL or request.headers.get("X-API-Key") == self.key

    def _prompt_id(self, body: dict[str, Any]) -> str:
        return new_id()

    def _extra_data(self, body: dict[str, Any]) -> Any:
        given = body.get("extra_data", {}).items()
        kept = {name: "[REDACTED]" if name in SECRETS else value for name, value in given}
        return {**kept, "client_id": ACCOUNT, "create_time": now_ms()}

    def job(self, job_id: str) -> dict[str, Any] | None:
        """What GET /api/jobs/{id} tells of a job."""
        engine: Engine = self.engine
        if job_id in self.cancelled:
            return {**self.cancelled[job_id], "status": "cancelled"}
        found = job(engine, job_id, whole=True)
        if found is None:
            return None
        items = {item[1]: item for item in (*engine.running.values(), *engine.pending)}
        items |= {prompt_id: tuple(entry["prompt"]) for prompt_id, entry in engine.history.items()}
        _, _, graph, extra, _ = items[job_id]
        told = {name: value for name, value in found.items() if name != "priority"}
        told |= {"update_time": now_ms(), "workflow": {"prompt": graph, "extra_data": extra}}
        if told["status"] == "pending":
            told["queue_position"] = sorted(engine.pending, key=lambda item: item[:2]).index(
                next(item for item in engine.pending if item[1] == job_id)
            )
        return told
