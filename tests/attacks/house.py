"""What Open WebUI offers to a tool, kept in memory: users, files, settings, events. And a call of the tool in it.

It has the modules, functions and arguments of Open WebUI 0.12.4 that a tool may use, and counts who uses them.
"""

import asyncio
import contextlib
import hashlib
import json
import sys
import tempfile
import types
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastapi  # noqa: F401  # Open WebUI has loaded it before any tool

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer
from tests.support.watching import Page

ADMINISTRATOR, OWNER, STRANGER = "administrator", "owner", "stranger"
ROLES = {ADMINISTRATOR: "admin", OWNER: "user", STRANGER: "user"}
SECRET = "the secret of this house"
KEPT_WHOLE = 8 * 2**20  # bytes of a stored file that are looked at


@dataclass
class Stored:
    """A file that the tool had stored."""

    id: str
    user_id: str
    filename: str
    content_type: str
    size: int
    data: bytes
    page: str = ""  # what its dialog shows, in Markdown
    metadata: Any = None


@dataclass
class House:
    """An Open WebUI for one test."""

    folder: Path
    stored: list[Stored] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)  # the ids of the files whose content was asked for
    settings: dict[str, Any] = field(default_factory=dict)
    permissions: set[tuple[str, str]] = field(default_factory=set)  # a user and what they may
    asked_permissions: list[tuple[str, str]] = field(default_factory=list)
    page: Page = field(default_factory=Page)
    # of its one chat; the tool remembers what was made in it
    chat_id: str = field(default_factory=lambda: f"temporary:{uuid.uuid4()}")
    state: SimpleNamespace = field(default_factory=SimpleNamespace)  # of the application
    connected: dict[str, tuple[str, Any]] = field(
        default_factory=dict
    )  # by session: a user and what their page answers
    groups: dict[str, list[str]] = field(default_factory=dict)  # a user and the names of their groups

    def put(self, data: bytes, name: str = "photo.png", owner: str = OWNER) -> str:
        """A file of a user; its id."""
        its_id = str(uuid.uuid4())
        path = self.folder / its_id
        path.write_bytes(data)
        self.files[its_id] = SimpleNamespace(
            id=its_id, user_id=owner, filename=name, path=str(path), meta={"name": name}, data={}, created_at=0
        )
        return its_id

    async def call(self, method: str, who: str = OWNER, /, **arguments: Any) -> Any:
        """What a method of the tool answers a user; `valves` and `mine` are the administrator's and the user's valves,
        `messages` those of the chat, and `attached` the files of the newest, as a message holds them."""
        tools = tool.Tools()
        tools.valves = tool.Tools.Valves(**arguments.pop("valves", {}))
        mine = tool.Tools.UserValves(**arguments.pop("mine", {}))
        takes_messages = "__messages__" in getattr(tools, method).__annotations__
        messages = arguments.pop("messages", [])
        attached = arguments.pop("attached", [])
        if takes_messages:
            arguments["__messages__"] = messages
        answer = await getattr(tools, method)(
            **arguments,
            __user__={"id": who, "role": ROLES[who], "name": who, "email": f"{who}@example.org", "valves": mine},
            __request__=SimpleNamespace(app=SimpleNamespace(state=self.state)),
            __event_emitter__=self.page,
            __metadata__={"chat_id": self.chat_id, "message_id": "m", "user_message": {"files": attached}},
            __chat_id__=self.chat_id,
            __message_id__="m",
        )
        return json.loads(answer)

    @property
    def shown(self) -> str:
        """All that the user saw, as one text."""
        return json.dumps([[kind, data] for _, kind, data in self.page.events], ensure_ascii=False, default=str)

    # What Open WebUI's modules do.

    async def _get_user(self, its_id: str, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(id=its_id, role=ROLES[its_id]) if its_id in ROLES else None

    async def _get_file(self, its_id: str, *_: Any, **__: Any) -> Any:
        return self.files.get(its_id)

    def _path(self, path: str) -> str:
        self.read.append(Path(path).name)
        return path

    async def _upload(
        self, request: Any, file: Any, metadata: Any = None, process: bool = True, user: Any = None, **_: Any
    ) -> Any:
        assert not process, "Open WebUI would read texts out of it"
        contents = file.file.read()  # whole, as Open WebUI does, which then writes, measures and hashes it
        size = len(contents)
        assert len(hashlib.sha256(contents).digest()) == 32
        start = contents[:KEPT_WHOLE]
        await asyncio.sleep(0)
        its_id = str(uuid.uuid4())
        kept = Stored(its_id, user.id, file.filename, file.content_type or "", size, start, metadata=metadata)
        self.stored.append(kept)
        meta = {"name": file.filename, "content_type": kept.content_type, "size": size, "data": metadata or {}}
        path = self.folder / its_id
        path.write_bytes(start)
        item = SimpleNamespace(
            id=its_id, user_id=user.id, filename=file.filename, meta=meta, data={}, path=str(path), created_at=1
        )
        self.files[its_id] = item
        return item

    async def _update_data(self, its_id: str, data: dict[str, Any], *_: Any, **__: Any) -> Any:
        for kept in self.stored:
            if kept.id == its_id:
                kept.page = str(data.get("content", ""))
        return self.files.get(its_id)

    async def _search(self, user_id: str, *_: Any, skip: int = 0, limit: int = 50, **__: Any) -> list[Any]:
        newest_first = [self.files[kept.id] for kept in reversed(self.stored) if kept.user_id == user_id]
        return newest_first[skip : skip + limit]

    async def _may(self, user_id: str, permission: str, for_all: dict[str, Any], *_: Any, **__: Any) -> bool:
        self.asked_permissions.append((user_id, permission))
        kind, _, name = permission.partition(".")
        return (user_id, permission) in self.permissions or bool(for_all.get(kind, {}).get(name))

    async def _may_read(self, *_: Any, **__: Any) -> bool:
        return False

    async def _groups(self, user_id: str, *_: Any, include_inherited: bool = False) -> list[Any]:
        assert include_inherited
        return [SimpleNamespace(id=f"id-of-{name}", name=name) for name in self.groups.get(user_id, [])]

    async def _setting(self, key: str, *_: Any, **__: Any) -> Any:
        return self.settings.get(key)

    async def _settings(self, *keys: str) -> Any:
        return {key: self.settings.get(key) for key in keys}

    def _sessions(self, room: str) -> list[str]:
        return [session for session, (who, _) in self.connected.items() if room == f"user:{who}"]

    async def _event_call(self, about: Any) -> Any:
        who, page = self.connected[about["session_id"]]
        assert (who, about["chat_id"], about["message_id"]) == (about["user_id"], self.chat_id, "m")
        return page

    async def _emitter(self, *_: Any, **__: Any) -> Any:
        return self.page

    def modules(self) -> dict[str, types.ModuleType]:
        """The modules of Open WebUI, by their names."""
        offered: dict[str, dict[str, Any]] = {
            "": {},
            "env": {"VERSION": "0.12.4", "WEBUI_SECRET_KEY": SECRET, "UVICORN_WORKERS": 1},
            "models": {},
            "models.files": {
                "Files": SimpleNamespace(
                    get_file_by_id=self._get_file,
                    update_file_data_by_id=self._update_data,
                    search_files=self._search,
                )
            },
            "models.users": {"UserModel": SimpleNamespace, "Users": SimpleNamespace(get_user_by_id=self._get_user)},
            "models.config": {"Config": SimpleNamespace(get=self._setting, get_many=self._settings)},
            "models.groups": {"Groups": SimpleNamespace(get_groups_by_member_id=self._groups)},
            "routers": {},
            "routers.files": {"upload_file_handler": self._upload},
            "socket": {},
            "socket.main": {
                "get_event_emitter": self._emitter,
                "get_session_ids_from_room": self._sessions,
                "get_event_call": self._event_call,
            },
            "storage": {},
            "storage.provider": {"Storage": SimpleNamespace(get_file=self._path)},
            "utils": {},
            "utils.access_control": {"has_permission": self._may},
            "utils.access_control.files": {"has_access_to_file": self._may_read},
        }
        modules: dict[str, types.ModuleType] = {}
        for name, contents in offered.items():
            full = f"open_webui.{name}".rstrip(".")
            modules[full] = types.ModuleType(full)
            vars(modules[full]).update(contents, __path__=[])
            parent, _, last = full.rpartition(".")
            if parent:
                setattr(modules[parent], last, modules[full])
        return modules


@contextlib.contextmanager
def house() -> Iterator[House]:
    """An Open WebUI in the place of the real one."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "open_webui"}
    with tempfile.TemporaryDirectory() as folder:
        home = House(Path(folder))
        for name in before:
            del sys.modules[name]
        sys.modules.update(home.modules())
        try:
            yield home
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == "open_webui"]:
                del sys.modules[name]
            sys.modules.update(before)


# The workflow of the hostile server in an administrator's valve: one node, which the server has.
GRAPH: dict[str, Any] = {
    "1": {"class_type": "Maker", "inputs": {"text": "a fox", "seed": 1}, "_meta": {"title": "Maker"}}
}


def valves(server: HostileServer | str, graph: Any = None, **more: Any) -> dict[str, Any]:
    """An administrator's valves for this server, with the workflow "w"."""
    address = server if isinstance(server, str) else server.url
    return {"endpoint": address, "workflows": json.dumps({"w": graph or GRAPH}), "max_wait_minutes": 0.15, **more}
