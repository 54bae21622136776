"""The bundled workflows: each is right for every release of ComfyUI that it is said to run on, knows its model files by
their names, takes what it says, and runs.

With COMFYUI_TEST_URL set a real ComfyUI validates them as well; it needs none of their model files.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from PIL import Image, ImageChops, ImageOps

import comfyui_tool as tool
from tests.support import ROOT
from tests.support.graphs import defined
from tests.support.pictures import encoded, opened
from tests.support.runs import make, models_of
from tests.support.stand_in import StandIn
from tests.support.stand_in.release import RELEASES

REAL_URL = os.environ.get("COMFYUI_TEST_URL", "").rstrip("/")
MANIFEST: list[dict[str, Any]] = json.loads((ROOT / "manifest.json").read_text())["workflows"]
GRAPHS: dict[str, dict[str, Any]] = {
    item["name"]: json.loads((ROOT / "workflows" / f"{item['name']}.json").read_text()) for item in MANIFEST
}
ENTRIES = {entry.name: entry for entry in tool.bundled_entries()}
FROM_TEXT = [entry for entry in ENTRIES.values() if entry.task == "text_to_image"]
each = pytest.mark.parametrize("item", MANIFEST, ids=lambda item: item["name"])
each_release = pytest.mark.parametrize(
    ("name", "release"), [(item["name"], release) for item in MANIFEST for release in item["validated"]]
)

# Newer releases ask for these and older ones pass over them, so that one graph serves both.
NOT_IN_EVERY_RELEASE = {("ImageScaleToTotalPixels", "resolution_steps"), ("SaveVideo", "format.codec")}
# How a family's setting may be called in a graph.
WIDGETS = {
    "steps": {"steps"},
    "guidance": {"guidance", "cfg"},
    "sampler": {"sampler_name"},
    "scheduler": {"scheduler"},
    "denoise": {"denoise"},
}
MADE = {"text_to_video": "video", "image_to_video": "video", "text_to_audio": "sound"}  # every other: "picture"


# --- a validator of its own, so that no server's is taken on trust ---


def specs_of(sections: Mapping[str, Any], held: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """(name, spec, required) of every input, with those that the choices of dynamic combos bring."""
    for section in ("required", "optional"):
        for name, spec in (sections.get(section) or {}).items():
            yield prefix + name, spec, section == "required"
            if spec[0] == "COMFY_DYNAMICCOMBO_V3":
                for option in spec[1]["options"]:
                    if option["key"] == held.get(prefix + name):
                        yield from specs_of(option["inputs"], held, f"{prefix}{name}.")


def complaint(graph: Mapping[str, Any], spec: list[Any], value: Any, known: Mapping[str, Any]) -> str:
    """What is wrong with a value, or nothing."""
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(value, list):
        source, slot = value
        given = known[graph[source]["class_type"]]["output"][slot]
        return "" if set(given.split(",")) & set(str(kind).split(",")) else f"is linked to {given}"
    choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    if choices is not None:
        listed = any(str(choice).startswith("@") for choice in choices)  # a folder's files
        return "" if value in choices or listed else f"is {value!r}"
    if kind == "COMFY_DYNAMICCOMBO_V3":
        return "" if value in [option["key"] for option in options["options"]] else f"is {value!r}"
    types: dict[str, tuple[type, ...]] = {"INT": (int,), "FLOAT": (float,), "STRING": (str,), "BOOLEAN": (bool,)}
    fitting = {type_ for part in str(kind).split(",") for type_ in types.get(part, ())}
    if type(value) not in fitting:
        return f"is {value!r} where {kind} belongs"
    low, high = options.get("min", value), options.get("max", value)
    return "" if kind not in ("INT", "FLOAT") or low <= value <= high else f"is {value!r} out of its range"


def faults(graph: Mapping[str, Any], release: str) -> list[str]:
    """What is wrong with the inputs of a graph's nodes."""
    known, wrong = RELEASES[release].definitions, list[str]()
    for node_id, node in graph.items():
        held = node["inputs"]
        specs = {key: (spec, required) for key, spec, required in specs_of(known[node["class_type"]]["input"], held)}
        wrong += [f"{node_id}: {key} is missing" for key, (_, needed) in specs.items() if needed and key not in held]
        for key, value in held.items():
            if key in specs:
                said = complaint(graph, specs[key][0], value, known)
                wrong += [f"{node_id}: {key} {said}"] if said else []
            elif (node["class_type"], key) not in NOT_IN_EVERY_RELEASE:
                wrong.append(f"{node_id}: {key} is unknown")
    return wrong


