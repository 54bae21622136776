"""What can be set in workflows of strangers, with nodes of packages: each graph is one of a kind that was read wrongly.

The question is always what the user gets, what feeds that, and what is read at all.
"""

from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import parsed
from tests.support.graphs import defined, encoder, found, node, sampler, text_to_image

LATENT, IMAGE, TEXT = ["LATENT"], ["IMAGE"], ["STRING"]


def known(**classes: dict[str, Any]) -> dict[str, tool.NodeDefinition]:
    """The definitions of common classes, and of these: their outputs, and whether they run for their own sake."""
    return defined() | parsed({name: {"input": {}} | about for name, about in classes.items()})


def reading(graph: dict[str, Any], definitions: Any, *names: str) -> dict[str, str]:
    """Where these parameters are set."""
    return {name: " ".join(places) for name, places in found(graph, *names, "", known=definitions).items() if places}


# --- which node's output the user gets ---


def test_a_node_that_only_notes_the_settings_for_a_file_samples_nothing() -> None:
    notes = node("Notes", positive="a cat", negative="ugly", width=1024, height=768, seed=7, steps=20, cfg=8.0)
    graph = text_to_image(notes=notes, save=node("Saver", images=("decode", 0), metadata=("notes", 0)))
    definitions = known(
        Notes={"output": ["METADATA", *TEXT]},
        Saver={"output": TEXT, "output_node": True, "input": {"required": {"images": IMAGE}}},
    )
    assert reading(graph, definitions, "prompt", "seed", "steps", "width", "model") == {
        "prompt": "good.text",
        "seed": "sampler.seed",
        "steps": "sampler.steps",
        "width": "latent.width",
        "model": "model.ckpt_name",
    }


@pytest.mark.parametrize("is_known", [True, False])
def test_a_saver_that_writes_the_settings_into_the_file_samples_nothing(is_known: bool) -> None:
    settings = {"positive": "unknown", "negative": "unknown", "seed": 0, "steps": 25, "cfg": 5.0, "width": 512}
    graph = text_to_image(save=node("Image Saver", images=("decode", 0), **settings))
    definitions = known(**{"Image Saver": {"output_node": True}}) if is_known else {}
    assert reading(graph, definitions, "prompt", "seed", "steps", "width") == {
        "prompt": "good.text",
        "seed": "sampler.seed",
        "steps": "sampler.steps",
        "width": "latent.width",
    }


def test_an_output_node_that_improves_a_prompt_is_not_the_end() -> None:
    graph = text_to_image(
        words=node("PrimitiveStringMultiline", value="a cat"),
        better=node("Improver", prompt=("words", 0), clip=("model", 1), system_prompt="You help.", seed=42),
        good=encoder(("better", 0)),
    )
    definitions = known(Improver={"output": TEXT, "output_node": True})
    assert reading(graph, definitions, "prompt", "seed", "steps") == {
        "prompt": "words.value",
        "seed": "sampler.seed",
        "steps": "sampler.steps",
    }


def test_an_output_node_that_nothing_else_tells_of_makes_what_it_gives() -> None:
    graph = text_to_image(save=node("Pipe", pipe=("decode", 0)))
    definitions = known(
        Pipe={"output": ["PIPE_LINE", "IMAGE"], "output_node": True, "input": {"required": {"pipe": ["X"]}}}
    )
    graph["decode"] = node("Bundle", samples=("sampler", 0))
    assert [kind for _, kind in tool.outputs(tool.Flow.of(graph, definitions))] == ["image"]


# --- words ---


def test_the_text_for_a_masked_part_is_not_the_prompt_though_it_comes_first() -> None:
    graph = text_to_image(region=encoder("a woman"), mask=node("LoadImage", image="m.png"))
    graph["part"] = node("Part", mask=("mask", 1), positive=("region", 0), negative=("bad", 0))
    graph["all"] = node("Several", conditioning_1=("part", 1), conditioning_2=("good", 0))
    graph["sampler"]["inputs"]["positive"] = ["all", 0]
    definitions = known(
        Part={"output": ["PARAMS", "CONDITIONING", "CONDITIONING"]}, Several={"output": ["CONDITIONING"]}
    )
    assert reading(graph, definitions, "prompt") == {"prompt": "good.text"}


