"""Who is told how jobs and servers fare: `Monitor`, for those who look after them.

A `Fleet` carries one, by default `NOBODY`, which does nothing. What is told are numbers and a few
words of a fixed set: no request, no prompt, no address and no user. Each prompt that was posted is
one `JobReport`, made by `JobClock` while the job is followed (run/follow.py).

Outcomes are "done", "failed", "lost", "stopped", and "left" for a job that went on when nobody
waited for it any longer; `code` is that of the error, where there was one.
"""

import asyncio
import time
from dataclasses import dataclass, field

from ..errors import ComfyUIError, JobLost, ServerGone, StillRunning
from ..server.endpoint import Endpoint
from ..server.record import Record


@dataclass(frozen=True)
class JobReport:
    """How one job ended. Times are in seconds; `began` and `ended` since 1970."""

    outcome: str
    code: str  # of the error; "" where there was none
    began: float  # when it was posted
    ended: float
    waiting: float | None  # from the post to the first node; None where that was not seen
    running: float | None  # from the first node to the end


class Monitor:
    """Whoever is told. All methods return at once and never raise; here they do nothing."""

    def job(self, endpoint: Endpoint, report: JobReport) -> None:
        """A job on this server has ended, or is left to itself."""

    def server(self, endpoint: Endpoint, record: Record) -> None:
        """The server was asked for its queue, or a call is done with it for now."""


NOBODY = Monitor()


@dataclass
class JobClock:
    """The times of one job, from its post to its report. `posted` is of `time.monotonic`."""

    began: float = field(default_factory=time.time)
    posted: float = field(default_factory=time.monotonic)

    def done(self, started: float | None) -> JobReport:
        """It ended well, and its first node began at `started`, of `time.monotonic`."""
        return self._report("done", "", started)

    def failed(self, error: BaseException, started: float | None, goes_on: bool) -> JobReport:
        """It ended with this error; `goes_on` where Open WebUI is shut down and the job is not."""
        code = error.code if isinstance(error, ComfyUIError) else ""
        return self._report(_outcome(error, goes_on), code, started)

    def _report(self, outcome: str, code: str, started: float | None) -> JobReport:
        seconds = time.monotonic() - self.posted
        waiting = running = None
        if started is not None:
            waiting = max(started - self.posted, 0.0)
            running = max(seconds - waiting, 0.0)
        return JobReport(outcome, code, self.began, self.began + seconds, waiting, running)


def _outcome(error: BaseException, goes_on: bool) -> str:
    if goes_on or isinstance(error, StillRunning):
        return "left"
    if isinstance(error, asyncio.CancelledError):
        return "stopped"
    if isinstance(error, (JobLost, ServerGone)):
        return "lost"
    return "failed"