def test_the_manifest_names_every_workflow_file() -> None:
    files = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert {item["name"] for item in MANIFEST} == files


@each_release
def test_every_input_fits_the_node_definitions(name: str, release: str) -> None:
    assert faults(GRAPHS[name], release) == []


@each
def test_it_is_said_to_run_on_the_releases_that_have_its_nodes(item: dict[str, Any]) -> None:
    used = {node["class_type"] for node in GRAPHS[item["name"]].values()}
    assert item["nodes"] == sorted(used)
    assert item["validated"] == [name for name, release in RELEASES.items() if used <= release.definitions.keys()]
    assert item["validated"]


@each
def test_every_node_leads_to_the_one_that_saves(item: dict[str, Any]) -> None:
    graph, known = GRAPHS[item["name"]], RELEASES["0.33.0"].definitions
    (save,) = [node_id for node_id, node in graph.items() if known[node["class_type"]]["output_node"]]
    reached, front = {save}, [save]
    while front:
        links = [value[0] for value in graph[front.pop()]["inputs"].values() if tool.is_link(value)]
        front += [source for source in links if source not in reached]
        reached |= set(links)
    assert reached == set(graph)
    assert graph[save]["inputs"]["filename_prefix"] == f"open-webui/{MADE.get(item['task'], 'picture')}"
    assert [graph[node_id]["_meta"]["title"] for node_id in graph].count("Save") == 1


@each
def test_its_needs_name_widgets_and_files_that_will_do(item: dict[str, Any]) -> None:
    graph, entry = GRAPHS[item["name"]], ENTRIES[item["name"]]
    loaders = {
        tool.Target(node_id, key)
        for node_id, node in graph.items()
        for key, value in node["inputs"].items()
        if isinstance(value, str) and tool.MODEL_FILE.search(value)
    }
    assert {need.target for need in entry.needs} == loaders
    for need in entry.needs:
        assert graph[need.target.node_id]["inputs"][need.target.input] == need.file
        assert need.fits(need.file)
        if need.folder in ("diffusion_models", "text_encoders"):  # ComfyUI itself cannot load these
            assert not need.fits(need.file.rpartition(".")[0] + "-Q4_K_M.gguf")
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", need.source), need.file
    assert isinstance(item["template"], str)


@each
def test_its_families_set_what_the_graph_has(item: dict[str, Any]) -> None:
    widgets = {key for node in GRAPHS[item["name"]].values() for key in node["inputs"]}
    families = ENTRIES[item["name"]].families
    for family in families:
        assert 0.1 < family.megapixels < 2
        assert all(WIDGETS[setting] & widgets for setting in family.defaults), family.name
    assert families[-1].match == "", "the last family takes every model"


@pytest.mark.parametrize("name", [item["name"] for item in MANIFEST if item["task"] == "text_to_image"])
def test_what_makes_pictures_from_text_has_a_prompt_a_size_and_a_seed(name: str) -> None:
    workflow = ENTRIES[name].workflow
    assert {"prompt", "seed", "width", "height", "batch_size", "model"} <= workflow.parameters.keys()
    negative = "takes a negative prompt" in ENTRIES[name].description
    assert negative == ("negative_prompt" in workflow.parameters)


# --- pictures that are given ---

TAKEN = {name: sum(file.kind == "image" for file in entry.files) for name, entry in ENTRIES.items()}
IMAGES = {"flux2-edit": 3, "flux2-klein-edit": 3, "qwen-image-edit": 3, "flux-kontext": 2}  # every other one at most
PICTURES = {0: "", 1: "", 2: "one or two pictures", 3: "one to three pictures"}  # how a description says it


def files_of(name: str) -> tuple[tool.FileInput, ...]:
    return tool.file_inputs(tool.Flow.of(GRAPHS[name], {}))


