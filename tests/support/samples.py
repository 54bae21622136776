"""Files of every kind, whole, with words in them that must not get out, and with arbitrary bytes: for the tests of
media."""

import json
import struct
from typing import Any

from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

import comfyui_tool as tool
from tests.support import MEDIA
from tests.support.pictures import saved

SECRET = "SECRET WORDS"
GRAPH: dict[str, Any] = {"1": {"class_type": "SaveImage", "inputs": {"text": f"{SECRET} für ein Bild 🦊"}, "_meta": {}}}
UI = {"version": 0.4, "nodes": [{"id": 1, "type": "Note", "widgets_values": [SECRET]}], "links": []}
TEXTS = {"workflow": json.dumps(UI), "prompt": json.dumps(GRAPH)}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"></svg>'


# --- pictures, and a look at them ---


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


def turned(orientation: int, maker: str = "Maker") -> Image.Exif:
    """What a camera writes into a photograph: how it was held, and whose it is."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = maker
    return exif


def chunks(*texts: tuple[str, str]) -> PngInfo:
    """Texts for a PNG."""
    info = PngInfo()
    for key, text in texts:
        info.add_text(key, text)
    return info


def frames(kind: str, count: int = 3, **options: Any) -> bytes:
    """An animation of this kind, or as many pages."""
    pictures = [Image.new("RGB", (16, 16), (80 * index, 0, 200)) for index in range(count)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)


def pixel(image: Image.Image, x: int, y: int) -> Any:
    """The colour at a place."""
    return image.getpixel((x, y))


def near(left: Any, right: Any, most: int = 12) -> bool:
    """Whether two colours look alike."""
    return all(abs(a - b) <= most for a, b in zip(left, right, strict=True))


# Pictures as every ComfyUI reads them.
PLAIN = {
    "PNG": saved(scene()),
    "PNG of 1 bit": saved(scene(mode="1")),
    "PNG, grey": saved(scene(mode="L")),
    "PNG, grey with a hole": saved(holed().convert("LA")),
    "PNG with a palette": saved(scene(mode="P")),
    "PNG with a hole": saved(holed()),
    "JPEG": saved(scene(), "JPEG"),
    "JPEG, grey": saved(scene(mode="L"), "JPEG"),
    "JPEG, progressive": saved(scene(), "JPEG", progressive=True),
    "JPEG, upright": saved(scene(), "JPEG", exif=turned(1)),
    "WebP": saved(scene(), "WEBP"),
    "WebP with a hole": saved(holed(), "WEBP"),
}

# A picture as ComfyUI saves it, with its workflow.
MADE = saved(scene(), pnginfo=chunks(*TEXTS.items(), ("parameters", "a fox, 日本\nSteps: 20")), icc_profile=SRGB)

EXIF = turned(1, maker=SECRET)
XMP = f"<x:xmpmeta>{SECRET}</x:xmpmeta>".encode()
# Pictures that hold the secret words in every place for them.
TELLING: dict[str, bytes] = {
    "PNG": saved(scene(), pnginfo=chunks(*TEXTS.items()), icc_profile=SRGB, exif=EXIF),
    "JPEG": saved(scene(), "JPEG", exif=EXIF, xmp=XMP, comment=SECRET, icc_profile=SRGB),
    "JPEG, progressive": saved(scene(), "JPEG", exif=EXIF, icc_profile=SRGB, progressive=True),
    "WebP": saved(scene(), "WEBP", exif=EXIF, xmp=XMP, icc_profile=SRGB),
    "WebP, lossless": saved(holed(), "WEBP", exif=EXIF, lossless=True, icc_profile=SRGB),
}


# --- other files ---


def recorded(name: str) -> bytes:
    """A video or a sound of tests/support/media."""
    return (MEDIA / name).read_bytes()


def glb(model: Any, rest: bytes = b"\4\0\0\0BIN\0abcd") -> bytes:
    """A 3D model."""
    text = json.dumps(model).encode()
    text = text.ljust(-(-len(text) // 4) * 4)
    return b"glTF" + struct.pack("<III4s", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


# Content and name of a file, and what it is by them: its content type, its size, and whether it moves.
KINDS = [
    (saved(scene()), "a.jpg", ("image/png", tool.Size(48, 32), False)),
    (saved(scene(), "JPEG"), "a.mp4", ("image/jpeg", tool.Size(48, 32), False)),
    (saved(scene(), "WEBP"), "", ("image/webp", tool.Size(48, 32), False)),
    (saved(scene(), "TIFF"), "", ("image/tiff", tool.Size(48, 32), False)),
    (saved(scene(), "BMP"), "", ("image/bmp", tool.Size(48, 32), False)),
    (saved(scene(), "MPO", save_all=True, append_images=[scene()]), "", ("image/jpeg", tool.Size(48, 32), False)),
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

# --- whatever comes in ---

SEEDS = [
    *TELLING.values(),
    *(data for data, _, _ in KINDS if 0 < len(data) < 12_000),
    *(frames(kind) for kind in ("GIF", "WEBP", "TIFF")),
    saved(scene(mode="LAB"), "TIFF", compression="tiff_lzw"),
    *(saved(scene(), kind) for kind in ("TGA", "PCX", "PPM", "SGI", "ICO", "DDS", "JPEG2000")),
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
