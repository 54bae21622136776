"""What a search finds by its words, in which order, and what is told where it finds little."""

import pytest

import comfyui_tool as tool
from tests.support.gallery import group, template, with_gallery
from tests.support.runs import listed
from tests.support.stand_in import StandIn


def line(name: str, title: str, about: str = "", tags: str = "", **more: str) -> dict[str, str]:
    """A workflow as a list tells of it; its tags are parted by commas."""
    return {
        "name": name,
        "title": title,
        "about": about,
        "tags": tags.replace(",", ""),
        "topics": tags,
        "source": "template",
    } | more


GALLERY = [
    line("video_wan", "Wan: Text to Video", "Generate videos from text.", "Video, Text to Video", task="text_to_video"),
    line("image_flux", "Flux", "Photos in any style, in industry quality.", "Image", task="text_to_image"),
    line("image_edit", "Flux edit", "Change a picture by a sentence.", "Image, Image Edit", task="image_edit"),
    line("utility_depth", "Depth Anything: Depth Estimation", "Generate a depth map of an image.", "ControlNet"),
    line("video_depth", "Depth to Video", "Generate a video with the depth of another, mapped.", "ControlNet, Video"),
    line("utility_frames", "Frame Interpolation", "Makes smoother video output.", "Frame Interpolation, Video"),
    line("utility_matte", "BiRefNet: Remove Background", "The background removed.", "Remove Background"),
    line("color_lines", "Add Color to Line Art", "A black and white illustration, colored.", "Image Edit"),
    line("to_vector", "Recraft: Image to Vector", "Pictures as SVG.", "Vector", paid="costs credits"),
    line("layers", "Layered Decomposition", "Decompose an image into layers.", "Layer Decompose", paid="costs credits"),
    line("layers_free", "Layered", "An image decomposed.", "Layer Decompose"),
    line("vto", "Virtual Try-On", "An outfit on a person.", "Virtual Try-On"),
]


def found(search: str) -> list[str]:
    """The names of what a search of the gallery finds."""
    return [each["name"] for each in tool.found_lines(GALLERY, search, tool.search_words(search))]


@pytest.mark.parametrize(
    ("search", "first"),
    [
        ("depth map", "utility_depth"),  # the two words together say more than apart
        ("make a depth map of this photo", "utility_depth"),
        ("smooth video", "utility_frames"),  # other endings
        ("vectorize", "to_vector"),
        ("convert to svg", "to_vector"),
        ("colorize black and white drawing", "color_lines"),
        ("background remover", "utility_matte"),  # before those that are only for such a task
        ("try on clothes", "vto"),  # "industry" has no "try"
        ("a video by wan", "video_wan"),
    ],
)
def test_what_people_say_finds_what_authors_wrote(search: str, first: str) -> None:
    assert found(search)[0] == first


def test_what_is_paid_and_has_all_words_does_not_hide_what_is_free() -> None:
    assert found("split image into layers") == ["layers", "layers_free"]


def test_what_has_all_words_is_found_alone() -> None:
    assert found("flux edit") == ["image_edit"]


def test_of_what_weighs_alike_the_order_stays() -> None:
    assert found("controlnet") == ["utility_depth", "video_depth"]


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("colorize", "color"),
        ("smoother", "smooth"),
        ("animation", "animat"),
        ("restoration", "restor"),
        ("caption", "caption"),
        ("images", "image"),
        ("layers", "layer"),
        ("pose", "pose"),
        ("3d", "3d"),
    ],
)
def test_an_ending_is_taken_off_where_enough_stays(word: str, stem: str) -> None:
    assert tool.stem(word) == stem


def test_topics_are_the_tags_that_say_more_than_a_task() -> None:
    assert tool.topics(GALLERY, 4) == ["ControlNet", "Layer Decompose", "Frame Interpolation", "Remove Background"]


async def test_who_finds_little_is_told_the_words_of_the_authors(comfy: StandIn) -> None:
    with_gallery(comfy)
    assert comfy.gallery is not None
    comfy.gallery.append(group("Tools", template("pose", "Pose", ["Pose Map"], [], size=0)))
    comfy.gallery.append(group("Paid", template("api_lips", "Lips", ["API", "Lip Sync"], [], openSource=False)))
    assert (await listed(comfy, search="stick man"))["topics of templates"] == ["Portrait", "Pose Map", "Example"]
    assert "topics of templates" not in await listed(comfy, search="portrait")


def test_who_names_what_there_is_not_is_told_what_is_about_it() -> None:
    assert tool.tasks_note(GALLERY, "smooth output").startswith('About that: "utility_frames".')
