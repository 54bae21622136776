"""What the runs of a call choose from and show, `RunOptions`, and what they leave, `RunResult`.

One of the options is `Memory`: what is done where ComfyUI shares its graphics card with a language model.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..catalogue.entries import Catalogue
from ..media.delivery import Format
from ..media.kinds import OutputFile
from ..server.client import ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import Pool
from .credits import NO_CREDITS, Credits
from .estimates import NEVER_ASKED, LongRuns


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
    leaves_no_prompts: bool = False  # whether those that failed are removed from the history
    long_runs: LongRuns = NEVER_ASKED
    mask: str = ""  # the id of the call's mask, for whoever brings the files later


@dataclass(frozen=True)
class RunResult:
    """What became of a request: files, and what there is to tell of them."""

    products: tuple[OutputFile, ...]
    seed: int | None  # of the first prompt; None where the workflow has none
    model: str
    workflow: str
    seconds: float  # from the first post to the last file; 0 for an earlier job
    notes: tuple[str, ...]
    texts: tuple[str, ...] = ()  # that nodes showed
    running: str = ""  # the id of a job that outlived its wait after others had brought their files
    left_out: int = 0  # files that the runs made and that did not come; `notes` says why
    # what it was made with, as `used_values` tells it
    used: Mapping[str, Any] = field(default_factory=dict)
    cost: str = ""  # in words, of credits
    whole: tuple[tuple[Endpoint, str], ...] = ()  # the prompts of which nothing is left to fetch

    def close(self) -> None:
        """Let go of the files, when they are stored, or nobody wants them."""
        for product in self.products:
            product.data.close()
