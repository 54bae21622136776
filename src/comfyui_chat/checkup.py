"""`check`: examines a ComfyUI, and the tool in an Open WebUI, and says of each point what to do.

`command_check` examines the servers that `--endpoint` names; with `--url` the installed tool, and
the servers that its valves and Open WebUI's image settings name; else those that the tool finds by
itself. `examine_server` goes from what everything needs to what only some things need, and ends
where nothing further can be known:

- it answers as a ComfyUI, and lets the caller in;
- the websocket, and the previews that come over it;
- the nodes that the bundled workflows are made of;
- what can be done with the models there, task by task;
- a tiny job, which needs no model: a picture is sent, shown by a node, and fetched again. Comfy
  Cloud has no such job, since it would cost something.

Each `Verdict` passes, warns or fails. A warning is of something that works less well, or of a task
that cannot be done; a failure of something without which no picture comes. Nothing waits longer
than `STEP_SECONDS`, and no key is shown.
"""

import argparse
import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from PIL import Image

from .catalogue.entries import Catalogue, bundled_entries
from .catalogue.searching import WorkflowLine
from .catalogue.workflow_list import CANNOT_RUN, list_workflows, tasks_told
from .errors import BadArgument, ComfyUIError, ServerTooOld, UnexpectedAnswer
from .graph.nodes import Graph
from .installation import (
    VERSION,
    OpenWebUI,
    enter_open_webui,
    front_matter,
    own_tool_ids,
    tool_form,
)
from .media.pictures import encode, read_input
from .names import duration, quoted, shortened
from .run.collecting import collect
from .run.fleet import Fleet
from .run.follow import follow, ignore_preview
from .server.client import ComfyUIServer
from .server.endpoint import Endpoint
from .server.pool import open_server
from .server.stats import Stats
from .threads import PICTURES
from .webui.image_settings import (
    NO_IMAGE_SETTINGS,
    ImageSettings,
    image_settings_lines,
    image_settings_of_page,
)
from .webui.permission import SHARING
from .webui.servers import administrators_endpoints
from .webui.settings import valve_problems
from .webui.valves import Valves

STEP_SECONDS = 60.0  # that one point may take
PASS, WARN, FAIL = "pass", "warn", "FAIL"
LEAST_VERSION = (0, 3, 45)  # of ComfyUI
# From here on each prompt can ask for previews; between the two nobody has tried.
PREVIEWS_ASKED_FOR, PREVIEWS_NOT_ASKED_FOR = (0, 33, 0), (0, 3, 64)
SAMPLE_SIDE, SAMPLE_COLOUR = 16, (200, 60, 20)  # the picture of the tiny job


# What errors call the valves that the command has as options.
OPTION_OF_VALVE = {
    'an administrator has to set the valve "ComfyUI address" of this tool': "give --endpoint",
    'the valve "ComfyUI address"': "--endpoint",
    'the valve "ComfyUI API key"': "--api-key",
}


def with_options(text: str) -> str:
    """An error's text with the options of the command in the place of valves."""
    for valve, option in OPTION_OF_VALVE.items():
        text = text.replace(valve, option)
    return text


@dataclass(frozen=True)
class Verdict:
    """How one point stands, and what to do about it."""

    level: str  # PASS, WARN or FAIL
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"  {self.level}  {self.text}"]
        if self.remedy:
            lines.append(f"        {self.remedy}")
        return "\n".join(lines)


def failure(what: str, error: ComfyUIError) -> Verdict:
    """The verdict that something did not work."""
    notes = getattr(error, "__notes__", ())
    told = f"{what}: {error.with_place}" if what else error.with_place
    return Verdict(FAIL, told, " ".join([error.hint, *notes]).strip())


async def command_check(options: argparse.Namespace) -> int:
    """`check`: print what is found of Open WebUI and of each server. Returns 1 if anything fails."""
    has_failed = False

    def say(verdict: Verdict) -> None:
        nonlocal has_failed
        has_failed = has_failed or verdict.level == FAIL
        text = str(verdict)
        print(text if options.url and not options.endpoint else with_options(text), flush=True)

    valves, image_settings = Valves(), NO_IMAGE_SETTINGS
    if options.url:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            webui = await enter_open_webui(options, session)
            print(webui.url)
            try:
                valves, image_settings = await examine_open_webui(webui, say)
            except (LookupError, TypeError, AttributeError):
                raise UnexpectedAnswer(
                    f"What answers at {webui.url} does not behave like Open WebUI."
                ) from None
    if options.endpoint or not options.url:
        given = {"endpoint": options.endpoint or "", "api_key": options.api_key or ""}
        valves = valves.model_copy(update=given)
    try:
        endpoints = administrators_endpoints(valves, image_settings)
    except BadArgument as error:
        if not options.url:
            raise
        say(failure("", error))
        endpoints = []
    for endpoint in await _servers(endpoints, say):
        name = f"{endpoint.label}: " if endpoint.label else ""
        print(f"{name}{endpoint.written}")
        async for verdict in examine_server(endpoint):
            say(verdict)
    print("Something fails." if has_failed else "Nothing fails.")
    return int(has_failed)


