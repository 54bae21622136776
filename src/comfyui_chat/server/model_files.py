"""What a model file on a server says of itself: its kind, and of a LoRA the words that call what it
was trained for.

    /view_metadata/loras?filename=fox.safetensors
    {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora", "modelspec.trigger_phrase": "sks fox",
     "ss_base_model_version": "sdxl_base_v1-0", "ss_dataset_dirs": "{\\"10_sks fox\\": {\\"img_count\\": 20}}",
     "ss_tag_frequency": "{\\"10_sks fox\\": {\\"sks fox\\": 20, \\"snow\\": 7}}"}

The keys are those of Stability AI's specification and of Kohya's trainer, which others write as
well; tables stand in them as JSON in a text. Anybody may have written the file: of each text only
the beginning is kept, of a table of tags the most frequent ones, and what does not have these
shapes is nothing.
"""

import contextlib
import functools
import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from ..bounded import BoundedDict
from ..bounds import (
    MOST_METADATA_BYTES,
    MOST_NAME_CHARACTERS,
    MOST_TAG_CHARACTERS,
    MOST_TAGS_COUNTED,
    MOST_TAGS_KEPT,
    REMEMBERED_MODELS,
)
from ..errors import UnexpectedAnswer
from ..json_pieces import JsonText
from ..tasks import T
from ..values import is_number, object_of
from .background import Background
from .protocol import Answer

# ComfyUI's own answer where its route fails, and not that of a proxy before it
OWN_FAILURE = b"Server got itself in trouble"
METADATA_SECONDS = 300.0  # that what a file said is believed
MOST_TRAINING_PICTURES = 10**9  # a larger number is none
# of the training pictures: a tag of so many belongs to what the LoRA was trained for
IN_NEARLY_ALL = 0.75
# where a kind stands, the first that is there counts
MODEL_KIND = ("modelspec.architecture", "ss_base_model_version")
TRIGGER, TAGS, FOLDERS = "modelspec.trigger_phrase", "ss_tag_frequency", "ss_dataset_dirs"


@dataclass(frozen=True)
class ModelFacts:
    """What a model file says of itself, as a stranger's words."""

    kind: str = ""  # "stable-diffusion-xl-v1-base"
    trigger: str = ""  # the words that call what it was trained for, where it says so
    always: tuple[str, ...] = ()  # tags of nearly all of its training pictures
    tags: tuple[str, ...] = ()  # others of these tags, the most frequent first


class ModelHost(Protocol):
    """What is needed of the server; `ComfyUIServer` has it."""

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str], max_bytes: int
    ) -> Answer:
        """One HTTP exchange."""

    async def understand(self, path: str, answer: Answer, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of the JSON in an answer."""

    @property
    def background(self) -> Background:
        """What asks once for all who want to know."""


class ModelFiles:
    """The model files of one server, each with what it says of itself, remembered for
    `METADATA_SECONDS`.
    """

    def __init__(self, host: ModelHost, exist: bool = True) -> None:
        """`exist` is False for a service that does not tell what is in a file."""
        self._host = host
        self._exist = exist
        # By folder and name.
        self._known = BoundedDict[tuple[str, str], tuple[float, ModelFacts | None]](
            REMEMBERED_MODELS
        )

    async def facts(self, folder: str, name: str) -> ModelFacts | None:
        """What a file says of itself. None when the server itself cannot read the file: files cut
        short while they were downloaded are common. Raises as `call` does.
        """
        if not self._exist:
            return ModelFacts()
        asked, facts = self._known.get((folder, name), (-math.inf, None))
        if time.monotonic() - asked <= METADATA_SECONDS:
            return facts
        return await self._host.background.together(
            f"model {folder}/{name}", functools.partial(self._ask, folder, name)
        )

    async def _ask(self, folder: str, name: str) -> ModelFacts | None:
        path = f"/view_metadata/{quote(folder, safe='')}"
        facts: ModelFacts | None = ModelFacts()
        with contextlib.suppress(UnexpectedAnswer):  # it is too long, or not JSON
            answer = await self._host.call(
                "GET", path, params={"filename": name}, max_bytes=MOST_METADATA_BYTES
            )
            if answer.status == 500 and OWN_FAILURE in answer.body:
                facts = None
            elif answer.status == 200:
                facts = await self._host.understand(path, answer, read_model_facts)
        self._known[folder, name] = time.monotonic(), facts
        return facts

    def forget(self) -> None:
        """Forget what can be asked for again."""
        self._known.clear()


def read_model_facts(text: JsonText) -> ModelFacts:
    """What a model file says of itself, by an answer of `/view_metadata/<folder>`. The rest, such
    as notes on its training, may be megabytes, and is let go. Blocks, where it is long.
    """
    said: dict[str, str] = {}
    for key in text.each_key():
        value = text.value()
        is_short = isinstance(value, str) and len(value) <= MOST_NAME_CHARACTERS
        if isinstance(value, str) and (
            key in (TAGS, FOLDERS) or (is_short and key in (*MODEL_KIND, TRIGGER))
        ):
            said[key] = value
    kinds = [said[key] for key in MODEL_KIND if said.get(key)]
    always, tags = _tags(said.get(TAGS, ""), said.get(FOLDERS, ""))
    return ModelFacts(kinds[0] if kinds else "", said.get(TRIGGER, "").strip(), always, tags)


def _tags(table: str, folders: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tags of nearly all training pictures, and the most frequent others: none where the table
    is not one.
    """
    try:
        counts = _counted(JsonText(table)) if table else {}
        pictures = _pictures(JsonText(folders)) if counts and folders else 0
    except (ValueError, RecursionError):
        return (), ()
    frequent = heapq.nlargest(MOST_TAGS_KEPT, counts, key=lambda tag: counts[tag])
    always = [tag for tag in frequent if pictures and counts[tag] >= IN_NEARLY_ALL * pictures]
    return tuple(always), tuple(tag for tag in frequent if tag not in always)


def _counted(table: JsonText) -> dict[str, float]:
    """How often there is each tag in a table of such tables, by the folders of the pictures."""
    counts: dict[str, float] = {}
    for _ in table.each_key():
        if not table.begins_with("{"):
            table.value()
            continue
        for tag in table.each_key():
            count = table.value()
            plain = tag.strip()
            if plain and len(plain) <= MOST_TAG_CHARACTERS:
                counts[plain] = counts.get(plain, 0) + _picture_count(count)
            if len(counts) >= MOST_TAGS_COUNTED:
                return counts
    return counts


def _pictures(folders: JsonText) -> float:
    """How many training pictures there were in all folders; 0 where that is not told."""
    count = 0.0
    for _ in folders.each_key():
        count += _picture_count(object_of(folders.value()).get("img_count"))
    return count


def _picture_count(value: Any) -> float:
    """A number of pictures; 0 for what is none."""
    return value if is_number(value) and 0 < value < MOST_TRAINING_PICTURES else 0
