"""The command line: `generate` pictures, `convert` workflows, `install` this tool.

`main` parses what follows `python comfyui_tool.py` and runs one command, an `async` function of the
options:

- `generate` makes pictures as generate_image does (run/make.py), with a progress bar on the
  terminal, and writes them to files.
- `convert` turns workflows as ComfyUI's editor saves them into the format of its API.
- `install` creates or updates the tool in a running Open WebUI through its REST interface, as Open
  WebUI 0.9.6 to 0.12.4 has it. It sends the very file that it runs from; run from the package, the
  one that build.py wrote last.

Exit status: 0 done, 1 failed, 2 called wrongly, 130 stopped.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from .errors import AccessRefused, BadArgument, ComfyUIError, UnexpectedAnswer
from .graph.definitions import Definitions, NodeDefinition
from .graph.editor import convert
from .media.delivery import Format
from .media.kinds import OutputFile
from .names import duration, file_stem, quoted, shortened
from .run.credits import Credits
from .run.fleet import everywhere
from .run.make import make
from .run.options import RunOptions
from .server.endpoint import Endpoint
from .server.faults import unanswered
from .server.pool import close_servers
from .tasks import ANSWER_SECONDS
from .threads import FILES
from .webui.permission import SHARING
from .webui.servers import read_endpoints
from .webui.settings import resolve, valve_problems
from .webui.tools import Tools
from .webui.valves import Valves

VERSION = "0.1.0"  # as in the front matter
TOOL_ID = "comfyui"  # under which Open WebUI keeps the tool
# Options of `generate` that are passed on as they are typed: --negative-prompt is generate_image's
# negative_prompt.
PLAIN_OPTIONS = (
    "negative_prompt",
    "size",
    "count",
    "seed",
    "steps",
    "guidance",
    "model",
    "workflow",
)
# by the endings of names
PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP", ".png": "PNG"}


# What errors call the valves that the command has as options.
OPTION_OF_VALVE = {
    'the valve "ComfyUI address"': "--endpoint",
    'the valve "ComfyUI API key"': "--api-key",
}


def _with_options(text: str) -> str:
    """An error's text with the options of the command in the place of valves."""
    for valve, option in OPTION_OF_VALVE.items():
        text = text.replace(valve, option)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. `arguments` are those of the process when None. Returns the exit status: 0
    done, 1 failed, 2 called wrongly, 130 stopped.
    """
    options = command_parser().parse_args(arguments)
    try:
        return asyncio.run(_run_command(options))
    except ComfyUIError as error:
        print(_with_options(f"{error.with_place} {error.hint}"), file=sys.stderr)
        if isinstance(error, BadArgument):
            return 2
        return 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"A mistake in this tool: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


async def _run_command(options: argparse.Namespace) -> int:
    """Run one command, so that SIGTERM cancels it as Ctrl+C does, and close all connections after
    it.
    """
    task = asyncio.current_task()
    if task:
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return int(await options.run(options))
    finally:
        await close_servers()


def command_parser() -> argparse.ArgumentParser:
    """The command line's own description of itself. Each command sets `run`, the function that does
    it.
    """
    parser = argparse.ArgumentParser(
        prog="comfyui_tool.py", description="ComfyUI for Open WebUI, and for a terminal."
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)

    generate = commands.add_parser("generate", help="make pictures from a description")
    generate.add_argument("prompt")
    generate.add_argument(
        "-o", "--output", metavar="FILE", help="where the picture goes; others get a number"
    )
    for name in PLAIN_OPTIONS:
        option = name.replace("_", "-")
        generate.add_argument(f"--{option}")
    generate.add_argument(
        "--loras", metavar="NAME[:STRENGTH],…", help="LoRAs to use, separated by commas"
    )
    generate.set_defaults(run=command_generate)

    converting = commands.add_parser(
        "convert", help="turn saved workflows into the format of ComfyUI's API"
    )
    converting.add_argument(
        "files", nargs="+", metavar="FILE", help="x.json or x.ui.json; x.api.json is written"
    )
    converting.add_argument(
        "--definitions",
        metavar="FILE",
        help="what /object_info answered; without it a ComfyUI is asked",
    )
    converting.add_argument(
        "--out", metavar="DIR", help="where the results go; without it beside the files"
    )
    converting.set_defaults(run=command_convert)

    install = commands.add_parser("install", help="put this tool into a running Open WebUI")
    install.add_argument("--url", required=True, help="address of Open WebUI")
    install.add_argument(
        "--token", help="an administrator's token or API key; else OPEN_WEBUI_TOKEN, else asked for"
    )
    install.add_argument(
        "--replace", action="store_true", help="also in place of another tool with the same id"
    )
    install.add_argument("--public", action="store_true", help="let all users use it")
    install.set_defaults(run=command_install)

    comfyui_key = os.environ.get("COMFYUI_API_KEY")
    for command in (generate, converting, install):
        command.add_argument("--endpoint", metavar="URL", help="address of ComfyUI")
        command.add_argument("--api-key", metavar="KEY", default=comfyui_key, help="ComfyUI's key")
    return parser


# `generate`: pictures from a description, without a chat. The limits are wide, since whoever types
# the command may use the server as they like.


async def command_generate(options: argparse.Namespace) -> int:
    """`generate`: make pictures and write them to files."""
    target = None
    picture_format = ""
    if options.output:
        target = Path(options.output)
        check_target(target)
        picture_format = PICTURE_FORMATS.get(target.suffix.lower(), "")
    valves = Valves(
        endpoint=options.endpoint or "",
        api_key=options.api_key or "",
        account_key=os.environ.get("COMFY_ACCOUNT_KEY", ""),
        paid_runs="always",
        max_count=64,
        max_steps=10_000,
        max_megapixels=64,
        reachable="any",
    )
    settings = resolve(valves, None)
    arguments = {name: getattr(options, name) for name in (*PLAIN_OPTIONS, "loras")}
    request = settings.request(options.prompt, **arguments)
    wanted = Format(picture_format, quality=95)
    run_options = RunOptions(
        settings.catalogue, previews=False, format=wanted, credits=Credits(settings.purses)
    )
    display = TerminalDisplay(sys.stderr)
    try:
        made = await make(request, settings.fleet, display, run_options)
    finally:
        display.end()
    if target is None:
        stem = file_stem(str(request.prompt), made.seed)
        target = Path(f"{stem}.{made.products[0].ending}")
    with contextlib.closing(made):
        await _write_products(made.products, target)
    for note in made.notes:
        print(f"Note: {note}", file=sys.stderr)
    print(
        f"{made.workflow}, {made.model}, seed {made.seed}, {duration(made.seconds)}",
        file=sys.stderr,
    )
    return 0


async def _write_products(products: Sequence[OutputFile], target: Path) -> None:
    """Write finished files, and print where they are: fox.png, fox-2.png, fox-3.png."""
    path = target
    for number, product in enumerate(products, 1):
        if number > 1:
            path = target.with_stem(f"{target.stem}-{number}")
        await FILES.run(path.write_bytes, product.data.buffer)
        print(path)


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


BAR_WIDTH = 30  # characters
CLEAR_LINE = "\r\x1b[2K"  # what has a terminal go to the beginning of its line and clear it


class TerminalDisplay:
    """The `ProgressListener` of a run on a terminal: its last line, or one line a phase where the
    output goes elsewhere.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._phase = ""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Show a text, on a terminal with a bar before it while ComfyUI is at work."""
        if self._live and phase == "running":
            text = f"{_bar(fraction or 0.0)} {text}"
        if self._live:
            self._stream.write(CLEAR_LINE + text)
        elif phase != self._phase:
            self._stream.write(f"{text}\n")
        self._phase = phase
        self._stream.flush()

    def preview(self, data: bytes) -> None:
        """A terminal shows none."""

    def end(self) -> None:
        """Take the last line away."""
        if self._live:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()


def _bar(fraction: float) -> str:
    filled = round(fraction * BAR_WIDTH)
    empty = BAR_WIDTH - filled
    return "█" * filled + "░" * empty


# `convert`: workflows from ComfyUI's editor into the format of its API.


async def command_convert(options: argparse.Namespace) -> int:
    """`convert`: turn workflows as ComfyUI saves them into the format that its API takes, one file
    each. What cannot be converted is reported, and the others are done all the same.
    """
    folder = None
    if options.out:
        folder = Path(options.out)
        if not folder.is_dir():
            raise BadArgument(
                f'There is no folder "{folder}".', "Create it first, or give another --out."
            )
    definitions = await node_definitions(options)
    status = 0
    for name in options.files:
        source = Path(name)
        try:
            workflow = await _read_json(source)
            graph = convert(workflow, definitions)
        except ComfyUIError as error:
            print(f"{source}: {error.message} {error.hint}", file=sys.stderr)
            status = 1
        except (OSError, ValueError, RecursionError) as error:
            print(f"{source}: {error}", file=sys.stderr)
            status = 1
        else:
            stem = source.name.removesuffix(".json").removesuffix(".ui")
            target = (folder or source.parent) / f"{stem}.api.json"
            text = json.dumps(graph, indent=2, ensure_ascii=False)
            await FILES.run(target.write_text, text + "\n", encoding="utf-8")
            print(target)
    return status


async def node_definitions(options: argparse.Namespace) -> Definitions:
    """All node definitions, out of a file with what `/object_info` answers, or of the first ComfyUI
    that answers. Raises `BadArgument` and as `everywhere` does.
    """
    if options.definitions:
        answer = await _read_object_info(Path(options.definitions))
    else:
        valves = Valves(endpoint=options.endpoint or "", api_key=options.api_key or "")
        endpoints = resolve(valves, None).endpoints
        answers, _ = await everywhere(endpoints, lambda server: server.everything())
        answer = answers[0]
    definitions = {}
    for class_type, raw in answer.items():
        if isinstance(raw, Mapping):
            definitions[class_type] = NodeDefinition.parse(class_type, raw)
    return definitions


async def _read_object_info(path: Path) -> dict[str, Any]:
    """What `/object_info` answered, out of a file. Raises `BadArgument`."""
    answer = None
    with contextlib.suppress(ValueError):
        answer = await _read_json(path)
    if not isinstance(answer, dict):
        raise BadArgument(f'"{path}" holds no node definitions.', "Give what /object_info answers.")
    return answer


async def _read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `OSError`, and `ValueError` where it is not valid JSON."""
    text = await FILES.run(path.read_text, encoding="utf-8")
    return json.loads(text)


