"""What a workflow may hold that a user brings: no path that leads out, and nobody else's files.

All values in it are the user's. `check_own` looks at those of each node that runs, and at what
links bring to the inputs that are paths or name files. Three things may become of a text on its way
there: nodes that only hold it give it on, others join it with more, and all others may take it to
pieces. So

    {"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": ["2", 0], ...}},
     "2": {"class_type": "StringSubstring", "inputs": {"string": ["3", 0], "start": 1, ...}},
     "3": {"class_type": "PrimitiveString", "inputs": {"value": "x/etc"}}}

is refused, since "/etc" may come out of it, and "x/etc" alone is not.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from enum import IntEnum
from typing import Any

from ..errors import BadArgument
from ..names import shortened
from .definitions import last_part
from .facts import file_widgets
from .input_names import TEXTS
from .links import TypedLink
from .nodes import Target, is_link, node_title
from .paths import USERS_FILE, is_path_input, leads_elsewhere, lists_users_files
from .roles import Roles
from .workflow import Workflow

# inputs with the marks that texts are put together with, or cut at: a "/" there leads nowhere
MARK_INPUT = re.compile(r"delimiter|separator", re.IGNORECASE)
# In the names of classes whose one text goes on as it is, and of those that join texts.
PASSES_ON = re.compile(r"primitive|constant|literal|switch|reroute|combo|list", re.IGNORECASE)
JOINS = re.compile(r"concat|join|append|prefix|suffix", re.IGNORECASE)
# inputs with what is looked for in a text, and does not come into it
LOOKED_FOR = re.compile(r"pattern|^find$", re.IGNORECASE)
# What could lead elsewhere where more stands beside it, and where pieces are taken out of it.
ENDS = re.compile(r"^[./\\]|[./\\]$|\.\.|:")
PIECES = re.compile(r"[./\\:]")

# Types of inputs that name a file which a browser has uploaded, such as a picture of the camera.
UPLOADED_TYPES = {"WEBCAM", "AUDIO_RECORD"}
# In the names of classes that read files, and names of their inputs for one.
READS = re.compile(r"load|import|preview_?3d|view_?3d", re.IGNORECASE)
FILE_NAMES = {"image", "video", "audio", "mask", "latent", "folder", "directory", "recording"}
TEXT_SOURCES = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}


class Fate(IntEnum):
    """What may become of a text on its way to a path, the worst last."""

    GIVEN_ON = 0
    JOINED = 1
    TAKEN_APART = 2


def check_own(workflow: Workflow, given: Collection[Target]) -> None:
    """Raise `BadArgument` where a workflow that a caller brings leads out of ComfyUI's folders, or
    names a file that somebody put there, in a node that runs. `given` are the widgets that hold
    files of the call.
    """
    checks = _Checks(workflow)
    for node_id in workflow.flow.needed():
        for name, value in workflow.flow.inputs(node_id).items():
            target = Target(node_id, name)
            if target in given:
                continue
            if is_link(value):
                checks.check_link(target)
            for text in filter(None, _texts_in(value)):
                checks.check_text(target, text)


class _Checks:
    """The checks of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._flow = workflow.flow
        self._words = {
            target.widget for name in TEXTS for target in workflow.parameters.get(name, ())
        }
        links = [link for node_id in self._flow.nodes for link in self._flow.into[node_id]]
        # whose texts become a path, or a part of one, and by which way
        self._fates = _fates(self._flow, [link for link in links if is_path_input(link.input)])

    def check_text(self, target: Target, text: str) -> None:
        """Raise `BadArgument` for one text that an input holds."""
        where = f'{self._called(target)} is "{shortened(text, 60)}"'
        if self._leads_out(target, text):
            raise BadArgument(
                f"{where}, which leads out of the folder that ComfyUI keeps such files in, or could do so.",
                'Write a name without "..", without a drive or an address, and not beginning with a slash.',
            )
        if self._takes_file(target) or self._names_file(target, text):
            raise BadArgument(
                f"{where}, a file on the server, which may be somebody else's.",
                "Give files of the chat in `images`, or leave that node out.",
            )

    def check_link(self, target: Target) -> None:
        """Raise `BadArgument` where other nodes make the name of a file out of texts."""
        link = self._flow.link(target.node_id, target.input)
        if link is None:
            return
        reads = self._takes_file(target) or self._reads_named(target)
        if reads and self._is_made_of_words(link):
            raise BadArgument(
                f"{self._called(target)} names a file on the server, which may be somebody else's, by a text of "
                "another node.",
                "Give files of the chat in `images`, or leave that node out.",
            )

    def _called(self, target: Target) -> str:
        title = node_title(self._workflow.graph, target.node_id)
        return f'"{shortened(target.input, 60)}" of {title} in your workflow'

    # Paths.

    def _leads_out(self, target: Target, text: str) -> bool:
        """Whether a text leads elsewhere as it is, or could do so when other nodes have worked on
        it. A person's words count only where they become a path.
        """
        if is_path_input(target.input):
            return leads_elsewhere(text)
        if LOOKED_FOR.search(target.input):
            return False
        fate = self._fates.get(target.node_id)
        if fate is not None:
            if leads_elsewhere(text):
                return True
            if self._is_choice(target, text):
                return False
            pattern = {Fate.JOINED: ENDS, Fate.TAKEN_APART: PIECES}.get(fate)
            return bool(pattern and pattern.search(text.strip()))
        if target in self._words or "\n" in text or _is_mark(target.input, text):
            return False
        return leads_elsewhere(text)

    def _is_choice(self, target: Target, text: str) -> bool:
        """Whether a text is one of those that the input offers."""
        spec = self._flow.spec(target.node_id, target.input)
        return spec is not None and text in spec.names

    # Files of other people.

    def _takes_file(self, target: Target) -> bool:
        """Whether an input is there to name a file that somebody has uploaded."""
        if target.input in file_widgets(self._flow, target.node_id):
            return True
        spec = self._flow.spec(target.node_id, target.input)
        return spec is not None and spec.type in UPLOADED_TYPES

    def _names_file(self, target: Target, text: str) -> bool:
        """Whether a value of a node that reads files names what people have put on the server."""
        if not READS.search(self._flow.class_type(target.node_id)):
            return False
        return bool(USERS_FILE.search(text.strip())) or lists_users_files(self._workflow, target)

    def _reads_named(self, target: Target) -> bool:
        """Whether an input of a node that reads files names one, as it is called or by what it
        lists.
        """
        if not READS.search(self._flow.class_type(target.node_id)):
            return False
        name = last_part(target.input)
        return (
            name in FILE_NAMES or is_path_input(name) or lists_users_files(self._workflow, target)
        )

    def _is_made_of_words(self, link: TypedLink) -> bool:
        """Whether what a link brings is made of texts in the workflow, and not by a node that has
        made the file itself.
        """
        if not link.may_carry("STRING", "COMBO") or self._flow.is_service(link.source):
            return False
        before = self._flow.before([link.source])
        return all(TEXT_SOURCES.issuperset(self._types_out_of(node_id)) for node_id in before)

    def _types_out_of(self, node_id: str) -> set[str]:
        return {link.type for link in self._flow.out_of[node_id] if link.type}


