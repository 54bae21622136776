"""Calls that work on files: which workflow a picture goes to, at what size and with which mask, how files reach the
server, and what comes back of a run, in which format."""

import asyncio
import base64
import contextlib
import functools
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageChops

import comfyui_tool as tool
from tests.support import MEDIA
from tests.support.graphs import graph
from tests.support.pictures import as_input, encoded, opened, still
from tests.support.runs import edit, make, models_of, order, pasted, sent, settings
from tests.support.stand_in import StandIn
from tests.support.stand_in.custom import CUSTOM_NODES
from tests.support.stand_in.files import File, Place
from tests.support.stand_in.media import clip, sound
from tests.support.stand_in.painting import stripes
from tests.support.watching import Watcher, until

SECRET = b"SECRET WORDS"  # in every file of `MEDIA`, and in nothing else of it
SD15 = {"checkpoints": ["v1-5-pruned-emaonly-fp16.safetensors"]}  # at its best at 0.26 megapixels
RED, GREEN, BLUE = (200, 20, 20), (20, 180, 20), (20, 20, 200)
LARGE = 24 * 2**20  # bytes; more than all buffers between here and the server hold

pytestmark = pytest.mark.usefixtures("closed_servers")


@contextlib.asynccontextmanager
async def server_with(*names: str, models: Any = None, **options: Any) -> AsyncIterator[StandIn]:
    """A stand-in server with the models that these bundled workflows need, and with others."""
    found = models_of(*names)
    for folder, files in (models or {}).items():
        found[folder] = [*found.get(folder, []), *files]
    async with StandIn(models=found, step_seconds=0.0, **options) as comfy:
        yield comfy


@functools.cache
def picture(colour: Any = RED, size: tuple[int, int] = (320, 240)) -> tool.InputFile:
    """A picture of one colour, which is the same object each time."""
    return still(size, colour)


