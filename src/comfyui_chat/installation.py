"""Into Open WebUI: this very file, installed over its REST interface, or written for its import.

- `command_install` creates or updates the tool in a running Open WebUI, as 0.9.6 to 0.12.4 have it,
  sets the valves that were given, and looks whether Open WebUI finds the methods in it.
- `command_export` writes the JSON file that Workspace > Tools > Import JSON takes, the same that
  build.py writes as comfyui_tool.json.

Both take the file that they run from; run from the package, the one that build.py wrote last.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from .errors import AccessRefused, BadArgument, UnexpectedAnswer
from .names import quoted, shortened
from .server.endpoint import Endpoint
from .server.faults import unanswered
from .tasks import ANSWER_SECONDS
from .threads import FILES
from .values import object_of
from .webui.permission import SHARING
from .webui.servers import read_endpoints
from .webui.settings import valve_problems
from .webui.tools import Tools
from .webui.valves import Valves

VERSION = "0.1.0"  # as in the front matter
# Under which Open WebUI keeps the tool, unless it was imported by its address: then Open WebUI calls
# it after the file, "comfyui_tool".
TOOL_ID = "comfyui"
ASK_WHO = "E-mail address of an administrator of Open WebUI (empty: a token or API key): "


def built_file() -> Path:
    """The file to install: the one that this runs from, or, where that is a module of the package,
    comfyui_tool.py in the root of the repository. Raises `BadArgument` where it was not built.
    """
    running = Path(__file__).resolve()
    if running.name != "installation.py":
        return running
    root = running.parents[2]
    built = root / "comfyui_tool.py"
    if not built.is_file():
        raise BadArgument(
            f"There is no {built.name} in {root} to install.", "Run `python build.py` there first."
        )
    return built


def check_target(target: Path) -> None:
    """Find out before the work whether its result can be written. Raises `BadArgument`."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise BadArgument(
            f'There is no folder "{target.parent}".', "Create it first, or give another -o."
        )
    if target.is_dir():
        raise BadArgument(f'"{target}" is a folder.', "Give the name of a file to -o.")
    changed = folder
    if target.exists():
        changed = target
    if not os.access(changed, os.W_OK):
        raise BadArgument(f'"{target}" cannot be written.', "Give another -o.")


async def tool_form() -> dict[str, Any]:
    """The tool as Open WebUI takes it: id, name, description and content."""
    file = built_file()
    source = await FILES.run(file.read_text, encoding="utf-8")
    about = front_matter(source)
    meta = {"description": about["description"], "manifest": {}}
    return {"id": TOOL_ID, "name": about["title"], "meta": meta, "content": source}


async def command_export(options: argparse.Namespace) -> int:
    """`export`: write the JSON file that Open WebUI imports, a list of one tool."""
    target = Path(options.output)
    check_target(target)
    text = json.dumps([await tool_form()], ensure_ascii=False, indent=1) + "\n"
    await FILES.run(target.write_text, text, encoding="utf-8")
    print(target)
    return 0


async def command_install(options: argparse.Namespace) -> int:
    """`install`: create or update the tool in a running Open WebUI, set its valves, and check what
    came of it.
    """
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        webui = await enter_open_webui(options, session)
        try:
            await _install(webui, options)
        except (LookupError, TypeError, AttributeError):
            raise UnexpectedAnswer(
                f"What answers at {webui.url} does not behave like Open WebUI."
            ) from None
    return 0


def ask_administrator(options: argparse.Namespace) -> None:
    """Have a person type what lets an administrator into Open WebUI, where neither an option nor the
    environment does: e-mail address and password, which everybody knows, or a token, which a new
    Open WebUI shows nowhere. Raises `BadArgument` where nobody can be asked.
    """
    options.token = options.token or os.environ.get("OPEN_WEBUI_TOKEN")
    if options.token or not options.url:
        return
    try:
        print(ASK_WHO, end="", file=sys.stderr, flush=True)
        typed = input().strip()
        if "@" in typed:
            options.email = typed
            options.password = getpass.getpass("Password: ")
        else:
            options.token = typed or getpass.getpass("Token or API key: ")
    except EOFError:
        raise BadArgument(
            "Nobody is here to type a sign-in for Open WebUI.",
            "Give --token or set OPEN_WEBUI_TOKEN.",
        ) from None