# `install`: this very file, put into a running Open WebUI.


def built_file() -> Path:
    """The file to install: the one that this runs from, or, where that is a module of the package,
    comfyui_tool.py in the root of the repository. Raises `BadArgument` where it was not built.
    """
    running = Path(__file__).resolve()
    if running.name != "command_line.py":
        return running
    root = running.parents[2]
    built = root / "comfyui_tool.py"
    if not built.is_file():
        raise BadArgument(
            f"There is no {built.name} in {root} to install.", "Run `python build.py` there first."
        )
    return built


async def command_install(options: argparse.Namespace) -> int:
    """`install`: create or update the tool in a running Open WebUI, set its valves, and check what
    came of it.
    """
    token = options.token or os.environ.get("OPEN_WEBUI_TOKEN")
    if not token:
        token = ask_secretly("Token or API key of Open WebUI: ")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        webui = OpenWebUI(options.url, token, session)
        try:
            await _install(webui, options)
        except (LookupError, TypeError, AttributeError):
            raise UnexpectedAnswer(
                f"What answers at {webui.url} does not behave like Open WebUI."
            ) from None
    return 0


def ask_secretly(question: str) -> str:
    """What a person types, unseen. Raises `BadArgument` where nobody can be asked."""
    try:
        return getpass.getpass(question)
    except EOFError:
        raise BadArgument(
            "There is nobody to ask for the token.", "Give --token or set OPEN_WEBUI_TOKEN."
        ) from None


