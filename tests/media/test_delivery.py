"""Files as they go out: in the format that was asked for, with the type, size and ending of what they became, and with
a note where that cannot be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comfyui_tool as tool
from tests.support.pictures import opened, saved
from tests.support.samples import (
    ARBITRARY,
    GRAPH,
    MADE,
    SECRET,
    SRGB,
    SVG,
    TEXTS,
    chunks,
    frames,
    holed,
    near,
    pixel,
    scene,
    turned,
)

# --- formats ---


@pytest.mark.parametrize("kind", ["WebP", "JPEG", "PNG"])
@pytest.mark.parametrize("first", ["WebP", "JPEG", "PNG"])
def test_a_workflow_survives_every_conversion(first: str, kind: str) -> None:
    data, content_type, notes = tool.delivered(MADE, "image/png", tool.Format(first))
    data, content_type, more = tool.delivered(data, content_type, tool.Format(kind))
    assert content_type == f"image/{kind.lower()}" == tool.PICTURE_TYPES[str(opened(data).format)]
    assert tool.read_picture_workflow(data, "a") == GRAPH
    assert opened(data).info["icc_profile"] == SRGB
    assert notes + more == ()


def test_texts_stand_where_comfyui_writes_them() -> None:
    exif = opened(tool.delivered(MADE, "image/png", tool.Format("WebP"))[0]).getexif()
    assert exif[0x0110] == f"prompt:{TEXTS['prompt']}"
    assert exif[0x010F] == f"workflow:{TEXTS['workflow']}"
    assert exif[0x010E] == "parameters:a fox, \\u65e5\\u672c\nSteps: 20"


def test_texts_of_a_webp_become_chunks_of_a_png() -> None:
    webp, _, _ = tool.delivered(MADE, "image/png", tool.Format("WebP"))
    texts = opened(tool.delivered(webp, "image/webp", tool.Format("PNG"))[0]).text  # type: ignore[attr-defined]
    assert (texts["prompt"], texts["workflow"]) == (TEXTS["prompt"], TEXTS["workflow"])


def test_a_hundred_texts_are_kept() -> None:
    texts = [(f"key {number}", f"text {number}") for number in range(100)]
    webp, _, _ = tool.delivered(saved(scene(), pnginfo=chunks(*texts)), "image/png", tool.Format("WebP"))
    png, _, _ = tool.delivered(webp, "image/webp", tool.Format("PNG"))
    assert opened(png).text == dict(texts)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("lengths", "kept", "lost"),
    [
        ({"prompt": 9000, "workflow": 70_000}, ["prompt"], ["workflow"]),
        ({"prompt": 70_000, "workflow": 9000}, [], ["workflow", "prompt"]),
        ({"prompt": 30_000, "workflow": 30_000}, ["prompt", "workflow"], []),
        ({"other": 70_000}, [], ["other"]),
    ],
)
def test_what_is_too_long_for_a_jpeg_is_left_out_with_a_note(
    lengths: dict[str, int], kept: list[str], lost: list[str]
) -> None:
    data = saved(scene(), pnginfo=chunks(*((key, "x" * length) for key, length in lengths.items())))
    made, content_type, notes = tool.delivered(data, "image/png", tool.Format("JPEG"))
    assert content_type == "image/jpeg"
    assert notes == tuple(f"the {key} was too long to be kept in a JPEG" for key in lost)
    assert sorted(str(value).partition(":")[0] for value in opened(made).getexif().values()) == kept


@pytest.mark.parametrize("kind", ["WebP", "JPEG"])
def test_a_conversion_without_metadata_tells_nothing_and_keeps_the_profile(kind: str) -> None:
    data, _, notes = tool.delivered(MADE, "image/png", tool.Format(kind, metadata=False))
    assert SECRET.encode() not in data
    assert (opened(data).info["icc_profile"], opened(data).getexif(), notes) == (SRGB, {}, ())


@pytest.mark.parametrize("kind", ["PNG", "WebP", "JPEG", ""])
def test_a_picture_that_is_as_wanted_stays_as_it_is(kind: str) -> None:
    data = saved(scene(), kind or "GIF")
    made = tool.delivered(data, f"image/{kind.lower() or 'gif'}", tool.Format(kind))
    assert made == (data, f"image/{kind.lower() or 'gif'}", ())


def test_the_quality_decides_about_the_size() -> None:
    data = saved(Image.effect_noise((64, 64), 60).convert("RGB"))
    for kind in ("WebP", "JPEG"):
        sizes = [len(tool.delivered(data, "image/png", tool.Format(kind, quality))[0]) for quality in (1, 50, 100)]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == 3


def test_a_jpeg_shows_white_where_nothing_was_and_a_webp_nothing() -> None:
    data = saved(holed())
    assert near(pixel(opened(tool.delivered(data, "image/png", tool.Format("JPEG"))[0]), 44, 20), (255,) * 3)
    assert pixel(opened(tool.delivered(data, "image/png", tool.Format("WebP"))[0]), 44, 20)[3] == 0


def test_a_conversion_turns_a_picture_upright() -> None:
    data = saved(scene(), "JPEG", exif=turned(6))
    assert opened(tool.delivered(data, "image/jpeg", tool.Format("WebP"))[0]).size == (32, 48)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_stays_as_it_was_made(kind: str) -> None:
    data = frames(kind)
    assert tool.delivered(data, f"image/{kind.lower()}", tool.Format("JPEG")) == (data, f"image/{kind.lower()}", ())


def test_what_is_no_picture_stays_as_it_was_made() -> None:
    for data, content_type in (
        (b"{}", "application/json"),
        (SVG, "image/svg+xml"),
        (b"<!--", "image/svg+xml"),
        (b"v 1 2 3", "model/obj"),
    ):
        assert tool.delivered(data, content_type, tool.Format("PNG")) == (data, content_type, ())


@pytest.mark.parametrize(("kind", "size"), [("WebP", (16_384, 1)), ("JPEG", (65_536, 1))])
def test_a_picture_too_long_for_a_format_stays_with_a_note(kind: str, size: tuple[int, int]) -> None:
    data = saved(Image.new("L", size))
    made = tool.delivered(data, "image/png", tool.Format(kind))
    assert made == (data, "image/png", (f"a picture of {size[0]}x1 cannot be a {kind} and stays as it was made",))


def test_a_picture_that_cannot_be_decoded_stays_with_a_note() -> None:
    for data in (b"\x89PNG\r\n\x1a\n", MADE[:-400], b""):
        made, content_type, notes = tool.delivered(data, "image/png", tool.Format("WebP"))
        assert (made, content_type) == (data, "image/png")
        assert notes == ("the picture could not be made a WebP and stays as it was made",)


# --- what a file is after it was made another ---


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG2000", "a.jp2"), ("PPM", "a.ppm"), ("ICO", "a.ico"), ("PNG", "a.png")]
)
@pytest.mark.parametrize(("wanted", "ending"), [("PNG", "png"), ("WebP", "webp"), ("JPEG", "jpg")])
def test_type_size_and_ending_are_those_of_what_it_became(kind: str, name: str, wanted: str, ending: str) -> None:
    made, notes = tool.deliver(tool.FileBytes(saved(Image.new("RGB", (32, 16)), kind)), name, tool.Format(wanted))
    assert (made.content_type, made.ending, notes) == (f"image/{wanted.lower()}", ending, ())
    assert made.size == tool.Size(*opened(made).size)


def test_a_picture_that_was_turned_upright_has_the_size_that_it_has_then() -> None:
    made, _ = tool.deliver(tool.FileBytes(saved(scene(), "JPEG", exif=turned(6))), "a.jpg", tool.Format("PNG"))
    assert made.size == tool.Size(32, 48)


@pytest.mark.parametrize(("text", "ending"), [("a fox", "txt"), ('{"a": 1}', "json"), ("{a fox}", "txt")])
def test_a_text_is_kept_under_the_ending_of_its_kind(text: str, ending: str) -> None:
    assert tool.text_product(text).ending == ending


# --- whatever comes in ---


FORMATS = st.builds(tool.Format, st.sampled_from(["", "PNG", "WebP", "JPEG"]), st.integers(1, 100), st.booleans())


@pytest.mark.filterwarnings("ignore")
@given(ARBITRARY, FORMATS, st.sampled_from([*tool.STRIPPERS, "image/tiff", "text/plain"]))
@settings(max_examples=400)
def test_any_bytes_can_be_delivered_and_glanced_at(data: bytes, wanted: tool.Format, content_type: str) -> None:
    made, kind, notes = tool.delivered(data, content_type, wanted)
    assert kind == content_type or (wanted.kind and kind == f"image/{wanted.kind.lower()}")
    assert made == data or wanted.kind or not wanted.metadata
    assert made == data or "its metadata could not be removed" not in notes
    tool.small_copy(data, 64)