async def _servers(
    endpoints: Sequence[Endpoint], say: Callable[[Verdict], None]
) -> Sequence[Endpoint]:
    """The servers to examine: of guesses the one that answers."""
    if not endpoints:
        return ()
    try:
        fleet = await Fleet(tuple(endpoints)).found()
    except ComfyUIError as error:
        say(failure("", error))
        return ()
    return fleet.endpoints


# The tool in an Open WebUI.


async def examine_open_webui(
    webui: OpenWebUI, say: Callable[[Verdict], None]
) -> tuple[Valves, ImageSettings]:
    """Say what is found of the tool there, and return its valves and the image settings. Raises as
    `OpenWebUI.call` does where nothing can be found out.
    """
    tools = await webui.call("GET", "/tools/")
    say(Verdict(PASS, "Open WebUI answers, and takes the token."))
    page = image_settings_of_page(await webui.call("GET", "/images/config") or {})
    author = front_matter((await tool_form())["content"])["author"]
    ids = own_tool_ids(tools, author)
    if not ids:
        remedy = "Import comfyui_tool.json, or run `python comfyui_tool.py install`."
        say(Verdict(FAIL, "The tool is not installed there.", remedy))
        return Valves(), page
    if len(ids) > 1:
        remedy = f'"{ids[0]}" is examined here. Delete the others, once their valves are copied.'
        say(Verdict(WARN, f"The tool is installed more than once: {quoted(ids)}.", remedy))
    path = f"/tools/id/{ids[0]}"
    tool = await webui.call("GET", path)
    version = front_matter(str(tool.get("content"))).get("version", "")
    if version == VERSION:
        say(Verdict(PASS, f"The tool is installed (version {version})."))
    else:
        text = f"The tool there is version {shortened(version, 20)}, and this file {VERSION}."
        say(Verdict(WARN, text, "`python comfyui_tool.py install` puts this one there."))
    if tool.get("access_grants"):
        say(Verdict(PASS, "It is shared with others than its creator."))
    else:
        say(Verdict(WARN, "Nobody but administrators can use it.", f"To share it: {SHARING}."))
    valves = Valves(**(await webui.call("GET", f"{path}/valves") or {}))
    for problem in valve_problems(valves):
        say(Verdict(WARN, problem))
    for line in image_settings_lines(valves, page):
        level = WARN if "The workflow there" in line or "node mapping there" in line else PASS
        say(Verdict(level, f"From the image settings. {line}"))
    return valves, page


# One server.


async def examine_server(endpoint: Endpoint) -> AsyncIterator[Verdict]:
    """What is found of a server, one point after the other."""
    async with open_server(endpoint) as server:
        try:
            stats = await _within(server.stats())
        except ComfyUIError as error:
            yield failure("", error)
            return
        for verdict in stats_verdicts(stats, endpoint):
            yield verdict
        points: list[tuple[str, Callable[[ComfyUIServer], Awaitable[list[Verdict]]]]] = [
            ("The websocket", websocket_verdicts),
            ("The nodes", node_verdicts),
            ("What can be done", task_verdicts),
            ("A tiny job", job_verdicts),
        ]
        for what, examine in points:
            try:
                verdicts = await _within(examine(server))
            except ComfyUIError as error:
                verdicts = [failure(what, error)]
            for verdict in verdicts:
                yield verdict


async def _within(work: Awaitable[Any]) -> Any:
    """What one point comes to. Raises `UnexpectedAnswer` where that takes too long."""
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await work
    except TimeoutError:
        raise UnexpectedAnswer(
            f"It took longer than {duration(STEP_SECONDS)}.",
            "Is the server busy, or does something between it and here hold the answers back?",
        ) from None


def stats_verdicts(stats: Stats, endpoint: Endpoint) -> Iterator[Verdict]:
    """What the server tells of itself."""
    devices = quoted(device.name for device in stats.devices[:4])
    computes = f", computing on {devices}" if devices else ""
    version = tuple(int(part) for part in re.findall(r"\d+", stats.version)[:3])
    program = "Comfy Cloud" if endpoint.cloud else f"ComfyUI {stats.version}".strip()
    yield Verdict(PASS, f"{program} answers and lets the caller in{computes}.")
    if endpoint.cloud:
        return
    if version and version < LEAST_VERSION:
        yield Verdict(FAIL, f"ComfyUI {stats.version} is too old.", ServerTooOld.default_hint)
    if stats.previews not in ("", "none") or version >= PREVIEWS_ASKED_FOR:
        yield Verdict(PASS, "It sends live previews.")
    else:
        sure = "sends no" if version <= PREVIEWS_NOT_ASKED_FOR else "may send no"
        remedy = "Start ComfyUI with `--preview-method auto`."
        yield Verdict(WARN, f"It {sure} live previews.", remedy)


