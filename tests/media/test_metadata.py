"""What a file tells besides what it shows is removed, and nothing else of it changes: pictures, video, sound, models,
drawings and saved latents."""

import json
import struct
from typing import Any

import pytest
from PIL.PngImagePlugin import PngInfo

import comfyui_tool as tool
from tests.support.pictures import opened, saved
from tests.support.samples import (
    EXIF,
    MADE,
    PLAIN,
    SECRET,
    SRGB,
    SVG,
    TELLING,
    TEXTS,
    XMP,
    frames,
    glb,
    near,
    pixel,
    recorded,
    scene,
    turned,
)

BARE = tool.Format(metadata=False)


def without(data: bytes, content_type: str) -> bytes:
    """The file without its metadata, of which there has to be some."""
    assert SECRET.encode() in data
    made, kind, notes = tool.delivered(data, content_type, BARE)
    assert (kind, notes) == (content_type, ())
    assert SECRET.encode() not in made
    return made


# --- pictures ---


@pytest.mark.parametrize("data", TELLING.values(), ids=TELLING)
def test_a_picture_loses_its_texts_and_keeps_its_pixels_and_profile(data: bytes) -> None:
    before, after = opened(data), opened(without(data, tool.content_type_of(data, "")[0]))
    assert after.tobytes() == before.tobytes()
    assert after.info["icc_profile"] == SRGB
    assert (after.getexif(), after.info.get("xmp"), after.info.get("comment")) == ({}, None, None)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_of_exif_data_only_the_orientation_stays(kind: str) -> None:
    data = saved(scene(), kind, exif=turned(6, maker=SECRET))
    assert dict(opened(without(data, f"image/{kind.lower()}")).getexif()) == {0x0112: 6}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_that_tells_nothing_stays_bit_by_bit(kind: str) -> None:
    data = saved(scene(), kind)
    assert tool.delivered(data, f"image/{kind.lower()}", BARE) == (data, f"image/{kind.lower()}", ())


def test_a_comment_between_the_scans_of_a_jpeg_is_found() -> None:
    data = PLAIN["JPEG, progressive"]
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


# --- video and sound ---


@pytest.mark.parametrize("name", ["clip.mp4", "sound.m4a", "clip.webm", "clip.mkv", "sound.flac", "sound.opus"])
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


def test_the_pages_of_an_opus_file_are_right_without_comments() -> None:
    pages = ogg_pages(without(recorded("sound.opus"), "audio/ogg"))
    assert [struct.unpack("<I", page[22:26])[0] for page in pages] == [ogg_check_sum(page) for page in pages]
    body = pages[1][27 + pages[1][26] :]
    assert body.startswith(b"OpusTags" + bytes(8))


def test_comments_over_several_pages_of_an_opus_file_are_found() -> None:
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


# --- models, drawings and latents ---


def test_a_model_loses_its_extras_and_stays_a_whole_file() -> None:
    model = {"asset": {"version": "2.0", "extras": {"prompt": SECRET}}, "extras": [SECRET], "nodes": [{"extras": 1}]}
    bare = without(glb(model), "model/gltf-binary")
    assert len(bare) == len(glb(model)) == struct.unpack("<I", bare[8:12])[0]
    assert json.loads(bare[20:-12]) == {"asset": {"version": "2.0"}, "nodes": [{"extras": 1}]}
    assert bare.endswith(b"\4\0\0\0BIN\0abcd")


def test_a_drawing_loses_its_metadata_with_what_stands_quoted_in_it() -> None:
    told = f"<metadata>\n<![CDATA[ </metadata> {SECRET} ]]>\n</metadata >".encode()
    assert without(SVG.replace(b"></svg>", b">" + told + b"</svg>"), "image/svg+xml") == SVG


def safetensors(**head: Any) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


def test_saved_latents_tell_nothing_any_more() -> None:
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    told = safetensors(__metadata__=TEXTS, latent_tensor=tensor)
    made, notes = tool.deliver(tool.FileBytes(told), "ComfyUI_00001_.latent", BARE)
    assert (made.data.start(8), len(made.data), notes) == (told[:8], len(told), ())
    assert SECRET.encode() not in made.data.whole()
    assert json.loads(made.data.whole()[8:-16]) == {"latent_tensor": tensor}
    plain = safetensors(latent_tensor=tensor)
    assert tool.deliver(tool.FileBytes(plain), "a.latent", BARE)[0].data.whole() == plain


# --- what stays as it is ---


# Damaged, or of a format that no saver writes.
NOT_STRIPPED = {
    "PNG": (MADE[:100], "image/png"),
    "JPEG": (PLAIN["JPEG"][:200], "image/jpeg"),
    "GIF": (frames("GIF")[:-20], "image/gif"),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif"),
    "TIFF": (saved(scene(), "TIFF"), "image/tiff"),
    "MP4": (recorded("clip.mp4")[:-90], "video/mp4"),
    "WebM": (recorded("clip.webm")[:-5], "video/webm"),
    "FLAC": (recorded("sound.flac")[:80], "audio/flac"),
    "MP3": (recorded("sound.mp3")[:40], "audio/mpeg"),
    "Opus": (recorded("sound.opus")[:-9], "audio/ogg"),
    "Opus, two streams": (recorded("sound.opus") * 2, "audio/ogg"),
    "GLB": (glb({})[:22], "model/gltf-binary"),
    "GLB, deep": (glb({})[:12] + struct.pack("<I", 10**5) + b"JSON" + b"[" * 10**5, "model/gltf-binary"),
    "SVG": (b"<svg><metadata>", "image/svg+xml"),
    "Vorbis": (recorded("sound.ogg"), "audio/ogg"),
    "WAV": (recorded("sound.wav"), "audio/wav"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
    "a name only": (b"nothing", "video/mp4"),
}


@pytest.mark.parametrize(("data", "content_type"), NOT_STRIPPED.values(), ids=NOT_STRIPPED)
def test_a_file_that_cannot_be_understood_stays_with_a_note(data: bytes, content_type: str) -> None:
    assert tool.delivered(data, content_type, BARE) == (data, content_type, ("its metadata could not be removed",))


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "model/obj", "application/octet-stream"])
def test_a_file_without_a_place_for_texts_stays(content_type: str) -> None:
    assert tool.delivered(SECRET.encode(), content_type, BARE) == (SECRET.encode(), content_type, ())