def _fates(flow: Roles, ends: Collection[TypedLink]) -> dict[str, Fate]:
    """What may become of the texts of the nodes before a path, by node. `ends` are the links to
    the inputs that are paths.
    """
    fates: dict[str, Fate] = {}
    waiting = [(link.source, Fate.GIVEN_ON) for link in ends]
    while waiting:
        node_id, behind = waiting.pop()
        fate = max(behind, _own_fate(flow.class_type(node_id)))
        if fates.get(node_id, -1) >= fate or flow.is_service(node_id):
            continue
        fates[node_id] = fate
        for link in flow.into[node_id]:
            if link.type in ("STRING", "COMBO", ""):
                waiting.append((link.source, fate))
    return fates


def _own_fate(class_type: str) -> Fate:
    """What a node of this class may do to a text."""
    if JOINS.search(class_type):
        return Fate.JOINED
    return Fate.GIVEN_ON if PASSES_ON.search(class_type) else Fate.TAKEN_APART


def _is_mark(name: str, text: str) -> bool:
    """Whether a text is no more than what other texts are put together with, or cut at."""
    return bool(MARK_INPUT.search(name)) and not any(map(str.isalnum, text))


def _texts_in(value: Any) -> Iterator[str]:
    """All texts in the value of an input."""
    waiting = [value]
    for item in waiting:
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list) and not is_link(item):
            waiting += item
