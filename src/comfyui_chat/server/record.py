"""server/record."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

REST_SECONDS = 5.0  # a server that failed is left alone so long, then twice as long, up to
LONGEST_REST_SECONDS = 300.0
REMEMBERED_PACES = 50  # workflows of a server whose pace is remembered


@dataclass
class Record:
    """What this process has seen of a server: what a choice between servers rests on, and the metrics."""

    runs: int = 0  # that were posted
    done: int = 0
    failed: int = 0  # the workflow's own errors, and refusals
    lost: int = 0  # that the server forgot, or took with it
    run_seconds: float = 0.0  # of all that are done
    bytes: int = 0  # downloaded
    sockets: int = 0  # websockets opened
    paces: dict[str, float] = field(default_factory=dict)  # workflow -> seconds of a run, the latest counting most
    coming: int = 0  # calls on their way here, which its queue does not show yet
    faults: int = 0  # in a row
    fault: str = ""  # the last one
    fault_at: float = 0.0  # in seconds since 1970
    resting_until: float = 0.0  # of `time.monotonic`
    silent: bool = False  # whether it did not answer when it was last asked

    def rest(self, reason: str, silent: bool = False) -> None:
        """It does not answer, or lost a job: leave it alone for a while, longer each time."""
        self.fault, self.fault_at, self.silent = reason, time.time(), silent
        if self.resting:
            return  # all calls that were there noticed the same
        self.faults += 1
        self.resting_until = time.monotonic() + min(REST_SECONDS * 2 ** min(self.faults - 1, 10), LONGEST_REST_SECONDS)

    def recover(self) -> None:
        """It answers."""
        self.faults, self.resting_until = 0, 0.0

    @property
    def resting(self) -> bool:
        """Whether it is left alone for now."""
        return time.monotonic() < self.resting_until

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """A call is on its way here."""
        self.coming += 1
        try:
            yield
        finally:
            self.coming -= 1

    def ran(self, workflow: str, seconds: float) -> None:
        """A run of a workflow took so long, waiting not counted."""
        self.recover()
        self.done += 1
        self.run_seconds += seconds
        before = self.paces.pop(workflow, seconds)
        self.paces[workflow] = before + 0.4 * (seconds - before)
        for oldest in list(self.paces)[:-REMEMBERED_PACES]:
            del self.paces[oldest]

    def pace(self, workflow: str = "") -> float | None:
        """Seconds that a run of the workflow takes, or a run in general, as far as that is known."""
        return self.paces.get(workflow) or (self.run_seconds / self.done if self.done else None)
