"""A real Open WebUI for the tests: started, filled and driven over the same interfaces as its own browser page.

::

    with running_open_webui() as owui:
        async with ModelServer() as model:
            await owui.use_model(model)
            await owui.create_tool("comfyui", "ComfyUI", source, public=True)
            bob = await owui.user("bob")
            turn = await owui.turn("a fox", user=bob, tools=["comfyui"])
            assert turn.files[0]["content_type"] == "image/png"

One :class:`Turn` is one message and its answer, with every event that the person's browser would have received. While
it runs (``async with owui.begin(...) as turn``) a test may wait for an event or press Stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import aiohttp
import socketio  # type: ignore[import-untyped]

from tests.support import older_pages
from tests.support.model_server import MODEL_ID, ModelServer, Request

HOST = "127.0.0.1"
ADMIN = "admin"
PASSWORD = "sandbox"

#: The Python of the release to start, where it is not the one installed beside the tests; see `tests.support.releases`.
PYTHON_OF_A_RELEASE = "OPEN_WEBUI_PYTHON"

START_SECONDS = 180.0  # a cold start on a slow machine; a warm one takes some 20 s
STOP_SECONDS = 5.0
REQUEST_SECONDS = 60.0
TURN_SECONDS = 60.0
LOG_TAIL = 40  # lines of the log in an error

#: Open WebUI leaves when its standard input closes, so that it outlives its starter by no means, not even a SIGKILL.
LAUNCHER = """
import os, signal, threading
def leave_with_parent():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=leave_with_parent, daemon=True).start()
from open_webui import app
app(prog_name="open-webui")
"""

#: Off is all that would reach beyond this machine, and all that would make the model see more than the chat.
QUIET = {
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "USE_SLIM_DOCKER": "true",
    "RAG_EMBEDDING_ENGINE": "openai",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "SCARF_NO_ANALYTICS": "true",
    "DO_NOT_TRACK": "true",
    "ANONYMIZED_TELEMETRY": "false",
    "ENABLE_OLLAMA_API": "false",
    "ENABLE_OPENAI_API": "true",
    "ENABLE_TITLE_GENERATION": "false",
    "ENABLE_TAGS_GENERATION": "false",
    "ENABLE_FOLLOW_UP_GENERATION": "false",
    "ENABLE_AUTOCOMPLETE_GENERATION": "false",
    "ENABLE_COMMUNITY_SHARING": "false",
    "ENABLE_EVALUATION_ARENA_MODELS": "false",
    # Models without an entry of their own are otherwise the administrator's alone.
    "BYPASS_MODEL_ACCESS_CONTROL": "true",
    # The model learns which chat a request belongs to.
    "ENABLE_FORWARD_USER_INFO_HEADERS": "true",
    "DEFAULT_USER_ROLE": "user",
    "DEFAULT_INTERFACE_SETTINGS": json.dumps({"showChangelog": False, "showUpdateToast": False}),
    "ENV": "prod",
    # An error at the start as plain lines, for the log's end in our own error.
    "TYPER_STANDARD_TRACEBACK": "1",
    "GLOBAL_LOG_LEVEL": "INFO",
}

#: What an environment may pass on; the rest (proxies, keys, other Open WebUI settings) stays outside.
INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TZ")

#: Counts writes of a chat's row and its size each time; installed through a connection of its own.
WRITE_LOG = """
CREATE TABLE IF NOT EXISTS chat_write_log (
    number INTEGER PRIMARY KEY AUTOINCREMENT, chat_id TEXT NOT NULL, seconds REAL NOT NULL, size INTEGER NOT NULL);
CREATE TRIGGER IF NOT EXISTS log_chat_insert AFTER INSERT ON chat BEGIN
    INSERT INTO chat_write_log (chat_id, seconds, size)
    VALUES (NEW.id, (julianday('now') - 2440587.5) * 86400.0, length(CAST(NEW.chat AS TEXT))); END;
CREATE TRIGGER IF NOT EXISTS log_chat_update AFTER UPDATE ON chat BEGIN
    INSERT INTO chat_write_log (chat_id, seconds, size)
    VALUES (NEW.id, (julianday('now') - 2440587.5) * 86400.0, length(CAST(NEW.chat AS TEXT))); END;