def with_images(name: str, count: int, known: tool.Definitions = tool.NO_DEFINITIONS) -> dict[str, Any] | None:
    """The graph for so many pictures."""
    pruned = tool.without_files(tool.Flow.of(GRAPHS[name], known), [file.target for file in files_of(name)[count:]])
    return pruned if pruned is None else dict(pruned)


@each
def test_it_takes_the_pictures_that_it_says(item: dict[str, Any]) -> None:
    name, takes = item["name"], item["task"] not in ("text_to_image", "text_to_video", "text_to_audio")
    assert TAKEN[name] == len(files_of(name)) == (IMAGES.get(name, 1) if takes else 0)
    titles = ["Image", "Image 2", "Image 3"] if item["task"] != "inpaint" else ["Image and mask"]
    assert [file.title for file in files_of(name)] == titles[: TAKEN[name]]
    assert PICTURES[TAKEN[name]] in item["description"]
    assert tool.guess_task(tool.Flow.of(GRAPHS[name], {})) == item["task"]


@each_release
def test_it_is_right_with_fewer_pictures_too(name: str, release: str) -> None:
    known = defined(release)
    files = files_of(name)
    for count in range(1, len(files) + 1):
        graph = with_images(name, count, known)
        assert graph is not None
        assert faults(graph, release) == []
        flow = tool.Flow.of(graph, known)
        assert tool.file_inputs(flow) == files[:count]
        assert flow.needed().keys() == graph.keys()
        assert tool.discover(flow).keys() == tool.discover(tool.Flow.of(GRAPHS[name], known)).keys()
    if files:
        assert with_images(name, 0, known) is None, "none of them makes a picture of nothing"


@pytest.mark.parametrize("name", [name for name in ENTRIES if TAKEN[name]])
def test_the_size_of_the_first_picture_is_that_of_the_result(name: str) -> None:
    entry = ENTRIES[name]
    graph = entry.workflow.bind({"width": 320, "height": 448}).graph
    given = [node for node in graph.values() if node["inputs"].keys() >= {"width", "height"}]
    links = [node["inputs"][key] for node in given for key in ("width", "height") if tool.is_link(node["inputs"][key])]
    assert {graph[node_id]["class_type"] for node_id, _ in links} <= {"GetImageSize"}
    (scale,) = [node for node in given if not tool.is_link(node["inputs"]["width"])]
    assert (scale["class_type"], scale["inputs"]["width"], scale["inputs"]["height"]) == ("ImageScale", 320, 448)
    assert len({node_id for node_id, _ in links}) <= 1, "all others read it at one place"
    workflow = replace(entry.workflow, definitions=defined())
    assert all(workflow.spec(key).type == "INT" for key in ("width", "height"))


# --- which files will do ---

