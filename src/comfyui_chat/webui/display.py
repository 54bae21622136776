"""Shows a run in the message: queue position, percentage, and the picture coming up.

The texts are those of run/job.py's `describe`. A `Display` is the `ProgressListener` of a run in Open WebUI, and sends
two kinds of events, both live only (`Chat._live`), so that nothing of them is written to the database:

    {"type": "status", "data": {"description": "Waiting, 2 ahead", "done": False}}
    {"type": "chat:message:files", "data": {"files": [<the message's own files>, {"type": "image", "url": "data:..."}]}}

Every status stays in a list that the user can open, and every files event replaces what the message shows, so both are
sent seldom, and previews are shrunk first. The last status of a call, and taking the preview away, are not done here
but by `Chat.answer`.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..logs import log
from ..media.pictures import small_jpeg
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS

PREVIEW_BYTES = 40_000  # of a preview in the chat, about
PREVIEW_PIXELS = 512  # its longer side
STATUS_SECONDS = 2.0  # between two texts of the same phase: the chat lists every one of them
PREVIEW_SECONDS = 0.5  # between two previews
Emit = Callable[[dict[str, Any]], Awaitable[Any]]  # Open WebUI's event emitter


class Display:
    """What a run shows in the message, live only.

    Only the newest text and the newest preview are kept, so a slow chat never holds anything up. A text of the same
    phase follows another after `STATUS_SECONDS` at the earliest, a preview after `PREVIEW_SECONDS`.
    """

    def __init__(self, emit: Emit | None, real_files: Sequence[Mapping[str, Any]], previews: bool) -> None:
        """`emit` sends an event, and is None where nothing is shown; `real_files` are those that the message holds
        already; `previews` says whether they can be shown."""
        self._emit = emit
        self._real_files = real_files
        self.previews = previews  # whether one can be shown, and taken away again
        self._status: tuple[str, str] | None = None
        self._preview: bytes | None = None
        self._news = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self.preview_shown = False

    def start(self) -> None:
        """Begin to show what comes."""
        if self._emit:
            self._pump = asyncio.create_task(self._run(self._emit))

    async def stop(self) -> None:
        """Show nothing any more; what is just being sent is dropped."""
        if self._pump:
            self._pump.cancel()
            await asyncio.wait({self._pump}, timeout=CLEAN_UP_SECONDS / 3)

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
        shown: tuple[str, str] | None = None
        text_due = preview_due = 0.0
        while True:
            self._news.clear()  # before looking, so that what comes during a send is looked at at once
            now = time.monotonic()
            phase_changed = shown is None or (self._status is not None and self._status[0] != shown[0])
            if self._status and self._status != shown and (phase_changed or now >= text_due):
                shown, text_due = self._status, now + STATUS_SECONDS
                await self._send(emit, {"type": "status", "data": {"description": shown[1], "done": False}})
            if self._preview is not None and now >= preview_due:
                data, self._preview, preview_due = self._preview, None, now + PREVIEW_SECONDS
                if url := await asyncio.to_thread(shrink_preview, data):
                    files = [*map(dict, self._real_files), {"type": "image", "url": url}]
                    self.preview_shown = True
                    await self._send(emit, {"type": "chat:message:files", "data": {"files": files}})
            dues = [due for due, waits in ((text_due, self._status != shown), (preview_due, self._preview)) if waits]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(_loop_time(min(dues))) if dues else contextlib.nullcontext():
                    await self._news.wait()

    async def _send(self, emit: Emit, event: dict[str, Any]) -> None:
        """Send one event, within its time. A failure is logged and goes no further."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit(event)
        except Exception as error:  # a run must not fail because a text could not be shown
            log.debug("event %s: %s", event["type"], type(error).__name__)


def _loop_time(monotonic: float) -> float:
    """A time of `time.monotonic` as a time of the event loop."""
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()


def shrink_preview(data: bytes) -> str | None:
    """A preview as a small JPEG data URI of about `PREVIEW_BYTES` at most, or None when it is no picture. Blocks."""
    steps = (PREVIEW_PIXELS, 75), (PREVIEW_PIXELS, 55), (PREVIEW_PIXELS // 2, 60)
    return small_jpeg(data, steps, PREVIEW_BYTES, 2**24)