async def enter_open_webui(
    options: argparse.Namespace, session: aiohttp.ClientSession
) -> "OpenWebUI":
    """Open WebUI, with what its administrator gave. Raises `AccessRefused` for a wrong password."""
    webui = OpenWebUI(options.url, options.token or "", session)
    if options.email:
        await webui.sign_in(options.email, options.password)
    return webui


class OpenWebUI:
    """The REST interface of a running Open WebUI, as far as installing needs it."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.url = Endpoint.parse(url, name="The address of Open WebUI").url.removesuffix("/api")
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def sign_in(self, email: str, password: str) -> None:
        """Get a token by address and password. Raises `ServerUnreachable` and `AccessRefused`."""
        address = f"{self.url}/api/v1/auths/signin"
        status, text = await self._exchange("POST", address, {"email": email, "password": password})
        token = object_of(_json_or_none(text)).get("token")
        if status != 200 or not token:
            raise AccessRefused(
                f"Open WebUI does not let {email} in by this password (HTTP {status}).",
                "Who signs in by another service needs an API key: ENABLE_API_KEYS allows them, and Settings → Account "
                "makes one.",
            )
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One exchange: `method` and `path` below /api/v1, and a body that is sent as JSON. Raises
        `ServerUnreachable`, `AccessRefused` or `UnexpectedAnswer` with the server's reason.
        """
        status, text = await self._exchange(method, f"{self.url}/api/v1{path}", body)
        answer = _json_or_none(text)
        if status in (401, 403):
            raise AccessRefused(
                f"Open WebUI refused the token (HTTP {status}).", "Give an administrator's token."
            )
        is_json = answer is not None or text.strip() == "null"
        if status == 200 and is_json:
            return answer
        reason = ""
        if isinstance(answer, dict):
            reason = shortened(answer.get("detail") or "", 300).rstrip(".")
        raise UnexpectedAnswer(
            f"Open WebUI answers {status} to {method} {path}: {reason or 'no reason given'}.",
            "Is this the address of Open WebUI itself, and is it version 0.9.6 or later?",
        )

    async def _exchange(self, method: str, url: str, body: Any) -> tuple[int, str]:
        """The status and the text of an answer. Raises `ServerUnreachable`."""
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._session.request(
                    method, url, json=body, headers=self._headers, allow_redirects=False
                ) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError) as error:
            raise unanswered(
                f"Open WebUI at {self.url}", error, ANSWER_SECONDS, "Is it running?"
            ) from None


def _json_or_none(text: str) -> Any:
    """What an answer says in JSON; None where it is none."""
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return None


async def _install(webui: OpenWebUI, options: argparse.Namespace) -> None:
    """Create the tool, or update it where its content differs; then its valves and access, and look
    whether Open WebUI finds the methods in it. Raises `BadArgument` rather than replace another
    tool with the same id.
    """
    tool_id = await _install_source(webui, replace=options.replace)
    path = f"/tools/id/{tool_id}"
    await _install_valves(webui, path, options)
    tool = await webui.call("GET", path)
    grants = tool.get("access_grants") or []
    if options.public:
        await _install_grant(webui, path, grants)
    elif not grants:
        print(
            f"Only administrators and you can use it. --public shares it with all users, as does {SHARING}."
        )
    specs = tool.get("specs") or []
    methods = sorted(spec["name"] for spec in specs)
    expected = sorted(name for name in vars(Tools) if name[0].islower())
    if methods != expected:
        raise UnexpectedAnswer(
            f"Open WebUI reads {methods} from the tool; expected were {expected}."
        )
    print(f"A model can call: {', '.join(methods)}.")