def film(text: str, **begins: Any) -> dict[str, Any]:
    """A film that begins with the picture of `text_to_image`, with a text of its own."""
    return text_to_image(
        good=encoder(begins.get("words", "")),
        bad=encoder(""),
        film_text=encoder(text),
        start=node(
            "Film",
            positive=("film_text", 0),
            negative=("bad", 0),
            vae=("model", 2),
            image=("decode", 0),
            length=97,
            width=1024,
            height=768,
        ),
        move=sampler(positive=("start", 0), negative=("start", 1), latent_image=("start", 2), seed=8, steps=9),
        frames=node("VAEDecode", samples=("move", 0), vae=("model", 2)),
        save=node("SaveAnimatedWEBP", images=("frames", 0), fps=24.0),
    )


FILM = known(
    Film={"output": ["CONDITIONING", "CONDITIONING", "LATENT"], "input": {"required": {"vae": ["VAE"], "image": IMAGE}}}
)


def test_a_film_of_a_picture_that_nobody_wrote_words_for_takes_them_in_both_stages() -> None:
    assert reading(film(""), FILM, "prompt", "seed", "steps", "length") == {
        "prompt": "good.text film_text.text",
        "seed": "sampler.seed move.seed",
        "steps": "sampler.steps",
        "length": "start.length",
    }


def test_by_names_alone_an_encoder_with_an_empty_prompt_makes_nothing() -> None:
    words, latent = node("WrappedText", prompt="", model=("model", 0)), node("Encoder", image=("picture", 0))
    settings = {"model": ("model", 0), "text_embeds": ("words", 0), "samples": ("latent", 0), "steps": 9, "seed": 1}
    graph = WRAPPED | {"words": words, "latent": latent, "picture": node("LoadImage", image="a.png")}
    graph["sampler"] = node("Wrapped", cfg=6.0, **settings)
    assert found(graph, "prompt", "seed", "steps") == {
        "prompt": ["words.prompt"],
        "seed": ["sampler.seed"],
        "steps": ["sampler.steps"],
    }


def test_a_film_without_words_of_its_own_takes_those_of_its_first_picture() -> None:
    assert reading(film("", words="a fox"), FILM, "prompt", "length") == {
        "prompt": "good.text film_text.text",
        "length": "start.length",
    }


def test_a_film_with_words_of_its_own_is_asked_for_by_these() -> None:
    assert reading(film("it runs", words="a fox"), FILM, "prompt", "seed") == {
        "prompt": "film_text.text",
        "seed": "move.seed",
    }


def test_a_text_of_a_type_that_a_package_draws_itself_is_a_text() -> None:
    graph = text_to_image(good=node("Helped", text="a cat", clip=("model", 1)))
    helped = {
        "input": {"required": {"text": ["TYPED_WITH_HELP,STRING", {}], "clip": ["CLIP"]}},
        "output": ["CONDITIONING"],
    }
    assert reading(graph, known(Helped=helped), "prompt") == {"prompt": "good.text"}


def test_a_choice_of_a_guider_does_not_hide_the_texts_that_come_over_a_pipe() -> None:
    graph = text_to_image(
        loader=node("PipeLoader", ckpt_name="a.safetensors", positive="a cat", negative="ugly"),
        settings=node("PipeSettings", guider="CFG", steps=20, cfg=7.0, seed=5, pipe=("loader", 0)),
        run=node("PipeSampler", pipe=("settings", 0)),
        save=node("SaveImage", images=("run", 0), filename_prefix="x"),
    )
    pipe = {"output": ["PIPE_LINE"]}
    definitions = known(PipeLoader=pipe, PipeSettings=pipe, PipeSampler={"output": IMAGE})
    assert reading(graph, definitions, "prompt", "negative_prompt") == {
        "prompt": "loader.positive",
        "negative_prompt": "loader.negative",
    }


def joined(*titles: str) -> dict[str, Any]:
    """A prompt that is joined of two texts with these titles."""
    first, second = (node("PrimitiveString", title, value=title) for title in titles)
    both = node("StringConcatenate", string_a=("first", 0), string_b=("second", 0), delimiter=", ")
    return text_to_image(first=first, second=second, both=both, good=encoder(("both", 0)))


@pytest.mark.parametrize(
    "title", ["System", "Template", "Style", "Prefix", "Suffix", "Trigger words", "Instruction", "Rewrite"]
)
def test_of_two_texts_the_one_that_is_called_as_something_beside_the_prompt_is_not_typed_in(title: str) -> None:
    assert found(joined(title, "Text"), "prompt") == ["second.value"]