TEXT_TO_VIDEO_14B = "wan-text-to-video"
FILES: list[tuple[str, int, str, str]] = [
    # workflow, which need, files that will do, files that only sound alike
    (
        "z-image-turbo",
        0,
        "z_image_turbo_bf16.safetensors z-image-turbo-fp8-e4m3fn.safetensors Z-Image-Turbo_nvfp4.safetensors",
        "z_image_bf16.safetensors z-image-turbo-Q8_0.gguf Z-Image-Turbo-Fun-Controlnet-Union.safetensors",
    ),
    (
        "flux2",
        0,
        "flux2_dev_fp8mixed.safetensors flux2-dev.safetensors FLUX.2-dev-bf16.safetensors flux-2-dev_nvfp4.safetensors",
        "flux1-dev.safetensors flux-2-klein-4b.safetensors flux2-dev-Q4_K_M.gguf Flux2TurboComfyv2.safetensors",
    ),
    (
        "flux2",
        1,
        "mistral_3_small_flux2_bf16.safetensors mistral_3_small_flux2_fp4_mixed.safetensors",
        "qwen_3_4b.safetensors t5xxl_fp16.safetensors mistral_3_small_flux2-Q4_0.gguf",
    ),
    (
        "flux2",
        2,
        "flux2-vae.safetensors flux2_ae.safetensors full_encoder_small_decoder.safetensors FLUX.2-VAE.safetensors",
        "ae.safetensors flux_vae.safetensors qwen_image_vae.safetensors wan_2.1_vae.safetensors",
    ),
    (
        "flux2-klein",
        0,
        "flux-2-klein-4b.safetensors flux-2-klein-4b-fp8.safetensors flux2_klein_4b_nvfp4.safetensors",
        "flux-2-klein-base-4b.safetensors flux-2-klein-9b-fp8.safetensors flux2_dev_fp8mixed.safetensors",
    ),
    (
        "flux2-klein",
        1,
        "qwen_3_4b.safetensors qwen3-4b-fp8-scaled.safetensors",
        "qwen_3_8b_fp8mixed.safetensors qwen_2.5_vl_7b_fp8_scaled.safetensors qwen_4b_ace15.safetensors",
    ),
    (
        "qwen-image",
        0,
        "qwen_image_fp8_e4m3fn.safetensors qwen_image_2512_bf16.safetensors Qwen-Image-2512-FP8.safetensors"
        " qwen_image_distill_full_fp8_e4m3fn.safetensors",
        "qwen_image_edit_2511_fp8mixed.safetensors Qwen-Image-Q4_K_S.gguf qwen_image_layered_bf16.safetensors"
        " Qwen-Image-InstantX-ControlNet-Union.safetensors",
    ),
    (
        "qwen-image",
        1,
        "qwen_2.5_vl_7b_fp8_scaled.safetensors Qwen2.5-VL-7B-Instruct.safetensors qwen_2.5_vl_7b.safetensors",
        "qwen_3_4b.safetensors Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf qwen_2.5_vl_3b.safetensors",
    ),
    (
        "qwen-image",
        2,
        "qwen_image_vae.safetensors Qwen-Image_VAE.safetensors",
        "qwen_image_layered_vae.safetensors wan_2.1_vae.safetensors ae.safetensors",
    ),
    (
        "flux",
        0,
        "flux1-dev.safetensors flux1-dev-fp8.safetensors flux1-krea-dev_fp8_scaled.safetensors flux1-schnell.sft",
        "flux1-dev-kontext_fp8_scaled.safetensors flux1-fill-dev.safetensors flux1-depth-dev.safetensors"
        " flux1-dev-Q5_K_S.gguf flux2_dev_fp8mixed.safetensors flux1-canny-dev.safetensors",
    ),
    (
        "flux",
        1,
        "clip_l.safetensors CLIP-L.safetensors",
        "clip_g.safetensors clip_l_hidream.safetensors clip_large.safetensors",
    ),
    (
        "sd3.5",
        0,
        "sd3.5_large.safetensors SD35_medium_fp8.safetensors stable-diffusion-3.5-large-turbo.safetensors",
        "sd_xl_base_1.0.safetensors sd3_medium.safetensors sd3.5_large_controlnet_canny.safetensors",
    ),
    (
        "sd3.5",
        2,
        "clip_g.safetensors clip-g_fp16.safetensors",
        "clip_l.safetensors clip_g_hidream.safetensors",
    ),
    (
        "checkpoint",
        0,
        "sd_xl_base_1.0.safetensors dreamshaper_8.safetensors",
        "sd_xl_refiner_1.0.safetensors ltx-video-2b-v0.9.5.safetensors ace_step_v1_3.5b.safetensors"
        " sd-v1-5-inpainting.ckpt svd_xt.safetensors ltx-2-19b-distilled.safetensors",
    ),
    (
        "qwen-image-edit",
        0,
        "qwen_image_edit_2509_fp8_e4m3fn.safetensors qwen_image_edit_2511_fp8mixed.safetensors"
        " Qwen-Image-Edit-2511-bf16.safetensors qwen_image_edit_fp8_e4m3fn.safetensors",
        "qwen_image_2512_fp8_e4m3fn.safetensors Qwen-Image-Edit-2509-Q4_K_M.gguf qwen_image_layered_bf16.safetensors",
    ),
    (
        "flux-kontext",
        0,
        "flux1-dev-kontext_fp8_scaled.safetensors flux1-kontext-dev.safetensors FLUX.1-Kontext-dev-fp8.safetensors",
        "flux1-dev.safetensors flux1-kontext-dev-Q8_0.gguf svdq-int4_r32-flux.1-kontext-dev.safetensors",
    ),
    (
        "flux-image-to-image",
        0,
        "flux1-dev-fp8.safetensors flux1-schnell.safetensors",
        "flux1-fill-dev.safetensors flux1-dev-kontext_fp8_scaled.safetensors",
    ),
    (
        "flux-inpaint",
        0,
        "flux1-fill-dev.safetensors flux1-fill-dev_fp8.safetensors FLUX.1-Fill-dev-OneReward.safetensors",
        "flux1-dev.safetensors flux1-fill-dev-Q4_0.gguf",
    ),
    (
        "checkpoint-inpaint",
        0,
        "512-inpainting-ema.safetensors sd-v1-5-inpainting.ckpt sd_xl_base_1.0.safetensors",
        "sd_xl_refiner_1.0.safetensors svd_xt.safetensors",
    ),
    (
        "upscale",
        0,
        "RealESRGAN_x4plus.safetensors 4x-UltraSharp.pth 4x_NMKD-Siax_200k.pth",
        "1x_DeJPG_OmniSR.pth ltx-2-spatial-upscaler-x2-1.0.safetensors",
    ),
    (
        TEXT_TO_VIDEO_14B,
        0,
        "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors Wan2_2-T2V-A14B_HIGH_fp8_e4m3fn_scaled_KJ.safetensors"
        " wan2.2-t2v-a14b-high-bf16.safetensors",
        "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors"
        " wan2.1_t2v_14B_fp16.safetensors wan2.2_fun_control_high_noise_14B_fp8_scaled.safetensors"
        " wan2.2_t2v_high_noise_14B_Q4_K_M.gguf wan2.2_s2v_14B_bf16.safetensors wan2.2_animate_14B_bf16.safetensors",
    ),
    (
        TEXT_TO_VIDEO_14B,
        1,
        "wan2.2_t2v_low_noise_14B_fp16.safetensors Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors",
        "wan2.2_t2v_high_noise_14B_fp16.safetensors wan2.2_i2v_low_noise_14B_fp16.safetensors"
        " wan2.2_fun_camera_low_noise_14B_fp8_scaled.safetensors",
    ),
    (
        TEXT_TO_VIDEO_14B,
        2,
        "umt5_xxl_fp8_e4m3fn_scaled.safetensors umt5_xxl_fp16.safetensors umt5-xxl-fp8.safetensors",
        "umt5-xxl-enc-bf16.safetensors models_t5_umt5-xxl-enc-bf16.pth t5xxl_fp16.safetensors",
    ),
    (
        TEXT_TO_VIDEO_14B,
        3,
        "wan_2.1_vae.safetensors Wan2_1_VAE_bf16.safetensors Wan2.1_VAE.pth",
        "wan2.2_vae.safetensors qwen_image_vae.safetensors Wan2.1_VAE_upscale2x.safetensors",
    ),
    (
        "wan-image-to-video",
        0,
        "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors Wan2_2-I2V-A14B-HIGH_fp8_e4m3fn_scaled_KJ.safetensors",
        "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors wan2.2_ti2v_5B_fp16.safetensors"
        " wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors wan2.2_fun_inpaint_high_noise_14B_fp8_scaled.safetensors",
    ),
    (
        "wan-5b-text-to-video",
        0,
        "wan2.2_ti2v_5B_fp16.safetensors Wan2_2-TI2V-5B_fp8_e4m3fn_scaled_KJ.safetensors"
        " Wan2_2-TI2V-5B-FastWanFullAttn_bf16.safetensors",
        "wan2.2_fun_control_5B_bf16.safetensors wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors"
        " Wan2.2-TI2V-5B-Q4_K_M.gguf",
    ),
    (
        "wan-5b-text-to-video",
        2,
        "wan2.2_vae.safetensors Wan2_2_VAE_bf16.safetensors",
        "wan_2.1_vae.safetensors Wan2_1_VAE_bf16.safetensors",
    ),
    (
        "ltx-text-to-video",
        0,
        "ltx-video-2b-v0.9.safetensors ltxv-2b-0.9.8-distilled-fp8.safetensors ltxv-13b-0.9.7-dev.safetensors",
        "ltx-2-19b-distilled.safetensors ltxv-spatial-upscaler-0.9.8.safetensors"
        " ltxv-13b-0.9.7-distilled-lora128.safetensors",
    ),
    (
        "ltx2-text-to-video",
        0,
        "ltx-2-19b-distilled.safetensors ltx-2-19b-distilled-fp8.safetensors LTX-2-19B-distilled_nvfp4.safetensors",
        "ltx-2-19b-dev-fp8.safetensors ltx-2-19b-distilled-lora-384.safetensors ltx-2.3-22b-distilled-fp8.safetensors",
    ),
    (
        "ltx2-text-to-video",
        2,
        "gemma_3_12B_it_fp4_mixed.safetensors gemma-3-12b-it-fp8.safetensors",
        "gemma_2_2b_fp16.safetensors gemma-3-12b-it-abliterated_lora_rank64_bf16.safetensors",
    ),
    (
        "ltx2-text-to-video",
        4,
        "ltx-2-spatial-upscaler-x2-1.0.safetensors",
        "ltx-2.3-spatial-upscaler-x2-1.1.safetensors ltx-2-temporal-upscaler-x2-1.0.safetensors",
    ),
    (
        "ace-step",
        0,
        "ace_step_v1_3.5b.safetensors ACE-Step-v1-3.5B-fp16.safetensors",
        "ace_step_1.5_turbo_aio.safetensors sd_xl_base_1.0.safetensors",
    ),
    (
        "ace-step-1.5",
        0,
        "ace_step_1.5_turbo_aio.safetensors acestep-1.5-turbo.safetensors",
        "ace_step_v1_3.5b.safetensors sd_xl_base_1.0.safetensors",
    ),
]


