"""What a caller may set at an input that is a path on the server.

Nodes write where their path says, and some of them do not check it: with `../../..` in its folder a
dataset saver of ComfyUI 0.33.0 leaves ComfyUI's own folders, and ComfyUI 0.3.64 reads absolute
paths. What an administrator saved in a workflow stays as it is. What a caller sets is kept inside:
`check_paths` refuses a value that leads elsewhere. In a workflow that a caller brings all values
are the caller's, and `check_own` looks at each of them.

An input is a path by its name (`filename_prefix`, `output_dir`), by the value that it was saved
with (`video/ComfyUI`), or by its use: a text that links lead to such an input, also through nodes
that join texts. A person's words, such as a prompt, count as a path only where they stand in one.

Choices may be files too: `LoadLatent` lists what everybody has uploaded. `lists_users_files` tells
them from models and styles, so that they are neither listed nor taken by name.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..errors import BadArgument
from ..names import shortened
from .definitions import last_part
from .facts import file_inputs
from .input_names import TEXTS
from .links import Wiring
from .nodes import Target, is_link, node_inputs, node_title
from .workflow import Workflow

# Words in the names of inputs that are paths, between underscores or at a change of case.
PATH_WORDS = {
    "path",
    "paths",
    "dir",
    "directory",
    "folder",
    "subfolder",
    "file",
    "filename",
    "prefix",
    "location",
}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# A value that can only be a path: names with slashes between them and no white space,
# "video/ComfyUI" or "C:\\out\\a".
SAVED_PATH = re.compile(r"(?:[A-Za-z]:)?[^\s/\\:]*[/\\][^\s:]*")
# and what begins an address
DRIVE = re.compile(r"[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]{0,30}:/|file:", re.IGNORECASE)
# how ComfyUI names one of its own folders
FOLDER_TAG = re.compile(r"\[(?:output|input|temp)\]$", re.IGNORECASE)
# inputs with the marks that texts are put together with, or cut at: a "/" there leads nowhere
MARK_INPUT = re.compile(r"delimiter|separator", re.IGNORECASE)
PATH_PIECE = re.compile(r"[/\\:]|^\.|\.$")  # what could lead elsewhere where texts are joined
# In the names of classes whose one text goes on as it is; others may join texts, or cut them.
PASSES_ON = re.compile(r"primitive|constant|literal", re.IGNORECASE)

# Choices of nodes that load something, where they list what people have put into ComfyUI's folders:
# the names of such inputs, and how files of people end. Models are chosen by inputs of other names,
# such as `ckpt_name`.
USERS_INPUTS = {"folder", "folder_name", "directory", "latent"}
USERS_FILE = re.compile(
    r"\.(png|jpe?g|webp|gif|bmp|avif|mp4|webm|mov|mkv|wav|mp3|flac|ogg|opus|m4a|latent|glb|gltf|obj|txt|csv|json)"
    r"( \[(output|input|temp)\])?$",
    re.IGNORECASE,
)


def check_paths(workflow: Workflow, values: Mapping[str, Any], said: Mapping[str, str]) -> None:
    """Raise `BadArgument` for a value that leads out of ComfyUI's folders, where the input is a
    path.

    `values` are what a caller sets, by names that `Workflow.find` knows, and `said` what each is
    called in an error.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        for target in workflow.find(name) or ():
            if _leads_out(workflow, target, value, is_words=name in TEXTS):
                raise BadArgument(
                    f'{said.get(name, name)} is "{shortened(value, 60)}", which leads out of the folder that ComfyUI '
                    "keeps such files in.",
                    'Give a name without "..", without a drive, and not beginning with a slash, such as "video/fox".',
                )


def check_own(workflow: Workflow, given: Collection[Target]) -> None:
    """Raise `BadArgument` where a workflow that a caller brings leads out of ComfyUI's folders, or
    names a file that somebody put there, in a node that runs. `given` are the widgets that hold
    files of the call.
    """
    flow = workflow.flow
    files = {item.target.widget for item in file_inputs(flow)}
    words = {target.widget for name in TEXTS for target in workflow.parameters.get(name, ())}
    paths = _Paths(flow)
    for node_id in flow.needed():
        for name, value in flow.inputs(node_id).items():
            target = Target(node_id, name)
            if target in given or is_link(value):
                continue
            for text in filter(None, _texts_in(value)):
                where = f'"{shortened(name, 60)}" of {node_title(workflow.graph, node_id)} in your workflow'
                if paths.leads_out(target, text, is_words=target in words):
                    raise BadArgument(
                        f'{where} is "{shortened(text, 60)}", which leads out of the folder that ComfyUI keeps such '
                        "files in, or could do so.",
                        'Write a name without "..", without a drive or an address, and not beginning with a slash.',
                    )
                if target in files or _names_users_file(workflow, target, text):
                    raise BadArgument(
                        f'{where} is "{shortened(text, 60)}", a file on the server, which may be somebody else\'s.',
                        "Give files of the chat in `images`, or leave that node out.",
                    )


