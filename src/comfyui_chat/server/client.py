"""One ComfyUI server: its HTTP routes and its websocket as methods with typed results.

`ComfyUIServer` is what `open_server` gives out. All HTTP goes through `call`, which bounds time and size and turns what
fails into a `ServerError`; `get` and `_json` make an object of an answer, and within `_reading` an answer of the wrong
shape becomes an error. On these stand, in the order of the class: what the server is and has (`stats`, `define`,
`names`, `saved_workflows`, `model_metadata`), a prompt's life (`submit`, `queue`, `look_up`, `find`, `recent`,
`cancel`), files (`upload`, `view`) and memory (`free`). `connection` is its websocket.

What rarely changes is remembered. Whoever asks for it says how old it may be (`believe`, in seconds), and those who
ask the same at the same time share one request (`together`).

What routes take and answer was recorded from ComfyUI 0.3.64 and 0.33.0. `cloud` overrides what is different on
Comfy Cloud.
"""

import asyncio
import contextlib
import functools
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from ..errors import (
    AccessRefused,
    ComfyUIError,
    LimitExceeded,
    ServerBusy,
    ServerError,
    ServerTooOld,
    ServerUnreachable,
    UnexpectedAnswer,
    UnknownWorkflow,
    WorkflowRefused,
)
from ..graph.definitions import Definitions, NodeDefinition
from ..graph.nodes import Graph, node_title
from ..graph.reading import read_workflow_file
from ..logs import log
from ..media.pictures import InputFile
from ..names import shortened
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS, T, gather
from .connection import CONNECT_SECONDS, Connection, connection_fault
from .endpoint import Endpoint
from .protocol import (
    Absent,
    Accepted,
    Answer,
    Event,
    Output,
    Prompt,
    Queue,
    Started,
    Stats,
    Waiting,
    parse_history,
    parse_prompt,
    parse_refusal,
    parse_stats,
    read_retry_after,
)
from .record import Record

# How long things may take, in seconds; see also ANSWER_SECONDS and CLEAN_UP_SECONDS.
PROBE_SECONDS = 4.0  # to find out whether a server answers at all
LOOK_UP_SECONDS = 10.0  # for one look-up of a running job; the next one comes anyway
UPLOAD_SECONDS = 300.0  # for a file sent to the server
DOWNLOAD_SECONDS = 600.0  # for a file from it
STALL_SECONDS = 30.0  # without a byte in the middle of an answer, before it counts as broken off
HEARTBEAT_SECONDS = 30.0  # between two pings: the server sends none, and they show when a connection is dead
FREE_AGAIN_SECONDS = 10.0  # before ComfyUI's memory is freed after all, when others had jobs in the queue after a run
# How long what a server said is believed.
DEFINITION_SECONDS = 300.0  # of a node definition
DOUBT_SECONDS = 10.0  # of a list that lacks what is looked for: files are added all the time
# How much there may be.
MANY_CLASSES = 100  # node definitions asked for one by one; when more are needed, all are fetched in one request
RECENT_PROMPTS = 200  # of the history, that are searched for a user's own jobs, the newest first
MAX_JSON_BYTES = 64 * 2**20
MAX_OUTPUT_BYTES = 512 * 2**20
# The HTTP statuses that send a client elsewhere.
REDIRECTS = (301, 302, 303, 307, 308)


