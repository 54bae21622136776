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

CUSTOM_NODES = {"VHS_VideoCombine": VIDEO_COMBINE}
