"""Fetches what a run made, within bounds, and says what did not come.

`collect` brings a run's files in the order of the graph's nodes, each in the format that is wanted.
A run may name 20,000 files, or one that is missing: what comes is handed over, and everything else
is a note that says how many files and why. `Collected.left` counts those of them that a later call
may bring, by check_job, which gives `collect` what is stored already; `later_note` tells of it.

Bounded are (bounds.py) the number of files of a call and of a run, the bytes of a file and of a
call, and the seconds. `fetch` asks again for one file while its server does not answer, and where a
proxy answers in its place. Files are held as media/file_bytes.py says, and `RunResult.close` lets
go of them.
"""

import asyncio
import functools
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from ..bounds import (
    MB,
    MOST_BYTES_OF_CALL,
    MOST_COLLECTING_SECONDS,
    MOST_FILES_OF_CALL,
    MOST_FILES_OF_RUN,
    MOST_NAMES_IN_NOTE,
)
from ..errors import (
    AccessRefused,
    ComfyUIError,
    InternalError,
    LimitExceeded,
    NothingMade,
    PictureMissed,
    ServerBusy,
    ServerError,
    ServerGone,
    ServerUnreachable,
    StorageRefused,
    UnexpectedAnswer,
)
from ..graph.nodes import Graph, node_title
from ..logs import log
from ..media.delivery import Format, deliver, delivered_as_made, text_product
from ..media.file_bytes import FileBytes, Room
from ..media.kinds import OutputFile
from ..names import duration, quoted, shortened
from ..server.client import ComfyUIServer
from ..server.protocol import Output
from ..tasks import gather
from ..threads import FILES, PICTURES
from .fleet import Timing
from .job import Job

REFUSALS_BORNE = 3  # of a file; then it is left out
PARALLEL_FILES = 10  # sent to a server, or fetched, at the same time


# What was fetched of a file before the run ended (run/early_files); None for nothing.
TakeEarly = Callable[[Output], Awaitable[FileBytes | None]]


