"""What a graph needs and makes: the files that it loads, and what becomes of it without them; its outputs, its models,
the nodes that are missing, and the task that it is for."""

import copy
from typing import Any

import pytest
from hypothesis import given

import comfyui_tool as tool
from tests.support.conversion import RELEASES
from tests.support.graphs import APART, BUNDLED, SWITCH, bundled, defined, graph, sampled, templates
from tests.support.odd_graphs import ALMOST_GRAPHS

KNOWN = defined(Switch=SWITCH)
PICTURE = ("LoadImage", {"image": "a.png"})


# --- files that a graph loads ---


def kinds(nodes: dict[str, Any], known: tool.Definitions = KNOWN) -> list[tuple[str, str]]:
    return [(file.target.node_id, file.kind) for file in tool.file_inputs(tool.Flow.of(nodes, known))]


@pytest.mark.parametrize("known", [KNOWN, {}])
def test_files_are_found_with_and_without_definitions(known: tool.Definitions) -> None:
    nodes = graph(
        a=("LoadImage", {"image": "a.png"}, "Face"),
        b=("LoadVideo", {"file": "b.mp4"}),
        c=("LoadAudio", {"audio": "c.mp3"}),
        d=("VHS_LoadVideo", {"video": "d.mp4"}),
        e=("Load3D", {"model_file": "e.glb"}),
        f=("LoadImageMask", {"image": "f.png"}),
    )
    assert kinds(nodes, known) == [*zip("abcdef", ["image", "video", "audio", "video", "3d", "mask"], strict=True)]
    assert tool.file_inputs(tool.Flow.of(nodes, known))[0] == tool.FileInput(
        tool.Target("a", "image"), "image", "Face", "a.png"
    )


def test_a_class_nobody_knows_tells_its_files_by_its_definition() -> None:
    about = {"Grab": {"input": {"required": {"clip": [["x.mp4"], {"video_upload": True}]}}}}
    assert kinds(graph(a=("Grab", {"clip": "x.mp4"})), defined(**about)) == [("a", "video")]


def test_a_picture_of_which_only_the_mask_is_used_is_a_mask() -> None:
    nodes = graph(a=("LoadImage", {"image": "a.png"}), b=("MaskPreview", {"mask": "a.1"}))
    assert kinds(nodes) == [("a", "mask")]
    nodes |= graph(a=("LoadImage", {"image": "a.png"}), c=("PreviewImage", {"images": "a.0"}))
    assert kinds(nodes) == [("a", "image")]


def test_files_that_nothing_needs_come_last() -> None:
    nodes = graph(
        a=("LoadImage", {"image": "a.png"}),
        b=("LoadImage", {"image": "b.png"}),
        c=("SaveImage", {"images": "b.0"}),
    )
    assert kinds(nodes) == [("b", "image"), ("a", "image")]


def test_a_file_that_comes_over_a_link_is_none_to_ask_for() -> None:
    assert kinds(graph(a=("LoadImage", {"image": "b.0"}), b=("PrimitiveString", {"value": "a.png"}))) == []


# --- outputs ---


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SaveImage", "image"),
        ("SaveAnimatedWEBP", "animation"),
        ("SaveWEBM", "video"),
        ("SaveVideo", "video"),
        ("VHS_VideoCombine", "video"),
        ("SaveAudioMP3", "audio"),
        ("SaveGLB", "3d"),
        ("SaveLatent", "latent"),
        ("SaveText", "text"),
        ("PreviewAny", "text"),
        ("CheckpointSave", "other"),
    ],
)
@pytest.mark.parametrize("known", [KNOWN, {}])
def test_an_output_node_tells_what_it_makes(name: str, kind: str, known: tool.Definitions) -> None:
    nodes = graph(a=(name, {"images": "b.0"} if kind == "image" else {}, "Result"), b=("EmptyImage",))
    about = {"output_node": True, "input": {}}
    known = {**known, name: known.get(name) or tool.NodeDefinition.parse(name, about)} if known else known
    assert tool.outputs(tool.Flow.of(nodes, known)) == (("Result", kind),)


