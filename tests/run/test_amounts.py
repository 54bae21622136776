"""The limits hold for what a graph comes to, however it gets there, and for nothing that it does not come to."""

import math
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

import comfyui_tool as tool
from tests.support.graphs import defined, node, sampler, text_to_image

Nodes = dict[str, Any]

# Classes that the stand-in does not have, as `/object_info` lists them.
WHOLE, REAL, TEXT = ["INT", {}], ["FLOAT", {}], ["STRING", {}]
CLASSES: dict[str, Any] = {
    "GetImageSize": {"input": {"required": {"image": ["IMAGE", {}]}}, "output": ["INT", "INT", "INT"]},
    "IntMultiply": {"input": {"required": {"a": WHOLE, "b": WHOLE}}, "output": ["INT"]},
    "Riddle": {"input": {"required": {"signal": ["NOISE", {}]}}, "output": ["INT"]},
    "Formula": {"input": {"required": {"expression": TEXT, "a": WHOLE}}, "output": ["INT"]},
    "AnySize": {"input": {"required": {"dimensions": [["512x512", "8192x8192"], {}]}}, "output": ["INT", "INT"]},
    "ManualSigmas": {"input": {"required": {"sigmas": TEXT}}, "output": ["SIGMAS"]},
    "Pad": {
        "input": {"required": {"image": ["IMAGE", {}], "left": WHOLE, "right": WHOLE}},
        "output": ["IMAGE"],
    },
    "Stitch": {"input": {"required": {"image1": ["IMAGE", {}], "image2": ["IMAGE", {}]}}, "output": ["IMAGE"]},
    "StringLength": {"input": {"required": {"string": TEXT}}, "output": ["INT"]},
    "ComfyNumberConvert": {"input": {"required": {"value": ["INT,FLOAT,STRING,BOOLEAN", {}]}}, "output": ["INT"]},
    "StringReplace": {"input": {"required": {"string": TEXT, "find": TEXT, "replace": TEXT}}, "output": ["STRING"]},
    "JsonExtractString": {"input": {"required": {"json_string": TEXT, "key": TEXT}}, "output": ["STRING"]},
    "ComfyNotNode": {"input": {"required": {"value": ["*", {}]}}, "output": ["BOOLEAN"]},
    "CustomCombo": {"input": {"required": {"choice": ["COMBO", {"options": []}]}}, "output": ["STRING", "INT"]},
    "ColorToRGBInt": {"input": {"required": {"color": ["COLOR", {}]}}, "output": ["INT"]},
    "CreateList": {
        "input": {"required": {"inputs": ["COMFY_AUTOGROW_V3", {"template": {"prefix": "input"}}]}},
        "output": ["COMFY_MATCHTYPE_V3"],
        "output_is_list": [True],
        "is_input_list": True,
    },
    "SplitImageToTileList": {
        "input": {"required": {"image": ["IMAGE", {}], "tile_width": WHOLE, "tile_height": WHOLE, "overlap": WHOLE}},
        "output": ["IMAGE"],
        "output_is_list": [True],
    },
    "ImageMergeTileList": {
        "input": {"required": {"image_list": ["IMAGE", {}], "final_width": WHOLE, "final_height": WHOLE}},
        "output": ["IMAGE"],
        "is_input_list": True,
    },
    "ImageGrid": {
        "input": {"required": {"images": ["IMAGE", {}], "columns": WHOLE, "cell_width": WHOLE, "cell_height": WHOLE}},
        "output": ["IMAGE"],
        "is_input_list": True,
    },
    "RebatchImages": {
        "input": {"required": {"images": ["IMAGE", {}], "batch_size": WHOLE}},
        "output": ["IMAGE"],
        "output_is_list": [True],
        "is_input_list": True,
    },
    "BakeTexture": {"input": {"required": {"mesh": ["MESH", {}], "texture_size": WHOLE}}, "output": ["IMAGE"]},
    "MakeMesh": {"input": {"required": {"image": ["IMAGE", {}]}}, "output": ["MESH"]},
    "ExtendIntermediateSigmas": {
        "input": {"required": {"sigmas": ["SIGMAS", {}], "steps": WHOLE}},
        "output": ["SIGMAS"],
    },
    "LTXVLatentUpsampler": {
        "input": {"required": {"samples": ["LATENT", {}], "upscale_model": ["LATENT_UPSCALE_MODEL", {}]}},
        "output": ["LATENT"],
    },
    "EmptyVideo": {
        "input": {"required": {"width": WHOLE, "height": WHOLE, "length": WHOLE, "batch_size": WHOLE}},
        "output": ["LATENT"],
    },
    "EmptyLayers": {
        "input": {"required": {"width": WHOLE, "height": WHOLE, "layers": WHOLE, "batch_size": WHOLE}},
        "output": ["LATENT"],
    },
    "Interpolate": {"input": {"required": {"images": ["IMAGE", {}], "multiplier": WHOLE}}, "output": ["IMAGE"]},
    "AdjustContrast": {"input": {"required": {"images": ["IMAGE", {}], "factor": REAL}}, "output": ["IMAGE"]},
    "Resize": {
        "input": {
            "required": {
                "input": ["COMFY_MATCHTYPE_V3", {}],
                "resize_type": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "size", "inputs": {"required": {"width": WHOLE, "height": WHOLE}}},
                            {"key": "times", "inputs": {"required": {"multiplier": REAL}}},
                            {"key": "match", "inputs": {"required": {"match": ["IMAGE", {}]}}},
                        ]
                    },
                ],
            }
        },
        "output": ["COMFY_MATCHTYPE_V3"],
    },
    "TrainLora": {
        "input": {
            "required": {
                "latents": ["LATENT", {}],
                "model": ["MODEL", {}],
                "steps": WHOLE,
                "grad_accumulation_steps": WHOLE,
            }
        },
        "output": ["LORA_MODEL"],
        "output_node": True,
    },
    "Settings": {
        "input": {"required": {"width": WHOLE, "height": WHOLE, "batch_size": WHOLE}},
        "output": ["INT", "INT", "INT"],
        "output_name": ["width", "height", "batch_size"],
    },
}


