"""What a graph needs, what it makes, and what it is for.

All of it is read from a graph in the API format and the server's node definitions. Where the server
gives none, tables of the classes and widgets of ComfyUI's own nodes, and of common custom ones,
stand in for them:

- `file_inputs`: the widgets that name a picture, mask, video or sound to upload, such as `image` of
  LoadImage;
- `outputs`: the output nodes, each with the kind of file that it makes;
- `guess_task`: what the graph is for, "text_to_image" or "inpaint", say;
- `model_files`: the checkpoints, LoRAs, embeddings and so on that it names, and whether they are
  installed;
- `missing_nodes`: the node classes that the server does not have;
- `picture_nodes`: the nodes that send their pictures over the websocket and save them nowhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..names import MODEL_FILE, find_name, without_number
from ..values import NOT_GIVEN
from .definitions import Definitions, InputSpec, last_part
from .input_names import PARAMETERS
from .links import TypedLink, Wiring
from .nodes import Graph, Target, graph_nodes, node_inputs, page_only_nodes, plain_title

# Files to work on. The widgets of known classes that name a file which somebody uploads, and the
# kind of that file.
FILE_WIDGETS: Mapping[str, tuple[str, str]] = {
    "LoadImage": ("image", "image"),
    "LoadImageMask": ("image", "mask"),
    "LoadImageOutput": ("image", "image"),
    "LoadVideo": ("file", "video"),
    "LoadAudio": ("audio", "audio"),
    "Load3D": ("model_file", "3d"),
    "Load3DAdvanced": ("model_file", "3d"),
    "Load3DAnimation": ("model_file", "3d"),
    "Painter": ("mask", "mask"),
    "VHS_LoadVideo": ("video", "video"),
    "VHS_LoadVideoFFmpeg": ("video", "video"),
    "VHS_LoadAudioUpload": ("audio", "audio"),
}
# Nodes of packages that are given a picture itself, as a text: their classes, and their inputs for
# it.
BASE64 = re.compile(r"load.*base64", re.IGNORECASE)
PICTURE_TEXT = re.compile(r"image|mask|.*base64.*", re.IGNORECASE)


@dataclass(frozen=True)
class FileInput:
    """A widget that names a file to upload, or takes it as a text."""

    target: Target
    kind: str  # of the file: "image", "mask", "video", "audio" or "3d"
    title: str  # of the node
    held: str = ""  # the file that it names now
    needed: bool = field(default=True, compare=False)  # some output depends on it
    # the picture's transparency is used as a mask as well
    masked: bool = field(default=False, compare=False)
    # the widget holds the file itself, as base64, and no name
    as_text: bool = field(default=False, compare=False)

    @property
    def takes_mask(self) -> bool:
        """Whether a mask goes here: as a file of its own, or as the picture's transparency."""
        return self.kind == "mask" or self.masked


def file_inputs(wiring: Wiring) -> tuple[FileInput, ...]:
    """The widgets of a graph that name files to upload, in the graph's order; those that nothing
    needs come last.
    """
    needed = wiring.needed()
    files: list[FileInput] = []
    for node_id in wiring.nodes:
        # A loader that runs for its own sake, to show what it loads, makes nothing that anybody
        # reads.
        is_needed = node_id in needed and bool(wiring.out_of[node_id])
        files += _files_of_node(wiring, node_id, is_needed)
    return tuple(sorted(files, key=lambda file: not file.needed))


def _files_of_node(wiring: Wiring, node_id: str, is_needed: bool) -> Iterator[FileInput]:
    """The widgets of one node that name files."""
    links = wiring.out_of[node_id]
    used_slots = {link.slot for link in links}
    # The second output of LoadImage is the picture's transparency, as a mask.
    masks = [
        link
        for link in links
        if link.slot == 1 and (used_slots == {1} or is_mask_read(wiring, link))
    ]
    uses_mask = wiring.class_type(node_id) == "LoadImage" and bool(masks)
    for name, kind in file_widgets(wiring, node_id).items():
        held = wiring.inputs(node_id).get(name, "")
        if not isinstance(held, str):
            continue
        if kind == "image" and uses_mask and used_slots == {1}:
            kind = "mask"
        target = Target(node_id, name)
        title = plain_title(wiring.nodes[node_id])
        masked = kind == "image" and uses_mask
        as_text = bool(BASE64.search(wiring.class_type(node_id)))
        yield FileInput(target, kind, title, "" if as_text else held, is_needed, masked, as_text)


