"""From a request to finished files: a server chosen, prompts run, what they made fetched.

`make` goes around until the files are there or nothing helps:

- `assign` chooses server and workflow together, since what is installed differs from server to server, puts the files
  of the call in place and binds the prompts.
- `RunProgress.reap` has each prompt followed to its end (run/follow.py), and `collect` fetches what it made.

A failure that another server may mend begins the next round, which binds anew out of the request as it was given. What
was made before stays in the `RunProgress`, and is handed over in the end, with a note on what is missing. The result is
`RunResult`.

`Memory` is what is done where ComfyUI shares its graphics card with a language model.
"""

import asyncio
import contextlib
import functools
import math
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..catalogue.choosing import FittedWorkflow, Request, choose
from ..catalogue.entries import Catalogue
from ..errors import (
    ComfyUIError,
    JobLost,
    NothingMade,
    PictureMissed,
    ServerError,
    ServerGone,
    ServerUnreachable,
    StillRunning,
    UnknownWorkflow,
    WorkflowRefused,
)
from ..graph.nodes import Graph
from ..graph.pruning import with_files_named
from ..media.delivery import Format, deliver, text_product
from ..media.kinds import OutputFile
from ..names import file_stem
from ..server.client import ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import Pool, open_server
from ..server.protocol import Output
from ..tasks import gather
from .fleet import Fleet, Limits, Timing
from .follow import ProgressListener, follow
from .inputs import freshen, place_files
from .job import Job, missed_pictures
from .owner import JOBS
from .planning import MAX_SEED, BoundPrompts, prepare

PARALLEL_FILES = 10  # sent to a server, or fetched, at the same time
CACHED_NOTE = "ComfyUI had this very picture already: prompt, seed and settings are those of an earlier one"


@dataclass(frozen=True)
class RunResult:
    """What became of a request: files, and what there is to tell of them."""

    products: tuple[OutputFile, ...]
    seed: int | None  # of the first prompt; None where the workflow has none
    model: str
    workflow: str
    seconds: float  # from the first post to the last file; 0 for an earlier job
    notes: tuple[str, ...]
    texts: tuple[str, ...] = ()  # that nodes showed
    running: str = ""  # the id of a job that outlived its wait after others had brought their files


@dataclass(frozen=True)
class Memory:
    """How a graphics card is shared with a language model; by default nothing is done about it."""

    unload: Callable[[], Awaitable[None]] | None = None  # sends the language model away, and never raises
    free_seconds: float | None = None  # after a run, before ComfyUI's memory is freed; None for never

    @contextlib.asynccontextmanager
    async def shared(self, server: ComfyUIServer) -> AsyncIterator[None]:
        """Around the runs of a call on a server: the language model is sent away before them, and ComfyUI's memory is
        freed after them. Comfy Cloud shares no card with anybody."""
        if self.unload and not server.endpoint.cloud:
            await self.unload()
        try:
            yield
        finally:
            if self.free_seconds is not None and not server.endpoint.cloud and not Pool.here().ending:
                server.free_after(self.free_seconds)


@dataclass(frozen=True)
class RunOptions:
    """What the runs of a call choose from, show, and leave behind."""

    catalogue: Catalogue = Catalogue()
    previews: bool = True  # whether the listener gets them
    format: Format = Format()  # in which the files are handed over
    memory: Memory = Memory()


async def make(
    request: Request, fleet: Fleet, listener: ProgressListener, options: RunOptions = RunOptions()
) -> RunResult:
    """From a request to finished files, on the server that will be done soonest. Cancelling it cancels the job there.

    A post that a server certainly did not take goes to the next server. A job that its server lost is posted once more,
    to another server, or to the same one where that answers again; so is one whose post, as far as anybody can tell,
    never arrived, since a server that restarts forgets what it took. So no more than two servers ever take a prompt.

    Raises as `assign`, `follow` and `collect` do, unless some files of the call are there: then these are the result.
    """
    listener.status("connecting", "Connecting to ComfyUI")
    fleet = await fleet.found()
    random_seed, moment = secrets.randbelow(MAX_SEED + 1), datetime.now()
    progress, gone, again = RunProgress(request.called), set[Endpoint](), False
    failed: tuple[Assignment, ComfyUIError] | None = None  # why another server is needed
    while True:
        async with contextlib.AsyncExitStack() as stack:
            choosing = assign(fleet, request, options.catalogue, gone, random_seed, moment, listener)
            try:
                assigned = await stack.enter_async_context(choosing)
            except ComfyUIError:
                if failed is None:
                    raise
                if not progress.collected:
                    raise failed[1] from None
                progress.note_missing(failed[1].message)
                return progress.made(failed[0])
            await stack.enter_async_context(options.memory.shared(assigned.server))
            server = assigned.server
            try:
                await progress.reap(fleet, assigned, listener, options)
            except ComfyUIError as error:
                lost = isinstance(error, JobLost) or (isinstance(error, ServerGone) and error.refused)
                untaken = isinstance(error, ServerError) and error.untaken
                others = set(fleet.endpoints) - gone - {server.endpoint}
                server.record.lost += lost
                failed = assigned, error
                if lost or untaken:
                    server.record.rest(error.message, silent=isinstance(error, (ServerGone, ServerUnreachable)))
                if untaken and others:
                    gone.add(server.endpoint)
                    continue
                if lost and not again and (others or isinstance(error, JobLost)):
                    again = True
                    gone |= {server.endpoint} if isinstance(error, ServerGone) else set()
                    if not isinstance(error, JobLost) or error.arrived:
                        progress.notes.append(f"{server.endpoint.name} lost the job, and it was run again")
                        listener.status("connecting", "ComfyUI lost the job; it is run again")
                    continue
                if not progress.collected:
                    if isinstance(error, StillRunning) and progress.parts > 1:
                        error.message += f" It makes 1 of {progress.parts}; the others were not begun."
                    raise
                progress.note_missing(error.message)
                progress.running = error.job_id if isinstance(error, StillRunning) else ""
            return progress.made(assigned)


