"""What a server was last seen to have, without asking it: its models and workflows, for the menus
of the valves.

Nothing here waits. It reads what earlier calls left in the memory of this process: node
definitions, lists of files and the last listing of workflows, each as far as the caller of then was
allowed to see them.
"""

from collections.abc import Iterator, Sequence

from ..server.client import ComfyUIServer
from .entries import Entry, last_listing
from .small_files import SMALL_LOADERS

MAIN_MODEL_FOLDERS = ("checkpoints", "diffusion_models", "unet")
# The inputs of loaders whose choices are the models that people name.
MODEL_INPUTS = (
    ("CheckpointLoaderSimple", "ckpt_name"),
    ("UNETLoader", "unet_name"),
    *(
        (loader.class_type, loader.inputs["unet_name"])
        for loader in SMALL_LOADERS
        if "unet_name" in loader.inputs
    ),
)


def models_seen(server: ComfyUIServer) -> list[str]:
    """The names of the checkpoints and diffusion models that this server was last seen to have."""
    names: list[str] = []
    for class_type, input_name in MODEL_INPUTS:
        definition = server.definitions.get(class_type)
        if definition and input_name in definition.inputs:
            names += map(str, definition.inputs[input_name].choices)
    for folder in MAIN_MODEL_FOLDERS:
        names += server.names_seen(f"/models/{folder}")
    return list(dict.fromkeys(names))


def workflows_seen(server: ComfyUIServer, tasks: Sequence[str]) -> Iterator[Entry]:
    """The workflows for these tasks that were last seen to be saved on this server or to come with
    it; of what is saved also what nobody knows the task of. What callers brought is not among them.
    """
    listing = last_listing(server)
    if listing is None:
        return
    for entry in listing.entries:
        is_unknown = bool(entry.path) and not entry.task
        if (entry.path or entry.template) and (is_unknown or entry.task in tasks):
            yield entry
