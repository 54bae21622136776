"""What a graph needs, what it makes, and what it is for.

All of it is read from a graph in the API format and the server's node definitions. Where there are none, tables of
class and widget names do, of ComfyUI's own nodes and of common custom ones:

- `file_inputs`: the widgets that name a picture, mask, video or sound to upload, such as `image` of LoadImage;
- `outputs`: the output nodes, each with the kind of file that it makes;
- `guess_task`: what the graph is for, "text_to_image" or "inpaint", say;
- `model_files`: the checkpoints, LoRAs, embeddings and so on that it names, and whether they are installed;
- `missing_nodes`: the node classes that the server does not have;
- `picture_nodes`: the nodes that send their pictures over the websocket and save them nowhere.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..names import MODEL_FILE, find_name, without_number
from ..values import NOT_GIVEN
from .definitions import Definitions, InputSpec
from .links import Wiring
from .nodes import Graph, Target, graph_nodes, node_inputs, plain_title

# Files to work on. The widgets of known classes that name a file which somebody uploads, and the kind of that file.
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


@dataclass(frozen=True)
class FileInput:
    """A widget that names a file to upload."""

    target: Target
    kind: str  # of the file: "image", "mask", "video", "audio" or "3d"
    title: str  # of the node
    held: str = ""  # the file that it names now
    needed: bool = field(default=True, compare=False)  # some output depends on it
    masked: bool = field(default=False, compare=False)  # the picture's transparency is used as a mask as well

    @property
    def takes_mask(self) -> bool:
        """Whether a mask goes here: as a file of its own, or as the picture's transparency."""
        return self.kind == "mask" or self.masked


def file_inputs(wiring: Wiring) -> tuple[FileInput, ...]:
    """The widgets of a graph that name files to upload, in the graph's order; those that nothing needs come last."""
    needed = wiring.needed()
    files: list[FileInput] = []
    for node_id, node in wiring.nodes.items():
        for name, declared_kind in _file_widgets(wiring, node_id).items():
            held = wiring.inputs(node_id).get(name, "")
            if not isinstance(held, str):
                continue
            kind = _file_kind(wiring, node_id, declared_kind)
            is_masked = kind == "image" and _has_mask(wiring, node_id)
            target = Target(node_id, name)
            files.append(FileInput(target, kind, plain_title(node), held, node_id in needed, is_masked))
    return tuple(sorted(files, key=lambda file: not file.needed))


def _file_widgets(wiring: Wiring, node_id: str) -> dict[str, str]:
    """The widgets of a node that name files, each with the kind of file."""
    known = wiring.definition(node_id)
    widgets = {name: spec.file for name, spec in known.inputs.items() if spec.file} if known else {}
    name, kind = FILE_WIDGETS.get(wiring.class_type(node_id), ("", ""))
    return {**widgets, name: kind} if name else widgets


def _file_kind(wiring: Wiring, node_id: str, kind: str) -> str:
    """The kind of a file: a picture of which only the mask is used counts as a mask."""
    if kind != "image" or not _has_mask(wiring, node_id):
        return kind
    is_picture_used = any(link.slot != 1 for link in wiring.out_of[node_id])
    return "image" if is_picture_used else "mask"


def _has_mask(wiring: Wiring, node_id: str) -> bool:
    """Whether a node is a LoadImage whose second output is used: the picture's transparency as a mask."""
    return wiring.class_type(node_id) == "LoadImage" and any(link.slot == 1 for link in wiring.out_of[node_id])


# What output nodes make is told first by their class, then by the types of what they give or are given, then by words
# in their class's name, the first match in each table.
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

MODEL_SAVERS = re.compile(r"^(Checkpoint|CLIP|VAE|Model|Lora|ImageOnlyCheckpoint)Save|^SaveLoRA", re.IGNORECASE)


def outputs(wiring: Wiring) -> tuple[tuple[str, str], ...]:
    """What a graph makes: the titles of its output nodes, each with "image", "animation", "video", "audio", "3d",
    "text", "latent" or "other". What is only shown counts only when nothing is saved."""
    shown = [node_id for node_id in wiring.nodes if wiring.is_output(node_id)]
    saved = [node_id for node_id in shown if not wiring.keeps_nothing(node_id)]
    return tuple((plain_title(wiring.nodes[node_id]), _made(wiring, node_id)) for node_id in saved or shown)


