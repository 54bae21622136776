"""Files that a run has made while it is still under way, fetched as soon as it tells of them.

ComfyUI tells of a file when the node that saves it is done. Others may run after it, and the end of
the run is told later still. `EarlyFiles` begins to fetch at once, and `take` hands over what came.
They are fetched with the same patience as after the end. One that failed while the run went on is
fetched again when that has ended, and what nobody takes is let go of.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from ..media.file_bytes import FileBytes, Room
from ..server.client import ComfyUIServer
from ..server.protocol import Output
from .collecting import PARALLEL_FILES, fetch
from .fleet import Timing


class EarlyFiles:
    """The files of one run on their way; `room` is what its call may still bring. Those that are
    not taken are given back at the end of its `async with`.
    """

    def __init__(self, server: ComfyUIServer, timing: Timing, room: Room) -> None:
        self._server = server
        self._timing = timing
        self._room = room
        self._coming: dict[Output, asyncio.Task[FileBytes]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left = list(self._coming.values())
        if not left:
            return
        for coming in left:
            coming.cancel()
        for data in await asyncio.gather(*left, return_exceptions=True):
            if isinstance(data, FileBytes):
                self._room.give_back(len(data))
                data.close()

    def announced(self, outputs: Sequence[Output]) -> None:
        """Begin to fetch what was saved, as many files as are fetched at the same time. What is
        only shown counts only where nothing is saved, which the end tells.
        """
        for output in outputs:
            file = _same_file(output)
            is_due = output.type == "output" and file not in self._coming
            if is_due and len(self._coming) < PARALLEL_FILES:
                self._coming[file] = asyncio.create_task(
                    fetch(self._server, output, self._timing, self._room)
                )

    async def take(self, output: Output) -> FileBytes | None:
        """A file that came, or is on its way, and then with what becomes of that; None for one that
        is still to be fetched, or again. Raises as `fetch` does.
        """
        coming = self._coming.pop(_same_file(output), None)
        if coming is None or (coming.done() and coming.exception()):
            return None
        return await coming


def _same_file(output: Output) -> Output:
    """The same for all nodes that tell of one file."""
    return replace(output, node_id="")
