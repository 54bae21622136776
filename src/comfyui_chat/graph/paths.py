"""What a caller may set at an input that is a path on the server.

Nodes write where their path says, and some of them do not check it: with `../../..` in its folder a
dataset saver of ComfyUI 0.33.0 leaves ComfyUI's own folders, and ComfyUI 0.3.64 reads absolute
paths. What an administrator saved in a workflow stays as it is. What a caller sets is kept inside:
`check_paths` refuses a value that leads elsewhere. In a workflow that a caller brings all values
are the caller's: see graph/own_workflows.

An input is a path by its name (`filename_prefix`, `output_dir`), by the value that it was saved
with (`video/ComfyUI`), or by its use: a text that links lead to such an input, also through nodes
that join texts. A person's words, such as a prompt, count as a path only where they stand in one.

Choices may be files too: `LoadLatent` lists what everybody has uploaded. `lists_users_files` tells
them from models and styles, so that they are neither listed nor taken by name.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..errors import BadArgument
from ..names import shortened
from .definitions import last_part
from .input_names import TEXTS
from .links import Wiring
from .nodes import Target, node_inputs
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
PATH_PIECE = re.compile(r"[/\\:]|^\.|\.$")  # what could lead elsewhere where texts are joined

# Choices of nodes that load something, where they list what people have put into ComfyUI's folders:
# the names of such inputs, and how files of people end. Models are chosen by inputs of other names,
# such as `ckpt_name`.
USERS_INPUTS = {"folder", "folder_name", "directory", "latent"}
USERS_FILE = re.compile(
    r"\.(png|jpe?g|jfif|webp|gif|bmp|avif|tiff?|heic|heif|exr|hdr|psd|svg|ico"
    r"|mp4|m4v|webm|mov|mkv|avi|wmv|flv|ts|mpe?g|3gp|ogv|wav|mp3|flac|ogg|opus|m4a|aac|aiff?|wma"
    r"|latent|glb|gltf|obj|stl|fbx|ply|usdz|splat|spz|ksplat|txt|csv|json|zip)"
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
