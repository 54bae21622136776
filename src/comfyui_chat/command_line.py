"""The command line: `generate` pictures, `convert` workflows, `check` servers, `install` this tool.

`main` parses what follows `python comfyui_tool.py` and runs one command, an `async` function of the
options:

- `generate` makes pictures as generate_image does (run/make.py), with a progress bar on the
  terminal, and writes them to files.
- `convert` turns workflows as ComfyUI's editor saves them into the format of its API.
- `check` examines servers, and the tool in an Open WebUI (checkup.py).
- `install` creates or updates the tool in a running Open WebUI, and `export` writes the JSON file
  that Open WebUI imports (installation.py).

Exit status: 0 done, 1 failed, 2 called wrongly, 130 stopped.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .checkup import command_check, with_options
from .errors import BadArgument, ComfyUIError
from .graph.definitions import Definitions, NodeDefinition
from .graph.editor import convert
from .installation import (
    VERSION,
    ask_administrator,
    check_target,
    command_export,
    command_install,
)
from .media.delivery import Format
from .media.kinds import OutputFile
from .names import duration, file_stem
from .run.credits import Credits
from .run.fleet import everywhere
from .run.make import make
from .run.options import RunOptions
from .server.pool import close_servers
from .threads import FILES
from .webui.settings import resolve
from .webui.valves import Valves

# Options of `generate` that are passed on as they are typed: --negative-prompt is generate_image's
# negative_prompt.
PLAIN_OPTIONS = {
    "negative_prompt": "what to keep out of the picture",
    "size": "1216x832, 16:9, 2MP, portrait ...; else what suits the model",
    "count": "how many pictures",
    "seed": "the same seed makes the same picture; else a random one",
    "steps": "sampling steps",
    "guidance": "how closely the prompt is followed (cfg)",
    "model": "a model of the server, by its name or a part of it",
    "workflow": "a workflow by its name; else one whose models are installed",
}
# by the endings of names
PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP", ".png": "PNG"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. `arguments` are those of the process when None. Returns the exit status: 0
    done, 1 failed, 2 called wrongly, 130 stopped.
    """
    options = command_parser().parse_args(arguments)
    try:
        if "token" in options:  # before the event loop, so that Ctrl+C ends the question
            ask_administrator(options)
        return asyncio.run(_run_command(options))
    except ComfyUIError as error:
        print(with_options(f"{error.with_place} {error.hint}"), file=sys.stderr)
        if isinstance(error, BadArgument):
            return 2
        return 1
    except BrokenPipeError:  # who was read by has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    generate.add_argument("prompt", help="the description")
    generate.add_argument(
        "-o", "--output", metavar="FILE", help="where the picture goes; others get a number"
    )
    for name, meaning in PLAIN_OPTIONS.items():
        option = name.replace("_", "-")
        generate.add_argument(f"--{option}", help=meaning)
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
        "--replace", action="store_true", help="also in place of another tool with the same id"
    )
    install.add_argument("--public", action="store_true", help="let all users use it")
    install.set_defaults(run=command_install)

    check = commands.add_parser("check", help="examine ComfyUI, and the tool in an Open WebUI")
    check.add_argument("--url", help="address of Open WebUI, to examine what is set there")
    check.set_defaults(run=command_check)

    exporting = commands.add_parser(
        "export", help="write the JSON file that Open WebUI imports (Workspace > Tools)"
    )
    exporting.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="comfyui_tool.json",
        help="where it goes; else comfyui_tool.json",
    )
    exporting.set_defaults(run=command_export)

    for command in (install, check):
        command.add_argument(
            "--token",
            help="an administrator's token or API key; else OPEN_WEBUI_TOKEN, else you are asked",
        )
        command.set_defaults(email="", password="")  # nosec B106 # typed, where there is no token
    comfyui_key = os.environ.get("COMFYUI_API_KEY")
    for command in (generate, converting, install, check):
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