@pytest.mark.parametrize(("workflow", "index", "fitting", "others"), FILES)
def test_a_file_is_known_by_its_name(workflow: str, index: int, fitting: str, others: str) -> None:
    need = ENTRIES[workflow].needs[index]
    names = [*fitting.split(), *others.split()]
    assert [name for name in names if need.fits(name)] == fitting.split()


def test_every_entry_has_file_names_to_be_known_by() -> None:
    shared = {"flux2-edit", "flux2-klein-edit", "checkpoint-image-to-image", "wan-5b-image-to-video"}
    shared |= {"ltx-image-to-video", "ltx2-image-to-video"}
    assert {row[0] for row in FILES} | shared == ENTRIES.keys()
    for name in shared:
        twin = {"flux2-edit": "flux2", "flux2-klein-edit": "flux2-klein", "checkpoint-image-to-image": "checkpoint"}
        same = ENTRIES[twin.get(name) or name.replace("image-to", "text-to")].needs
        assert [(need.match, need.avoid) for need in ENTRIES[name].needs] == [(n.match, n.avoid) for n in same]


def test_a_checkpoint_is_run_the_same_way_in_every_task() -> None:
    families = ENTRIES["checkpoint"].families
    assert ENTRIES["checkpoint-inpaint"].families == ENTRIES["checkpoint-image-to-image"].families == families