def test_an_unknown_output_node_is_told_by_what_it_is_given() -> None:
    about = {"Keep": {"input": {"required": {"what": ["*"]}}, "output_node": True}}
    nodes = graph(a=("EmptyAudio",), b=("Keep", {"what": "a.0"}))
    assert tool.outputs(tool.Flow.of(nodes, defined(**about))) == (("Keep", "audio"),)


def test_what_is_only_shown_counts_when_nothing_is_saved() -> None:
    nodes = graph(a=("EmptyImage",), b=("PreviewImage", {"images": "a.0"}, "Look"))
    assert tool.outputs(tool.Flow.of(nodes, KNOWN)) == (("Look", "image"),)
    nodes |= graph(a=("EmptyImage",), c=("SaveImage", {"images": "a.0"}, "Keep"))
    assert tool.outputs(tool.Flow.of(nodes, KNOWN)) == (("Keep", "image"),)


# --- models and nodes ---


def models_in(nodes: dict[str, Any], known: tool.Definitions) -> list[tuple[str, str, bool | None]]:
    return [(file.folder, file.file, file.installed) for file in tool.model_files(nodes, known)]


def test_models_are_listed_with_their_folder_and_whether_they_are_installed() -> None:
    listed = {"ckpt_name": [["SDXL/base.safetensors"]]}
    known = defined(CheckpointLoaderSimple={"input": {"required": listed}, "output": ["MODEL", "CLIP", "VAE"]})
    nodes = graph(
        a=("CheckpointLoaderSimple", {"ckpt_name": "base.safetensors"}),
        b=("CheckpointLoaderSimple", {"ckpt_name": "other.safetensors"}),
        c=("Unknown", {"thing": "x.gguf", "text": "y"}),
        d=("CLIPVisionLoader", {"clip_name": "v.safetensors"}),
        e=("DualCLIPLoader", {"clip_name1": "l.safetensors", "clip_name2": "g.safetensors"}),
    )
    assert models_in(nodes, known)[:3] == [
        ("checkpoints", "base.safetensors", True),
        ("checkpoints", "other.safetensors", False),
        ("", "x.gguf", None),
    ]
    assert [folder for folder, _, _ in models_in(nodes, {})] == ["checkpoints"] * 2 + ["", "clip_vision"] + [
        "text_encoders"
    ] * 2


def test_a_widget_that_offers_model_files_names_one() -> None:
    about = {"Odd": {"input": {"required": {"weights": [["a.pth", "b.pth", "builtin"]], "mode": [["x", "y"]]}}}}
    assert models_in(graph(a=("Odd", {"weights": "builtin", "mode": "x"})), defined(**about)) == [("", "builtin", True)]


def test_embeddings_are_read_out_of_texts() -> None:
    nodes = graph(a=("CLIPTextEncode", {"text": "fox, embedding:easy, (embedding:sub/bad.pt:1.2) embedding:easy"}))
    assert models_in(nodes, KNOWN) == [("embeddings", "easy", None), ("embeddings", "sub/bad.pt", None)]


def test_a_stack_of_loras_names_those_that_are_on() -> None:
    rows = {"lora_1": {"on": True, "lora": "a.safetensors"}, "lora_2": {"on": False, "lora": "b.safetensors"}}
    assert models_in(graph(a=("Power Lora Loader (rgthree)", rows)), {}) == [("loras", "a.safetensors", None)]


@pytest.mark.parametrize("value", ["", "None", "https://x.test/a.safetensors", "use a\nb.safetensors", 5, None])
def test_what_names_no_file_is_none(value: Any) -> None:
    assert models_in(graph(a=("LoraLoader", {"lora_name": value})), {}) == []


def test_missing_classes_are_named_once_and_in_order() -> None:
    nodes = graph(a=("Zed",), b=("Abc",), c=("Zed",), d=("SaveImage",))
    assert tool.missing_nodes(nodes, KNOWN) == ("Abc", "Zed")


# --- tasks ---


def task_of(known: tool.Definitions = KNOWN, **more: Any) -> str:
    nodes = sampled(model="loader.0", **APART, **{key: node for key, node in more.items() if isinstance(node, tuple)})
    for path, link in more.items():
        if isinstance(link, list):
            node_id, name = path.split("__")
            nodes[node_id]["inputs"][name] = link
    return tool.guess_task(tool.Flow.of(nodes, known))


