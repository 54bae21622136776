"""server/client."""

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
from .connection import CONNECT_SECONDS, Connection
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

PROBE_SECONDS = 4.0  # to find out whether a server answers at all
UPLOAD_SECONDS = 300.0  # for a file sent to the server
DOWNLOAD_SECONDS = 600.0  # for a file from it
STALL_SECONDS = 30.0  # without a byte in the middle of an answer, before it counts as broken off
HEARTBEAT_SECONDS = 30.0  # between two pings: the server sends none, and a dead connection shows by them
RECENT_PROMPTS = 200  # of the history, that are looked through for a user's own jobs
LOOK_UP_SECONDS = 10.0  # for one look-up of a running job; the next one comes anyway
DEFINITION_SECONDS = 300.0  # how long a node definition is believed
MANY_CLASSES = 100  # of more than so many at once all are asked for in one request
FREE_AGAIN_SECONDS = 10.0  # before ComfyUI's memory is freed after all, when others had jobs in the queue after a run
DOUBT_SECONDS = 10.0  # how long it is believed when it lacks what is looked for: files are added all the time
MAX_JSON_BYTES = 64 * 2**20
MAX_OUTPUT_BYTES = 512 * 2**20
REDIRECTS = (301, 302, 303, 307, 308)


class ComfyUIServer:
    """One ComfyUI: its HTTP routes and its websocket, in typed values and room 2's errors. Use `open_server`.

    It outlives its connections: what it learned (definitions, pace, faults) stays when they are closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connection = Connection(self)
        self.definitions: dict[str, NodeDefinition] = {}
        self._asked: dict[str, float] = {}  # when a class was last asked for
        self._metadata: dict[tuple[str, str], tuple[float, Mapping[str, Any] | None]] = {}
        self._names: dict[str, tuple[float, list[str] | None]] = {}  # by path
        self._session: aiohttp.ClientSession | None = None
        self._queue: tuple[float, asyncio.Task[Queue]] | None = None  # the newest look at it, and when it began
        self._questions: dict[str, asyncio.Task[Any]] = {}  # under way, each asked once for all who wait for it
        self._chores: set[asyncio.Task[None]] = set()
        self.record = Record()
        self.free_at: float | None = None  # of `time.monotonic`: when ComfyUI's memory is due to be freed
        self._free_again = 0.0  # seconds after that, when it could not be
        self.users = 0
        self.idle_since = 0.0  # of `time.monotonic`
        self.door = asyncio.Lock()  # nobody comes in while it closes

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
        """Do something beside everything else, for as long as the server is open."""
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
        """One answer for all who ask the same at the same time. Whoever is cancelled leaves it to the others."""
        task = self._questions.get(question)
        if task is None:
            task = self._questions[question] = asyncio.create_task(ask())
            task.add_done_callback(functools.partial(self._answered, question))
        answer: T = await asyncio.shield(task)
        return answer

    def _answered(self, question: str, task: "asyncio.Task[Any]") -> None:
        self._questions.pop(question, None)
        if not task.cancelled():
            task.exception()  # those who asked may be gone

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
        """Whether there is anything to do for it still, though nobody calls."""
        return self.is_open or self.free_at is not None

    async def close(self) -> None:
        """Close the websocket and all connections, and end what is under way. They are opened again when needed."""
        tasks = [*self._chores, *self._questions.values(), *([self._queue[1]] if self._queue else [])]
        session, self._session, self._queue = self._session, None, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.connection.close()
        if session:
            await session.close()

    @contextlib.asynccontextmanager
    async def websocket(self, client_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """The websocket. No limit on a frame's size: results may come as frames. The server sends no pings."""
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
        """One HTTP exchange, within `seconds`, beginning within `silent` seconds, and of at most `most` bytes; `body`
        is sent as JSON, `form` as it is. A whole address for `path` is another place: it gets no credential, and its
        statuses are the caller's.

        Raises `ServerUnreachable`, `AccessRefused`, or `UnexpectedAnswer` for oversized answers and, unless the caller
        takes `redirects`, for these; any other status is the caller's to judge.
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
        """Raise for the statuses that mean the same on every route."""
        if response.status in (401, 403, 407):
            raise self._access_refused(response.status)
        if response.status in (502, 503, 504):
            url = self.endpoint.url
            raise ServerUnreachable(f"The proxy at {url} answers {response.status}: no ComfyUI behind it.")
        if response.status == 429:
            after = read_retry_after(response.headers.get("Retry-After"))
            raise ServerBusy(f"The proxy at {self.endpoint.url} is asked too often.", seconds=after)

    async def get(self, path: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """A JSON object of a route that ComfyUI always has; raises as `call` does."""
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
        """Turns what goes wrong with an answer of the wrong shape into the error that it is."""
        try:
            yield
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
            raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers in a shape that ComfyUI does not.") from None

    async def probe(self) -> None:
        """Find out whether a ComfyUI answers here; raises room 2's errors when none does."""
        await self.stats()

    async def stats(self) -> Stats:
        """Its version, devices and memory, as they are now. Raises as `call` does."""
        path = "/system_stats"
        raw = await self.get(path, PROBE_SECONDS)
        if "system" not in raw:
            raise UnexpectedAnswer(f"What answers at {self.endpoint.url} is not ComfyUI.")
        with self._reading(path):
            return parse_stats(raw)

    async def define(self, class_type: str, believe: float = DEFINITION_SECONDS) -> NodeDefinition | None:
        """A node's definition, or None when this server has no such node. What is known and no older than `believe`
        seconds is not asked for again."""
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
        """All node definitions as the server tells them, some megabytes."""
        return await self.together("define all", functools.partial(self.get, "/object_info"))

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those classes that this server has."""
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
        not asked for again; `read` makes a name of an item."""
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
        """The paths of the workflows saved on this server, those in folders with them, below its folder "workflows";
        none (404) while nothing was ever saved."""
        path = "/userdata?dir=workflows&recurse=true&split=false&full_info=true"
        listed = await self.names(path, believe, lambda item: str(item["path"]).replace("\\", "/")) or []
        hidden = re.compile(r"(^|/)\.|[\ud800-\udfff]")  # or no Unicode: such a name cannot be asked for
        return sorted((name for name in listed if name.endswith(".json") and not hidden.search(name)), key=str.lower)

    async def saved_workflow(self, name: str) -> Graph:
        """A workflow saved on this server, in the format in which it is. Raises `WorkflowRefused` for what is none."""
        # The slash has to be escaped, too: the server takes what stands behind /userdata/ as one name.
        answer = await self.call("GET", f"/userdata/{quote(f'workflows/{name}', safe='')}")
        if answer.status != 200:
            raise UnknownWorkflow(f'The workflow "{name}" is not on the ComfyUI server any more.')
        return await asyncio.to_thread(read_workflow_file, answer.body)

    async def model_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        """What a model file says of itself ({} when nothing), or None when the server itself cannot read it: files
        cut short while they were fetched are common. Cached."""
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

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt under our own id, once; whether it arrived when the answer is lost has to be looked up.

        Raises `WorkflowRefused` and its kin, `ServerTooOld`, and as `call` does, `ServerUnreachable` only where no
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
        """What the server says of a prompt that it took; raises its refusal."""
        if answer.status == 400:
            self._asked.clear()  # it refuses what was taken from them, so they are out of date
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
        """The queue as it was at `since` (of `time.monotonic`) or later. Everybody who asks at about the same time
        shares one request, and its failure."""
        if self._queue is None or self._queue[0] < since:
            task = asyncio.create_task(self._ask_queue(LOOK_UP_SECONDS))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # its waiters may be gone
            self._queue = time.monotonic(), task
        return await asyncio.shield(self._queue[1])

    async def queue_soon(self, since: float) -> Queue:
        """The same within `PROBE_SECONDS`, for a choice between servers. Raises `ServerUnreachable` after that."""
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
            in_order = sorted(pending, key=lambda item: (item[0], item[1]))  # the server sends a raw heap
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
        """What is in the queue, and the newest `RECENT_PROMPTS` of the history, in the order of their posts."""
        queue = await self.queue(time.monotonic())
        path = f"/history?max_items={RECENT_PROMPTS}"
        entries = await self.get(path)
        with self._reading("/history"):
            done = [parse_prompt(entry["prompt"], parse_history(entry), entry) for entry in entries.values()]
        return [*done, *queue.prompts]

    def free_after(self, seconds: float) -> None:
        """Free ComfyUI's memory so many seconds from now unless this is said again before; at once for 0. Waiting for
        it keeps nothing open: the keeper of the servers counts the time."""
        self.free_at, self._free_again = time.monotonic() + seconds, seconds or FREE_AGAIN_SECONDS
        if not seconds:
            self.later(self.free_when_due())

    async def free_when_due(self) -> None:
        """Free ComfyUI's memory; when anybody has a job in the queue, some time later."""
        self.free_at = None
        if not await self.free() and self.free_at is None:
            self.free_at = time.monotonic() + self._free_again

    async def free(self) -> bool:
        """Have ComfyUI unload its models and forget its results, unless anybody has a job in its queue; returns whether
        it was told to. Raises as `call` does."""
        if len(await self.queue(time.monotonic())):
            return False
        path, body = "/free", {"unload_models": True, "free_memory": True}
        answer = await self.call("POST", path, body=body, seconds=LOOK_UP_SECONDS)
        if answer.status != 200:
            raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers {answer.status}, which ComfyUI does not.")
        return True

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Take a prompt out of the queue or, if it is the running one, interrupt it; never anybody else's.

        Current servers do both in one route; where that is missing, or a proxy refuses it, the old routes do. The
        interrupt is sent only while the prompt runs, since a server too old to know the field would stop whatever is
        running. Raises a `ServerError` when the server could not be told.
        """
        ask = functools.partial(self.call, seconds=seconds)
        with contextlib.suppress(ServerError):
            answer = await ask("POST", f"/api/jobs/{prompt_id}/cancel")
            if answer.status == 200 and self._json("", answer).get("cancelled"):
                return
        await ask("POST", "/queue", body={"delete": [prompt_id]})
        if prompt_id in (await self._ask_queue(seconds)).running:
            await ask("POST", "/interrupt", body={"prompt_id": prompt_id})

    async def upload(self, file: InputFile) -> str:
        """Put a file into the server's input folder, unless it lies there already; returns the name that it has there,
        its `stored_name` as a rule."""
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
        """Whether a file lies in the server's input folder; when that cannot be told it is taken for not there."""
        with contextlib.suppress(ServerError):
            params = {"filename": file.stored_name, "subfolder": "", "type": "input"}
            answer = await self.call("HEAD", "/view", params=params)
            return answer.status == 200 and answer.length == len(file.data)
        return False

    async def view(self, output: Output) -> bytes:
        """An output's bytes. Raises `UnexpectedAnswer` when it is not there, and as `call` does."""
        params = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
        answer = await self._download(params)
        if answer.status != 200:
            raise UnexpectedAnswer(f'ComfyUI does not give out its file "{output.filename}" (HTTP {answer.status}).')
        return answer.body

    async def _download(self, params: Mapping[str, str]) -> Answer:
        return await self.call(
            "GET", "/view", params=params, seconds=DOWNLOAD_SECONDS, silent=STALL_SECONDS, most=MAX_OUTPUT_BYTES
        )


def connection_fault(error: BaseException) -> str:
    """A connection error in two words; the library's own text would repeat the address, or name internals."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak https"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection refused" if isinstance(error.os_error, ConnectionRefusedError) else "no connection"
    return "the connection broke off"
