"""One ComfyUI server: its HTTP routes and its websocket as methods with typed results.

`ComfyUIServer` is what `open_server` gives out. It stands on `FileServer`, which has files
(`upload`, `view`), and has, in the order of the class: what the server is and has (`stats`,
`define`, `names`, `saved_workflows`, `model_kind`), a prompt's life (`submit`, `queue`, `look_up`,
`find`, `recent`, `cancel`) and memory (`free`). `connection` is its websocket, `templates` the
workflows that come with it, `model_files` what its model files say of themselves, `replaced_nodes`
what takes the place of old node classes.

What rarely changes is remembered. Whoever asks for it says how old it may be (`believe`, in
seconds), and those who ask the same at the same time share one request (`together`).

What routes take and answer was recorded from ComfyUI 0.3.64 and 0.33.0. `cloud` overrides what is
different on Comfy Cloud.
"""

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..bounded import BoundedDict
from ..bounds import (
    MOST_DEFINITION_BYTES,
    MOST_DEFINITION_BYTES_KEPT,
    MOST_JSON_BYTES,
    MOST_LIST_BYTES,
    MOST_LIST_BYTES_KEPT,
    MOST_STATUS_BYTES,
    MOST_WORKFLOW_BYTES,
    REMEMBERED_LISTS,
)
from ..errors import (
    ServerError,
    ServerTooOld,
    ServerUnreachable,
    UnexpectedAnswer,
    UnknownWorkflow,
    WorkflowRefused,
)
from ..graph.definitions import Definitions, NodeDefinition
from ..graph.nodes import Graph
from ..graph.reading import read_workflow_file
from ..names import shortened
from ..tasks import CLEAN_UP_SECONDS, gather
from ..threads import FILES
from .background import Background
from .connection import Connection
from .endpoint import ACCOUNT_KEY, Endpoint
from .faults import has_many_users, no_answer
from .files import FileServer
from .known_definitions import KnownDefinitions
from .long_answers import (
    read_definitions,
    read_everything,
    read_history,
    read_history_entry,
    read_left_out,
    read_names,
    read_queue,
    read_record,
    workflows_among,
)
from .model_files import ModelFiles
from .posting import FAILED_WHILE_READING, Accepted, read_said
from .protocol import (
    Absent,
    Answer,
    Event,
    Prompt,
    Queue,
    Recent,
    Waiting,
)
from .record import Record
from .replaced_nodes import ReplacedNodes
from .stats import Stats, parse_stats
from .templates import Templates

# How long things may take, in seconds; see also ANSWER_SECONDS and CLEAN_UP_SECONDS.
PROBE_SECONDS = 4.0  # to find out whether a server answers at all
LOOK_UP_SECONDS = 10.0  # for one look-up of a running job; the next one comes anyway
# before ComfyUI's memory is freed after all, when others had jobs in the queue after a run
FREE_AGAIN_SECONDS = 10.0
# How long what a server said is believed.
DEFINITION_SECONDS = 300.0  # of a node definition
DOUBT_SECONDS = 10.0  # of a list that lacks what is looked for: files are added all the time
# node definitions asked for one by one; when more are needed, all are fetched in one request
MANY_CLASSES = 100
RECENT_PROMPTS = 200  # of the history, that are searched, the newest first
REMEMBERED_PROMPTS = 1000  # whoever posted them, with when they were first seen