# Choosing a server, and everything that has to be right before a prompt is posted there.


@dataclass(frozen=True)
class Assignment:
    """A call's prompts, ready to post on the server that was chosen for them."""

    server: ComfyUIServer
    choice: FittedWorkflow
    plan: BoundPrompts
    posted: Callable[[], None]  # to be called when the server's queue shows the first of them


@contextlib.asynccontextmanager
async def assign(
    fleet: Fleet,
    request: Request,
    catalogue: Catalogue,
    gone: Collection[Endpoint],
    random_seed: int,
    moment: datetime,
    listener: ProgressListener,
) -> AsyncIterator[Assignment]:
    """The server that will be done soonest of those that have what the request needs, with the files in place and the
    prompts bound. None of those that are `gone`.

    Where one server has the model or workflow of a valve and another has not, the one that has it is taken. Raises as
    `Fleet.in_order` does, and what the first server said where none can do it.
    """
    errors: list[ComfyUIError] = []
    order = await fleet.in_order(str(request.workflow.value) if request.workflow else "", gone)
    strict = request.insisting() if len(order) > 1 else request
    async with contextlib.AsyncExitStack() as stack:
        for endpoint, asked in [
            *((one, strict) for one in order),
            *((one, request) for one in order if strict != request),
        ]:
            server = await stack.enter_async_context(open_server(endpoint))
            coming = stack.enter_context(contextlib.ExitStack())
            coming.enter_context(server.record.expecting())
            try:
                choice, plan = await _ready(server, asked, catalogue, fleet.limits, random_seed, moment, listener)
            except (ServerError, WorkflowRefused, UnknownWorkflow) as error:
                coming.close()
                errors.append(error)
                if isinstance(error, (ServerUnreachable, ServerGone)):
                    server.record.rest(error.message, silent=True)
                if len(order) == 1:
                    raise
            else:
                yield Assignment(server, choice, plan, coming.close)
                return
    refusals = [error for error in errors if not isinstance(error, ServerError)]
    if refusals:
        raise refusals[0]
    raise fleet.none_answers([error for error in errors if isinstance(error, ServerError)])


async def _ready(
    server: ComfyUIServer,
    request: Request,
    catalogue: Catalogue,
    limits: Limits,
    random_seed: int,
    moment: datetime,
    listener: ProgressListener,
) -> tuple[FittedWorkflow, BoundPrompts]:
    """A request bound for one server, with its files there. The files are sent last: not before everything else about
    the call is known to be right."""
    choice = await choose(server, request, catalogue)
    choice, files = await place_files(server, await freshen(server, choice, request), request)
    if choice.saved:
        request = request.against_author()
    plan = await asyncio.to_thread(prepare, choice, request, limits, random_seed, moment)
    if files:
        listener.status("uploading", "Sending the files to ComfyUI")
        names = await gather(PARALLEL_FILES, [functools.partial(server.upload, file) for file in files])
        renamed = {file.stored_name: name for file, name in zip(files, names, strict=True) if file.stored_name != name}
        if renamed:
            workflows = (replace(one, graph=with_files_named(one.graph, renamed)) for one in plan.workflows)
            plan = replace(plan, workflows=tuple(workflows))
    return choice, plan


# Running the prompts and fetching what they made.


