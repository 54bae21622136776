"""What inputs are called that hold a parameter, somebody's words, or a value for another node.

`PARAMETERS` lists for each parameter the names of its inputs, in ComfyUI's own and in common custom
nodes. Where the server's node definitions do not tell what an input takes, its name has to:
`words_in` tells by it which side's words it takes.

    words_in("model.Positive_Prompt") == "positive"
    words_in("neg_text") == "negative"
    words_in("steps") == ""
"""

import functools
import re
from collections.abc import Mapping

from .definitions import SEED_INPUTS, last_part

# For each parameter the names of the inputs that hold it, likeliest first.
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "positive", "positive_prompt"),
    "negative_prompt": ("negative_prompt", "negative"),
    "lyrics": ("lyrics",),
    "seed": SEED_INPUTS,
    "steps": ("steps", "num_steps", "num_inference_steps"),
    "guidance": (
        *("guidance", "cfg", "guidance_scale", "cfg_scale", "cfg_conds", "true_gs"),
        *("embedded_guidance_scale", "cfg_scale_start"),
    ),
    "sampler": ("sampler_name", "sampler"),
    "scheduler": ("scheduler", "scheduler_name"),
    "denoise": ("denoise", "denoise_strength"),
    "width": (
        "width",
        "empty_latent_width",
        "resize_type.width",
        "target_width",
        "generation_width",
    ),
    "height": (
        "height",
        "empty_latent_height",
        "resize_type.height",
        "target_height",
        "generation_height",
    ),
    "aspect_ratio": ("aspect_ratio", "ratio"),
    "resolution": ("resolution",),
    "size": ("size", "size_preset", "dimensions"),
    "batch_size": ("batch_size", "num_images", "number_of_images", "n"),
    "length": (
        "length",
        "num_frames",
        "video_frames",
        "frames",
        "frames_number",
        "frame_count",
        "video_length",
    ),
    "fps": ("fps", "frame_rate"),
    "seconds": ("seconds", "duration", "duration_seconds", "max_duration", "seconds_total"),
    "model": (
        *(
            "ckpt_name",
            "unet_name",
            "gguf_name",
            "model_name",
            "base_ckpt_name",
            "model_path",
            "model",
            "checkpoint",
        ),
    ),
}


# The inputs for width and height that belong together, and all by which a node that makes an empty
# latent is known.
SIZE_INPUTS = tuple(zip(PARAMETERS["width"], PARAMETERS["height"], strict=True))
LATENT_INPUTS = {
    *PARAMETERS["width"],
    *PARAMETERS["length"],
    *PARAMETERS["seconds"],
    *PARAMETERS["batch_size"],
}

# Parameters that hold somebody's words, and those that hold a text but one out of a list.
TEXTS = ("prompt", "negative_prompt", "lyrics")
PRESETS = ("aspect_ratio", "resolution", "size")  # each may stand for a width and height
CHOICES = ("sampler", "scheduler", "aspect_ratio", "resolution", "size", "model")

# What inputs are called that hold somebody's words, and those of the negative side.
PROMPT_INPUT = re.compile(
    r"(?!(system|structured|style|extra|texture)_)([a-z0-9]+_)?prompts?(_(text|positive|[gl]|[0-9]+))?"
    r"|(positive_|user_|main_)?(text|caption|tags|string)(_?([gl]|[0-9]+|positive))?"
    r"|positive|clip_[lg]|t5xxl|llama|bert|mt5xl|wildcard_text|populated_text|description"
)
NEGATIVE_INPUT = re.compile(r"(^|_)neg(ative)?(_|$)")

# Other inputs that hold texts: those that may be part of a prompt, and those that never are.
STRING_INPUT = re.compile(
    r"value|string_?[a-z0-9]?|text_?[a-z0-9]?|str|input|replace|content|[a-d]"
)
OTHER_STRING = re.compile(
    r"find|.*pattern.*|delimiter|separator|.*json.*|(.*_)?key|mode|system.*|.*file.*|.*path|option\d+|.*url"
    r"|(.*_)?model(_name)?|language|device"
)
# what a node showed last, kept in files; the server does not read it
SHOWN_ONCE = re.compile(r"text_\d+")

# Inputs that stand out on the way upstream.
# of a node that only holds a value
VALUE_INPUTS = ("value", "text", "string", "int", "float", "number")
# of a node that shows whatever it is given, and passes it on
ANYTHING = re.compile(r"any(?:thing)?")
# rgthree's contexts, which carry everything at once
CONTEXT_INPUT = re.compile(r"base_ctx|ctx_\d+")


@functools.lru_cache(4096)
def words_in(name: str) -> str:
    """The side whose words an input takes, told by its name: "positive", "negative", or "" when it
    takes none.
    """
    last = last_part(name).lower()
    if NEGATIVE_INPUT.search(last):
        return "negative"
    if PROMPT_INPUT.fullmatch(last):
        return "positive"
    return ""
