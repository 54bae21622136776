"""ComfyUI servers asked to make things: what a call wishes for, the one way in which tests run it, and what is left of
it afterwards on the servers and in the chat."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PIL import Image

import comfyui_tool as tool
from tests.support.stand_in import CloudStandIn, StandIn
from tests.support.stand_in.files import File
from tests.support.watching import Watcher, until

Server = StandIn | tool.Endpoint | str  # a string is an address

# What people wait for in seconds or minutes, in fractions of a second.
QUICK = tool.Timing(first=0.02, look_up=0.3, longest=0.5, polling=0.1, settle=0.2, gone=1.0)
# The same where servers are given up.
QUICKER = replace(QUICK, gone=0.6)

NOBODY = "http://127.0.0.1:9"  # an address at which no server listens
KEY = b"the secret of this Open WebUI"
ANN, BOB = tool.Owner("ann", KEY), tool.Owner("bob", KEY)

# How a script begins that is run as a process of its own, with nothing but the tool in it.
OTHER_PROCESS = """
import asyncio, json, logging, sys, threading, time
import comfyui_tool as tool
logging.getLogger("asyncio").setLevel(logging.ERROR)  # in debug mode it warns of what takes long on a busy machine

class Nobody:
    def status(self, phase, text, fraction=None): pass
    def preview(self, data): pass

def small_wish(seed):
    return tool.Request("a fox", size=tool.Argument("64x64", "size"), steps=tool.Argument(2, "steps"),
        seed=tool.Argument(seed, "seed"), workflow=tool.Argument("checkpoint", "workflow"))
"""


# --- where the servers are ---


def endpoint(server: Server, *, key: str | None = None) -> tool.Endpoint:
    """How the tool is told of a server. The stand-in for Comfy Cloud gets its own key unless another one is given."""
    if isinstance(server, tool.Endpoint):
        return server
    if isinstance(server, CloudStandIn):
        cloud = tool.Endpoint.parse(f"cloud+{server.url}", server.key if key is None else key)
        return replace(cloud, transport=tool.Transport(downloads=tool.ANY))  # its files lie on this machine
    return tool.Endpoint.parse(server if isinstance(server, str) else server.url, key or "")


def key_of(endpoint: tool.Endpoint) -> str:
    """The key that is sent to a server, "" where none is."""
    return next((value.rpartition(" ")[2] for _, value in endpoint.auth.headers), "")


def endpoints(*servers: Server) -> list[tool.Endpoint]:
    """The same for several servers."""
    return [endpoint(server) for server in servers]


def record(server: StandIn) -> tool.Record:
    """What this process has seen of a server."""
    return tool.Pool.here().server(endpoint(server)).record


def models_of(*names: str) -> dict[str, list[str]]:
    """The models folder of somebody who fetched the files that these bundled workflows need."""
    folders: dict[str, list[str]] = {}
    for entry in tool.bundled_entries():
        for need in entry.needs if entry.name in names else ():
            folders.setdefault(need.folder, []).append(need.file)
    return {folder: list(dict.fromkeys(files)) for folder, files in folders.items()}


# --- what a call wishes for ---


def settings(valves: Mapping[str, str] | None = None) -> tool.Settings:
    """The settings of a user whose valves hold this."""
    held = {name: tool.Argument(value, f'Your valve "{name}"', 1) for name, value in (valves or {}).items()}
    return tool.Settings((), tool.Limits(), False, held)


def small_wish(prompt: str = "a lighthouse at dusk", **arguments: Any) -> tool.Request:
    """A call of generate_image with these arguments: a small picture in three steps, unless they say otherwise."""
    return settings().request(prompt, **{"size": "64x64", "steps": 3, "workflow": "checkpoint", **arguments})


def edit(
    *files: tool.InputFile,
    mask: Image.Image | None = None,
    valves: Mapping[str, str] | None = None,
    **arguments: Any,
) -> tool.Request:
    """A call of edit_image with these arguments, in one step unless they say otherwise."""
    return settings(valves).edit("a fox", files, mask, **{"steps": 1, "seed": 1, **arguments})


def order(workflow: str, inputs: Any = None, *files: tool.InputFile | None, **offers: tool.InputFile) -> tool.Request:
    """A call of run_workflow; `offers` are the newest files of the chat by their kinds."""

    def offered(file: tool.InputFile) -> tool.Offer:
        async def offer() -> tool.InputFile:
            return file

        return offer

    return settings().order(workflow, inputs, files, {kind: offered(file) for kind, file in offers.items()})


# --- running it ---


async def make(
    *servers: Server,
    wish: tool.Request | None = None,
    watcher: Watcher | None = None,
    catalogue: tool.Catalogue | None = None,
    limits: tool.Limits | None = None,
    previews: bool = True,
    wanted: tool.Format | None = None,
    timing: tool.Timing = QUICK,
    owner: tool.Owner | None = None,
    memory: tool.Memory | None = None,
    spends: tool.Credits | None = None,
    long_runs: tool.LongRuns | None = None,
    **arguments: Any,
) -> tool.RunResult:
    """What becomes of a wish on these servers. Without one it is a `small_wish` with these arguments. Unless it is said
    what it `spends`, it may spend anything on Comfy Cloud, and nothing elsewhere."""
    assert wish is None or not arguments, "they belong in the wish"
    places = tuple(endpoints(*servers))
    anything = tool.Purse(tool.SpendingRule(tool.ALWAYS))
    return await tool.make(
        wish or small_wish(**arguments),
        tool.Fleet(places, limits or tool.Limits(), owner or tool.Owner(), timing),
        watcher or Watcher(),
        tool.RunOptions(
            catalogue or tool.Catalogue(),
            previews,
            wanted or tool.Format(),
            memory or tool.Memory(),
            spends or tool.Credits({place: anything for place in places if place.cloud}),
            long_runs=long_runs or tool.LongRuns(),
        ),
    )


async def draw(*servers: Server, **arguments: Any) -> tool.RunResult:
    """`make` where the servers are tested and not the picture: two steps, no previews, and the least patience."""
    return await make(*servers, previews=False, timing=QUICKER, **{"steps": 2, **arguments})


async def run_wish(
    server: Server, wish: tool.Request, catalogue: tool.Catalogue | None = None, **options: Any
) -> tool.RunResult:
    """`make` where the workflow is tested: no previews, and all the patience that the tool has by itself."""
    return await make(server, wish=wish, catalogue=catalogue, previews=False, timing=tool.Timing(), **options)


async def run_graph(server: Server, graph: Any, *, watcher: Watcher | None = None) -> tuple[tool.OutputFile, ...]:
    """What a graph makes that is posted as it is."""
    async with tool.open_server(endpoint(server)) as opened:
        fleet = tool.Fleet((opened.endpoint,), timing=QUICK)
        job, _ = await tool.follow(opened, fleet, graph, watcher or Watcher(), wait=30.0)
        return (await tool.collect(opened, job, graph)).products


# --- workflows that people have ---


def small_graph(comfy: StandIn, **over: Any) -> dict[str, Any]:
    """A graph in the API format that draws a small picture in two steps."""
    return comfy.example_graph(steps=2, seed=5, width=64, height=64, **over)


def loading(name: str) -> dict[str, Any]:
    """A graph that loads this file as a picture, and saves it."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def save(comfy: StandIn, name: str, value: Any) -> None:
    """Save a workflow on the server, as ComfyUI's page does."""
    comfy.userdata[f"workflows/{name}"] = File(json.dumps(value).encode())