def file_widgets(wiring: Wiring, node_id: str) -> dict[str, str]:
    """The widgets of a node that name files, each with the kind of file."""
    widgets: dict[str, str] = {}
    known = wiring.definition(node_id)
    if known:
        widgets = {name: spec.file for name, spec in known.inputs.items() if spec.file}
    class_type = wiring.class_type(node_id)
    if class_type in FILE_WIDGETS:
        name, kind = FILE_WIDGETS[class_type]
        widgets[name] = kind
    if BASE64.search(class_type):
        texts = [name for name, value in wiring.inputs(node_id).items() if isinstance(value, str)]
        widgets |= {
            name: "mask" if name == "mask" else "image"
            for name in texts
            if PICTURE_TEXT.fullmatch(name)
        }
    return widgets


# What output nodes make. Their class tells it first, then the types of what they give or are given,
# then words in the name of their class. The first match in each table counts.
OUTPUT_KINDS: Mapping[str, str] = {
    "SaveAnimatedPNG": "animation",
    "SaveAnimatedWEBP": "animation",
    "SaveWEBM": "video",
    "VHS_VideoCombine": "video",
    "SaveText": "text",
    "PreviewAny": "text",
    "ShowText|pysssss": "text",
    "SAM3_TrackPreview": "video",
    "Preview3D": "3d",
    "Preview3DAnimation": "3d",
    "SaveTrainingDataset": "other",
}

FILMS = {"video", "animation"}  # kinds that count by their seconds

TYPES_3D = re.compile(r"FILE_3D|MESH|VOXEL|_TASK_ID|POINT_CLOUD|SPLAT")
TYPE_KINDS = (
    (re.compile(r"VIDEO$"), "video"),
    (TYPES_3D, "3d"),
    (re.compile(r"AUDIO$"), "audio"),
    (re.compile(r"IMAGE$|MASK$|SVG$"), "image"),
    (re.compile(r"STRING$"), "text"),
    (re.compile(r"LATENT$"), "latent"),
)

NAME_KINDS = (
    (re.compile(r"video|webm", re.IGNORECASE), "video"),
    (re.compile(r"anim|gif|webp", re.IGNORECASE), "animation"),
    (re.compile(r"3d|glb|mesh|splat|pointcloud", re.IGNORECASE), "3d"),
    (re.compile(r"audio", re.IGNORECASE), "audio"),
    (re.compile(r"image|mask|svg|picture", re.IGNORECASE), "image"),
    (re.compile(r"text|string|any", re.IGNORECASE), "text"),
    (re.compile(r"latent", re.IGNORECASE), "latent"),
)

MODEL_SAVERS = re.compile(
    r"^(Checkpoint|CLIP|VAE|Model|Lora|ImageOnlyCheckpoint)Save|^SaveLoRA", re.IGNORECASE
)


def outputs(wiring: Wiring) -> tuple[tuple[str, str], ...]:
    """What a graph makes: the titles of its output nodes, each with "image", "animation", "video",
    "audio", "3d", "text", "latent" or "other". What is only shown counts only when nothing is
    saved.
    """
    return tuple((plain_title(wiring.nodes[node_id]), kind) for node_id, kind in made_by(wiring))


def made_by(wiring: Wiring) -> list[tuple[str, str]]:
    """The ids of the output nodes that `outputs` names by their titles, each with the kind of what
    it makes.
    """
    shown = [
        node_id
        for node_id in wiring.nodes
        if wiring.is_output(node_id) and not file_widgets(wiring, node_id)
    ]
    saved = [node_id for node_id in shown if not wiring.keeps_nothing(node_id)]
    return [(node_id, _made(wiring, node_id)) for node_id in saved or shown]


def _made(wiring: Wiring, node_id: str) -> str:
    """The kind of what an output node makes."""
    class_type = wiring.class_type(node_id)
    if class_type in OUTPUT_KINDS:
        return OUTPUT_KINDS[class_type]
    if MODEL_SAVERS.search(class_type):
        return "other"
    known = wiring.definition(node_id)
    # A node that makes a model in 3D itself tells so by its outputs; one that only saves, by what
    # it is given.
    if known and any_named(TYPES_3D, known.outputs):
        made_3d = [kind for kind in known.outputs if TYPES_3D.search(kind)]
        return _first_kind(made_3d, TYPE_KINDS)
    given = [link.type for link in wiring.into[node_id]]
    kind = _first_kind(given, TYPE_KINDS) or _first_kind([class_type], NAME_KINDS)
    if not kind and known and not any(given):
        taken = [spec.type for spec in known.inputs.values() if spec.type != "STRING"]
        kind = _first_kind(taken, TYPE_KINDS)
    if not kind and known:
        kind = _first_kind(known.outputs, TYPE_KINDS)
    return kind or "other"


