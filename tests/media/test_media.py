"""The part about media: pictures that come in, masks, and the files that go out."""

import base64
import io
import json
import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

import comfyui_tool as tool
from tests.support import MEDIA

SECRET = "SECRET WORDS"
GRAPH: dict[str, Any] = {"1": {"class_type": "SaveImage", "inputs": {"text": f"{SECRET} für ein Bild 🦊"}, "_meta": {}}}
UI = {"version": 0.4, "nodes": [{"id": 1, "type": "Note", "widgets_values": [SECRET]}], "links": []}
TEXTS = {"workflow": json.dumps(UI), "prompt": json.dumps(GRAPH)}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BARE = tool.Format(metadata=False)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def scene(size: tuple[int, int] = (48, 32), mode: str = "RGB") -> Image.Image:
    """Something with colours, whose top left corner is red."""
    image = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", (image, image.rotate(180), Image.new("L", size, 90)))
    image.paste("red", (0, 0, 16, 8))
    return image.convert(mode)


def holed(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A photograph with a hole at the right."""
    image = scene(size, "RGBA")
    image.paste((0, 200, 0, 0), (32, 0, *size))
    return image


def turned(orientation: int, **texts: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = texts.get("maker", "Maker")
    return exif


def chunks(*texts: tuple[str, str]) -> PngInfo:
    info = PngInfo()
    for key, text in texts:
        info.add_text(key, text)
    return info


def frames(kind: str, count: int = 3, **options: Any) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (80 * index, 0, 200)) for index in range(count)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)


def pixel(image: Image.Image, x: int, y: int) -> Any:
    return image.getpixel((x, y))


def near(left: Any, right: Any, most: int = 12) -> bool:
    return all(abs(a - b) <= most for a, b in zip(left, right, strict=True))


SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"></svg>'

# --- pictures that come in ---

PASSED = {
    "PNG": encoded(scene()),
    "PNG of 1 bit": encoded(scene(mode="1")),
    "PNG, grey": encoded(scene(mode="L")),
    "PNG, grey with a hole": encoded(holed().convert("LA")),
    "PNG with a palette": encoded(scene(mode="P")),
    "PNG with a hole": encoded(holed()),
    "JPEG": encoded(scene(), "JPEG"),
    "JPEG, grey": encoded(scene(mode="L"), "JPEG"),
    "JPEG, progressive": encoded(scene(), "JPEG", progressive=True),
    "JPEG, upright": encoded(scene(), "JPEG", exif=turned(1)),
    "WebP": encoded(scene(), "WEBP"),
    "WebP with a hole": encoded(holed(), "WEBP"),
}


@pytest.mark.parametrize("data", PASSED.values(), ids=PASSED)
def test_what_every_comfyui_reads_is_handed_on_byte_for_byte(data: bytes) -> None:
    still = tool.read_still(data, "a.png")
    assert still.data is data
    assert (still.size, still.notes) == (tool.Size(48, 32), ())
    assert still.transparent == (opened(data).convert("RGBA").getextrema()[3][0] < 255)
    assert still.ending == {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[str(opened(data).format)]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG2000"), ("LAB", "TIFF"), ("P", "GIF")),
        *(("RGB", kind) for kind in ("BMP", "TIFF", "PPM", "TGA", "JPEG2000", "ICNS")),
    ],
)
def test_any_other_picture_becomes_a_png_of_the_same_colours(mode: str, kind: str) -> None:
    size = (1024, 1024) if kind == "ICNS" else (48, 32)
    still = tool.read_still(encoded(scene(size, mode), kind), "a")
    image = opened(still.data)
    assert (image.format, image.mode, image.size, still.transparent) == ("PNG", "RGB", size, False)
    assert near(pixel(image, 3, 3), (255, 0, 0), 25)


def test_a_gif_with_a_hole_keeps_it() -> None:
    still = tool.read_still(encoded(holed(), "GIF"), "a.gif")
    image = opened(still.data)
    assert (image.mode, still.transparent) == ("RGBA", True)
    assert (pixel(image, 40, 20)[3], pixel(image, 20, 20)[3]) == (0, 255)


def test_an_alpha_channel_with_nothing_see_through_is_none() -> None:
    assert not tool.read_still(encoded(scene(mode="RGBA")), "a.png").transparent
    assert opened(tool.read_still(encoded(scene(mode="RGBA"), "TIFF"), "a.tif").data).mode == "RGB"


def test_a_colour_that_stands_for_nothing_becomes_what_comfyui_understands() -> None:
    image = Image.new("RGB", (8, 8), "red")
    image.putpixel((0, 0), (1, 2, 3))
    still = tool.read_still(encoded(image, transparency=(1, 2, 3)), "a.png")
    assert still.transparent
    assert opened(still.data).getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_instead_of_clipped(kind: str) -> None:
    image = Image.new("I;16", (2, 1))
    image.putpixel((0, 0), 0x80FF)
    image.putpixel((1, 0), 0x00FF)
    result = opened(tool.read_still(encoded(image, kind), "a").data)
    assert (pixel(result, 0, 0), pixel(result, 1, 0)) == ((0x80,) * 3, (0,) * 3)


@pytest.mark.parametrize(
    ("mode", "values", "shown"),
    [
        ("F", (0.5, 1.0), (127, 255)),
        ("F", (100.0, 200.0), (100, 200)),
        ("F", (0.0, 1000.0), (0, 255)),
        ("F", (-1.0, math.nan), (0, 0)),
        ("I", (0, 2**30), (0, 255)),
        ("I", (-5, 0xFFFF), (0, 255)),
    ],
)
def test_numbers_of_any_range_become_shades(mode: str, values: tuple[float, float], shown: tuple[int, int]) -> None:
    image = Image.new(mode, (2, 1))
    for place, value in enumerate(values):
        image.putpixel((place, 0), value)
    result = opened(tool.read_still(encoded(image, "TIFF"), "a.tif").data)
    found = [pixel(result, place, 0)[0] for place in range(2)]
    assert found == pytest.approx(shown, abs=1) or math.isnan(values[1])


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_that_lies_on_its_side_is_turned_upright(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    data = encoded(scene(), kind, exif=turned(orientation).tobytes())
    still = tool.read_still(data, "a")
    right, image = ImageOps.exif_transpose(opened(data)), opened(still.data)
    assert image.size == right.size == (still.size.width, still.size.height)
    assert image.getexif().get(0x0112, 1) == 1
    assert all(near(pixel(image, *spot), pixel(right, *spot), 40) for spot in ((3, 3), (20, 28), (28, 20)))
    assert still.ending == ("jpg" if kind == "JPEG" else "png")


def test_a_turned_jpeg_stays_one_with_its_colour_profile_and_all_its_colour() -> None:
    data = encoded(scene(), "JPEG", exif=turned(6), icc_profile=SRGB)
    image = opened(tool.read_still(data, "a.jpg").data)
    assert image.info["icc_profile"] == SRGB
    assert {sampling[1:3] for sampling in image.layer} == {(1, 1)}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_with_broken_exif_data_is_encoded_anew(kind: str) -> None:
    data = encoded(scene(), kind, exif=b"Exif\0\0 nothing of that kind")
    still = tool.read_still(data, "a")
    assert (opened(still.data).format, opened(still.data).getexif()) == (kind, {})


def test_a_profile_that_is_not_for_rgb_does_not_stay_with_rgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    stills = (encoded(scene(mode=mode), "TIFF", icc_profile=own) for mode, own in (("LAB", lab), ("RGB", SRGB)))
    assert [opened(tool.read_still(data, "a").data).info.get("icc_profile") for data in stills] == [None, SRGB]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_picture_is_used_and_that_is_noted(kind: str) -> None:
    still = tool.read_still(frames(kind), "a")
    assert still.notes == ("only the first of 3 pictures in it is used",)
    assert (still.ending, getattr(opened(still.data), "n_frames", 1)) == ("png", 1)
    assert near(pixel(opened(still.data), 8, 8), (0, 0, 200), 40)


def test_the_two_pictures_of_a_phone_are_one() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[scene()])
    still = tool.read_still(data, "a.jpg")
    assert (still.data is data, still.ending, still.notes) == (True, "jpg", ())


@pytest.mark.parametrize("size", [(7100, 7100), (16_385, 1)])
def test_a_picture_beyond_the_bounds_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    data = encoded(Image.new("1", size))
    with pytest.raises(tool.LimitExceeded, match=f'"a.png" has {size[0]}x{size[1]} pixels'):
        tool.read_still(data[:200], "a.png")


@pytest.mark.filterwarnings("error")
def test_a_warning_of_a_decompression_bomb_that_somebody_made_an_error_is_one_of_the_tool() -> None:
    with pytest.raises(tool.LimitExceeded, match="far too many pixels"):
        tool.read_still(encoded(Image.new("1", (10_001, 10_000)))[:200], "a.png")


def test_a_decompression_bomb_is_refused_in_the_same_way() -> None:
    head = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
    check_sum = struct.pack(">I", zlib.crc32(head))
    data = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + head + check_sum + b"\0\0\0\x09IDAT"
    with pytest.raises(tool.LimitExceeded, match="far too many pixels"):
        tool.read_still(data, "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_picture_that_was_cut_is_refused(kind: str, part: float) -> None:
    data = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    with pytest.raises(tool.BadArgument, match=r'"a\.png" (ends too early|is no picture)') as refused:
        tool.read_still(data[: int(len(data) * part)], "a.png")
    assert "ends too early" in refused.value.message or kind == "TIFF", "a TIFF may have its head at the end"


@pytest.mark.parametrize("data", [SVG, b"\xef\xbb\xbf  <!-- x -->\n" + SVG[22:], b"<SVG>"])
def test_a_drawing_is_told_to_be_one(data: bytes) -> None:
    with pytest.raises(tool.BadArgument, match="is a drawing") as refused:
        tool.read_still(data, "a.svg")
    assert "PNG" in refused.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a fox in the snow\n" * 30,
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        b"<html><body><svg></svg></body></html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        (MEDIA / "clip.mp4").read_bytes(),
    ],
    ids=["empty", "text", "PDF", "HEIC", "HTML", "EPS", "video"],
)
def test_what_is_no_picture_is_named(data: bytes) -> None:
    with pytest.raises(tool.BadArgument, match='"my … file" is no picture that can be read'):
        tool.read_still(data, "my … file")


def test_a_fits_file_is_not_opened_for_it_unpacks_without_a_bound() -> None:
    cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 8", "END")
    data = "".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(64)
    assert Image.open(io.BytesIO(data)).format == "FITS"
    with pytest.raises(tool.BadArgument, match="no picture"):
        tool.read_still(data, "a.fits")


# --- masks ---


def strokes(colour: str, ground: str | tuple[int, ...] = (0, 0, 0, 0)) -> Image.Image:
    image = Image.new("RGBA", (48, 32), ground)
    ImageDraw.Draw(image).rectangle((4, 4, 20, 20), fill=colour)
    return image


def half_grey() -> Image.Image:
    """Black and white over nothing: the left is black, the middle white."""
    image = strokes("white")
    ImageDraw.Draw(image).rectangle((4, 4, 11, 20), fill="black")
    return image


MASKS: dict[str, tuple[Image.Image, tuple[int, int], tuple[int, int]]] = {
    "white on black": (strokes("white", "black"), (10, 10), (40, 20)),
    "red on black": (strokes("red", "black").convert("RGB"), (10, 10), (40, 20)),
    "red on nothing": (strokes("red"), (10, 10), (40, 20)),
    "black on nothing": (strokes("black"), (10, 10), (40, 20)),
    "black and white on nothing": (half_grey(), (16, 10), (6, 10)),
    "a photograph with a hole": (holed(), (40, 20), (20, 20)),
    "a palette": (strokes("white", "black").convert("P"), (10, 10), (40, 20)),
    "1 bit": (strokes("white", "black").convert("1"), (10, 10), (40, 20)),
}


@pytest.mark.parametrize(("image", "inside", "outside"), MASKS.values(), ids=MASKS)
def test_a_mask_is_white_where_somebody_drew_or_cut(
    image: Image.Image, inside: tuple[int, int], outside: tuple[int, int]
) -> None:
    mask = tool.read_mask(encoded(image), "m.png")
    assert (mask.mode, mask.size) == ("L", (48, 32))
    assert (mask.getpixel(inside), mask.getpixel(outside)) == (255, 0)


def test_soft_edges_of_strokes_stay_soft() -> None:
    image = strokes("red")
    image.putpixel((21, 10), (255, 0, 0, 100))
    assert tool.read_mask(encoded(image), "m.png").getpixel((21, 10)) == 100


def test_a_mask_of_sixteen_bits_is_not_white_all_over() -> None:
    image = Image.new("I;16", (4, 4), 0x4000)
    assert tool.read_mask(encoded(image), "m.png").getextrema() == (0x40, 0x40)


def test_a_mask_is_turned_as_its_picture_is() -> None:
    data = encoded(strokes("white", "black").convert("RGB"), "JPEG", exif=turned(3))
    mask = tool.read_mask(data, "m.jpg")
    assert mask.getpixel((40, 20)) > 200 > 50 > mask.getpixel((6, 6))


@pytest.mark.parametrize("image", [Image.new("RGB", (8, 8), (3, 3, 3)), Image.new("RGBA", (8, 8))])
def test_a_mask_with_nothing_white_is_refused(image: Image.Image) -> None:
    with pytest.raises(tool.BadArgument, match=r'"m\.png" the mask has no white part'):
        tool.read_mask(encoded(image), "m.png")


def test_a_mask_is_bound_as_a_picture_is() -> None:
    with pytest.raises(tool.LimitExceeded, match="16385x1"):
        tool.read_mask(encoded(Image.new("1", (16_385, 1), 1)), "m.png")


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("GIF", "RGBA")])
def test_what_is_see_through_is_a_mask(kind: str, mode: str) -> None:
    mask = tool.mask_of(tool.read_still(encoded(holed().convert(mode), kind, lossless=True), "a"))
    assert mask is not None
    assert (mask.mode, mask.getpixel((40, 20)), mask.getpixel((20, 20))) == ("L", 255, 0)


def test_a_picture_that_hides_nothing_has_no_mask() -> None:
    assert tool.mask_of(tool.read_still(encoded(scene()), "a.png")) is None


@pytest.mark.parametrize("data", PASSED.values(), ids=PASSED)
def test_a_mask_goes_into_a_picture_and_the_colours_stay_under_it(data: bytes) -> None:
    mask = Image.new("L", (48, 32))
    mask.paste(200, (0, 0, 16, 32))
    still = tool.with_mask(tool.read_still(data, "a"), mask)
    image = opened(still.data)
    assert (image.format, image.mode, still.ending, still.transparent) == ("PNG", "RGBA", "png", True)
    assert (image.getchannel("A").getpixel((3, 3)), image.getchannel("A").getpixel((40, 20))) == (55, 255)
    before = opened(data)
    before.info.pop("transparency", None)
    assert image.convert("RGB").tobytes() == before.convert("RGB").tobytes()


def test_a_mask_of_another_size_is_scaled_and_that_is_noted() -> None:
    still = tool.with_mask(tool.read_still(frames("GIF"), "a.gif"), Image.new("L", (8, 4), 255))
    assert still.notes == ("only the first of 3 pictures in it is used", "the mask of 8x4 was scaled to 16x16")
    assert opened(still.data).getchannel("A").getextrema() == (0, 0)


def test_every_loader_reads_the_same_mask_from_its_file() -> None:
    mask = Image.linear_gradient("L").resize((48, 32))
    still = tool.mask_file(mask, tool.Size(48, 32))
    red, green, blue, alpha = opened(still.data).split()
    assert red.tobytes() == green.tobytes() == blue.tobytes() == mask.tobytes()
    assert alpha.tobytes() == bytes(255 - value for value in mask.tobytes())
    assert (still.ending, still.size, still.notes) == ("png", tool.Size(48, 32), ())


def test_a_mask_file_has_the_size_of_the_picture() -> None:
    still = tool.mask_file(Image.new("1", (512, 512), 1), tool.Size(768, 512))
    assert still.notes == ("the mask of 512x512 was scaled to 768x512",)
    assert opened(still.data).size == (768, 512)


# --- what goes out: formats ---

MADE = encoded(scene(), pnginfo=chunks(*TEXTS.items(), ("parameters", "a fox, 日本\nSteps: 20")), icc_profile=SRGB)


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
    webp, _, _ = tool.delivered(encoded(scene(), pnginfo=chunks(*texts)), "image/png", tool.Format("WebP"))
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
    data = encoded(scene(), pnginfo=chunks(*((key, "x" * length) for key, length in lengths.items())))
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
    data = encoded(scene(), kind or "GIF")
    made = tool.delivered(data, f"image/{kind.lower() or 'gif'}", tool.Format(kind))
    assert made == (data, f"image/{kind.lower() or 'gif'}", ())


def test_the_quality_decides_about_the_size() -> None:
    data = encoded(Image.effect_noise((64, 64), 60).convert("RGB"))
    for kind in ("WebP", "JPEG"):
        sizes = [len(tool.delivered(data, "image/png", tool.Format(kind, quality))[0]) for quality in (1, 50, 100)]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == 3


def test_a_jpeg_shows_white_where_nothing_was_and_a_webp_nothing() -> None:
    data = encoded(holed())
    assert near(pixel(opened(tool.delivered(data, "image/png", tool.Format("JPEG"))[0]), 44, 20), (255,) * 3)
    assert pixel(opened(tool.delivered(data, "image/png", tool.Format("WebP"))[0]), 44, 20)[3] == 0


def test_a_conversion_turns_a_picture_upright() -> None:
    data = encoded(scene(), "JPEG", exif=turned(6))
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
    data = encoded(Image.new("L", size))
    made = tool.delivered(data, "image/png", tool.Format(kind))
    assert made == (data, "image/png", (f"a picture of {size[0]}x1 cannot be a {kind} and stays as it was made",))


def test_a_picture_that_cannot_be_decoded_stays_with_a_note() -> None:
    for data in (b"\x89PNG\r\n\x1a\n", MADE[:-400], b""):
        made, content_type, notes = tool.delivered(data, "image/png", tool.Format("WebP"))
        assert (made, content_type) == (data, "image/png")
        assert notes == ("the picture could not be made a WebP and stays as it was made",)


# --- what goes out: metadata ---


def without(data: bytes, content_type: str) -> bytes:
    """The file without its metadata, of which there has to be some."""
    assert SECRET.encode() in data
    made, kind, notes = tool.delivered(data, content_type, BARE)
    assert (kind, notes) == (content_type, ())
    assert SECRET.encode() not in made
    return made


EXIF = turned(1, maker=SECRET)
XMP = f"<x:xmpmeta>{SECRET}</x:xmpmeta>".encode()
PICTURES: dict[str, bytes] = {
    "PNG": encoded(scene(), pnginfo=chunks(*TEXTS.items()), icc_profile=SRGB, exif=EXIF),
    "JPEG": encoded(scene(), "JPEG", exif=EXIF, xmp=XMP, comment=SECRET, icc_profile=SRGB),
    "JPEG, progressive": encoded(scene(), "JPEG", exif=EXIF, icc_profile=SRGB, progressive=True),
    "WebP": encoded(scene(), "WEBP", exif=EXIF, xmp=XMP, icc_profile=SRGB),
    "WebP, lossless": encoded(holed(), "WEBP", exif=EXIF, lossless=True, icc_profile=SRGB),
}


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_picture_loses_its_texts_and_keeps_its_pixels_and_profile(data: bytes) -> None:
    before, after = opened(data), opened(without(data, tool.content_type_of(data, "")[0]))
    assert after.tobytes() == before.tobytes()
    assert after.info["icc_profile"] == SRGB
    assert (after.getexif(), after.info.get("xmp"), after.info.get("comment")) == ({}, None, None)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_of_exif_data_only_the_orientation_stays(kind: str) -> None:
    data = encoded(scene(), kind, exif=turned(6, maker=SECRET))
    assert dict(opened(without(data, f"image/{kind.lower()}")).getexif()) == {0x0112: 6}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_that_tells_nothing_stays_bit_by_bit(kind: str) -> None:
    data = encoded(scene(), kind)
    assert tool.delivered(data, f"image/{kind.lower()}", BARE) == (data, f"image/{kind.lower()}", ())


def test_a_comment_between_the_scans_of_a_jpeg_is_found() -> None:
    data = PASSED["JPEG, progressive"]
    scan = data.rindex(b"\xff\xda")
    comment = b"\xff\xfe" + struct.pack(">H", len(SECRET) + 2) + SECRET.encode()
    assert without(data[:scan] + comment + data[scan:], "image/jpeg") == data


def test_the_texts_of_an_animated_png_go_as_comfyui_writes_them() -> None:
    info = PngInfo()
    info.add(b"comf", b"prompt\0" + TEXTS["prompt"].encode(), after_idat=True)
    bare = opened(without(frames("PNG", pnginfo=info), "image/png"))
    assert bare.n_frames == 3  # type: ignore[attr-defined]
    assert bare.info["loop"] == 0


def test_an_animated_webp_stays_one() -> None:
    bare = opened(without(frames("WEBP", exif=EXIF, duration=70), "image/webp"))
    assert bare.n_frames == 3  # type: ignore[attr-defined]
    bare.seek(1)
    assert near(pixel(bare, 8, 8), (80, 0, 200), 40)


def test_a_gif_loses_its_comment_and_goes_on_looping() -> None:
    data = frames("GIF", comment=SECRET, loop=0, duration=70)
    xmp = b"\x21\xff\x0bXMP DataXMP" + XMP + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    bare = opened(without(data[:-1] + xmp + b"\x3b", "image/gif"))
    assert (bare.n_frames, bare.info["loop"], bare.info["duration"]) == (3, 0, 70)  # type: ignore[attr-defined]


def recorded(name: str) -> bytes:
    return (MEDIA / name).read_bytes()


@pytest.mark.parametrize(
    "name", ["clip.mp4", "sound.m4a", "clip.webm", "clip.mkv", "sound.flac", "sound.ogg", "sound.opus"]
)
def test_texts_of_a_real_file_are_overwritten_and_no_offset_moves(name: str) -> None:
    data = recorded(name)
    bare = without(data, tool.content_type_of(data, name)[0])
    assert len(bare) == len(data)
    changed = [place for place, (old, new) in enumerate(zip(data, bare, strict=True)) if old != new]
    assert len(changed) < 700, "what was changed is no more than the texts"


def boxes(data: bytes, names: tuple[bytes, ...] = (b"moov", b"trak")) -> list[tuple[bytes, int]]:
    """The boxes of an MP4 file with their lengths, those inside of others behind them."""
    found, at = [], 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, length))
        if kind in names:
            found += boxes(data[at + 8 : at + length])
        at += length
    return found


def test_in_an_mp4_free_boxes_of_the_same_length_take_the_place() -> None:
    data = recorded("clip.mp4")
    before, after = boxes(data), boxes(without(data, "video/mp4"))
    assert [length for _, length in before] == [length for _, length in after]
    assert [new for (old, _), (new, _) in zip(before, after, strict=True) if old != new] == [b"free"]


def test_boxes_with_long_lengths_and_to_the_end_are_read() -> None:
    text = SECRET.encode()
    long = struct.pack(">I4sQ", 1, b"uuid", 16 + len(text)) + text
    last = struct.pack(">I4s", 0, b"udta") + text
    bare = without(struct.pack(">I4s8s", 16, b"ftyp", b"isom\0\0\0\0") + long + last, "video/mp4")
    assert bare[16:] == long[:4] + b"free" + long[8:16] + bytes(len(text)) + last[:4] + b"free" + bytes(len(text))


def test_what_is_written_to_a_pipe_as_webm_is_read() -> None:
    data = recorded("clip.webm")
    segment, cluster = data.index(b"\x18\x53\x80\x67") + 4, data.index(b"\x1f\x43\xb6\x75") + 4
    unknown = bytearray(data)
    unknown[segment : segment + 8] = b"\x01" + b"\xff" * 7
    width = 9 - data[cluster].bit_length()
    unknown[cluster : cluster + width] = ((1 << 7 * width + 1) - 1).to_bytes(width)
    assert len(without(bytes(unknown), "video/webm")) == len(data)


def test_in_a_matroska_file_the_title_goes_with_the_tags_and_nothing_of_the_video() -> None:
    data = recorded("clip.mkv")
    bare = without(data, "video/x-matroska")
    cluster = data.index(b"\x1f\x43\xb6\x75")
    length = int.from_bytes(data[cluster + 5 : cluster + 12]) if data[cluster + 4] == 1 else data[cluster + 4] & 0x7F
    assert bare[cluster : cluster + length] == data[cluster : cluster + length]
    assert b"\x7b\xa9" not in bare[:cluster]
    assert b"\x12\x54\xc3\x67\x01" not in bare


def test_a_flac_file_has_padding_where_its_comments_were() -> None:
    data = recorded("sound.flac")
    bare = without(b"ID3\4\0\0\0\0\0\x0d" + b" " + SECRET.encode() + data, "audio/flac")
    assert len(bare) == len(data)
    kinds, at, last = [], 4, False
    while not last:
        last, length = bare[at] > 0x7F, int.from_bytes(bare[at + 1 : at + 4])
        kinds.append(bare[at] & 0x7F)
        at += 4 + length
    assert 4 not in kinds
    assert bare[at:] == data[at:]


def test_an_mp3_file_begins_and_ends_with_sound() -> None:
    data = recorded("sound.mp3")
    sound = data[10 + (data[8] << 7 | data[9]) :]
    version1 = b"TAG" + SECRET.encode().ljust(125, b"\0")
    item = struct.pack("<II", 12, 0) + b"prompt\0" + SECRET.encode()
    footer, header = (
        b"APETAGEX" + struct.pack("<IIII8x", 2000, 32 + len(item), 1, flags) for flags in (1 << 31, 0xA0000000)
    )
    bare = without(data + header + item + footer + version1, "audio/mpeg")
    assert bare == sound
    assert bare[0] == 0xFF


def ogg_check_sum(page: bytes) -> int:
    """As Ogg's specification has it, bit by bit."""
    total = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1 ^ (0x04C11DB7 if total >> 31 else 0)) & 0xFFFFFFFF
    return total