class ComfyUIServer:
    """One ComfyUI: its HTTP routes and its websocket, in typed values and this tool's errors. Use `open_server`.

    It outlives its connections: what it learned (definitions, pace, faults) stays when they are closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connection = Connection(self)
        self.definitions: dict[str, NodeDefinition] = {}
        self._asked: dict[str, float] = {}  # class -> when it was last asked for; all times are of `time.monotonic`
        self._metadata: dict[tuple[str, str], tuple[float, Mapping[str, Any] | None]] = {}  # by folder and name
        self._names: dict[str, tuple[float, list[str] | None]] = {}  # by path
        self._session: aiohttp.ClientSession | None = None
        self._queue: tuple[float, asyncio.Task[Queue]] | None = None  # when the newest look at it began, and that look
        self._questions: dict[str, asyncio.Task[Any]] = {}  # under way, each asked once for all who wait for it
        self._chores: set[asyncio.Task[None]] = set()  # what goes on in the background
        self.record = Record()
        self.free_at: float | None = None  # when ComfyUI's memory is due to be freed
        self._free_again = 0.0  # how many seconds later that is tried again
        self.users = 0  # calls that have it open
        self.idle_since = 0.0  # when the last call or chore ended
        self.door = asyncio.Lock()  # held while it closes, so that nobody comes in

    # Open and closed: the session, the background, and what the pool asks before it closes a server.

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at first use. It keeps no cookies and no credential, and follows no redirect: the
        credential belongs to this address alone, and is given with each request."""
        if self._session is None or self._session.closed:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(self._refuse_redirect)
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS / 2),  # `call` bounds the whole
            )
        return self._session

    async def _refuse_redirect(self, _session: Any, _context: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
        raise self._redirected(params.response.headers.get("Location", ""))

    def _redirected(self, location: str) -> UnexpectedAnswer:
        parts = urlsplit(location)
        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "another path"
        return UnexpectedAnswer(
            f"{self.endpoint.url} sends on to {where}, which is not followed.",
            "If ComfyUI is really there, set the address valve to it; a login page means that a key is missing.",
        )

    def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, for as long as the server is open. Its failure is logged."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: "asyncio.Task[None]") -> None:
        self._chores.discard(task)
        self.idle_since = time.monotonic()
        if not task.cancelled() and (error := task.exception()):
            reason = error.message if isinstance(error, ComfyUIError) else type(error).__name__
            log.info("%s: a chore failed: %s", self.endpoint.url, reason)

    async def together(self, question: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One answer for all who ask the same `question` at the same time. When one of them is cancelled, the request
        goes on for the others."""
        task = self._questions.get(question)
        if task is None:
            task = self._questions[question] = asyncio.create_task(ask())
            task.add_done_callback(functools.partial(self._answered, question))
        answer: T = await asyncio.shield(task)
        return answer

    def _answered(self, question: str, task: "asyncio.Task[Any]") -> None:
        self._questions.pop(question, None)
        if not task.cancelled():
            task.exception()  # those who asked may be gone, and asyncio would complain that nobody looked

    @property
    def in_use(self) -> bool:
        """Whether a call or a chore still needs it."""
        return bool(self.users or self._chores)

    @property
    def is_open(self) -> bool:
        """Whether it has anything to close."""
        return self.in_use or self._session is not None

    @property
    def is_watched(self) -> bool:
        """Whether the pool's keeper still has to look after it, though nobody calls."""
        return self.is_open or self.free_at is not None

    async def close(self) -> None:
        """Close the websocket and all connections, and cancel what is under way. They are opened again when needed."""
        tasks = [*self._chores, *self._questions.values(), *([self._queue[1]] if self._queue else [])]
        session, self._session, self._queue = self._session, None, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.connection.close()
        if session:
            await session.close()

    # HTTP and the websocket's handshake.

    @contextlib.asynccontextmanager
    async def websocket(self, client_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id. There is no limit on a frame's size, since results may come as
        frames. Raises `AccessRefused`, and what aiohttp raises otherwise."""
        try:
            socket = await self.session.ws_connect(
                f"{self.endpoint.url}/ws",
                params=self._websocket_query(client_id),
                headers=self.endpoint.headers(),
                max_msg_size=0,
                heartbeat=HEARTBEAT_SECONDS,
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 407):
                raise self._access_refused(error.status) from None
            raise
        try:
            yield socket
        finally:
            await socket.close()

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {"clientId": client_id}

    def _address(self, path: str) -> str:
        """Where a route of ComfyUI is."""
        return self.endpoint.url + path

    def _access_refused(self, status: int) -> AccessRefused:
        sent = "refused the API key" if self.endpoint.api_key else "wants an API key, and none is set"
        return AccessRefused(f"{self.endpoint.url} {sent} (HTTP {status}).")

    async def call(
        self,
        method: str,
        path: str | URL,
        *,
        body: Any = None,
        form: aiohttp.FormData | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        silent: float = math.inf,
        most: int = MAX_JSON_BYTES,
        redirects: bool = False,
    ) -> Answer:
        """One HTTP exchange within `seconds`. The answer's first byte has to come within `silent` seconds, and it may
        have at most `most` bytes. `body` is sent as JSON, `form` as it is. A `URL` in place of a path is an address
        elsewhere: it gets no credential, and what its statuses mean is for the caller to judge.

        Raises `ServerUnreachable`, `AccessRefused`, `ServerBusy`, and `UnexpectedAnswer` for an answer that is too
        large or, unless the caller takes `redirects`, a redirect. Any other status is for the caller to judge.
        """
        address: str | URL
        if isinstance(path, str):
            url, address, headers = self.endpoint.url, self._address(path), self.endpoint.headers()
            shown = url + path
        else:
            url = shown = str(path.origin())  # what else stands in it may be a credential, too
            address, headers = path, {}
        try:
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            async with asyncio.timeout_at(min(end, loop.time() + silent)) as limit:
                sent = {"data": form} if form else {"json": body}
                request = self.session.request(
                    method, address, params=params, headers=headers, allow_redirects=False, **sent
                )
                async with request as response:
                    if isinstance(path, str):
                        await self._check(response)
                    location = response.headers.get("Location", "")
                    if response.status in REDIRECTS and not redirects:
                        raise self._redirected(location)
                    data = bytearray()
                    async for chunk in response.content.iter_any():
                        data += chunk
                        limit.reschedule(min(end, loop.time() + STALL_SECONDS))
                        if len(data) > most:
                            raise UnexpectedAnswer(f"{shown} answers with more than {most // 2**20} MB.")
                    length = response.content_length
                    return Answer(response.status, response.content_type, bytes(data), length, location)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
                raise ServerUnreachable(f"ComfyUI at {url} did not answer within {min(seconds, silent):g} s.") from None
            refused = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
            raise ServerUnreachable(
                f"ComfyUI at {url} does not answer ({connection_fault(error)}).", refused=refused
            ) from None

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise an error for the statuses that mean the same on every route."""
        if response.status in (401, 403, 407):
            raise self._access_refused(response.status)
        if response.status in (502, 503, 504):
            url = self.endpoint.url
            raise ServerUnreachable(f"The proxy at {url} answers {response.status}: no ComfyUI behind it.")
        if response.status == 429:
            after = read_retry_after(response.headers.get("Retry-After"))
            raise ServerBusy(f"The proxy at {self.endpoint.url} is asked too often.", seconds=after)

    async def get(self, path: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The JSON object that a route answers which every ComfyUI has. Raises as `call` does, and `UnexpectedAnswer`
        for anything else."""
        answer = await self.call("GET", path, seconds=seconds)
        if len(answer.body) < 2**20:
            return self._json(path, answer)
        return await asyncio.to_thread(self._json, path, answer)  # definitions of many custom nodes are tens of MB

    def _json(self, path: str, answer: Answer) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            value = json.loads(answer.body) if answer.status == 200 and "json" in answer.content_type else None
            if isinstance(value, dict):
                return value
        raise UnexpectedAnswer(
            f"{self.endpoint.url}{path} answers {answer.status} {answer.content_type}, which ComfyUI does not."
        )

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Turn what Python raises where an answer is read that has the wrong shape into `UnexpectedAnswer`."""
        try:
            yield
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
            raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers in a shape that ComfyUI does not.") from None

    # What the server is and has.

    async def probe(self) -> None:
        """Find out whether a ComfyUI answers here. Raises a `ServerError` when none does."""
        await self.stats()

    async def stats(self) -> Stats:
        """Its version, devices and memory, as they are now. Raises as `get` does."""
        path = "/system_stats"
        raw = await self.get(path, PROBE_SECONDS)
        if "system" not in raw:
            raise UnexpectedAnswer(f"What answers at {self.endpoint.url} is not ComfyUI.")
        with self._reading(path):
            return parse_stats(raw)

    async def define(self, class_type: str, believe: float = DEFINITION_SECONDS) -> NodeDefinition | None:
        """The definition of a node class, or None when this server has no such node. A definition no older than
        `believe` seconds is not asked for again; that a node is missing is never believed."""
        if class_type in (".", ".."):  # in an address these would lead elsewhere
            return None
        asked = self._asked.get(class_type, -math.inf)
        if class_type not in self.definitions or time.monotonic() - asked >= believe:
            await self.together(f"define {class_type}", functools.partial(self._define, class_type))
        return self.definitions.get(class_type)

    async def _define(self, class_type: str) -> None:
        path = f"/object_info/{quote(class_type, safe='')}"
        raw = (await self.get(path)).get(class_type)
        with self._reading(path):
            self._take_definition(class_type, raw)

    async def everything(self) -> dict[str, Any]:
        """All node definitions as the server tells them, some megabytes of JSON: class -> its definition."""
        return await self.together("define all", functools.partial(self.get, "/object_info"))

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those of these classes that this server has."""
        wanted = sorted(set(class_types))
        strange = [name for name in wanted if time.monotonic() - self._asked.get(name, -math.inf) >= DEFINITION_SECONDS]
        if len(strange) > MANY_CLASSES:
            everything = await self.everything()
            with self._reading("/object_info"):
                for name in strange:
                    self._take_definition(name, everything.get(name))
        found = await gather(8, [functools.partial(self.define, name) for name in wanted])
        return {name: definition for name, definition in zip(wanted, found, strict=True) if definition}

    async def define_anew(self, known: Definitions, class_types: Iterable[str], believe: float) -> Definitions:
        """`known` with definitions of these classes that are no older than `believe` seconds: files are added to the
        lists in them all the time."""
        fresh = {name: await self.define(name, believe) for name in sorted(set(class_types))}
        return {**known, **{name: definition for name, definition in fresh.items() if definition}}

    def _take_definition(self, class_type: str, raw: Any) -> None:
        self._asked[class_type] = time.monotonic()
        self.definitions.pop(class_type, None)
        if raw:
            self.definitions[class_type] = NodeDefinition.parse(class_type, raw)

    async def names(
        self, path: str, believe: float = DOUBT_SECONDS, read: Callable[[Any], str] = str
    ) -> list[str] | None:
        """A list of names: of the folders for models (`/models`), of the files in one (`/models/loras`), of the
        embeddings (`/embeddings`). None where the server has no such list. What is no older than `believe` seconds is
        not asked for again; `read` makes a name out of an item of the answer."""
        asked, held = self._names.get(path, (-math.inf, None))
        if time.monotonic() - asked >= believe:
            return await self.together(f"names {path}", functools.partial(self._ask_names, path, read))
        return held

    async def _ask_names(self, path: str, read: Callable[[Any], str]) -> list[str] | None:
        answer, held = await self.call("GET", path), None
        if answer.status != 404:
            with self._reading(path.partition("?")[0]):
                held = [read(item) for item in json.loads(answer.body)]
        self._names[path] = time.monotonic(), held
        return held

    async def saved_workflows(self, believe: float = DOUBT_SECONDS) -> list[str]:
        """The paths of the workflows saved on this server, such as "portraits/fox.json", below its folder "workflows".
        Until something was saved for the first time the server answers 404, and there are none."""
        path = "/userdata?dir=workflows&recurse=true&split=false&full_info=true"
        listed = await self.names(path, believe, lambda item: str(item["path"]).replace("\\", "/")) or []
        hidden = re.compile(r"(^|/)\.|[\ud800-\udfff]")  # or half a surrogate pair: such a name cannot be sent
        return sorted((name for name in listed if name.endswith(".json") and not hidden.search(name)), key=str.lower)

    async def saved_workflow(self, name: str) -> Graph:
        """A workflow saved on this server, in either of ComfyUI's formats. Raises `UnknownWorkflow` when it is not
        there, and `WorkflowRefused` for a file that is not a workflow."""
        # The slash has to be escaped, too: the server takes everything after /userdata/ as one name.
        answer = await self.call("GET", f"/userdata/{quote(f'workflows/{name}', safe='')}")
        if answer.status != 200:
            raise UnknownWorkflow(f'The workflow "{name}" is not on the ComfyUI server any more.')
        return await asyncio.to_thread(read_workflow_file, answer.body)

    async def model_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        """What a model file says of itself: the metadata of a safetensors file, {} when there is none. None when the
        server itself cannot read the file: files cut short while they were downloaded are common. Remembered for
        `DEFINITION_SECONDS`."""
        asked, metadata = self._metadata.get((folder, name), (-math.inf, None))
        if time.monotonic() - asked > DEFINITION_SECONDS:
            ask = functools.partial(self._ask_metadata, folder, name)
            return await self.together(f"metadata {folder}/{name}", ask)
        return metadata

    async def _ask_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        path = f"/view_metadata/{quote(folder, safe='')}"
        answer = await self.call("GET", path, params={"filename": name})
        metadata: Mapping[str, Any] | None = None if answer.status == 500 else {}
        if answer.status == 200:
            with contextlib.suppress(ValueError, TypeError):
                metadata = dict(json.loads(answer.body))
        self._metadata[folder, name] = time.monotonic(), metadata
        return metadata

    # A prompt's life: posted, waiting, running, recorded.

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt under our own id, once. When the answer is lost the result is not `certain`, and whether the
        prompt arrived has to be looked up.

        Raises `WorkflowRefused` and its kin, `ServerTooOld`, and as `call` does, but `ServerUnreachable` only where no
        connection could be made.
        """
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": self.connection.client_id,
            "extra_data": dict(extra_data),
        }
        try:
            answer = await self.call("POST", "/prompt", body=body)
        except ServerUnreachable as error:
            if error.refused:
                raise
            return Accepted(prompt_id, certain=False)
        accepted = self._read_accepted(graph, answer)
        if accepted.get("prompt_id") != prompt_id:
            await self.call("POST", "/queue", body={"delete": [accepted.get("prompt_id")]}, seconds=CLEAN_UP_SECONDS)
            raise ServerTooOld(f"ComfyUI at {self.endpoint.url} gave the job an id of its own.")
        return Accepted(prompt_id, self._dropped(graph, accepted))

    def _read_accepted(self, graph: Graph, answer: Answer) -> dict[str, Any]:
        """What the server says of a prompt that it took. Raises `WorkflowRefused` and its kin when it did not."""
        if answer.status == 400:
            self._asked.clear()  # it refuses what our definitions allow, so they are out of date
            with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
                raise parse_refusal(json.loads(answer.body), graph, self.definitions)
        if answer.status >= 500:
            raise WorkflowRefused("ComfyUI failed while it read the workflow; its log says why.")
        return self._json("/prompt", answer)

    def _dropped(self, graph: Graph, accepted: Mapping[str, Any]) -> tuple[str, ...]:
        """Notes on the outputs that the server left out of a prompt which it took."""
        with self._reading("/prompt"):
            return tuple(
                f"{node_title(graph, node_id)} was left out: {shortened(reason.get('message'), 120)}"
                for node_id, refused in (accepted.get("node_errors") or {}).items()
                for reason in (refused.get("errors") or ({"message": "refused"},))[:1]
            )

    async def queue(self, since: float) -> Queue:
        """The queue as it was at `since` (of `time.monotonic`) or later. All who ask at about the same time share one
        request, and its failure. Raises as `get` does."""
        if self._queue is None or self._queue[0] < since:
            task = asyncio.create_task(self._ask_queue(LOOK_UP_SECONDS))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # its waiters may be gone
            self._queue = time.monotonic(), task
        return await asyncio.shield(self._queue[1])

    async def queue_soon(self, since: float) -> Queue:
        """`queue`, for a choice between servers: within `PROBE_SECONDS`, or it raises `ServerUnreachable`."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.queue(since)
        except TimeoutError:
            url = self.endpoint.url
            raise ServerUnreachable(f"ComfyUI at {url} did not answer within {PROBE_SECONDS:g} s.") from None

    async def _ask_queue(self, seconds: float) -> Queue:
        raw = await self.get("/queue", seconds)
        with self._reading("/queue"):
            running, pending = raw.get("queue_running") or (), raw.get("queue_pending") or ()
            in_order = sorted(pending, key=lambda item: (item[0], item[1]))  # the server sends its heap as it is
            first = [parse_prompt(item, Started()) for item in running]
            then = [parse_prompt(item, Waiting(len(first) + index)) for index, item in enumerate(in_order)]
            ids, waiting = tuple(item.prompt_id for item in first), tuple(item.prompt_id for item in then)
            return Queue(ids, waiting, (*first, *then))

    async def look_up(self, prompt_id: str, since: float) -> Event:
        """Where a prompt stands: `Started`, `Waiting`, `Recorded` or `Absent`. The queue is asked first and the
        history second, so that a prompt that ends in between is not missed."""
        if found := (await self.queue(since)).find(prompt_id):
            return found
        path = f"/history/{prompt_id}"
        entry = (await self.get(path, LOOK_UP_SECONDS)).get(prompt_id)
        with self._reading(path):
            return parse_history(entry) if entry else Absent()

    async def find(self, prompt_id: str) -> Prompt | None:
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the server does not know it."""
        for item in (await self.queue(time.monotonic())).prompts:
            if item.prompt_id == prompt_id:
                return item
        path = f"/history/{prompt_id}"
        entry = (await self.get(path)).get(prompt_id)
        with self._reading(path):
            return parse_prompt(entry["prompt"], parse_history(entry), entry) if entry else None

    async def recent(self) -> list[Prompt]:
        """The newest `RECENT_PROMPTS` of the history, oldest first, and then all that is in the queue."""
        queue = await self.queue(time.monotonic())
        path = f"/history?max_items={RECENT_PROMPTS}"
        entries = await self.get(path)
        with self._reading("/history"):
            done = [parse_prompt(entry["prompt"], parse_history(entry), entry) for entry in entries.values()]
        return [*done, *queue.prompts]

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Take a prompt out of the queue or, if it is the running one, interrupt it; never anybody else's.

        Current servers (0.33.0) do both in one route; where that is missing, or a proxy refuses it, the old routes are
        used. The interrupt is sent only while the prompt runs, since a server too old to know its `prompt_id` would
        stop whatever is running. Raises a `ServerError` when the server could not be told.
        """
        ask = functools.partial(self.call, seconds=seconds)
        with contextlib.suppress(ServerError):
            answer = await ask("POST", f"/api/jobs/{prompt_id}/cancel")
            if answer.status == 200 and self._json("", answer).get("cancelled"):
                return
        await ask("POST", "/queue", body={"delete": [prompt_id]})
        if prompt_id in (await self._ask_queue(seconds)).running:
            await ask("POST", "/interrupt", body={"prompt_id": prompt_id})

    # Files.

    async def upload(self, file: InputFile) -> str:
        """Put a file into the server's input folder, unless it is there already. Returns the name that it has there, as
        a rule its `stored_name`."""
        return file.stored_name if await self._has(file) else await self._send(file, overwrite="true")

    async def _send(self, file: InputFile, **fields: str) -> str:
        form, path = aiohttp.FormData(fields), "/upload/image"
        form.add_field("image", file.data, filename=file.stored_name, content_type="application/octet-stream")
        answer = await self.call("POST", path, form=form, seconds=UPLOAD_SECONDS)
        self._check_upload(file, answer)
        taken = self._json(path, answer)
        with self._reading(path):
            name, folder = str(taken["name"]), str(taken.get("subfolder") or "")
        return f"{folder}/{name}" if folder else name

    def _check_upload(self, file: InputFile, answer: Answer) -> None:
        """Raise when the file is larger than the server takes."""
        if answer.status == 413:
            size = f"{len(file.data) / 2**20:.0f} MB"
            raise LimitExceeded(f"The file has {size}, which is more than ComfyUI takes.", "Give a smaller one.")

    async def _has(self, file: InputFile) -> bool:
        """Whether a file is in the server's input folder, by its name and length; no when that cannot be told."""
        with contextlib.suppress(ServerError):
            params = {"filename": file.stored_name, "subfolder": "", "type": "input"}
            answer = await self.call("HEAD", "/view", params=params)
            return answer.status == 200 and answer.length == len(file.data)
        return False

    async def view(self, output: Output) -> bytes:
        """An output's bytes. Raises `UnexpectedAnswer` when the server does not give it out, and as `call` does."""
        params = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
        answer = await self._download(params)
        if answer.status != 200:
            raise UnexpectedAnswer(f'ComfyUI does not give out its file "{output.filename}" (HTTP {answer.status}).')
        return answer.body

    async def _download(self, params: Mapping[str, str]) -> Answer:
        return await self.call(
            "GET", "/view", params=params, seconds=DOWNLOAD_SECONDS, silent=STALL_SECONDS, most=MAX_OUTPUT_BYTES
        )

    # ComfyUI's memory.

    def free_after(self, seconds: float) -> None:
        """Free ComfyUI's memory this many seconds from now, at once for 0. Said again before then, only the new
        time counts. Waiting for it keeps nothing open: the pool's keeper watches the time."""
        self.free_at, self._free_again = time.monotonic() + seconds, seconds or FREE_AGAIN_SECONDS
        if not seconds:
            self.later(self.free_when_due())

    async def free_when_due(self) -> None:
        """Free ComfyUI's memory or, when anybody has a job in the queue, try again some time later."""
        self.free_at = None
        if not await self.free() and self.free_at is None:
            self.free_at = time.monotonic() + self._free_again

    async def free(self) -> bool:
        """Have ComfyUI unload its models and forget its results, unless anybody has a job in its queue. Returns whether
        it was told to. Raises as `call` does, and `UnexpectedAnswer` when it refuses."""
        if len(await self.queue(time.monotonic())):
            return False
        path, body = "/free", {"unload_models": True, "free_memory": True}
        answer = await self.call("POST", path, body=body, seconds=LOOK_UP_SECONDS)
        if answer.status != 200:
            raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers {answer.status}, which ComfyUI does not.")
        return True
