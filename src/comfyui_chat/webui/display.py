"""Shows a run in the message: queue position, percentage, and the picture coming up.

The texts are those of run/job.py's `describe`. A `Display` is the `ProgressListener` of a run in
Open WebUI, and sends two kinds of events, both live only (`Chat._live`), so that nothing of them is
written to the database:

    {"type": "status", "data": {"description": "Waiting, 2 ahead", "done": False}}
    {"type": "chat:message:files", "data": {"files": [<the message's own files>, {"type": "image", "url": "data:..."}]}}

Every status stays in a list that the user can open, and every files event replaces what the message
shows, so both are sent seldom, and previews are shrunk first. The last status of a call, and taking
the preview away, are not done here but by `Chat.answer`.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..logs import log
from ..media.pictures import small_jpeg
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS
from ..threads import PICTURES

PREVIEW_BYTES = 40_000  # of a preview in the chat, about
MOST_PREVIEW_MEGAPIXELS = 16.8  # of one that is made small; others are not shown
PREVIEW_PIXELS = 512  # its longer side
STATUS_SECONDS = 2.0  # between two texts of the same phase: the chat lists every one of them
PREVIEW_SECONDS = 0.5  # between two previews
Emit = Callable[[dict[str, Any]], Awaitable[Any]]  # Open WebUI's event emitter
EventCall = Callable[[dict[str, Any]], Awaitable[Any]]  # its `__event_call__`, which has an answer


class Display:
    """What a run shows in the message, live only.

    Only the newest text and the newest preview are kept, so a slow chat never holds anything up. A
    text of the same phase follows another after `STATUS_SECONDS` at the earliest, a preview after
    `PREVIEW_SECONDS`.
    """

    def __init__(
        self,
        emit: Emit | None,
        real_files: Sequence[Mapping[str, Any]],
        previews: bool,
        told: Callable[[str], str] = str,
    ) -> None:
        """`emit` sends an event, and is None where nothing is shown; `real_files` are those that
        the message holds already; `previews` says whether they can be shown, and `told` what of a
        text is told to the user.
        """
        self._emit = emit
        self._told = told
        self._real_files = real_files
        self.previews = previews  # whether one can be shown, and taken away again
        self.preview_shown = False
        self._status: tuple[str, str] | None = None  # the newest phase and text
        self._sent_status: tuple[str, str] | None = None
        self._preview: bytes | None = None  # the newest one, until it is sent
        # when the next text of the same phase may be sent, by `time.monotonic`
        self._status_due = 0.0
        self._preview_due = 0.0
        self._news = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to show what comes."""
        if self._emit:
            self._pump = asyncio.create_task(self._run(self._emit))

    async def stop(self) -> None:
        """Show nothing any more; what is just being sent is dropped."""
        # Kept here, the ended task and this display would hold one another until a garbage collection.
        pump, self._pump = self._pump, None
        if pump:
            pump.cancel()
            await asyncio.wait({pump}, timeout=CLEAN_UP_SECONDS / 3)

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Show a text as soon as its turn comes, unless a newer one comes first."""
        self._status = phase, text
        self._news.set()

    def preview(self, data: bytes) -> None:
        """Show a preview as soon as its turn comes, unless a newer one comes first."""
        if self.previews:
            self._preview = data
            self._news.set()

    async def _run(self, emit: Emit) -> None:
        """Send what is new when it is due, and sleep until something is new or due."""
        while True:
            # before looking, so that what comes during a send is looked at at once
            self._news.clear()
            now = time.monotonic()
            await self._send_status(emit, now)
            await self._send_preview(emit, now)
            await self._sleep()

    async def _send_status(self, emit: Emit, now: float) -> None:
        """Send the newest text if it is new and due; a new phase is always due."""
        status, sent = self._status, self._sent_status
        if status is None or status == sent:
            return
        same_phase = sent is not None and status[0] == sent[0]
        if same_phase and now < self._status_due:
            return
        self._sent_status = status
        self._status_due = now + STATUS_SECONDS
        text = self._told(status[1])
        await self._send(emit, {"type": "status", "data": {"description": text, "done": False}})

    async def _send_preview(self, emit: Emit, now: float) -> None:
        """Send the newest preview, made small, if there is one and it is due."""
        data = self._preview
        if data is None or now < self._preview_due:
            return
        self._preview = None
        self._preview_due = now + PREVIEW_SECONDS
        url = await PICTURES.run(shrink_preview, data)
        if url:
            files = [*map(dict, self._real_files), {"type": "image", "url": url}]
            self.preview_shown = True
            await self._send(emit, {"type": "chat:message:files", "data": {"files": files}})

    async def _sleep(self) -> None:
        """Wait until something new comes, or until what is there already is due."""
        dues = []
        if self._status != self._sent_status:
            dues.append(self._status_due)
        if self._preview:
            dues.append(self._preview_due)
        seconds = None
        if dues:
            seconds = min(dues) - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _send(self, emit: Emit, event: dict[str, Any]) -> None:
        """Send one event, within its time. A failure is logged and goes no further."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit(event)
        except Exception as error:  # a run must not fail because a text could not be shown
            log.debug("event %s: %s", event["type"], type(error).__name__)


def shrink_preview(data: bytes) -> str | None:
    """A preview as a small JPEG data URI of about `PREVIEW_BYTES` at most, or None when it is not a
    picture. Blocks.
    """
    steps = (PREVIEW_PIXELS, 75), (PREVIEW_PIXELS, 55), (PREVIEW_PIXELS // 2, 60)
    return small_jpeg(data, steps, PREVIEW_BYTES, MOST_PREVIEW_MEGAPIXELS)
