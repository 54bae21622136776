"""Types of links: which of them say what a link carries, and how an input's name tells its type.

A node's definition gives every input and output a type ("MODEL", "LATENT", "*"). Some types say
nothing (`ANY_TYPE`), and a custom node may call its own what it likes (`KNOWN_TYPES` are the
others). Where the server gives no definition, `guessed_type` goes by the input's name:
"latent_image2" takes a LATENT. The names are those of ComfyUI's own nodes and of common custom
ones.
"""

import functools
from collections.abc import Mapping

from .definitions import AUTOGROW, DYNAMIC_COMBO, last_part

# The names of inputs, in lower case and without their numbers, that take a type of link.
_NAMES_BY_TYPE = {
    "MODEL": "model model_negative base_model",
    "CLIP": "clip",
    "VAE": "vae audio_vae",
    "CONDITIONING": "positive negative conditioning cond conditioning_to conditioning_from",
    "LATENT": "latent latent_image samples video_latent audio_latent av_latent image_embeds",
    "IMAGE": "image images pixels start_image end_image control_image reference_image input_image",
    "MASK": "mask masks",
    "NOISE": "noise",
    "GUIDER": "guider",
    "SAMPLER": "sampler",
    "SIGMAS": "sigmas",
    "AUDIO": "audio",
    "VIDEO": "video",
    "CONTROL_NET": "control_net",
    "CLIP_VISION": "clip_vision",
    "CLIP_VISION_OUTPUT": "clip_vision_output",
    "STYLE_MODEL": "style_model",
    "UPSCALE_MODEL": "upscale_model",
    "MODEL_PATCH": "model_patch",
}
GUESSED_TYPES: Mapping[str, str] = {
    name: kind for kind, names in _NAMES_BY_TYPE.items() for name in names.split()
}


@functools.lru_cache(4096)
def guessed_type(name: str) -> str:
    """The type of link that an input takes, judging by its name; "" where that tells nothing."""
    last = last_part(name).lower()
    return GUESSED_TYPES.get(last.rstrip("0123456789_"), "")


# Types that do not tell what a link carries; all but "" are types of inputs and outputs that carry
# what they are given.
ANY_TYPE = ("", "*", "COMFY_MATCHTYPE_V3", AUTOGROW, DYNAMIC_COMBO)
OPEN_TYPES = tuple(kind for kind in ANY_TYPE if kind)
# Types whose meaning is known here; any other may be a custom node's name for anything.
KNOWN_TYPES = {*GUESSED_TYPES.values(), "STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "MESH", "SVG"}
# Types of what a run makes, and of numbers and choices.
MEDIA = ("IMAGE", "VIDEO", "AUDIO", "MESH", "SVG")
VALUE_TYPES = ("INT", "FLOAT", "COMBO")