def latent(width: Any = 1024, height: Any = 768, batch_size: Any = 1) -> Nodes:
    return node("EmptyLatentImage", width=width, height=height, batch_size=batch_size)


def saved(picture: str) -> Nodes:
    return node("SaveImage", images=(picture, 0), filename_prefix="x")


def chain(class_type: str, times: int, given: str, link: str = "image", **inputs: Any) -> Nodes:
    """The same node several times, each fed by the one before; the last one is called "end"."""
    names = [f"{class_type}{number}" for number in range(1, times)] + ["end"]
    befores = [given, *names]
    return {
        name: node(class_type, **{link: (before, 0)}, **inputs) for name, before in zip(names, befores, strict=False)
    }


def larger(times: int) -> Nodes:
    return chain("ImageScaleBy", times, "decode", upscale_method="area", scale_by=4.0)


def refused(nodes: Nodes, limits: tool.Limits | None = None, **options: Any) -> str:
    """What a user's graph is refused with, a text-to-image graph with these nodes added or put in their place; "" for
    one that is not."""
    graph = text_to_image(**nodes)
    workflow = tool.Workflow.parse("x", graph, defined(**CLASSES))
    makes = {kind for _, kind in tool.outputs(workflow.flow)}
    try:
        tool.check_limits(workflow, limits or tool.Limits(), set(), makes, **options)
    except tool.LimitExceeded as error:
        return error.message
    return ""


# --- ways round the limits ---

FILM = {"save": node("SaveAnimatedWEBP", images=("end", 0), fps=24.0)}
FEW_STEPS = {f"again{number}": sampler(steps=100, seed=number, end_at_step=1) for number in range(40)}


def sized(**by: Any) -> Nodes:
    """A latent as wide and high as a node says that is called "by"."""
    return {"latent": latent(("by", 0), ("by", 0)), "by": by["by"], **{name: by[name] for name in by if name != "by"}}


def held(text: str) -> Nodes:
    return node("PrimitiveString", value=text)


def listed(times: int, given: str) -> Nodes:
    """Lists in lists, each with the one before ten times; the last one is called "end"."""
    names = [f"list{number}" for number in range(1, times)] + ["end"]
    return {
        name: node("CreateList", **{f"inputs__input{number}": (before, 0) for number in range(10)})
        for name, before in zip(names, [given, *names], strict=False)
    }


