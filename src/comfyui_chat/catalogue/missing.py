"""What a server lacks for a workflow, and where that is to be had: said so that a person can fetch
it.

    vae/ae.safetensors, 335 MB, from
    https://huggingface.co/Comfy-Org/z_image_turbo/resolve/main/.../ae.safetensors "ImageResizeKJ"
    (package comfyui-kjnodes)

Links, packages and notes are what the author of the workflow put into its file (graph/remarks.py),
so a stranger's. A link is told only if it is plain https to the name of a host and holds no key;
notes are told without their links, shortened, as quoted texts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..bounds import MOST_LINK_CHARACTERS, MOST_NOTE_CHARACTERS
from ..errors import NodeNotInstalled
from ..graph.facts import ModelFile
from ..graph.remarks import PART_OF_COMFYUI, FileSource, Remarks
from ..names import quoted, shortened
from .secret_inputs import holds_secret

PLAIN_LINK = re.compile(
    r"https://(?:[a-z0-9-]{1,63}\.){1,10}[a-z][a-z0-9-]{1,62}/[\w.~%/+,=&?@:-]*",
    re.IGNORECASE | re.ASCII,
)
MOST_FILES_NAMED = 12  # in one message
MOST_NODES_NAMED, MOST_PACKAGES_NAMED = 5, 5  # nodes of each package
LONGEST_FILE = 200  # characters of a file's name that a message shows
MOST_NOTES_TOLD, NOTE_LENGTH = 4, 300  # characters
# In a note: a picture or a link in Markdown, of which the words stay, and any address.
MARKDOWN_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\([^()\n]{0,500}\)")
FILE_IN_NOTE = re.compile(r"\.(safetensors|sft|ckpt|pth|gguf)\b")
ADDRESS = re.compile(r"<?\b[a-z][a-z0-9+.-]{1,20}://[^\s<>]{0,2000}>?", re.IGNORECASE)


def plain_link(url: str) -> str:
    """A link as it may be told, or ""."""
    if (
        len(url) > MOST_LINK_CHARACTERS
        or not PLAIN_LINK.fullmatch(url)
        or holds_secret("link", "", url)
    ):
        return ""
    return url


def file_size(size: int) -> str:
    """How large a file is, as people say it: "335 MB", "4.2 GB"."""
    if size >= 10**9:
        return f"{size / 10**9:.3g} GB"
    return f"{max(size / 10**6, 0.1):.3g} MB"


@dataclass(frozen=True)
class AbsentFile:
    """A model file that a workflow names and the server does not have."""

    path: str  # "vae/ae.safetensors"
    similar: tuple[str, ...] = ()  # installed files with names like it
    source: FileSource | None = None

    @property
    def place(self) -> str:
        """How large it is and where it is to be had, as far as that is known: "335 MB, from
        https://...".
        """
        return told_source(self.source)

    def __str__(self) -> str:
        said = ", ".join(part for part in (self.path, self.place) if part)
        if self.similar:
            said += f" (installed: {quoted(self.similar)})"
        return said


def file_path(file: ModelFile, source: FileSource | None) -> str:
    """A model file with the folder that it belongs in, where that is known:
    "vae/ae.safetensors".
    """
    folder = file.folder or (source.folder if source else "")
    name = shortened(file.file, LONGEST_FILE)
    return f"{folder}/{name}" if folder else name


def told_source(source: FileSource | None) -> str:
    """Where a model file is to be had, with its size: "335 MB, from https://..."; "" where nobody
    knows.
    """
    if source is None:
        return ""
    link = plain_link(source.url)
    parts = [file_size(source.size) if source.size else "", f"from {link}" if link else ""]
    return ", ".join(part for part in parts if part)


def absent_named(absent: Iterable[AbsentFile]) -> str:
    """Files that are missing, each with where it is to be had."""
    return _first_of([*dict.fromkeys(map(str, absent))], MOST_FILES_NAMED, "; ")


def files_in_short(absent: Iterable[AbsentFile]) -> str:
    """The same in a list of workflows: "lacks vae/ae.safetensors and 2 more"."""
    return paths_in_short(file.path for file in absent)


def paths_in_short(paths: Iterable[str]) -> str:
    """The same for the files of these paths."""
    return "lacks " + _first_of([*dict.fromkeys(paths)], 2, ", ")


def _first_of(said: Sequence[str], most: int, between: str) -> str:
    """The first of some texts, and how many more there are."""
    text = between.join(said[:most])
    more = len(said) - most
    return f"{text} and {more} more" if more > 0 else text


def node_with_package(class_type: str, remarks: Remarks) -> str:
    """A node's class with what it belongs to, where that is known: 'ImageResizeKJ (package
    comfyui-kjnodes)'.
    """
    package = remarks.packages.get(class_type, "")
    return f"{class_type} ({package})" if package else class_type


def nodes_missing(names: Sequence[str], packages: Mapping[str, str]) -> NodeNotInstalled:
    """The error for node classes that the server does not have, with the packages that they belong
    to.

    "CFGOverride", "CustomCombo" (part of ComfyUI 0.23.0); "ImageResizeKJ" (package comfyui-kjnodes)
    """
    by_package: dict[str, list[str]] = {}
    for name in names:
        by_package.setdefault(packages.get(name, ""), []).append(f'"{shortened(name)}"')
    said: list[str] = []
    for package, members in by_package.items():
        group = _first_of(members, MOST_NODES_NAMED, ", ")
        said.append(f"{group} ({package})" if package else group)
    listed = _first_of(said, MOST_PACKAGES_NAMED, "; ")
    hint = ""
    if all(package.startswith(PART_OF_COMFYUI) for package in by_package):
        hint = "A newer ComfyUI has them: it has to be updated. Or name another workflow."
    return NodeNotInstalled(f"It needs nodes that this ComfyUI does not have: {listed}.", hint)


def without_links(text: str) -> str:
    """A stranger's text without links and addresses; the words of a link stay."""
    return ADDRESS.sub("", MARKDOWN_LINK.sub(r"\1", text)).replace("](", "] (")


def told_notes(notes: Iterable[str]) -> list[str]:
    """An author's notes as they are told: the first ones, each shortened, without links and
    addresses; none that holds a key. Those that list where files are to be had come last. Blocks.
    """
    texts: list[tuple[bool, str]] = []
    for note in notes:
        text = shortened(without_links(note[:MOST_NOTE_CHARACTERS]), NOTE_LENGTH)
        if text and not holds_secret("note", "", text):
            texts.append((FILE_IN_NOTE.search(note) is not None, text))
    texts.sort(key=lambda item: item[0])
    return list(dict.fromkeys(text for _, text in texts))[:MOST_NOTES_TOLD]