# --- running them ---


# What a person may set in the workflows of a task, at the least.
SETTABLE = {
    "text_to_image": {"prompt", "seed", "steps", "guidance", "width", "height", "batch_size", "model"},
    "image_edit": {"prompt", "seed", "steps", "guidance", "width", "height", "batch_size", "model"},
    "image_to_image": {"prompt", "seed", "steps", "guidance", "denoise", "width", "height", "model"},
    "inpaint": {"prompt", "seed", "steps", "guidance", "denoise", "width", "height", "model"},
    "upscale": {"width", "height"},
    "text_to_video": {"prompt", "seed", "width", "height", "length", "fps", "model"},
    "image_to_video": {"prompt", "seed", "width", "height", "length", "fps", "model"},
    "text_to_audio": {"prompt", "lyrics", "seed", "steps", "seconds", "model"},
}


@pytest.mark.parametrize("name", ENTRIES)
def test_what_a_person_sets_is_found_in_it(name: str) -> None:
    entry = ENTRIES[name]
    found = entry.workflow.parameters.keys()
    assert SETTABLE[entry.task] <= found
    assert {key for family in entry.families for key in family.defaults} <= found
    assert entry.workflow.value("denoise") in (None, 1.0, 0.75, 0.6)
    assert entry.task != "image_edit" or "denoise" not in found, "an edit begins with noise alone"
    rates = {
        tool.Target(node_id, key)
        for node_id, node in GRAPHS[name].items()
        for key in {"fps", "frame_rate"} & node["inputs"].keys()
    }
    assert set(entry.workflow.parameters.get("fps", ())) == rates, "the film runs as fast as the model was told"
    if entry.needs[0].folder != "upscale_models":
        assert entry.needs[0].target in entry.workflow.parameters["model"]


