"""Which node classes of the past a server has another one for, as it tells at /node_replacements.

Releases since 0.33 have the route; where there is none, or it does not answer as expected, nothing is replaced.
"""

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..bounds import MOST_REPLACEMENT_BYTES
from ..errors import ServerError, ServerGone, ServerUnreachable
from ..graph.replacements import Replacement, read_replacements
from ..json_pieces import JsonText
from ..tasks import T
from .protocol import Answer

REPLACEMENT_SECONDS = 600.0  # that the list is believed: it changes when ComfyUI or a package is updated


class ReplacementHost(Protocol):
    """What is needed of the server; `ComfyUIServer` has it."""

    async def call(self, method: str, path: str, *, max_bytes: int) -> Answer:
        """One HTTP exchange."""

    async def understand(self, path: str, answer: Answer, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of the JSON in an answer."""

    async def together(self, question: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One answer for all who ask the same at the same time."""


@dataclass
class ReplacedNodes:
    """What takes the place of old node classes on one server, remembered for `REPLACEMENT_SECONDS`."""

    host: ReplacementHost
    exist: bool = True  # False for a service that has no such route
    _known: Mapping[str, Replacement] = field(default_factory=dict)
    _asked: float | None = field(default=None)  # of `time.monotonic`

    async def all(self) -> Mapping[str, Replacement]:
        """What takes the place of each old class. Raises `ServerUnreachable` and `ServerGone`."""
        if self.exist and (self._asked is None or time.monotonic() - self._asked >= REPLACEMENT_SECONDS):
            await self.host.together("node replacements", self._ask)
        return self._known

    def forget(self) -> None:
        """Forget what can be asked for again."""
        self._known = {}
        self._asked = None

    async def _ask(self) -> None:
        path = "/node_replacements"
        known: Mapping[str, Replacement] = {}
        try:
            answer = await self.host.call("GET", path, max_bytes=MOST_REPLACEMENT_BYTES)
            if answer.status == 200:
                known = await self.host.understand(path, answer, read_replacements)
        except (ServerUnreachable, ServerGone):
            raise
        except ServerError:
            pass
        self._known = known
        self._asked = time.monotonic()
