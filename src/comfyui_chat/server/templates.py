"""The workflows that come with a ComfyUI: its gallery of official templates, and the examples of
custom nodes.

    /templates/index.json    [{"title": "Image", "templates": [{"name": "image_z_image_turbo", "title": "Z-Image-Turbo",
                             "description": "...", "tags": ["Text to Image"], "models": ["Z-Image-Turbo"],
                             "size": 20830591386, "usage": 14514, "openSource": true, "io": {"inputs": [...]}}]}]
    /workflow_templates      {"ComfyUI-Foo": ["upscale"]}

The graphs themselves are files beside them, each read when it is needed (`Templates.read`). An
older index counts sizes in gigabytes, tells no usage, and has what costs money in groups of the
category "CLOSED SOURCE MODELS". A server has neither route, or one: what is not there (404) is an
empty list. All of it is written by strangers: texts are cut, and what does not have the shape of a
name is left out.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from ..bounds import MOST_INDEX_BYTES, MOST_TEMPLATES, MOST_WORKFLOW_BYTES
from ..errors import ServerError, UnknownWorkflow
from ..graph.nodes import Graph
from ..graph.reading import read_workflow_file
from ..json_pieces import JsonText
from ..names import shortened
from ..tasks import T, gather
from ..threads import FILES
from ..values import list_of, object_of, text_of
from .background import Background
from .protocol import Answer

INDEX, EXAMPLES = "/templates/index.json", "/workflow_templates"
INDEX_SECONDS = 600.0  # that a list is believed: it changes when ComfyUI or a package is updated
FAULT_SECONDS = 60.0  # that nobody asks again for a list that could not be had
LIST_SECONDS = 20.0  # for one list
# characters
MOST_TEMPLATE_NAME, MOST_TEMPLATE_TITLE, MOST_TEMPLATE_TEXT, MOST_LABEL = 150, 120, 400, 60
MOST_LABELS = 20  # tags of one template, models, files that it takes
LARGEST_GIGABYTES = 10_000  # a larger number is one of bytes
PAID_CATEGORY, PAID_TAG = "CLOSED SOURCE MODELS", "API"


@dataclass(frozen=True)
class Template:
    """One of the workflows that come with a ComfyUI, as its list tells of it."""

    name: str  # of an example with its package: "ComfyUI-Foo/upscale"
    path: str  # of the file on the server
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # what people call them, not files: "Wan2.2"
    takes: tuple[str, ...] = ()  # kinds of the files that it is given: "image"
    bytes: int | None = None  # of its model files; None where nothing tells
    usage: int = 0
    is_paid: bool = False  # its nodes call a service that costs money


class AskedServer(Protocol):
    """What is needed of a server to ask it for a list; `ComfyUIServer` has it."""

    async def call(self, method: str, path: str, *, seconds: float = ..., max_bytes: int) -> Answer:
        """One HTTP exchange."""

    async def understand(self, path: str, answer: Answer, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of the JSON in an answer."""

    @property
    def background(self) -> Background:
        """What asks once for all who want to know."""


@dataclass
class Templates:
    """The workflows that come with one ComfyUI, remembered for `INDEX_SECONDS`."""

    host: AskedServer
    exist: bool = True  # False for a service that has no such routes
    bytes_kept: int = 0  # how much the server sent of what is remembered, about
    _known: tuple[Template, ...] = ()
    _fault: ServerError | None = None  # why they could not be listed the last time
    _asked: float | None = None  # of `time.monotonic`

    async def all(self) -> tuple[Template, ...]:
        """Official ones, the most used first, then the examples of custom nodes. Raises as `call`
        does, and `UnexpectedAnswer`; such a server is not asked again for `FAULT_SECONDS`, since
        nothing else needs its lists.
        """
        believe = FAULT_SECONDS if self._fault else INDEX_SECONDS
        if self.exist and (self._asked is None or time.monotonic() - self._asked >= believe):
            await self.host.background.together("templates", self._ask)
        if self._fault:
            raise self._fault.with_traceback(None)
        return self._known

    def forget(self) -> None:
        """Forget what can be asked for again."""
        self._known = ()
        self._fault = None
        self._asked = None
        self.bytes_kept = 0

    async def _ask(self) -> None:
        self.forget()
        try:
            (official, index_bytes), (examples, example_bytes) = await gather(
                2,
                [
                    functools.partial(self._list, INDEX, read_index),
                    functools.partial(self._list, EXAMPLES, read_examples),
                ],
            )
        except ServerError as fault:
            self._fault = fault
        else:
            by_name = {
                template.name: template
                for template in reversed([*official, *examples][:MOST_TEMPLATES])
            }
            self._known = tuple(reversed(by_name.values()))
            self.bytes_kept = index_bytes + example_bytes
        self._asked = time.monotonic()

    async def _list(
        self, path: str, take: Callable[[JsonText], list[Template]]
    ) -> tuple[list[Template], int]:
        answer = await self.host.call("GET", path, seconds=LIST_SECONDS, max_bytes=MOST_INDEX_BYTES)
        if answer.status == 404:
            return [], 0
        return await self.host.understand(path, answer, take), len(answer.body)

    async def read(self, template: Template) -> Graph:
        """A template's graph, in either of ComfyUI's formats. Raises `UnknownWorkflow` when it is
        not there, and `WorkflowRefused` for a file that is not a workflow.
        """
        answer = await self.host.call("GET", template.path, max_bytes=MOST_WORKFLOW_BYTES)
        if answer.status != 200:
            raise UnknownWorkflow(
                f'The ComfyUI server lists the template "{template.name}" and does not have its file.'
            )
        return await FILES.run(read_workflow_file, answer.body)