def doubled(times: int, given: str) -> Nodes:
    """Pictures put together to a batch with themselves, again and again; the last one is called "end"."""
    names = [f"double{number}" for number in range(1, times)] + ["end"]
    return {
        name: node("ImageBatch", image1=(before, 0), image2=(before, 0))
        for name, before in zip(names, [given, *names], strict=False)
    }


def resized(name: str, given: str, kind: str, **inputs: Any) -> Nodes:
    more = {f"resize_type__{key}": value for key, value in inputs.items()}
    return {name: node("Resize", input=(given, 0), resize_type=kind, **more)}


SAMPLED = {
    "noise": node("RandomNoise", noise_seed=1),
    "guider": node("BasicGuider", model=("model", 0), conditioning=("good", 0)),
    "chosen": node("KSamplerSelect", sampler_name="euler"),
    "custom": node(
        "SamplerCustomAdvanced",
        noise=("noise", 0),
        guider=("guider", 0),
        sampler=("chosen", 0),
        sigmas=("end", 0),
        latent_image=("latent", 0),
    ),
    "decode": node("VAEDecode", samples=("custom", 0), vae=("model", 2)),
}
ROUND: dict[str, tuple[Nodes, str]] = {
    "scaled and scaled again": (larger(3) | {"save": saved("end")}, "as megapixels of a picture"),
    "a model that enlarges four times, twice": (
        chain("ImageUpscaleWithModel", 2, "decode", upscale_model=("enlarger", 0))
        | {"enlarger": node("UpscaleModelLoader", model_name="4x-sharp.pth"), "save": saved("end")},
        "201.33 as megapixels of a picture",
    ),
    "latents scaled before they are sampled": (
        chain("LatentUpscaleBy", 2, "latent", "samples", upscale_method="area", scale_by=4.0)
        | {"sampler": sampler(latent_image=("end", 0))},
        "12.58 as megapixels of a picture",
    ),
    "margins": (
        {"end": node("Pad", image=("decode", 0), left=60000, right=60000), "save": saved("end")},
        "as megapixels of a picture",
    ),
    "two pictures stitched, and again": (
        {
            "one": node("Stitch", image1=("big", 0), image2=("big", 0)),
            "two": node("Stitch", image1=("one", 0), image2=("one", 0)),
            "big": node("ImageScale", image=("decode", 0), upscale_method="area", width=4000, height=1000, crop="no"),
            "end": node("Stitch", image1=("two", 0), image2=("two", 0)),
            "last": node("Stitch", image1=("end", 0), image2=("end", 0)),
            "save": saved("last"),
        },
        "64 as megapixels of a picture",
    ),
    "batches doubled": (
        chain("RepeatLatentBatch", 3, "latent", "samples", amount=4) | {"sampler": sampler(latent_image=("end", 0))},
        "has 64 as the number of pictures",
    ),
    "pictures repeated after they are made": (
        chain("RepeatImageBatch", 4, "decode", amount=4) | {"save": saved("end")},
        "has 256 as the number of pictures",
    ),
    "a product as the number of pictures": (
        {"latent": latent(batch_size=("product", 0)), "product": node("IntMultiply", a=30, b=30)},
        "900 as batch_size",
    ),
    "a formula as the width": (
        {"latent": latent(width=("sum", 0)), "sum": node("Formula", expression="a * a // 8", a=512)},
        "25.17 as width x height",
    ),
    "a size out of a list": (
        {"latent": latent(("size", 0), ("size", 1)), "size": node("AnySize", dimensions="8192x8192")},
        "67.11 as width x height",
    ),
    "the size of a large picture": (
        larger(2)
        | {"size": node("GetImageSize", image=("end", 0)), "latent": latent(("size", 0), ("size", 1))}
        | {"decode": node("LoadImage", image="a.png")},
        "as width x height in megapixels",
    ),
    "a number that nothing bounds": (
        {"latent": latent(width=("riddle", 0)), "riddle": node("Riddle", signal=("model", 0))},
        "a node whose result is not known before the run",
    ),
    "many samplers": (
        {f"again{number}": sampler(steps=100, seed=number) for number in range(50)},
        "steps of all samplers together",
    ),
    "steps written as a list of sigmas": (
        {"list": node("ManualSigmas", sigmas=", ".join(["1.0"] * 20_000))},
        "19999 as steps",
    ),
    "a smaller size that no node reads": (
        {"latent": latent(8192, 8192) | {"inputs": latent(8192, 8192)["inputs"] | {"x.width": 64, "x.height": 64}}},
        "67.11 as width x height",
    ),
    "an end that the sampler does not have": (FEW_STEPS, "steps of all samplers together"),
    "a switch that is none": (
        chain("RepeatLatentBatch", 3, "latent", "samples", amount=4)
        | {"sampler": sampler(latent_image=("end", 0), select=1, other_1=("model", 0))},
        "has 64 as the number of pictures",
    ),
    "a switch turned round": (
        {
            "not": node("ComfyNotNode", value=("no", 0)),
            "no": node("PrimitiveBoolean", value=False),
            "large": node("LatentUpscaleBy", samples=("latent", 0), upscale_method="area", scale_by=8.0),
            "switch": node("ComfySwitchNode", switch=("not", 0), on_false=("latent", 0), on_true=("large", 0)),
            "sampler": sampler(latent_image=("switch", 0)),
        },
        "as megapixels of a picture",
    ),
    "the choice of a size that its node does not offer": (
        resized("one", "decode", "times", multiplier=8.0, width=64, height=64)
        | resized("two", "one", "times", multiplier=8.0, width=64, height=64)
        | {"save": saved("two")},
        "as megapixels of a picture",
    ),
    "how long a text is": (sized(by=node("StringLength", string="8" + "a" * 9000)), "81.02 as width x height"),
    "how long a text of another node is": (
        sized(by=node("StringLength", string=("text", 0)), text=held("8" + "a" * 9000)),
        "81.02 as width x height",
    ),
    "digits that are put together": (
        sized(
            by=node("ComfyNumberConvert", value=("text", 0)),
            text=node("StringReplace", string="8,1,9,2", find=",", replace=""),
        ),
        "not known before",
    ),
    "digits put together by a mark that numbers may have": (
        sized(
            by=node("ComfyNumberConvert", value=("text", 0)),
            text=node("StringReplace", string="8,1,9,2", find=",", replace="_"),
        ),
        "not known before",
    ),
    "digits that JSON hides": (
        sized(
            by=node("ComfyNumberConvert", value=("text", 0)),
            text=node("JsonExtractString", json_string='{"a": "\\u0038192"}', key="a"),
        ),
        "not known before",
    ),
    "a power of ten": (
        sized(by=node("ComfyNumberConvert", value=("text", 0)), text=held("1e4")),
        "100 as width x height",
    ),
    "a number with lines between its digits": (
        sized(by=node("ComfyNumberConvert", value=("text", 0)), text=held("8_192")),
        "67.11 as width x height",
    ),
    "digits of another script": (
        sized(by=node("ComfyNumberConvert", value=("text", 0)), text=held("\uff18\uff11\uff19\uff12")),
        "67.11 as width x height",
    ),
    "a colour": (sized(by=node("ColorToRGBInt", color="#00ff00")), "as width x height"),
    "a number that a class reads and does not list": (
        {"latent": latent(("by", 1), ("by", 1)), "by": node("CustomCombo", choice="8", index=8192)},
        "67.11 as width x height",
    ),
    "a list of seeds": (
        listed(3, "seed") | {"seed": node("PrimitiveInt", value=1), "sampler": sampler(seed=("end", 0))},
        "20000 as steps of all samplers together",
    ),
    "a list of prompts": (
        listed(3, "text") | {"text": held("a fox"), "good": node("CLIPTextEncode", text=("end", 0), clip=("model", 1))},
        "20000 as steps of all samplers together",
    ),
    "a list out of a batch": (
        {
            "small": node("EmptyImage", width=8, height=8, batch_size=3000, color=0),
            "end": node("RebatchImages", images=("small", 0), batch_size=1),
            "seen": node("CLIPVisionEncode", clip_vision=("vision", 0), image=("end", 0), crop="none"),
            "vision": node("CLIPVisionLoader", clip_name="v.safetensors"),
            "good": node("unCLIPConditioning", conditioning=("bad", 0), clip_vision_output=("seen", 0)),
        },
        "60000 as steps of all samplers together",
    ),
    "many small tiles, each sampled": (
        {
            "tiles": node("SplitImageToTileList", image=("decode", 0), tile_width=64, tile_height=64, overlap=0),
            "encode": node("VAEEncode", pixels=("tiles", 0), vae=("model", 2)),
            "second": sampler(latent_image=("encode", 0)),
            "finest": node("VAEDecode", samples=("second", 0), vae=("model", 2)),
            "save": saved("finest"),
        },
        "steps of all samplers together",
    ),
    "tiles put together to more than there was": (
        {"end": node("ImageMergeTileList", image_list=("decode", 0), final_width=32768, final_height=32768)}
        | {"save": saved("end")},
        "1073.74 as megapixels of a picture",
    ),
    "a sheet of large cells": (
        {"end": node("ImageGrid", images=("decode", 0), columns=20, cell_width=2048, cell_height=2048)}
        | {"save": saved("end")},
        "as megapixels of a picture",
    ),
    "a texture": (
        {"mesh": node("MakeMesh", image=("decode", 0)), "end": node("BakeTexture", mesh=("mesh", 0), texture_size=8192)}
        | {"save": saved("end")},
        "67.11 as megapixels of a picture",
    ),
    "latents that a model enlarges again and again": (
        chain("LTXVLatentUpsampler", 6, "latent", "samples", upscale_model=("large", 0))
        | {"large": node("LatentUpscaleModelLoader", model_name="x"), "sampler": sampler(latent_image=("end", 0))},
        "as megapixels of a picture",
    ),
    "sigmas put between sigmas": (
        SAMPLED
        | {"first": node("BasicScheduler", model=("model", 0), scheduler="normal", steps=50, denoise=1.0)}
        | chain("ExtendIntermediateSigmas", 2, "first", "sigmas", steps=100),
        "500000 as steps",
    ),
    "sigmas written in another node": (
        SAMPLED | {"end": node("ManualSigmas", sigmas=("text", 0)), "text": held(" ".join(["1.0"] * 5000))},
        "4999 as steps",
    ),
    "a film that is saved as pictures": (
        {"latent": node("EmptyVideo", width=848, height=480, length=16381, batch_size=1)},
        "682.5 seconds",
    ),
    "frames that are repeated": (
        {"latent": node("EmptyVideo", width=848, height=480, length=121, batch_size=1)}
        | {"end": node("RepeatImageBatch", image=("decode", 0), amount=8)}
        | FILM,
        "40.3 seconds",
    ),
    "frames put between frames": (
        {"latent": node("EmptyVideo", width=848, height=480, length=121, batch_size=1)}
        | chain("Interpolate", 2, "decode", "images", multiplier=8)
        | FILM,
        "322.7 seconds",
    ),
    "a film of pictures doubled again and again": (doubled(12, "decode") | FILM, "170.7 seconds"),
    "pictures beside a film": (
        doubled(12, "decode")
        | {"film": node("SaveAnimatedWEBP", images=("decode", 0), fps=24.0), "save": saved("end")},
        "as the number of pictures",
    ),
    "layers": (
        {"latent": node("EmptyLayers", width=1024, height=1024, layers=400, batch_size=1)},
        "400 as the number of pictures",
    ),
    "training with many passes a step": (
        {"train": node("TrainLora", latents=("latent", 0), model=("model", 0), steps=90, grad_accumulation_steps=1024)},
        "92160 as steps",
    ),
    "a film of repeated frames": (
        chain("RepeatImageBatch", 3, "decode", amount=81) | FILM,
        "seconds",
    ),
}