@dataclass(frozen=True)
class Collected:
    """What was collected of one run: its files, the texts that nodes showed, and notes on both."""

    products: tuple[OutputFile, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: int = 0  # files that did not come
    left: int = 0  # how many of those a later call may bring
    gone: int = 0  # how many of those the server no longer has

    def close(self) -> None:
        """Let go of the files."""
        for product in self.products:
            product.data.close()


class Allowance:
    """What one call may still bring, of all the runs that it makes."""

    def __init__(self) -> None:
        self.files = MOST_FILES_OF_CALL
        self.room = Room(MOST_BYTES_OF_CALL)

    @property
    def is_used_up(self) -> bool:
        """Whether it is of no use to begin with another run."""
        return self.files <= 0 or not self.room.has(MB)


@dataclass(frozen=True)
class Missing:
    """A file that did not come, and why."""

    name: str
    error: ComfyUIError
    later: bool  # whether another call may bring it

    @property
    def kind(self) -> str:
        """What all files have in common that are missing for the same reason."""
        return self.error.message if isinstance(self.error, StorageRefused) else self.error.code


async def collect(
    server: ComfyUIServer,
    job: Job,
    graph: Graph,
    wanted: Format = Format(),
    timing: Timing = Timing(),
    stored: Sequence[str] = (),
    allowance: Allowance | None = None,
    take_early: TakeEarly | None = None,
) -> Collected:
    """The run's files, in the order of the graph's nodes, in the format that is `wanted`, but for
    those that are `stored` already, by their sources, as far as the `allowance` of the call goes.
    `take_early` has those that were fetched before its end.
    What is only shown (by preview nodes) counts only when nothing was saved, and pictures of the
    websocket come last.

    Raises, where nothing at all came, `NothingMade`, `PictureMissed` when only the websocket could
    have brought it, and as `fetch` does.
    """
    places = {node_id: place for place, node_id in enumerate(graph)}
    outputs = sorted(job.outputs, key=lambda output: places.get(output.node_id, len(places)))
    made = _outputs_to_fetch(outputs, bool(job.sent))
    if not made and not job.sent:
        raise _nothing_made(job, graph)
    of_run = made[:MOST_FILES_OF_RUN]
    new = _not_stored(of_run, stored)
    allowance = allowance or Allowance()
    begun = new[: max(allowance.files - len(job.sent), 0)]
    collecting = Collecting(server, wanted, timing, allowance.room, take_early)
    products, missing, notes = await collecting.bring_all(begun, job.sent)
    allowance.files -= len(products)
    if missing and not products:
        raise missing[0].error
    of = len(of_run) + len(job.sent) - sum(not file.later for file in missing)
    never = len(made) - len(of_run)
    unbegun = len(new) - len(begun)
    notes += _missing_notes(missing, len(made) + len(job.sent))
    if unbegun:
        were = "file was" if unbegun == 1 else "files were"
        notes.append(f"{unbegun} more {were} left out, since one call brings {MOST_FILES_OF_CALL}")
    if never:
        stay = "file stays" if never == 1 else "files stay"
        notes.append(
            f"{never} more {stay} in ComfyUI's output folder: of a run {MOST_FILES_OF_RUN} are brought"
        )
    return Collected(
        products=tuple(replace(product, prompt_id=job.prompt_id, of=of) for product in products),
        texts=tuple(dict.fromkeys(output.text for output in outputs if output.type == "text")),
        notes=tuple(dict.fromkeys(notes)),
        left_out=len(missing) + unbegun + never + job.left_out,
        left=sum(file.later for file in missing) + unbegun,
        gone=sum(is_gone(file.error) for file in missing),
    )


def later_note(left: int, job_id: str) -> tuple[str, ...]:
    """A note, or none: how a job's files come that are `left`."""
    if not left:
        return ()
    what = "the file that is missing" if left == 1 else f"the {left} files that are missing"
    return (f"check_job tries once more to bring {what}: job_id {job_id}",)


def is_gone(error: ComfyUIError) -> bool:
    """Whether an error says that the server no longer has a file."""
    return isinstance(error, UnexpectedAnswer) and error.status == 404


class Collecting:
    """The files of one run on their way, within the bounds of bytes and seconds."""

    def __init__(
        self,
        server: ComfyUIServer,
        wanted: Format,
        timing: Timing,
        room: Room,
        take_early: TakeEarly | None,
    ) -> None:
        self._take_early = take_early
        self._server = server
        self._wanted = wanted
        self._timing = timing
        self._room = room
        self._end = asyncio.get_running_loop().time() + MOST_COLLECTING_SECONDS
        # whether a file was waited for in vain; the others are tried once
        self._was_patient = False
        self._held: list[FileBytes] = []

    async def bring_all(
        self, outputs: Sequence[Output], sent: Sequence[FileBytes]
    ) -> tuple[list[OutputFile], list[Missing], list[str]]:
        """These files, and the pictures that came over the websocket, as they are wanted; those
        that did not come, and notes of what could not be done.
        """
        products: list[OutputFile] = []
        missing: list[Missing] = []
        notes: list[str] = []
        work = [functools.partial(self._bring, output) for output in outputs]
        work += [functools.partial(self._bring, picture) for picture in sent]
        try:
            for outcome in await gather(PARALLEL_FILES, work):
                if isinstance(outcome, Missing):
                    missing.append(outcome)
                else:
                    product, its_notes = outcome
                    products.append(product)
                    notes += its_notes
        except BaseException:
            for file in self._held:
                file.close()
            raise
        return products, missing, notes

    async def _bring(
        self, made: Output | FileBytes
    ) -> tuple[OutputFile, tuple[str, ...]] | Missing:
        name = _name_in_note(made)
        is_on_server = isinstance(made, Output)
        try:
            async with asyncio.timeout_at(self._end):
                return await self._brought(made)
        except TimeoutError:
            seconds = duration(MOST_COLLECTING_SECONDS)
            slow = ServerGone(
                f"The files did not come within {seconds}.", "They are in ComfyUI's output folder."
            )
            return Missing(name, slow, later=is_on_server)
        except ComfyUIError as error:
            self._was_patient = self._was_patient or isinstance(error, ServerError)
            return Missing(name, error, later=is_on_server and not isinstance(error, LimitExceeded))
        except Exception as error:
            log.exception("a mistake in the ComfyUI tool")
            mistake = InternalError(f"The tool failed at a file ({type(error).__name__}).")
            return Missing(name, mistake, later=is_on_server)

    async def _brought(self, made: Output | FileBytes) -> tuple[OutputFile, tuple[str, ...]]:
        """A file as it is wanted, with notes of what could not be done."""
        notes: tuple[str, ...] = ()
        if isinstance(made, FileBytes):
            product, notes = await self._delivered(made, "")
        elif made.type == "text":
            product = await FILES.run_unless_short([made.text], text_product, made.text)
        else:
            timing = replace(self._timing, gone=0.0) if self._was_patient else self._timing
            data = await self._take_early(made) if self._take_early else None
            if data is None:
                data = await fetch(self._server, made, timing, self._room)
            if not data:
                raise UnexpectedAnswer(f'ComfyUI\'s file "{made.filename}" is empty.')
            product, notes = await self._delivered(data, made.filename)
            product = replace(product, source=source_of(made))
        self._held.append(product.data)
        return product, notes

    async def _delivered(self, data: FileBytes, name: str) -> tuple[OutputFile, tuple[str, ...]]:
        self._held.append(data)
        as_made = delivered_as_made(data, name, self._wanted)
        if as_made:
            return as_made, ()
        return await PICTURES.run(deliver, data, name, self._wanted)


def _name_in_note(made: Output | FileBytes) -> str:
    """What a file is called in a note."""
    if isinstance(made, FileBytes):
        return "a picture of the websocket"
    return source_of(made) or "a text"


def source_of(output: Output) -> str:
    """What a file is called on its server: its name below ComfyUI's folder; "" for a text."""
    if output.subfolder:
        return f"{output.subfolder}/{output.filename}"
    return output.filename


def _outputs_to_fetch(outputs: Sequence[Output], was_sent: bool) -> list[Output]:
    """What is handed over of a run's outputs, each file once: what was saved, or where nothing was
    saved, nor sent over the websocket, everything.
    """
    saved = [output for output in outputs if output.type == "output"]
    if not saved and not was_sent:
        saved = list(outputs)
    # several nodes may tell of one file
    distinct = {replace(output, node_id=""): output for output in saved}
    return list(distinct.values())


def _not_stored(outputs: Sequence[Output], stored: Sequence[str]) -> list[Output]:
    """Those that are not stored yet. Of texts, which have no name, the first are taken to be
    stored, as many as are.
    """
    sources = set(stored)
    texts = stored.count("")
    new: list[Output] = []
    for output in outputs:
        source = source_of(output)
        if not source and texts:
            texts -= 1
        elif not source or source not in sources:
            new.append(output)
    return new


def _missing_notes(missing: Sequence[Missing], of: int) -> list[str]:
    """Notes that name the files which did not come, those with a reason of one kind together: '2 of
    10 files are missing ("a.png", "b.png"): ComfyUI does not give out its file "a.png" (HTTP 404)'.
    """
    kinds: dict[str, list[Missing]] = {}
    for file in missing:
        kinds.setdefault(file.error.code, []).append(file)
    notes: list[str] = []
    for files in kinds.values():
        names = quoted(shortened(file.name) for file in files[:MOST_NAMES_IN_NOTE])
        if len(files) > MOST_NAMES_IN_NOTE:
            names += f" and {len(files) - MOST_NAMES_IN_NOTE} more"
        reason = files[0].error.message.rstrip(".")
        verb = "is" if len(files) == 1 else "are"
        notes.append(f"{len(files)} of {of} files {verb} missing ({names}): {reason}")
    return notes


def _nothing_made(job: Job, graph: Graph) -> NothingMade | PictureMissed:
    if job.left_out:
        return PictureMissed(
            "The pictures that were sent over the websocket had no room, and are gone."
        )
    class_types = {node["class_type"] for node in graph.values()}
    if "SaveImageWebsocket" in class_types:
        return PictureMissed(
            "The picture was sent over the websocket while the connection was down, and is gone."
        )
    savers = [
        node_title(graph, node_id)
        for node_id, node in graph.items()
        if "save" in node["class_type"].lower()
    ]
    if not savers:
        return NothingMade("The run ended well, but saved nothing.")
    return NothingMade(
        f"The run ended well, but {', '.join(savers[:3])} did not tell of any file.",
        "What a node saves without telling ComfyUI stays in ComfyUI's output folder; a Save Image node brings it here.",
    )


async def fetch(server: ComfyUIServer, output: Output, timing: Timing, room: Room) -> FileBytes:
    """A file's bytes, asked for again and again while the server does not answer: the file has
    outlived its run, and outlives a restart. Where something else comes, it is asked for again
    `REFUSALS_BORNE` times, since a proxy may have answered in ComfyUI's place.

    Raises `ServerGone` after `timing.gone` seconds without an answer, and as `ComfyUIServer.view`
    does.
    """
    pause = timing.settle
    refusals_borne = REFUSALS_BORNE if timing.gone else 0
    failed_since = refused_since = math.inf  # when it began to fail, and when to find no connection
    while True:
        try:
            data = await server.view(output, room)
            server.record.bytes += len(data)
            return data
        except ServerUnreachable as error:
            now = time.monotonic()
            since = failed_since = min(failed_since, now)
            if error.refused:
                since = refused_since = min(refused_since, now)
            else:
                refused_since = math.inf
            if now - since >= timing.gone:
                raise ServerGone(
                    f"ComfyUI stopped answering before its files were fetched. {error.message}",
                    f'"{output.filename}" is in ComfyUI\'s output folder.',
                    error.refused,
                ) from None
        except (AccessRefused, ServerBusy, UnexpectedAnswer) as error:
            if not refusals_borne:
                raise
            refusals_borne -= 1
            if isinstance(error, ServerBusy) and error.seconds is not None:
                pause = max(pause, min(error.seconds, timing.gone))
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # nosec B311 # not all jobs at the same moment
        pause = min(pause * 2, timing.longest)
