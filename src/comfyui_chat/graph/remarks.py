"""What a file of ComfyUI's editor tells beside its graph: where its model files are to be had,
which packages its nodes belong to, and what its author says of it.

Templates and many saved workflows note these in the properties of nodes, inside subgraphs too, and
in nodes for notes:

    {"type": "VAELoader", "properties": {"cnr_id": "comfy-core", "ver": "0.3.73", "models": [
        {"name": "ae.safetensors", "url": "https://huggingface.co/...", "directory": "vae"}]}}
    {"type": "MarkdownNote", "widgets_values": ["## Model links ..."]}

Where a node's properties tell of no file, a link in a note may: one that ends with the file's name.
`read_remarks` passes over what is not of these shapes. All of it is a stranger's:
catalogue/missing.py says how much may be told.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bounds import MOST_AUTHORS_NOTES, MOST_FILE_SOURCES, MOST_NOTE_CHARACTERS
from ..names import MODEL_FILE, base_name
from ..values import list_of, object_of, text_of
from .nodes import NOTES

PACKAGE = re.compile(r"[\w.-]{1,100}", re.ASCII)  # in ComfyUI's registry
REPOSITORY = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)  # on GitHub
CORE_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}", re.ASCII)
FOLDER = re.compile(r"[\w.-]{1,60}(/[\w.-]{1,60})?", re.ASCII)
LINK_IN_NOTE = re.compile(r"https://[\w.~%/+,=&?@:-]+", re.ASCII)
PART_OF_COMFYUI = "part of ComfyUI"
CORE = "comfy-core"  # the package of ComfyUI's own nodes


@dataclass(frozen=True)
class FileSource:
    """Where a model file is to be had, as the workflow's author says."""

    url: str
    folder: str = ""  # of the server that it belongs in
    size: int = 0  # in bytes; 0 where the author does not say


@dataclass(frozen=True)
class Remarks:
    """What a file tells beside its graph."""

    # by the file's name in lower case
    sources: Mapping[str, tuple[FileSource, ...]] = field(default_factory=dict)
    # class -> what it belongs to, as `package_of` says it
    packages: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # the author's, as they stand in the file

    def source(self, file: str, folder: str) -> FileSource | None:
        """Where a model file is to be had, which belongs in that folder as far as that is known."""
        sources = self.sources.get(base_name(file).lower(), ())
        in_folder = [source for source in sources if source.folder == folder]
        return next(iter(in_folder or sources), None)


NO_REMARKS = Remarks()


def read_remarks(ui: Any) -> Remarks:
    """What a workflow in the UI format tells beside its graph. Blocks, where it is long."""
    sources: dict[str, dict[FileSource, None]] = {}
    packages: dict[str, str] = {}
    notes: list[str] = []
    left = MOST_FILE_SOURCES
    for node in _nodes(ui):
        properties = object_of(node.get("properties"))
        kind = text_of(node.get("type"))
        if kind in NOTES and len(notes) < MOST_AUTHORS_NOTES:
            notes += _note_texts(node)
        package = package_of(properties)
        if package:
            packages.setdefault(kind, package)
        for item in list_of(properties.get("models"))[:left]:
            left -= 1
            model = object_of(item)
            name = base_name(text_of(model.get("name"))).lower()
            sources.setdefault(name, {})[_source(model)] = None
    for link in itertools.chain(*map(LINK_IN_NOTE.findall, notes)):
        name = base_name(link.partition("?")[0]).lower()
        if MODEL_FILE.search(name):
            sources.setdefault(name, {})[FileSource(link)] = None
    found = {name: tuple(known) for name, known in sources.items()}
    return Remarks(found, packages, tuple(notes))


def _nodes(ui: Any) -> Iterator[Mapping[str, Any]]:
    """The nodes of a file, with those inside subgraphs."""
    whole = object_of(ui)
    for graph in [whole, *list_of(object_of(whole.get("definitions")).get("subgraphs"))]:
        for node in list_of(object_of(graph).get("nodes")):
            if isinstance(node, Mapping):
                yield node


def _note_texts(node: Mapping[str, Any]) -> list[str]:
    """What stands in a node for notes."""
    values = node.get("widgets_values")
    texts = list_of(values) or list(object_of(values).values())
    notes = [text[:MOST_NOTE_CHARACTERS] for text in texts[:1] if isinstance(text, str)]
    return [note for note in notes if note.strip()]


def _source(model: Mapping[str, Any]) -> FileSource:
    folder = text_of(model.get("directory"))
    size = model.get("size")
    return FileSource(
        url=text_of(model.get("url")),
        folder=folder if FOLDER.fullmatch(folder) else "",
        size=size if type(size) is int and size > 0 else 0,
    )


def package_of(properties: Mapping[str, Any]) -> str:
    """What a node's class belongs to, by the node's properties: "package comfyui-kjnodes", "package
    kijai/KJNodes on GitHub", "part of ComfyUI 0.3.73"; "" where they do not tell.
    """
    package = text_of(properties.get("cnr_id"))
    version = text_of(properties.get("ver"))
    if package == CORE:
        return (
            f"{PART_OF_COMFYUI} {version}" if CORE_VERSION.fullmatch(version) else PART_OF_COMFYUI
        )
    if PACKAGE.fullmatch(package):
        return f"package {package}"
    repository = text_of(properties.get("aux_id"))
    if REPOSITORY.fullmatch(repository):
        return f"package {repository} on GitHub"
    return ""