def _made(wiring: Wiring, node_id: str) -> str:
    """The kind of what an output node makes."""
    name = wiring.class_type(node_id)
    known = wiring.definition(node_id)
    if name in OUTPUT_KINDS or MODEL_SAVERS.search(name):
        return OUTPUT_KINDS.get(name, "other")
    # A node that makes a model in 3D itself tells so by its outputs; one that only saves, by what it is given.
    if known and any(TYPES_3D.search(kind) for kind in known.outputs):
        given = [kind for kind in known.outputs if TYPES_3D.search(kind)]
        return _first_kind(given, TYPE_KINDS)
    given = [link.type for link in wiring.into[node_id]]
    taken: list[str] = []
    if known and not any(given):
        taken = [spec.type for spec in known.inputs.values() if spec.type != "STRING"]
    return (
        _first_kind(given, TYPE_KINDS) or _first_kind([name], NAME_KINDS) or _first_kind(taken, TYPE_KINDS) or "other"
    )


def _first_kind(texts: Sequence[str], kinds: Sequence[tuple[re.Pattern[str], str]]) -> str:
    """The kind of the first pattern that any of these types or names matches, or ""."""
    for pattern, kind in kinds:
        if any_named(pattern, texts):
            return kind
    return ""


# What a graph is for. Words in the names of classes that a picture passes on its way through the graph:
EDITING = re.compile(r"edit|kontext(?!ImageScale)|reference|omnigen|ipadapter", re.IGNORECASE)  # it is changed as asked
CONTROLLING = re.compile(r"controlnet|canny|depth|lotus|pose|lllite", re.IGNORECASE)  # its outlines are kept
UPSCALERS = re.compile(r"seedvr|UltimateSDUpscale|SUPIR", re.IGNORECASE)  # it grows, by a sampler
UPSCALING = re.compile(r"upscale|enhance|ImageScaleBy|ImageFix|seedvr", re.IGNORECASE)  # it grows, without one

SHOWN_TO_MODEL = ("IMAGE", "MASK", "LATENT", "CLIP_VISION_OUTPUT", "")  # what it becomes on its way


def guess_task(wiring: Wiring) -> str:
    """What a graph is for, told by what it makes, the files it needs, and what lies between them.

    One of "text_to_image", "image_to_image", "image_edit", "inpaint", "upscale", "text_to_video", "image_to_video",
    "video_to_video", "text_to_audio", "image_to_3d", "text" and "other".
    """
    made = {kind for _, kind in outputs(wiring)}
    needed = wiring.needed()
    files = [file for file in file_inputs(wiring) if file.needed]
    given = {file.kind for file in files}
    if made & {"video", "animation"}:
        if "video" in given:
            return "video_to_video"
        return "image_to_video" if "image" in given else "text_to_video"
    if "3d" in made:
        return "image_to_3d" if "image" in given else "other"
    if "audio" in made:
        return "other" if given else "text_to_audio"
    if "image" in made:
        return _picture_task(wiring, needed, files)
    return "text" if "text" in made else "other"


def _picture_task(wiring: Wiring, needed: Mapping[str, None], files: Sequence[FileInput]) -> str:
    """What a graph that makes pictures is for; `files` are the inputs that it needs."""
    is_sampled = any(wiring.uses_diffusion_model(node_id) for node_id in needed)
    makes_own = is_sampled or any(_has_prompt(wiring, node_id) for node_id in needed)
    if not files:
        return "text_to_image" if makes_own else "other"
    if not {file.kind for file in files} <= {"image", "mask"}:
        return "other"
    used = [node_id for node_id in wiring.behind(file.target.node_id for file in files) if node_id in needed]
    names = [wiring.class_type(node_id) for node_id in used]
    if any_named(UPSCALERS, names) or (not is_sampled and any_named(UPSCALING, names)):
        return "upscale"
    if not makes_own:
        return "other"
    if masked(wiring, files, needed):
        return "inpaint"
    is_edit = not is_sampled or any_named(EDITING, names) or _conditions(wiring, files, names)
    return "image_edit" if is_edit else "image_to_image"


def any_named(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    """Whether any of these names has a part that matches."""
    return any(map(pattern.search, names))


def _has_prompt(wiring: Wiring, node_id: str) -> bool:
    """Whether a node has an input called "prompt", or "model.prompt" and the like."""
    return any(str(name).rsplit(".", 1)[-1] == "prompt" for name in wiring.inputs(node_id))


def masked(wiring: Wiring, files: Sequence[FileInput], needed: Mapping[str, None]) -> bool:
    """Whether a mask is used that one of these files brings, drawn, uploaded or as a picture's transparency."""
    drawn = {file.target.node_id for file in files}
    return any(link.type == "MASK" and link.node in needed for node_id in drawn for link in wiring.out_of[node_id])


def _conditions(wiring: Wiring, files: Sequence[FileInput], names: Sequence[str]) -> bool:
    """Whether pictures are shown to the model as a whole, beside the text, not only as outlines or to start from."""
    if any_named(CONTROLLING, names):
        return False
    shown = wiring.behind((file.target.node_id for file in files), SHOWN_TO_MODEL)
    return any(link.type == "CONDITIONING" for node_id in shown for link in wiring.out_of[node_id])


# Model files. The folder on the server that a widget's file lies in, by the widget's name or, where that is not enough,
# by "Class.name"; a number at the end of the name is left out ("lora_name_2").
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
    "OpticalFlowLoader.model_name": "optical_flow",
    "SAMLoader.model_name": "sams",
    "UltralyticsDetectorProvider.model_name": "ultralytics",
    "UpscaleModelLoader.model_name": "upscale_models",
    "WanVideoModelLoader.model": "diffusion_models",
    "WanVideoVAELoader.model_name": "vae",
}