def test_of_two_texts_the_one_that_tells_a_language_model_what_it_is_is_not_typed_in() -> None:
    graph = joined("Text", "Text")
    graph["first"]["inputs"]["value"] = "You are an assistant that makes pictures. <Prompt Start> "
    assert found(graph, "prompt") == ["second.value"]


@pytest.mark.parametrize("title", ["User", "Description"])
def test_of_two_texts_the_one_that_is_called_the_users_is_typed_in(title: str) -> None:
    assert found(joined("Text", title), "prompt") == ["second.value"]


def test_by_names_alone_a_text_that_is_saved_comes_after_pictures() -> None:
    told = {"text": node("Save Text File", text=("tale", 0)), "tale": node("Storyteller", prompt="tell", seed=3)}
    assert found(told | text_to_image(), "prompt", "seed") == {"prompt": ["good.text"], "seed": ["sampler.seed"]}


# --- samplers of their own kind ---

WRAPPED = {
    "model": node("WrappedLoader", model="a.safetensors"),
    "words": node("WrappedText", prompt="a wolf"),
    "decode": node("WrappedDecode", samples=("sampler", 0)),
    "save": node("SaveAnimatedWEBP", images=("decode", 0), fps=24.0),
}
WRAPPED_KNOWN = known(
    WrappedLoader={"output": ["WRAPPEDMODEL"]},
    WrappedText={"output": ["WRAPPEDTEXT"]},
    WrappedDecode={"output": IMAGE},
    Wrapped={"output": LATENT},
    WrappedSize={"output": ["WRAPPEDPICTURE"]},
    Inverter={"output": LATENT},
    Encoder={"output": LATENT},
)


def test_a_sampler_has_a_size_a_length_and_a_guidance_of_its_own() -> None:
    inputs = {"width": 512, "height": 320, "num_frames": 85, "steps": 30, "embedded_guidance_scale": 6.0, "seed": 6}
    graph = WRAPPED | {"sampler": node("Wrapped", model=("model", 0), embeds=("words", 0), **inputs)}
    assert reading(graph, WRAPPED_KNOWN, "prompt", "width", "height", "length", "guidance") == {
        "prompt": "words.prompt",
        "width": "sampler.width",
        "height": "sampler.height",
        "length": "sampler.num_frames",
        "guidance": "sampler.embedded_guidance_scale",
    }


def test_a_size_for_generation_is_the_size() -> None:
    size = node("WrappedSize", generation_width=832, generation_height=480, num_frames=81)
    inputs = {"model": ("model", 0), "text_embeds": ("words", 0), "image_embeds": ("size", 0), "steps": 9, "cfg": 6.0}
    graph = WRAPPED | {"size": size, "sampler": node("Wrapped", seed=1, **inputs)}
    assert reading(graph, WRAPPED_KNOWN, "width", "height", "length") == {
        "width": "size.generation_width",
        "height": "size.generation_height",
        "length": "size.num_frames",
    }


def test_a_sampler_without_a_seed_takes_that_of_the_one_that_went_back_to_the_noise() -> None:
    graph = WRAPPED | {
        "picture": node("Encoder", image="a.png"),
        "nothing": node("WrappedSize"),
        "back": node(
            "Inverter",
            model=("model", 0),
            embeds=("nothing", 0),
            samples=("picture", 0),
            steps=30,
            seed=1,
            embedded_guidance_scale=0.0,
        ),
        "sampler": node(
            "Wrapped",
            model=("model", 0),
            embeds=("words", 0),
            samples=("picture", 0),
            inversed=("back", 0),
            steps=30,
            embedded_guidance_scale=6.0,
        ),
    }
    assert reading(graph, WRAPPED_KNOWN, "prompt", "seed", "steps", "guidance") == {
        "prompt": "words.prompt",
        "seed": "back.seed",
        "steps": "sampler.steps back.steps",
        "guidance": "sampler.embedded_guidance_scale",
    }