async def websocket_verdicts(server: ComfyUIServer) -> list[Verdict]:
    """Whether the websocket can be opened."""
    listening = server.connection.listen("check", frozenset(), ignore_preview)
    async with listening as subscription:
        if subscription.connected:
            return [Verdict(PASS, "The websocket opens.")]
    return [
        Verdict(
            WARN,
            "The websocket does not open: no percentage and no previews, and jobs are looked up.",
            "Have the proxy before ComfyUI pass on the headers Upgrade and Connection for /ws.",
        )
    ]


async def node_verdicts(server: ComfyUIServer) -> list[Verdict]:
    """Whether the nodes of the bundled workflows are there."""
    wanted = {
        node["class_type"] for entry in bundled_entries() for node in (entry.graph or {}).values()
    }
    known = await server.define_all(wanted)
    missing = sorted(wanted - known.keys())
    if not missing:
        return [Verdict(PASS, f"All {len(wanted)} nodes of the bundled workflows are there.")]
    text = f"{len(missing)} of {len(wanted)} nodes of the bundled workflows are missing: "
    return [Verdict(WARN, text + quoted(missing[:6]) + ".", "A newer ComfyUI has them.")]


async def task_verdicts(server: ComfyUIServer) -> list[Verdict]:
    """What can be done with the models that are installed, a verdict for each task."""
    lines: list[WorkflowLine] = (await list_workflows(server, Catalogue()))["workflows"]
    told = tasks_told(lines, 4)
    verdicts = [
        Verdict(PASS, f"{task}: {', '.join(names)}.") for task, names in told["tasks"].items()
    ]
    level = WARN if told["tasks"] else FAIL
    without_nodes = {line["name"] for line in lines if "needs the node" in line.get(CANNOT_RUN, "")}
    for task in told["nothing installed for"]:
        text = f"{task}: nothing is installed for it."
        verdicts.append(Verdict(level, text, _files_for(task, without_nodes)))
    return verdicts


def _files_for(task: str, without_nodes: Collection[str]) -> str:
    """What to install for a task: the workflow with the fewest files, one whose nodes are there
    first.
    """
    entries = [entry for entry in bundled_entries() if entry.task == task]
    entries.sort(key=lambda entry: (entry.name in without_nodes, len(entry.needs)))
    files = ", ".join(dict.fromkeys(str(need) for need in entries[0].needs))
    newer = " and a newer ComfyUI" if entries[0].name in without_nodes else ""
    return f"{entries[0].name} needs in ComfyUI's models folder: {files}{newer}."


class _Nobody:
    """A `ProgressListener` that shows nothing."""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Nothing is shown."""

    def preview(self, data: bytes) -> None:
        """Nothing is shown."""


async def job_verdicts(server: ComfyUIServer) -> list[Verdict]:
    """Whether a picture that is sent can be worked on and comes back as it was."""
    if server.endpoint.cloud:
        return [Verdict(WARN, "No tiny job was run: it would cost something.")]
    loop = asyncio.get_running_loop()
    began = loop.time()
    sample = await PICTURES.run(_sample)
    name = await server.upload(await PICTURES.run(read_input, sample, "check.png"))
    graph: Graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    fleet = Fleet((server.endpoint,))
    job, _ = await follow(server, fleet, graph, _Nobody(), wait=2 * STEP_SECONDS, previews=False)
    collected = await collect(server, job, graph)
    try:
        is_same = await PICTURES.run(_is_sample, collected.products[0].data.whole())
    finally:
        collected.close()
        await server.remove_from_history([job.prompt_id])
    if not is_same:
        remedy = "Does something between here and ComfyUI change what is sent?"
        return [Verdict(FAIL, "A picture that was sent came back as another one.", remedy)]
    seconds = f"{loop.time() - began:.1f} s"
    verdicts = [Verdict(PASS, f"A picture was sent, worked on and fetched again in {seconds}.")]
    if not job.complete and server.connection.is_open:
        remedy = "Does a proxy before ComfyUI hold frames back? No percentage is shown then."
        verdicts.append(Verdict(WARN, "The websocket told little of that job.", remedy))
    return verdicts


def _sample() -> bytes:
    """The picture of the tiny job, always the same, so that it is stored once. Blocks."""
    return encode(Image.new("RGB", (SAMPLE_SIDE, SAMPLE_SIDE), SAMPLE_COLOUR), "PNG")


def _is_sample(data: bytes) -> bool:
    """Whether a picture is that of the tiny job. Blocks."""
    with Image.open(io.BytesIO(data)) as image:
        return (
            image.size == (SAMPLE_SIDE, SAMPLE_SIDE)
            and image.convert("RGB").getpixel((SAMPLE_SIDE // 2, SAMPLE_SIDE // 2)) == SAMPLE_COLOUR
        )