@dataclass
class RunProgress:
    """What a call has made so far, of all its prompts and on all the servers that it came to."""

    name: str  # what files are called after
    collected: list["Collected"] = field(default_factory=list)  # one for each prompt that is done
    notes: list[str] = field(default_factory=list)
    parts: int = 0  # prompts that the call takes
    begun: float = 0.0  # when the first was posted, of `time.monotonic`; 0 before
    running: str = ""  # the id of the job that outlived the wait

    async def reap(self, fleet: Fleet, assigned: Assignment, listener: ProgressListener, options: RunOptions) -> None:
        """Run the prompts that are left on the server that was chosen for them, one after the other. Raises as `follow`
        and `collect` do; what was made before stays."""
        server, plan = assigned.server, assigned.plan
        self.begun = self.begun or time.monotonic()
        self.notes += plan.notes
        if self.collected and len(plan.workflows) != self.parts:
            self.note_missing("the other server makes them differently")
            return
        self.parts = len(plan.workflows)
        for index in range(len(self.collected), self.parts):
            graph = plan.workflows[index].graph
            part = f"{index + 1} of {self.parts} · " if self.parts > 1 else ""
            wait = max(fleet.limits.wait_seconds - (time.monotonic() - self.begun), 0.0)
            if self.collected and not wait:
                self.note_missing("the longest wait is over; the others were not begun")
                return
            seed = None if plan.seed is None else plan.seed + index
            name, stem = assigned.choice.workflow.name, file_stem(self.name, seed)
            about = {"workflow": name, "model": plan.model, "seed": seed, "name": stem}
            job, dropped = await follow(
                server,
                fleet,
                graph,
                listener,
                part=part,
                wait=wait,
                previews=options.previews,
                about=about,
                posted=assigned.posted,
            )
            listener.status("saving", f"{part}Saving")
            try:
                collected = await collect(server, job, graph, options.format, fleet.timing)
            except BaseException as error:
                JOBS.leave(job.prompt_id)
                if not isinstance(error, ServerGone):
                    raise
                job_id = fleet.owner.job_id(server.endpoint, job.prompt_id)
                error.add_note(f"When ComfyUI is back, check_job may bring them: job_id {job_id}.")
                raise
            cached = (CACHED_NOTE,) if job.cached >= set(graph) else ()
            self.notes += [*dropped, *missed_pictures(job, graph), *collected.notes, *cached]
            self.collected.append(collected)

    def note_missing(self, reason: str) -> None:
        """Note that not all were made, and why."""
        self.notes.append(f"only {len(self.collected)} of {self.parts} were made: {reason}")

    def made(self, assigned: Assignment) -> RunResult:
        """All of it as the result of the call, with what was chosen in the end."""
        plan, name = assigned.plan, assigned.choice.workflow.name
        products = tuple(product for one in self.collected for product in one.products)
        texts = tuple(text for one in self.collected for text in one.texts)
        seconds, notes = time.monotonic() - self.begun, tuple(dict.fromkeys(self.notes))
        return RunResult(products, plan.seed, plan.model, name, seconds, notes, texts, self.running)


@dataclass(frozen=True)
class Collected:
    """What one run made: its files, the texts that nodes showed, and notes on both."""

    products: tuple[OutputFile, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...]


async def collect(
    server: ComfyUIServer, job: Job, graph: Graph, wanted: Format = Format(), timing: Timing = Timing()
) -> Collected:
    """The run's files, in the order of the graph's nodes, in the format that is `wanted`. What is only shown (by
    preview nodes) counts only when nothing was saved, and pictures of the websocket come last.

    Raises `NothingMade`, `PictureMissed` when only the websocket could have brought it, and `ServerGone` when the
    server stays away.
    """
    order = {node_id: index for index, node_id in enumerate(graph)}
    found = sorted(job.outputs, key=lambda output: order.get(output.node_id, len(order)))
    saved = [output for output in found if output.type == "output"]
    places = {replace(output, node_id=""): output for output in saved or (() if job.sent else found)}
    taken = list(places.values())  # several nodes may tell of one file
    texts = tuple(dict.fromkeys(output.text for output in found if output.type == "text"))

    async def bring(output: Output) -> tuple[OutputFile, tuple[str, ...]]:
        if output.type == "text":
            return text_product(output.text), ()
        data = await fetch(server, output, timing)
        return await asyncio.to_thread(deliver, data, output.filename, wanted)

    brought = await gather(PARALLEL_FILES, [functools.partial(bring, output) for output in taken])
    brought += [await asyncio.to_thread(deliver, sent.data, "", wanted) for sent in job.sent]
    if brought:
        notes = dict.fromkeys(note for _, notes in brought for note in notes)
        return Collected(
            tuple(replace(one, prompt_id=job.prompt_id, of=len(brought)) for one, _ in brought), texts, tuple(notes)
        )
    if any(node["class_type"] == "SaveImageWebsocket" for node in graph.values()):
        raise PictureMissed("The picture was sent over the websocket while the connection was down, and is gone.")
    raise NothingMade("The run ended well, but saved nothing.")


async def fetch(server: ComfyUIServer, output: Output, timing: Timing) -> bytes:
    """A file's bytes, asked for again and again while the server does not answer: the file has outlived its run, and
    outlives a restart. Raises `ServerGone` after `timing.gone` seconds of that, and as `ComfyUIServer.view` does."""
    pause = timing.settle
    failed_at = refused_at = math.inf  # when it began to fail, and when to find no connection
    while True:
        try:
            data = await server.view(output)
            server.record.bytes += len(data)
            return data
        except ServerUnreachable as error:
            now = time.monotonic()
            failed_at, refused_at = min(failed_at, now), min(refused_at, now) if error.refused else math.inf
            if now - (refused_at if error.refused else failed_at) >= timing.gone:
                raise ServerGone(
                    f"ComfyUI stopped answering before its files were fetched. {error.message}",
                    f'"{output.filename}" is in ComfyUI\'s output folder.',
                    error.refused,
                ) from None
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        pause = min(pause * 2, timing.longest)