def _first_kind(texts: Sequence[str], kinds: Sequence[tuple[re.Pattern[str], str]]) -> str:
    """The kind of the first pattern that any of these types or names matches, or ""."""
    for pattern, kind in kinds:
        if any_named(pattern, texts):
            return kind
    return ""


# What a graph is for. Words in the names of classes that a picture passes on its way through the
# graph: it is changed as asked
EDITING = re.compile(r"edit|kontext(?!ImageScale)|reference|omnigen|ipadapter", re.IGNORECASE)
# its outlines are kept
CONTROLLING = re.compile(r"controlnet|canny|depth|lotus|pose|lllite", re.IGNORECASE)
UPSCALERS = re.compile(r"seedvr|UltimateSDUpscale|SUPIR", re.IGNORECASE)  # it grows, by a sampler
# it grows, without one
UPSCALING = re.compile(r"upscale|enhance|ImageScaleBy|ImageFix|seedvr", re.IGNORECASE)

# the types by which a picture may reach a model
SHOWN_TO_MODEL = ("IMAGE", "MASK", "LATENT", "CLIP_VISION_OUTPUT", "")


def guess_task(wiring: Wiring) -> str:
    """What a graph is for, told by what it makes, the files it needs, and what lies between them.

    One of "text_to_image", "image_to_image", "image_edit", "inpaint", "upscale", "text_to_video",
    "image_to_video", "video_to_video", "text_to_audio", "image_to_3d", "text" and "other".
    """
    made = {kind for _, kind in outputs(wiring)}
    needed = wiring.needed()
    files = [file for file in file_inputs(wiring) if file.needed]
    given = {file.kind for file in files}
    if made & {"video", "animation"}:
        return _video_task(given)
    if "3d" in made and "image" in given:
        return "image_to_3d"
    if "3d" in made:
        return "other"
    if "audio" in made:
        return "other" if given else "text_to_audio"
    if "image" in made:
        return _picture_task(wiring, needed, files)
    if "text" in made:
        return "text"
    return "other"


def _video_task(given: set[str]) -> str:
    """What a graph that makes videos is for, by the kinds of the files that it needs."""
    if "video" in given:
        return "video_to_video"
    if "image" in given:
        return "image_to_video"
    return "text_to_video"


def _picture_task(wiring: Wiring, needed: Mapping[str, None], files: Sequence[FileInput]) -> str:
    """What a graph that makes pictures is for; `files` are the inputs that it needs."""
    is_sampled = any(wiring.uses_diffusion_model(node_id) for node_id in needed)
    makes_own = is_sampled or any(_has_prompt(wiring, node_id) for node_id in needed)
    if not files:
        return "text_to_image" if makes_own else "other"
    if any(file.kind not in ("image", "mask") for file in files):
        return "other"
    names = _classes_behind(wiring, needed, files)
    if _enlarges(names, is_sampled):
        return "upscale"
    if not makes_own:
        return "other"
    if masked(wiring, files, needed):
        return "inpaint"
    if not is_sampled or any_named(EDITING, names) or _conditions(wiring, files, names):
        return "image_edit"
    return "image_to_image"


def _classes_behind(
    wiring: Wiring, needed: Mapping[str, None], files: Sequence[FileInput]
) -> list[str]:
    """The classes of the needed nodes that these files reach, with those that load them."""
    reached = wiring.behind(file.target.node_id for file in files)
    return [wiring.class_type(node_id) for node_id in reached if node_id in needed]


def _enlarges(names: Sequence[str], is_sampled: bool) -> bool:
    """Whether nodes of these classes are there to make a picture larger. Before a sampler, that is
    only a step.
    """
    if any_named(UPSCALERS, names):
        return True
    return not is_sampled and any_named(UPSCALING, names)


