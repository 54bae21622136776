"""The tool in a real Open WebUI, to try by hand: ``uv run python -m tests.sandbox``.

Starts Open WebUI, a scripted model and a stand-in for ComfyUI on 127.0.0.1, installs the tool as an administrator
would, and prints where to look. ``--once "a lighthouse at dusk"`` sends one message and shows what happens instead.

The variables COMFYUI_BASE_URL, and OPENAI_API_BASE_URL with OPENAI_API_KEY, put a ComfyUI and a model of one's own in
the places of the stand-ins.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT
from tests.support.model_server import ModelServer
from tests.support.open_webui import ANSWER_EVENTS, HOST, OpenWebUI, OpenWebUIError, Turn, User, describe
from tests.support.pictures import opened
from tests.support.stand_in import StandIn
from tests.support.stand_in.release import RELEASES

TOOL = ROOT / "comfyui_tool.py"
TOOL_ID = "comfyui"
PICTURES = Path("sandbox")  # below the working directory; git ignores it

DEFAULT_PORT = 8080
INSTALL_SECONDS = 120.0
ONCE_SECONDS = 900.0  # a ComfyUI of one's own may load a model first
LABEL_WIDTH = 28

SUGGESTIONS = [
    {"title": ["A lighthouse", "at dusk"], "content": "a lighthouse at dusk"},
    {"title": ["Two pictures of a fox", "16:9, seed 7"], "content": "two pictures of a fox, 16:9, seed 7"},
    {"title": ["A red balloon", "over the sea, 768x1024"], "content": "a red balloon over the sea, 768x1024"},
]


class SandboxError(Exception):
    """Something did not start or did not work; the message says what and what to do."""


@dataclass(frozen=True)
class Options:
    """What the command line and the environment say."""

    port: int = 0
    keep: Path | None = None
    step_seconds: float = 0.4
    release: str = "0.33.0"
    once: str | None = None
    output: Path | None = None
    model: str | None = None
    comfyui_url: str | None = None
    model_url: str | None = None
    model_key: str = "none"


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; a mistake in it ends the program with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sandbox",
        description="The tool in a real Open WebUI, with a scripted model and a stand-in for ComfyUI.",
        epilog="COMFYUI_BASE_URL, and OPENAI_API_BASE_URL with OPENAI_API_KEY, replace the stand-ins by one's own.",
    )
    parser.add_argument("--port", type=int, help=f"Open WebUI's port (default: {DEFAULT_PORT}; with --once a free one)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep Open WebUI's data in DIR, for the next time too")
    parser.add_argument("--step-seconds", type=float, help="seconds of one sampling step of the stand-in")
    parser.add_argument("--release", choices=list(RELEASES), help="the ComfyUI release that the stand-in plays")
    parser.add_argument("--model", metavar="ID", help="the model of --once (default: the first)")
    parser.add_argument("--once", metavar="TEXT", help="send one message, show what happens, save the picture, leave")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where --once saves the picture")
    given = parser.parse_args(arguments)
    comfyui_url = os.environ.get("COMFYUI_BASE_URL") or None
    if given.port is not None and not 0 < given.port < 65536:
        parser.error(f"--port: {given.port} is no port")
    if given.once is not None and not given.once.strip():
        parser.error("--once: nothing to say")
    if given.once is None and (given.output or given.model):
        parser.error("--output and --model belong to --once")
    if given.step_seconds is not None and not 0 <= given.step_seconds <= 60:
        parser.error("--step-seconds: between 0 and 60")
    if comfyui_url and (given.release or given.step_seconds is not None):
        parser.error("--release and --step-seconds are the stand-in's, and COMFYUI_BASE_URL replaces it")
    return Options(
        port=given.port or (0 if given.once else DEFAULT_PORT),
        keep=given.keep,
        step_seconds=Options.step_seconds if given.step_seconds is None else given.step_seconds,
        release=given.release or Options.release,
        once=given.once,
        output=given.output,
        model=given.model,
        comfyui_url=comfyui_url,
        model_url=os.environ.get("OPENAI_API_BASE_URL") or None,
        model_key=os.environ.get("OPENAI_API_KEY") or "none",
    )


async def run(options: Options) -> int:
    """Start everything, then serve until stopped, or run the one message; returns the exit code."""
    check_port(options.port)
    async with contextlib.AsyncExitStack() as parts:
        comfyui_url = await start_comfyui(options, parts)
        model = await start_model(options, parts)
        owui = await start_open_webui(options, parts)
        admin = await owui.admin()
        await owui.use_model(model or options.model_url or "", options.model_key)
        await install_tool(owui, admin, comfyui_url)
        await switch_on(owui)
        if options.once:
            return await once(options, owui, admin)
        await serve(owui, admin, scripted=model is not None)
    return 0


# Steps


def check_port(port: int) -> None:
    """Complain about a port that somebody else listens on."""
    if not port:
        return
    with socket.socket() as probe:
        # Connections of an earlier run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise SandboxError(f"Port {port} is taken. Choose another one with --port.") from None


async def start_comfyui(options: Options, parts: contextlib.AsyncExitStack) -> str:
    """Start the stand-in, unless there is a ComfyUI of one's own; returns the address."""
    if options.comfyui_url:
        started("ComfyUI (your own)", options.comfyui_url)
        return options.comfyui_url
    began = time.monotonic()
    comfyui = await parts.enter_async_context(StandIn(release=options.release, step_seconds=options.step_seconds))
    started(f"ComfyUI {options.release} (stand-in)", comfyui.url, began)
    return str(comfyui.url)