NO_MODEL_FILE = (*NOT_GIVEN, "pixel_space")  # what a widget for model files may hold without naming one
MAX_NAME = 300  # characters; a longer text is not the name of a file
EMBEDDING = re.compile(r"embedding:([^\s,():|<>\"]+)", re.IGNORECASE)  # in a prompt, as "(embedding:easy:1.2)"


@dataclass(frozen=True)
class ModelFile:
    """A model file that a graph names."""

    target: Target  # the widget that names it
    folder: str  # of the server that it belongs in: "loras"; "" when nothing tells
    file: str
    installed: bool | None = None  # None when the server has not said what it has


def model_files(graph: Graph, definitions: Definitions) -> tuple[ModelFile, ...]:
    """Every model file that a graph names, in widgets for such files, in rows of LoRAs, and as embeddings in texts."""
    files: list[ModelFile] = []
    reader = ModelFileReader(definitions)
    for node_id, node in graph_nodes(graph).items():
        inputs = node_inputs(node)
        for name, value in inputs.items():
            target = Target(node_id, str(name))
            if isinstance(value, str):
                files += [ModelFile(target, "embeddings", file) for file in dict.fromkeys(EMBEDDING.findall(value))]
                files += reader.named(node["class_type"], target, value, inputs)
            elif isinstance(value, Mapping):
                files += _row_lora(target, value)
    return tuple(files)


def _row_lora(target: Target, row: Mapping[str, Any]) -> list[ModelFile]:
    """The LoRA of such a row: {"on": true, "lora": "a.safetensors", "strength": 1}; none of one that is off."""
    file = row.get("lora")
    if not isinstance(file, str) or row.get("on") is False or file.lower() in NO_MODEL_FILE:
        return []
    return [ModelFile(target, "loras", file)]


class ModelFileReader:
    """Tells the model files in widgets. What it found out about a class's widget or a file counts for all nodes."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._is_for_models: dict[tuple[str, str], bool] = {}  # by class and widget
        self._installed: dict[tuple[str, str, str], bool] = {}  # by class, widget and file

    def named(self, class_type: str, target: Target, value: str, inputs: Mapping[str, Any]) -> list[ModelFile]:
        """The model file that a widget with this value names, if it names one."""
        if len(value) > MAX_NAME or "\n" in value or "://" in value or value.strip().lower() in NO_MODEL_FILE:
            return []
        known = self.definitions.get(class_type)
        spec = known.spec(target.input, inputs) if known else None
        folder = model_folder(class_type, target.input)
        key = (class_type, target.input)
        if key not in self._is_for_models:
            self._is_for_models[key] = bool(folder) or (spec is not None and lists_models(spec))
        if not self._is_for_models[key] and not MODEL_FILE.search(value):
            return []
        return [ModelFile(target, folder, value, self._is_installed(key, spec, value))]

    def _is_installed(self, widget: tuple[str, str], spec: InputSpec | None, file: str) -> bool | None:
        """Whether the server has a file, or None when it has not said what it has."""
        if spec is None or spec.type != "COMBO":
            return None
        key = (*widget, file)
        if key not in self._installed:
            self._installed[key] = find_name(file, spec.names) is not None
        return self._installed[key]


def model_folder(class_type: str, name: str) -> str:
    """The folder that a widget's model file lies in, or "" when it is not known to name one."""
    plain = without_number(name)
    usual = MODEL_FOLDERS.get(plain, "") if "load" in class_type.lower() else ""
    return MODEL_FOLDERS.get(f"{class_type}.{plain}", usual)


def lists_models(spec: InputSpec) -> bool:
    """Whether what a widget offers is mostly model files."""
    return 2 * sum(bool(MODEL_FILE.search(name)) for name in spec.names) > len(spec.choices)


def missing_nodes(graph: Graph, definitions: Definitions) -> tuple[str, ...]:
    """The classes that a graph uses and the server does not have, in alphabetical order."""
    nodes = graph_nodes(graph).values()
    return tuple(sorted({node["class_type"] for node in nodes if node["class_type"] not in definitions}))


def picture_nodes(graph: Graph) -> frozenset[str]:
    """The nodes that send their pictures over the websocket and save them nowhere."""
    return frozenset(key for key, node in graph.items() if node["class_type"] == "SaveImageWebsocket")
