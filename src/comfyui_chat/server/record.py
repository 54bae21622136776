"""What this process has seen of a server: its pace, its faults, its rests.

`ComfyUIServer` holds one `Record`, which outlives its connections. The `run` floor writes into it
what happened: `expecting` while a call is on its way, `ran` after a good run, `rest` after a fault,
`recover` when the server answers again, `set_aside` when a model file could not be loaded. A choice
between servers reads `pace`, `coming` and `resting`, one between models `is_aside`; status reports
and log lines show the rest.

Each process of Open WebUI has records of its own; nothing is stored, and nothing here needs to
agree with the others.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..bounded import BoundedDict
from ..names import duration

# How long a server is left alone after a fault: twice as long after each further one in a row, up
# to the longest.
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 300.0
REMEMBERED_PACES = 50  # how many workflows of one server have their pace remembered
SET_ASIDE_SECONDS = 900.0  # how long a model file that could not be loaded is not chosen
REMEMBERED_FILES = 50  # how many such files of one server are remembered


@dataclass(frozen=True)
class SetAside:
    """A model file that is not chosen for a while, since it could not be loaded."""

    folder: str
    name: str
    reason: str  # the end of a sentence that the file's name begins
    until: float  # of `time.monotonic`


@dataclass
class Record:
    """What this process has seen of a server: what a choice between servers rests on, and the
    metrics.
    """

    runs: int = 0  # that were posted
    done: int = 0
    failed: int = 0  # the workflow's own errors, and refusals
    lost: int = 0  # jobs that the server forgot, or that were on it when it went away
    run_seconds: float = 0.0  # of all that are done
    bytes: int = 0  # downloaded
    bytes_told: int = 0  # of these, those that a monitor knows of
    sockets: int = 0  # websockets opened
    queue_length: int | None = None  # prompts in its queue when that was last read
    # Workflow -> seconds of a run, the latest counting most.
    paces: BoundedDict[str, float] = field(default_factory=lambda: BoundedDict(REMEMBERED_PACES))
    # Workflow -> seconds for each unit of its work, the latest run counting most.
    rates: BoundedDict[str, float] = field(default_factory=lambda: BoundedDict(REMEMBERED_PACES))
    coming: int = 0  # calls on their way here, which its queue does not show yet
    faults: int = 0  # in a row
    fault: str = ""  # the message of the last one
    fault_at: float = 0.0  # in seconds since 1970
    resting_until: float = 0.0  # of `time.monotonic`
    silent: bool = False  # whether the last fault was that it did not answer
    aside: BoundedDict[tuple[str, str], SetAside] = field(
        default_factory=lambda: BoundedDict(REMEMBERED_FILES)
    )

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """Count a call that is on its way here."""
        self.coming += 1
        try:
            yield
        finally:
            self.coming -= 1

    def ran(self, workflow: str, seconds: float, work: float = 0.0) -> None:
        """Note that a run of a workflow took this many seconds, waiting not counted. `work` is how
        much it was, in any unit that is the same for all runs of the workflow; 0 where nobody knows.
        """
        self.recover()
        self.done += 1
        self.run_seconds += seconds
        earlier_pace = self.paces.pop(workflow, seconds)
        self.paces[workflow] = earlier_pace + 0.4 * (seconds - earlier_pace)
        if work:
            earlier_rate = self.rates.pop(workflow, seconds / work)
            self.rates[workflow] = earlier_rate + 0.4 * (seconds / work - earlier_rate)

    def pace(self, workflow: str = "") -> float | None:
        """Seconds that a run of the workflow takes; where that is not known, or no workflow is
        named, those of an average run. None when nothing has run yet.
        """
        if pace := self.paces.get(workflow):
            return pace
        return self.run_seconds / self.done if self.done else None

    def seconds_behind(self, runs: int, workflow: str = "") -> float | None:
        """In how many seconds a run of the workflow is done that has so many before it in the
        queue, at the pace that was measured; None where none was.
        """
        pace = self.pace()
        if pace is None:
            return None
        return runs * pace + (self.pace(workflow) or pace)

    def done_in(self, runs: int, workflow: str = "") -> str:
        """The same in words, to be put behind the place in the queue: ", done in about 3 min". ""
        where no pace was measured.
        """
        seconds = self.seconds_behind(runs, workflow)
        return "" if seconds is None else f", done in about {duration(max(seconds, 1))}"

    def rest(self, reason: str, silent: bool = False) -> None:
        """Leave it alone for a while, longer after each fault in a row: it lost a job or, if
        `silent`, did not answer.
        """
        self.fault = reason
        self.fault_at = time.time()
        self.silent = silent
        if self.resting:
            return  # all calls that were there noticed the same
        self.faults += 1
        seconds = min(REST_SECONDS * 2 ** min(self.faults - 1, 10), LONGEST_REST_SECONDS)
        self.resting_until = time.monotonic() + seconds

    def recover(self) -> None:
        """Stop leaving it alone: it answers."""
        self.faults = 0
        self.resting_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it is left alone for now."""
        return time.monotonic() < self.resting_until

    def set_aside(self, folder: str, name: str, reason: str) -> None:
        """Do not have a model file chosen for a while."""
        self.aside.pop((folder, name), None)  # so that it is the newest
        self.aside[folder, name] = SetAside(
            folder, name, reason, time.monotonic() + SET_ASIDE_SECONDS
        )

    def is_aside(self, folder: str, name: str) -> bool:
        """Whether a model file is not to be chosen now."""
        file = self.aside.get((folder, name))
        return file is not None and time.monotonic() < file.until

    def files_aside(self) -> list[SetAside]:
        """The model files that are not chosen now."""
        return [file for file in self.aside.values() if self.is_aside(file.folder, file.name)]