def pasted(**workflows: Any) -> tool.Catalogue:
    """A catalogue whose administrator pasted these."""
    return tool.Catalogue(tool.read_pasted(json.dumps(workflows), "administrator", "The valve").entries)


def pasted_by_user(**workflows: Any) -> tool.Catalogue:
    """A catalogue of what a user pasted."""
    return tool.Catalogue(tool.read_pasted(json.dumps(workflows), "user", "The valve").entries)


def sent(comfy: StandIn, title: str) -> Any:
    """The inputs of the node with that title, or of that class, in the last prompt."""
    nodes = comfy.prompts[-1]["prompt"].values()
    return next(node["inputs"] for node in nodes if title in (node["_meta"].get("title"), node["class_type"]))


async def listed(
    comfy: StandIn, catalogue: tool.Catalogue | None = None, search: str = "", everything: bool = False
) -> dict[str, Any]:
    """What list_workflows answers."""
    async with tool.open_server(endpoint(comfy)) as server:
        answer = await tool.list_workflows(server, catalogue or tool.Catalogue(), search)
        return tool.told_workflows(answer, search, everything)


async def listed_models(comfy: StandIn, kind: str = "", search: str = "") -> dict[str, Any]:
    """What list_models answers."""
    async with tool.open_server(endpoint(comfy)) as server:
        return tool.told_models(await tool.list_models(server, kind, search), search)


# --- what is left of a call: jobs on the server, files in the chat ---


async def orphan(
    comfy: StandIn, owner: tool.Owner, ago: float = 300.0, wait: float = 3600.0, used: Any = None, **graph: Any
) -> str:
    """A finished job that a call of another process started, to wait so long for it, and which ended some time ago. Its
    mark says what was `used`."""
    prompt_id = str(uuid.uuid4())
    about = {"workflow": "checkpoint", "model": "tiny.safetensors", "seed": 5, "name": "a-fox-5", "used": used or {}}
    at = time.time() - ago
    mark = {"mark": owner.mark(prompt_id), "at": at, "until": at + wait, **about}
    await comfy.post(comfy.example_graph(**graph), prompt_id=prompt_id, extra_data={tool.MARK: mark})
    await until(lambda: prompt_id in comfy.history)
    for _, data in comfy.history[prompt_id]["status"]["messages"]:
        data["timestamp"] -= ago * 1000
    return prompt_id


async def done(comfy: StandIn, prompt_id: str) -> None:
    """Let the server go on, until that job is done."""
    comfy.release()
    await until(lambda: prompt_id in comfy.history)


Stored = list[tuple[tool.OutputFile, dict[str, Any]]]  # files, and what a message holds of each


class Shelf(tool.Chat):
    """A chat whose storage is a list. It refuses names that end as told, and takes nothing in while it is not open."""

    def __init__(self, stored: Stored | None = None, refuses: str = " ") -> None:
        super().__init__()
        self.stored: Stored = [] if stored is None else stored
        self.refuses = refuses
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self.opened.set()

    async def _upload(self, name: str, product: tool.OutputFile) -> dict[str, Any]:
        self.reached.set()
        await self.opened.wait()
        if name.endswith(self.refuses):
            raise OSError("the disk is full")
        number = str(len(self.stored))
        item = {"type": "image", "id": number, "url": number, "name": name, "content_type": product.content_type}
        self.stored.append((product, item))
        return item

    async def kept(self, jobs: Mapping[str, float]) -> dict[str, tool.StoredOutputs]:
        found: dict[str, tool.StoredOutputs] = {}
        for product, item in self.stored:
            if product.prompt_id in jobs:
                kept = found.setdefault(product.prompt_id, tool.StoredOutputs(product.of))
                kept.sources.append(product.source)
                kept.files.append(item)
        return found

    async def numbers(self, files: Any) -> dict[str, int]:
        return {}
