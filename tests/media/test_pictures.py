"""Pictures as they come in: what is read, turned upright, made another or refused; masks; and the small copies that a
model is shown."""

import base64
import io
import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from PIL import Image, ImageCms, ImageDraw, ImageOps

import comfyui_tool as tool
from tests.support.pictures import opened, saved
from tests.support.samples import ARBITRARY, PLAIN, SRGB, SVG, frames, holed, near, pixel, recorded, scene, turned

# --- pictures that come in ---


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
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
    still = tool.read_still(saved(scene(size, mode), kind), "a")
    image = opened(still.data)
    assert (image.format, image.mode, image.size, still.transparent) == ("PNG", "RGB", size, False)
    assert near(pixel(image, 3, 3), (255, 0, 0), 25)


def test_a_gif_with_a_hole_keeps_it() -> None:
    still = tool.read_still(saved(holed(), "GIF"), "a.gif")
    image = opened(still.data)
    assert (image.mode, still.transparent) == ("RGBA", True)
    assert (pixel(image, 40, 20)[3], pixel(image, 20, 20)[3]) == (0, 255)


def test_an_alpha_channel_with_nothing_see_through_is_none() -> None:
    assert not tool.read_still(saved(scene(mode="RGBA")), "a.png").transparent
    assert opened(tool.read_still(saved(scene(mode="RGBA"), "TIFF"), "a.tif").data).mode == "RGB"


def test_a_colour_that_stands_for_nothing_becomes_what_comfyui_understands() -> None:
    image = Image.new("RGB", (8, 8), "red")
    image.putpixel((0, 0), (1, 2, 3))
    still = tool.read_still(saved(image, transparency=(1, 2, 3)), "a.png")
    assert still.transparent
    assert opened(still.data).getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_instead_of_clipped(kind: str) -> None:
    image = Image.new("I;16", (2, 1))
    image.putpixel((0, 0), 0x80FF)
    image.putpixel((1, 0), 0x00FF)
    result = opened(tool.read_still(saved(image, kind), "a").data)
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
    result = opened(tool.read_still(saved(image, "TIFF"), "a.tif").data)
    found = [pixel(result, place, 0)[0] for place in range(2)]
    assert found == pytest.approx(shown, abs=1) or math.isnan(values[1])


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_that_lies_on_its_side_is_turned_upright(kind: str, orientation: int) -> None:
    data = saved(scene(), kind, exif=turned(orientation).tobytes())
    still = tool.read_still(data, "a")
    right, image = ImageOps.exif_transpose(opened(data)), opened(still.data)
    assert image.size == right.size == (still.size.width, still.size.height)
    assert image.getexif().get(0x0112, 1) == 1
    assert all(near(pixel(image, *spot), pixel(right, *spot), 40) for spot in ((3, 3), (20, 28), (28, 20)))
    assert still.ending == ("jpg" if kind == "JPEG" else "png")


def test_a_turned_jpeg_stays_one_with_its_colour_profile_and_all_its_colour() -> None:
    data = saved(scene(), "JPEG", exif=turned(6), icc_profile=SRGB)
    image = opened(tool.read_still(data, "a.jpg").data)
    assert image.info["icc_profile"] == SRGB
    assert {sampling[1:3] for sampling in image.layer} == {(1, 1)}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_with_broken_exif_data_is_encoded_anew(kind: str) -> None:
    data = saved(scene(), kind, exif=b"Exif\0\0 nothing of that kind")
    still = tool.read_still(data, "a")
    assert (opened(still.data).format, opened(still.data).getexif()) == (kind, {})


def test_a_profile_that_is_not_for_rgb_does_not_stay_with_rgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    stills = (saved(scene(mode=mode), "TIFF", icc_profile=own) for mode, own in (("LAB", lab), ("RGB", SRGB)))
    assert [opened(tool.read_still(data, "a").data).info.get("icc_profile") for data in stills] == [None, SRGB]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_picture_is_used_and_that_is_noted(kind: str) -> None:
    still = tool.read_still(frames(kind), "a")
    assert still.notes == ("only the first of 3 pictures in it is used",)
    assert (still.ending, getattr(opened(still.data), "n_frames", 1)) == ("png", 1)
    assert near(pixel(opened(still.data), 8, 8), (0, 0, 200), 40)


def test_the_two_pictures_of_a_phone_are_one() -> None:
    data = saved(scene(), "MPO", save_all=True, append_images=[scene()])
    still = tool.read_still(data, "a.jpg")
    assert (still.data is data, still.ending, still.notes) == (True, "jpg", ())


@pytest.mark.parametrize("size", [(7100, 7100), (16_385, 1)])
def test_a_picture_beyond_the_bounds_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    data = saved(Image.new("1", size))
    with pytest.raises(tool.LimitExceeded, match=f'"a.png" has {size[0]}x{size[1]} pixels'):
        tool.read_still(data[:200], "a.png")


@pytest.mark.filterwarnings("error")
def test_a_warning_of_a_decompression_bomb_that_somebody_made_an_error_is_one_of_the_tool() -> None:
    with pytest.raises(tool.LimitExceeded, match="far too many pixels"):
        tool.read_still(saved(Image.new("1", (10_001, 10_000)))[:200], "a.png")


