"""Definitions of nodes that do not come with ComfyUI, for `StandIn(custom_nodes=…)`."""

from __future__ import annotations

from typing import Any

VIDEO_COMBINE: dict[str, Any] = {
    "input": {
        "required": {
            "images": ["IMAGE"],
            "frame_rate": ["FLOAT", {"default": 8, "min": 1, "step": 1}],
            "loop_count": ["INT", {"default": 0, "min": 0, "max": 100, "step": 1}],
            "filename_prefix": ["STRING", {"default": "AnimateDiff"}],
            "format": [["image/gif", "image/webp", "video/h264-mp4", "video/webm"]],
            "pingpong": ["BOOLEAN", {"default": False}],
            "save_output": ["BOOLEAN", {"default": True}],
        },
        "optional": {"audio": ["AUDIO"], "vae": ["VAE"]},
        "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO", "unique_id": "UNIQUE_ID"},
    },
    "input_order": {
        "required": [
            "images",
            "frame_rate",
            "loop_count",
            "filename_prefix",
            "format",
            "pingpong",
            "save_output",
        ],
        "optional": ["audio", "vae"],
        "hidden": ["prompt", "extra_pnginfo", "unique_id"],
    },
    "output": ["VHS_FILENAMES"],
    "output_is_list": [False],
    "output_name": ["Filenames"],
    "name": "VHS_VideoCombine",
    "display_name": "Video Combine",
    "description": "",
    "python_module": "custom_nodes.video",
    "category": "",
    "output_node": True,
}


def partner(expression: str | None, **widgets: list[Any]) -> dict[str, Any]:
    """A partner node that makes a picture, as ComfyUI 0.33.0 describes those of its own: with a price badge, or with
    none where there is no expression. It reads all widgets but the prompt."""
    takes: dict[str, list[Any]] = {"prompt": ["STRING", {"default": "", "multiline": True}], **widgets}
    badge = None
    if expression is not None:
        depends = {"widgets": [{"name": name, "type": spec[0]} for name, spec in widgets.items()]}
        badge = {
            "engine": "jsonata",
            "depends_on": {**depends, "inputs": [], "input_groups": []},
            "expr": expression,
        }
    hidden = {name: [name.upper()] for name in ("auth_token_comfy_org", "api_key_comfy_org", "unique_id")}
    return {
        "input": {"required": takes, "optional": {"image": ["IMAGE", {}]}, "hidden": hidden},
        "input_order": {"required": list(takes), "optional": ["image"], "hidden": list(hidden)},
        "is_input_list": False,
        "output": ["IMAGE"],
        "output_is_list": [False],
        "output_name": ["IMAGE"],
        "name": "",
        "display_name": "",
        "description": "",
        "python_module": "comfy_api_nodes.nodes_tests",
        "category": "partner/image",
        "output_node": False,
        "deprecated": False,
        "experimental": False,
        "api_node": True,
        "price_badge": badge,
    }


_QUALITY = ["COMBO", {"options": ["Low", "High"], "default": "Low"}]
_COUNT = ["INT", {"default": 1, "min": 1, "max": 10}]
_SEED = ["INT", {"default": 0, "min": 0, "max": 2147483647, "control_after_generate": True}]

PARTNER_NODES = {
    # $0.04 a picture, or $0.3 in high quality
    "PartnerImage": partner(
        '($each := widgets.quality = "high" ? 0.3 : 0.04; {"type":"usd","usd": $each * widgets.n})',
        quality=_QUALITY,
        n=_COUNT,
        seed=_SEED,
    ),
    "PartnerFixed": partner('{"type":"usd","usd":0.04}', seed=_SEED),
    "PartnerPerSecond": partner('{"type":"usd","usd":0.05,"format":{"suffix":"/second"}}', seed=_SEED),
    "PartnerSilent": partner(None, seed=_SEED),
}
# As 0.3.64 describes one, which knows of no prices.
OLD_PARTNER_NODES = {
    "PartnerImage": {name: value for name, value in PARTNER_NODES["PartnerImage"].items() if name != "price_badge"}
}