async def finished(session: aiohttp.ClientSession, graph: Mapping[str, Any]) -> dict[str, Any]:
    """The history of a prompt that the server takes, once it is done."""
    async with session.post("/prompt", json={"prompt": graph}) as answer:
        told = await answer.json()
        assert (answer.status, told.get("node_errors")) == (200, {}), told
    async with asyncio.timeout(30):
        while not (history := await (await session.get(f"/history/{told['prompt_id']}")).json()):
            await asyncio.sleep(0.02)
    ended: dict[str, Any] = history[told["prompt_id"]]
    return ended


@pytest.mark.usefixtures("closed_servers")
@each_release
async def test_it_is_chosen_and_runs(name: str, release: str) -> None:
    entry = ENTRIES[name]
    async with StandIn(release=release, models=models_of(entry.name), step_seconds=0.0) as comfy:
        async with tool.open_server(tool.Endpoint(comfy.url)) as server:
            named = tool.Argument(name, "workflow", 0)
            fitted = await tool.choose(server, tool.Request("x", workflow=named))
        assert (fitted.workflow.graph, fitted.notes, fitted.model) == (GRAPHS[name], (), entry.needs[0].file)
        small = {
            tool.Target(node_id, key): least
            for node_id, node in fitted.workflow.graph.items()
            for key, least in {"width": 128, "height": 128, "length": 9, "megapixels": 0.05}.items()
            if key in node["inputs"] and not tool.is_link(node["inputs"][key])
        }
        small |= {
            tool.Target(node_id, "value"): 9
            for node_id, node in fitted.workflow.graph.items()
            if node["_meta"]["title"] == "Length" and "value" in node["inputs"]
        }
        async with aiohttp.ClientSession(comfy.url) as session:
            graph = fitted.workflow.set(small).graph
            ended = await finished(session, graph)
    assert ended["status"]["status_str"] == "success", ended["status"]["messages"][-1]
    ((saved,),) = [ui.get("images") or ui.get("audio") for ui in ended["outputs"].values()]
    suffix = {"video": "mp4", "sound": "mp3"}.get(MADE.get(entry.task, ""), "png")
    assert (saved["subfolder"], saved["filename"].rpartition(".")[2]) == ("open-webui", suffix)


@pytest.mark.usefixtures("closed_servers")
async def test_nodes_that_read_the_same_file_read_the_one_that_was_named() -> None:
    entry = ENTRIES["ltx2-text-to-video"]
    models = models_of(entry.name)
    models["checkpoints"] += ["ltx-2-19b-distilled-fp8.safetensors"]
    async with StandIn(models=models) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        wish = tool.Request("x", (entry.task,), model=tool.Argument("ltx-2-19b-distilled-fp8", "model", 0))
        fitted = await tool.choose(server, wish)
    read = {node["inputs"]["ckpt_name"] for node in fitted.workflow.graph.values() if "ckpt_name" in node["inputs"]}
    assert read == {"ltx-2-19b-distilled-fp8.safetensors"}


@pytest.mark.usefixtures("closed_servers")
@pytest.mark.parametrize("name", ENTRIES)
async def test_what_is_missing_is_told_at_once_with_where_it_is_from(name: str) -> None:
    entry = ENTRIES[name]
    async with StandIn(models={}) as comfy, tool.open_server(tool.Endpoint(comfy.url)) as server:
        with pytest.raises(tool.ModelNotInstalled) as error:
            await tool.fit_entry(server, entry, None)
    for need in entry.needs:
        assert error.value.message.count(f"{need.folder}/{need.file} ({need.source})") == 1
    assert "Hugging Face" in error.value.hint