@pytest.mark.parametrize("known", [KNOWN, {}])
def test_a_picture_that_is_sampled_from_is_changed_as_a_whole(known: tool.Definitions) -> None:
    start: dict[str, Any] = {"a": PICTURE, "start": ("VAEEncode", {"pixels": "a.0"})}
    assert task_of(known) == "text_to_image"
    assert task_of(known, **start, sampler__latent_image=["start", 0]) == "image_to_image"


def test_a_picture_that_the_model_is_shown_is_edited() -> None:
    more: dict[str, Any] = {"a": PICTURE, "edit": ("TextEncodeQwenImageEdit", {"image1": "a.0", "clip": "clip.0"})}
    assert task_of(**more, sampler__positive=["edit", 0]) == "image_edit"


def test_a_mask_makes_it_inpainting() -> None:
    more: dict[str, Any] = {"a": PICTURE, "start": ("VAEEncodeForInpaint", {"pixels": "a.0", "mask": "a.1"})}
    assert task_of(**more, sampler__latent_image=["start", 0]) == "inpaint"


def test_a_picture_that_only_grows_is_upscaled() -> None:
    nodes = graph(a=PICTURE, b=("ImageUpscaleWithModel", {"image": "a.0"}), c=("SaveImage", {"images": "b.0"}))
    assert tool.guess_task(tool.Flow.of(nodes, KNOWN)) == tool.guess_task(tool.Flow.of(nodes, {})) == "upscale"


def test_videos_are_told_by_what_they_start_from() -> None:
    nodes = graph(a=("CreateVideo",), b=("SaveVideo", {"video": "a.0"}))
    assert tool.guess_task(tool.Flow.of(nodes, KNOWN)) == "text_to_video"
    nodes = graph(a=("CreateVideo", {"images": "c.0"}), b=("SaveVideo", {"video": "a.0"}), c=PICTURE)
    assert tool.guess_task(tool.Flow.of(nodes, KNOWN)) == "image_to_video"
    nodes = graph(b=("SaveVideo", {"video": "c.0"}), c=("LoadVideo", {"file": "x.mp4"}))
    assert tool.guess_task(tool.Flow.of(nodes, KNOWN)) == "video_to_video"


def test_sound_text_and_nothing_are_told_apart() -> None:
    assert (
        tool.guess_task(tool.Flow.of(graph(a=("EmptyAudio",), b=("SaveAudio", {"audio": "a.0"})), KNOWN))
        == "text_to_audio"
    )
    assert tool.guess_task(tool.Flow.of(graph(a=("PreviewAny", {"source": "x"})), KNOWN)) == "text"
    assert tool.guess_task(tool.Flow.of({}, KNOWN)) == "other"


# What their authors made them for.
TASKS = {
    "image2image": "image_to_image",
    "inpaint_example": "inpaint",
    "image_qwen_image_edit": "image_edit",
    "mixing_controlnets": "image_to_image",
    "sd3.5_simple_example": "text_to_image",
    "text_to_video_wan": "text_to_video",
    "video_wan2_2_14B_t2v": "text_to_video",
    "sdxl_simple_example": "text_to_image",
    "image_flux2_klein_image_edit_4b_base": "image_edit",
    "templates-image_to_real": "image_edit",
    "image_z_image_turbo": "text_to_image",
}


def test_official_templates_are_for_what_they_are_made_for() -> None:
    guessed = {}
    for release in RELEASES:
        known = defined(release)
        guessed |= {name: tool.guess_task(tool.Flow.of(nodes, known)) for name, nodes in templates(release).items()}
    assert {name: guessed[name] for name in TASKS} == TASKS


# --- files that nothing is given for ---


def left_out(nodes: dict[str, Any], *node_ids: str, known: tool.Definitions = KNOWN) -> Any:
    before = copy.deepcopy(nodes)
    pruned = tool.without_files(tool.Flow.of(nodes, known), [tool.Target(node_id, "image") for node_id in node_ids])
    assert nodes == before
    return pruned