class _Paths:
    """Where texts of a graph become paths."""

    def __init__(self, flow: Wiring) -> None:
        self._flow = flow
        links = [link for node_id in flow.nodes for link in flow.into[node_id]]
        ends = [link.source for link in links if is_path_input(link.input)]
        # whose texts become a path, or a part of one
        self._nodes = flow.before(ends, ("STRING", ""))

    def leads_out(self, target: Target, text: str, *, is_words: bool) -> bool:
        """Whether a text leads elsewhere as it is, or could do so when other nodes have worked on
        it. A person's words count only where they become a path.
        """
        if is_path_input(target.input):
            return leads_elsewhere(text)
        if target.node_id in self._nodes:
            passes_on = PASSES_ON.search(self._flow.class_type(target.node_id))
            return leads_elsewhere(text) or (
                not passes_on and bool(PATH_PIECE.search(text.strip()) or ".." in text)
            )
        if is_words or "\n" in text or _is_mark(target.input, text):
            return False
        return leads_elsewhere(text)


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
        elif isinstance(item, list):
            waiting += item


def _names_users_file(workflow: Workflow, target: Target, text: str) -> bool:
    """Whether a value of a node that loads something names what people have put on the server."""
    class_type = workflow.graph[target.node_id]["class_type"]
    if "load" not in class_type.lower():
        return False
    return bool(USERS_FILE.search(text.strip())) or lists_users_files(workflow, target)


def _leads_out(workflow: Workflow, target: Target, value: str, *, is_words: bool) -> bool:
    """Whether a value leads elsewhere where it is used as a path: here, where it is linked to, or,
    unless it is a person's words, where other nodes may have joined it with other texts.
    """
    flow = workflow.flow
    links = flow.out_of[target.node_id]
    is_used_as_path = is_path_input(target.input) or any(
        is_path_input(link.input) for link in links
    )
    if is_used_as_path:
        return leads_elsewhere(value)
    if is_words:
        return False
    if _held_a_path(workflow, target):
        return leads_elsewhere(value)
    return bool(PATH_PIECE.search(value.strip())) and _becomes_path(flow, target.node_id)


def _becomes_path(flow: Wiring, node_id: str) -> bool:
    """Whether a node's text goes through other nodes into a path."""
    behind = flow.behind([node_id], ("STRING", ""))
    return any(is_path_input(link.input) for reached in behind for link in flow.out_of[reached])


def _held_a_path(workflow: Workflow, target: Target) -> bool:
    """Whether an input was saved with a value that can only be a path."""
    saved = node_inputs(workflow.graph[target.node_id]).get(target.input)
    return isinstance(saved, str) and len(saved) < 1000 and bool(SAVED_PATH.fullmatch(saved))


def is_path_input(name: str) -> bool:
    """Whether an input is a path by its name: "filename_prefix", "outputDir"."""
    words = {word.lower() for word in WORD.findall(last_part(name))}
    return words.isdisjoint({"prompt", "text"}) and not words.isdisjoint(PATH_WORDS)


def leads_elsewhere(value: str) -> bool:
    """Whether a path leaves the folder that it is meant to be in: upward, absolute, on a drive, or
    by the tag of another of ComfyUI's folders.
    """
    text = value.strip()
    parts = [part.strip() for part in re.split(r"[/\\]", text)]
    if ".." in parts or any(ord(character) < 32 for character in text):
        return True
    return text[:1] in ("/", "\\", "~") or bool(DRIVE.match(text) or FOLDER_TAG.search(text))


def lists_users_files(workflow: Workflow, target: Target) -> bool:
    """Whether an input's choices are files or folders that people have put on the server."""
    class_type = workflow.graph[target.node_id]["class_type"]
    if "load" not in class_type.lower():
        return False
    if last_part(target.input) in USERS_INPUTS:
        return True
    some = workflow.widget_spec(target).names[:50]
    return 2 * sum(bool(USERS_FILE.search(name)) for name in some) > len(some)