@pytest.mark.parametrize(("nodes", "told"), ROUND.values(), ids=ROUND)
def test_no_way_leads_round_the_limits(nodes: Nodes, told: str) -> None:
    assert told in refused(nodes)


# --- what is within them ---

WITHIN: dict[str, Nodes] = {
    "a picture enlarged four times": larger(1) | {"save": saved("end")},
    "enlarged, and scaled down again": (
        larger(2)
        | {
            "small": node(
                "ImageScale", image=("ImageScaleBy1", 0), upscale_method="area", width=64, height=64, crop="no"
            ),
            "end": node("ImageScaleBy", image=("small", 0), upscale_method="area", scale_by=4.0),
            "save": saved("end"),
        }
    ),
    "a second pass at twice the size": {
        "larger": node("LatentUpscaleBy", samples=("sampler", 0), upscale_method="area", scale_by=2.0),
        "second": sampler(latent_image=("larger", 0), denoise=0.5),
        "decode": node("VAEDecode", samples=("second", 0), vae=("model", 2)),
    },
    "a rounded width": {
        "latent": latent(("sum", 0)),
        "sum": node("Formula", expression="max(a // 16 * 16, 256)", a=1000),
    },
    "the size of a picture": {
        "picture": node("LoadImage", image="a.png"),
        "size": node("GetImageSize", image=("picture", 0)),
        "latent": latent(("size", 0), ("size", 1), ("size", 2)),
    },
    "twelve pictures on one sheet": {
        **{f"picture{number}": node("LoadImage", image="a.png") for number in range(2)},
        **chain("ImageBatch", 12, "picture0", "image1", image2=("picture1", 0)),
        "save": saved("end"),
    },
    "settings kept in one node": {
        "latent": latent(("kept", 0), ("kept", 1), ("kept", 2)),
        "kept": node("Settings", width=1024, height=768, batch_size=2),
    },
    "a picture sampled in tiles": {
        "large": node("ImageScaleBy", image=("decode", 0), upscale_method="area", scale_by=4.0),
        "tiles": node("SplitImageToTileList", image=("large", 0), tile_width=1024, tile_height=1024, overlap=0),
        "encode": node("VAEEncode", pixels=("tiles", 0), vae=("model", 2)),
        "second": sampler(latent_image=("encode", 0)),
        "finer": node("VAEDecode", samples=("second", 0), vae=("model", 2)),
        "end": node("ImageMergeTileList", image_list=("finer", 0), final_width=4096, final_height=3072),
        "save": saved("end"),
    },
    "more contrast, again and again": (
        chain("AdjustContrast", 8, "decode", "images", factor=2.0) | {"save": saved("end")}
    ),
    "a picture made small before it is enlarged": {
        "small": node("ImageScaleBy", image=("decode", 0), upscale_method="area", scale_by=0.25),
        **chain("ImageScaleBy", 2, "small", upscale_method="area", scale_by=4.0),
        "save": saved("end"),
    },
    "a picture made as large as another": {
        "large": node("ImageScaleBy", image=("decode", 0), upscale_method="area", scale_by=4.0),
        **resized("same", "large", "match", match=("decode", 0)),
        "end": node("ImageScaleBy", image=("same", 0), upscale_method="area", scale_by=4.0),
        "save": saved("end"),
    },
    "a number chosen out of JSON": sized(
        by=node("ComfyNumberConvert", value=("chosen", 0)),
        chosen=node("JsonExtractString", json_string=("plain", 0), key="width"),
        plain=node("StringReplace", string="{'width': 1024, 'more': '" + "a" * 3000 + "'}", find="'", replace='"'),
    ),
    "a film with sound of its own": {
        "latent": node("EmptyVideo", width=848, height=480, length=481, batch_size=1),
        "end": node("LTXVConcatAVLatent", video_latent=("sampler", 0), audio_latent=("sampler", 0)),
        "decode": node("VAEDecode", samples=("end", 0), vae=("model", 2)),
        "save": node("SaveAnimatedWEBP", images=("decode", 0), fps=24.0),
    },
    "base and refiner share the steps": {
        "sampler": node(
            "KSamplerAdvanced", **sampler()["inputs"] | {"start_at_step": 0, "end_at_step": 80, "steps": 100}
        ),
    },
}


