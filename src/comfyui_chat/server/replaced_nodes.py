"""Which node classes of the past a server has another one for, as it tells at /node_replacements.

Releases since 0.33 have the route; where there is none, or it does not answer as expected, nothing
is replaced.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..bounds import MOST_REPLACEMENT_BYTES
from ..errors import ServerError, ServerGone, ServerUnreachable
from ..graph.replacements import Replacement, read_replacements
from .templates import AskedServer

# that the list is believed: it changes when ComfyUI or a package is updated
REPLACEMENT_SECONDS = 600.0


@dataclass
class ReplacedNodes:
    """What takes the place of old node classes on one server, remembered for
    `REPLACEMENT_SECONDS`.
    """

    host: AskedServer
    exist: bool = True  # False for a service that has no such route
    _known: Mapping[str, Replacement] = field(default_factory=dict)
    _asked: float | None = field(default=None)  # of `time.monotonic`

    async def all(self) -> Mapping[str, Replacement]:
        """What takes the place of each old class. Raises `ServerUnreachable` and `ServerGone`."""
        if self.exist and (
            self._asked is None or time.monotonic() - self._asked >= REPLACEMENT_SECONDS
        ):
            await self.host.background.together("node replacements", self._ask)
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