async def start_model(options: Options, parts: contextlib.AsyncExitStack) -> ModelServer | None:
    """Start the scripted model, unless there is a model of one's own."""
    if options.model_url:
        started("Model (your own)", options.model_url)
        return None
    began = time.monotonic()
    model = await parts.enter_async_context(ModelServer(word_seconds=0.0 if options.once else 0.04))
    started("Model (scripted)", model.url, began)
    return model


async def start_open_webui(options: Options, parts: contextlib.AsyncExitStack) -> OpenWebUI:
    """Start Open WebUI."""
    print("Open WebUI starts; that takes a quarter of a minute or so …", flush=True)
    environment = {"DEFAULT_PROMPT_SUGGESTIONS": json.dumps(SUGGESTIONS)}
    if options.model_url:
        # Who asks in which chat is the tests' business, not that of a model service.
        environment["ENABLE_FORWARD_USER_INFO_HEADERS"] = "false"
    owui = OpenWebUI(options.keep, port=options.port, environment=environment)
    parts.push_async_callback(asyncio.to_thread, owui.stop)
    began = time.monotonic()
    await asyncio.to_thread(owui.start)
    started("Open WebUI", owui.url, began)
    return owui


async def install_tool(owui: OpenWebUI, admin: User, comfyui_url: str) -> None:
    """Install the tool by its own installer, as an administrator does, and show what that says."""
    began = time.monotonic()
    arguments = ["install", "--url", owui.url, "--token", admin.token, "--endpoint", comfyui_url, "--public"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TOOL),
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            while line := await process.stdout.readline():
                print(f"    {line.decode(errors='replace').rstrip()}", flush=True)
            code = await process.wait()
    except TimeoutError:
        raise SandboxError(f"The installer did not end within {INSTALL_SECONDS:g} s.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait_for(process.wait(), 10)
    if code:
        raise SandboxError(f"The installer ended with exit code {code}; see above.")
    started("Tool", f"{TOOL.name} as {TOOL_ID!r}", began)


async def switch_on(owui: OpenWebUI) -> None:
    """Have the tool on in every new chat of every model, so that a person has nothing to click."""
    await owui.set_default_tools([TOOL_ID])
    if not await owui.models():
        raise SandboxError("Open WebUI found no model. Does OPENAI_API_BASE_URL answer at /models?")


async def serve(owui: OpenWebUI, admin: User, *, scripted: bool) -> None:
    """Say where to look and what to type, and wait until stopped."""
    print(f"\nOpen {owui.url} and sign in as {admin.email} with the password {admin.password}")
    if scripted:
        print('Type "a lighthouse at dusk", "two pictures of a fox, 16:9, seed 7", or call a method by hand:')
        print('/call generate_image {"prompt": "a fox", "steps": 4}')
    else:
        print("Ask for a picture.")
    print("Ctrl-C stops everything.", flush=True)
    while owui.running:
        await asyncio.sleep(0.5)
    raise SandboxError(f"Open WebUI has ended. Its log ends:\n{owui.log_tail()}")


async def once(options: Options, owui: OpenWebUI, admin: User) -> int:
    """Send the one message, show the events as they come, and save what was made; returns the exit code."""
    assert options.once
    models = await owui.models()
    model = options.model or models[0]
    if model not in models:
        raise SandboxError(f"There is no model {model!r}; there is {', '.join(models)}.")
    print(f"\n> {options.once}", flush=True)
    async with owui.begin(options.once, user=admin, tools=[TOOL_ID], model=model) as turn:
        try:
            await show(turn)
        except TimeoutError:
            raise SandboxError(f"No answer within {ONCE_SECONDS:g} s.") from None
        await turn.done()
    print(f"\n{turn.text or turn.error}", flush=True)
    saved = await save_pictures(turn, options.output)
    if saved:
        return 0
    complain("There is no picture.", *(f"The tool said: {_short(result)}" for result in turn.tool_results))
    if not turn.tool_results:
        complain(f"The model called no tool. Open WebUI's log ends:\n{owui.log_tail(15)}")
    return 1


async def show(turn: Turn) -> None:
    """Print the events that the browser gets, as they come."""
    async for event in turn.stream(ONCE_SECONDS):
        if event.type not in ANSWER_EVENTS:
            print(f"{event.seconds:7.2f} s  {event.type:20}  {describe(event)}", flush=True)


async def save_pictures(turn: Turn, output: Path | None) -> list[Path]:
    """Save the pictures of an answer that open as such; the first one as ``output`` if that is given."""
    saved: list[Path] = []
    for file in turn.files:
        data = await turn.owui.download(file["url"], user=turn.user)
        size = await asyncio.to_thread(picture_size, data)
        if not size:
            complain(f"{file.get('name')} does not open as an image.")
            continue
        path = output_path(output, str(file.get("name") or "picture.png"), len(saved))
        await asyncio.to_thread(write, path, data)
        print(f"Saved {path}: {size[0]} x {size[1]}, {len(data) / 1024:.0f} KB", flush=True)
        saved.append(path)
    return saved


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a picture; None where it does not open."""
    try:
        return opened(data).size
    except (OSError, ValueError, SyntaxError):
        return None


def output_path(output: Path | None, name: str, number: int) -> Path:
    """Where a picture goes: the name it has, or the one that was asked for, numbered from the second on."""
    path = output or PICTURES / re.sub(r"[^\w.\- ]", "_", Path(name).name)
    return path if not (output and number) else path.with_stem(f"{path.stem}-{number + 1}")


def write(path: Path, data: bytes) -> None:
    """Write a file, with the folders above it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise SandboxError(f"Cannot write {path}: {error.strerror}") from None


def started(what: str, where: str, began: float | None = None) -> None:
    """Say that a part is there, in one line."""
    took = f"  {time.monotonic() - began:.1f} s" if began is not None else ""
    print(f"{what:{LABEL_WIDTH}}{where}{took}", flush=True)


def complain(*lines: str) -> None:
    """Say what went wrong."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _short(result: object, length: int = 500) -> str:
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return text if len(text) <= length else f"{text[: length - 1]}…"


async def until_signalled(work: Callable[[], asyncio.Task[int]]) -> int:
    """Run the work; Ctrl-C and SIGTERM end it in order, with everything it started."""
    task = work()
    signalled: list[int] = []

    def stop(number: int) -> None:
        # Once: a second Ctrl-C must not cut short the stopping that the first one began.
        if not signalled:
            task.cancel()
        signalled.append(number)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not signalled:
            raise
        print("\nStopped.", flush=True)
        return 128 + signalled[0]


async def _main(options: Options) -> int:
    return await until_signalled(lambda: asyncio.ensure_future(run(options)))


def main() -> int:
    """The command line."""
    options = parse()
    try:
        code = asyncio.run(_main(options))
    except (SandboxError, OpenWebUIError) as error:
        complain(str(error))
        return 1
    # To stop the sandbox by a signal is how it is meant to end.
    return 0 if code > 128 and not options.once else code


if __name__ == "__main__":
    sys.exit(main())