class ComfyUIServer(FileServer):
    """One ComfyUI: its HTTP routes and its websocket, in typed values and this tool's errors. Use
    `open_server`.

    It outlives its connections: what it learned (definitions, pace, faults) stays when they are
    closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.connection = Connection(self)
        self._known = KnownDefinitions()
        self._names = BoundedDict[str, tuple[float, list[str] | None]](REMEMBERED_LISTS)  # by path
        self._list_bytes: dict[str, int] = {}  # path -> length of the list as JSON
        # when the newest look at it began, and that look
        self._queue: tuple[float, asyncio.Task[Queue]] | None = None
        # prompt id -> since when it is known to be here
        self._first_seen = BoundedDict[str, float](REMEMBERED_PROMPTS)
        self.background = Background(endpoint.name)
        self.templates = Templates(self)
        self.model_files = ModelFiles(self)
        self.replaced_nodes = ReplacedNodes(self)
        self.record = Record()
        self.free_at: float | None = None  # when ComfyUI's memory is due to be freed
        self._free_again = 0.0  # how many seconds later that is tried again
        self.users = 0  # calls that have it open
        self.door = asyncio.Lock()  # held while it closes, so that nobody comes in

    # Open and closed: what the pool asks before it closes a server.

    @property
    def in_use(self) -> bool:
        """Whether a call or a chore still needs it."""
        return bool(self.users or self.background.is_busy)

    @property
    def is_open(self) -> bool:
        """Whether it has anything to close."""
        return self.in_use or self._session is not None

    @property
    def is_watched(self) -> bool:
        """Whether the pool's keeper still has to look after it, though nobody calls."""
        return self.is_open or self.free_at is not None

    async def close(self) -> None:
        """Close the websocket and all connections, and cancel what is under way. They are opened
        again when needed.
        """
        if self._queue:
            _, look = self._queue
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)
        self._queue = None
        await self.background.close()
        await self.connection.close()
        await self.close_sessions()

    # What the server is and has.

    async def probe(self) -> None:
        """Find out whether a ComfyUI answers here. Raises a `ServerError` when none does."""
        await self.stats()

    async def stats(self) -> Stats:
        """Its version, devices and memory, as they are now. Raises as `get` does."""
        path = "/system_stats"
        raw = await self.get(path, PROBE_SECONDS, MOST_STATUS_BYTES)
        if "system" not in raw:
            raise self._another_program()
        with self._reading(path):
            return parse_stats(raw)

    @property
    def definitions(self) -> dict[str, NodeDefinition]:
        """The definitions that are remembered, by their classes."""
        return self._known.by_class

    async def define(
        self, class_type: str, believe: float = DEFINITION_SECONDS, doubt: float = 0.0
    ) -> NodeDefinition | None:
        """The definition of a node class, or None when this server has no such node. A definition
        no older than `believe` seconds is not asked for again; that a node is missing is believed
        for `doubt` seconds.
        """
        if class_type in (".", ".."):  # in an address these would lead elsewhere
            return None
        if not self._known.is_believed(class_type, believe, doubt):
            await self.background.together(
                f"define {class_type}", functools.partial(self._define, class_type)
            )
        return self.definitions.get(class_type)

    async def _define(self, class_type: str) -> None:
        path = f"/object_info/{quote(class_type, safe='')}"
        take = functools.partial(
            read_definitions, wanted={class_type}, allowed=self.endpoint.allowed
        )
        self._take_definitions(
            [class_type], await self.read(path, take, max_bytes=MOST_DEFINITION_BYTES)
        )

    async def everything(self) -> dict[str, Any]:
        """All node definitions as the server tells them, some megabytes of JSON: class -> its
        definition.
        """
        return await self.background.together(
            "define all", functools.partial(self.read, "/object_info", read_everything)
        )

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those of these classes that this server has."""
        names = sorted(set(class_types))
        outdated = [name for name in names if self._known.age(name) >= DEFINITION_SECONDS]
        if len(outdated) > MANY_CLASSES:
            take = functools.partial(
                read_definitions, wanted=set(outdated), allowed=self.endpoint.allowed
            )
            found = await self.read("/object_info", take)
            self._take_definitions([name for name in outdated if name in found], found)
        known = {
            name: self.definitions[name]
            for name in names
            if self._known.is_believed(name, DEFINITION_SECONDS)
        }
        unknown = [name for name in names if name not in known]
        answers = await gather(8, [functools.partial(self.define, name) for name in unknown])
        asked = zip(unknown, answers, strict=True)
        return known | {name: definition for name, definition in asked if definition}

    async def define_anew(
        self, known: Definitions, class_types: Iterable[str], believe: float
    ) -> Definitions:
        """`known` with definitions of these classes that are no older than `believe` seconds: files
        are added to the lists in them all the time.
        """
        definitions = dict(known)
        for name in sorted(set(class_types)):
            definition = await self.define(name, believe)
            if definition:
                definitions[name] = definition
        return definitions

    def _take_definitions(
        self, asked: Iterable[str], found: Mapping[str, tuple[NodeDefinition, int]]
    ) -> None:
        """Note what was found of the classes that were asked for."""
        self._known.note_asked(asked)
        if self.bytes_kept + sum(size for _, size in found.values()) > MOST_DEFINITION_BYTES_KEPT:
            self.forget()
        self._known.add(found)

    @property
    def bytes_kept(self) -> int:
        """How much the server sent of what is remembered of it, about."""
        return self._known.bytes_kept + self.templates.bytes_kept

    def forget(self) -> None:
        """Forget what can be asked for again."""
        self._known.forget()
        self.templates.forget()
        self.replaced_nodes.forget()
        self.forget_lists()

    def forget_lists(self) -> None:
        """Forget what is believed for a short time only."""
        self._names.clear()
        self._list_bytes = {}
        self.model_files.forget()

    async def names(
        self, path: str, believe: float = DOUBT_SECONDS, read: Callable[[Any], str] = str
    ) -> list[str] | None:
        """A list of names: of the folders for models (`/models`), of the files in one
        (`/models/loras`), of the embeddings (`/embeddings`). None where the server has no such
        list. What is no older than `believe` seconds is not asked for again; `read` makes a name
        out of an item of the answer.
        """
        asked, names = self._names.get(path, (-math.inf, None))
        age = time.monotonic() - asked
        if age < believe:
            return names
        ask = functools.partial(self._ask_names, path, read)
        return await self.background.together(f"names {path}", ask)

    def names_seen(self, path: str) -> list[str]:
        """What `names` found there last, if anything, without asking."""
        _, names = self._names.get(path, (-math.inf, None))
        return names or []

    async def _ask_names(self, path: str, read: Callable[[Any], str]) -> list[str] | None:
        answer = await self.call("GET", path, max_bytes=MOST_LIST_BYTES)
        names = None
        if answer.status != 404 or answer.content_type == "text/html":  # which is a proxy's
            take = functools.partial(
                read_names, read=read, is_allowed=self.endpoint.allowed.in_list(path)
            )
            names = await self._taken(path.partition("?")[0], answer.body, take)
        if sum(self._list_bytes.values()) + len(answer.body) > MOST_LIST_BYTES_KEPT:
            self.forget_lists()
        self._list_bytes[path] = len(answer.body)
        self._names.pop(path, None)  # so that it is the newest
        self._names[path] = time.monotonic(), names
        return names

    async def saved_workflows(self, believe: float = DOUBT_SECONDS) -> list[str]:
        """The paths of the workflows saved on this server, such as "portraits/fox.json", below its
        folder "workflows". Until something was saved for the first time the server answers 404, and
        there are none.
        """
        path = "/userdata?dir=workflows&recurse=true&split=false&full_info=true"

        def read_path(item: Any) -> str:
            return str(item["path"]).replace("\\", "/")

        try:
            paths = await self.names(path, believe, read_path)
        except UnexpectedAnswer:
            if await self._has_users():
                raise has_many_users(self.endpoint) from None
            raise
        return await FILES.run_unless_short([paths], workflows_among, paths or ())

    async def _has_users(self) -> bool:
        """Whether ComfyUI was started with --multi-user: then it answers 500 where it is not told
        which user asks.
        """
        with contextlib.suppress(ServerError):
            return "users" in await self.get("/users", PROBE_SECONDS)
        return False

    async def saved_workflow(self, name: str) -> Graph:
        """A workflow saved on this server, in either of ComfyUI's formats. Raises `UnknownWorkflow`
        when it is not there, and `WorkflowRefused` for a file that is not a workflow.
        """
        # The slash has to be escaped, too: the server takes everything after /userdata/ as one
        # name.
        file = quote(f"workflows/{name}", safe="")
        answer = await self.call("GET", f"/userdata/{file}", max_bytes=MOST_WORKFLOW_BYTES)
        if answer.status == 404:
            raise UnknownWorkflow(f'The workflow "{name}" is no longer on the ComfyUI server.')
        if answer.status != 200:
            raise self._strange_answer("/userdata", f"HTTP {answer.status}")
        return await FILES.run_unless_short([answer.body], read_workflow_file, answer.body)

    async def model_kind(self, folder: str, name: str) -> str | None:
        """The kind of model that a file says it is, such as "stable-diffusion-xl-v1-base"; "" when
        it does not say. None when the server itself cannot read the file. `model_files` has what
        else it says.
        """
        facts = await self.model_files.facts(folder, name)
        return None if facts is None else facts.kind

    # A prompt's life: posted, waiting, running, recorded.

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt under our own id, once. Where no answer of ComfyUI comes the result is not
        `certain`, and whether the prompt arrived has to be looked up.

        Raises `WorkflowRefused` and its kin where ComfyUI refuses it, `ServerTooOld`, and
        `ServerUnreachable` where no connection could be made.
        """
        self.note_key(extra_data.get(ACCOUNT_KEY, ""))
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": self.connection.client_id,
            "extra_data": dict(extra_data),
        }
        try:
            answer = await self.call("POST", "/prompt", body=body, max_bytes=MOST_LIST_BYTES)
            said = await self._said_of_post(graph, answer)
        except ServerUnreachable as error:
            if error.refused:
                error.untaken = True
                raise
            return Accepted(prompt_id, certain=False)
        except (ServerError, WorkflowRefused) as error:
            return Accepted(prompt_id, certain=False, doubt=error)
        if isinstance(said, WorkflowRefused):
            raise said
        its_id = said["prompt_id"]
        if its_id != prompt_id:
            await self.call("POST", "/queue", body={"delete": [its_id]}, seconds=CLEAN_UP_SECONDS)
            too_old = ServerTooOld(
                f"{self.endpoint.name} is too old: it gave the job an id of its own."
            )
            too_old.untaken = True  # any more
            raise too_old.at(self.endpoint.place)
        self._note_prompts([prompt_id])
        with self._reading("/prompt"):
            return Accepted(prompt_id, read_left_out(graph, said))

    async def _said_of_post(
        self, graph: Graph, answer: Answer
    ) -> Mapping[str, Any] | WorkflowRefused:
        """ComfyUI's own answer to a post: its acceptance, or its refusal as an error. Raises, for
        whatever else may have come, what that means where the prompt was not taken:
        `WorkflowRefused` or `UnexpectedAnswer`.
        """
        if answer.status == 500 and FAILED_WHILE_READING in answer.body:
            raise WorkflowRefused("ComfyUI failed while it read the workflow; its log says why.")
        take = functools.partial(
            read_said, status=answer.status, graph=graph, definitions=self.definitions
        )
        said = (
            await self._taken("/prompt", answer.body, take) if answer.status in (200, 400) else None
        )
        if said is None:
            raise self._strange_answer(
                "/prompt", f"HTTP {answer.status}, {shortened(answer.content_type)}"
            )
        if isinstance(said, WorkflowRefused):
            # it refuses what our definitions allow, so they are out of date
            self._known.doubt_all()
        return said

    async def queue(self, since: float) -> Queue:
        """The queue as it was at `since` (of `time.monotonic`) or later. All who ask at about the
        same time share one request, and its failure. Raises as `get` does.
        """
        if self._queue is None or self._queue[0] < since:
            look = asyncio.create_task(self._ask_queue(LOOK_UP_SECONDS))
            # its waiters may be gone
            look.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._queue = time.monotonic(), look
        _, look = self._queue
        return await asyncio.shield(look)

    async def queue_soon(self, since: float) -> Queue:
        """`queue`, for a choice between servers: within `PROBE_SECONDS`, or it raises
        `ServerUnreachable`.
        """
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.queue(since)
        except TimeoutError as error:
            raise no_answer(self.endpoint, error, PROBE_SECONDS) from None

    async def _ask_queue(self, seconds: float) -> Queue:
        answer = await self.call(
            "GET", "/queue", seconds=seconds, max_bytes=MOST_JSON_BYTES, cut=True
        )
        queue = await self.understand(
            "/queue", answer, functools.partial(read_queue, is_cut=not answer.is_whole)
        )
        self._note_prompts([*queue.running, *queue.pending][:REMEMBERED_PROMPTS])
        self.record.queue_length = len(queue)
        return queue

    def _note_prompts(self, prompt_ids: Iterable[str]) -> None:
        """Note that the server has these prompts, for `has_run_since`."""
        now = time.monotonic()
        for prompt_id in prompt_ids:
            if prompt_id not in self._first_seen:
                self._first_seen[prompt_id] = now

    async def has_run_since(self, moment: float) -> bool:
        """Whether the server has certainly not been restarted since then (of `time.monotonic`): a
        restart empties its queue and its history, and it still knows a prompt that it had by then.
        Raises as `get` does.
        """
        recent = await self.background.together("recent prompts", self.recent)
        return any(
            self._first_seen.get(prompt.prompt_id, math.inf) <= moment for prompt in recent.prompts
        )

    async def look_up(self, prompt_id: str, since: float) -> Event:
        """Where a prompt stands: `Started`, `Waiting`, `Recorded` or `Absent`. The queue is asked
        first and the history second, so that a prompt that ends in between is not missed. What is
        in neither, where the queue is too long to be read whole, waits behind what was read.
        """
        queue = await self.queue(since)
        in_queue = queue.find(prompt_id)
        if in_queue:
            return in_queue
        path = f"/history/{prompt_id}"
        take = functools.partial(read_record, prompt_id=prompt_id)
        recorded = await self.read(path, take, LOOK_UP_SECONDS)
        if recorded:
            return recorded
        return Absent() if queue.is_whole else Waiting(len(queue), at_least=True)

    async def find(self, prompt_id: str) -> Prompt | None:
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the server
        does not know it. Raises `UnexpectedAnswer` where the queue is too long to tell.
        """
        queue = await self.queue(time.monotonic())
        in_queue = queue.prompt(prompt_id)
        if in_queue:
            return in_queue
        take = functools.partial(read_history_entry, prompt_id=prompt_id)
        in_history = await self.read(f"/history/{prompt_id}", take)
        if in_history is None and not queue.is_whole:
            raise UnexpectedAnswer(
                f"The queue of {self.endpoint.name} is too long to be read whole."
            ).at(self.endpoint.place)
        return in_history

    async def recent(self) -> Recent:
        """The newest `RECENT_PROMPTS` of the history, and then all that is in the queue."""
        queue = await self.queue(time.monotonic())
        done: list[Prompt] = []
        is_whole = False
        for count in (RECENT_PROMPTS, RECENT_PROMPTS // 10):  # fewer where so many are too long
            path = f"/history?max_items={count}"
            answer = await self.call("GET", path, max_bytes=MOST_JSON_BYTES, cut=True)
            if answer.is_whole:
                done = await self.understand("/history", answer, read_history)
                is_whole = queue.is_whole and count == RECENT_PROMPTS
                break
        return Recent((*done, *queue.prompts), is_whole)

    async def remove_from_history(self, prompt_ids: Sequence[str]) -> bool:
        """Have the server forget prompts that have ended. Returns whether it did. Raises as `call`
        does.
        """
        answer = await self.call(
            "POST", "/history", body={"delete": list(prompt_ids)}, seconds=LOOK_UP_SECONDS
        )
        return answer.status == 200

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Take a prompt out of the queue or, if it is the running one, interrupt it; never anybody
        else's.

        Current servers (0.33.0) do both in one route; where that is missing, or a proxy refuses it,
        the old routes are used. The interrupt is sent only while the prompt runs, since a server
        too old to know its `prompt_id` would stop whatever is running. Raises a `ServerError` when
        the server could not be told.
        """
        ask = functools.partial(self.call, seconds=seconds)
        with contextlib.suppress(ServerError):
            answer = await ask("POST", f"/api/jobs/{prompt_id}/cancel")
            if answer.status == 200:
                said = await self._json("", answer)
                if said.get("cancelled"):
                    return
        answer = await ask("POST", "/queue", body={"delete": [prompt_id]})
        queue = await self._ask_queue(seconds)
        if prompt_id in queue.running:
            answer = await ask("POST", "/interrupt", body={"prompt_id": prompt_id})
        if answer.status != 200 and prompt_id in (*queue.running, *queue.pending):
            raise self._strange_answer("/queue", f"HTTP {answer.status}")

    # ComfyUI's memory.

    def free_after(self, seconds: float) -> None:
        """Free ComfyUI's memory this many seconds from now, at once for 0. Said again before then,
        only the new time counts. Waiting for it keeps nothing open: the pool's keeper watches the
        time.
        """
        self.free_at = time.monotonic() + seconds
        self._free_again = seconds or FREE_AGAIN_SECONDS
        if seconds == 0:
            self.background.later(self.free_when_due())

    async def free_when_due(self) -> None:
        """Free ComfyUI's memory or, when anybody has a job in the queue, try again some time
        later.
        """
        self.free_at = None
        was_freed = await self.free()
        if not was_freed and self.free_at is None:
            self.free_at = time.monotonic() + self._free_again

    async def free(self) -> bool:
        """Have ComfyUI unload its models and forget its results, unless anybody has a job in its
        queue. Returns whether it was told to. Raises as `call` does, and `UnexpectedAnswer` when it
        refuses.
        """
        queue = await self.queue(time.monotonic())
        if len(queue):
            return False
        path = "/free"
        body = {"unload_models": True, "free_memory": True}
        answer = await self.call("POST", path, body=body, seconds=LOOK_UP_SECONDS)
        if answer.status != 200:
            raise self._strange_answer(path, f"HTTP {answer.status}")
        return True