def ogg_pages(data: bytes) -> list[bytes]:
    pages, at = [], 0
    while at < len(data):
        count = data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        pages.append(data[at:end])
        at = end
    return pages


def ogg_page(flags: int, number: int, lengths: bytes, body: bytes) -> bytes:
    page = struct.pack("<4sBBQIIIB", b"OggS", 0, flags, 0, 7, number, 0, len(lengths)) + lengths + body
    return page[:22] + struct.pack("<I", ogg_check_sum(page)) + page[26:]


@pytest.mark.parametrize("name", ["sound.opus", "sound.ogg"])
def test_the_pages_of_an_ogg_file_are_right_without_comments(name: str) -> None:
    pages = ogg_pages(without(recorded(name), "audio/ogg"))
    assert [struct.unpack("<I", page[22:26])[0] for page in pages] == [ogg_check_sum(page) for page in pages]
    body = pages[1][27 + pages[1][26] :]
    assert body.startswith((b"OpusTags" + bytes(8), b"\x03vorbis" + bytes(8) + b"\1"))


def test_comments_over_several_pages_of_an_ogg_file_are_found() -> None:
    comments = b"OpusTags" + struct.pack("<II", 0, 1) + SECRET.encode() * 60
    pages = [ogg_page(2, 0, b"\x13", b"OpusHead" + bytes(11))]
    pages.append(ogg_page(0, 1, b"\xff", comments[:255]))
    pages.append(ogg_page(1, 2, b"\xff", comments[255:510]))
    pages.append(ogg_page(1, 3, bytes([len(comments) - 510, 3]), comments[510:] + b"abc"))
    pages.append(ogg_page(4, 4, b"\x03", b"xyz"))
    bare = ogg_pages(without(b"".join(pages), "audio/ogg"))
    assert [struct.unpack("<I", page[22:26])[0] for page in bare] == [ogg_check_sum(page) for page in bare]
    assert b"".join(page[27 + page[26] :] for page in bare[1:4]) == b"OpusTags".ljust(len(comments), b"\0") + b"abc"
    assert (bare[0], bare[4]) == (pages[0], pages[4])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "written to a pipe"])