@pytest.mark.usefixtures("closed_servers")
@pytest.mark.parametrize("entry", FROM_TEXT, ids=lambda entry: entry.name)
async def test_each_bundled_workflow_makes_a_picture(entry: tool.Entry) -> None:
    async with StandIn(models=models_of(entry.name), step_seconds=0.0) as comfy:
        asked = tool.resolve(tool.Valves(), None).request("x", workflow=entry.name, size="64x64")
        result = await make(comfy, wish=asked, timing=tool.Timing())
        assert (result.workflow, len(result.products)) == (entry.name, 1)
        (posted,) = comfy.prompts
        assert "x" in [node["inputs"].get("text") for node in posted["prompt"].values()]


def painted(size: tuple[int, int]) -> Image.Image:
    """A picture of which no two parts are alike, with a hole for the mask in its middle."""
    image = Image.radial_gradient("L").resize(size)
    picture = Image.merge("RGBA", (image, image.transpose(Image.Transpose.ROTATE_180), ImageOps.invert(image), image))
    hole = Image.new("L", size, 255)
    hole.paste(0, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
    picture.putalpha(hole)
    return picture


async def run_with(comfy: StandIn, graph: dict[str, Any], picture: Image.Image) -> Image.Image:
    """What a graph makes of a picture."""
    async with aiohttp.ClientSession(comfy.url) as session:
        form = aiohttp.FormData()
        form.add_field("image", encoded(picture), filename="example.png", content_type="image/png")
        form.add_field("overwrite", "true")
        await session.post("/upload/image", data=form)
        ((saved,),) = [ui["images"] for ui in (await finished(session, graph))["outputs"].values()]
        async with session.get("/view", params=saved) as answer:
            return opened(await answer.read()).convert("RGB")


@pytest.mark.parametrize("name", ["flux-inpaint", "checkpoint-inpaint"])
@pytest.mark.parametrize("size", [(128, 96), (130, 100)])
async def test_what_the_mask_does_not_cover_stays(name: str, size: tuple[int, int]) -> None:
    entry, picture = ENTRIES[name], painted(size)
    graph = dict(entry.workflow.bind({"prompt": "a red fox", "width": size[0], "height": size[1], "steps": 1}).graph)
    async with StandIn(models=models_of(entry.name), step_seconds=0.0) as comfy:
        made = await run_with(comfy, graph, picture)
    assert made.size == size
    difference = ImageChops.difference(made, picture.convert("RGB"))
    assert difference.getbbox() is not None
    difference.paste(0, mask=ImageOps.invert(picture.getchannel("A")))
    assert difference.getbbox() is None


async def test_a_picture_is_enlarged_to_just_the_size_that_is_asked_for() -> None:
    entry = ENTRIES["upscale"]
    graph = dict(entry.workflow.bind({"width": 333, "height": 222}).graph)
    async with StandIn(models=models_of(entry.name)) as comfy:
        assert (await run_with(comfy, graph, painted((96, 64)))).size == (333, 222)


@pytest.mark.skipif(not REAL_URL, reason="COMFYUI_TEST_URL is not set")
@pytest.mark.parametrize(
    ("name", "count"), [(name, count + 1) for name in ENTRIES for count in range(TAKEN[name] or 1)]
)
async def test_a_real_server_takes_it(name: str, count: int) -> None:
    """Whatever files the server has: only a missing one may be complained of."""
    graph = with_images(name, count, defined()) or {}
    async with aiohttp.ClientSession() as session:
        for class_type in {node["class_type"] for node in graph.values()}:
            async with session.get(f"{REAL_URL}/object_info/{class_type}") as answer:
                if not await answer.json():
                    pytest.skip(f"this server has no {class_type}")
        async with session.post(f"{REAL_URL}/prompt", json={"prompt": graph}) as answer:
            status, told = answer.status, await answer.json()
        if prompt_id := told.get("prompt_id"):
            await session.post(f"{REAL_URL}/queue", json={"delete": [prompt_id]})
            await session.post(f"{REAL_URL}/interrupt", json={"prompt_id": prompt_id})
    widgets = {(need.target.node_id, need.target.input) for need in ENTRIES[name].needs}
    complaints = [
        (node_id, error["extra_info"]["input_name"], error["type"], error["details"])
        for node_id, found in told["node_errors"].items()
        for error in found["errors"]
    ]
    assert status == 200 or complaints, told
    for node_id, key, kind, details in complaints:
        missing_model = kind == "value_not_in_list" and (node_id, key) in widgets
        assert missing_model or "Invalid image file" in details, (node_id, key, kind, details)