@pytest.mark.parametrize("nodes", WITHIN.values(), ids=WITHIN)
def test_what_is_within_the_limits_is_not_refused(nodes: Nodes) -> None:
    assert refused(nodes) == ""


def test_the_size_of_an_uploaded_picture_counts() -> None:
    nodes = larger(1) | {"decode": node("LoadImage", image="a.png"), "save": saved("end")}
    small, large = ({tool.Target("decode", "image"): tool.Size(side, side)} for side in (1000, 2000))
    assert refused(nodes, sizes=small) == ""
    assert "64 as megapixels" in refused(nodes, sizes=large)


# --- a workflow of the administrator's ---


def as_saved(nodes: Nodes, changed: Nodes, **limits: Any) -> str:
    """What a call is refused with that changes these nodes of an administrator's workflow."""
    before = tool.Workflow.parse("x", text_to_image(**nodes), defined(**CLASSES))
    touched = {tool.Target(node_id, name) for node_id, one in changed.items() for name in one["inputs"]}
    after = tool.Workflow.parse("x", text_to_image(**nodes | changed), defined(**CLASSES))
    try:
        tool.check_limits(after, tool.Limits(**limits), touched, {"image"}, saved=before)
    except tool.LimitExceeded as error:
        return error.message
    return ""


def test_a_workflow_of_the_administrators_may_do_what_it_was_saved_with() -> None:
    six = {"latent": latent(batch_size=6), "sampler": sampler(steps=150)}
    assert refused(six)
    assert as_saved(six, {}) == ""