"""


#: Events that carry what the model itself writes.
ANSWER_EVENTS = ("response:completion", "chat:completion")


class OpenWebUIError(Exception):
    """Open WebUI did not start, or a turn could not be run."""


class ApiError(OpenWebUIError):
    """Open WebUI answered a request with an error."""

    def __init__(self, method: str, path: str, status: int, detail: str) -> None:
        super().__init__(f"{method} {path}: {status} {detail}")
        self.status = status
        self.detail = detail


@dataclass(frozen=True)
class User:
    """Someone who is signed in."""

    id: str
    name: str
    email: str
    role: str
    token: str = field(repr=False)
    password: str = field(default=PASSWORD, repr=False)


class Event(NamedTuple):
    """One event as the browser gets it, with the seconds since the message was sent."""

    seconds: float
    type: str
    data: Any


class Write(NamedTuple):
    """One write of the chat's row: when (seconds since the message was sent) and how long its content was."""

    seconds: float
    size: int


class OpenWebUI:
    """One Open WebUI process and what a test does with it.

    ``start`` and ``stop`` block; everything else is async and works on whatever event loop it is called from.
    """

    def __init__(
        self, data_dir: Path | str | None = None, *, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        """Without ``data_dir`` the data go to a temporary folder, which ``stop`` removes."""
        self._temporary = data_dir is None
        self.data_dir = Path(data_dir or tempfile.mkdtemp(prefix="open-webui-")).resolve()
        self.log = self.data_dir / "open-webui.log"
        self.port = port
        self.start_seconds = 0.0
        self.version: older_pages.Version = ()
        self._chosen_port = port
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._users: dict[str, User] = {}
        self._models: list[ModelServer] = []
        self._writes_logged = False

    @property
    def url(self) -> str:
        """The address of the page, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    @property
    def _in_file(self) -> bool:
        """Whether its database is the file in its folder."""
        return "DATABASE_URL" not in self._environment

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    # Process

    def start(self, timeout: float = START_SECONDS) -> Self:
        """Start the process and wait until it takes requests; the error shows the end of its log."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._stopped = False
        began = time.monotonic()
        for attempt in range(3):
            self.port = self._chosen_port or free_port()
            self._launch()
            if self._stopped:  # by another thread, while this one was launching
                self.stop(keep=True)
            try:
                self._wait_until_ready(began + timeout)
            except OpenWebUIError:
                taken = "address already in use" in self.log_tail(LOG_TAIL)
                self.stop(keep=True)
                # Another process may take a free port between our look and Open WebUI's bind.
                if taken and not self._chosen_port and attempt < 2:
                    continue
                raise
            self.start_seconds = time.monotonic() - began
            self.version = older_pages.parsed(json.loads(self._get("/api/version"))["version"])
            return self
        raise AssertionError("the last attempt either returns or raises")

    def stop(self, *, keep: bool = False) -> None:
        """End the process and its children; remove the data when they were temporary, unless ``keep``."""
        self._stopped = True
        process, self._process = self._process, None
        if process:
            _end_group(process, STOP_SECONDS)
            if process.stdin:
                process.stdin.close()
        if self._temporary and not keep:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def restart(self, timeout: float = START_SECONDS) -> Self:
        """End the process and start it again on the same data, port and accounts."""
        self._chosen_port = self.port
        self.stop(keep=True)
        return self.start(timeout)

    def log_tail(self, lines: int = LOG_TAIL) -> str:
        """The last lines of the log, without their colours."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()[-lines:])

    def _launch(self) -> None:
        origins = f"http://{HOST}:{self.port};http://localhost:{self.port}"
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= QUIET | {
            "HOME": str(self.data_dir),
            "DATA_DIR": str(self.data_dir),
            # Open WebUI empties and refills this folder at every start; by default it is the installed package's own.
            "STATIC_DIR": str(self.data_dir / "static"),
            "WEBUI_SECRET_KEY": self._secret(),
            "CORS_ALLOW_ORIGIN": origins,
            # A closed loopback port until use_model() says otherwise: the default would be a public address.
            "OPENAI_API_BASE_URL": f"http://{HOST}:9/v1",
            "OPENAI_API_KEY": "none",
        }
        environment |= self._environment
        python = os.environ.get(PYTHON_OF_A_RELEASE) or sys.executable
        command = [python, "-c", LAUNCHER, "serve", "--host", HOST, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.data_dir,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _secret(self) -> str:
        """The key that signs the tokens; kept beside the data, so that a kept folder can be started again."""
        path = self.data_dir / "secret-key"
        if not path.exists():
            path.write_text(secrets.token_hex(32))
            path.chmod(0o600)
        return path.read_text()

    def _get(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}{path}", timeout=5) as answer:
            return bytes(answer.read())

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            process = self._process
            if process is None:
                raise OpenWebUIError("Open WebUI was stopped while it started.")
            if process.poll() is not None:
                code = process.returncode
                raise OpenWebUIError(f"Open WebUI ended with exit code {code}. Its log ends:\n{self.log_tail()}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                self._get("/ready")
                return
            time.sleep(0.1)
        raise OpenWebUIError(f"Open WebUI did not come up in time. Its log ends:\n{self.log_tail()}")

    # People

    async def admin(self) -> User:
        """The administrator: signs up on the first call, signs in on data kept from before."""
        if ADMIN not in self._users:
            email = f"{ADMIN}@localhost.test"
            form = {"name": "Admin", "email": email, "password": PASSWORD}
            try:
                found = await self.request("POST", "/api/v1/auths/signup", json=form, anonymous=True)
            except ApiError as error:
                if error.status not in (400, 403):
                    raise
                found = await self.request("POST", "/api/v1/auths/signin", json=form, anonymous=True)
            self._users[ADMIN] = _user(found)
        return self._users[ADMIN]

    async def user(self, name: str, *, role: str = "user") -> User:
        """Someone by that name, made on the first call."""
        if name == ADMIN:
            return await self.admin()
        if name not in self._users:
            email = f"{name.lower()}@localhost.test"
            form = {"name": name.title(), "email": email, "password": PASSWORD, "role": role}
            try:
                found = await self.request("POST", "/api/v1/auths/add", json=form)
            except ApiError as error:
                if error.status != 400:
                    raise
                found = await self.request("POST", "/api/v1/auths/signin", json=form, anonymous=True)
            self._users[name] = _user(found)
        return self._users[name]

    @property
    def known_users(self) -> tuple[User, ...]:
        """Everybody who was asked for so far."""
        return tuple(self._users.values())

    # Requests

    async def request(
        self,
        method: str,
        path: str,
        *,
        user: User | None = None,
        anonymous: bool = False,
        timeout: float = REQUEST_SECONDS,
        **arguments: Any,
    ) -> Any:
        """One request as the administrator, or as ``user``; returns the parsed JSON, or raises :class:`ApiError`."""
        status, body, _ = await self.fetch(method, path, user=user, anonymous=anonymous, timeout=timeout, **arguments)
        try:
            value = json.loads(body) if body else None
        except ValueError:
            value = body.decode(errors="replace")
        if status >= 400:
            detail = value.get("detail", value) if isinstance(value, dict) else value
            raise ApiError(method, path, status, str(detail))
        return value

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        user: User | None = None,
        anonymous: bool = False,
        timeout: float = REQUEST_SECONDS,
        **arguments: Any,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request, whatever it answers: status, body, headers."""
        headers = dict(arguments.pop("headers", None) or {})
        if not anonymous:
            headers["Authorization"] = f"Bearer {(user or await self.admin()).token}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
            session.request(method, self.url + path, headers=headers, **arguments) as response,
        ):
            return response.status, await response.read(), response.headers

    # The model

    async def use_model(self, model: ModelServer | str, key: str = "none") -> None:
        """Let Open WebUI talk to this model server alone: one of the tests', or any address."""
        url = model if isinstance(model, str) else model.url
        form = {
            "ENABLE_OPENAI_API": True,
            "OPENAI_API_BASE_URLS": [url],
            "OPENAI_API_KEYS": [key],
            "OPENAI_API_CONFIGS": {"0": {"enable": True}},
        }
        await self.request("POST", "/openai/config/update", json=form)
        await self.request("GET", "/api/models?refresh=true")
        self._models = [] if isinstance(model, str) else [model]

    async def models(self) -> list[str]:
        """The ids of the models that a chat may choose."""
        answer = await self.request("GET", "/api/models?refresh=true")
        return [model["id"] for model in answer["data"]]

    async def set_default_tools(self, tools: Sequence[str], *, model: str | None = None) -> None:
        """Switch tools on in every new chat: of one model, or of all models."""
        if model is None:
            config = await self.request("GET", "/api/v1/configs/models")
            metadata = {**(config.get("DEFAULT_MODEL_METADATA") or {}), "toolIds": list(tools)}
            form = {"DEFAULT_MODELS": None, "DEFAULT_PINNED_MODELS": None, "MODEL_ORDER_LIST": [], **config}
            await self.request("POST", "/api/v1/configs/models", json=form | {"DEFAULT_MODEL_METADATA": metadata})
        else:
            everyone = [{"principal_type": "user", "principal_id": "*", "permission": "read"}]
            entry = {"id": model, "name": model, "meta": {"toolIds": list(tools)}, "params": {}}
            await self.request("POST", "/api/v1/models/create", json=entry | {"access_grants": everyone})
        await self.request("GET", "/api/models?refresh=true")

    # Tools

    async def create_tool(self, id: str, name: str, content: str, *, public: bool = False) -> dict[str, Any]:
        """Make a tool of Python source; ``public`` lets everybody use it."""
        form = {"id": id, "name": name, "content": content, "meta": {"description": name, "manifest": {}}}
        tool: dict[str, Any] = await self.request("POST", "/api/v1/tools/create", json=form)
        if public:
            await self.make_public(id)
        return tool

    async def update_tool(self, id: str, content: str, *, name: str | None = None) -> dict[str, Any]:
        """Give a tool new source."""
        form = {"id": id, "name": name or id, "content": content, "meta": {"description": name or id, "manifest": {}}}
        tool: dict[str, Any] = await self.request("POST", f"/api/v1/tools/id/{id}/update", json=form)
        return tool

    async def make_public(self, id: str, *, public: bool = True) -> None:
        """Let everybody use a tool, or nobody but its owner."""
        grants = [{"principal_type": "user", "principal_id": "*", "permission": "read"}] if public else []
        await self.request("POST", f"/api/v1/tools/id/{id}/access/update", json={"access_grants": grants})

    async def tool(self, id: str, *, user: User | None = None) -> dict[str, Any]:
        """A tool as stored."""
        tool: dict[str, Any] = await self.request("GET", f"/api/v1/tools/id/{id}", user=user)
        return tool

    async def tools(self, *, user: User | None = None) -> list[dict[str, Any]]:
        """The tools that a user may use."""
        tools: list[dict[str, Any]] = await self.request("GET", "/api/v1/tools/", user=user)
        return tools

    async def specification(self, id: str) -> list[dict[str, Any]]:
        """What a model is told of a tool's methods."""
        exported = await self.request("GET", "/api/v1/tools/export")
        specs: list[dict[str, Any]] = next(tool["specs"] for tool in exported if tool["id"] == id)
        return specs

    async def delete_tool(self, id: str, *, missing_ok: bool = False) -> None:
        """Delete a tool."""
        try:
            await self.request("DELETE", f"/api/v1/tools/id/{id}/delete")
        except ApiError as error:
            if not (missing_ok and error.status in (401, 404)):
                raise

    async def valves(self, id: str) -> dict[str, Any]:
        """A tool's stored settings."""
        return await self.request("GET", f"/api/v1/tools/id/{id}/valves") or {}

    async def valves_schema(self, id: str, *, user: User | None = None) -> dict[str, Any]:
        """The schema of a tool's settings, or of a user's own ones."""
        suffix = "/user/spec" if user else "/spec"
        return await self.request("GET", f"/api/v1/tools/id/{id}/valves{suffix}", user=user) or {}

    async def set_valves(self, id: str, **values: Any) -> dict[str, Any]:
        """Set a tool's settings; those not named return to their defaults."""
        stored: dict[str, Any] = await self.request("POST", f"/api/v1/tools/id/{id}/valves/update", json=values)
        return stored

    async def set_user_valves(self, id: str, user: User, **values: Any) -> dict[str, Any]:
        """Set a user's own settings of a tool."""
        path = f"/api/v1/tools/id/{id}/valves/user/update"
        stored: dict[str, Any] = await self.request("POST", path, user=user, json=values)
        return stored

    # Files and chats

    async def files(self, user: User) -> list[dict[str, Any]]:
        """A user's files, newest first (an administrator's list has everybody's, here filtered to his own)."""
        found: list[dict[str, Any]] = []
        for page in range(1, 1000):
            answer = await self.request("GET", f"/api/v1/files/?content=false&page={page}", user=user)
            found += answer["items"]
            if not answer["items"] or len(found) >= answer["total"]:
                break
        return [file for file in found if file["user_id"] == user.id]

    async def download(self, file: str, *, user: User | None = None) -> bytes:
        """The bytes of a file, by its id or its address."""
        path = file if file.startswith("/") else f"/api/v1/files/{file}/content"
        status, body, _ = await self.fetch("GET", path, user=user)
        if status != 200:
            raise ApiError("GET", path, status, body[:200].decode(errors="replace"))
        return body

    async def upload(self, name: str, data: bytes | BinaryIO, content_type: str, user: User) -> dict[str, Any]:
        """Upload a file as the browser does when one is dropped into a chat; returns the item for ``turn(files=…)``."""
        form = aiohttp.FormData()
        form.add_field("file", data, filename=name, content_type=content_type)
        stored = await self.request("POST", "/api/v1/files/?process=false", user=user, data=form)
        return {
            "type": "file",
            "id": stored["id"],
            "url": stored["id"],
            "name": name,
            "content_type": content_type,
            "status": "uploaded",
            "file": stored,
        }

    async def write_content(self, id: str, content: str) -> None:
        """Write what the page's dialog shows of a file, past the API, which would have it indexed by a model."""
        statement = "UPDATE file SET data = ? WHERE id = ?"
        await asyncio.to_thread(self._query, statement, json.dumps({"content": content}), id)

    async def delete_file(self, id: str, *, user: User | None = None) -> None:
        """Delete a file."""
        await self.request("DELETE", f"/api/v1/files/{id}", user=user)

    async def chat(self, id: str, *, user: User | None = None) -> dict[str, Any]:
        """A chat as stored."""
        chat: dict[str, Any] = (await self.request("GET", f"/api/v1/chats/{id}", user=user))["chat"]
        return chat

    # Turns

    @contextlib.asynccontextmanager
    async def begin(
        self,
        text: str,
        *,
        user: User | None = None,
        tools: Sequence[str] = (),
        model: str = MODEL_ID,
        after: Turn | None = None,
        files: Sequence[Mapping[str, Any]] = (),
        temporary: bool = False,
        params: Mapping[str, Any] | None = None,
        features: Mapping[str, Any] | None = None,
        answers: Mapping[str, Any] | None = None,
        folder: str | None = None,
    ) -> AsyncIterator[Turn]:
        """Send a message as the browser does, and leave while the answer is on its way.

        ``after`` continues the chat of an earlier turn, and ``folder`` is where a new chat begins. ``files`` are items
        of :meth:`upload`. ``answers`` says how the person answers a question of a tool (``{"confirmation": True}``). At
        the end of the block an answer that is still on its way is stopped.
        """
        turn = Turn(self, text, user or await self.admin(), model, temporary, after, dict(answers or {}))
        turn.folder_id = folder
        await self._log_writes()
        async with turn._connected():
            await turn._send(list(tools), [dict(file) for file in files], dict(params or {}), dict(features or {}))
            try:
                yield turn
            finally:
                if not turn.finished:
                    with contextlib.suppress(OpenWebUIError, aiohttp.ClientError, TimeoutError):
                        await turn.stop(timeout=10)

    async def turn(self, text: str, *, timeout: float = TURN_SECONDS, **arguments: Any) -> Turn:
        """Send a message (see :meth:`begin`) and wait for the end of its answer."""
        async with self.begin(text, **arguments) as turn:
            return await turn.done(timeout)

    async def _log_writes(self) -> None:
        if not self._writes_logged and self._in_file:
            await asyncio.to_thread(self._query, None)
            self._writes_logged = True

    async def writes(self, chat_id: str) -> list[tuple[int, float, int]]:
        """All logged writes of a chat's row: number, time as in ``time.time()``, length of the content. None are logged
        of a database server."""
        if not self._in_file:
            return []
        statement = "SELECT number, seconds, size FROM chat_write_log WHERE chat_id = ? ORDER BY number"
        return await asyncio.to_thread(self._query, statement, chat_id)

    def _query(self, statement: str | None, *values: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.data_dir / "webui.db", timeout=30)) as database, database:
            if statement is None:
                database.executescript(WRITE_LOG)
                return []
            return database.execute(statement, values).fetchall()

    def _requests_of(self, chat_id: str, since: float) -> list[Request]:
        return [
            request
            for model in self._models
            for request in model.requests
            if request.chat_id == chat_id and request.seconds >= since
        ]


