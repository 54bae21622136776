"""Reduce two real /object_info answers to what the stand-in needs.

    python -m tests.support.recorded.definitions 0.3.64=path/object_info.json 0.33.0=path/object_info.json

writes tests/support/stand_in/definitions.json: names, types, orders, defaults, ranges and choices of the classes below.
Prose is emptied and lists of files become "@folder", so that the stand-in fills in the files it has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support.stand_in.release import DEFINITIONS

CLASSES = """
AudioConcat BasicGuider BasicScheduler CFGGuider CFGNorm CLIPLoader CLIPSetLastLayer CLIPTextEncode CLIPTextEncodeFlux
CLIPTextEncodeSD3 CLIPTextEncodeSDXL CLIPVisionLoader CheckpointLoaderSimple ConditioningCombine ConditioningConcat
ConditioningSetTimestepRange ConditioningZeroOut ControlNetApplyAdvanced ControlNetLoader CreateVideo
DifferentialDiffusion DualCLIPLoader EmptyAceStep1.5LatentAudio EmptyAceStepLatentAudio EmptyAudio
EmptyFlux2LatentImage EmptyHunyuanLatentVideo EmptyImage EmptyLTXVLatentVideo EmptyLatentImage EmptySD3LatentImage
Flux2Scheduler FluxGuidance FluxKontextImageScale GetImageSize GetVideoComponents ImageBatch ImageBlend ImageBlur
ImageCrop ImageFromBatch ImageInvert ImagePadForOutpaint ImageScale ImageScaleBy ImageScaleToTotalPixels ImageToMask
ImageUpscaleWithModel InpaintModelConditioning InvertMask JoinImageWithAlpha KSampler KSamplerAdvanced KSamplerSelect
LTXAVTextEncoderLoader LTXVAudioVAEDecode LTXVAudioVAELoader LTXVConcatAVLatent LTXVConditioning LTXVEmptyLatentAudio
LTXVImgToVideo LTXVImgToVideoInplace LTXVLatentUpsampler LTXVPreprocess LTXVScheduler LTXVSeparateAVLatent
LatentApplyOperationCFG LatentConcat LatentFromBatch LatentOperationTonemapReinhard LatentUpscale LatentUpscaleBy
LatentUpscaleModelLoader LoadAudio LoadImage LoadImageMask LoadImageOutput LoadVideo LoraLoader LoraLoaderModelOnly
ManualSigmas MaskPreview MaskToImage ModelSamplingAuraFlow ModelSamplingFlux ModelSamplingSD3 PreviewAny PreviewAudio
PreviewImage PrimitiveBoolean PrimitiveFloat PrimitiveInt PrimitiveString PrimitiveStringMultiline RandomNoise
ReferenceLatent RepeatLatentBatch ResizeImageMaskNode SamplerCustom SamplerCustomAdvanced SaveAnimatedPNG
SaveAnimatedWEBP SaveAudio SaveAudioAdvanced SaveAudioMP3 SaveAudioOpus SaveImage SaveImageAdvanced SaveImageWebsocket
SaveLatent SaveVideo SaveWEBM SetLatentNoiseMask SolidMask SplitSigmasDenoise StringConcatenate StyleModelLoader
TextEncodeAceStepAudio TextEncodeAceStepAudio1.5 TextEncodeQwenImageEdit TextEncodeQwenImageEditPlus TripleCLIPLoader
UNETLoader UpscaleModelLoader VAEDecode VAEDecodeAudio VAEDecodeTiled VAEEncode VAEEncodeForInpaint VAELoader
Wan22ImageToVideoLatent WanImageToVideo
EmptyLatentHunyuan3Dv2 MeshToFile3D Preview3D Save3DAdvanced SaveGLB SaveText VAEDecodeHunyuan3D VoxelToMesh
VoxelToMeshBasic
"""

# Input name -> folder whose files are its choices.
FOLDERS = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
}
FOLDERS_OF = {
    ("CLIPLoader", "clip_name"): "text_encoders",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("LTXAVTextEncoderLoader", "text_encoder"): "text_encoders",
    ("LatentUpscaleModelLoader", "model_name"): "latent_upscale_models",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("LoadImage", "image"): "input:image",
    ("LoadImageMask", "image"): "input:image",
    ("LoadAudio", "audio"): "input:audio",
    ("LoadVideo", "file"): "input:video",
}
NOT_FILES = {"pixel_space"}
PROSE: dict[str, Any] = {
    "description": "",
    "category": "",
    "python_module": "",
    "search_aliases": [],
    "price_badge": None,
}


def bare(value: Any) -> Any:
    """A definition without its tooltips and display names."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key not in ("tooltip", "display_name")}
    if isinstance(value, list):
        return [bare(item) for item in value]
    return value


def files_left_out(class_type: str, name: str, spec: list[Any]) -> list[Any]:
    folder = FOLDERS_OF.get((class_type, name)) or FOLDERS.get(name)
    if folder is None:
        return spec
    if spec[0] == "COMBO":
        return ["COMBO", {**spec[1], "options": [f"@{folder}"]}]
    return [[f"@{folder}", *(choice for choice in spec[0] if choice in NOT_FILES)], *spec[1:]]


def reduced(class_type: str, definition: dict[str, Any]) -> dict[str, Any]:
    result = {key: PROSE.get(key, bare(value)) for key, value in definition.items()}
    if definition.get("search_aliases", 0) is None:
        result["search_aliases"] = None
    if definition.get("output_tooltips"):
        result["output_tooltips"] = [text and "" for text in definition["output_tooltips"]]
    result["display_name"] = definition["display_name"]
    for section in ("required", "optional"):
        for name, spec in result["input"].get(section, {}).items():
            result["input"][section][name] = files_left_out(class_type, name, spec)
    return result


def main(arguments: list[str]) -> None:
    releases = {}
    for argument in arguments:
        release, _, path = argument.partition("=")
        known = json.loads(Path(path).read_text())
        releases[release] = {name: reduced(name, known[name]) for name in CLASSES.split() if name in known}
    lines = [
        json.dumps(release)
        + ": {\n"
        + ",\n".join(f"{json.dumps(n)}: {json.dumps(d)}" for n, d in nodes.items())
        + "\n}"
        for release, nodes in releases.items()
    ]
    DEFINITIONS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