def latent_of(picture: str, **more: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    """A picture that is scaled and encoded, as node "latent"."""
    return {
        "picture": PICTURE,
        "scale": ("ImageScaleToTotalPixels", {"image": f"{picture}.0", "upscale_method": "area", "megapixels": 1.0}),
        "encode": ("VAEEncode", {"pixels": "scale.0", "vae": "vae.0"}),
        "vae": ("VAELoader", {"vae_name": "v.safetensors"}),
        **more,
    }


def conditioned(link: list[Any], **more: tuple[Any, ...]) -> dict[str, Any]:
    """A graph that samples with conditioning from a link."""
    nodes = sampled(model="loader.0", **APART, **more)
    nodes["sampler"]["inputs"]["positive"] = link
    return nodes


def test_an_optional_input_loses_its_link_and_what_fed_only_it_goes() -> None:
    more = latent_of("picture", reference=("ReferenceLatent", {"conditioning": "clip.0", "latent": "encode.0"}))
    nodes = conditioned(["reference", 0], **more)
    nodes["reference"]["inputs"]["conditioning"] = ["positive", 0]
    pruned = left_out(nodes, "picture")
    assert nodes.keys() - pruned.keys() == {"picture", "scale", "encode", "vae"}
    assert pruned["reference"]["inputs"] == {"conditioning": ["positive", 0]}
    assert {node_id: pruned[node_id] for node_id in pruned if node_id != "reference"}.items() <= nodes.items()


def test_a_node_that_cannot_do_without_passes_on_what_else_it_is_given() -> None:
    control = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, "control_net": "net.0"}
    control |= {"image": "picture.0", "negative": "negative.0", "positive": "positive.0"}
    nodes = sampled(
        model="loader.0",
        **APART,
        picture=PICTURE,
        net=("ControlNetLoader", {"control_net_name": "c.safetensors"}),
        apply=("ControlNetApplyAdvanced", control),
    )
    for name, slot in (("positive", 0), ("negative", 1)):
        nodes["sampler"]["inputs"][name] = ["apply", slot]
        nodes["apply"]["inputs"][name] = [name, 0]
    pruned = left_out(nodes, "picture")
    assert nodes.keys() - pruned.keys() == {"picture", "net", "apply"}
    links = pruned["sampler"]["inputs"]
    assert (links["positive"], links["negative"]) == (["positive", 0], ["negative", 0])


