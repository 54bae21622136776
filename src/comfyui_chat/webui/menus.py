"""The menus of valves: what there is to choose on Open WebUI's page of valves.

Open WebUI calls a class method of the valves, named in the schema, when the page opens, and waits
for it with everything else. So no server is asked there: the menus hold what calls of this process
last saw (`note_call`, catalogue/last_seen.py), and the bundled workflows, which are always there.
Besides these each menu has an empty choice, and the value that is stored, whether or not it was
seen: a `<select>` would show nothing for it.

Users see in their menus what they may use: what their own last call saw, or, where the
administrator has set no rules about rights, what anybody's call saw of the administrator's servers.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..bounded import BoundedDict
from ..catalogue.entries import bundled_entries
from ..catalogue.last_seen import models_seen, workflows_seen
from ..catalogue.request import CHANGING, TEXT_TO_IMAGE
from ..logs import log
from ..names import MODEL_FILE, shortened
from ..server.client import ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import Pool
from ..values import object_of
from .tolerant import Tolerant

MOST_IN_MENU = 300
LONGEST_CHOICE = 200  # characters of a name; a longer one is left out
REMEMBERED_CALLERS = 1000
EDIT_TASKS = (*CHANGING, "inpaint")
# A module of a tool is called after its id, since Open WebUI 0.12 with a number behind it.
MODULE_OF_TOOL = re.compile(r"tool_(.+?)(?:_[0-9a-f]{32})?")
# The valve of each workflow that may be taken over of Open WebUI's image settings, and its name; the
# word that leaves it to the installed models all the same.
TAKEN_OVER = {"workflow": "open-webui", "edit_workflow": "open-webui-edit"}
AUTO = "auto"
Choice = dict[str, str]  # of a menu: {"value": "flux2", "label": "flux2"}


@dataclass(frozen=True)
class LastCall:
    """What a call could use."""

    servers: tuple[Endpoint, ...]  # all that it could have run on
    workflows: tuple[str, ...] = ()  # names of those pasted into the administrator's valve
    own_workflows: tuple[str, ...] = ()  # and into the caller's
    own_address: bool = False  # whether the server was the caller's own
    rules: str = ""  # about rights, by which that is what the caller may use


_CALLS = BoundedDict[str, LastCall](REMEMBERED_CALLERS)  # by user id
ADMINISTRATORS = ""  # in place of a user id: the last call that saw all of the administrator's


def note_call(user_id: str, sees_all: bool, call: LastCall) -> None:
    """Remember what a call could use; `sees_all` where that is all that the administrator has.
    What was seen by other rules is forgotten.
    """
    for caller in [caller for caller, last in _CALLS.items() if last.rules != call.rules]:
        _CALLS.pop(caller, None)
    _CALLS.pop(user_id, None)  # the one that is set last is the newest
    if user_id:
        _CALLS[user_id] = call
    if sees_all and not call.own_address:
        _CALLS.pop(ADMINISTRATORS, None)
        _CALLS[ADMINISTRATORS] = replace(call, own_workflows=())


class WithMenus(Tolerant):
    """Valves some of which are menus. The methods are named in the schema."""

    everybodys: ClassVar[bool] = False  # whether these are the administrator's valves

    @classmethod
    def model_menu(cls, __user__: Any = None) -> list[Choice]:
        """Models."""
        found = (
            name
            for server in cls._servers(__user__)
            for name in models_seen(server)
            if MODEL_FILE.search(name)
        )
        return cls._menu("model", "(chosen among those installed)", found, __user__)

    @classmethod
    def workflow_menu(cls, __user__: Any = None) -> list[Choice]:
        """Workflows for new pictures."""
        return cls._workflow_menu("workflow", TEXT_TO_IMAGE, __user__)

    @classmethod
    def edit_workflow_menu(cls, __user__: Any = None) -> list[Choice]:
        """Workflows that change pictures."""
        return cls._workflow_menu("edit_workflow", EDIT_TASKS, __user__)

    @classmethod
    def _workflow_menu(cls, valve: str, tasks: tuple[str, ...], user: Any) -> list[Choice]:
        """Workflows. Where Open WebUI's image settings name one, an empty valve leaves it to them,
        and "auto" to the installed models.
        """
        found = list(cls._workflows(tasks, user))
        empty = "(chosen by the installed models)"
        if cls.everybodys and TAKEN_OVER[valve] in found:
            empty = "(the one of Open WebUI's image settings)"
            found.insert(0, AUTO)
        return cls._menu(valve, empty, found, user)

    @classmethod
    def server_menu(cls, __user__: Any = None) -> list[Choice]:
        """The administrator's servers."""
        call = cls._last_call(__user__)
        found: list[str] = []
        if call and not call.own_address and len(call.servers) > 1:
            found = [endpoint.name for endpoint in call.servers if not endpoint.guessed]
        return cls._menu("server", "(the one that is done soonest)", found, __user__)

    @classmethod
    def _menu(cls, valve: str, empty: str, found: Iterable[str], user: Any) -> list[Choice]:
        """The choices of a valve: none, the stored one, and what was found, each once."""
        choices = [{"value": "", "label": empty}]
        stored = str(cls._stored(user).get(valve) or "")
        names = dict.fromkeys(name for name in found if 0 < len(name) <= LONGEST_CHOICE)
        if stored.strip() and stored not in names:
            choices.append({"value": stored, "label": f"{shortened(stored)} (not seen lately)"})
        shown = list(names)[:MOST_IN_MENU]
        if stored in names and stored not in shown:
            shown.append(stored)
        return choices + [{"value": name, "label": name} for name in shown]

    @classmethod
    def _workflows(cls, tasks: tuple[str, ...], user: Any) -> Iterator[str]:
        """The names of workflows for these tasks, the likeliest first: pasted, saved on servers,
        bundled, templates.
        """
        call = cls._last_call(user)
        if call:
            yield from (*call.own_workflows, *call.workflows)
        seen = [entry for server in cls._servers(user) for entry in workflows_seen(server, tasks)]
        yield from (entry.name for entry in seen if not entry.template)
        rules = [endpoint.allowed for endpoint in call.servers] if call else []
        for entry in bundled_entries():
            is_allowed = not rules or any(allowed.workflow(entry.name) for allowed in rules)
            if entry.task in tasks and is_allowed:
                yield entry.name
        yield from (entry.name for entry in seen if entry.template)

    @classmethod
    def _last_call(cls, user: Any) -> LastCall | None:
        """The call that saw what may be told on this page."""
        everybodys = _CALLS.get(ADMINISTRATORS)
        if cls.everybodys:
            return everybodys
        own = _CALLS.get(str(object_of(user).get("id") or ""))
        if own:
            return own
        return everybodys if everybodys and not everybodys.rules.strip() else None

    @classmethod
    def _servers(cls, user: Any) -> list[ComfyUIServer]:
        """The servers of that call that this process remembers."""
        call = cls._last_call(user)
        if call is None:
            return []
        pool = Pool.here()
        remembered = [pool.remembered(endpoint) for endpoint in call.servers]
        return [server for server in remembered if server]

    @classmethod
    def _stored(cls, user: Any) -> Mapping[str, Any]:
        """What is stored of these valves. A user's come with the user; the administrator's are
        read by their key from Open WebUI's database.
        """
        named = MODULE_OF_TOOL.fullmatch(cls.__module__)
        if named is None:  # not loaded by Open WebUI
            return {}
        stored: Any = None
        # Open WebUI's internals may change: a menu does without what is stored then
        try:
            stored = _administrators(named[1]) if cls.everybodys else _users(named[1], user)
        except Exception as error:
            log.info("the stored valves could not be read: %s", type(error).__name__)
        return object_of(stored)


def _users(tool_id: str, user: Any) -> Any:
    settings = object_of(object_of(user).get("settings"))
    return _decrypted(object_of(object_of(settings.get("tools")).get("valves")).get(tool_id))


def _administrators(tool_id: str) -> Any:
    """One value by its key, read at once: whoever shows the page cannot wait for anything."""
    from open_webui.internal.db import SessionLocal
    from open_webui.models.tools import Tool

    with SessionLocal() as session:
        return _decrypted(session.query(Tool.valves).filter_by(id=tool_id).scalar())


def _decrypted(stored: Any) -> Any:
    """Stored valves as they are; Open WebUI may have encrypted them (since 0.10)."""
    if not isinstance(stored, str):
        return stored
    with contextlib.suppress(ImportError):
        from open_webui.utils.valves import decrypt_valves

        return decrypt_valves(stored)
    return {}