def any_named(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    """Whether any of these names has a part that matches."""
    return any(pattern.search(name) for name in names)


def _has_prompt(wiring: Wiring, node_id: str) -> bool:
    """Whether a node has an input called "prompt", or "model.prompt", "positive" and the like."""
    return any(last_part(str(name)) in PARAMETERS["prompt"] for name in wiring.inputs(node_id))


def is_mask_read(wiring: Wiring, link: TypedLink) -> bool:
    """Whether a mask counts for anything at the end of a link. A node that gives a mask as well
    only passes it on, as one that resizes a picture with its mask does, and then somebody has to
    read that.
    """
    reached = {link.node}
    waiting = [link.node]
    for node_id in waiting:
        definition = wiring.definition(node_id)
        if definition is None or "MASK" not in definition.outputs:
            return True
        for onward in wiring.out_of[node_id]:
            if onward.type == "MASK" and onward.node not in reached:
                reached.add(onward.node)
                waiting.append(onward.node)
    return False


def masked(wiring: Wiring, files: Sequence[FileInput], needed: Mapping[str, None]) -> bool:
    """Whether a mask is used that one of these files brings, drawn, uploaded or as a picture's
    transparency.
    """
    for file in files:
        for link in wiring.out_of[file.target.node_id]:
            if link.type == "MASK" and link.node in needed and is_mask_read(wiring, link):
                return True
    return False


def _conditions(wiring: Wiring, files: Sequence[FileInput], names: Sequence[str]) -> bool:
    """Whether pictures are shown to the model as a whole, beside the text, not only as outlines or
    to start from.
    """
    if any_named(CONTROLLING, names):
        return False
    shown = wiring.behind((file.target.node_id for file in files), SHOWN_TO_MODEL)
    return any(_gives(wiring, node_id, "CONDITIONING") for node_id in shown)


def _gives(wiring: Wiring, node_id: str, kind: str) -> bool:
    """Whether a link of the type `kind` starts at a node."""
    return any(link.type == kind for link in wiring.out_of[node_id])


# Model files. The folder on the server that a widget's file lies in, by the widget's name or, where
# that is not enough, by "Class.name"; a number at the end of the name is left out ("lora_name_2").
MODEL_FOLDERS: Mapping[str, str] = {
    "audio_encoder_name": "audio_encoders",
    "bg_removal_name": "background_removal",
    "ckpt_name": "checkpoints",
    "clip_name": "text_encoders",
    "control_net_name": "controlnet",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "instantid_file": "instantid",
    "ipadapter_file": "ipadapter",
    "lora": "loras",
    "lora_name": "loras",
    "photomaker_model_name": "photomaker",
    "pulid_file": "pulid",
    "style_model_name": "style_models",
    "text_encoder": "text_encoders",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
    "ADE_LoadAnimateDiffModel.model_name": "animatediff_models",
    "CLIPVisionLoader.clip_name": "clip_vision",
    "DiffusersLoader.model_path": "diffusers",
    "FrameInterpolationModelLoader.model_name": "frame_interpolation",
    "LatentUpscaleModelLoader.model_name": "latent_upscale_models",
    "LoadDA3Model.model_name": "geometry_estimation",
    "LoadMediaPipeFaceLandmarker.model_name": "detection",
    "LoadMoGeModel.model_name": "geometry_estimation",
    "LoadWanVideoT5TextEncoder.model_name": "text_encoders",
    "ModelPatchLoader.name": "model_patches",
    "NunchakuFluxDiTLoader.model_path": "diffusion_models",
    "NunchakuQwenImageDiTLoader.model_name": "diffusion_models",
    "NunchakuZImageDiTLoader.model_name": "diffusion_models",
    "OpticalFlowLoader.model_name": "optical_flow",
    "SAMLoader.model_name": "sams",
    "UltralyticsDetectorProvider.model_name": "ultralytics",
    "UpscaleModelLoader.model_name": "upscale_models",
    "WanVideoModelLoader.model": "diffusion_models",
    "WanVideoVAELoader.model_name": "vae",
}

# what a widget for model files may hold without naming one
NO_MODEL_FILE = (*NOT_GIVEN, "pixel_space")
MAX_NAME = 300  # characters; a longer text is not the name of a file
# in a prompt, as "(embedding:easy:1.2)"
EMBEDDING = re.compile(r"embedding:([^\s,():|<>\"]+)", re.IGNORECASE)


@dataclass(frozen=True)
class ModelFile:
    """A model file that a graph names."""

    target: Target  # the widget that names it
    folder: str  # of the server that it belongs in: "loras"; "" when nothing tells
    file: str
    installed: bool | None = None  # None when the server has not said what it has


def model_files(graph: Graph, definitions: Definitions) -> tuple[ModelFile, ...]:
    """Every model file that a graph names, in widgets for such files, in rows of LoRAs, and as
    embeddings in texts.
    """
    files: list[ModelFile] = []
    reader = ModelFileReader(definitions)
    for node_id, node in graph_nodes(graph).items():
        inputs = node_inputs(node)
        for name, value in inputs.items():
            target = Target(node_id, str(name))
            if isinstance(value, str):
                embeddings = dict.fromkeys(EMBEDDING.findall(value))
                files += [ModelFile(target, "embeddings", file) for file in embeddings]
                files += reader.named(node["class_type"], target, value, inputs)
            elif isinstance(value, Mapping):
                files += _row_lora(target, value)
    return tuple(files)


def _row_lora(target: Target, row: Mapping[str, Any]) -> list[ModelFile]:
    """The LoRA of such a row: {"on": true, "lora": "a.safetensors", "strength": 1}; none of one
    that is off.
    """
    file = row.get("lora")
    if not isinstance(file, str) or file.lower() in NO_MODEL_FILE:
        return []
    if row.get("on") is False:
        return []
    return [ModelFile(target, "loras", file)]


class ModelFileReader:
    """Finds the model files that widgets name. Nodes of one class have the same widgets, so it
    looks each up once.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._is_for_models: dict[tuple[str, str], bool] = {}  # by class and widget
        self._installed: dict[tuple[str, str, str], bool] = {}  # by class, widget and file

    def named(
        self, class_type: str, target: Target, value: str, inputs: Mapping[str, Any]
    ) -> list[ModelFile]:
        """The model file that a widget with this value names, if it names one."""
        if not _may_name_file(value):
            return []
        known = self.definitions.get(class_type)
        spec = known.spec(target.input, inputs) if known else None
        folder = model_folder(class_type, target.input)
        widget = (class_type, target.input)
        if widget not in self._is_for_models:
            self._is_for_models[widget] = bool(folder) or lists_models(spec)
        if not self._is_for_models[widget] and not MODEL_FILE.search(value):
            return []
        is_installed = self._is_installed(widget, spec, value)
        return [ModelFile(target, folder, value, is_installed)]

    def _is_installed(
        self, widget: tuple[str, str], spec: InputSpec | None, file: str
    ) -> bool | None:
        """Whether the server has a file, or None when it has not said what it has."""
        if spec is None or spec.type != "COMBO":
            return None
        key = (*widget, file)
        if key not in self._installed:
            self._installed[key] = find_name(file, spec.names) is not None
        return self._installed[key]


def _may_name_file(value: str) -> bool:
    """Whether a widget's text may be the name of a file, by its looks."""
    if len(value) > MAX_NAME or "\n" in value or "://" in value:
        return False
    return value.strip().lower() not in NO_MODEL_FILE


def model_folder(class_type: str, name: str) -> str:
    """The folder that a widget's model file lies in, or "" when it is not known to name one."""
    plain = without_number(name)
    full_name = f"{class_type}.{plain}"
    if full_name in MODEL_FOLDERS:
        return MODEL_FOLDERS[full_name]
    if "load" not in class_type.lower():
        return ""
    return MODEL_FOLDERS.get(plain, "")


def lists_models(spec: InputSpec | None) -> bool:
    """Whether what a widget offers is mostly model files."""
    if spec is None:
        return False
    files = [name for name in spec.names if MODEL_FILE.search(name)]
    return 2 * len(files) > len(spec.choices)


def missing_nodes(graph: Graph, definitions: Definitions) -> tuple[str, ...]:
    """The classes that a graph uses and the server does not have, in alphabetical order; without
    remarks and switches that exist on the page only.
    """
    nodes = graph_nodes(graph)
    if all(node["class_type"] in definitions for node in nodes.values()):
        return ()
    idle = page_only_nodes(graph)
    used = {node["class_type"] for node_id, node in nodes.items() if node_id not in idle}
    return tuple(sorted(used - definitions.keys()))


def picture_nodes(graph: Graph) -> frozenset[str]:
    """The nodes that send their pictures over the websocket and save them nowhere."""
    return frozenset(
        key for key, node in graph.items() if node["class_type"] == "SaveImageWebsocket"
    )