GROWN = {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 50}}
BATCH = {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", GROWN]}}, "output": ["IMAGE"]}


def batch(*pictures: str) -> dict[str, Any]:
    nodes = graph(a=PICTURE, b=PICTURE, c=PICTURE, grown=("BatchImagesNode",), save=("SaveImage",))
    nodes["grown"]["inputs"] = {f"images.image{place}": [node_id, 0] for place, node_id in enumerate(pictures)}
    nodes["save"]["inputs"] = {"images": ["grown", 0], "filename_prefix": "x"}
    return nodes


@pytest.mark.parametrize(("absent", "left"), [("c", "ab"), ("a", "bc"), ("b", "ac"), ("ab", "c")])
def test_of_a_row_of_inputs_the_rest_moves_up(absent: str, left: str) -> None:
    pruned = left_out(batch("a", "b", "c"), *absent, known=defined(BatchImagesNode=BATCH))
    assert pruned["grown"]["inputs"] == {f"images.image{place}": [node_id, 0] for place, node_id in enumerate(left)}
    assert set(pruned) == {*left, "grown", "save"}


def test_a_row_that_loses_all_goes_with_what_is_saved_of_it() -> None:
    assert left_out(batch("a"), "a", known=defined(BatchImagesNode=BATCH)) is None


@pytest.mark.parametrize(("absent", "left"), ["ba", "ab"])
def test_a_row_that_a_choice_brings_is_one_too(absent: str, left: str) -> None:
    branch = {"key": "x", "inputs": {"required": {"images": ["COMFY_AUTOGROW_V3", GROWN]}}}
    about = {"input": {"required": {"model": ["COMFY_DYNAMICCOMBO_V3", {"options": [branch]}]}}, "output": ["IMAGE"]}
    nodes = graph(a=PICTURE, b=PICTURE, make=("Make", {"model": "x"}), save=("SaveImage", {"images": "make.0"}))
    nodes["make"]["inputs"] |= {"model.images.image0": ["a", 0], "model.images.image1": ["b", 0]}
    pruned = left_out(nodes, absent, known=defined(Make=about))
    assert pruned["make"]["inputs"] == {"model": "x", "model.images.image0": [left, 0]}
    assert left_out(nodes, "a", "b", known=defined(Make=about)) is None


def test_of_two_pictures_in_one_the_other_stays() -> None:
    inputs = {"image1": "a.0", "image2": "b.0"}
    nodes = graph(a=PICTURE, b=PICTURE, both=("ImageBatch", inputs), save=("SaveImage", {"images": "both.0"}))
    assert left_out(nodes, "b") == graph(a=PICTURE, save=("SaveImage", {"images": "a.0"}))
    assert left_out(nodes, "a") == graph(b=PICTURE, save=("SaveImage", {"images": "b.0"}))
    assert left_out(nodes, "a", "b") is None


@pytest.mark.parametrize("known", [KNOWN, {}])
def test_what_is_sampled_from_cannot_be_left_out(known: tool.Definitions) -> None:
    nodes = sampled(model="loader.0", **APART, **latent_of("picture"))
    nodes["sampler"]["inputs"]["latent_image"] = ["encode", 0]
    assert left_out(nodes, "picture", known=known) is None


def test_a_sampler_is_never_passed_by() -> None:
    nodes = conditioned(["see", 0], picture=PICTURE, see=("Seen", {"image": "picture.0"}))
    about = {"Seen": {"input": {"required": {"image": ["IMAGE"]}}, "output": ["CONDITIONING"]}}
    assert left_out(nodes, "picture", known=defined(**about)) is None


def test_one_of_two_latents_is_not_both() -> None:
    entry = next(entry for entry in tool.bundled_entries() if entry.name == "ltx2-image-to-video")
    graph = dict(entry.workflow.graph)
    assert left_out(graph, *(file.target.node_id for file in tool.file_inputs(tool.Flow.of(graph, KNOWN)))) is None


def test_a_picture_that_is_only_shown_besides_is_no_reason_to_need_it() -> None:
    more = latent_of("picture", reference=("ReferenceLatent", {"latent": "encode.0"}))
    nodes = conditioned(["reference", 0], **more, look=("PreviewImage", {"images": "scale.0"}))
    nodes["reference"]["inputs"]["conditioning"] = ["positive", 0]
    assert nodes.keys() - left_out(nodes, "picture").keys() == {"picture", "scale", "encode", "vae", "look"}
    assert left_out(graph(a=PICTURE, look=("PreviewImage", {"images": "a.0"})), "a") is None


def test_a_number_that_is_worked_out_of_a_picture_is_missed() -> None:
    nodes = sampled(model="loader.0", **APART, picture=PICTURE, size=("GetImageSize", {"image": "picture.0"}))
    nodes["latent"]["inputs"]["width"] = ["size", 0]
    assert left_out(nodes, "picture") is None


def test_what_nothing_needed_before_stays() -> None:
    nodes = sampled(model="loader.0", **APART, picture=PICTURE, scrap=("EmptyImage", {"width": 8, "height": 8}))
    assert left_out(nodes, "picture") == {node_id: node for node_id, node in nodes.items() if node_id != "picture"}
    assert left_out(nodes) == nodes


@given(ALMOST_GRAPHS)
def test_files_can_be_left_out_of_anything_and_leave_no_loose_link(whatever: dict[str, Any]) -> None:
    targets = [file.target for file in tool.file_inputs(tool.Flow.of(whatever, KNOWN))]
    pruned = tool.without_files(tool.Flow.of(whatever, KNOWN), targets)
    assert pruned is None or not pruned.keys() & {target.node_id for target in targets}
    try:
        tool.check_links(tool.graph_nodes(whatever), KNOWN)
    except tool.WorkflowRefused:
        return
    tool.check_links(tool.graph_nodes(pruned or {}), KNOWN)


# --- bundled workflows ---


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_graphs_are_understood(name: str) -> None:
    nodes = bundled(name)
    assert tool.guess_task(tool.Flow.of(nodes, KNOWN)) == "text_to_image"
    assert [kind for _, kind in tool.outputs(tool.Flow.of(nodes, KNOWN))] == ["image"]
    assert (tool.file_inputs(tool.Flow.of(nodes, KNOWN)), tool.missing_nodes(nodes, KNOWN)) == ((), ())
    assert all(file.folder for file in tool.model_files(nodes, KNOWN))