async def _install_source(webui: OpenWebUI, *, replace: bool) -> str:
    """Create the tool with the content of this file, or update it where its content differs.
    Returns its id. Raises `BadArgument` for another author's tool, unless it is to be replaced.
    """
    form = await tool_form()
    source = form["content"]
    tools = await webui.call("GET", "/tools/")
    ids = own_tool_ids(tools, front_matter(source)["author"])
    tool_id = ids[0] if ids else TOOL_ID
    if tool_id not in [tool["id"] for tool in tools]:
        await webui.call("POST", "/tools/create", form)
        print(f'Created the tool "{tool_id}".')
        return tool_id
    path = f"/tools/id/{tool_id}"
    tool = await webui.call("GET", path)
    installed = str(tool.get("content"))
    author = front_matter(installed).get("author")
    if author != front_matter(source)["author"] and not replace:
        raise BadArgument(
            f'There is another tool with the id "{tool_id}" in this Open WebUI.',
            "Rename that one, or give --replace to put this one in its place.",
        )
    if installed == source:
        print(f'The tool "{tool_id}" is up to date (version {VERSION}).')
        return tool_id
    await webui.call("POST", f"{path}/update", {**form, "id": tool_id})
    print(f'Updated the tool "{tool_id}" to version {VERSION}.')
    return tool_id


def own_tool_ids(tools: Sequence[Mapping[str, Any]], author: str) -> list[str]:
    """The ids under which a list of tools has this one, by its author; the usual id first."""
    ids: list[str] = []
    for tool in tools:
        about = object_of(object_of(tool.get("meta")).get("manifest"))
        if about.get("author") == author:
            ids.append(str(tool["id"]))
    return sorted(ids, key=lambda tool_id: tool_id != TOOL_ID)


def front_matter(source: str) -> dict[str, str]:
    """The fields in a tool's first lines, as Open WebUI reads them: {"title": "ComfyUI", "version":
    "0.1.0", ...}.
    """
    _, _, behind_quotes = source.partition('"""')
    head, _, _ = behind_quotes.partition('"""')
    fields = re.findall(r"^([a-z_]+):(.+)$", head, re.MULTILINE)
    return {name: value.strip() for name, value in fields}


async def _install_valves(webui: OpenWebUI, path: str, options: argparse.Namespace) -> None:
    """Set the valves that were given. An update replaces all of them, so the others are sent
    along.
    """
    given: dict[str, str] = {}
    if options.endpoint:
        given["endpoint"] = as_valve(options.endpoint)
    if options.api_key:
        given["api_key"] = options.api_key
    current = await webui.call("GET", f"{path}/valves") or {}
    titles = []
    for name, value in given.items():
        if current.get(name) != value:
            title = Valves.model_fields[name].title
            titles.append(str(title))
    if titles:
        await webui.call("POST", f"{path}/valves/update", {**current, **given})
        print(f"Set the valve {quoted(titles)}.")
    for problem in valve_problems(Valves(**{**current, **given})):
        print(problem)


def as_valve(addresses: str) -> str:
    """Addresses as the valve takes them, tidied; those that hold what lets a caller in as they are.
    Raises `BadArgument`.
    """
    endpoints = read_endpoints(addresses, "")
    if any(endpoint.auth for endpoint in endpoints):
        return addresses.strip()
    tidied = []
    for endpoint in endpoints:
        label = f"{endpoint.label} = " if endpoint.label else ""
        tidied.append(label + endpoint.written)
    return ", ".join(tidied)


async def _install_grant(webui: OpenWebUI, path: str, grants: list[dict[str, Any]]) -> None:
    """Let all users use the tool; the grants that are there stay."""
    everybody: dict[str, Any] = {
        "principal_type": "user",
        "principal_id": "*",
        "permission": "read",
    }
    granted = [{key: grant.get(key) for key in everybody} for grant in grants]
    if everybody in granted:
        return
    granted.append(everybody)
    await webui.call("POST", f"{path}/access/update", {"access_grants": granted})
    print("All users can use it now.")