def test_a_wav_file_keeps_its_sound_and_its_length_is_right(streamed: bool) -> None:
    data = recorded("sound.wav")
    data += b"id3 " + struct.pack("<I", 13) + SECRET.encode() + b" \0"
    length = 0xFFFFFFFF if streamed else len(data) - 8
    bare = without(data[:4] + struct.pack("<I", length) + data[8:], "audio/wav")
    assert struct.unpack("<I", bare[4:8])[0] == (0xFFFFFFFF if streamed else len(bare) - 8)
    assert bare.endswith(recorded("sound.wav")[recorded("sound.wav").index(b"data") :])


def glb(model: Any, rest: bytes = b"\4\0\0\0BIN\0abcd") -> bytes:
    text = json.dumps(model).encode()
    text = text.ljust(-(-len(text) // 4) * 4)
    return b"glTF" + struct.pack("<III4s", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


def test_a_model_loses_its_extras_and_stays_a_whole_file() -> None:
    model = {"asset": {"version": "2.0", "extras": {"prompt": SECRET}}, "extras": [SECRET], "nodes": [{"extras": 1}]}
    bare = without(glb(model), "model/gltf-binary")
    assert len(bare) == len(glb(model)) == struct.unpack("<I", bare[8:12])[0]
    assert json.loads(bare[20:-12]) == {"asset": {"version": "2.0"}, "nodes": [{"extras": 1}]}
    assert bare.endswith(b"\4\0\0\0BIN\0abcd")


def test_a_drawing_loses_its_metadata_with_what_stands_quoted_in_it() -> None:
    told = f"<metadata>\n<![CDATA[ </metadata> {SECRET} ]]>\n</metadata >".encode()
    assert without(SVG.replace(b"></svg>", b">" + told + b"</svg>"), "image/svg+xml") == SVG


DAMAGED = {
    "PNG": (MADE[:100], "image/png"),
    "JPEG": (PASSED["JPEG"][:200], "image/jpeg"),
    "GIF": (frames("GIF")[:-20], "image/gif"),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif"),
    "TIFF": (encoded(scene(), "TIFF"), "image/tiff"),
    "MP4": (recorded("clip.mp4")[:-90], "video/mp4"),
    "WebM": (recorded("clip.webm")[:-5], "video/webm"),
    "FLAC": (recorded("sound.flac")[:80], "audio/flac"),
    "MP3": (recorded("sound.mp3")[:40], "audio/mpeg"),
    "Ogg": (recorded("sound.ogg")[:-9], "audio/ogg"),
    "GLB": (glb({})[:22], "model/gltf-binary"),
    "GLB, deep": (glb({})[:12] + struct.pack("<I", 10**5) + b"JSON" + b"[" * 10**5, "model/gltf-binary"),
    "SVG": (b"<svg><metadata>", "image/svg+xml"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
    "a name only": (b"nothing", "video/mp4"),
}


@pytest.mark.parametrize(("data", "content_type"), DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_cannot_be_understood_stays_with_a_note(data: bytes, content_type: str) -> None:
    assert tool.delivered(data, content_type, BARE) == (data, content_type, ("its metadata could not be removed",))


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "model/obj", "application/octet-stream"])
def test_a_file_without_a_place_for_texts_stays(content_type: str) -> None:
    assert tool.delivered(SECRET.encode(), content_type, BARE) == (SECRET.encode(), content_type, ())


def safetensors(**head: Any) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


def test_saved_latents_tell_nothing_any_more() -> None:
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    told = safetensors(__metadata__=TEXTS, latent_tensor=tensor)
    made, notes = tool.deliver(told, "ComfyUI_00001_.latent", BARE)
    assert (made.data[:8], len(made.data), notes) == (told[:8], len(told), ())
    assert SECRET.encode() not in made.data
    assert json.loads(made.data[8:-16]) == {"latent_tensor": tensor}
    plain = safetensors(latent_tensor=tensor)
    assert tool.deliver(plain, "a.latent", BARE)[0].data == plain


# --- what a file is after it was made another ---


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG2000", "a.jp2"), ("PPM", "a.ppm"), ("ICO", "a.ico"), ("PNG", "a.png")]
)
@pytest.mark.parametrize(("wanted", "ending"), [("PNG", "png"), ("WebP", "webp"), ("JPEG", "jpg")])
def test_type_size_and_ending_are_those_of_what_it_became(kind: str, name: str, wanted: str, ending: str) -> None:
    made, notes = tool.deliver(encoded(Image.new("RGB", (32, 16)), kind), name, tool.Format(wanted))
    assert (made.content_type, made.ending, notes) == (f"image/{wanted.lower()}", ending, ())
    assert made.size == tool.Size(*opened(made.data).size)


def test_a_picture_that_was_turned_upright_has_the_size_that_it_has_then() -> None:
    made, _ = tool.deliver(encoded(scene(), "JPEG", exif=turned(6)), "a.jpg", tool.Format("PNG"))
    assert made.size == tool.Size(32, 48)


@pytest.mark.parametrize(("text", "ending"), [("a fox", "txt"), ('{"a": 1}', "json"), ("{a fox}", "txt")])
def test_a_text_is_kept_under_the_ending_of_its_kind(text: str, ending: str) -> None:
    assert tool.text_product(text).ending == ending


# --- a glance at a picture ---


@pytest.mark.parametrize("size", [(3000, 2000), (64, 64)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_glance_is_a_small_jpeg(kind: str, size: tuple[int, int]) -> None:
    url = tool.glance(encoded(scene(size), kind), side=300, most=20_000)
    assert url is not None
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    assert (opened(data).format, max(opened(data).size)) == ("JPEG", min(300, max(size)))
    assert len(data) <= 20_000


def test_a_glance_at_noise_is_made_small_enough() -> None:
    url = tool.glance(encoded(Image.effect_noise((1500, 1500), 90).convert("RGB"), "JPEG"))
    assert url is not None
    assert len(base64.b64decode(url.partition(",")[2])) <= 100_000


def test_a_glance_is_upright_and_white_where_nothing_is() -> None:
    url = tool.glance(encoded(holed(), exif=turned(3)))
    assert url is not None
    assert near(pixel(opened(base64.b64decode(url.partition(",")[2])), 4, 8), (255, 255, 255))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("data", [b"", SVG, encoded(Image.new("1", (10_001, 10_000))), PASSED["PNG"][:60]])
def test_at_what_is_no_picture_or_too_large_there_is_no_glance(data: bytes) -> None:
    assert tool.glance(data) is None


# --- what a file is ---

KINDS = [
    (encoded(scene()), "a.jpg", ("image/png", tool.Size(48, 32), False)),
    (encoded(scene(), "JPEG"), "a.mp4", ("image/jpeg", tool.Size(48, 32), False)),
    (encoded(scene(), "WEBP"), "", ("image/webp", tool.Size(48, 32), False)),
    (encoded(scene(), "TIFF"), "", ("image/tiff", tool.Size(48, 32), False)),
    (encoded(scene(), "BMP"), "", ("image/bmp", tool.Size(48, 32), False)),
    (encoded(scene(), "MPO", save_all=True, append_images=[scene()]), "", ("image/jpeg", tool.Size(48, 32), False)),
    (frames("GIF"), "", ("image/gif", tool.Size(16, 16), True)),
    (frames("WEBP"), "", ("image/webp", tool.Size(16, 16), True)),
    (frames("PNG"), "", ("image/png", tool.Size(16, 16), True)),
    (recorded("clip.mp4"), "a.webm", ("video/mp4", None, True)),
    (recorded("clip.mp4"), "a.m4a", ("audio/mp4", None, False)),
    (recorded("sound.m4a"), "a.mp4", ("audio/mp4", None, False)),
    (b"\0\0\0\x14ftypqt  \0\0\0\0", "a.mp4", ("video/quicktime", None, True)),
    (b"\0\0\0\x14ftypheic\0\0\0\0", "a.jpg", ("image/heic", None, False)),
    (recorded("clip.webm"), "", ("video/webm", None, True)),
    (recorded("clip.mkv"), "a.webm", ("video/x-matroska", None, True)),
    (recorded("sound.flac"), "a.mp3", ("audio/flac", None, False)),
    (b"ID3\4\0\0\0\0\0\4abcd" + recorded("sound.flac"), "", ("audio/flac", None, False)),
    (recorded("sound.mp3"), "a.png", ("audio/mpeg", None, False)),
    (recorded("sound.mp3")[288:], "", ("audio/mpeg", None, False)),
    (recorded("sound.opus"), "", ("audio/ogg", None, False)),
    (recorded("sound.ogg"), "", ("audio/ogg", None, False)),
    (recorded("sound.wav"), "", ("audio/wav", None, False)),
    (glb({}), "a.bin", ("model/gltf-binary", None, False)),
    (SVG, "a.txt", ("image/svg+xml", None, False)),
    (b"v 0 0 0", "A.OBJ", ("model/obj", None, False)),
    (b"solid", "a.stl", ("model/stl", None, False)),
    (b"ply", "a.ply", ("model/ply", None, False)),
    (b"{}", "a.json", ("application/json", None, False)),
    (b"a fox", "a.txt", ("text/plain", None, False)),
    ("a fox".encode("utf-16"), "a.txt", ("text/plain", None, False)),
    (b"# A fox", "a.md", ("text/markdown", None, False)),
    (bytes(99), "a.latent", ("application/octet-stream", None, False)),
    (b"PK\3\4", "a.zip", ("application/zip", None, False)),
    (b"", "", ("application/octet-stream", None, False)),
]


@pytest.mark.parametrize(("data", "name", "kind"), KINDS, ids=[f"{name} {kind[0]}" for _, name, kind in KINDS])
def test_a_file_is_what_its_bytes_say_and_then_its_name(data: bytes, name: str, kind: Any) -> None:
    assert tool.content_type_of(data, name) == kind


# --- whatever comes in ---

SEEDS = [
    *PICTURES.values(),
    *(data for data, _, _ in KINDS if 0 < len(data) < 12_000),
    *(frames(kind) for kind in ("GIF", "WEBP", "TIFF")),
    encoded(scene(mode="LAB"), "TIFF", compression="tiff_lzw"),
    *(encoded(scene(), kind) for kind in ("TGA", "PCX", "PPM", "SGI", "ICO", "DDS", "JPEG2000")),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file of which some bytes are others, or that ends too early."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([40, 400, 10**6])))))
        data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data), draw(st.integers(0, len(data)))]))])


