"""ComfyUI's protocol as a specification: that the stand-in, and a real ComfyUI, speak it as two releases were recorded.

Every test drives a server as a raw client, without the tool, reduces what it saw with the functions that reduced the
recordings, and compares the two. The server is the stand-in, in both releases; with COMFYUI_TEST_URL set also a real
ComfyUI (with the checkpoint COMFYUI_TEST_CHECKPOINT), so that the stand-in is held to what the real one does. What only
a stand-in can do stands at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import struct
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import aiohttp
import pytest
from PIL import Image, ImageChops, ImageStat
from yarl import URL

from tests.support import RECORDED
from tests.support.pictures import opened, png, saved
from tests.support.recorded.reduce import sections
from tests.support.stand_in import OUT_OF_MEMORY, StandIn
from tests.support.stand_in.custom import CUSTOM_NODES
from tests.support.stand_in.media import clip, wave_file
from tests.support.stand_in.painting import stripes

REAL_URL = os.environ.get("COMFYUI_TEST_URL", "").rstrip("/")
CHECKPOINT = os.environ.get("COMFYUI_TEST_CHECKPOINT", "tiny.safetensors")
BROKEN_CHECKPOINT = "sd_xl_base_1.0.safetensors"  # zero bytes where a real server is tested
OLD, NEW = "0.3.64", "0.33.0"
PATIENCE = 120.0 if REAL_URL else 20.0
FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}

Graph = dict[str, Any]
Facts = dict[str, Any]


# --- the recordings ---------------------------------------------------------------------------------------------------


@cache
def recorded_sections(release: str, scenario: str) -> list[Facts]:
    facts: list[Facts] = json.loads((RECORDED / release / f"{scenario}.json").read_text())
    return facts


def recorded(release: str, scenario: str, case: str = "") -> Facts:
    """The facts of a scenario, or of the one of its cases that begins so."""
    return next(section for section in recorded_sections(release, scenario) if section["case"].startswith(case))


# --- a raw client -----------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """What a test talks to. `comfy` is None when it is a real one."""

    url: str
    release: str
    comfy: StandIn | None
    session: aiohttp.ClientSession
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def new(self) -> bool:
        return self.release == NEW

    async def http(self, method: str, path: str, **request: Any) -> Any:
        """One exchange; its JSON, text or bytes."""
        told = {key: request[key] for key in ("params", "headers") if key in request}
        target = self.url + path if "%" not in path else URL(self.url + path, encoded=True)
        async with self.session.request(method, target, **request) as answer:
            content = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            body: Any = content
            if "json" in kind and content:
                body = json.loads(content)
            elif kind.startswith("text/plain"):
                body = content.decode()
            entry = {"src": "http", "method": method, "url": path, "req": told, "status": answer.status, "body": body}
            self.entries.append({**entry, "headers": {"Content-Type": kind}})
            self.answer = answer
            return body

    async def get(self, path: str, **request: Any) -> Any:
        return await self.http("GET", path, **request)

    async def post(self, path: str, body: Any = None, **request: Any) -> Any:
        return await self.http("POST", path, **({"json": body} if body is not None else {}), **request)

    async def prompt(self, graph: Graph, client: str | None = None, **body: Any) -> str:
        if client is not None:
            body["client_id"] = client
        return str((await self.post("/prompt", {"prompt": graph, **body}))["prompt_id"])

    async def finished(self, prompt_id: str) -> dict[str, Any]:
        """Its history item, as soon as there is one."""
        path = f"/history/{prompt_id}"
        for _ in range(int(PATIENCE / 0.02)):
            async with self.session.get(self.url + path) as answer:
                item: dict[str, Any] | None = (await answer.json()).get(prompt_id)
            if item is not None:
                return item
            await asyncio.sleep(0.02)
        raise TimeoutError(prompt_id)

    async def forget(self) -> None:
        """Drop the cache of node results."""
        await self.post("/free", {"unload_models": True, "free_memory": True})
        if self.comfy is None:
            await asyncio.sleep(1.5)  # the worker looks at it once a second

    async def warm(self, **over: Any) -> None:
        """Have the loader, the size and both texts in the cache: only sampling is left to do."""
        await self.forget()
        await self.quietly(text_to_image(steps=1, **over))

    async def quietly(self, graph: Graph) -> None:
        """Run a graph that is no part of what the test looks at."""
        body = {"prompt": graph, "client_id": "nobody"}
        async with self.session.post(f"{self.url}/prompt", json=body) as answer:
            prompt_id = (await answer.json())["prompt_id"]
        await self.finished(prompt_id)
        self.entries.clear()

    def socket(self, name: str = "A", client: str | None = "", flags: bool = False, path: str = "/ws") -> Socket:
        return Socket(self, name, uuid.uuid4().hex if client == "" else client, flags, path)

    def facts(self, frames: bool = True) -> Facts:
        (section,) = sections(self.entries, frames=frames)
        return section


class Socket:
    """A websocket whose frames are noted in the server's entries."""

    def __init__(self, server: Server, name: str, client: str | None, flags: bool, path: str) -> None:
        self.server, self.name, self.client, self.flags, self.path = server, name, client, flags, path
        self.frames: list[dict[str, Any]] = []
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> Self:
        query = f"?clientId={self.client}" if self.client is not None else ""
        self.ws = await self.server.session.ws_connect(f"{self.server.url}{self.path}{query}", max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        if self.flags:
            await self.ws.send_json(FLAGS)
            await self.until(lambda frame: frame.get("type") == "feature_flags")
        else:
            await self.until(lambda frame: frame.get("type") == "status")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.ws.close()
        await self._reader

    def drop(self) -> None:
        """End without a word, as a lost connection does."""
        connection = self.ws._response.connection
        assert connection is not None and connection.transport is not None
        connection.transport.abort()

    async def _read(self) -> None:
        async for message in self.ws:
            if message.type is aiohttp.WSMsgType.TEXT:
                entry = {"kind": "text", "msg": json.loads(message.data)}
                frame = entry["msg"]
            else:
                frame = binary_facts(message.data)
                entry = {"kind": "binary", **frame}
            async with self._arrived:
                self.server.entries.append({"src": f"ws:{self.name}", **entry})
                self.frames.append(frame)
                self._arrived.notify_all()
        async with self._arrived:
            self._arrived.notify_all()

    async def until(self, wanted: Callable[[dict[str, Any]], bool], start: int = 0) -> dict[str, Any]:
        """The first frame of this kind."""

        def found() -> dict[str, Any] | None:
            return next((frame for frame in self.frames[start:] if wanted(frame)), None)

        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(found)
        return found() or {}

    async def until_end(self, prompt_id: str) -> None:
        """executing without a node: the last frame of a prompt, whatever came of it."""
        await self.until(
            lambda frame: (
                frame.get("type") == "executing"
                and frame["data"]["node"] is None
                and frame["data"].get("prompt_id") == prompt_id
            )
        )

    async def until_step(self, value: int) -> None:
        await self.until(lambda frame: frame.get("type") == "progress" and frame["data"]["value"] >= value)

    async def until_idle(self) -> None:
        """Until the queue, after it had something in it, is empty."""
        busy = await self.until(lambda frame: remaining(frame) > 0)
        await self.until(lambda frame: remaining(frame) == 0, self.frames.index(busy))

    @property
    def kinds(self) -> list[str]:
        return [frame.get("type", "binary") for frame in self.frames]


def remaining(frame: dict[str, Any]) -> int:
    """What a status frame says of the queue; -1 for other frames."""
    return frame["data"]["status"]["exec_info"]["queue_remaining"] if frame.get("type") == "status" else -1


def binary_facts(data: bytes) -> dict[str, Any]:
    (event,) = struct.unpack(">I", data[:4])
    facts: dict[str, Any] = {"event": event}
    (number,) = struct.unpack(">I", data[4:8])
    if event == 1:
        facts["format"] = number
        image = data[8:]
    elif event == 4:
        facts["metadata"] = json.loads(data[8 : 8 + number])
        image = data[8 + number :]
    else:
        return {**facts, "node_id": data[8 : 8 + number].decode(), "text": data[8 + number :].decode()}
    shown = opened(image)
    return {**facts, "image": [shown.format, *shown.size, shown.mode]}


def text_to_image(steps: int = 6, seed: int | None = None, ckpt_name: str = CHECKPOINT, **over: Any) -> Graph:
    """The graph of most recordings. `over` sets inputs by name."""
    seed = random.randrange(2**31) if seed is None else seed
    sampler = {"seed": seed, "steps": steps, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    graph: Graph = {
        "3": {"class_type": "KSampler", "inputs": {**sampler, **links}, "_meta": {"title": "KSampler"}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ckpt_name}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red cat", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "rec", "images": ["8", 0]}},
    }
    for name, value in over.items():
        next(node for node in graph.values() if name in node["inputs"])["inputs"][name] = value
    return graph


# --- comparing --------------------------------------------------------------------------------------------------------


def alike(seen: list[Any], told: list[Any], thinned: bool) -> None:
    """The same frames in the same order; how far a sampler came that was stopped, and how many of its steps a thinned
    one tells of, is a matter of speed."""
    assert [outline(entry) for entry in seen] == [outline(entry) for entry in told]
    for one, other in zip(seen, told, strict=True):
        if one[0] == "sampling":
            left_out = set()
            if other[1]["image"] is None and thinned:
                left_out.add("every")
            if other[1]["last"] != other[1]["max"] or other[1]["first"] != 1:
                left_out |= {"every", "first", "last", "each"}
            one, other = ({k: v for k, v in entry[1].items() if k not in left_out} for entry in (one, other))
        assert one == other


def outline(entry: list[Any]) -> Any:
    return entry[:2] if entry[0] in ("runs", "begins", "ends") else entry[0]


def apart(frames: list[Any]) -> tuple[list[Any], list[Any]]:
    """The queue's frames and the run's: when two clients post, only within each of them is the order certain."""
    statuses = [entry for entry in frames if entry[0] == "status"]
    others: list[Any] = []
    for entry in frames:
        if entry[0] == "status":
            continue
        if entry[0] == "sampling" and others and others[-1][0] == "sampling":
            others[-1] = ["sampling", {**others[-1][1], "last": entry[1]["last"]}]
        else:
            others.append(entry)
    return statuses, others


def assert_as_recorded(server: Server, facts: Facts, *sockets: str, http: bool = True, loose: bool = False) -> None:
    seen = server.facts()
    for name in sockets or facts["sockets"]:
        ours, theirs = seen["sockets"][name], facts["sockets"][name]
        if loose:
            (ours_queue, ours), (their_queue, theirs) = apart(ours), apart(theirs)
            assert ours_queue == their_queue
        alike(ours, theirs, thinned=server.new)
    if http:
        assert_same_http(seen["http"], facts["http"])


def assert_same_http(seen: list[Facts], told: list[Facts]) -> None:
    assert [entry["method"] + " " + entry["path"] for entry in seen] == [e["method"] + " " + e["path"] for e in told]
    for one, other in zip(seen, told, strict=True):
        if "body" not in other:
            one = {key: value for key, value in one.items() if key != "body"}
        assert one == other


# --- the servers ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[OLD, NEW, *(["real"] if REAL_URL else [])])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with aiohttp.ClientSession() as session:
        if request.param != "real":
            async with StandIn(release=request.param, step_seconds=0.003) as comfy:
                yield Server(comfy.url, request.param, comfy, session)
        else:
            async with session.get(f"{REAL_URL}/system_stats") as answer:
                version = (await answer.json())["system"]["comfyui_version"]
            newer = tuple(map(int, version.split(".")[:2])) >= (0, 30)
            yield Server(REAL_URL, NEW if newer else OLD, None, session)
            await session.post(f"{REAL_URL}/queue", json={"clear": True})
            await session.post(f"{REAL_URL}/interrupt")


@pytest.fixture(params=[OLD, NEW])
async def comfy(request: pytest.FixtureRequest) -> AsyncIterator[StandIn]:
    async with StandIn(release=request.param, step_seconds=0.003) as stand_in:
        yield stand_in


@pytest.fixture
async def client(comfy: StandIn) -> AsyncIterator[Server]:
    async with aiohttp.ClientSession() as session:
        yield Server(comfy.url, comfy.facts.version, comfy, session)


# --- a run from start to end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "flags"), [("01a", False), ("01b", True)], ids=["no flags", "feature flags"])
async def test_a_run_tells_of_every_node_and_ends_with_executing_null(
    server: Server, scenario: str, flags: bool
) -> None:
    await server.forget()
    async with server.socket(flags=flags) as socket:
        prompt_id = await server.prompt(text_to_image(), socket.client)
        await socket.until_end(prompt_id)
        await server.get(f"/history/{prompt_id}")
        await server.get("/queue")
    assert_as_recorded(server, recorded(server.release, scenario))


async def test_a_client_without_an_id_is_given_one(server: Server) -> None:
    await server.warm()
    async with server.socket(client=None) as socket:
        sid = socket.frames[0]["data"]["sid"]
        await socket.until_end(await server.prompt(text_to_image(steps=3), sid))
    assert_as_recorded(server, recorded(server.release, "01c"))


async def test_feature_flags_count_only_as_the_first_message(server: Server) -> None:
    await server.warm()
    async with server.socket() as socket:
        await socket.ws.send_json({"type": "hello"})
        await socket.ws.send_json(FLAGS)
        await socket.until_end(await server.prompt(text_to_image(steps=2), socket.client))
    assert_as_recorded(server, recorded(server.release, "01d"))


async def test_a_prompt_of_nobody_shows_its_progress_to_everybody(server: Server) -> None:
    await server.warm()
    async with server.socket("A") as a, server.socket("B", flags=True) as b:
        prompt_id = await server.prompt(text_to_image(steps=4))
        await asyncio.gather(a.until_idle(), b.until_idle(), server.finished(prompt_id))
    assert_as_recorded(server, recorded(server.release, "01e"), http=False)


async def test_a_prompt_of_somebody_absent_shows_only_the_queue(server: Server) -> None:
    await server.warm()
    async with server.socket() as socket:
        await server.prompt(text_to_image(steps=4), "someone-not-connected")
        await socket.until_idle()
    assert_as_recorded(server, recorded(server.release, "01f"), http=False)


async def test_what_ran_before_is_cached(server: Server) -> None:
    await server.warm()
    seed = random.randrange(2**31)
    prefix = f"twice{seed}"
    async with server.socket(flags=True) as socket:
        files = []
        for case in ("run 1", "run 2", "run 3"):
            server.entries.clear()
            over = prefix if case != "run 3" else f"{prefix}changed"
            prompt_id = await server.prompt(text_to_image(4, seed, filename_prefix=over), socket.client)
            await socket.until_end(prompt_id)
            history = await server.get(f"/history/{prompt_id}")
            files.append(history[prompt_id]["outputs"]["9"]["images"][0]["filename"])
            rename(server.entries, over, "rec" if case != "run 3" else "rec_changed")
            facts = recorded(server.release, "02", case)
            if case == "run 1":
                server.entries[:0] = first_frames(socket, 2)
            assert_as_recorded(server, facts)
    assert files[0] == files[1] == f"{prefix}_00001_.png"
    assert files[2] == f"{prefix}changed_00001_.png"


async def test_a_cached_output_is_shown_again_beside_a_new_one(server: Server) -> None:
    await server.warm()
    graph = text_to_image(4, filename_prefix="rec_changed")
    async with server.socket(flags=True) as socket:
        await socket.until_end(await server.prompt(graph, socket.client))
        for case in ("SaveImage + PreviewImage", "the saved file deleted"):
            server.entries.clear()
            graph["10"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
            if case.startswith("the saved"):
                await server.forget()
            prompt_id = await server.prompt(graph, socket.client)
            await socket.until_end(prompt_id)
            await server.get(f"/history/{prompt_id}")
            seen, told = server.facts(), recorded(server.release, "02", case)
            assert in_any_order(seen["sockets"]["A"]) == in_any_order(told["sockets"]["A"])
            assert sorted(seen["http"][-1]["body"]["<A>"]["outputs"]) == ["10", "9"]


def in_any_order(frames: list[Any]) -> list[str]:
    """Which of two outputs comes first differs from server to server, and with it what progress_state adds up to."""
    return sorted(json.dumps(frame, sort_keys=True) for frame in frames if frame[0] != "progress_state")


def first_frames(socket: Socket, count: int) -> list[dict[str, Any]]:
    return [{"src": f"ws:{socket.name}", "kind": "text", "msg": frame} for frame in socket.frames[:count]]


def rename(entries: list[dict[str, Any]], old: str, new: str) -> None:
    """A prefix of this run's own, so that a real server's files of earlier runs do not count, as the recorded one."""
    entries[:] = json.loads(json.dumps(entries, default=str).replace(old, new))


async def test_a_late_socket_learns_only_which_node_runs(server: Server) -> None:
    await server.warm()
    watcher = server.socket("W", flags=True)
    async with watcher:
        prompt_id = await server.prompt(text_to_image(steps=400, width=256, height=256), watcher.client)
        await watcher.until_step(2)
    server.entries.clear()
    async with server.socket(client=watcher.client, flags=True) as socket:
        await server.post("/interrupt", {"prompt_id": prompt_id})
        await socket.until_end(prompt_id)
        kinds = recorded(server.release, "03")["sockets"]["A"]
        assert [[f["type"], sorted(f["data"])] for f in socket.frames[:2]] == [
            [kind, sorted(data)] for kind, data in kinds[:2]
        ]
        assert socket.frames[1]["data"] == {"node": "3"}


async def test_after_the_end_nothing_is_told_again(server: Server) -> None:
    await server.warm()
    prompt_id = await server.prompt(text_to_image(steps=1), "late")
    await server.finished(prompt_id)
    async with server.socket(client="late", flags=True) as socket:
        await asyncio.sleep(0.2)
        assert socket.kinds == [kind for kind, _ in recorded(server.release, "03b")["sockets"]["A"]]


# --- validation -------------------------------------------------------------------------------------------------------


def changed(node: str, **inputs: Any) -> Graph:
    graph = text_to_image()
    graph[node]["inputs"].update(inputs)
    return graph


def without(*path: str) -> Graph:
    graph = text_to_image()
    inner = graph
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return graph


def unknown_class() -> Graph:
    graph = text_to_image()
    graph["5"]["class_type"] = "NoSuchNode"
    return graph


def out_of_range() -> Graph:
    graph = changed("3", steps=0, cfg=1000)
    graph["5"]["inputs"]["width"] = 99999
    return graph


def missing_inputs() -> Graph:
    graph = without("3", "inputs", "seed")
    del graph["3"]["inputs"]["model"]
    return graph


def image_graph(name: str) -> Graph:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def two_outputs() -> Graph:
    graph = text_to_image(steps=1)
    graph["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["21", 0]}}
    graph["21"] = {"class_type": "LoadImage", "inputs": {"image": "missing.png"}}
    return graph


GRAPHS: dict[str, Callable[[], Any]] = {
    "unknown node class": unknown_class,
    "missing model name": lambda: text_to_image(ckpt_name="missing.safetensors"),
    "values out of range": out_of_range,
    "width not a multiple of step 8": lambda: changed("5", width=130),
    "bad combo value": lambda: changed("3", sampler_name="nope"),
    "missing required inputs": missing_inputs,
    "no output node": lambda: without("9"),
    "link to a missing node": lambda: changed("3", model=["99", 0]),
    "link to a missing output slot": lambda: changed("3", model=["4", 7]),
    "link of a wrong type": lambda: changed("3", model=["4", 1]),
    "malformed link": lambda: changed("3", model=["4"]),
    "a string where INT": lambda: changed("3", seed="abc"),
    "seed -1": lambda: changed("3", seed=-1),
    "seed 2**64": lambda: changed("3", seed=2**64),
    "null where INT": lambda: changed("3", seed=None),
    "numeric string and float where INT": lambda: changed("3", seed=12.7, steps="4"),
    "an unknown extra input": lambda: changed("3", steps=1, bogus=1),
    "node without class_type": lambda: without("3", "class_type"),
    "node without inputs": lambda: without("9", "inputs"),
    "two output nodes": two_outputs,
    "LoadImage with a missing file": lambda: image_graph("missing.png"),
    "a cycle": lambda: changed("5", batch_size=["3", 0]),
    "empty prompt object": dict,
    "prompt null": lambda: None,
    "prompt is a list": list,
    "prompt is a string": lambda: "x",
    "UI-format workflow": lambda: {"last_node_id": 1, "nodes": [{"id": 1, "type": "LoadImage"}], "links": []},
}
BODIES = {
    "invalid JSON": "{not json",
    "empty body": "",
    "JSON without prompt": '{"client_id": "x"}',
    "top level is a list": "[]",
}


@pytest.mark.parametrize("case", GRAPHS)
async def test_a_graph_is_judged_as_recorded(server: Server, case: str) -> None:
    await server.post("/prompt", {"prompt": GRAPHS[case]()})
    assert_same_http(server.facts(frames=False)["http"], recorded(server.release, "04", f"case: {case}")["http"])


@pytest.mark.parametrize("case", BODIES)
async def test_a_body_that_is_no_prompt_is_refused_as_recorded(server: Server, case: str) -> None:
    await server.http("POST", "/prompt", data=BODIES[case], headers={"Content-Type": "application/json"})
    assert_same_http(server.facts(frames=False)["http"], recorded(server.release, "04", f"case: {case}")["http"])


async def test_an_integer_node_id_in_a_link_is_an_error_of_the_consumer(server: Server) -> None:
    answer = await server.post("/prompt", {"prompt": changed("3", model=[4, 0])})
    told = recorded(OLD, "04b", "integer node id")["http"][0]["body"]
    assert server.answer.status == 400
    assert answer["error"] == told["error"]
    assert answer["node_errors"]["3"]["errors"][0]["details"] == told["node_errors"]["3"]["errors"][0]["details"] == "4"


async def test_a_cycle_is_refused(server: Server) -> None:
    upscale: Graph = {"class_type": "LatentUpscaleBy", "inputs": {"upscale_method": "nearest-exact", "scale_by": 1.5}}
    graph = {
        "1": {**upscale, "inputs": {**upscale["inputs"], "samples": ["2", 0]}},
        "2": {**upscale, "inputs": {**upscale["inputs"], "samples": ["1", 0]}},
        "3": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "x"}},
    }
    answer = await server.post("/prompt", {"prompt": graph})
    assert server.answer.status == 400
    if not server.new:
        assert answer == recorded(OLD, "04b", "a true cycle")["http"][0]["body"]
    else:
        assert "dependency_cycle" in json.dumps(answer)


# --- execution errors -------------------------------------------------------------------------------------------------


async def test_a_loader_that_fails_ends_the_run_and_keeps_the_outputs_before_it(server: Server) -> None:
    await server.warm()
    if server.comfy:
        told = ("safetensors._safetensors_rust.SafetensorError", "Error while deserializing header: header too small")
        server.comfy.misbehave.fail_node["CheckpointLoaderSimple"] = told
    graph = text_to_image(ckpt_name=BROKEN_CHECKPOINT)
    graph["30"] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}}
    graph["31"] = {"class_type": "PreviewImage", "inputs": {"images": ["30", 0]}}
    async with server.socket(flags=True) as socket:
        prompt_id = await server.prompt(graph, socket.client)
        await socket.until_end(prompt_id)
        await server.get(f"/history/{prompt_id}")
    assert_as_recorded(server, recorded(server.release, "05", "zero-byte checkpoint"))


