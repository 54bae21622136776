"""How long a run will take, and what the user wants where that is long.

The `Record` of a server remembers of each workflow how long a run took for the work that it was:
sampling steps times megapixels times frames, as far as a graph tells them (`work_of`). A later run
of the same workflow is expected to take as much longer as it is more work (`expected_run`).
Where nothing was measured nothing is expected, and nobody is asked.

A run that is expected to take longer than a valve says is a question for the user, once in a call:
run it, run it smaller, or not at all (`LongRuns`). It is open for `CHOICE_SECONDS`, and without an
answer the run begins as it was asked for. What was chosen, and by whom, is a note in the result.
"""

import asyncio
import contextlib
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..catalogue.request import Request
from ..errors import RunDeclined
from ..names import duration
from ..phrases import Phrase, Span
from ..server.record import Record
from ..sizes import Size
from ..values import Argument, as_number

CHOICE_SECONDS = 120.0  # how long a person may think about it
RUN, SMALLER, CANCEL = "run", "smaller", "cancel"  # the answers
NOT_ASKED = "not asked"  # in their place where no page could be asked
LEAST_SIDE = 256  # in pixels, of what is offered as smaller
SIDE_STEP = 16  # in pixels, which nodes commonly ask for
NAMED_SIZES = ("size", "width", "height")  # of a request that names its inputs
DRAWN_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def work_of(used: Mapping[str, Any], pictures: float = 1.0) -> float:
    """How much work a run is, in steps × megapixels × frames; 1 for each that `used` does not tell.

        {"steps": 20, "size": "1024x1024"}                    20.97
        {"steps": 20, "size": "832x480", "frames": 81}        646.96

    `pictures` are those of a batch.
    """
    work = max(pictures, 1.0)
    for name in ("steps", "frames"):
        number = as_number(used.get(name))
        if number and number > 0:
            work *= number
    size = _size_in(used)
    if size:
        work *= size.width * size.height / 1e6
    return work


@dataclass(frozen=True)
class LongRun:
    """A run about which the user is asked."""

    workflow: str
    seconds: float  # that it is expected to take
    smaller: Size | None  # with about half the pixels; None where the graph tells no size


# Asks the user. Answers `RUN`, `SMALLER` or `CANCEL`; `NOT_ASKED` where nobody can be asked, and None
# where the user was asked and does not answer.
AskLongRun = Callable[[LongRun], Awaitable[str | None]]


async def nobody_answers(_run: LongRun) -> str | None:
    """Where nobody can be asked."""
    return NOT_ASKED


@dataclass(frozen=True)
class LongRuns:
    """From how many seconds on the user is asked about a run, and how; by default never."""

    seconds: float = math.inf
    ask: AskLongRun = nobody_answers


NEVER_ASKED = LongRuns()


def expected_run(
    record: Record, workflow: str, used: Mapping[str, Any], works: Sequence[float]
) -> LongRun | None:
    """The runs of these works, one after the other; None where no run of the workflow was measured
    on the server. `used` is what the first is made with.
    """
    rate = record.rates.get(workflow)
    if rate is None:
        return None
    return LongRun(workflow, rate * sum(works), _smaller(used))


class TimeQuestion:
    """The question about the time of one call: asked once at most, whatever server it comes to."""

    def __init__(self, asked: LongRuns) -> None:
        self._asked = asked
        self._is_settled = False
        # what the user chose instead of the size that was asked for
        self._smaller: Size | None = None
        self.note = ""  # on what was chosen, for the model

    def applied(self, request: Request) -> Request:
        """The request as the user wants it run."""
        if self._smaller is None:
            return request
        size = Argument(str(self._smaller), "The size that the user chose")
        inputs = {name: value for name, value in request.inputs.items() if name not in NAMED_SIZES}
        return replace(request, size=size, inputs=inputs)

    async def changes(self, run: LongRun | None, say: Callable[[str], None]) -> bool:
        """Ask about a run, where it is long enough. True where the user wants it smaller, so that it
        has to be bound anew. `say` tells the user that an answer is awaited. Raises `RunDeclined`.
        """
        if run is None or self._is_settled or run.seconds < self._asked.seconds:
            return False
        self._is_settled = True
        about = f"about {duration(run.seconds)}"
        say(Phrase("choosing", question=Phrase("takes_about", time=Span(run.seconds))))
        answer = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHOICE_SECONDS):
                answer = await self._asked.ask(run)
        if answer == CANCEL:
            raise RunDeclined(f"It would have taken {about}, and the user chose not to run it.")
        if answer == SMALLER and run.smaller:
            self._smaller = run.smaller
            self.note = (
                f"at first it would have taken {about}; the user chose {run.smaller} instead"
            )
            return True
        self.note = f"it was expected to take {about}, and the user chose to run it"
        if answer == NOT_ASKED:
            self.note = f"expected to take {about}: the user could not be asked, and so it ran"
        elif answer is None:
            self.note = (
                f"expected to take {about}: the user was asked, did not answer, and so it ran"
            )
        return False


def _smaller(used: Mapping[str, Any]) -> Size | None:
    """A size of about half the pixels and the same proportions."""
    size = _size_in(used)
    if size is None:
        return None
    width, height = (
        round(side * math.sqrt(0.5) / SIDE_STEP) * SIDE_STEP for side in (size.width, size.height)
    )
    return Size(width, height) if min(width, height) >= LEAST_SIDE else None


def _size_in(used: Mapping[str, Any]) -> Size | None:
    match = DRAWN_SIZE.fullmatch(str(used.get("size") or ""))
    return Size(int(match[1]), int(match[2])) if match else None
