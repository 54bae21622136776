"""The queue, the one worker, the cache of node results, and the frames that tell of it."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import json
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import nodes
from .files import Files
from .misbehaviour import Misbehaviour
from .nodes import Shown
from .prompts import Definitions, Graph
from .release import Release
from .sockets import TEXT, Sockets

OUT_OF_MEMORY_ADVICE = "This error means you ran out of memory on your GPU."  # the server's own addition
SECRETS = ("api_key_comfy_org", "auth_token_comfy_org")
PROGRESS_SECONDS = 0.1  # between two `progress` of the thinned kind
Item = tuple[Any, ...]  # number, prompt id, graph, extra_data, outputs to run


class Interrupted(Exception):
    """The flag was seen at a node's start or at a step."""


@dataclass
class NodeFailure(Exception):
    """An error that a test asked for."""

    type: str
    message: str

    def __str__(self) -> str:
        return self.message


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class Engine:
    release: Release
    definitions: Definitions
    files: Files
    sockets: Sockets
    misbehave: Misbehaviour
    step_seconds: float
    load_seconds: float
    preview_method: str
    running: dict[int, Item] = field(default_factory=dict)
    pending: list[Item] = field(default_factory=list)
    history: dict[str, dict[str, Any]] = field(default_factory=dict)
    number: int = 0
    client: str | None = None  # of the prompt that runs
    last_node: str | None = None
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    cache: dict[str, Shown] = field(default_factory=dict)
    forget: bool = False
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    # --- the queue ---

    @property
    def remaining(self) -> int:
        return len(self.running) + len(self.pending)

    @property
    def status(self) -> dict[str, Any]:
        return {"status": {"exec_info": {"queue_remaining": self.remaining}}}

    def tell_status(self) -> None:
        self.sockets.send("status", self.status)

    def take_number(self, asked: Any, front: bool) -> float:
        if asked is not None:
            return float(asked)
        number = self.number
        self.number += 1
        return -number if front else number

    def enqueue(self, item: Item) -> None:
        try:
            heapq.heappush(self.pending, item)
        finally:  # two equal ids with equal numbers cannot be compared: an error, and yet the item is in
            self.tell_status()
            self._arrived.set()

    def delete(self, prompt_id: str) -> bool:
        for index, item in enumerate(self.pending):
            if item[1] == prompt_id:
                self.pending.pop(index)
                heapq.heapify(self.pending)
                self.tell_status()
                self.tell_status()
                return True
        return False

    def clear(self) -> None:
        self.pending.clear()
        self.tell_status()

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Set the flag: for whatever runs, or only if this prompt does."""
        if prompt_id is None or any(item[1] == prompt_id for item in self.running.values()):
            self.interrupted.set()
            return prompt_id is not None
        return False

    # --- the worker ---

    async def work(self) -> None:
        while True:
            while not self.pending:
                self._arrived.clear()
                await self._arrived.wait()
            item = heapq.heappop(self.pending)
            key = id(item)
            self.running[key] = item
            self.tell_status()
            if self.misbehave.hang:
                await asyncio.Event().wait()
            if item[3] is None:
                return  # what killed the worker thread of the old release
            if self.forget:
                self.cache.clear()
                self.forget = False
            run = PromptRun(self, item)
            await run.execute()
            delay = self.misbehave.history_delay
            if delay:
                run.say("executing", {"node": None})
                await asyncio.sleep(delay)
            del self.running[key]
            self.history.pop(item[1], None)
            self.history[item[1]] = run.history_item()
            self.last_node = None
            self.tell_status()
            if not delay:
                run.say("executing", {"node": None})

    async def hold(self) -> None:
        """Wait for `release`, or for an interrupt, which the caller polls next."""
        self.held.set()
        waits = [asyncio.ensure_future(self.released.wait()), asyncio.ensure_future(self.interrupted.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self.held.clear()

    def poll(self) -> None:
        if self.interrupted.is_set():
            self.interrupted.clear()
            raise Interrupted


class PromptRun:
    """One prompt's way through its nodes."""

    def __init__(self, engine: Engine, item: Item) -> None:
        self.engine = engine
        self.number, self.id, self.graph, extra, self.outputs = item
        self.extra: dict[str, Any] = {key: value for key, value in extra.items() if key not in SECRETS}
        self.client: str | None = extra.get("client_id")
        self.messages: list[list[Any]] = []
        self.progress: dict[str, dict[str, Any]] = {}
        self.shown: dict[str, dict[str, Any]] = {}
        self.executed: list[str] = []
        self.succeeded = False
        self.previews = self._preview_method() != "none"
        self._signatures: dict[str, str] = {}

    def _preview_method(self) -> str:
        asked = self.extra.get("preview_method")
        if self.engine.release.preview_method_per_prompt and asked not in (None, "default"):
            return str(asked)
        return self.engine.preview_method

    # --- telling ---

    def say(self, kind: str, data: dict[str, Any]) -> None:
        """A frame for the client that posted the prompt; nobody hears of a prompt without a client id."""
        if self.client is not None:
            self.engine.sockets.send(kind, {**data, "prompt_id": self.id}, self.client)

    def message(self, kind: str, data: dict[str, Any], everybody: bool = False) -> None:
        """A frame that the history keeps."""
        data = {"prompt_id": self.id, **data, "timestamp": now_ms()}
        self.messages.append([kind, data])
        if everybody or self.client is not None:
            self.engine.sockets.send(kind, data, None if everybody else self.client)

    def tell_progress(self, node_id: str, value: float, total: float, state: str) -> None:
        self.progress[node_id] = {
            "value": value,
            "max": total,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self.engine.sockets.send("progress_state", {"prompt_id": self.id, "nodes": self.progress}, self.client)

    def history_item(self) -> dict[str, Any]:
        status = "success" if self.succeeded else "error"
        return {
            "prompt": [self.number, self.id, self.graph, self.extra, self.outputs],
            "outputs": self.shown,
            "status": {"status_str": status, "completed": self.succeeded, "messages": self.messages},
            "meta": {
                node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
                for node in self.shown
            },
        }

    # --- running ---

    async def execute(self) -> None:
        engine = self.engine
        engine.interrupted.clear()
        engine.client = self.client
        self.message("execution_start", {})
        signatures = {node: self.signature(node) for node in self.graph}
        if engine.release.forgets_at_start:
            self.forget_others()
        self.message("execution_cached", {"nodes": [node for node, key in signatures.items() if key in engine.cache]})
        node_id = ""
        try:
            for node_id in self.order():
                await self.node(node_id)
        except Interrupted:
            told = {"node_id": node_id, "node_type": self.graph[node_id]["class_type"], "executed": self.executed}
            self.message("execution_interrupted", told, everybody=self.client is None)
        except Exception as error:
            self.message("execution_error", self.failure(node_id, error))
        else:
            self.succeeded = True
            self.message("execution_success", {})

    def order(self) -> Any:
        """The nodes that the outputs need, each when its sources are done: what leads straight to an output first."""
        waiting: dict[str, set[str]] = {}
        for output in self.outputs:
            stack = [output]
            while stack:
                node = stack.pop()
                if node in waiting:
                    continue
                if self.cached(node):
                    waiting[node] = set()
                    continue
                needed = [source for source in sources(self.graph, node) if not self.cached(source)]
                waiting[node] = set(needed)
                stack += needed
        while waiting:
            ready = [node for node, needs in waiting.items() if not needs & waiting.keys()]
            feeds_output = [n for n in ready if any(n in waiting[o] for o in self.outputs if o in waiting)]
            node = next((n for n in ready if n in self.outputs), (feeds_output or ready)[0])
            yield node
            del waiting[node]

    def forget_others(self) -> None:
        """Keep only results that this prompt uses."""
        used = {self.signature(node) for node in self.graph}
        self.engine.cache = {key: result for key, result in self.engine.cache.items() if key in used}

    def cached(self, node_id: str) -> Shown | None:
        return self.engine.cache.get(self.signature(node_id))

    def signature(self, node_id: str, above: tuple[str, ...] = ()) -> str:
        """Equal for nodes that would give equal results."""
        if node_id not in self._signatures:
            node = self.graph.get(node_id)
            if node is None or node_id in above or not isinstance(node.get("inputs"), dict):
                return f"none/{node_id}"
            inputs = {
                name: [self.signature(str(value[0]), (*above, node_id)), value[1]] if is_link(value) else value
                for name, value in node["inputs"].items()
            }
            files = {
                name: file.etag
                for name, value in node["inputs"].items()
                if node["class_type"].startswith("Load") and isinstance(value, str)
                if (file := self.engine.files.get(self.engine.files.find(value, kind="input")))
            }
            text = json.dumps([node["class_type"], inputs, files], sort_keys=True)
            self._signatures[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return self._signatures[node_id]

    async def node(self, node_id: str) -> None:
        engine, class_type = self.engine, self.graph[node_id]["class_type"]
        cached = self.cached(node_id)
        if cached is not None:
            if cached.ui:
                self.show(node_id, cached.ui)
                self.tell_progress(node_id, 1, 1, "finished")
            return
        engine.last_node = node_id
        self.tell_progress(node_id, 0.0, 1.0, "running")
        self.say("executing", {"node": node_id, "display_node": node_id})
        if engine.misbehave.hold_before == class_type:
            await engine.hold()
        engine.poll()
        if class_type in engine.misbehave.fail_node:
            raise NodeFailure(*engine.misbehave.fail_node[class_type])
        for value in self.graph[node_id]["inputs"].values():
            if isinstance(value, str) and value in engine.misbehave.unusable_files:
                raise NodeFailure(*engine.misbehave.unusable_files[value])
        result = await nodes.execute(NodeRun(self, node_id), class_type)
        engine.cache[self.signature(node_id)] = result
        self.forget_others()
        self.executed.append(node_id)
        if result.ui:
            self.show(node_id, result.ui)
        reached = self.progress[node_id]["max"]
        self.tell_progress(node_id, reached, reached, "finished")

    def show(self, node_id: str, ui: dict[str, Any]) -> None:
        self.shown[node_id] = ui
        self.say("executed", {"node": node_id, "display_node": node_id, "output": ui})

    def inputs(self, node_id: str) -> dict[str, Any]:
        given = self.graph[node_id]["inputs"]
        return {
            name: self.engine.cache[self.signature(str(v[0]))].outputs[v[1]] if is_link(v) else v
            for name, v in given.items()
        }

    def failure(self, node_id: str, error: Exception) -> dict[str, Any]:
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        name = error.type if isinstance(error, NodeFailure) else module + kind.__name__
        advice = OUT_OF_MEMORY_ADVICE if name.endswith("OutOfMemoryError") else ""
        return {
            "node_id": node_id,
            "node_type": self.graph[node_id]["class_type"],
            "executed": self.executed,
            "exception_message": f"{error}\n{advice}",
            "exception_type": name,
            "traceback": traceback.format_tb(error.__traceback__),
            "current_inputs": {name: [str(value)[:200]] for name, value in self.inputs(node_id).items()},
            "current_outputs": list(self.graph),
        }


class NodeRun:
    """What one node sees of the run (nodes.Run)."""

    def __init__(self, prompt: PromptRun, node_id: str) -> None:
        engine = prompt.engine
        self._prompt, self._node_id, self._engine = prompt, node_id, engine
        self.files = engine.files
        self.load_seconds, self.step_seconds = engine.load_seconds, engine.step_seconds
        self.prompt: Graph = prompt.graph
        self.pnginfo = prompt.extra.get("extra_pnginfo")
        self.definition = engine.definitions[prompt.graph[node_id]["class_type"]]
        self.inputs = prompt.inputs(node_id)
        self.no_outputs = engine.misbehave.no_outputs
        self._told = 0.0

    async def progress(
        self, value: int, total: int, image: bytes | None = None, image_type: str = "image/jpeg"
    ) -> None:
        prompt, node_id, sockets = self._prompt, self._node_id, self._engine.sockets
        prompt.tell_progress(node_id, value, total, "running")
        frame = {"value": value, "max": total, "prompt_id": prompt.id, "node": node_id}
        metadata = {key: prompt.progress[node_id][key] for key in METADATA}
        with_metadata = sockets.wants_metadata(prompt.client)
        if image is not None and with_metadata:
            sockets.send_image(image, image_type, prompt.client, metadata)
        sockets.send("progress", frame, prompt.client)
        if image is not None and not with_metadata:
            sockets.send_image(image, image_type, prompt.client, metadata)

    async def step(self, value: int, total: int, image: Callable[[], bytes]) -> None:
        """A sampling step: where interrupts are seen and previews made."""
        engine = self._engine
        if engine.misbehave.hold_at_step == value:
            await engine.hold()
        engine.poll()
        if engine.misbehave.drop_sockets_at_step == value:
            engine.misbehave.drop_sockets_at_step = None
            engine.sockets.abort()
        shown = await asyncio.to_thread(image) if self._prompt.previews else None
        moment = time.monotonic()
        due = moment - self._told >= PROGRESS_SECONDS or value == total
        if shown is not None or due or not engine.release.thinned_progress:
            self._told = moment
            await self.progress(value, total, shown)

    def poll_while_decoding(self) -> None:
        """The older release decodes to the end first."""
        if self._engine.release.polls_while_decoding:
            self._engine.poll()

    async def text(self, text: str) -> None:
        name = self._node_id.encode()
        payload = len(name).to_bytes(4, "big") + name + text.encode()
        self._engine.sockets.send_bytes(TEXT, payload)


METADATA = ("node_id", "prompt_id", "display_node_id", "parent_node_id", "real_node_id")


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def sources(graph: Graph, node_id: str) -> list[str]:
    return [str(value[0]) for value in graph[node_id]["inputs"].values() if is_link(value)]


def new_id() -> str:
    return str(uuid.uuid4())