def test_a_decompression_bomb_is_refused_in_the_same_way() -> None:
    head = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
    check_sum = struct.pack(">I", zlib.crc32(head))
    data = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + head + check_sum + b"\0\0\0\x09IDAT"
    with pytest.raises(tool.LimitExceeded, match="far too many pixels"):
        tool.read_still(data, "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_picture_that_was_cut_is_refused(kind: str, part: float) -> None:
    data = saved(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    with pytest.raises(tool.BadArgument, match=r'"a\.png" (ends too early|is not a picture)') as refused:
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
        recorded("clip.mp4"),
    ],
    ids=["empty", "text", "PDF", "HEIC", "HTML", "EPS", "video"],
)
def test_what_is_no_picture_is_named(data: bytes) -> None:
    with pytest.raises(tool.BadArgument, match='"my … file" is not a picture that can be read'):
        tool.read_still(data, "my … file")


def test_a_fits_file_is_not_opened_for_it_unpacks_without_a_bound() -> None:
    cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 8", "END")
    data = "".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(64)
    assert Image.open(io.BytesIO(data)).format == "FITS"
    with pytest.raises(tool.BadArgument, match="not a picture"):
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
    mask = tool.read_mask(saved(image), "m.png")
    assert (mask.mode, mask.size) == ("L", (48, 32))
    assert (mask.getpixel(inside), mask.getpixel(outside)) == (255, 0)


def test_soft_edges_of_strokes_stay_soft() -> None:
    image = strokes("red")
    image.putpixel((21, 10), (255, 0, 0, 100))
    assert tool.read_mask(saved(image), "m.png").getpixel((21, 10)) == 100


def test_a_mask_of_sixteen_bits_is_not_white_all_over() -> None:
    image = Image.new("I;16", (4, 4), 0x4000)
    assert tool.read_mask(saved(image), "m.png").getextrema() == (0x40, 0x40)


def test_a_mask_is_turned_as_its_picture_is() -> None:
    data = saved(strokes("white", "black").convert("RGB"), "JPEG", exif=turned(3))
    mask = tool.read_mask(data, "m.jpg")
    assert mask.getpixel((40, 20)) > 200 > 50 > mask.getpixel((6, 6))


@pytest.mark.parametrize("image", [Image.new("RGB", (8, 8), (3, 3, 3)), Image.new("RGBA", (8, 8))])
def test_a_mask_with_nothing_white_is_refused(image: Image.Image) -> None:
    with pytest.raises(tool.BadArgument, match=r'"m\.png" the mask has no white part'):
        tool.read_mask(saved(image), "m.png")


def test_a_mask_is_bound_as_a_picture_is() -> None:
    with pytest.raises(tool.LimitExceeded, match="16385x1"):
        tool.read_mask(saved(Image.new("1", (16_385, 1), 1)), "m.png")


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("GIF", "RGBA")])
def test_what_is_see_through_is_a_mask(kind: str, mode: str) -> None:
    mask = tool.mask_of(tool.read_still(saved(holed().convert(mode), kind, lossless=True), "a"))
    assert mask is not None
    assert (mask.mode, mask.getpixel((40, 20)), mask.getpixel((20, 20))) == ("L", 255, 0)


def test_a_picture_that_hides_nothing_has_no_mask() -> None:
    assert tool.mask_of(tool.read_still(saved(scene()), "a.png")) is None


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
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


# --- a glance at a picture ---


@pytest.mark.parametrize("size", [(3000, 2000), (64, 64)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_glance_is_a_small_jpeg(kind: str, size: tuple[int, int]) -> None:
    url = tool.small_copy(saved(scene(size), kind), side=300, most=20_000)
    assert url is not None
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    assert (opened(data).format, max(opened(data).size)) == ("JPEG", min(300, max(size)))
    assert len(data) <= 20_000


def test_a_glance_at_noise_is_made_small_enough() -> None:
    url = tool.small_copy(saved(Image.effect_noise((1500, 1500), 90).convert("RGB"), "JPEG"))
    assert url is not None
    assert len(base64.b64decode(url.partition(",")[2])) <= 100_000


def test_a_glance_is_upright_and_white_where_nothing_is() -> None:
    url = tool.small_copy(saved(holed(), exif=turned(3)))
    assert url is not None
    assert near(pixel(opened(base64.b64decode(url.partition(",")[2])), 4, 8), (255, 255, 255))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("data", [b"", SVG, saved(Image.new("1", (10_001, 10_000))), PLAIN["PNG"][:60]])
def test_at_what_is_no_picture_or_too_large_there_is_no_glance(data: bytes) -> None:
    assert tool.small_copy(data) is None


# --- whatever comes in ---


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that is odd
@pytest.mark.parametrize("read", [tool.read_still, tool.read_mask])
@given(ARBITRARY)
@settings(max_examples=150)
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


# --- what plainly is a mask ---


def file_of(image: Image.Image, kind: str = "PNG") -> tool.InputFile:
    return tool.read_input(saved(image, kind), "x")


def test_a_grey_picture_of_black_and_white_and_of_the_same_size_is_a_mask() -> None:
    photo = Image.radial_gradient("L").resize((96, 64)).convert("RGB")
    mask = Image.new("RGB", (96, 64))
    mask.paste((255, 255, 255), (8, 8, 40, 40))
    picture = file_of(photo)
    assert tool.is_mask_of(file_of(mask), picture)
    assert tool.is_mask_of(file_of(mask, "JPEG"), picture)
    assert tool.is_mask_of(file_of(mask.convert("L")), picture)
    for other in (
        photo,
        mask.resize((64, 64)),
        Image.new("RGB", (96, 64)),
        Image.new("RGB", (96, 64), "white"),
        Image.new("RGB", (96, 64), "red"),
    ):
        assert not tool.is_mask_of(file_of(other), picture)