ARBITRARY = st.binary(max_size=200) | mutated()
FORMATS = st.builds(tool.Format, st.sampled_from(["", "PNG", "WebP", "JPEG"]), st.integers(1, 100), st.booleans())


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that is odd
@pytest.mark.parametrize("read", [tool.read_still, tool.read_mask])
@given(ARBITRARY)
@settings(deadline=None, max_examples=150)
def test_nothing_but_an_error_of_the_tool_comes_of_any_bytes(read: Callable[..., Any], data: bytes) -> None:
    try:
        found = read(data, "a")
    except tool.ComfyUIError as error:
        assert isinstance(error, (tool.BadArgument, tool.LimitExceeded))
        return
    if isinstance(found, tool.InputFile):
        assert opened(found.data).size == (found.size.width, found.size.height) or found.ending == "jpg"
        tool.with_mask(found, Image.new("L", (8, 8), 255))
        tool.mask_of(found)


@pytest.mark.filterwarnings("ignore")
@given(ARBITRARY, FORMATS, st.sampled_from([*tool.BARE, "image/tiff", "text/plain"]))
@settings(deadline=None, max_examples=400)
def test_any_bytes_can_be_delivered_and_glanced_at(data: bytes, wanted: tool.Format, content_type: str) -> None:
    made, kind, notes = tool.delivered(data, content_type, wanted)
    assert kind == content_type or (wanted.kind and kind == f"image/{wanted.kind.lower()}")
    assert made == data or wanted.kind or not wanted.metadata
    assert made == data or "its metadata could not be removed" not in notes
    tool.glance(data, 64)