def test_the_guidance_and_batch_of_a_sampler_count_before_those_of_its_texts() -> None:
    graph = text_to_image(
        good=node("CLIPTextEncodeFlux", clip_l="a cat", t5xxl="a cat", guidance=3.5, clip=("model", 1))
    )
    own = {"batch_size": 1, "guidance": 4, "seed": 5, "steps": 16}
    graph["sampler"] = node("Own", model=("model", 0), positive=("good", 0), negative=("bad", 0), **own)
    graph["save"] = node("SaveImage", images=("sampler", 0), filename_prefix="x")
    definitions = known(Own={"output": IMAGE})
    assert reading(graph, definitions, "guidance", "batch_size") == {
        "guidance": "sampler.guidance",
        "batch_size": "sampler.batch_size",
    }


def test_a_guidance_that_has_a_beginning_and_an_end_is_set_in_both() -> None:
    graph = text_to_image()
    del graph["sampler"]["inputs"]["cfg"]
    graph["sampler"]["inputs"] |= {"cfg_scale_start": 2.0, "cfg_scale_end": 1.5}
    assert found(graph, "guidance") == ["sampler.cfg_scale_start", "sampler.cfg_scale_end"]


def test_settings_are_found_through_pipes_of_any_package() -> None:
    graph = text_to_image(
        settings=node("Settings", seed=5, steps=25), pack=node("Pack", config=("settings", 0), more=("other", 0))
    )
    graph |= {"other": node("Other", folder="x"), "unpack": node("Unpack", pipe=("pack", 0))}
    graph["sampler"]["inputs"] |= {"seed": ["unpack", 1], "steps": ["unpack", 2]}
    definitions = known(
        Settings={"output": ["CONFIG"]},
        Other={"output": ["SAVER_CONFIG"]},
        Pack={"output": ["SOME_PIPE"]},
        Unpack={"output": ["SOME_PIPE", "INT", "INT"]},
    )
    assert reading(graph, definitions, "seed", "steps") == {"seed": "settings.seed", "steps": "settings.steps"}


# --- sizes ---


def test_the_size_of_a_picture_is_found_behind_links_of_any_type() -> None:
    graph = text_to_image(
        picture=node("LoadImage", image="a.png"),
        resize=node("Resize", image=("picture", 0), width=1536, height=1024),
        vae=node("OwnVAE", vae=("model", 2)),
        stage=node("Stage", own_vae=("vae", 0), image=("resize", 0)),
        latent=node("OwnEncode", own_vae=("stage", 0), image=("stage", 1)),
    )
    definitions = known(
        Resize={"output": IMAGE},
        OwnVAE={"output": ["OWNVAE"]},
        Stage={"output": ["OWNVAE", *IMAGE]},
        OwnEncode={"output": LATENT},
    )
    assert reading(graph, definitions, "width", "height") == {"width": "resize.width", "height": "resize.height"}


def test_a_size_that_another_node_makes_anew_is_not_the_size() -> None:
    graph = text_to_image(
        picture=node("LoadImage", image="a.png"),
        resize=node("ImageScale", image=("picture", 0), width=512, height=512, upscale_method="area", crop="disabled"),
        total=node("ImageScaleToTotalPixels", image=("resize", 0), upscale_method="area", megapixels=1.0),
        latent=node("VAEEncode", pixels=("total", 0), vae=("model", 2)),
    )
    assert found(graph, "width", "height", known=defined()) == {"width": [], "height": []}


@pytest.mark.parametrize(
    ("chosen", "right"),
    [
        ("512 x 768", {"resolution": "latent.resolution"}),
        ("width x height (custom)", {"width": "latent.width", "height": "latent.height"}),
    ],
)
def test_a_size_out_of_a_list_leaves_width_and_height_idle(chosen: str, right: dict[str, str]) -> None:
    graph = text_to_image(latent=node("Sized", resolution=chosen, width=512, height=512, batch_size=1))
    assert reading(graph, known(Sized={"output": LATENT}), "width", "height", "resolution") == right


@pytest.mark.parametrize(
    ("chosen", "right"),
    [("3:4 portrait 896x1152", "aspect_ratio"), ("custom", "width height")],
)
def test_a_size_out_of_a_list_is_found_over_links(chosen: str, right: str) -> None:
    graph = text_to_image(preset=node("Preset", width=1024, height=1024, aspect_ratio=chosen))
    graph["latent"]["inputs"] |= {"width": ["preset", 0], "height": ["preset", 1]}
    places = reading(graph, known(Preset={"output": ["INT", "INT"]}), "width", "height", "aspect_ratio")
    assert places == {name: f"preset.{name}" for name in right.split()}


