"""What differs between the two releases that were recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MAX_UPLOAD = 100 * 1024 * 1024
MEMORY = 24 * 1024**3  # bytes
DEFINITIONS = Path(__file__).with_name("definitions.json")

FOLDERS_OF_BOTH = """
checkpoints configs loras vae text_encoders diffusion_models clip_vision style_models embeddings diffusers vae_approx
controlnet gligen upscale_models"""
OLD_FOLDERS = f"{FOLDERS_OF_BOTH} custom_nodes hypernetworks photomaker classifiers model_patches audio_encoders"
NEW_FOLDERS = f"""{FOLDERS_OF_BOTH} latent_upscale_models custom_nodes datasets hypernetworks photomaker classifiers
model_patches audio_encoders background_removal frame_interpolation geometry_estimation optical_flow detection"""


@dataclass(frozen=True)
class Release:
    version: str
    preview_method: str  # of the servers that were recorded
    features: dict[str, Any]
    folders: tuple[str, ...]
    system: dict[str, Any]
    thinned_progress: bool  # without previews at most one `progress` in 0.1 s
    preview_method_per_prompt: bool
    polls_while_decoding: bool
    newer_validation: bool
    refuses_cross_site: bool
    uuid_prompt_ids: bool
    jobs: bool
    forgets_at_start: bool  # results that this prompt does not use; else when its first node has run
    milliseconds: bool  # file times of /userdata
    downloaded: tuple[str, ...]  # files that a browser shall not show
    guards_downloads: bool  # and is told so with more headers

    @property
    def definitions(self) -> dict[str, dict[str, Any]]:
        return _definitions()[self.version]


@cache
def _definitions() -> dict[str, dict[str, dict[str, Any]]]:
    definitions: dict[str, dict[str, dict[str, Any]]] = json.loads(DEFINITIONS.read_text())
    return definitions


OLD = Release(
    version="0.3.64",
    preview_method="auto",
    features={"supports_preview_metadata": True, "max_upload_size": MAX_UPLOAD},
    folders=tuple(OLD_FOLDERS.split()),
    system={
        "os": "posix",
        "required_frontend_version": "1.27.10",
        "installed_templates_version": "0.1.95",
        "required_templates_version": "0.1.95",
    },
    thinned_progress=False,
    preview_method_per_prompt=False,
    polls_while_decoding=False,
    newer_validation=False,
    refuses_cross_site=False,
    uuid_prompt_ids=False,
    jobs=False,
    forgets_at_start=True,
    milliseconds=False,
    downloaded=(".html", ".htm", ".css"),
    guards_downloads=False,
)

NEW = Release(
    version="0.33.0",
    preview_method="none",
    features={
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": MAX_UPLOAD,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    },
    folders=tuple(NEW_FOLDERS.split()),
    system={
        "os": "linux",
        "required_frontend_version": "1.49.6",
        "installed_templates_version": "0.11.44",
        "required_templates_version": "0.11.44",
        "comfy_package_versions": [{"name": "comfyui-frontend-package", "installed": "1.49.6", "required": "1.49.6"}],
        "deploy_environment": "local-git",
    },
    thinned_progress=True,
    preview_method_per_prompt=True,
    polls_while_decoding=True,
    newer_validation=True,
    refuses_cross_site=True,
    uuid_prompt_ids=True,
    jobs=True,
    forgets_at_start=False,
    milliseconds=True,
    downloaded=(".html", ".htm", ".css", ".js", ".svg", ".xml"),
    guards_downloads=True,
)

RELEASES = {release.version: release for release in (OLD, NEW)}
