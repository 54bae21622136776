"""What a picture is made of is counted, and what programs write is never too much."""

import struct

import pytest
from hypothesis import given, settings
from PIL import Image

import comfyui_tool as tool
from tests.attacks.hostile_files import chunk, gif, png, segment
from tests.support.pictures import saved
from tests.support.samples import ARBITRARY, MADE, PLAIN, SRGB, TELLING, XMP, frames, scene, turned

WRITTEN: dict[str, bytes] = {
    **PLAIN,
    **{f"{name}, telling": data for name, data in TELLING.items()},
    **{f"{kind}, animated": frames(kind, 200) for kind in ("PNG", "GIF", "WEBP", "TIFF", "AVIF")},
    "made by ComfyUI": MADE,
    "PNG of small pieces": png(before=chunk(b"IDAT") * 25_000),
    "PNG with zeros behind": MADE + bytes(10**6),
    "JPEG of a phone, with a film behind": PLAIN["JPEG"] + b"\xff\xda\0\x08" * 10**5,
    "JPEG with XMP and a large profile": saved(scene(), "JPEG", icc_profile=SRGB[:128] + bytes(3 * 10**6), xmp=XMP),
    "JPEG with EXIF data in two parts": PLAIN["JPEG"][:2]
    + segment(0xE1, turned(6).tobytes().ljust(65_000, b"\0")) * 2
    + PLAIN["JPEG"][2:],
    "TIFF of one row a strip": saved(Image.new("1", (8, 9000)), "TIFF", compression="tiff_lzw", tiffinfo={278: 1}),
    "TIFF, large": saved(scene(), "TIFF", big_tiff=True),
    "GIF with a long comment": gif(b"\x21\xfe" + b"\xff".ljust(256, b"a") * 2000 + b"\0"),
    "BMP": saved(scene((3000, 3000)), "BMP"),
}


@pytest.mark.parametrize("data", WRITTEN.values(), ids=WRITTEN)
def test_what_programs_write_is_not_too_much(data: bytes) -> None:
    tool.check_parts(data)


@pytest.mark.parametrize("data", [*WRITTEN.values(), png(before=chunk(b"abCd") * 40_000)], ids=[*WRITTEN, "too many"])
def test_a_file_on_disk_is_counted_as_one_in_memory(data: bytes) -> None:
    file = tool.TemporaryFile()
    file.write(data)
    outcomes = []
    for buffer in (data, file.map()):
        try:
            outcomes.append(tool.check_parts(buffer))
        except tool.TooManyParts:
            outcomes.append("too many")
    file.close()
    assert outcomes[0] == outcomes[1]


def test_as_much_as_the_bound_is_not_too_much_and_one_more_is() -> None:
    pictures = [png(before=chunk(b"abCd") * (tool.MOST_PICTURE_PARTS - number)) for number in (3, 2)]
    tool.check_parts(pictures[0])
    with pytest.raises(tool.TooManyParts):
        tool.check_parts(pictures[1])


@given(ARBITRARY)
@settings(max_examples=150)
def test_any_bytes_are_counted_or_too_much(data: bytes) -> None:
    for start in (b"", *tool.CHECKS, b"II*\0" + struct.pack("<I", 8)):
        try:
            tool.check_parts(start + data)
        except tool.TooManyParts:
            continue


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_large_picture_is_delivered_as_it_was_made_with_a_note() -> None:
    data = png(13_000)
    made, notes = tool.deliver(tool.FileBytes(data), "a.png", tool.Format("WebP"))
    assert (made.data.whole(), made.content_type) == (data, "image/png")
    assert notes == ("a picture of 13000x13000 is too large to be made a WebP and stays as it was made",)


def test_a_picture_of_too_many_parts_is_delivered_as_a_file_with_a_note() -> None:
    data = png(before=chunk(b"abCd") * 40_000)
    made, notes = tool.deliver(tool.FileBytes(data), "a.png", tool.Format())
    assert (made.data.whole(), made.size) == (data, None)
    assert notes == ("a picture could not be read, and is handed over as a file",)


def test_a_picture_of_too_many_parts_is_refused_with_what_would_do() -> None:
    with pytest.raises(tool.LimitExceeded, match=r'"a\.png" is made of too many parts') as refused:
        tool.read_still(png(before=chunk(b"abCd") * 40_000), "a.png")
    assert "Save it anew" in refused.value.hint


def test_of_too_many_texts_those_beyond_the_bounds_are_left_out_with_a_note() -> None:
    texts = b"".join(chunk(b"tEXt", b"key %d\0text" % number) for number in range(400))
    made, notes = tool.deliver(tool.FileBytes(png(before=texts)), "a.png", tool.Format("WebP"))
    assert made.content_type == "image/webp"
    assert len(notes) == 6
    assert "more texts were too many to be kept" in notes[-1]
