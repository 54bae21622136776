"""Every route of the protocol, each also under /api."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import WSMsgType, web
from PIL import Image

from .engine import new_id
from .files import ANNOTATED, KINDS, File, OutsideFolder, Place, content_type, inside
from .jobs import cancel, job, jobs_page
from .release import MEMORY

if TYPE_CHECKING:
    from .server import StandIn

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DISABLED = "Assets system is disabled. Start the server with --enable-assets to use this feature."


class Routes:
    def __init__(self, comfy: StandIn) -> None:
        self.comfy = comfy

    def add_to(self, app: web.Application) -> None:
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/ws", self.ws),
            ("GET", "/prompt", self.queue_size),
            ("POST", "/prompt", self.post_prompt),
            ("GET", "/queue", self.queue),
            ("POST", "/queue", self.change_queue),
            ("POST", "/interrupt", self.interrupt),
            ("GET", "/history", self.history),
            ("GET", "/history/{prompt_id}", self.history_of),
            ("POST", "/history", self.change_history),
            ("POST", "/free", self.free),
            ("GET", "/object_info", self.object_info),
            ("GET", "/object_info/{name}", self.object_info_of),
            ("GET", "/models", self.model_folders),
            ("GET", "/models/{folder}", self.models),
            ("GET", "/embeddings", self.embeddings),
            ("GET", "/view_metadata/{folder}", self.view_metadata),
            ("GET", "/system_stats", self.system_stats),
            ("GET", "/features", self.features),
            ("GET", "/users", self.users),
            ("GET", "/settings", self.nothing),
            ("GET", "/i18n", self.nothing),
            ("GET", "/workflow_templates", self.examples),
            ("GET", "/extensions", self.no_list),
            ("GET", "/userdata", self.userdata),
            ("GET", "/userdata/{file}", self.userdata_file),
            ("POST", "/userdata/{file}", self.save_userdata),
            ("GET", "/view", self.view),
            ("POST", "/upload/image", self.upload_image),
            ("POST", "/upload/mask", self.upload_mask),
        ]
        if self.comfy.facts.jobs:
            routes += [("GET", "/global_subgraphs", self.nothing), ("GET", "/node_replacements", self.replaced)]
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
            app.router.add_route(method, f"/api{path}", handler)
            if method == "GET" and path != "/ws":
                app.router.add_route("HEAD", path, handler)
                app.router.add_route("HEAD", f"/api{path}", handler)
        app.router.add_get("/templates/{file}", self.template)
        app.router.add_get("/api/workflow_templates/{package}/{file}", self.example)
        if self.comfy.facts.jobs:
            app.router.add_get("/api/jobs", self.jobs)
            app.router.add_get("/api/jobs/{job_id}", self.job)
            app.router.add_post("/api/jobs/cancel", self.cancel_jobs)
            app.router.add_post("/api/jobs/{job_id}/cancel", self.cancel_job)
            app.router.add_get("/api/assets", self.assets)

    # --- the websocket ---

    async def ws(self, request: web.Request) -> web.StreamResponse:
        comfy, room, engine = self.comfy, self.comfy.room, self.comfy.engine
        if comfy.misbehave.refuse_websocket is not None:
            return web.Response(status=comfy.misbehave.refuse_websocket, text="no websocket here")
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        client = request.rel_url.query.get("clientId") or new_id().replace("-", "")
        entry = (client, ws, request.transport)
        room.open.append(entry)  # type: ignore[arg-type]
        room.by_client[client] = ws
        room.flags[client] = {}
        try:
            room.send("status", {**engine.status, "sid": client}, client)
            if engine.client == client and engine.last_node is not None:
                room.send("executing", {"node": engine.last_node}, client)
            first = True
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    told = parsed(message.data)
                    if first and isinstance(told, dict) and told.get("type") == "feature_flags":
                        room.flags[client] = told.get("data") or {}
                        room.send("feature_flags", comfy.facts.features, client)
                    first = False
        finally:
            room.open.remove(entry)  # type: ignore[arg-type]
            # As on the real server by name only: whoever came later with the same id is forgotten with this one.
            room.by_client.pop(client, None)
            room.flags.pop(client, None)
        return ws

    # --- prompts and the queue ---

    async def post_prompt(self, request: web.Request) -> web.StreamResponse:
        comfy = self.comfy
        body = json.loads(await request.text())
        answer = comfy.submit(body)
        comfy.prompts.append(body)
        if comfy.misbehave.lose_post_answer:
            comfy.misbehave.lose_post_answer = False
            if request.transport is not None:
                request.transport.abort()
        if comfy.misbehave.post_answer:
            status, kind, text = comfy.misbehave.post_answer
            comfy.misbehave.post_answer = None
            return web.Response(status=status, content_type=kind, text=text)
        return web.json_response(answer)

    async def queue_size(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"exec_info": {"queue_remaining": self.comfy.engine.remaining}})

    async def queue(self, request: web.Request) -> web.StreamResponse:
        engine = self.comfy.engine
        return web.json_response({"queue_running": list(engine.running.values()), "queue_pending": engine.pending})

    async def change_queue(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body.get("clear"):
            self.comfy.engine.clear()
        for prompt_id in body.get("delete", []):
            self.comfy.deleted.append(prompt_id)
            self.comfy.engine.delete(prompt_id)
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        body = parsed(text) if text else None
        self.comfy.interrupts.append(body)
        self.comfy.engine.interrupt((body if body is not None else {}).get("prompt_id") or None)
        return web.Response()

    async def history(self, request: web.Request) -> web.StreamResponse:
        items = list(self.comfy.history.items())
        query = request.rel_url.query
        count = int(query["max_items"]) if "max_items" in query else len(items)
        start = int(query["offset"]) if "offset" in query else max(0, len(items) - count)
        return web.json_response(dict(items[start : start + count]))

    async def history_of(self, request: web.Request) -> web.StreamResponse:
        prompt_id = request.match_info["prompt_id"]
        history = self.comfy.history
        return web.json_response({prompt_id: history[prompt_id]} if prompt_id in history else {})

    async def change_history(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body.get("clear"):
            self.comfy.history.clear()
        for prompt_id in body.get("delete", []):
            self.comfy.history.pop(prompt_id, None)
        return web.Response()

    async def free(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.comfy.freed.append(body)
        if body.get("free_memory"):
            self.comfy.engine.forget = True
        return web.Response()

    # --- jobs ---

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(jobs_page(self.comfy.engine, request.rel_url.query))

    async def job(self, request: web.Request) -> web.StreamResponse:
        found = job(self.comfy.engine, request.match_info["job_id"], whole=True)
        if found is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(found)

    async def cancel_job(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"cancelled": cancel(self.comfy.engine, request.match_info["job_id"])})

    async def cancel_jobs(self, request: web.Request) -> web.StreamResponse:
        ids = (await request.json())["job_ids"]
        cancelled = [cancel(self.comfy.engine, job_id) for job_id in ids]
        return web.json_response({"cancelled": any(cancelled)})

    async def assets(self, request: web.Request) -> web.StreamResponse:
        error = {"code": "SERVICE_DISABLED", "message": DISABLED, "details": {}}
        return web.json_response({"error": error}, status=503)

    # --- what the server is and has ---

    async def object_info(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.comfy.misbehave.object_info_delay)
        definitions = self.comfy.engine.definitions
        return web.json_response({name: definitions[name] for name in definitions})

    async def object_info_of(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.comfy.misbehave.object_info_delay)
        name, definitions = request.match_info["name"], self.comfy.engine.definitions
        return web.json_response({name: definitions[name]} if name in definitions else {})

    async def model_folders(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(list(self.comfy.facts.folders))

    async def models(self, request: web.Request) -> web.StreamResponse:
        folder = request.match_info["folder"]
        if folder not in self.comfy.facts.folders:
            return web.Response(status=404)
        return web.json_response(self.comfy.models.get(folder, []))

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        names = self.comfy.models.get("embeddings", [])
        return web.json_response([str(PurePosixPath(name).with_suffix("")) for name in names])

    async def replaced(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.comfy.node_replacements)

    async def view_metadata(self, request: web.Request) -> web.StreamResponse:
        name = request.rel_url.query.get("filename", "")
        if name not in self.comfy.models.get(request.match_info["folder"], []) or not name.endswith(".safetensors"):
            return web.Response(status=404)
        return web.json_response({"modelspec.title": PurePosixPath(name).stem, **self.comfy.metadata.get(name, {})})

    async def system_stats(self, request: web.Request) -> web.StreamResponse:
        facts = self.comfy.facts
        system = {
            **facts.system,
            "comfyui_version": facts.version,
            "ram_total": MEMORY,
            "ram_free": MEMORY // 2,
            "python_version": "3.11.7",
            "pytorch_version": "2.13.0+cpu",
            "embedded_python": False,
            "argv": ["main.py"],
        }
        return web.json_response({"system": system, "devices": self.comfy.devices})

    async def features(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.comfy.facts.features)

    async def users(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"storage": "server", "migrated": bool(self.comfy.userdata)})

    async def nothing(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async def no_list(self, request: web.Request) -> web.StreamResponse:
        return web.json_response([])

    # --- what comes with the server: static files, so no path under /api but for examples ---

    async def template(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name == "index.json" and self.comfy.gallery is not None:
            return web.json_response(self.comfy.gallery)
        return self._template_file(name)

    async def examples(self, request: web.Request) -> web.StreamResponse:
        packages: dict[str, list[str]] = {}
        for path in self.comfy.template_files:
            package, _, name = path.rpartition("/")
            if package:
                packages.setdefault(package, []).append(name)
        return web.json_response(packages)

    async def example(self, request: web.Request) -> web.StreamResponse:
        return self._template_file(f"{request.match_info['package']}/{request.match_info['file']}")

    def _template_file(self, name: str) -> web.StreamResponse:
        graph = self.comfy.template_files.get(name.removesuffix(".json"))
        if graph is None or not name.endswith(".json"):
            return web.Response(status=404)
        return web.json_response(graph)

    # --- saved workflows ---

    async def userdata(self, request: web.Request) -> web.StreamResponse:
        query = request.rel_url.query
        if not query.get("dir"):
            return web.Response(status=400, text="Directory not provided")
        try:
            folder = inside(query["dir"])
        except OutsideFolder:
            return web.Response(status=403, text="Invalid directory")
        inner = {
            name.removeprefix(f"{folder}/"): file
            for name, file in self.comfy.userdata.items()
            if name.startswith(f"{folder}/")
        }
        if not inner:
            return web.Response(status=404, text="Directory not found")
        if query.get("recurse", "").lower() != "true":
            inner = {name: file for name, file in inner.items() if "/" not in name}
        if query.get("full_info", "").lower() == "true":
            return web.json_response([self._file_info(name, file) for name, file in inner.items()])
        if query.get("split", "").lower() == "true":
            return web.json_response([[name, *name.split("/")] for name in inner])
        return web.json_response(list(inner))

    def _file_info(self, path: str, file: File) -> dict[str, Any]:
        moment = file.modified_ns // 1_000_000 if self.comfy.facts.milliseconds else file.modified
        return {"path": path, "size": len(file.content), "modified": moment, "created": moment}

    async def userdata_file(self, request: web.Request) -> web.StreamResponse:
        path = user_path(request)
        if path is None:
            return web.Response(status=403)
        file = self.comfy.userdata.get(path)
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.content, content_type="application/json")

    async def save_userdata(self, request: web.Request) -> web.StreamResponse:
        path = user_path(request)
        if path is None:
            return web.Response(status=403)
        query = request.rel_url.query
        if query.get("overwrite") == "false" and path in self.comfy.userdata:
            return web.Response(status=409, text="File already exists")
        self.comfy.userdata[path] = File(await request.read())
        info = self._file_info(path, self.comfy.userdata[path])
        return web.json_response(info if query.get("full_info", "").lower() == "true" else path)

    # --- pictures ---

    async def view(self, request: web.Request) -> web.StreamResponse:
        comfy = self.comfy
        if request.method == "HEAD":
            return await self._viewed(request)
        if comfy.misbehave.view_answers:
            status, kind, text = comfy.misbehave.view_answers.pop(0)
            after = comfy.misbehave.retry_after
            headers = None if after is None else {"Retry-After": after}
            return web.Response(status=status, content_type=kind, text=text, headers=headers)
        comfy.views += 1
        comfy.most_views_at_once = max(comfy.most_views_at_once, comfy.views)
        try:
            return await self._viewed(request)
        finally:
            comfy.views -= 1

    async def _viewed(self, request: web.Request) -> web.StreamResponse:
        query = request.rel_url.query
        await asyncio.sleep(self.comfy.misbehave.view_delay)
        if "filename" not in query:
            return web.Response(status=404)
        name, kind = query["filename"], query.get("type", "output")
        annotation = ANNOTATED.fullmatch(name)
        if annotation:
            name, kind = annotation["name"], annotation["kind"]
        if name.startswith("/") or ".." in name or kind not in KINDS:
            return web.Response(status=400)
        try:
            place = Place(kind, inside(query.get("subfolder", "")), PurePosixPath(name).name)
        except OutsideFolder:
            return web.Response(status=403)
        file = self.comfy.files.get(place)
        if file is None or self.comfy.misbehave.misses(place.name):
            return web.Response(status=404)
        headers = {"Content-Disposition": f'filename="{place.name}"'}
        if "preview" in query:
            body, kind = await asyncio.to_thread(encoded_again, file.content, query["preview"], query.get("channel"))
            return web.Response(body=body, content_type=kind, headers=headers)
        if query.get("channel") in ("rgb", "a"):
            body = await asyncio.to_thread(one_channel, file.content, query["channel"])
            return web.Response(body=body, content_type="image/png", headers=headers)
        return await self._file_response(request, place, file, headers)

    async def _file_response(
        self, request: web.Request, place: Place, file: File, headers: dict[str, str]
    ) -> web.StreamResponse:
        facts, kind = self.comfy.facts, content_type(place.name)
        if place.name.lower().endswith(facts.downloaded):
            kind = "application/octet-stream"
            if facts.guards_downloads:
                headers["Content-Disposition"] = f'attachment; filename="{place.name}"'
        if facts.guards_downloads:
            headers["X-Content-Type-Options"] = "nosniff"
        headers |= {"Etag": file.etag, "Last-Modified": formatdate(file.modified, usegmt=True)}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers={**headers, "Content-Type": kind})
        headers["Accept-Ranges"] = "bytes"
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        body, status, whole = file.content, 200, len(file.content)
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or whole - 1), whole - 1)
            body, status = body[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{whole}"
        if not self.comfy.misbehave.truncate_view:
            return web.Response(status=status, body=body, content_type=kind, headers=headers)
        broken = web.StreamResponse(status=status, headers={**headers, "Content-Type": kind})
        broken.content_length = len(body)
        await broken.prepare(request)
        await broken.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return broken

    async def upload_image(self, request: web.Request) -> web.StreamResponse:
        fields = await upload_fields(request)
        return self._upload(fields, fields.get("image"))

    async def upload_mask(self, request: web.Request) -> web.StreamResponse:
        fields = await upload_fields(request)
        original = json.loads(fields["original_ref"])
        place = Place(original.get("type", "output"), inside(original.get("subfolder", "")), original["filename"])
        file = self.comfy.files.get(place)
        image = fields.get("image")
        if isinstance(image, web.FileField) and file is not None:
            content = await asyncio.to_thread(with_alpha, file.content, image.file.read())
            return self._upload(fields, image, content)
        return self._upload(fields, image, None, write=False)

    def _upload(
        self, fields: dict[str, Any], image: Any, content: bytes | None = None, write: bool = True
    ) -> web.StreamResponse:
        if not isinstance(image, web.FileField) or not image.filename:
            return web.Response(status=400)
        kind = fields.get("type", "input")
        if kind not in KINDS:
            raise ValueError(kind)
        try:
            subfolder = inside(fields.get("subfolder", ""))
        except OutsideFolder:
            return web.Response(status=400)
        content = image.file.read() if content is None else content
        place = Place(kind, subfolder, image.filename)
        self.comfy.uploads.append("/".join(filter(None, (subfolder, image.filename))))
        if fields.get("overwrite") not in ("true", "1"):
            place = self._free_place(place, content)
        if write:
            self.comfy.files.put(place, content)
        return web.json_response({"name": place.name, "subfolder": place.subfolder, "type": place.kind})

    def _free_place(self, place: Place, content: bytes) -> Place:
        """The same name for the same bytes, else `name (1).png`."""
        path, number = PurePosixPath(place.name), 0
        while True:
            taken = self.comfy.files.get(place)
            if taken is None or digest(taken.content) == digest(content):
                return place
            number += 1
            place = Place(place.kind, place.subfolder, f"{path.stem} ({number}){path.suffix}")


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def user_path(request: web.Request) -> str | None:
    try:
        return inside(unquote(request.match_info["file"]))
    except OutsideFolder:
        return None


async def upload_fields(request: web.Request) -> dict[str, Any]:
    return dict(await request.post()) if request.content_type.startswith("multipart/") else {}


def encoded_again(content: bytes, wanted: str, channel: str | None) -> tuple[bytes, str]:
    """`jpeg;50`, `webp;90`: anything else, and anything with an alpha channel to keep, becomes WebP."""
    name, _, quality = wanted.partition(";")
    image: Image.Image = Image.open(io.BytesIO(content))
    file_format = "JPEG" if name == "jpeg" and channel in (None, "rgb") else "WEBP"
    if file_format == "JPEG" or channel == "rgb":
        image = image.convert("RGB")
    stream = io.BytesIO()
    image.save(stream, file_format, quality=int(quality) if quality.isdigit() else 90)
    return stream.getvalue(), f"image/{file_format.lower()}"


def one_channel(content: bytes, channel: str) -> bytes:
    image = Image.open(io.BytesIO(content))
    if channel == "rgb":
        result = image.convert("RGB")
    else:
        result = Image.new("RGBA", image.size)
        result.putalpha(image.convert("RGBA").getchannel("A"))
    result.info = {}
    stream = io.BytesIO()
    result.save(stream, "PNG")
    return stream.getvalue()


def with_alpha(original: bytes, mask: bytes) -> bytes:
    """The original picture with the uploaded one's transparency."""
    image = Image.open(io.BytesIO(original)).convert("RGBA")
    alpha = Image.open(io.BytesIO(mask)).convert("RGBA").getchannel("A")
    image.putalpha(alpha.resize(image.size))
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=4)
    return stream.getvalue()
