"""Fetches what a run made, within bounds, and says what did not come.

`collect` brings a run's files in the order of the graph's nodes, each in the format that is wanted. A run may name
20,000 files, or one that is missing: what comes is handed over, and everything else is a note that says how many files
and why. `Collected.left` counts those of them that a later call may bring, by check_job, which gives `collect` what is
stored already; `later_note` tells of it.

Bounded are (bounds.py) the number of files of a call and of a run, and the seconds. `fetch` asks again and again for
one file while its server does not answer.
"""

import asyncio
import functools
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..bounds import MOST_COLLECTING_SECONDS, MOST_FILES_OF_CALL, MOST_FILES_OF_RUN, MOST_NAMES_IN_NOTE
from ..errors import ComfyUIError, NothingMade, PictureMissed, ServerError, ServerGone, ServerUnreachable
from ..graph.nodes import Graph
from ..media.delivery import Format, deliver, text_product
from ..media.kinds import OutputFile
from ..names import duration, quoted, shortened
from ..server.client import ComfyUIServer
from ..server.protocol import Output
from ..tasks import gather
from ..threads import PICTURES
from .fleet import Timing
from .job import Job

PARALLEL_FILES = 10  # sent to a server, or fetched, at the same time


@dataclass(frozen=True)
class Collected:
    """What came of what one run made: its files, the texts that nodes showed, and notes on both."""

    products: tuple[OutputFile, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: int = 0  # files that did not come
    left: int = 0  # how many of those a later call may bring


@dataclass(frozen=True)
class Missing:
    """A file that did not come, and why."""

    name: str
    error: ComfyUIError


async def collect(
    server: ComfyUIServer,
    job: Job,
    graph: Graph,
    wanted: Format = Format(),
    timing: Timing = Timing(),
    stored: Sequence[str] = (),
) -> Collected:
    """The run's files, in the order of the graph's nodes, in the format that is `wanted`, but for those that are
    `stored` already, by their sources. What is only shown (by preview nodes) counts only when nothing was saved, and
    pictures of the websocket come last.

    Raises, where nothing at all came, `NothingMade`, `PictureMissed` when only the websocket could have brought it,
    `ServerGone` when the server stays away, and as `ComfyUIServer.view` does.
    """
    places = {node_id: place for place, node_id in enumerate(graph)}
    outputs = sorted(job.outputs, key=lambda output: places.get(output.node_id, len(places)))
    made = _outputs_to_fetch(outputs, bool(job.sent))
    if not made and not job.sent:
        raise _nothing_made(graph)
    of_run = made[:MOST_FILES_OF_RUN]
    new = _not_stored(of_run, stored)
    begun = new[:MOST_FILES_OF_CALL]
    collecting = Collecting(server, wanted, timing)
    work = [functools.partial(collecting.bring, output) for output in begun]
    outcomes = await gather(PARALLEL_FILES, work)
    for sent in job.sent:
        outcomes.append(await PICTURES.run(deliver, sent.data, "", wanted))
    products: list[OutputFile] = []
    notes: list[str] = []
    missing: list[Missing] = []
    for outcome in outcomes:
        if isinstance(outcome, Missing):
            missing.append(outcome)
            continue
        product, its_notes = outcome
        products.append(replace(product, prompt_id=job.prompt_id, of=len(of_run) + len(job.sent)))
        notes += its_notes
    if missing and not products:
        raise missing[0].error
    never = len(made) - len(of_run)
    unbegun = len(new) - len(begun)
    notes += _missing_notes(missing, len(made) + len(job.sent))
    if unbegun:
        notes.append(f"{unbegun} more files were left out, since one call brings {MOST_FILES_OF_CALL}")
    if never:
        notes.append(f"{never} more files stay in ComfyUI's output folder: of a run {MOST_FILES_OF_RUN} are brought")
    return Collected(
        products=tuple(products),
        texts=tuple(dict.fromkeys(output.text for output in outputs if output.type == "text")),
        notes=tuple(dict.fromkeys(notes)),
        left_out=len(missing) + unbegun + never,
        left=len(missing) + unbegun,
    )


def later_note(left: int, job_id: str) -> tuple[str, ...]:
    """A note, or none: how a job's files come that are `left`."""
    if not left:
        return ()
    what = "the file that is missing" if left == 1 else f"the {left} files that are missing"
    return (f"check_job tries once more to bring {what}: job_id {job_id}",)


class Collecting:
    """The files of one run on their way, within the bound of seconds."""

    def __init__(self, server: ComfyUIServer, wanted: Format, timing: Timing) -> None:
        self._server = server
        self._wanted = wanted
        self._timing = timing
        self._end = asyncio.get_running_loop().time() + MOST_COLLECTING_SECONDS
        self._gone: ServerGone | None = None  # what there is to say of a server that does not answer any more

    async def bring(self, output: Output) -> tuple[OutputFile, tuple[str, ...]] | Missing:
        """A file as it is wanted, with notes of what could not be done; or why it does not come."""
        if output.type == "text":
            return text_product(output.text), ()
        source = source_of(output)
        if self._gone:
            return Missing(source, self._gone)
        try:
            async with asyncio.timeout_at(self._end):
                data = await fetch(self._server, output, self._timing)
                product, notes = await PICTURES.run(deliver, data, output.filename, self._wanted)
                return replace(product, source=source), notes
        except TimeoutError:
            return Missing(source, _too_slow())
        except ServerGone as error:
            self._gone = error
            return Missing(source, error)
        except ComfyUIError as error:
            return Missing(source, error)


def _too_slow() -> ServerError:
    return ServerGone(
        f"The files did not come within {duration(MOST_COLLECTING_SECONDS)}.", "They are in ComfyUI's output folder."
    )


def source_of(output: Output) -> str:
    """What a file is called on its server: its name below ComfyUI's folder; "" for a text."""
    if output.subfolder:
        return f"{output.subfolder}/{output.filename}"
    return output.filename


def _outputs_to_fetch(outputs: Sequence[Output], was_sent: bool) -> list[Output]:
    """What is handed over of a run's outputs, each file once: what was saved, or where nothing was saved, nor sent over
    the websocket, everything."""
    saved = [output for output in outputs if output.type == "output"]
    if not saved and not was_sent:
        saved = list(outputs)
    distinct = {replace(output, node_id=""): output for output in saved}  # several nodes may tell of one file
    return list(distinct.values())


def _not_stored(outputs: Sequence[Output], stored: Sequence[str]) -> list[Output]:
    """Those that are not stored yet. Of texts, which have no name, the first are taken to be stored, as many as are."""
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
    """Notes that name the files which did not come, those with a reason of one kind together: '2 of 10 files are
    missing ("a.png", "b.png"): ComfyUI does not give out its file "a.png" (HTTP 404)'."""
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


def _nothing_made(graph: Graph) -> NothingMade | PictureMissed:
    class_types = {node["class_type"] for node in graph.values()}
    if "SaveImageWebsocket" in class_types:
        return PictureMissed("The picture was sent over the websocket while the connection was down, and is gone.")
    return NothingMade("The run ended well, but saved nothing.")


async def fetch(server: ComfyUIServer, output: Output, timing: Timing) -> bytes:
    """A file's bytes, asked for again and again while the server does not answer: the file has outlived its run, and
    outlives a restart. Raises `ServerGone` after `timing.gone` seconds of that, and as `ComfyUIServer.view` does."""
    pause = timing.settle
    failed_since = refused_since = math.inf  # when it began to fail, and when to find no connection
    while True:
        try:
            data = await server.view(output)
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
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        pause = min(pause * 2, timing.longest)