def varied(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture of which no two parts are alike."""
    image = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), Image.new("L", size, 90)))


def drawn_mask(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """White in the middle, a quarter of the picture."""
    mask = Image.new("L", size)
    mask.paste(255, (size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4))
    return mask


def enlarge(file: tool.InputFile, **arguments: Any) -> tool.Request:
    """A call of upscale_image with these arguments."""
    return settings().enlarge(file, **arguments)


async def run_saved(comfy: StandIn, saved: Any, *files: tool.InputFile | None, **options: Any) -> tool.RunResult:
    """What becomes of one workflow that somebody saved."""
    return await make(comfy, wish=order("x", None, *files), catalogue=pasted(x=saved), **options)


def inputs_of(comfy: StandIn, class_type: str) -> list[dict[str, Any]]:
    """The inputs of all nodes of a class in the last prompt."""
    return [node["inputs"] for node in comfy.prompts[-1]["prompt"].values() if node["class_type"] == class_type]


def size_of(made: tool.RunResult) -> tuple[int, int]:
    """Width and height of the one picture that was made."""
    (product,) = made.products
    assert product.size
    return product.size.width, product.size.height


# --- choosing ---


async def test_a_picture_goes_to_the_edit_model_where_one_is_installed() -> None:
    async with server_with("flux-kontext", models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(RED, (512, 512))))
    assert made.workflow == "flux-kontext"
    assert stripes(opened(made.products[0]), 1) == [RED]


async def test_without_one_it_is_painted_over_as_strongly_as_is_asked_for() -> None:
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(), strength=0.35))
        assert inputs_of(comfy, "KSampler")[0]["denoise"] == 0.35
    assert (made.workflow, made.notes) == ("checkpoint-image-to-image", ())


async def test_strength_is_left_out_with_a_note_where_there_is_none() -> None:
    async with server_with("flux-kontext") as comfy:
        made = await make(comfy, wish=edit(picture(RED, (512, 512)), strength=0.35))
    assert made.notes == ('the workflow "flux-kontext" has no strength; it was left out',)


async def test_with_a_mask_it_is_inpainted_also_where_an_edit_model_is_installed() -> None:
    async with server_with("flux-kontext", models=SD15) as comfy:
        assert (await make(comfy, wish=edit(picture(), mask=drawn_mask()))).workflow == "checkpoint-inpaint"


@pytest.mark.parametrize("colours", [[RED], [RED, GREEN], [BLUE, RED, GREEN]])
async def test_so_many_pictures_go_to_a_workflow_that_takes_them_in_their_order(colours: Any) -> None:
    async with server_with("qwen-image-edit", models=SD15) as comfy:
        made = await make(comfy, wish=edit(*(picture(colour, (512, 512)) for colour in colours)))
        assert len(inputs_of(comfy, "LoadImage")) == len(colours)
    assert (made.workflow, made.notes) == ("qwen-image-edit", ())
    assert stripes(opened(made.products[0]), len(colours)) == colours


async def test_a_workflow_that_takes_fewer_is_passed_over() -> None:
    async with server_with("flux-kontext", "flux2-klein-edit") as comfy:
        first = await make(comfy, wish=edit(picture(RED, (512, 512)), model="flux1-dev-kontext_fp8_scaled"))
        more = await make(comfy, wish=edit(*(picture(colour, (512, 512)) for colour in (RED, GREEN, BLUE))))
    assert (first.workflow, more.workflow) == ("flux-kontext", "flux2-klein-edit")


async def test_two_pictures_with_nothing_that_takes_two_name_what_to_install() -> None:
    async with server_with(models=SD15) as comfy:
        with pytest.raises(tool.ModelNotInstalled) as error:
            await make(comfy, wish=edit(picture(RED), picture(GREEN)))
        assert not comfy.uploads
    assert error.value.message == "No model is installed that takes 2 pictures."
    assert error.value.hint.startswith("One takes one picture: give it in `images`.")
    assert "diffusion_models/flux1-dev-kontext_fp8_scaled.safetensors" in error.value.hint
    assert "checkpoint" not in error.value.hint


async def test_more_pictures_than_any_workflow_takes_are_refused() -> None:
    async with server_with("qwen-image-edit") as comfy:
        with pytest.raises(tool.BadArgument, match="4 pictures were given, which no workflow takes") as error:
            await make(comfy, wish=edit(*[picture()] * 4))
        assert not comfy.uploads
    assert error.value.hint == "Give at most 3."


async def test_a_model_that_is_named_and_only_paints_over_does_so() -> None:
    async with server_with("flux-kontext", models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(), model="v1-5-pruned-emaonly-fp16"))
    assert made.workflow == "checkpoint-image-to-image"


async def test_a_model_that_is_named_and_fits_nothing_is_refused() -> None:
    models = SD15 | {"diffusion_models": ["z_image_turbo_bf16.safetensors"]}
    async with server_with("flux-kontext", models=models) as comfy:
        with pytest.raises(tool.ModelNotInstalled, match=r"z_image_turbo_bf16.* is installed, but no"):
            await make(comfy, wish=edit(picture(), model="z_image_turbo_bf16"))


async def test_pictures_for_a_task_that_takes_none_are_refused() -> None:
    async with server_with(models=SD15) as comfy:
        with pytest.raises(tool.BadArgument) as error:
            await make(comfy, wish=order("text_to_image", {"prompt": "a fox"}, picture()))
        assert not comfy.uploads
    assert error.value.message == "A picture was given, which no workflow takes."
    assert error.value.hint == "Leave it out, or name a workflow or a task that takes pictures, such as image_edit."


async def test_a_model_that_is_named_and_takes_fewer_pictures_is_not_said_to_be_missing() -> None:
    async with server_with("flux-kontext", models=SD15) as comfy:
        with pytest.raises(tool.ModelNotInstalled, match=r"fp16.* is installed, but no workflow that takes 2 pictures"):
            await make(comfy, wish=edit(picture(RED), picture(GREEN), model="v1-5-pruned-emaonly-fp16"))
        assert not comfy.uploads


@pytest.mark.parametrize("model", ["z_image_turbo_bf16", "v1-5-pruned-emaonly-fp16", "of yesterday"])
async def test_a_model_of_a_valve_that_does_not_edit_is_passed_over(model: str) -> None:
    models = SD15 | {"diffusion_models": ["z_image_turbo_bf16.safetensors"]}
    async with server_with("flux-kontext", models=models) as comfy:
        made = await make(comfy, wish=edit(picture(RED, (512, 512)), valves={"model": model}))
    assert made.workflow == "flux-kontext"


async def test_a_model_of_a_valve_that_fits_comes_before_others() -> None:
    models = {"checkpoints": ["aaa.safetensors", *SD15["checkpoints"]]}
    async with server_with(models=models) as comfy:
        made = await make(comfy, wish=edit(picture(), valves={"model": "v1-5-pruned-emaonly-fp16"}))
    assert made.model == "v1-5-pruned-emaonly-fp16.safetensors"


async def test_the_valves_for_new_pictures_do_not_hold_for_edits() -> None:
    valves = {"size": "64x64", "workflow": "checkpoint", "negative_prompt": "rain"}
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(), valves=valves))
        assert "rain" in {inputs["text"] for inputs in inputs_of(comfy, "CLIPTextEncode")}
    assert (made.workflow, size_of(made)) == ("checkpoint-image-to-image", (320, 240))


async def test_the_valve_for_edits_names_their_workflow() -> None:
    async with server_with("flux-kontext", models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(), valves={"edit_workflow": "checkpoint-image-to-image"}))
    assert made.workflow == "checkpoint-image-to-image"


async def test_the_valve_for_edits_does_not_stand_in_the_way_of_a_mask_or_of_more_pictures() -> None:
    valves = {"edit_workflow": "checkpoint-image-to-image"}
    notes = ('Your valve "edit_workflow" names "checkpoint-image-to-image", which does not take what was given, and',)
    async with server_with("flux-kontext", models=SD15) as comfy:
        masked = await make(comfy, wish=edit(picture(), mask=drawn_mask(), valves=valves))
        two = await make(comfy, wish=edit(picture(RED, (512, 512)), picture(GREEN), valves=valves))
        with pytest.raises(tool.BadArgument, match="takes 1 image, and 2 were given"):
            await make(comfy, wish=edit(picture(RED), picture(GREEN), workflow="checkpoint-image-to-image"))
    assert (masked.workflow, two.workflow) == ("checkpoint-inpaint", "flux-kontext")
    assert all(note.startswith(notes) for made in (masked, two) for note in made.notes)
    assert len(masked.notes) == len(two.notes) == 1


@pytest.mark.parametrize("name", ["image_to_video", "Image to video", "image-to-video"])
async def test_the_name_of_a_task_stands_for_its_workflows(name: str) -> None:
    async with server_with("ltx-image-to-video") as comfy:
        made = await make(comfy, wish=order(name, {"prompt": "a fox", "length": 9, "steps": 1}, picture()))
    assert made.workflow == "ltx-image-to-video"
    assert [product.content_type for product in made.products] == ["video/mp4"]


async def test_a_saved_workflow_that_is_called_like_a_task_comes_first() -> None:
    async with server_with(models=SD15) as comfy:
        comfy.userdata["workflows/image_to_video.json"] = File(json.dumps(shown()).encode())
        made = await make(comfy, wish=order("image_to_video", None, picture()))
    assert (made.workflow, made.products[0].content_type) == ("image_to_video", "image/png")


@pytest.mark.parametrize(
    ("wish", "file"),
    [
        (edit(picture()), "checkpoints/sd_xl_base_1.0.safetensors"),
        (edit(picture(), mask=drawn_mask()), "diffusion_models/flux1-fill-dev.safetensors"),
        (enlarge(picture()), "upscale_models/RealESRGAN_x4plus.safetensors"),
        (order("image_to_video", None, picture()), "checkpoints/ltx-video-2b-v0.9.5.safetensors"),
    ],
    ids=["edit", "inpaint", "upscale", "video"],
)
async def test_with_nothing_installed_the_error_names_what_to_install(wish: tool.Request, file: str) -> None:
    async with server_with() as comfy:
        with pytest.raises(tool.ModelNotInstalled) as error:
            await make(comfy, wish=wish)
        assert not comfy.uploads
    assert file in error.value.hint
    assert "Hugging Face" in error.value.hint


# --- sizes ---


@pytest.mark.parametrize(
    ("own", "size"),
    [((320, 240), (320, 240)), ((330, 250), (336, 256)), ((512, 768), (416, 624)), ((96, 64), (624, 416))],
)
async def test_the_result_has_the_pictures_size_where_the_model_can_and_else_its_proportions(
    own: tuple[int, int], size: tuple[int, int]
) -> None:
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(RED, own)))
    assert (size_of(made), made.notes) == (size, ())


@pytest.mark.parametrize("own", [(1600, 16), (8, 640)])
async def test_a_picture_of_extreme_proportions_is_edited_all_the_same(own: tuple[int, int]) -> None:
    async with server_with(models=SD15) as comfy:
        width, height = size_of(await make(comfy, wish=edit(picture(RED, own))))
    assert (width % 16, height % 16) == (0, 0)
    assert (width > height) == (own[0] > own[1])
    assert 0.15 < width * height / 1e6 < 0.4


@pytest.mark.parametrize(("asked", "size"), [("384x256", (384, 256)), ("1:1", (512, 512)), ("portrait", (448, 640))])
async def test_a_size_that_is_given_comes_before_the_pictures(asked: str, size: tuple[int, int]) -> None:
    async with server_with(models=SD15) as comfy:
        assert size_of(await make(comfy, wish=edit(picture(), size=asked))) == size


async def test_the_limit_in_megapixels_holds_for_the_pictures_size_and_for_one_that_is_given() -> None:
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=edit(picture(RED, (512, 512))), limits=tool.Limits(megapixels=0.1))
        with pytest.raises(tool.LimitExceeded, match="allows at most 0"):
            await make(comfy, wish=edit(picture(), size="400x400"), limits=tool.Limits(megapixels=0.1))
    assert size_of(made) == (304, 304)


@pytest.mark.parametrize(
    ("own", "size"), [((704, 448), (704, 448)), ((480, 352), (512, 384)), ((1600, 600), (1024, 384))]
)
async def test_a_film_has_sides_in_multiples_of_64(own: tuple[int, int], size: tuple[int, int]) -> None:
    async with server_with("ltx-image-to-video") as comfy:
        inputs = {"prompt": "a fox", "length": 9, "steps": 1}
        await make(comfy, wish=order("ltx-image-to-video", inputs, picture(RED, own)))
        (scaled,) = inputs_of(comfy, "ImageScale")
    assert (scaled["width"], scaled["height"]) == size


# --- masks ---


def assert_painted_inside(made: tool.RunResult, before: Image.Image, mask: Image.Image) -> None:
    """Painted anew where the mask is white, and pixel for pixel the same where it is black."""
    difference = ImageChops.difference(opened(made.products[0]).convert("RGB"), before)
    assert difference.crop(mask.getbbox()).getbbox() is not None
    difference.paste(0, mask=mask)
    assert difference.getbbox() is None


async def test_what_the_mask_does_not_cover_stays_as_it_was() -> None:
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=edit(as_input(varied()), mask=drawn_mask()))
    assert_painted_inside(made, varied(), drawn_mask())
    assert made.notes == ()


async def test_what_is_transparent_in_the_picture_is_its_mask() -> None:
    holed = varied()
    holed.putalpha(ImageChops.invert(drawn_mask()))
    given = as_input(holed)
    async with server_with(models=SD15) as comfy:
        for wish in (
            edit(given, mask=tool.mask_of(given)),
            order("checkpoint-inpaint", {"prompt": "a fox", "steps": 1}, given),
        ):
            assert_painted_inside(await make(comfy, wish=wish), varied(), drawn_mask())


async def test_a_mask_of_another_size_is_scaled_and_that_is_said() -> None:
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=edit(as_input(varied()), mask=drawn_mask((160, 120))))
    grown = drawn_mask().resize((160, 120)).resize((320, 240)).point(lambda value: 255 * (value > 0))
    assert_painted_inside(made, varied(), grown)
    assert made.notes == ("the mask of 160x120 was scaled to 320x240",)


@pytest.mark.parametrize("name", ["checkpoint-inpaint", "inpaint"])
async def test_the_picture_after_the_last_one_is_the_mask(name: str) -> None:
    files = [as_input(image) for image in (varied(), drawn_mask())]
    async with server_with(models=SD15) as comfy:
        made = await make(comfy, wish=order(name, {"prompt": "a fox", "steps": 1}, *files))
        assert len(comfy.uploads) == 1
    assert_painted_inside(made, varied(), drawn_mask())


def masking(**loader: Any) -> dict[str, Any]:
    """A graph that brings a picture and a mask back as they were loaded."""
    channel = loader.get("channel")
    kind = "LoadImageMask" if channel else "LoadImage"
    return graph(
        one=("LoadImage", {"image": "example.png"}),
        mask=(kind, {"image": "example.png", **loader}),
        seen=("MaskToImage", {"mask": "mask.0" if channel else "mask.1"}),
        first=("SaveImage", {"images": "one.0", "filename_prefix": "x"}),
        second=("SaveImage", {"images": "seen.0", "filename_prefix": "x"}),
    )


@pytest.mark.parametrize("loader", [{"channel": c} for c in ("alpha", "red", "green", "blue")] + [{}], ids=str)
async def test_every_way_to_load_a_mask_gives_the_mask_that_was_given(loader: Any) -> None:
    files = [as_input(image) for image in (varied(), drawn_mask())]
    async with server_with() as comfy:
        by_order = await run_saved(comfy, masking(**loader), *files)
        by_name = await make(
            comfy, wish=replace(order("x", None, files[0]), mask=drawn_mask()), catalogue=pasted(x=masking(**loader))
        )
    for made in (by_order, by_name):
        first, second = (opened(product).convert("RGB") for product in made.products)
        assert first.tobytes() == varied().tobytes()
        assert second.tobytes() == drawn_mask().convert("RGB").tobytes()


async def test_a_picture_may_be_the_mask_as_well() -> None:
    two = graph(
        one=("LoadImage", {"image": "example.png"}),
        other=("LoadImage", {"image": "example.png"}),
        mask=("LoadImageMask", {"image": "example.png", "channel": "red"}),
        batch=("ImageBatch", {"image1": "one.0", "image2": "other.0"}),
        seen=("MaskToImage", {"mask": "mask.0"}),
        first=("SaveImage", {"images": "batch.0", "filename_prefix": "x"}),
        second=("SaveImage", {"images": "seen.0", "filename_prefix": "x"}),
    )
    mask = as_input(drawn_mask())
    async with server_with() as comfy:
        made = await run_saved(comfy, two, mask, picture(GREEN), mask)
    assert [opened(product).convert("RGB").getpixel((160, 120)) for product in made.products] == [
        (255, 255, 255),
        GREEN,
        (255, 255, 255),
    ]


async def test_a_workflow_that_takes_no_mask_refuses_one() -> None:
    async with server_with(models=SD15) as comfy:
        with pytest.raises(tool.BadArgument, match='"checkpoint-image-to-image" takes no mask'):
            await make(comfy, wish=edit(picture(), mask=drawn_mask(), workflow="checkpoint-image-to-image"))
        assert not comfy.uploads


async def test_a_bundled_inpaint_without_any_mask_is_refused_before_anything_is_sent() -> None:
    async with server_with(models=SD15) as comfy:
        with pytest.raises(tool.BadArgument, match='"checkpoint-inpaint" needs a mask'):
            await make(comfy, wish=order("checkpoint-inpaint", {"prompt": "a fox"}, picture()))
        assert not comfy.uploads
        assert not comfy.prompts


async def test_a_mask_without_anything_white_is_refused() -> None:
    black = as_input(Image.new("RGB", (320, 240)))
    async with server_with(models=SD15) as comfy:
        with pytest.raises(tool.BadArgument, match="no white part"):
            await make(comfy, wish=order("checkpoint-inpaint", {"prompt": "a fox"}, picture(), black))
        assert not comfy.uploads


async def test_a_saved_workflow_that_would_use_a_mask_runs_without_one_and_says_so() -> None:
    saved = graph(
        one=("LoadImage", {"image": "example.png"}, "Photo"),
        seen=("MaskToImage", {"mask": "one.1"}),
        first=("SaveImage", {"images": "one.0", "filename_prefix": "x"}),
        second=("SaveImage", {"images": "seen.0", "filename_prefix": "x"}),
    )
    async with server_with() as comfy:
        made = await run_saved(comfy, saved, picture())
    assert made.notes == ('no mask was given for "Photo", and the picture has no transparent part',)


# --- pictures that need not be given ---


def shown(**loaders: str) -> dict[str, Any]:
    """A graph that brings pictures back as they were loaded, in one batch; title and file of each."""
    (first, *others) = (loaders or {"Photo": "example.png"}).items()
    nodes: dict[str, Any] = {"n0": ("LoadImage", {"image": first[1]}, first[0])}
    last = "n0.0"
    for number, (title, name) in enumerate(others, 1):
        nodes[f"n{number}"] = ("LoadImage", {"image": name}, title)
        nodes[f"b{number}"] = ("ImageBatch", {"image1": last, "image2": f"n{number}.0"})
        last = f"b{number}.0"
    return graph(**nodes, save=("SaveImage", {"images": last, "filename_prefix": "x"}))


def colours(made: tool.RunResult) -> list[Any]:
    """The colour of each picture near its corner."""
    return [opened(product).convert("RGB").getpixel((5, 5)) for product in made.products]


async def test_a_picture_for_which_nothing_was_given_is_done_without_where_that_can_be() -> None:
    async with server_with() as comfy:
        made = await run_saved(comfy, shown(First="gone.png", Second="gone too.png"), picture(RED))
        assert len(inputs_of(comfy, "LoadImage")) == 1
    assert colours(made) == [RED]
    assert made.notes == ('the workflow was run without the image for "Second"',)


async def test_with_none_given_all_that_is_wanting_is_named() -> None:
    async with server_with() as comfy:
        with pytest.raises(tool.BadArgument) as error:
            await run_saved(comfy, shown(First="gone.png", Second="gone too.png"))
        assert not comfy.prompts
    assert error.value.message == 'The workflow "x" needs the image for "First" and the image for "Second".'


async def test_saved_in_place_of_a_file_keeps_the_authors() -> None:
    async with server_with() as comfy:
        comfy.files.put(Place("input", "", "mine.png"), picture(BLUE).data)
        made = await run_saved(comfy, shown(First="mine.png", Second="example.png"), None, picture(RED))
        assert len(comfy.uploads) == 1
    assert colours(made) == [BLUE, RED]


async def test_saved_where_the_server_lacks_the_authors_is_wanting() -> None:
    async with server_with() as comfy:
        with pytest.raises(tool.BadArgument, match='needs the image for "Photo"'):
            await run_saved(comfy, shown(Photo="gone.png"), None)


async def test_the_chats_newest_picture_is_taken_when_none_is_given_and_only_then() -> None:
    catalogue = pasted(x=shown())
    async with server_with() as comfy:
        offered = await make(comfy, wish=order("x", None, image=picture(GREEN)), catalogue=catalogue)
        given = await make(comfy, wish=order("x", None, picture(RED), image=picture(GREEN)), catalogue=catalogue)
        kept = await make(comfy, wish=order("x", None, None, image=picture(GREEN)), catalogue=catalogue)
        assert len(comfy.uploads) == 2
    assert (colours(offered), colours(given)) == ([GREEN], [RED])
    assert colours(kept)[0] not in (RED, GREEN)


async def test_what_the_chat_offers_is_not_even_read_where_nothing_takes_it() -> None:
    async def offer() -> tool.InputFile:
        raise AssertionError("nobody asked for it")

    wish = settings().order("x", None, (), {"image": offer, "video": offer})
    saved = graph(
        empty=("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0}),
        save=("SaveImage", {"images": "empty.0", "filename_prefix": "x"}),
    )
    async with server_with() as comfy:
        assert (await make(comfy, wish=wish, catalogue=pasted(x=saved))).products


FILM = graph(
    load=("LoadVideo", {"file": "gone.mp4"}),
    save=("SaveVideo", {"video": "load.0", "filename_prefix": "x", "format": "auto", "codec": "auto"}),
)
SONG = graph(
    load=("LoadAudio", {"audio": "gone.flac"}), save=("SaveAudio", {"audio": "load.0", "filename_prefix": "x"})
)


@pytest.mark.parametrize("release", ["0.3.64", "0.33.0"])
@pytest.mark.parametrize(
    ("saved", "kind", "name"), [(FILM, "video", "clip.mp4"), (SONG, "audio", "sound.flac")], ids=["video", "sound"]
)
async def test_films_and_sounds_go_in_as_pictures_do(saved: Any, kind: str, name: str, release: str) -> None:
    data = (MEDIA / name).read_bytes()
    file = tool.InputFile(data, name.rpartition(".")[2], kind=kind)
    async with server_with(release=release) as comfy:
        offered = await make(comfy, wish=order("x", None, image=picture(), **{kind: file}), catalogue=pasted(x=saved))
        given = await run_saved(comfy, saved, file)
        with pytest.raises(tool.BadArgument, match="takes no images, and 1 was given"):
            await run_saved(comfy, saved, picture())
    assert [product.data.whole() for made in (offered, given) for product in made.products] == [data, data]


async def test_saved_keeps_the_authors_film_and_mask_as_well() -> None:
    data = (MEDIA / "clip.mp4").read_bytes()
    async with server_with() as comfy:
        comfy.files.put(Place("input", "", "gone.mp4"), data)
        made = await make(
            comfy,
            wish=order("x", None, None, video=tool.InputFile(b"new", "mp4", kind="video")),
            catalogue=pasted(x=FILM),
        )
        assert [product.data.whole() for product in made.products] == [data]
        comfy.files.put(Place("input", "", "example.png"), encoded(drawn_mask()))
        made = await run_saved(comfy, masking(channel="red"), picture(GREEN), None)
    assert opened(made.products[1]).convert("L").tobytes() == drawn_mask().tobytes()


async def test_strength_is_for_saved_workflows_too() -> None:
    async with server_with(models=SD15) as comfy:
        painting = comfy.example_graph(steps=1, ckpt_name=SD15["checkpoints"][0]) | graph(
            one=("LoadImage", {"image": "gone.png"}), latent=("VAEEncode", {"pixels": "one.0", "vae": ["4", 2]})
        )
        painting["3"]["inputs"] |= {"latent_image": ["latent", 0], "denoise": 0.8}
        for inputs, denoise in (({"strength": 0.3}, 0.3), ({"denoise": 0.4}, 0.4), ({}, 0.8)):
            made = await make(comfy, wish=order("x", inputs, picture()), catalogue=pasted(x=painting))
            assert inputs_of(comfy, "KSampler")[0]["denoise"] == made.used["strength"] == denoise
            assert made.notes == ()


# --- enlarging ---

UPSCALERS = {"upscale_models": ["4x-UltraSharp.pth"]}
SMALL = picture(RED, (50, 30))


@pytest.mark.parametrize(
    ("scale", "size", "notes"),
    [
        (None, (100, 60), 0),
        (2, (100, 60), 0),
        (3, (150, 90), 0),
        (1.5, (75, 45), 0),
        (2.25, (112, 68), 0),
        (8, (400, 240), 0),
        ("4x", (200, 120), 0),
        ("x4", (200, 120), 0),
        ("2.5", (125, 75), 0),
        (20, (400, 240), 1),
        (0.5, (50, 30), 1),
    ],
)
async def test_a_picture_is_enlarged_to_exactly_so_many_times_its_size(scale: Any, size: Any, notes: int) -> None:
    async with server_with(models=UPSCALERS) as comfy:
        made = await make(comfy, wish=enlarge(SMALL, scale=scale))
    assert (made.workflow, made.model, size_of(made)) == ("upscale", "4x-UltraSharp.pth", size)
    assert len(made.notes) == notes
    assert all(str(scale) in note and "was changed to" in note for note in made.notes)


@pytest.mark.parametrize(
    ("asked", "size", "note"),
    [
        ({"size": "200x120"}, (200, 120), ""),
        ({"size": "200x200"}, (200, 120), "keeps its proportions: 200x120 fits into 200x200"),
        ({"size": {"width": 200, "height": 400}}, (200, 120), "keeps its proportions"),
        ({"size": "240p"}, (400, 240), "at most 8 times as wide and high, here 400x240"),
        ({"scale": "4k"}, (400, 240), "at most 8 times as wide and high, here 400x240"),
        ({"scale": 200}, (200, 120), "keeps its proportions"),
        ({"size": "0.024 MP"}, (200, 120), ""),
    ],
    ids=str,
)
async def test_a_picture_is_enlarged_to_a_size_in_its_own_proportions(asked: Any, size: Any, note: str) -> None:
    async with server_with(models=UPSCALERS) as comfy:
        made = await make(comfy, wish=enlarge(SMALL, **asked))
    assert size_of(made) == size
    assert note in " ".join(made.notes)
    assert bool(made.notes) == bool(note)


async def test_a_screen_is_filled_by_the_longer_side() -> None:
    async with server_with(models=UPSCALERS) as comfy:
        made = await make(comfy, wish=enlarge(picture(RED, (100, 200)), size="480p"))
    assert (size_of(made), made.notes) == ((427, 854), ())


@pytest.mark.parametrize(
    ("size", "refusal"),
    [
        ("64x64", "and the picture has 100x200 pixels already"),
        ("16:9", "keeps its proportions"),
        ("huge", "is not a size"),
    ],
)
async def test_a_size_to_which_a_picture_cannot_be_enlarged_is_refused(size: str, refusal: str) -> None:
    async with server_with(models=UPSCALERS) as comfy:
        with pytest.raises(tool.BadArgument, match=refusal):
            await make(comfy, wish=enlarge(picture(RED, (100, 200)), size=size))


@pytest.mark.parametrize("scale", ["large", "x", [2, 3], True, {"by": 2}])
async def test_a_scale_that_is_no_number_is_refused(scale: Any) -> None:
    async with server_with(models=UPSCALERS) as comfy:
        with pytest.raises(tool.BadArgument, match="The argument scale is"):
            await make(comfy, wish=enlarge(SMALL, scale=scale))
        assert not comfy.uploads


async def test_too_large_a_result_is_refused_with_the_largest_scale_that_is_allowed() -> None:
    async with server_with(models=UPSCALERS) as comfy:
        with pytest.raises(tool.LimitExceeded, match="800x480") as error:
            await make(
                comfy, wish=enlarge(picture(RED, (200, 120)), scale=4), limits=tool.Limits(upscaled_megapixels=0.2)
            )
        assert error.value.hint == "Ask for a scale of at most 2.8."
        assert not comfy.uploads
        made = await make(
            comfy, wish=enlarge(picture(RED, (200, 120)), scale=2.8), limits=tool.Limits(upscaled_megapixels=0.2)
        )
    assert size_of(made) == (560, 336)


async def test_a_picture_that_is_as_large_as_it_may_be_is_not_enlarged() -> None:
    async with server_with(models=UPSCALERS) as comfy:
        with pytest.raises(tool.LimitExceeded) as error:
            await make(comfy, wish=enlarge(picture(RED, (640, 480))), limits=tool.Limits(upscaled_megapixels=0.3))
    assert error.value.hint == "It is as large as it may become."


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        (None, (100, 60)),
        ({"scale": 3}, (150, 90)),
        ({"scale": "3x"}, (150, 90)),
        ({"width": 200}, (200, 120)),
        ({"height": 90}, (150, 90)),
        ({"width": 120, "height": 120}, (120, 120)),
        ({"size": "160x96"}, (160, 96)),
    ],
    ids=str,
)
async def test_run_workflow_enlarges_as_its_inputs_say(inputs: Any, size: Any) -> None:
    async with server_with(models=UPSCALERS) as comfy:
        assert size_of(await make(comfy, wish=order("upscale", inputs, SMALL))) == size


async def test_a_width_that_is_small_enough_is_made_of_a_picture_that_is_too_large_to_double() -> None:
    async with server_with(models=UPSCALERS) as comfy:
        wish = order("upscale", {"width": 700}, picture(RED, (640, 320)))
        assert size_of(await make(comfy, wish=wish, limits=tool.Limits(upscaled_megapixels=0.3))) == (700, 350)


async def test_the_scale_of_a_saved_workflow_is_its_own() -> None:
    async with server_with() as comfy:
        made = await make(comfy, wish=order("x", {"scale": 3}, SMALL), catalogue=pasted(x=shown()))
    assert size_of(made) == (50, 30)
    assert made.notes == ('the workflow "x" has a scale of its own; scale was left out',)


async def test_no_side_becomes_longer_than_the_node_takes() -> None:
    async with server_with(models=UPSCALERS) as comfy:
        with pytest.raises(tool.LimitExceeded, match="16384") as error:
            await make(comfy, wish=enlarge(picture(RED, (3000, 20)), scale=8))
        assert error.value.hint == "Ask for a scale of at most 5.4."
        assert not comfy.uploads


@pytest.mark.parametrize("model", ["8x_NMKD.pth", "2x_small.pth"])
async def test_the_size_is_the_same_whatever_the_model_makes(model: str) -> None:
    async with server_with(models={"upscale_models": ["4x-UltraSharp.pth", model]}) as comfy:
        made = await make(comfy, wish=enlarge(SMALL, scale=3, model=model))
    assert (made.model, size_of(made)) == (model, (150, 90))


async def test_an_upscale_model_that_is_not_there_is_answered_with_those_that_are() -> None:
    async with server_with(models=UPSCALERS) as comfy:
        with pytest.raises(tool.ModelNotInstalled) as error:
            await make(comfy, wish=enlarge(SMALL, model="of yesterday"))
        assert not comfy.uploads
    assert error.value.hint == 'Installed are: "4x-UltraSharp.pth".'


# --- uploads ---


def asked(comfy: StandIn, *paths: str) -> list[str]:
    """Methods of the requests for files, in order."""
    return [request.method for request in comfy.requests if request.path.removeprefix("/api").startswith(paths)]


async def test_the_same_picture_is_sent_once_also_when_it_is_given_twice() -> None:
    async with server_with() as comfy:
        made = await run_saved(comfy, shown(First="gone.png", Second="gone.png"), picture(RED), picture(RED))
        assert len(comfy.uploads) == 1
        again = await run_saved(comfy, shown(First="gone.png", Second="gone.png"), picture(RED), picture(GREEN))
        assert len(comfy.uploads) == 2
    assert (colours(made), colours(again)) == ([RED, RED], [RED, GREEN])


async def test_before_a_file_is_sent_it_is_asked_whether_it_is_there() -> None:
    async with server_with() as comfy:
        await run_saved(comfy, shown(), picture())
        assert asked(comfy, "/view", "/upload") == ["HEAD", "POST", "GET"]
        await run_saved(comfy, shown(), picture())
        assert asked(comfy, "/view", "/upload") == ["HEAD", "POST", "GET", "HEAD", "GET"]


async def test_a_file_that_is_gone_from_the_server_or_was_cut_short_there_is_sent_again() -> None:
    async with server_with() as comfy:
        await run_saved(comfy, shown(), picture())
        comfy.files.put(Place("input", "", picture().stored_name), picture().data[:-9])
        await run_saved(comfy, shown(), picture())
        assert comfy.uploads == [picture().stored_name] * 2
        assert comfy.files.get(Place("input", "", picture().stored_name)).content == picture().data


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (edit(picture(), steps=1000), tool.LimitExceeded),
        (edit(picture(), size="4000x4000"), tool.LimitExceeded),
        (edit(picture(), size="huge"), tool.BadArgument),
        (edit(picture(), loras=["of yesterday"]), tool.ModelNotInstalled),
        (edit(picture(), strength="much"), tool.BadArgument),
        (
            order("checkpoint-image-to-image", {"prompt": "a fox", "sampler": "none of these"}, picture()),
            tool.ValueOutOfRange,
        ),
        (order("checkpoint-image-to-image", None, picture()), tool.BadArgument),
        (order("checkpoint-image-to-image", {"prompt": "a fox"}, picture(), picture(BLUE)), tool.BadArgument),
    ],
    ids=["steps", "limit", "size", "LoRA", "strength", "choice", "prompt", "pictures"],
)
async def test_nothing_is_sent_when_the_call_is_refused(wish: tool.Request, error: type[tool.ComfyUIError]) -> None:
    async with server_with(models=SD15) as comfy:
        with pytest.raises(error):
            await make(comfy, wish=wish)
        assert (comfy.uploads, comfy.prompts) == ([], [])


@pytest.mark.parametrize("size", [10, LARGE])
async def test_a_file_that_comfyui_finds_too_large_is_said_to_be(size: int) -> None:
    file = tool.InputFile(os.urandom(size), "png", tool.Size(64, 64))
    async with server_with() as comfy:
        comfy.misbehave.status_for = {"/upload": 413}
        with pytest.raises(tool.LimitExceeded, match=r"The file has \d+ [kM]B, which is more than"):
            await run_saved(comfy, shown(), file)
        assert not comfy.prompts


@pytest.mark.parametrize(("status", "error"), [(500, tool.UnexpectedAnswer), (403, tool.AccessRefused)])
async def test_an_upload_that_fails_ends_the_call(status: int, error: type[tool.ComfyUIError]) -> None:
    async with server_with() as comfy:
        comfy.misbehave.status_for = {"/upload": status}
        with pytest.raises(error, match=str(status)):
            await run_saved(comfy, shown(), picture())
        assert not comfy.prompts


async def test_files_go_to_the_server_side_by_side_and_that_is_told() -> None:
    watcher = Watcher()
    names = {f"P{number}": "gone.png" for number in range(6)}
    files = [picture((number, 0, 0)) for number in range(6)]
    async with server_with() as comfy:
        made = await run_saved(comfy, shown(**names), *files, watcher=watcher)
        assert sorted(comfy.uploads) == sorted(file.stored_name for file in files)
    assert colours(made) == [(number, 0, 0) for number in range(6)]
    assert watcher.phases.index("uploading") < watcher.phases.index("saving")


# --- what comes out ---


def batch(count: int, **savers: Any) -> dict[str, Any]:
    """A graph of pictures that differ, all in one batch, and what is done with them."""
    nodes: dict[str, Any] = {
        f"n{number}": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 20 * number})
        for number in range(count)
    }
    last = "n0.0"
    for number in range(1, count):
        nodes[f"b{number}"] = ("ImageBatch", {"image1": last, "image2": f"n{number}.0"})
        last = f"b{number}.0"
    savers = savers or {"save": ("SaveImage", {"images": "all", "filename_prefix": "x"})}
    for name, (kind, held, *title) in savers.items():
        nodes[name] = (kind, {key: last if value == "all" else value for key, value in held.items()}, *title)
    return graph(**nodes)


async def test_a_batch_keeps_its_order_and_ten_of_it_come_at_once() -> None:
    async with server_with() as comfy:
        comfy.misbehave.view_delay = 0.1
        made = await run_saved(comfy, batch(12))
        assert comfy.most_views_at_once == tool.PARALLEL_FILES == 10
    assert colours(made) == [(0, 0, 20 * number) for number in range(12)]


async def test_nodes_bring_their_files_in_the_order_of_the_graph() -> None:
    savers = {f"s{n}": ("SaveImage", {"images": f"n{n}.0", "filename_prefix": "x"}) for n in (2, 0, 1)}
    async with server_with() as comfy:
        assert colours(await run_saved(comfy, batch(3, **savers))) == [(0, 0, 40), (0, 0, 0), (0, 0, 20)]


LATENT = ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1})
SHAPE = {
    "latent": ("EmptyLatentHunyuan3Dv2", {"resolution": 256, "batch_size": 1}),
    "vae": ("VAELoader", {"vae_name": "x.safetensors"}),
    "voxel": (
        "VAEDecodeHunyuan3D",
        {"samples": "latent.0", "vae": "vae.0", "num_chunks": 8000} | {"octree_resolution": 16},
    ),
    "mesh": ("VoxelToMesh", {"voxel": "voxel.0", "algorithm": "basic", "threshold": 0.6}),
}
TEXT = ("PrimitiveString", {"value": "a fox, sitting"})
JSON_TEXT = ("PrimitiveString", {"value": ' {"fox": 1} '})
WEBM = {"images": "all", "filename_prefix": "x", "codec": "vp9", "fps": 8.0, "crf": 32.0}
ANIMATED = {"images": "all", "filename_prefix": "x", "fps": 8.0}
WEBP = {**ANIMATED, "lossless": True, "quality": 80, "method": "default"}
COMBINED = {"images": "all", "frame_rate": 8.0, "loop_count": 0, "filename_prefix": "x", "pingpong": False}
OUTPUTS: dict[str, tuple[Any, str, str]] = {
    "video": (FILM, "video/mp4", "mp4"),
    "WebM": (batch(2, save=("SaveWEBM", WEBM)), "video/webm", "webm"),
    "FLAC": (SONG, "audio/flac", "flac"),
    "animated WebP": (batch(2, save=("SaveAnimatedWEBP", WEBP)), "image/webp", "webp"),
    "animated PNG": (batch(2, save=("SaveAnimatedPNG", {**ANIMATED, "compress_level": 4})), "image/png", "png"),
    "latent": (
        graph(latent=LATENT, save=("SaveLatent", {"samples": "latent.0", "filename_prefix": "x"})),
        "application/octet-stream",
        "latent",
    ),
    "GLB": (
        graph(**SHAPE, save=("SaveGLB", {"mesh": "mesh.0", "filename_prefix": "3d/x"})),
        "model/gltf-binary",
        "glb",
    ),
    "GLB by its path": (
        graph(
            **SHAPE,
            file=("MeshToFile3D", {"mesh": "mesh.0"}),
            save=(
                "Save3DAdvanced",
                {"model_3d": "file.0", "filename_prefix": "3d/x", "viewport_state": "", "width": 64, "height": 64},
            ),
        ),
        "model/gltf-binary",
        "glb",
    ),
    "VHS video": (
        batch(2, save=("VHS_VideoCombine", {**COMBINED, "format": "video/h264-mp4", "save_output": True})),
        "video/mp4",
        "mp4",
    ),
    "VHS GIF": (
        batch(2, save=("VHS_VideoCombine", {**COMBINED, "format": "image/gif", "save_output": True})),
        "image/gif",
        "gif",
    ),
    "VHS video, only shown": (
        batch(2, save=("VHS_VideoCombine", {**COMBINED, "format": "video/webm", "save_output": False})),
        "video/webm",
        "webm",
    ),
    "text": (graph(text=TEXT, show=("PreviewAny", {"source": "text.0"})), "text/plain", "txt"),
    "JSON text": (graph(text=JSON_TEXT, show=("PreviewAny", {"source": "text.0"})), "application/json", "json"),
    "text file": (
        graph(text=TEXT, save=("SaveText", {"text": "text.0", "filename_prefix": "x", "format": "md"})),
        "text/markdown",
        "md",
    ),
    "JSON file": (
        graph(text=JSON_TEXT, save=("SaveText", {"text": "text.0", "filename_prefix": "x", "format": "json"})),
        "application/json",
        "json",
    ),
    "preview": (batch(1, show=("PreviewImage", {"images": "all"})), "image/png", "png"),
    "sound, only played": (
        graph(
            load=("EmptyAudio", {"duration": 1.0, "sample_rate": 44100, "channels": 2}),
            show=("PreviewAudio", {"audio": "load.0"}),
        ),
        "audio/flac",
        "flac",
    ),
}


def written(comfy: StandIn, source: str) -> list[bytes]:
    """The files which the server made and that it calls so."""
    folder, _, name = source.rpartition("/")
    places = [Place(kind, folder, name) for kind in ("output", "temp")]
    return [file.content for place in places if (file := comfy.files.get(place))]


@pytest.mark.parametrize(("saved", "content_type", "ending"), OUTPUTS.values(), ids=OUTPUTS)
async def test_everything_that_comfyui_makes_comes_back_as_what_it_is(
    saved: Any, content_type: str, ending: str
) -> None:
    files = {
        "video": tool.InputFile(clip("clip.mp4"), "mp4", kind="video"),
        "audio": tool.InputFile(sound("flac"), "flac", kind="audio"),
    }
    async with server_with(models={"vae": ["x.safetensors"]}, custom_nodes=CUSTOM_NODES) as comfy:
        made = await make(comfy, wish=order("x", None, **files), catalogue=pasted(x=saved))
        (product,) = made.products
        assert (product.content_type, product.ending) == (content_type, ending)
        assert all("the newest of the chat was taken" in note for note in made.notes)
        assert not product.source or product.data.whole() in written(comfy, product.source)


async def test_what_is_only_shown_counts_when_nothing_is_saved() -> None:
    savers = {
        "show": ("PreviewImage", {"images": "n0.0"}),
        "save": ("SaveImage", {"images": "n1.0", "filename_prefix": "x"}),
    }
    async with server_with() as comfy:
        assert colours(await run_saved(comfy, batch(2, **savers))) == [(0, 0, 20)]
        shows = {"show": savers["show"], "other": ("PreviewImage", {"images": "n1.0"})}
        assert colours(await run_saved(comfy, batch(2, **shows))) == [(0, 0, 0), (0, 0, 20)]


async def test_texts_beside_pictures_are_told_and_are_no_files() -> None:
    savers = {
        "save": ("SaveImage", {"images": "all", "filename_prefix": "x"}),
        "text": TEXT,
        "show": ("PreviewAny", {"source": "text.0"}),
        "again": ("PreviewAny", {"source": "text.0"}),
    }
    async with server_with() as comfy:
        made = await run_saved(comfy, batch(1, **savers))
    assert [product.content_type for product in made.products] == ["image/png"]
    assert made.texts == ("a fox, sitting",)


@pytest.mark.parametrize("release", ["0.3.64", "0.33.0"])
async def test_pictures_of_several_nodes_that_send_them_over_the_websocket_all_arrive(release: str) -> None:
    savers = {
        "show": ("PreviewImage", {"images": "n2.0"}),
        "one": ("SaveImageWebsocket", {"images": "n0.0"}),
        "two": ("SaveImageWebsocket", {"images": "n1.0"}),
    }
    async with server_with(release=release) as comfy:
        made = await run_saved(comfy, batch(3, **savers))
    async with server_with(release=release) as comfy:
        both = await run_saved(
            comfy, batch(3, **savers, save=("SaveImage", {"images": "n2.0", "filename_prefix": "x"}))
        )
    assert sorted(colours(made)) == [(0, 0, 0), (0, 0, 20)]
    assert [product.source for product in made.products] == ["", ""]
    assert sorted(colours(both)) == [(0, 0, 0), (0, 0, 20), (0, 0, 40)]


async def test_a_batch_over_the_websocket_keeps_its_order() -> None:
    async with server_with() as comfy:
        made = await run_saved(comfy, batch(5, send=("SaveImageWebsocket", {"images": "all"})))
    assert colours(made) == [(0, 0, 20 * number) for number in range(5)]


# --- formats ---


@pytest.mark.parametrize(
    ("kind", "content_type"), [("WebP", "image/webp"), ("JPEG", "image/jpeg"), ("PNG", "image/png")]
)
@pytest.mark.parametrize("saver", ["SaveImage", "SaveImageWebsocket"])
async def test_stills_come_in_the_format_that_is_wanted(kind: str, content_type: str, saver: str) -> None:
    held = {"images": "all"} | ({"filename_prefix": "x"} if saver == "SaveImage" else {})
    async with server_with() as comfy:
        made = await run_saved(comfy, batch(3, save=(saver, held)), wanted=tool.Format(kind))
    assert [product.content_type for product in made.products] == [content_type] * 3
    assert [opened(product).format for product in made.products] == [kind.upper()] * 3
    assert [round(colour[2], -1) for colour in colours(made)] == [0, 20, 40]


@pytest.mark.parametrize("kind", ["WebP", "JPEG"])
async def test_quality_is_heeded_and_the_prompt_is_kept_unless_it_is_not_wanted(kind: str) -> None:
    sizes = []
    async with server_with(models=SD15) as comfy:
        for wanted in (tool.Format(kind, 95), tool.Format(kind, 20), tool.Format(kind, 20, metadata=False)):
            made = await make(comfy, wish=edit(picture()), wanted=wanted)
            (product,) = made.products
            sizes.append(len(product.data))
            assert (b"CheckpointLoaderSimple" in product.data.whole()) == wanted.metadata
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["animated WebP", "animated PNG", "VHS GIF", "VHS video", "GLB", "latent", "text"])
async def test_what_is_no_still_is_left_as_it_was_made(name: str) -> None:
    saved, content_type, _ = OUTPUTS[name]
    async with server_with(models={"vae": ["x.safetensors"]}, custom_nodes=CUSTOM_NODES) as comfy:
        made = await run_saved(comfy, saved, wanted=tool.Format("JPEG", 10))
        (product,) = made.products
        assert (product.content_type, made.notes) == (content_type, ())
        assert not product.source or product.data.whole() in written(comfy, product.source)


@pytest.mark.parametrize("name", ["animated WebP", "animated PNG", "latent", "preview"])
async def test_nothing_tells_how_it_was_made_when_that_is_not_wanted(name: str) -> None:
    saved, content_type, _ = OUTPUTS[name]
    async with server_with() as comfy:
        kept = await run_saved(comfy, saved)
        bare = await run_saved(comfy, saved, wanted=tool.Format(metadata=False))
    assert [b"class_type" in made.products[0].data.whole() for made in (kept, bare)] == [True, False]
    assert (bare.products[0].content_type, bare.notes) == (content_type, (tool.CACHED_NOTE,))


async def test_a_latent_without_its_prompt_is_still_one() -> None:
    async with server_with() as comfy:
        made = await run_saved(comfy, OUTPUTS["latent"][0], wanted=tool.Format(metadata=False))
        before, after = written(comfy, "x_00001_.latent")[0], made.products[0].data.whole()
    length = int.from_bytes(after[:8], "little")
    heads = [json.loads(data[8 : 8 + length]) for data in (before, after)]
    assert heads[0].pop("__metadata__")
    assert heads[0] == heads[1]
    assert before[8 + length :] == after[8 + length :]


SAVED_AS: dict[str, tuple[Any, str]] = {
    "clip.mp4": (FILM, "video"),
    "clip.webm": (FILM | {"save": {**FILM["save"], "inputs": {**FILM["save"]["inputs"], "format": "webm"}}}, "video"),
    "clip.mkv": (FILM | {"save": {**FILM["save"], "inputs": {**FILM["save"]["inputs"], "format": "mkv"}}}, "video"),
    "sound.flac": (SONG, "audio"),
    "sound.mp3": (
        SONG | {"save": {"class_type": "SaveAudioMP3", "inputs": {**SONG["save"]["inputs"], "quality": "V0"}}},
        "audio",
    ),
    "sound.opus": (
        SONG | {"save": {"class_type": "SaveAudioOpus", "inputs": {**SONG["save"]["inputs"], "quality": "64k"}}},
        "audio",
    ),
}


@pytest.mark.parametrize("name", SAVED_AS)
async def test_films_and_sounds_keep_their_texts_unless_they_are_not_wanted(name: str) -> None:
    saved, kind = SAVED_AS[name]
    file = tool.InputFile((MEDIA / name).read_bytes(), name.rpartition(".")[2], kind=kind)
    async with server_with() as comfy:
        kept = await run_saved(comfy, saved, file)
        bare = await run_saved(comfy, saved, file, wanted=tool.Format("JPEG", metadata=False))
    assert [product.data.whole() for product in kept.products] == [file.data]
    assert SECRET in kept.products[0].data.whole()
    assert [SECRET in product.data.whole() for product in bare.products] == [False]
    assert bare.products[0].content_type == kept.products[0].content_type


# --- what may go wrong ---


def at_work() -> list[str]:
    """Tasks of the tool, but for the websocket's reader and the keeper that closes it, which outlive a job."""
    own = []
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code and code.co_filename == tool.__file__ and code.co_name not in ("_read_on", "_keep"):
            own.append(code.co_qualname)
    return own


async def at_once(condition: Callable[[], object]) -> None:
    """Until something is so, without letting more than one turn of the loop go by after it."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """The result of something that must not take longer."""
    async with asyncio.timeout(seconds):
        return await work


@pytest.mark.parametrize("missing", ["x_00007_.png", "x_00001_.png", "x_00010_.png"])
async def test_one_file_of_ten_that_is_missing_is_named_and_the_others_come(missing: str) -> None:
    async with server_with() as comfy:
        comfy.misbehave.view_missing = {missing}
        made = await within(10, run_saved(comfy, batch(10)))
        assert at_work() == []
    assert len(made.products) == 9
    assert {product.of for product in made.products} == {10}
    reason = f'ComfyUI does not give out its file "{missing}" (HTTP 404)'
    later = "check_job tries once more to bring the file that is missing: job_id "
    assert made.notes[0] == f'1 of 10 files is missing ("{missing}"): {reason}'
    assert made.notes[1] == later + made.products[0].prompt_id
    assert made.left_out == 1


async def test_where_no_file_comes_the_call_fails() -> None:
    async with server_with() as comfy:
        comfy.misbehave.view_missing = {f"x_{number:05}_.png" for number in range(1, 11)}
        with pytest.raises(tool.UnexpectedAnswer, match=r"x_00001_\.png"):
            await within(10, run_saved(comfy, batch(10)))
        assert at_work() == []


async def test_a_server_that_dies_while_files_are_fetched_is_said_to() -> None:
    async with server_with() as comfy:
        comfy.misbehave.view_delay = 30
        call = asyncio.create_task(run_saved(comfy, batch(10)))
        await until(lambda: comfy.views == 10)
        await comfy.kill()
        with pytest.raises(tool.ServerGone):
            await within(10, call)
        assert at_work() == []


def heavy(number: int = 0) -> tool.InputFile:
    """A file that takes a while to send."""
    return tool.InputFile(bytes([number]) * LARGE, "png", tool.Size(64, 64))


def uploading(comfy: StandIn) -> bool:
    """Whether the sending of a file has begun."""
    return "POST" in asked(comfy, "/upload")


async def test_a_server_that_dies_while_files_are_sent_is_said_to() -> None:
    async with server_with() as comfy:
        call = asyncio.create_task(run_saved(comfy, shown(A="gone.png", B="gone.png"), heavy(1), heavy(2)))
        await at_once(lambda: uploading(comfy))
        await comfy.kill()
        with pytest.raises(tool.ServerUnreachable):
            await within(10, call)
        assert (comfy.uploads, comfy.prompts, at_work()) == ([], [], [])


async def test_a_stop_while_files_are_sent_ends_all_of_it() -> None:
    async with server_with() as comfy:
        call = asyncio.create_task(run_saved(comfy, shown(A="gone.png", B="gone.png"), heavy(1), heavy(2)))
        await at_once(lambda: uploading(comfy))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(5, call)
        assert at_work() == []
        await asyncio.sleep(0.1)
        assert (comfy.uploads, comfy.prompts) == ([], [])
        assert (await run_saved(comfy, shown(), picture())).products, "the connection is not spoilt"


@pytest.mark.parametrize("release", ["0.3.64", "0.33.0"])
async def test_a_stop_while_it_samples_withdraws_the_job(release: str) -> None:
    async with server_with(models=SD15, release=release) as comfy:
        comfy.misbehave.hold_at_step = 2
        call = asyncio.create_task(make(comfy, wish=edit(picture(), steps=20)))
        await comfy.until_held()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(5, call)
        assert at_work() == []
        comfy.release()
        await until(lambda: not comfy.running and not comfy.pending)
        (entry,) = comfy.history.values()
    assert "execution_interrupted" in json.dumps(entry["status"])


async def test_a_stop_while_files_are_fetched_ends_all_of_it_and_disturbs_nobody() -> None:
    async with server_with() as comfy:
        comfy.misbehave.view_delay = 30
        call = asyncio.create_task(run_saved(comfy, batch(10)))
        await until(lambda: comfy.views == 10)
        call.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await within(5, call)
        assert time.monotonic() - began < 1
        assert (at_work(), comfy.running, comfy.pending, comfy.interrupts) == ([], [], [], [])
        comfy.misbehave.view_delay = 0
        assert len((await run_saved(comfy, batch(2))).products) == 2


async def test_of_several_runs_those_before_a_missing_file_are_brought() -> None:
    async with server_with(models=SD15) as comfy:
        wish = edit(picture(), count=3)
        comfy.misbehave.view_missing = lambda name: name.startswith("picture_00002")
        made = await make(comfy, wish=wish)
    assert len(made.products) == 1
    assert any(note.startswith("only 1 of 3 were made: ") and "picture_00002_.png" in note for note in made.notes)


async def test_a_picture_that_goes_in_as_a_text_is_not_uploaded() -> None:
    loader = {
        "input": {"required": {"base64_data": ["STRING", {}]}},
        "input_order": {"required": ["base64_data"]},
        "output": ["IMAGE", "MASK"],
        "output_node": False,
    }
    nodes = graph(
        picture=("LoadImageBase64", {"base64_data": ""}),
        save=("SaveImage", {"images": "picture.0", "filename_prefix": "x"}),
    )
    async with server_with(custom_nodes={"LoadImageBase64": loader}) as comfy:
        with contextlib.suppress(tool.NodeFailed):  # the stand-in has no picture for such a node
            await make(comfy, wish=order("x", None, picture()), catalogue=pasted(x=nodes))
        assert base64.b64decode(sent(comfy, "LoadImageBase64")["base64_data"]) == picture().data
        assert not comfy.uploads
