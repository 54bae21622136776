"""The node definitions that are remembered of one server, with when each was asked for and how long
it is as JSON.

`ComfyUIServer` asks for definitions, and this holds the answers. A class that was asked for and is
not among them is missing on the server; that is remembered, too.
"""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..graph.definitions import NodeDefinition


@dataclass
class KnownDefinitions:
    """What one server has said of its node classes. All times are of `time.monotonic`."""

    by_class: dict[str, NodeDefinition] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)  # class -> when it was last asked for
    # class -> length of its definition as JSON
    _bytes: dict[str, int] = field(default_factory=dict)

    @property
    def bytes_kept(self) -> int:
        """How much the server sent of what is remembered."""
        return sum(self._bytes.values())

    def age(self, class_type: str) -> float:
        """Seconds since a class was asked for; infinite where it never was."""
        return time.monotonic() - self._asked.get(class_type, -math.inf)

    def is_believed(self, class_type: str, believe: float, doubt: float = 0.0) -> bool:
        """Whether a definition is known and no older than `believe` seconds, or was missing `doubt`
        seconds ago.
        """
        believed = believe if class_type in self.by_class else doubt
        return self.age(class_type) < believed

    def note_asked(self, class_types: Iterable[str]) -> None:
        """Note that these classes are asked for now, and forget what was known of them."""
        now = time.monotonic()
        for name in class_types:
            self._asked[name] = now
            self.by_class.pop(name, None)
            self._bytes.pop(name, None)

    def add(self, found: Mapping[str, tuple[NodeDefinition, int]]) -> None:
        """Remember definitions with their lengths."""
        for name, (definition, size) in found.items():
            self.by_class[name] = definition
            self._bytes[name] = size

    def doubt_all(self) -> None:
        """Have every class asked for again when it is next needed."""
        self._asked.clear()

    def forget(self) -> None:
        """Forget everything."""
        self.by_class = {}
        self._bytes = {}
        self._asked = {}