def test_a_call_may_not_make_more_of_it() -> None:
    six = {"latent": latent(batch_size=6)}
    assert "8 as batch_size" in as_saved(six, {"latent": latent(batch_size=8)})
    assert as_saved(six, {"latent": latent(batch_size=5)}) == ""


def test_what_has_no_bound_in_it_is_refused_only_if_the_call_set_something_before_it() -> None:
    riddle = {"latent": latent(width=("riddle", 0)), "riddle": node("Riddle", signal=("model", 0))}
    assert as_saved(riddle, {"good": node("CLIPTextEncode", text="a dog", clip=("model", 1))}) == ""
    assert "not known before" in as_saved(riddle, {"model": node("CheckpointLoaderSimple", ckpt_name="b.safetensors")})


# --- the range of a formula ---

OPERATORS = strategies.sampled_from(["+", "-", "*", "/", "//", "%", "**"])
FORMULAS = strategies.recursive(
    strategies.sampled_from(["a", "b", "1", "3", "0.5", "16"]),
    lambda parts: strategies.one_of(
        strategies.tuples(parts, strategies.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), parts).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        strategies.tuples(strategies.sampled_from(["min", "max"]), parts, parts).map("{0[0]}({0[1]}, {0[2]})".format),
        strategies.tuples(strategies.sampled_from(["round", "int", "abs", "-"]), parts).map("{0[0]}({0[1]})".format),
        strategies.tuples(parts, parts, parts).map("({0[0]} if {0[1]} > 1 else {0[2]})".format),
    ),
    max_leaves=6,
)
SIDES = strategies.integers(0, 64)