class OpenWebUI:
    """The REST interface of a running Open WebUI, as far as installing needs it."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.url = Endpoint.parse(url, name="The address of Open WebUI").url.removesuffix("/api")
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One exchange: `method` and `path` below /api/v1, and a body that is sent as JSON. Raises
        `ServerUnreachable`, `AccessRefused` or `UnexpectedAnswer` with the server's reason.
        """
        status, text = await self._exchange(method, f"{self.url}/api/v1{path}", body)
        answer = None
        with contextlib.suppress(ValueError):
            answer = json.loads(text)
        if status in (401, 403):
            raise AccessRefused(
                f"Open WebUI refused the token (HTTP {status}).", "Give an administrator's token."
            )
        is_json = answer is not None or text.strip() == "null"
        if status == 200 and is_json:
            return answer
        reason = "no reason given"
        if isinstance(answer, dict):
            reason = answer.get("detail") or reason
        raise UnexpectedAnswer(
            f"Open WebUI answers {status} to {method} {path}: {shortened(reason, 300)}",
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


async def _install(webui: OpenWebUI, options: argparse.Namespace) -> None:
    """Create the tool, or update it where its content differs; then its valves and access, and look
    whether Open WebUI finds the methods in it. Raises `BadArgument` rather than replace another
    tool with the same id.
    """
    path = f"/tools/id/{TOOL_ID}"
    await _install_source(webui, path, replace=options.replace)
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


async def _install_source(webui: OpenWebUI, path: str, *, replace: bool) -> None:
    """Create the tool with the content of this file, or update the one at `path` whose content
    differs. Raises `BadArgument` for another author's tool, unless it is to be replaced.
    """
    file = built_file()
    source = await FILES.run(file.read_text, encoding="utf-8")
    about = front_matter(source)
    meta = {"description": about["description"], "manifest": {}}
    form = {"id": TOOL_ID, "name": about["title"], "content": source, "meta": meta}
    tools = await webui.call("GET", "/tools/")
    if TOOL_ID not in [tool["id"] for tool in tools]:
        await webui.call("POST", "/tools/create", form)
        print(f'Created the tool "{TOOL_ID}".')
        return
    tool = await webui.call("GET", path)
    installed = str(tool.get("content"))
    author = front_matter(installed).get("author")
    if author != about["author"] and not replace:
        raise BadArgument(
            f'There is another tool with the id "{TOOL_ID}" in this Open WebUI.',
            "Rename that one, or give --replace to put this one in its place.",
        )
    if installed == source:
        print(f'The tool "{TOOL_ID}" is up to date (version {VERSION}).')
        return
    await webui.call("POST", f"{path}/update", form)
    print(f'Updated the tool "{TOOL_ID}" to version {VERSION}.')


def front_matter(source: str) -> dict[str, str]:
    """The fields in a tool's first lines, as Open WebUI reads them: {"title": "ComfyUI", "version":
    "0.1.0", ...}.
    """
    _, _, behind_quotes = source.partition('"""')
    head, _, _ = behind_quotes.partition('"""')
    fields = re.findall(r"^([a-z_]+): *(.+?) *$", head, re.MULTILINE)
    return dict(fields)


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