async def test_an_error_in_the_middle_names_the_node_and_what_ran(server: Server) -> None:
    size = {
        "1": text_to_image()["5"],
        "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "x"}},
    }
    await server.forget()
    await server.quietly(size)
    graph = text_to_image(steps=2)
    graph["8"]["inputs"]["vae"] = ["40", 2]
    graph["40"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny_sd15.safetensors"}}
    message = recorded(OLD, "05", "error in the middle")["sockets"]["A"][-3][1]["exception_message"]
    if server.comfy:
        server.comfy.misbehave.fail_node["VAEDecode"] = ("RuntimeError", message.rstrip())
    async with server.socket(flags=True) as socket:
        server.entries.clear()
        prompt_id = await server.prompt(graph, socket.client)
        await socket.until_end(prompt_id)
        await server.get(f"/history/{prompt_id}")
    assert_as_recorded(server, recorded(server.release, "05", "error in the middle"))


async def test_an_error_of_nobodys_prompt_is_only_in_the_history(server: Server) -> None:
    await server.warm()
    if server.comfy:
        told = ("safetensors._safetensors_rust.SafetensorError", "Error while deserializing header: header too small")
        server.comfy.misbehave.fail_node["CheckpointLoaderSimple"] = told
    async with server.socket(flags=True) as socket:
        server.entries.clear()
        prompt_id = await server.prompt(text_to_image(ckpt_name=BROKEN_CHECKPOINT))
        await socket.until_idle()
        await server.finished(prompt_id)
        await server.get(f"/history/{prompt_id}")
    assert_as_recorded(server, recorded(server.release, "05", "cycle that passes"))


# --- interrupt and the queue ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, None, "id"], ids=["empty object", "no body", "its id"])
async def test_an_interrupt_stops_the_sampler_at_its_next_step(server: Server, body: Any) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        prompt_id = await server.prompt(text_to_image(steps=2000), a.client)
        await a.until_step(3)
        await server.post("/interrupt", {"prompt_id": prompt_id} if body == "id" else body)
        await asyncio.gather(a.until_end(prompt_id), b.until_idle())
    facts = recorded(server.release, "06", "interrupt with the prompt_id of the running")
    assert_as_recorded(server, facts, loose=True)


async def test_only_its_own_id_interrupts_a_prompt_and_delete_only_what_waits(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        running = await server.prompt(text_to_image(steps=2000), a.client)
        await a.until(lambda frame: frame.get("type") == "executing")
        waiting = await server.prompt(text_to_image(steps=2000), b.client)
        await a.until_step(3)
        await server.post("/interrupt", {"prompt_id": waiting})
        await server.post("/interrupt", {"prompt_id": str(uuid.uuid4())})
        await server.get("/queue")
        await server.post("/queue", {"delete": [waiting]})
        await server.get(f"/history/{waiting}")
        await server.post("/queue", {"delete": [running]})
        await server.get("/queue")
        await server.post("/queue", {"delete": ["unknown-id"]})
        await server.post("/interrupt", {"prompt_id": running})
        await asyncio.gather(a.until_end(running), b.until_idle())
    assert_as_recorded(server, recorded(server.release, "06", "interrupt with the prompt_id of a PENDING"), loose=True)


async def test_an_interrupt_of_nothing_does_not_reach_the_next_prompt(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        await server.post("/interrupt", {})
        prompt_id = await server.prompt(text_to_image(steps=2), a.client)
        await asyncio.gather(a.until_end(prompt_id), b.until_idle())
    assert_as_recorded(server, recorded(server.release, "06", "interrupt when idle"), http=False, loose=True)


async def test_a_global_interrupt_hits_whoever_runs_and_not_who_waits(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        running = await server.prompt(text_to_image(steps=2000), a.client)
        await a.until(lambda frame: frame.get("type") == "executing")
        waiting = await server.prompt(text_to_image(steps=2), b.client)
        await a.until_step(3)
        await server.post("/interrupt")
        await asyncio.gather(a.until_end(running), b.until_end(waiting))
        await a.until_idle()
    assert_as_recorded(server, recorded(server.release, "06", "B interrupts globally"), http=False, loose=True)


async def test_the_interrupt_of_nobodys_prompt_is_told_to_everybody(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        prompt_id = await server.prompt(text_to_image(steps=2000))
        await a.until_step(3)
        await server.post("/interrupt", {"prompt_id": prompt_id})
        await asyncio.gather(a.until_idle(), b.until_idle())
    facts = recorded(server.release, "06", "interrupt of a prompt posted without client_id")
    assert_as_recorded(server, facts, http=False, loose=True)


async def test_clear_empties_the_queue_and_leaves_what_runs(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        running = await server.prompt(text_to_image(steps=2000), a.client)
        await a.until(lambda frame: frame.get("type") == "executing")
        await server.prompt(text_to_image(), b.client)
        await server.prompt(text_to_image(), a.client)
        await a.until_step(3)
        await server.post("/queue", {"clear": True})
        await server.get("/queue")
        await server.post("/interrupt")
        await asyncio.gather(a.until_end(running), b.until_idle())
    assert_as_recorded(server, recorded(server.release, "06", "queue clear"), loose=True)


async def test_an_interrupt_inside_a_node_without_steps_counts_at_the_next_node(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B", flags=True) as b:
        server.entries.clear()
        batch = 8 if server.comfy else 1  # painting is faster than decoding
        graph = text_to_image(steps=1, width=768, height=768, batch_size=batch)
        prompt_id = await server.prompt(graph, a.client)
        await a.until(lambda frame: frame.get("type") == "executing" and frame["data"]["node"] == "8")
        await server.post("/interrupt", {"prompt_id": prompt_id})
        await asyncio.gather(a.until_end(prompt_id), b.until_idle())
        await server.finished(prompt_id)
        await server.get(f"/history/{prompt_id}")
    assert_as_recorded(server, recorded(server.release, "06", "late interrupt latency"), loose=True)


async def test_an_interrupt_in_the_last_node_is_lost(server: Server) -> None:
    await server.forget()
    count = 12 if server.comfy else 40  # long enough to be interrupted in
    image = {"class_type": "EmptyImage", "inputs": {"width": 1024, "height": 1024, "batch_size": count, "color": 1}}
    options = {"filename_prefix": "lab/slow", "fps": 6.0, "lossless": False, "quality": 80, "method": "slowest"}
    graph = {"1": image, "2": {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["1", 0], **options}}}
    async with server.socket() as socket:
        prompt_id = await server.prompt(graph, socket.client)
        await socket.until(lambda frame: frame.get("type") == "executing" and frame["data"]["node"] == "2")
        await asyncio.sleep(0.05)  # the node's own beginning is the last chance to be seen
        await server.post("/interrupt", {"prompt_id": prompt_id})
        await socket.until_end(prompt_id)
    assert "execution_success" in socket.kinds
    told = recorded(OLD, "06b")["sockets"]["A"]
    end = [entry[0] for entry in told].index("execution_success") + 1
    alike(server.facts()["sockets"]["A"][:end], told[:end], thinned=server.new)


async def test_an_interrupt_with_a_list_for_a_body_is_a_server_error(server: Server) -> None:
    await server.http("POST", "/interrupt", data="[]", headers={"Content-Type": "application/json"})
    assert server.answer.status == 500


async def test_each_client_sees_its_own_runs_and_everybody_the_queue(server: Server) -> None:
    await server.warm()
    async with server.socket("A", flags=True) as a, server.socket("B") as b:
        first = await server.prompt(text_to_image(steps=40, width=256, height=256), a.client)
        await a.until(lambda frame: frame.get("type") == "executing" and frame["data"]["node"] == "3")
        second = await server.prompt(text_to_image(steps=20, width=192, height=192), b.client)
        third = await server.prompt(text_to_image(steps=3, width=192, height=192), a.client)
        await server.get("/queue")
        await server.get("/prompt")
        await asyncio.gather(a.until_end(first), b.until_end(second), a.until_end(third), b.until_idle())
        await server.finished(third)
        await server.get("/queue")
        await server.get("/history?max_items=3")
    facts = recorded(server.release, "07")
    facts = {**facts, "http": [*facts["http"][:5], *facts["http"][6:]]}
    assert_as_recorded(server, facts, loose=True)


async def test_front_and_number_decide_who_is_next(server: Server) -> None:
    await server.warm()
    async with server.socket(flags=True) as socket:
        server.entries.clear()
        for _ in range(8):
            await server.post("/prompt", {})  # refused, and counted: the fronts' numbers are below -5 then
        server.entries.clear()
        ids = [await server.prompt(text_to_image(steps=200), socket.client)]
        await socket.until_step(1)
        for more in ({}, {"front": True}, {"number": -5}, {"number": 0.5}, {"front": True}):
            ids.append(await server.prompt(text_to_image(steps=1), socket.client, **more))
        queue = await server.get("/queue")
        pending = [item[1] for item in queue["queue_pending"]]
        await server.post("/interrupt", {"prompt_id": ids[0]})
        await asyncio.gather(*(socket.until_end(prompt_id) for prompt_id in ids))
    _, normal, front, minus, half, front2 = ids
    started = [frame["data"]["prompt_id"] for frame in socket.frames if frame.get("type") == "execution_start"]
    assert started[1:] == [front2, front, minus, half, normal]
    assert pending == [front2, front, minus, normal, half]  # the heap as it is, not sorted
    assert_same_http(server.facts()["http"][:6], recorded(server.release, "07", "front")["http"])


# --- reconnecting -----------------------------------------------------------------------------------------------------


async def test_the_same_client_id_goes_on_after_a_lost_connection_without_its_flags(server: Server) -> None:
    await server.warm(width=256)
    async with server.socket("A1", flags=True) as first:
        prompt_id = await server.prompt(
            text_to_image(steps=150), first.client, extra_data={"preview_method": "latent2rgb"}
        )
        await first.until_step(3)
        first.drop()
    await asyncio.sleep(0.1)
    async with server.socket("A2", client=first.client) as second:
        await second.until(lambda frame: "event" in frame)
        await server.post("/interrupt", {"prompt_id": prompt_id})
        await second.until_end(prompt_id)
    told = recorded(server.release, "08a")["sockets"]["A2"]
    seen = server.facts()["sockets"]["A2"]
    assert seen[:2] == told[:2] == [told[0], ["executing", {"node": "3"}]]
    assert next(frame for frame in second.frames if "event" in frame)["event"] == 1


@pytest.mark.parametrize("how", ["closed", "aborted"])
async def test_of_two_sockets_with_one_id_the_newer_is_deaf_once_the_older_ends(server: Server, how: str) -> None:
    await server.warm()
    async with server.socket("A1", flags=True) as first, server.socket("W") as watcher:
        prompt_id = await server.prompt(text_to_image(steps=400), first.client)
        await first.until_step(2)
        async with server.socket("A2", client=first.client) as second:
            await second.until_step(1)
            if how == "closed":
                await first.ws.close()
            else:
                first.drop()
            await asyncio.sleep(0.3)
            heard = len(second.frames)
            await server.post("/interrupt", {"prompt_id": prompt_id})
            await watcher.until_idle()
            await asyncio.sleep(0.1)
            assert len(second.frames) == heard
            assert not second.ws.closed
    assert first.frames[-1] != second.frames[-1]


async def test_a_new_client_id_hears_only_of_the_queue(server: Server) -> None:
    await server.warm()
    async with server.socket("A1", flags=True) as first:
        prompt_id = await server.prompt(text_to_image(steps=80), first.client)
        await first.until_step(2)
        first.drop()
    async with server.socket("A2", flags=True) as second:
        await second.until_idle()
    await server.finished(prompt_id)
    assert second.kinds == ["status", "feature_flags", "status"]


# --- files ------------------------------------------------------------------------------------------------------------


RED, BLUE = png(colour="red"), png(colour="blue")
UPLOADS: list[tuple[str, bytes, str, dict[str, str]]] = [
    ("first", RED, "lab_red.png", {"overwrite": "true"}),
    ("same name, same bytes", RED, "lab_red.png", {}),
    ("same name, other bytes", BLUE, "lab_red.png", {}),
    ("again the other bytes", BLUE, "lab_red.png", {}),
    ("overwrite=true", BLUE, "lab_red.png", {"overwrite": "true"}),
    ("overwrite=1", RED, "lab_red.png", {"overwrite": "1"}),
    ("overwrite=True", BLUE, "lab_red.png", {"overwrite": "True"}),
    ("subfolder", RED, "lab_red.png", {"subfolder": "lab/sub", "overwrite": "true"}),
    ("type=temp", RED, "lab_red.png", {"type": "temp"}),
    ("type=output", RED, "lab_out.png", {"type": "output"}),
    ("type=bogus", RED, "lab_red.png", {"type": "bogus"}),
    ("path in filename", RED, "../x.png", {}),
    ("subfolder ../..", RED, "lab_red.png", {"subfolder": "../.."}),
    ("unicode and spaces", RED, 'été "x" 画 1.png', {}),
    ("not an image", b"hello", "not_image.png", {}),
    ("html file", b"hello", "x.html", {}),
    ("empty file", b"", "empty.png", {}),
]


def form(content: bytes, name: str, fields: dict[str, str], field_name: str = "image") -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field(field_name, content, filename=name, content_type="image/png")
    for key, value in fields.items():
        data.add_field(key, value)
    return data


async def test_uploads_are_named_and_refused_as_recorded(server: Server) -> None:
    own = f"t{random.randrange(10**9)}"  # a real server keeps the files of earlier runs
    for case, content, name, fields in UPLOADS:
        server.entries.clear()
        await server.post("/upload/image", data=form(content, name.replace("lab_", f"{own}_"), fields))
        rename(server.entries, f"{own}_", "lab_")
        assert_same_http(server.facts()["http"], recorded(server.release, "10", f"upload: {case}")["http"][:1])
    for data in (form(RED, "x.png", {}, "file"), form(RED, "x.png", {"type": "input"}, "picture")):
        await server.post("/upload/image", data=data)
        assert server.answer.status == 400
    assert "not_image.png" in json.dumps(await server.get("/object_info/LoadImage"))


async def test_an_upload_above_the_limit_is_refused(server: Server) -> None:
    body = await server.post("/upload/image", data=form(bytes(101 * 1024 * 1024), "big.bin", {}))
    assert (server.answer.status, body) == (413, "Maximum request body size 104857600 exceeded.")


async def test_a_mask_gives_the_original_its_transparency(server: Server) -> None:
    await server.post("/upload/image", data=form(RED, "lab_red.png", {"overwrite": "true"}))
    clear = png(colour=(0, 0, 0, 0), mode="RGBA")
    original = {"filename": "lab_red.png", "subfolder": "", "type": "input"}
    fields = {"type": "input", "subfolder": "clipspace", "overwrite": "true"}
    server.entries.clear()
    await server.post(
        "/upload/mask", data=form(clear, "lab_masked.png", {**fields, "original_ref": json.dumps(original)})
    )
    assert_same_http(server.facts()["http"], recorded(OLD, "10", "upload: mask")["http"])
    place = {"filename": "lab_masked.png", "subfolder": "clipspace", "type": "input"}
    image = opened(await server.get("/view", params=place))
    assert image.mode == "RGBA"
    assert image.getchannel("A").getextrema() == (0, 0)
    lost = {**original, "filename": "nope.png"}
    own = f"lost{random.randrange(10**9)}.png"
    await server.post("/upload/mask", data=form(clear, own, {"original_ref": json.dumps(lost)}))
    assert server.answer.status == 200
    await server.get("/view", params={"filename": own, "type": "input"})
    assert server.answer.status == 404  # answered, and never written
    await server.post("/upload/mask", data=form(clear, "m.png", {}))
    assert server.answer.status == 500


def image_to_image(image: str) -> Graph:
    graph = text_to_image(steps=3, denoise=0.6)
    del graph["5"]
    graph["3"]["inputs"]["latent_image"] = ["11", 0]
    graph["10"] = {"class_type": "LoadImage", "inputs": {"image": image}}
    graph["11"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}}
    return graph


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        ("lab_red.png", {}),
        ("lab/sub/lab_red.png", {"subfolder": "lab/sub"}),
        ("lab_red.png [input]", {}),
        ("lab_red.png [temp]", {"type": "temp"}),
        ("lab_out.png [output]", {"type": "output"}),
    ],
)
async def test_an_uploaded_picture_is_loaded_by_any_of_its_names(
    server: Server, image: str, fields: dict[str, str]
) -> None:
    name = "lab_out.png" if "output" in image else "lab_red.png"
    await server.post("/upload/image", data=form(RED, name, {**fields, "overwrite": "true"}))
    item = await server.finished(await server.prompt(image_to_image(image), "nobody"))
    assert item["status"]["status_str"] == "success"
    assert item["outputs"]["9"]["images"]


async def test_a_file_that_is_no_picture_fails_when_it_is_loaded(server: Server) -> None:
    await server.post("/upload/image", data=form(b"hello", "not_image.png", {"overwrite": "true"}))
    item = await server.finished(await server.prompt(image_to_image("not_image.png"), "nobody"))
    kind, error = item["status"]["messages"][-1]
    assert (kind, error["node_id"], error["exception_type"]) == ("execution_error", "10", "PIL.UnidentifiedImageError")


async def test_a_mask_can_be_painted_in(server: Server) -> None:
    clear = png(colour=(0, 120, 0, 0), mode="RGBA")
    await server.post("/upload/image", data=form(clear, "holed.png", {"overwrite": "true"}))
    graph = image_to_image("holed.png")
    graph["11"]["class_type"] = "VAEEncodeForInpaint"
    graph["11"]["inputs"] |= {"mask": ["10", 1], "grow_mask_by": 6}
    item = await server.finished(await server.prompt(graph, "nobody"))
    assert item["status"]["status_str"] == "success"


async def test_view_answers_as_recorded(server: Server) -> None:
    own = f"lab/v{random.randrange(10**9)}"
    graph = text_to_image(steps=1, filename_prefix=own)
    graph["10"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    item = await server.finished(await server.prompt(graph, "nobody"))
    saved, shown = (item["outputs"][node]["images"][0]["filename"] for node in ("9", "10"))
    await server.post("/upload/image", data=form(RED, "lab_red.png", {"overwrite": "true"}))
    await server.post("/upload/image", data=form(b"hello", "not_image.png", {"overwrite": "true"}))
    await server.post("/upload/image", data=form(b"hello", "x.html", {"overwrite": "true"}))
    for told in recorded(server.release, "11")["http"]:
        if not told["path"].endswith("/view") or told["status"] == 304:
            continue
        params = {key: real_name(value, saved, shown) for key, value in told.get("params", {}).items()}
        headers = {"Range": told["range"]} if "range" in told else {}
        await server.http(told["method"], told["path"], params=params, headers=headers)
        seen = (server.answer.status, server.answer.headers.get("Content-Type", "").partition(";")[0])
        assert seen == (told["status"], told["content_type"]), told


def real_name(value: str, saved: str, shown: str) -> str:
    if value.startswith("ComfyUI_temp_"):
        return shown
    return saved + value.partition(".png")[2] if value.startswith("view_") else value


async def test_view_knows_what_the_client_has(server: Server) -> None:
    await server.post("/upload/image", data=form(RED, "lab_red.png", {"overwrite": "true"}))
    place = {"filename": "lab_red.png", "type": "input"}
    assert await server.get("/view", params=place) == RED
    etag = server.answer.headers["Etag"]
    await server.get("/view", params=place, headers={"If-None-Match": etag})
    assert server.answer.status == 304
    assert await server.get("/view", params=place, headers={"Range": "bytes=0-99"}) == RED[:100]
    assert server.answer.headers["Content-Range"] == f"bytes 0-99/{len(RED)}"


async def test_a_head_tells_what_a_download_would_bring(server: Server) -> None:
    await server.post("/upload/image", data=form(RED, "lab_red.png", {"overwrite": "true"}))
    graph = text_to_image(steps=1, filename_prefix="lab/head")
    graph["10"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    item = await server.finished(await server.prompt(graph, "nobody"))
    saved, shown = (item["outputs"][node]["images"][0] for node in ("9", "10"))
    assert (saved["type"], shown["type"]) == ("output", "temp")
    for place in ({"filename": "lab_red.png", "type": "input"}, saved, shown):
        for path in ("/view", "/api/view"):
            content = await server.get(path, params=place)
            told = {key: value for key, value in server.answer.headers.items() if key != "Date"}
            assert told["Content-Length"] == str(len(content))
            assert told["Content-Type"] == "image/png"
            assert told["Etag"]
            assert told.get("X-Content-Type-Options") == ("nosniff" if server.new else None)
            assert await server.http("HEAD", path, params=place) == b""
            assert server.answer.status == 200
            assert {key: value for key, value in server.answer.headers.items() if key != "Date"} == told
    for params, status in (
        ({"filename": "nope.png"}, 404),
        ({"filename": "nope.png", "type": "input"}, 404),
        ({"filename": "nope.png", "type": "temp"}, 404),
        ({}, 404),
        ({"filename": "nope.png", "type": "bogus"}, 400),
        ({"filename": "nope.png", "subfolder": "../.."}, 403),
    ):
        assert await server.http("HEAD", "/view", params=params) == b""
        assert server.answer.status == status, params
        assert "Content-Length" not in server.answer.headers


CONTENT_TYPES = {
    "mp4": "video/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "wav": "audio/x-wav",
    "m4a": "audio/mp4",
    "webp": "image/webp",
    "gif": "image/gif",
    "glb": "model/gltf-binary",
    "txt": "text/plain",
    "csv": "text/csv",
    "md": "text/markdown",
    "json": "application/json",
    "latent": "application/octet-stream",
    "html": "application/octet-stream",
}


async def test_every_file_has_the_type_of_its_name(server: Server) -> None:
    for suffix, kind in {**CONTENT_TYPES, "svg": "application/octet-stream" if server.new else "image/svg+xml"}.items():
        name = f"lab.{suffix}"
        await server.post("/upload/image", data=form(b"hello", name, {"overwrite": "true"}))
        await server.http("HEAD", "/view", params={"filename": name, "type": "input"})
        assert server.answer.headers["Content-Type"] == kind
        attached = "attachment; " if server.new and suffix in ("html", "svg") else ""
        assert server.answer.headers["Content-Disposition"] == f'{attached}filename="{name}"'


def holed(mode: str) -> tuple[bytes, int]:
    """A picture, and the mask that it gives."""
    if mode == "P":
        return saved(Image.new("RGB", (48, 32), "red").quantize(2), transparency=0), 255
    colour = {"RGBA": (0, 120, 0, 55), "LA": (9, 155)}.get(mode, 0)
    return png((48, 32), colour, mode), {"RGBA": 200, "LA": 100}.get(mode, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
async def test_a_mask_is_what_a_picture_lacks(server: Server, mode: str) -> None:
    content, value = holed(mode)
    await server.post("/upload/image", data=form(content, f"lab_{mode}.png", {"overwrite": "true"}))
    load = {"class_type": "LoadImage", "inputs": {"image": f"lab_{mode}.png"}}
    graph = {"1": load, "2": {"class_type": "MaskPreview", "inputs": {"mask": ["1", 1]}}}
    item = await server.finished(await server.prompt(graph, "nobody"))
    mask = opened(await server.get("/view", params=item["outputs"]["2"]["images"][0])).convert("L")
    assert mask.size == ((64, 64) if mode == "RGB" else (48, 32))
    low, high = (int(side) for side in mask.getextrema())
    assert value - 1 <= low == high <= value + 1


async def test_a_page_of_another_origin_is_refused(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    for origin, status in {
        "http://evil.example": 403,
        f"http://127.0.0.1:{port}": 200,
        f"http://localhost:{port}": 403,
        "http://127.0.0.1": 200,
        "null": 200,
    }.items():
        await server.get("/prompt", headers={"Origin": origin})
        assert server.answer.status == status, origin
    await server.get("/prompt", headers={"Origin": "http://open-webui:8080", "Host": f"localhost:{port}"})
    assert server.answer.status == 403
    await server.get("/prompt", headers={"Sec-Fetch-Site": "cross-site"})
    assert server.answer.status == (403 if server.new else 200)


async def test_a_png_carries_its_prompt_and_what_the_client_adds(server: Server) -> None:
    extra = {
        "extra_pnginfo": {"workflow": {"nodes": []}, "owui": {"chat": "c1"}},
        "my_key": 1,
        "api_key_comfy_org": "S",
    }
    graph = text_to_image(steps=1, filename_prefix="lab/meta")
    item = await server.finished(await server.prompt(graph, "me", extra_data={**extra, "client_id": "not me"}))
    kept = item["prompt"][3]
    assert kept["client_id"] == "me"
    assert kept["my_key"] == 1
    assert "api_key_comfy_org" not in kept
    place = item["outputs"]["9"]["images"][0]
    texts = opened(await server.get("/view", params=place)).info
    assert json.loads(texts["prompt"]) == graph
    assert json.loads(texts["workflow"]) == {"nodes": []}
    assert json.loads(texts["owui"]) == {"chat": "c1"}
    bare = opened(await server.get("/view", params={**place, "channel": "rgb"})).info
    assert "prompt" not in bare


async def test_extra_pnginfo_that_is_no_object_fails_in_the_save_node(server: Server) -> None:
    item = await server.finished(await server.prompt(text_to_image(steps=1), extra_data={"extra_pnginfo": "x"}))
    kind, error = item["status"]["messages"][-1]
    assert (kind, error["node_type"], error["exception_type"]) == ("execution_error", "SaveImage", "TypeError")
    if server.new:  # and while the history has it, the list of jobs fails
        await server.get("/api/jobs")
        assert server.answer.status == 500
    await server.post("/history", {"delete": [item["prompt"][1]]})


# --- what nodes show --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [False, True])
async def test_save_image_websocket_sends_whole_pictures(server: Server, flags: bool) -> None:
    await server.warm(**({"batch_size": 2} if flags else {}))
    graph = text_to_image(steps=2, batch_size=2)
    graph["9"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}}
    async with server.socket(flags=flags) as socket:
        prompt_id = await server.prompt(graph, socket.client)
        await socket.until_end(prompt_id)
        await server.get(f"/history/{prompt_id}")
    assert_as_recorded(server, recorded(server.release, "12", f"feature flags: {flags}"))


def film(kind: str, **options: Any) -> Graph:
    image = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 5, "color": 16711680}}
    return {"1": image, "2": {"class_type": kind, "inputs": {"images": ["1", 0], **options}}}


def sound(kind: str, **options: Any) -> Graph:
    load = {"class_type": "LoadAudio", "inputs": {"audio": "lab.wav"}}
    return {"1": load, "2": {"class_type": kind, "inputs": {"audio": ["1", 0], **options}}}


def video() -> Graph:
    graph = film("CreateVideo", fps=6.0)
    save = {"filename_prefix": "lab/video", "format": "auto", "codec": "auto"}
    graph["3"] = {"class_type": "SaveVideo", "inputs": {"video": ["2", 0], **save}}
    return graph


def shown_picture() -> Graph:
    graph = text_to_image(steps=2)
    graph["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    return graph


def shown_text() -> Graph:
    text = {"class_type": "PrimitiveString", "inputs": {"value": "hello text"}}
    return {"1": text, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}


def shown_mask() -> Graph:
    mask = {"class_type": "SolidMask", "inputs": {"value": 0.5, "width": 64, "height": 64}}
    return {"1": mask, "2": {"class_type": "MaskPreview", "inputs": {"mask": ["1", 0]}}}


def saved_latent() -> Graph:
    latent = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    return {
        "1": latent,
        "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "lab/latent"}},
    }


SHOWS: dict[str, Callable[[], Graph]] = {
    "PreviewImage": shown_picture,
    "batch of 3": lambda: text_to_image(1, batch_size=3, filename_prefix="lab/%year%-%month%-%day%/%width%x%height%"),
    "SaveAnimatedWEBP": lambda: film(
        "SaveAnimatedWEBP", filename_prefix="lab/anim", fps=6.0, lossless=True, quality=80, method="default"
    ),
    "SaveAnimatedPNG": lambda: film("SaveAnimatedPNG", filename_prefix="lab/anim", fps=6.0, compress_level=4),
    "SaveWEBM": lambda: film("SaveWEBM", filename_prefix="lab/webm", codec="vp9", fps=6.0, crf=32.0),
    "CreateVideo+SaveVideo": video,
    "PreviewAny": shown_text,
    "MaskPreview": shown_mask,
    "SaveLatent": saved_latent,
    "SaveAudio": lambda: sound("SaveAudio", filename_prefix="lab/audio"),
    "SaveAudioMP3": lambda: sound("SaveAudioMP3", filename_prefix="lab/audio", quality="V0"),
    "PreviewAudio": lambda: sound("PreviewAudio"),
}


async def test_every_output_has_the_recorded_shape(server: Server) -> None:
    await server.warm(width=256)
    await server.post("/upload/image", data=form(wave_file(), "lab.wav", {"overwrite": "true"}))
    async with server.socket(flags=True) as socket:
        for case, graph in SHOWS.items():
            server.entries.clear()
            prompt_id = await server.prompt(graph(), socket.client)
            await socket.until_end(prompt_id)
            await server.get(f"/history/{prompt_id}")
            facts = recorded(server.release, "13", f"case: {case}")
            if case == "PreviewImage":
                facts = {**facts, "sockets": {"A": facts["sockets"]["A"][2:]}}
            facts = {**facts, "http": facts["http"][:2]}
            assert_as_recorded(server, facts)


def animated(kind: str, **options: Any) -> Graph:
    graph = text_to_image(1, width=64, height=64, batch_size=3)
    graph["9"] = {"class_type": kind, "inputs": {"images": ["8", 0], "filename_prefix": "lab/anim", **options}}
    return graph


def advanced(kind: str, **options: Any) -> Graph:
    return sound("SaveAudioAdvanced", filename_prefix="lab/audio", format=kind, **options)


def film_as(suffix: str) -> Graph:
    graph = video()
    graph["3"]["inputs"] |= {"format": suffix, "format.codec": "auto"}
    return graph


def saved_text(text: str, suffix: str) -> Graph:
    value = {"class_type": "PrimitiveString", "inputs": {"value": text}}
    save = {"text": ["1", 0], "filename_prefix": "lab/text", "format": suffix}
    return {"1": value, "2": {"class_type": "SaveText", "inputs": save}}


MATROSKA = b"\x1a\x45\xdf\xa3"
# A graph, the key of its output, the name of the file from its number on, and how the file begins.
WRITES: dict[str, tuple[Callable[[], Graph], str, str, bytes]] = {
    "webp": (lambda: animated("SaveAnimatedWEBP", fps=6.0, lossless=True, quality=80, method="default"),
             "images", "_.webp", b"RIFF"),
    "png": (lambda: animated("SaveAnimatedPNG", fps=6.0, compress_level=4), "images", "_.png", b"\x89PNG"),
    "mp4": (video, "images", "_.mp4", b"ftyp"),
    "webm": (SHOWS["SaveWEBM"], "images", "_.webm", MATROSKA),
    "flac": (SHOWS["SaveAudio"], "audio", "_.flac", b"fLaC"),
    "mp3": (SHOWS["SaveAudioMP3"], "audio", "_.mp3", b"ID3"),
    "opus": (lambda: sound("SaveAudioOpus", filename_prefix="lab/audio", quality="64k"), "audio", "_.opus", b"OggS"),
    "temp flac": (SHOWS["PreviewAudio"], "audio", "_.flac", b"fLaC"),
    "latent": (saved_latent, "latents", "_.latent", b""),
}  # fmt: skip
NEWER_WRITES: dict[str, tuple[Callable[[], Graph], str, str, bytes]] = {
    "mkv": (lambda: film_as("mkv"), "images", "_.mkv", MATROSKA),
    "video webm": (lambda: film_as("webm"), "images", "_.webm", MATROSKA),
    "advanced flac": (lambda: advanced("flac"), "audio", "_.flac", b"fLaC"),
    "advanced mp3": (lambda: advanced("mp3", **{"format.quality": "128k"}), "audio", "_.mp3", b"ID3"),
    "advanced opus": (lambda: advanced("opus", **{"format.quality": "64k"}), "audio", "_.opus", b"OggS"),
    "txt": (lambda: saved_text("hé", "txt"), "files", ".txt", "hé".encode()),
    "md": (lambda: saved_text("# hé", "md"), "files", ".md", b"# h"),
    "csv": (lambda: saved_text("a,b", "csv"), "files", ".csv", b"a,b"),
    "json": (lambda: saved_text('{"a": 1}', "json"), "files", ".json", b'{\n  "a": 1\n}'),
    "no json": (lambda: saved_text("no {json", "json"), "files", ".json", b"no {json"),
}


@pytest.mark.parametrize("case", [*WRITES, *NEWER_WRITES])
async def test_every_written_file_is_of_its_kind(server: Server, case: str) -> None:
    if case in NEWER_WRITES and not server.new:
        pytest.skip("the older release cannot")
    await server.post("/upload/image", data=form(wave_file(), "lab.wav", {"overwrite": "true"}))
    graph, key, name, beginning = (WRITES | NEWER_WRITES)[case]
    item = await server.finished(await server.prompt(graph(), "nobody"))
    assert item["status"]["status_str"] == "success", item["status"]["messages"][-1]
    (shown,) = item["outputs"].values()
    (place,) = shown[key]
    texts = [key for key in ("text", "files") if key in shown]
    assert sorted(shown) == sorted({"images": ["images", "animated"], "files": texts}.get(key, [key]))
    assert sorted(place) == ["filename", "subfolder", "type"]
    if server.new and key == "audio":
        name = name.removeprefix("_")
    assert re.search(r"_\d{5}" + re.escape(name) + "$", place["filename"]), place
    assert (place["type"], place["subfolder"]) == (("temp", "") if case.startswith("temp") else ("output", "lab"))
    async with server.session.get(f"{server.url}/view", params=place) as answer:
        content = await answer.read()
        assert answer.headers["Content-Type"] == CONTENT_TYPES.get(name.rpartition(".")[2], "image/png")
    assert content[4 if case == "mp4" else 0 :].startswith(beginning)
    if case in ("webp", "png"):
        assert getattr(opened(content), "n_frames", 1) == 3
    if case == "latent":
        (length,) = struct.unpack("<Q", content[:8])
        head = json.loads(content[8 : 8 + length])
        assert head["latent_tensor"]["shape"] == [1, 4, 8, 8]
        assert len(content) == 8 + length + head["latent_tensor"]["data_offsets"][1]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("PrimitiveString", "hé\ntext", "hé\ntext"),
        ("PrimitiveInt", 5, "5"),
        ("PrimitiveFloat", 2.5, "2.5"),
        ("PrimitiveBoolean", True, "True"),
    ],
)
async def test_any_value_is_shown_as_text(server: Server, kind: str, value: Any, text: str) -> None:
    source = {"class_type": kind, "inputs": {"value": value}}
    graph = {"1": source, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}
    item = await server.finished(await server.prompt(graph, "nobody"))
    assert item["outputs"] == {"2": {"text": [text]}}


async def test_a_shown_model_is_named_by_its_path(server: Server) -> None:
    graph = {"1": {"class_type": "Preview3D", "inputs": {"model_file": "3d/x.glb"}}}
    item = await server.finished(await server.prompt(graph, "nobody"))
    assert item["outputs"] == {"1": {"result": ["3d/x.glb", None, *([None] if server.new else [])]}}


async def test_progress_text_is_sent_to_everybody(server: Server) -> None:
    await server.forget()
    image = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 5}}
    size = {"class_type": "GetImageSize", "inputs": {"image": ["1", 0]}}
    graph = {"1": image, "2": size, "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}}}
    async with server.socket("A", flags=True) as a, server.socket("B") as b:
        server.entries.clear()
        server.entries += first_frames(b, 1)
        await a.until_end(await server.prompt(graph, a.client))
        await b.until_idle()
    assert_as_recorded(server, recorded(OLD, "19", "GetImageSize"), loose=True)


# --- routes -----------------------------------------------------------------------------------------------------------

OTHER_STATE = ("max_items=1", "dir=workflows", "view_metadata", "/history/<", "/api/jobs")


async def test_every_route_answers_as_recorded(server: Server) -> None:
    for told in recorded(server.release, "14")["http"]:
        path = told["path"]
        if told["method"] != "GET" or any(part in path for part in OTHER_STATE) or path in ("/queue", "/history"):
            continue
        if path.startswith("/userdata/"):
            break
        server.entries.clear()
        await server.get(path)
        if path.startswith(("/models/", "/prompt")) or path.endswith("/prompt"):
            told = {key: value for key, value in told.items() if key != "body"}
        assert_same_http(server.facts()["http"], [told])


async def test_saved_workflows_have_escaped_slashes(server: Server) -> None:
    name, text = f"lab_{random.randrange(10**9)}.json", '{"nodes": [], "links": [], "version": 0.4}'
    if server.comfy:
        assert await server.get("/userdata?dir=workflows") == "Directory not found"
        assert server.answer.status == 404
    saved = await server.post(f"/userdata/workflows%2F{name}?overwrite=true&full_info=true", data=text)
    assert (saved["path"], saved["size"]) == (f"workflows/{name}", len(text))
    assert await server.post(f"/userdata/workflows%2F{name}?overwrite=false", data=text) == "File already exists"
    assert server.answer.status == 409
    assert await server.post(f"/userdata/workflows%2Fsub%2F{name}", data=text) == f"workflows/sub/{name}"
    assert name in await server.get("/userdata?dir=workflows")
    listed = await server.get("/userdata?dir=workflows&recurse=true&split=false&full_info=true")
    assert {name, f"sub/{name}"} <= {file["path"] for file in listed}
    await server.get(f"/userdata/workflows%2F{name}")
    assert (server.answer.status, server.entries[-1]["body"]) == (200, json.loads(text))
    for path, status in {
        f"/userdata/workflows/{name}": 404,
        "/userdata/workflows%2Fnope.json": 404,
        "/userdata": 400,
        "/userdata?dir=../..": 403,
    }.items():
        await server.get(path)
        assert server.answer.status == status, path
    for path, status in {"/userdata/workflows/y.json": 405, "/userdata/..%2F..%2Fx.json": 403}.items():
        await server.post(path, data=text)
        assert server.answer.status == status, path


async def test_history_gives_the_last_or_from_an_offset_and_forgets_on_demand(server: Server) -> None:
    ids = [await server.prompt(saved_latent(), "nobody") for _ in range(3)]
    for prompt_id in ids:
        await server.finished(prompt_id)
    assert list(await server.get("/history?max_items=2")) == ids[1:]
    whole = list(await server.get("/history"))
    assert list(await server.get("/history?max_items=1&offset=0")) == whole[:1]
    assert await server.get("/history?max_items=0") == {}
    await server.post("/history", {"delete": [ids[0]]})
    assert await server.get(f"/history/{ids[0]}") == {}


async def test_free_needs_a_body(server: Server) -> None:
    await server.post("/free")
    assert server.answer.status == 500


# --- ids and targets --------------------------------------------------------------------------------------------------


async def test_the_client_may_choose_the_prompt_id(server: Server) -> None:
    own = str(uuid.uuid4())
    for _ in range(2):  # the same id again replaces the history entry
        assert await server.prompt(text_to_image(steps=1), "nobody", prompt_id=own) == own
        await server.finished(own)
        await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE):
        while (await server.get("/prompt"))["exec_info"]["queue_remaining"]:
            await asyncio.sleep(0.05)
    assert [key for key in await server.get("/history") if key == own] == [own]


@pytest.mark.parametrize("prompt_id", ["my id / 1", 7, "NOT-A-UUID"])
async def test_only_the_newer_release_wants_a_uuid(server: Server, prompt_id: Any) -> None:
    server.entries.clear()
    await server.post("/prompt", {"prompt": saved_latent(), "prompt_id": prompt_id, "client_id": "nobody"})
    if server.new:
        told = recorded(NEW, "15", "a free-form prompt_id")["http"][0]
        assert_same_http(server.facts()["http"], [told])
    else:
        assert server.entries[-1]["body"]["prompt_id"] == str(prompt_id)


async def test_a_null_prompt_id_is_minted_only_by_the_newer_release(server: Server) -> None:
    prompt_id = await server.prompt(saved_latent(), "nobody", prompt_id=None)
    assert (prompt_id == "None") is not server.new


async def test_a_number_must_be_one(server: Server) -> None:
    await server.post("/prompt", {"prompt": saved_latent(), "number": "x"})
    assert server.answer.status == 500


async def test_partial_execution_runs_only_the_outputs_asked_for(server: Server) -> None:
    graph = text_to_image(steps=1)
    graph["10"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    item = await server.finished(await server.prompt(graph, "nobody", partial_execution_targets=["10"]))
    assert (item["prompt"][4], list(item["outputs"])) == (["10"], ["10"])
    for targets in (["8"], ["nope"], [], [10]):
        answer = await server.post("/prompt", {"prompt": graph, "partial_execution_targets": targets})
        assert (server.answer.status, answer["error"]["type"]) == (400, "prompt_no_outputs")


async def test_the_client_id_may_stand_in_extra_data(server: Server) -> None:
    await server.warm()
    async with server.socket() as socket:
        body = {"prompt": text_to_image(steps=1), "extra_data": {"client_id": socket.client}}
        prompt_id = (await server.post("/prompt", body))["prompt_id"]
        await socket.until_end(prompt_id)


# --- what only the newer release has ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "method"), [("20a", "auto"), ("20b", None), ("20c", "none")])
async def test_a_prompt_chooses_its_preview_method(server: Server, scenario: str, method: str | None) -> None:
    if not server.new:
        pytest.skip("the older release knows only the server's own method")
    await (server.forget() if scenario == "20a" else server.warm())
    server.entries.clear()
    steps = 12 if scenario == "20b" else 6
    more = {} if method is None else {"extra_data": {"preview_method": method}}
    async with server.socket(flags=True) as socket:
        prompt_id = await server.prompt(text_to_image(steps, filename_prefix="lab/pm"), socket.client, **more)
        await socket.until_end(prompt_id)
        await server.finished(prompt_id)
        await server.get(f"/api/jobs/{prompt_id}")
    assert_as_recorded(server, recorded(NEW, scenario))


async def test_jobs_are_one_view_of_queue_and_history(server: Server) -> None:
    if not server.new:
        await server.get("/api/jobs")
        assert server.answer.status == 404
        return
    await server.warm()
    server.entries.clear()
    a, b, c, unknown = (str(uuid.uuid4()) for _ in range(4))
    for prompt_id, steps in ((a, 2000), (b, 2), (c, 2)):
        graph = text_to_image(steps, filename_prefix="lab/jobs")
        await server.prompt(graph, "nobody", prompt_id=prompt_id, extra_data={})
        await asyncio.sleep(0.02)  # their times of creation are in milliseconds
    for job in (a, b, c):
        await server.get(f"/api/jobs/{job}")
    await server.get("/api/jobs?limit=3")
    await server.get("/api/jobs?status=pending,in_progress")
    await server.get("/queue")
    await server.post(f"/api/jobs/{b}/cancel")
    await server.post(f"/api/jobs/{b}/cancel")
    await server.get(f"/api/jobs/{b}")
    await server.post(f"/api/jobs/{a}/cancel")
    await server.finished(a)
    await server.finished(c)
    for job in (a, b, c):
        await server.get(f"/api/jobs/{job}")
        await server.get(f"/history/{job}")
    await server.post("/api/jobs/cancel", {"job_ids": [c, unknown]})
    await server.get(f"/api/jobs/{unknown}")
    await server.get("/api/jobs/nonsense")
    told = recorded(NEW, "21")["http"]
    at_once = next(i for i, entry in enumerate(told) if entry["path"].endswith("<A>/cancel")) + 1
    assert_same_http(server.facts()["http"], [*told[:at_once], *told[at_once + 1 : -2]])


# --- what only a stand-in can do --------------------------------------------------------------------------------------


async def test_a_killed_server_closes_without_a_word_and_remembers_nothing(client: Server, comfy: StandIn) -> None:
    await client.warm()
    async with client.socket(flags=True) as socket:
        prompt_id = await client.prompt(text_to_image(steps=2000), socket.client)
        await socket.until_step(1)
        await comfy.kill()
        async with asyncio.timeout(5):
            while not socket.ws.closed:
                await asyncio.sleep(0.01)
        assert socket.ws.close_code == 1006
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get("/prompt")
    await comfy.restart()
    assert await client.get(f"/history/{prompt_id}") == {}
    assert await client.get("/queue") == {"queue_running": [], "queue_pending": []}
    answer = await client.post("/prompt", {"prompt": text_to_image(steps=1)})
    assert answer["number"] == 0


async def test_extra_data_null_ends_the_worker_of_the_older_release(client: Server, comfy: StandIn) -> None:
    await client.post("/prompt", {"prompt": text_to_image(steps=1), "extra_data": None})
    if client.new:
        assert client.answer.status == 500
        return
    first = comfy.running[0]
    await client.prompt(text_to_image(steps=1), "c")
    await asyncio.sleep(0.05)
    assert (comfy.running, len(comfy.pending)) == ([first], 1)
    assert comfy.history == {}


async def test_a_server_without_previews_sends_none(comfy: StandIn) -> None:
    async with StandIn(OLD, step_seconds=0.003, preview_method="none") as bare, aiohttp.ClientSession() as session:
        server = Server(bare.url, OLD, bare, session)
        async with server.socket(flags=True) as socket:
            more = {"extra_data": {"preview_method": "latent2rgb"}}
            await socket.until_end(await server.prompt(text_to_image(steps=3), socket.client, **more))
        told = recorded(OLD, "17")["sockets"]["A"]
        alike(
            server.facts()["sockets"]["A"],
            told[: told.index(["executing", {"node": None, "prompt_id": "<A>"}]) + 1],
            False,
        )


async def test_out_of_memory_is_an_error_of_the_node(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.fail_node["KSampler"] = OUT_OF_MEMORY
    item = await client.finished(await client.prompt(text_to_image(), "c"))
    error = item["status"]["messages"][-1][1]
    assert (error["node_id"], error["exception_type"]) == ("3", OUT_OF_MEMORY[0])
    assert "ran out of memory on your GPU" in error["exception_message"]


async def test_execution_waits_before_a_node_until_it_is_released(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.hold_before = "VAEDecode"
    prompt_id = await client.prompt(text_to_image(), "c")
    await comfy.until_held()
    assert comfy.running == [prompt_id]
    comfy.release()
    assert (await client.finished(prompt_id))["status"]["completed"]


async def test_a_held_sampler_is_still_interrupted(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 3
    prompt_id = await client.prompt(text_to_image(), "c")
    await comfy.until_held()
    await client.post("/interrupt", {"prompt_id": prompt_id})
    item = await client.finished(prompt_id)
    assert item["status"]["messages"][-1][0] == "execution_interrupted"
    assert comfy.interrupts == [{"prompt_id": prompt_id}]


async def test_sockets_are_dropped_once_and_the_run_goes_on(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.drop_sockets_at_step = 2
    async with client.socket() as socket:
        prompt_id = await client.prompt(text_to_image(), socket.client)
        assert (await client.finished(prompt_id))["status"]["completed"]
        assert socket.ws.close_code == 1006
    assert comfy.sockets == []


async def test_muted_frames_are_never_sent(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.mute_frames = {"executed", "binary", "progress"}
    async with client.socket(flags=True) as socket:
        await socket.until_end(await client.prompt(text_to_image(), socket.client))
    assert not {"executed", "binary", "progress"} & set(socket.kinds)


async def test_the_history_can_be_late(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.history_delay = 0.2
    async with client.socket() as socket:
        prompt_id = await client.prompt(text_to_image(steps=1), socket.client)
        await socket.until_end(prompt_id)
        assert await client.get(f"/history/{prompt_id}") == {}
        await client.finished(prompt_id)


async def test_an_old_server_mints_its_own_id(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.ignore_prompt_id = True
    own = str(uuid.uuid4())
    assert await client.prompt(text_to_image(steps=1), prompt_id=own) != own


async def test_an_answer_can_be_lost_after_the_prompt_was_accepted(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.lose_post_answer = True
    own = str(uuid.uuid4())
    with pytest.raises(aiohttp.ClientError):
        await client.prompt(text_to_image(steps=1), prompt_id=own)
    assert (await client.finished(own))["status"]["completed"]
    assert [body["prompt_id"] for body in comfy.prompts] == [own]


async def test_a_proxy_may_refuse_sockets_and_paths(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.refuse_websocket = 403
    comfy.misbehave.status_for = {"/history": 502}
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with client.socket():
            pass
    for path in ("/history", "/api/history/x"):
        await client.get(path)
        assert (client.answer.status, client.answer.content_type) == (502, "text/plain")


async def test_a_download_can_break_off(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.truncate_view = True
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.get("/view", params={"filename": "example.png", "type": "input"})


async def test_downloads_at_once_are_counted(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.view_delay = 0.1
    place = {"filename": "example.png", "type": "input"}
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(client.get("/view", params=place))
        group.create_task(client.http("HEAD", "/view", params=place))
    await client.get("/view", params=place)
    assert comfy.most_views_at_once == 3


async def test_files_can_be_lost(client: Server, comfy: StandIn) -> None:
    place = {"filename": "example.png", "type": "input"}
    for missing, status in (({"example.png"}, 404), ({"other.png"}, 200), (lambda name: name.endswith(".png"), 404)):
        comfy.misbehave.view_missing = missing
        for method in ("GET", "HEAD"):
            await client.http(method, "/view", params=place)
            assert client.answer.status == status


async def test_uploads_are_remembered_by_their_names(client: Server, comfy: StandIn) -> None:
    for fields in ({}, {"subfolder": "lab"}, {}):
        await client.post("/upload/image", data=form(RED, "a.png", fields))
    assert comfy.uploads == ["a.png", "lab/a.png", "a.png"]


async def test_answers_can_be_slow(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.view_delay = comfy.misbehave.object_info_delay = 0.1
    clock = asyncio.get_running_loop().time
    for path in ("/view?filename=example.png&type=input", "/object_info", "/object_info/KSampler"):
        start = clock()
        await client.get(path)
        assert clock() - start >= 0.1


async def test_every_route_can_lead_elsewhere(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.redirect_to = "http://192.0.2.1"
    await client.get("/prompt?x=1", allow_redirects=False)
    assert (client.answer.status, client.answer.headers["Location"]) == (302, "http://192.0.2.1/prompt?x=1")


async def test_garbage_comes_among_the_real_frames(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.garbage_frames = True
    kinds, texts = set(), 0
    async with client.session.ws_connect(f"{client.url}/ws?clientId=g") as ws:
        await client.prompt(text_to_image(), "g")
        async for message in ws:
            kinds.add(message.type)
            texts += 1
            if message.type is aiohttp.WSMsgType.TEXT and message.data.startswith(
                '{"type": "executing", "data": {"node": null'
            ):
                break
    assert kinds == {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}
    assert texts > 40


async def test_a_save_node_may_report_nothing(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.no_outputs = True
    item = await client.finished(await client.prompt(text_to_image(steps=1), "c"))
    assert item["outputs"] == {"9": {"images": []}}


async def test_a_prompt_can_hang(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.hang = True
    async with client.socket() as socket:
        prompt_id = await client.prompt(text_to_image(steps=1), socket.client)
        await asyncio.sleep(0.1)
        assert comfy.running == [prompt_id]
        assert set(socket.kinds) == {"status"}


async def test_everything_needs_the_key_when_there_is_one() -> None:
    async with StandIn(api_key="k") as comfy, aiohttp.ClientSession() as session:
        for path in ("/system_stats", "/api/prompt", "/ws"):
            async with session.get(comfy.url + path) as answer:
                assert answer.status == 401
        headers = {"Authorization": "Bearer k"}
        async with session.ws_connect(f"{comfy.url}/ws?clientId=a", headers=headers) as ws:
            assert (await ws.receive_json())["type"] == "status"
            assert comfy.sockets == ["a"]


async def test_somebody_elses_jobs_wait_in_the_queue(client: Server, comfy: StandIn) -> None:
    comfy.misbehave.hold_before = "KSampler"
    running = await comfy.post(comfy.example_graph(), client_id="other")
    waiting = await comfy.post(
        comfy.example_graph(steps=2, seed=5, text="a fox", width=64), prompt_id=str(uuid.uuid4())
    )
    await comfy.until_held()
    assert (comfy.running, comfy.pending, comfy.prompts) == ([running], [waiting], [])
    await client.post("/queue", {"delete": [waiting]})
    assert (comfy.pending, comfy.deleted) == ([], [waiting])
    assert [(request.method, request.path, request.json) for request in comfy.requests] == [
        ("POST", "/queue", {"delete": [waiting]})
    ]


async def test_pictures_are_of_the_size_asked_for_and_differ_by_seed_and_in_a_batch(
    client: Server, comfy: StandIn
) -> None:
    pictures = []
    for seed in (1, 2):
        graph = comfy.example_graph(steps=1, seed=seed, width=320, height=192, batch_size=2)
        item = await client.finished(await client.prompt(graph, "c"))
        pictures += [await client.get("/view", params=place) for place in item["outputs"]["9"]["images"]]
    assert {opened(data).size for data in pictures} == {(320, 192)}
    assert len(set(pictures)) == 4


async def made_of(client: Server, graph: Graph) -> Image.Image:
    """The picture that a graph saves."""
    item = await client.finished(await client.prompt(graph, "c"))
    assert item["status"]["completed"], item["status"]["messages"][-1]
    place = item["outputs"]["9"]["images"][0]
    return opened(await client.get("/view", params=place)).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures are apart on average, in steps of 255, but for the caption at the lower edge."""
    box = (0, 0, one.width, one.height // 2)
    return max(ImageStat.Stat(ImageChops.difference(one.crop(box), other.crop(box))).mean)


async def test_a_picture_made_of_a_picture_is_like_it_the_less_it_is_changed(client: Server, comfy: StandIn) -> None:
    green = (0, 160, 0)
    await client.post("/upload/image", data=form(png((128, 128), green), "green.png", {}))
    original = Image.new("RGB", (128, 128), green)
    apart = []
    for denoise in (0.1, 0.5, 1.0):
        graph = image_to_image("green.png")
        graph["3"]["inputs"] |= {"denoise": denoise, "seed": 7}
        apart.append(difference(await made_of(client, graph), original))
    assert apart[0] < 20 < apart[1] < apart[2]
    assert apart[2] > 60


COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


@pytest.mark.parametrize("kind", ["ReferenceLatent", "TextEncodeQwenImageEditPlus"])
async def test_an_edited_picture_shows_its_references_in_order(client: Server, comfy: StandIn, kind: str) -> None:
    graph = text_to_image(steps=1, width=256, height=256)
    for number, colour in enumerate(COLOURS):
        await client.post("/upload/image", data=form(png(colour=colour), f"{colour}.png", {}))
        graph[f"2{number}"] = {"class_type": "LoadImage", "inputs": {"image": f"{colour}.png"}}
        encoded = {"class_type": "VAEEncode", "inputs": {"pixels": [f"2{number}", 0], "vae": ["4", 2]}}
        follow = {"conditioning": [f"4{number - 1}", 0] if number else ["6", 0], "latent": [f"3{number}", 0]}
        graph |= {f"3{number}": encoded, f"4{number}": {"class_type": "ReferenceLatent", "inputs": follow}}
    graph["3"]["inputs"]["positive"] = ["42", 0]
    if kind == "TextEncodeQwenImageEditPlus":
        pictures = {f"image{number + 1}": [f"2{number}", 0] for number in range(3)}
        graph["42"] = {"class_type": kind, "inputs": {"clip": ["4", 1], "prompt": "x", **pictures}}
    for colour, seen in zip(COLOURS.values(), stripes(await made_of(client, graph), 3), strict=True):
        assert all(abs(one - other) < 8 for one, other in zip(colour, seen, strict=True)), seen


async def test_a_model_is_saved_by_a_graph_that_makes_one(client: Server, comfy: StandIn) -> None:
    graph = text_to_image(steps=1)
    graph["5"] = {"class_type": "EmptyLatentHunyuan3Dv2", "inputs": {"resolution": 3072, "batch_size": 1}}
    voxel = {"samples": ["3", 0], "vae": ["4", 2], "num_chunks": 8000, "octree_resolution": 256}
    graph["8"] = {"class_type": "VAEDecodeHunyuan3D", "inputs": voxel}
    graph["10"] = {"class_type": "VoxelToMeshBasic", "inputs": {"voxel": ["8", 0], "threshold": 0.6}}
    graph["9"] = {"class_type": "SaveGLB", "inputs": {"mesh": ["10", 0], "filename_prefix": "mesh/x"}}
    if client.new:
        graph["11"] = {"class_type": "MeshToFile3D", "inputs": {"mesh": ["10", 0]}}
        save = {"filename_prefix": "mesh/y", "viewport_state": "", "width": 64, "height": 64}
        graph["12"] = {"class_type": "Save3DAdvanced", "inputs": {"model_3d": ["11", 0], **save}}
    item = await client.finished(await client.prompt(graph, "c"))
    assert item["status"]["completed"], item["status"]["messages"][-1]
    (place,) = item["outputs"]["9"]["3d"]
    assert place == {"filename": "x_00001_.glb", "subfolder": "mesh", "type": "output"}
    assert (await client.get("/view", params=place)).startswith(b"glTF")
    if client.new:  # a saved file that only a path tells of
        assert item["outputs"]["12"] == {"result": ["mesh/y_00001.glb", None, []]}


@pytest.mark.parametrize(
    ("format", "suffix"), [("video/h264-mp4", "mp4"), ("video/webm", "webm"), ("image/gif", "gif")]
)
async def test_a_custom_node_shows_its_video_under_a_key_of_its_own(format: str, suffix: str) -> None:
    options = {"frame_rate": 8, "loop_count": 0, "format": format, "pingpong": False, "save_output": True}
    graph = film("VHS_VideoCombine", filename_prefix="lab/vhs", **options)
    async with StandIn(custom_nodes=CUSTOM_NODES) as comfy, aiohttp.ClientSession() as session:
        server = Server(comfy.url, NEW, comfy, session)
        item = await server.finished(await server.prompt(graph, "c"))
        (shown,) = item["outputs"]["2"]["gifs"]
        assert shown | {"fullpath": ""} == {
            "filename": f"vhs_00001.{suffix}",
            "subfolder": "lab",
            "type": "output",
            "format": format,
            "frame_rate": 8.0,
            "workflow": "vhs_00001.png",
            "fullpath": "",
        }
        await server.get("/view", params={key: shown[key] for key in ("filename", "subfolder", "type")})
        assert server.answer.headers["Content-Type"] == format.replace("h264-", "")


async def test_a_loaded_video_is_saved_as_it_came(client: Server, comfy: StandIn) -> None:
    await client.post("/upload/image", data=form(clip("clip.mp4"), "lab.mp4", {}))
    load = {"class_type": "LoadVideo", "inputs": {"file": "lab.mp4"}}
    graph = video()
    graph["2"] = load
    del graph["1"]
    item = await client.finished(await client.prompt(graph, "c"))
    place = item["outputs"]["3"]["images"][0]
    assert await client.get("/view", params=place) == clip("clip.mp4")


async def test_equal_ids_with_equal_numbers_break_the_older_queue(client: Server, comfy: StandIn) -> None:
    if client.new:
        pytest.skip("ids are unique there")
    comfy.misbehave.hold_before = "KSampler"
    await client.prompt(text_to_image(), "c")
    await comfy.until_held()
    for graph in (saved_latent(), shown_text()):
        await client.post("/prompt", {"prompt": graph, "prompt_id": "dup", "number": 5})
    assert (client.answer.status, comfy.pending) == (500, ["dup", "dup"])


def flux_like(comfy: StandIn) -> Graph:
    loaders = {
        "1": ("UNETLoader", {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}),
        "2": (
            "DualCLIPLoader",
            {"clip_name1": "clip_l.safetensors", "clip_name2": "qwen_3_4b.safetensors", "type": "flux"},
        ),
        "3": ("VAELoader", {"vae_name": "ae.safetensors"}),
        "4": ("LoraLoaderModelOnly", {"model": ["1", 0], "lora_name": "detail.safetensors", "strength_model": 0.8}),
        "5": (
            "ModelSamplingFlux",
            {"model": ["4", 0], "max_shift": 1.15, "base_shift": 0.5, "width": 256, "height": 128},
        ),
    }
    guidance = {
        "6": ("CLIPTextEncode", {"text": "a fox at dawn", "clip": ["2", 0]}),
        "7": ("FluxGuidance", {"conditioning": ["6", 0], "guidance": 3.5}),
        "8": ("BasicGuider", {"model": ["5", 0], "conditioning": ["7", 0]}),
        "9": ("RandomNoise", {"noise_seed": 7}),
        "10": ("KSamplerSelect", {"sampler_name": "euler"}),
        "11": ("BasicScheduler", {"model": ["5", 0], "scheduler": "simple", "steps": 3, "denoise": 1.0}),
    }
    sampled = {
        "12": ("EmptySD3LatentImage", {"width": 256, "height": 128, "batch_size": 1}),
        "13": (
            "SamplerCustomAdvanced",
            {
                "noise": ["9", 0],
                "guider": ["8", 0],
                "sampler": ["10", 0],
                "sigmas": ["11", 0],
                "latent_image": ["12", 0],
            },
        ),
        "14": ("VAEDecode", {"samples": ["13", 0], "vae": ["3", 0]}),
        "15": ("ImageInvert", {"image": ["14", 0]}),
        "16": (
            "ImageScale",
            {"image": ["15", 0], "upscale_method": "area", "width": 64, "height": 0, "crop": "disabled"},
        ),
        "17": ("SaveImage", {"images": ["16", 0], "filename_prefix": "flux"}),
    }
    return {
        key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in (loaders | guidance | sampled).items()
    }


async def test_a_graph_of_single_loaders_and_a_custom_sampler_runs(client: Server, comfy: StandIn) -> None:
    item = await client.finished(await client.prompt(flux_like(comfy), "c"))
    assert item["status"]["completed"], item["status"]["messages"][-1]
    place = item["outputs"]["17"]["images"][0]
    assert opened(await client.get("/view", params=place)).size == (64, 32)


async def test_a_graph_with_zeroed_texts_lora_and_advanced_sampler_runs(client: Server, comfy: StandIn) -> None:
    graph = text_to_image()
    graph["20"] = {
        "class_type": "LoraLoader",
        "inputs": {
            "model": ["4", 0],
            "clip": ["4", 1],
            "lora_name": "detail.safetensors",
            "strength_model": 1,
            "strength_clip": 1,
        },
    }
    graph["21"] = {"class_type": "ModelSamplingAuraFlow", "inputs": {"model": ["20", 0], "shift": 3.0}}
    graph["22"] = {"class_type": "ModelSamplingSD3", "inputs": {"model": ["21", 0], "shift": 3.0}}
    graph["6"]["inputs"]["clip"] = ["20", 1]
    graph["7"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}
    sampler = graph["3"]["inputs"]
    graph["3"] = {
        "class_type": "KSamplerAdvanced",
        "inputs": {
            **{key: sampler[key] for key in sampler if key not in ("seed", "denoise")},
            "model": ["22", 0],
            "add_noise": "enable",
            "noise_seed": 3,
            "start_at_step": 0,
            "end_at_step": 10000,
            "return_with_leftover_noise": "disable",
        },
    }
    item = await client.finished(await client.prompt(graph, "c"))
    assert item["status"]["completed"], item["status"]["messages"][-1]