def read_index(text: JsonText) -> list[Template]:
    """The official templates, the most used first."""
    found: list[Template] = []
    for group in text.each_item():
        found += _of_group(object_of(group))
        if len(found) > MOST_TEMPLATES:
            break
    return sorted(found[:MOST_TEMPLATES], key=lambda template: -template.usage)


def _of_group(group: Mapping[str, Any]) -> Iterator[Template]:
    """The templates of one group of the index, without those whose names are none."""
    is_paid = group.get("category") == PAID_CATEGORY
    for item in list_of(group.get("templates")):
        about = object_of(item)
        name = text_of(about.get("name"))
        if not is_file_name(name):
            continue
        tags = _labels(about.get("tags"))
        is_open = about.get("openSource", about.get("OpenSource"))
        yield Template(
            name=name,
            path=f"/templates/{quote(name, safe='')}.json",
            title=printable(about.get("title"), MOST_TEMPLATE_TITLE),
            description=printable(about.get("description"), MOST_TEMPLATE_TEXT),
            tags=tags,
            models=_labels(about.get("models")),
            takes=_kinds(object_of(about.get("io")).get("inputs")),
            bytes=_bytes(about.get("size")),
            usage=_uses(about.get("usage")),
            is_paid=is_paid or is_open is False or PAID_TAG in tags,
        )


def read_examples(text: JsonText) -> list[Template]:
    """The examples of custom nodes, by package and name."""
    found: list[Template] = []
    for package in text.each_key():
        names = [name for name in list_of(text.value()) if isinstance(name, str)]
        if not is_file_name(package):
            continue
        folder = f"/api{EXAMPLES}/{quote(package, safe='')}"
        for name in filter(is_file_name, dict.fromkeys(names)):
            path = f"{folder}/{quote(name, safe='')}.json"
            found.append(Template(f"{package}/{name}", path, tags=("Example",)))
        if len(found) > MOST_TEMPLATES:
            break
    return sorted(found, key=lambda template: template.name.lower())[:MOST_TEMPLATES]


def is_file_name(name: Any) -> bool:
    """Whether this can be the name of a file in one folder, that may stand in an address and in a
    message.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= MOST_TEMPLATE_NAME
        or not name.isprintable()
    ):
        return False
    return (
        name == name.strip()
        and not name.startswith(".")
        and not any(mark in name for mark in '/\\"')
    )


def printable(value: Any, length: int) -> str:
    """A stranger's text on one line, without characters that nobody sees."""
    beginning = text_of(value)[: 4 * length]
    if not beginning.isprintable():
        beginning = "".join(
            character if character.isprintable() else " " for character in beginning
        )
    return shortened(beginning, length)


def _labels(value: Any) -> tuple[str, ...]:
    """Tags, or names of models; "None" is none."""
    labels = [printable(item, MOST_LABEL) for item in list_of(value)[:MOST_LABELS]]
    return tuple(label for label in labels if label not in ("", "None"))


def _kinds(value: Any) -> tuple[str, ...]:
    """Kinds of the files that a template is given."""
    items = [object_of(item) for item in list_of(value)[:MOST_LABELS]]
    return _labels([item.get("mediaType") for item in items])


def _bytes(size: Any) -> int | None:
    """The size of model files, which an older index counts in gigabytes."""
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 <= size < 1e18:
        return None
    return round(size * 10**9 if size < LARGEST_GIGABYTES else size)


def _uses(value: Any) -> int:
    """A whole number; 0 for anything else."""
    return value if isinstance(value, int) and 0 <= value < 10**12 else 0
