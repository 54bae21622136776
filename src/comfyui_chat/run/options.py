"""What the runs of a call choose from, show, and leave behind: `RunOptions`.

One of them is `Memory`: what is done where ComfyUI shares its graphics card with a language model.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from ..catalogue.entries import Catalogue
from ..media.delivery import Format
from ..server.client import ComfyUIServer
from ..server.pool import Pool
from .credits import NO_CREDITS, Credits


@dataclass(frozen=True)
class Memory:
    """How a graphics card is shared with a language model; by default nothing is done about it."""

    # sends the language model away, and never raises
    unload: Callable[[], Awaitable[None]] | None = None
    # after a run, before ComfyUI's memory is freed; None for never
    free_seconds: float | None = None

    @contextlib.asynccontextmanager
    async def shared(self, server: ComfyUIServer) -> AsyncIterator[None]:
        """Around the runs of a call on a server: the language model is sent away before them, and
        ComfyUI's memory is freed after them. Comfy Cloud shares no card with anybody.
        """
        if self.unload and server.endpoint.shares_card:
            await self.unload()
        try:
            yield
        finally:
            is_wanted = server.endpoint.shares_card and not Pool.here().ending
            if self.free_seconds is not None and is_wanted:
                server.free_after(self.free_seconds)


@dataclass(frozen=True)
class RunOptions:
    """What the runs of a call choose from, show, and leave behind."""

    catalogue: Catalogue = Catalogue()
    previews: bool = True  # whether the listener gets them
    format: Format = Format()  # in which the files are handed over
    memory: Memory = Memory()
    credits: Credits = NO_CREDITS