def test_a_model_in_another_format_is_a_model() -> None:
    assert found(text_to_image(model=node("LoaderGGUF", gguf_name="a.gguf")), "model") == ["model.gguf_name"]


def test_a_size_may_be_called_dimensions() -> None:
    graph = text_to_image(latent=node("Sized", dimensions="1024 x 1024  (square)", batch_size=1))
    assert reading(graph, known(Sized={"output": LATENT}), "size", "width") == {"size": "latent.dimensions"}


# --- films ---


def saver(images: str, rate: float, **inputs: Any) -> dict[str, Any]:
    return node("Combine", images=(images, 0), frame_rate=rate, **inputs)


FILMS = known(
    Combine={
        "output": ["FILES"],
        "output_node": True,
        "input": {"required": {"images": IMAGE}},
        "display_name": "Video",
    },
    SmoothVideo={"output": IMAGE},
)


def test_the_frames_of_a_film_that_are_made_as_a_batch_are_its_length() -> None:
    graph = text_to_image(save=node("SaveAnimatedWEBP", images=("decode", 0), fps=8.0))
    assert reading(graph, known(), "length", "batch_size") == {"length": "latent.batch_size"}
    graph["picture"] = node("SaveImage", images=("decode", 0), filename_prefix="x")
    assert reading(graph, known(), "length", "batch_size") == {"batch_size": "latent.batch_size"}


def test_savers_of_different_rates_keep_their_proportion() -> None:
    graph = text_to_image(
        save=saver("smooth", 32),
        smooth=node("SmoothVideo", frames=("decode", 0)),
        raw=saver("decode", 16, save_output=False),
    )
    assert reading(graph, FILMS, "fps") == {"fps": "save.frame_rate raw.frame_rate*0.5"}
    bound = tool.Workflow.parse("x", graph, FILMS).bind({"fps": 24}).graph
    assert [bound[key]["inputs"]["frame_rate"] for key in ("save", "raw")] == [24, 12]


# --- files ---


def test_a_picture_may_go_in_as_a_text() -> None:
    graph = text_to_image(
        picture=node("LoadImageBase64", base64_data="iVBORw0KGgo=", save_prefix="x"),
        latent=node("VAEEncode", pixels=("picture", 0), vae=("model", 2)),
        idle=node("LoadImageBase64", base64_data="iVBORw0KGgo="),
    )
    flow = tool.Flow.of(graph, known(LoadImageBase64={"output": ["IMAGE", "MASK"], "output_node": True}))
    picture, idle = tool.file_inputs(flow)
    assert (picture.target, picture.kind, picture.as_text, picture.needed) == (
        tool.Target("picture", "base64_data"),
        "image",
        True,
        True,
    )
    assert (idle.target.node_id, idle.needed) == ("idle", False)
    assert (tool.guess_task(flow), [kind for _, kind in tool.outputs(flow)]) == ("image_to_image", ["image"])


def test_remarks_that_exist_on_the_page_only_are_neither_missing_nor_sent() -> None:
    graph = text_to_image(remark=node("Label (rgthree)", "Models"), switch=node("Fast Groups Bypasser (rgthree)"))
    assert tool.missing_nodes(graph, defined()) == ()
    assert tool.clean(graph).keys() == text_to_image().keys()


# --- masks ---


@pytest.mark.parametrize(("reads", "masked"), [(False, False), (True, True)])
def test_a_mask_that_is_only_passed_on_counts_where_somebody_reads_it(reads: bool, masked: bool) -> None:
    graph = text_to_image(
        picture=node("LoadImage", image="a.png"),
        resize=node("ResizeBoth", image=("picture", 0), mask=("picture", 1), width=512, height=512),
        latent=node("VAEEncode", pixels=("resize", 0), vae=("model", 2)),
    )
    if reads:
        graph["noise"] = node("SetLatentNoiseMask", samples=("latent", 0), mask=("resize", 1))
        graph["sampler"]["inputs"]["latent_image"] = ["noise", 0]
    flow = tool.Flow.of(graph, known(ResizeBoth={"output": ["IMAGE", "MASK"]}))
    (file,) = tool.file_inputs(flow)
    assert (file.masked, tool.guess_task(flow) == "inpaint") == (masked, masked)