class Turn:
    """One message and its answer."""

    def __init__(
        self,
        owui: OpenWebUI,
        text: str,
        user: User,
        model: str,
        temporary: bool,
        after: Turn | None,
        answers: dict[str, Any],
    ) -> None:
        self.owui = owui
        self.said = text
        self.user = user
        self.model = model
        self.temporary = temporary
        self.message_id = str(uuid.uuid4())
        self.user_message_id = str(uuid.uuid4())
        self.chat_id: str = after.chat_id if after else ""
        #: The folder in which the chat begins.
        self.folder_id: str | None = None
        #: Every event for the answer's message, in order of arrival.
        self.events: list[Event] = []
        #: The answer as stored; in a temporary chat, which is not stored, as a browser would hold it.
        self.message: dict[str, Any] = {}
        #: How long the answer took.
        self.seconds = 0.0
        #: The writes of the chat's row from the first event of this turn to its end.
        self.writes: list[Write] = []
        self._after = after
        self._answers = answers
        self._socket = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self._changed = asyncio.Condition()
        self._began = time.monotonic()
        self._began_at = time.time()
        self._first_write = 0

    # What came

    @property
    def finished(self) -> bool:
        """Whether Open WebUI has nothing more to do for this message."""
        return any(event.type == "chat:active" and event.data.get("active") is False for event in self.events)

    @property
    def began_at(self) -> float:
        """When the message was sent, as in ``time.time()``."""
        return self._began_at

    @property
    def statuses(self) -> list[dict[str, Any]]:
        """The status lines as they came, live-only ones included."""
        return [event.data for event in self.events if event.type == "status"]

    @property
    def status_texts(self) -> list[str]:
        """The texts of the status lines."""
        return [str(status.get("description", "")) for status in self.statuses]

    @property
    def files_events(self) -> list[Event]:
        """The events that set the message's files: previews and results."""
        return [event for event in self.events if event.type in ("files", "chat:message:files")]

    @property
    def previews(self) -> list[tuple[float, str]]:
        """The previews as they came: seconds and data URI."""
        return [
            (event.seconds, file["url"])
            for event in self.files_events
            for file in event.data.get("files") or []
            if str(file.get("url", "")).startswith("data:")
        ]

    @property
    def shown_files(self) -> list[dict[str, Any]]:
        """The files that the open page shows, by its own rule: an event replaces them, or adds in a temporary chat."""
        shown: list[dict[str, Any]] = []
        for event in self.files_events:
            files = list(event.data.get("files") or [])
            adds = older_pages.adds_files(self.owui.version, temporary=self.temporary)
            shown = [*shown, *files] if adds else files
        return shown

    @property
    def files(self) -> list[dict[str, Any]]:
        """The files of the answer's message at the end."""
        return self.message.get("files") or []

    @property
    def status_history(self) -> list[dict[str, Any]]:
        """The status lines that are stored with the message."""
        return self.message.get("statusHistory") or []

    @property
    def text(self) -> str:
        """What the model said."""
        if content := str(self.message.get("content") or ""):
            return older_pages.without_calls(content)
        parts = [
            part.get("text", "")
            for item in self.message.get("output") or []
            if item.get("type") == "message"
            for part in item.get("content") or []
        ]
        return "".join(parts)

    @property
    def error(self) -> str:
        """The error that stands in the message's red box, or nothing."""
        error = self.message.get("error")
        return str(error.get("content", error) if isinstance(error, dict) else error or "")

    @property
    def requests(self) -> list[Request]:
        """The model's log of this turn."""
        return self.owui._requests_of(self.chat_id, self._began)

    @property
    def tool_results(self) -> list[Any]:
        """What the model was given by the tools, JSON already parsed, in order."""
        if requests := self.requests:
            return [_parsed(result) for result in requests[-1].tool_results]
        # A model that is not the tests' own has no log; the message keeps the same texts.
        outputs = [item for item in self.message.get("output") or [] if item.get("type") == "function_call_output"]
        return [_parsed("".join(part.get("text", "") for part in item.get("output") or [])) for item in outputs]

    def timeline(self) -> str:
        """The events as lines to read, without the pieces of the model's own answer."""
        shown = [event for event in self.events if event.type not in ANSWER_EVENTS]
        return "\n".join(f"{event.seconds:7.2f}  {event.type:20}  {describe(event)}" for event in shown)

    # What one does

    async def wait_for(self, condition: Callable[[Event], Any], timeout: float = TURN_SECONDS) -> Event:
        """Wait for the first event that fulfils the condition; one that came already counts."""
        seen = 0
        found: list[Event] = []

        def look() -> bool:
            nonlocal seen
            new = self.events[seen:]
            seen = len(self.events)
            found.extend(event for event in new if condition(event))
            return bool(found) or self.finished

        try:
            async with self._changed:
                await asyncio.wait_for(self._changed.wait_for(look), timeout)
        except TimeoutError:
            raise TimeoutError(f"Not within {timeout} s.\n{self._story()}") from None
        if not found:
            raise OpenWebUIError(f"The answer ended before it came.\n{self._story()}")
        return found[0]

    async def stream(self, timeout: float = TURN_SECONDS) -> AsyncIterator[Event]:
        """The events one by one, as they come, until the answer ends."""
        seen = 0
        async with asyncio.timeout(timeout):
            while True:
                for event in self.events[seen:]:
                    seen += 1
                    yield event
                if self.finished and seen == len(self.events):
                    return
                async with self._changed:
                    if seen == len(self.events):
                        await self._changed.wait()

    async def stop(self, timeout: float = 30) -> Self:
        """Press Stop, and wait for the end."""
        await self.owui.request("POST", f"/api/tasks/chat/{self.chat_id}/stop", user=self.user, timeout=timeout)
        return await self.done(timeout)

    async def done(self, timeout: float = TURN_SECONDS) -> Self:
        """Wait for the end of the answer, and read the message as it was stored."""
        if not self.finished:
            with contextlib.suppress(OpenWebUIError):
                await self.wait_for(lambda _: False, timeout)
        self.seconds = self.events[-1].seconds
        self.message = await self._stored()
        self.writes = [
            Write(at - self._began_at, size)
            for number, at, size in await self.owui.writes(self.chat_id)
            if number > self._first_write
        ]
        return self

    # How it is done

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        self._socket.on("events", self._receive)
        await asyncio.wait_for(
            self._socket.connect(
                self.owui.url,
                auth={"token": self.user.token},
                transports=["websocket"],
                socketio_path="/ws/socket.io",
                wait_timeout=10,
            ),
            30,
        )
        try:
            yield
        finally:
            await asyncio.wait_for(self._socket.disconnect(), 10)

    async def _receive(self, payload: dict[str, Any]) -> Any:
        # Another tab's echo of a shared chat comes under the same name.
        if payload.get("message_id") != self.message_id or payload.get("shared"):
            return None
        event = payload.get("data") or {}
        kind = str(event.get("type"))
        async with self._changed:
            self.events.append(Event(time.monotonic() - self._began, kind, event.get("data")))
            self._changed.notify_all()
        # The value goes back to a tool that asked the person something.
        return self._answers.get(kind)

    async def _send(
        self, tools: list[str], files: list[dict[str, Any]], params: dict[str, Any], features: dict[str, Any]
    ) -> None:
        parent = self._after.message_id if self._after else None
        if self.temporary:
            self.chat_id = older_pages.temporary_id(self.owui.version, str(self._socket.get_sid()))
        elif self.chat_id:
            self._first_write = max((number for number, _, _ in await self.owui.writes(self.chat_id)), default=0)
        user_message = {
            "id": self.user_message_id,
            "parentId": parent,
            "childrenIds": [self.message_id],
            "role": "user",
            "content": self.said,
            "timestamp": int(time.time()),
            "models": [self.model],
            "user_id": self.user.id,
            **({"files": files} if files else {}),
        }
        form: dict[str, Any] = {
            "stream": params.get("stream_response", True),
            "model": self.model,
            "params": older_pages.call_params(self.owui.version, params),
            "tool_ids": tools,
            "tool_servers": [],
            "features": features,
            "variables": {},
            "session_id": self._socket.get_sid(),
            "folder_id": self.folder_id,
            "chat_id": self.chat_id or None,
            "id": self.message_id,
            "message_ids": older_pages.message_ids(self.owui.version, self.model, self.message_id),
            "parent_id": parent,
            "user_message": user_message,
            "background_tasks": {"follow_up_generation": False},
        }
        if self.temporary:
            # Nothing of a temporary chat is stored, so the page sends the whole of it.
            form["messages"] = self._conversation(files)
        self._began = time.monotonic()
        self._began_at = time.time()
        answer = await self.owui.request("POST", "/api/chat/completions", user=self.user, json=form)
        if not isinstance(answer, dict) or not answer.get("chat_id"):
            raise OpenWebUIError(f"Open WebUI did not take the message: {answer}")
        self.chat_id = answer["chat_id"]

    def _conversation(self, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pictures = [file for file in files if str(file.get("content_type", "")).startswith("image/")]
        content: Any = self.said
        if pictures:
            parts = [{"type": "image_url", "image_url": {"url": file["url"]}} for file in pictures]
            content = [{"type": "text", "text": self.said}, *parts]
        earlier: list[dict[str, Any]] = []
        if self._after:
            earlier = [*self._after._conversation([]), {"role": "assistant", "content": self._after.text}]
        return [*earlier, {"role": "user", "content": content}]

    async def _stored(self) -> dict[str, Any]:
        if self.temporary:
            outputs = [
                event.data["output"]
                for event in self.events
                if event.type in ANSWER_EVENTS and (event.data or {}).get("output")
            ]
            return {"files": self.shown_files, "statusHistory": self.statuses, "output": (outputs or [[]])[-1]}
        chat = await self.owui.chat(self.chat_id, user=self.user)
        message: dict[str, Any] = chat["history"]["messages"][self.message_id]
        return message

    def _story(self) -> str:
        return f"Events:\n{self.timeline()}\nOpen WebUI's log ends:\n{self.owui.log_tail(15)}"


@contextlib.contextmanager
def running_open_webui(data_dir: Path | str | None = None, **environment: str) -> Iterator[OpenWebUI]:
    """A started Open WebUI; further keywords are its environment variables (``ENABLE_CHANNELS="true"``)."""
    owui = OpenWebUI(data_dir, environment=environment)
    try:
        yield owui.start()
    finally:
        owui.stop()


def free_port() -> int:
    """A port on the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def describe(event: Event) -> str:
    """An event in a few words: texts as they are, pictures by their size."""
    data = event.data if isinstance(event.data, dict) else {}
    if event.type == "status":
        return f"{data.get('description', '')}{'  (done)' if data.get('done') else ''}"
    if event.type in ("files", "chat:message:files"):
        return ", ".join(_describe_file(file) for file in data.get("files") or []) or "no files"
    if event.type == "chat:active":
        return "begins" if data.get("active") else "ends"
    if event.type == "chat:list":
        return "the list of chats has changed"
    if event.type == "chat:message:error":
        return str((data.get("error") or {}).get("content", data))
    text = json.dumps(event.data, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:97]}…"


def _describe_file(file: Mapping[str, Any]) -> str:
    url = str(file.get("url", ""))
    if url.startswith("data:"):
        kind = url[5:].partition(";")[0]
        return f"preview {kind}, {len(url) * 3 // 4096} KB"
    return f"{file.get('name') or file.get('id') or url} ({file.get('content_type') or file.get('type')})"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _user(found: Mapping[str, Any]) -> User:
    return User(found["id"], found["name"], found["email"], found["role"], found["token"])


def _end_group(process: subprocess.Popen[bytes], patience: float) -> None:
    """End a process that leads a group of its own, and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