@hypothesis.given(FORMULAS, SIDES, SIDES, SIDES, SIDES)
def test_a_formula_comes_to_a_number_in_its_range(formula: str, low: int, more: int, other: int, least: int) -> None:
    variables = {"a": tool.Range(low, low + more), "b": tool.Range(min(other, least), max(other, least))}
    found = tool.range_of(formula, variables)
    for a in variables["a"]:
        for b in variables["b"]:
            try:
                value = eval(formula, {"a": a, "b": b})  # noqa: S307 - made above
            except (ArithmeticError, ValueError):
                continue
            if not isinstance(value, complex) and math.isfinite(value):
                slack = 1e-6 * max(abs(value), 1.0)
                assert found.low - slack <= value <= found.high + slack


BITS = strategies.recursive(
    strategies.sampled_from(["a", "b", "1", "7"]),
    lambda parts: strategies.one_of(
        strategies.tuples(parts, strategies.sampled_from(["&", "|", "^", ">>", "+", "-"]), parts).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        parts.map("~{0}".format),
    ),
    max_leaves=6,
)


@hypothesis.given(BITS, SIDES, SIDES, SIDES, SIDES)
def test_so_does_one_that_works_bit_by_bit(formula: str, low: int, more: int, other: int, least: int) -> None:
    test_a_formula_comes_to_a_number_in_its_range.hypothesis.inner_test(formula, low, more, other, least)


def test_a_number_that_is_made_even_keeps_its_bound() -> None:
    assert tool.range_of("a & ~1", {"a": tool.Range(0, 2049)}) == tool.Range(0, 2049)
    assert tool.range_of("a >> 1 << 1", {"a": tool.Range(0, 2048)}) == tool.Range(0, 4096)
    assert tool.range_of("a << 70", {"a": tool.Range(0, 1)}) == tool.ANY_NUMBER


@pytest.mark.parametrize(
    "formula", ["", "a +", "(" * 400, "9**9**9", "1e308 * 1e308", "x", "a.b", "__import__('os')", "a" * 501, "10**70"]
)
def test_what_cannot_be_read_comes_to_any_number(formula: str) -> None:
    assert tool.range_of(formula, {"a": tool.Range(1, 2)}) == tool.ANY_NUMBER