CUSTOM_NODES = {"VHS_VideoCombine": VIDEO_COMBINE}


def loads(kind: str, optional: dict[str, Any] | None = None, **required: Any) -> dict[str, Any]:
    """The definition of a node that loads something of this kind."""
    inputs = {"required": required, "optional": optional or {}}
    return {"input": inputs, "output": [kind], "output_node": False, "python_module": "custom_nodes.small"}


ENCODERS = ["@text_encoders", "@clip_gguf"]
ENCODER_TYPES = ["sd3", "wan", "qwen_image", "flux", "lumina2", "flux2"]
LORA = {"model": ["MODEL", {}], "lora_name": [["@loras"]], "lora_strength": ["FLOAT", {"default": 1.0}]}
GGUF_NODES = {
    "UnetLoaderGGUF": loads("MODEL", unet_name=[["@unet_gguf"]]),
    "CLIPLoaderGGUF": loads("CLIP", clip_name=[ENCODERS], type=[ENCODER_TYPES]),
    "DualCLIPLoaderGGUF": loads("CLIP", clip_name1=[ENCODERS], clip_name2=[ENCODERS], type=[ENCODER_TYPES]),
    "TripleCLIPLoaderGGUF": loads("CLIP", clip_name1=[ENCODERS], clip_name2=[ENCODERS], clip_name3=[ENCODERS]),
}
NUNCHAKU_NODES = {
    "NunchakuFluxDiTLoader": loads(
        "MODEL",
        {"i2f_mode": [["enabled", "always"], {"default": "enabled"}]},
        model_path=[["@diffusion_models"], {}],
        cache_threshold=["FLOAT", {"default": 0, "min": 0, "max": 1, "step": 0.001}],
        attention=[["nunchaku-fp16", "flash-attention2"], {"default": "nunchaku-fp16"}],
        cpu_offload=[["auto", "enable", "disable"], {"default": "auto"}],
        device_id=["INT", {"default": 0, "min": 0, "max": 1}],
        data_type=[["bfloat16", "float16"], {"default": "bfloat16"}],
    ),
    "NunchakuQwenImageDiTLoader": loads(
        "MODEL",
        {"num_blocks_on_gpu": ["INT", {"default": 1, "min": 1, "max": 60}]},
        model_name=[["@diffusion_models"], {}],
        cpu_offload=[["auto", "enable", "disable"], {"default": "auto"}],
    ),
    "NunchakuTextEncoderLoaderV2": loads(
        "CLIP",
        model_type=[["flux.1"]],
        text_encoder1=[["@text_encoders"]],
        text_encoder2=[["@text_encoders"]],
        t5_min_length=["INT", {"default": 512, "min": 256, "max": 1024}],
    ),
    "NunchakuFluxLoraLoader": loads("MODEL", **LORA),
}


def _passing(name: str, kind: str, **widgets: list[Any]) -> dict[str, Any]:
    """A node with these widgets that passes on what it gets of one kind."""
    inputs = {"source": [kind], **widgets}
    return {
        "input": {"required": inputs},
        "input_order": {"required": list(inputs)},
        "output": [kind],
        "output_is_list": [False],
        "output_name": [kind],
        "name": name,
        "display_name": name,
        "description": "",
        "python_module": "custom_nodes.passing",
        "category": "",
        "output_node": False,
    }


# A node that speaks, and one whose size is a choice out of a list.
SPEAKING_NODES = {
    "Speak": _passing("Speak", "AUDIO", text=["STRING", {}], speed=["FLOAT", {"min": 0.5, "max": 2.0}]),
    "Ratio": _passing("Ratio", "IMAGE", prompt=["STRING", {}], aspect_ratio=[["1:1", "16:9", "9:16"]]),
}
