"""Files that cost whoever reads them far more than they cost to make: of many parts, or of many pixels.

Each is made by repeating bytes, so that none takes long.
"""

import io
import struct
import zlib

from PIL import Image


def saved(image: Image.Image, kind: str, **options: bool) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# --- PNG ---


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def black(size: int) -> bytes:
    """So many zeros as zlib packs them: a packed block, again and again. Their check sum is not right."""
    block = 2**20
    packer = zlib.compressobj(9)
    start = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + again * (size // block) + packer.flush()


def png(side: int = 8, colours: int = 2, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A black picture, with further chunks before its pixels or behind them. `colours` is 2 for RGB, 6 with alpha."""
    channels = {2: 3, 6: 4}[colours]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, colours, 0, 0, 0))
    pixels = chunk(b"IDAT", black(side * (1 + side * channels)))
    return b"\x89PNG\r\n\x1a\n" + head + before + pixels + behind + chunk(b"IEND")


def animated_png(count: int) -> bytes:
    control = chunk(b"acTL", struct.pack(">II", count, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 1, 0, 0))
    return png(before=control + frame * count)


def icon(inside: bytes) -> bytes:
    """An icon for Apple's systems with a PNG in it, whose size is said to be 1024."""
    entry = b"ic10" + struct.pack(">I", 8 + len(inside)) + inside
    return b"icns" + struct.pack(">I", 8 + len(entry)) + entry


# --- JPEG ---

JPEG = saved(Image.new("RGB", (8, 8)), "JPEG")


def jpeg(segments: bytes) -> bytes:
    return JPEG[:2] + segments + JPEG[2:]


def segment(code: int, content: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, code, 2 + len(content)) + content


def scans(count: int) -> bytes:
    """A JPEG of 16 megapixels whose last scan comes again and again."""
    data = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + b"\xff\xd9"


# --- directories: TIFF and EXIF data ---


def directory(entries: int, size: int, length: int) -> bytes:
    """A TIFF, or EXIF data, of so many entries, which all stand for the same bytes."""
    rows = b"".join(struct.pack("<HHII", tag, 7, size, 8) for tag in range(1, entries + 1))
    return (struct.pack("<2sHIH", b"II", 42, 8, entries) + rows + bytes(4)).ljust(length, b"\0")


def pages(count: int) -> bytes:
    """A TIFF of so many pages, each of one pixel."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (278, 1), (279, 1)]
    page = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    length = len(page) + 4
    links = [8 + length * number for number in range(1, count)] + [0]
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(page + struct.pack("<I", link) for link in links)


def strips(count: int) -> bytes:
    """A TIFF that is cut into so many strips."""
    tags = [(256, 1, 1), (257, 1, 1), (258, 1, 8), (259, 1, 1), (262, 1, 1), (273, count, 200), (278, 1, 1)]
    tags.append((279, count, 200))
    rows = b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + rows + bytes(4 * count + 200)


# --- GIF and WebP ---


def gif(parts: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + parts + b"\x3b"


GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"


def webp(frames: int) -> bytes:
    picture = saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True)[12:]
    content = bytes(12) + b"\1\0\0\0" + picture
    frame = b"ANMF" + struct.pack("<I", len(content)) + content
    head = b"VP8X" + struct.pack("<I", 10) + b"\x02" + bytes(9) + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body = b"WEBP" + head + frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


# --- other pictures ---


def psd(written: bytes) -> bytes:
    """A picture of Photoshop, of 8x8 pixels, with what programs wrote into it."""
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3)
    return head + bytes(4) + struct.pack(">I", len(written)) + written + bytes(4) + b"\0\0" + bytes(192)


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def jpeg2000(boxes_before_head: bytes) -> bytes:
    picture = saved(Image.new("L", (8, 8)), "JPEG2000")
    return picture[:12] + boxes_before_head + picture[12:]


def bmp(packed: bytes) -> bytes:
    """A picture of 4000x4000 pixels, packed as run lengths."""
    about = struct.pack("<IiiHHIIiiII", 40, 4000, 4000, 1, 8, 1, len(packed), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(packed), 0, 0, 1078) + about + bytes(1024) + packed


def windows_icon(side: int) -> bytes:
    """An icon with a BMP whose side is so long."""
    packed = b"\xff\0" * (side * side // 255)
    about = struct.pack("<IiiHHIIiiII", 40, side, 2 * side, 1, 8, 1, len(packed), 0, 0, 256, 0)
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 8, len(about) + 1024 + len(packed), 22)
    return b"\0\0\1\0\1\0" + entry + about + bytes(1024) + packed


# --- film, sound and models ---

MP4_HEAD = struct.pack(">I", 16) + b"ftypisom" + bytes(4)


def boxes(count: int) -> bytes:
    return MP4_HEAD + (struct.pack(">I", 8) + b"free") * count


def boxes_in_boxes(depth: int) -> bytes:
    return MP4_HEAD + b"".join(struct.pack(">I", 8 * number) + b"moov" for number in range(depth, 0, -1))


def large_box(size: int) -> bytes:
    return MP4_HEAD + struct.pack(">I", 8 + size) + b"uuid" + bytes(size)


def elements(count: int) -> bytes:
    """A WebM of empty elements."""
    return b"\x1a\x45\xdf\xa3\x84webm" + b"\xec\x80" * count


def ogg(pages_of_comments: int, empty_pages: int = 0) -> bytes:
    """An Opus file whose comments do not end, and empty pages behind it."""
    page = b"OggS" + bytes(22)
    full = page + b"\xff" + b"\xff" * 255 + bytes(255 * 255)
    head = b"OggS\0\x02" + bytes(20) + b"\1\x13OpusHead" + bytes(11)
    first = page + b"\xff" + b"\xff" * 255 + b"OpusTags".ljust(255 * 255, b"\0")
    return head + first + full * pages_of_comments + (page + b"\0") * empty_pages


def glb(size: int) -> bytes:
    """A model whose JSON has so many bytes."""
    text = b'{"nodes":[' + b"[]," * (size // 3) + b"0]}"
    text += b" " * (-len(text) % 4)
    return b"glTF" + struct.pack("<II", 2, 20 + len(text)) + struct.pack("<I", len(text)) + b"JSON" + text


def safetensors(size: int) -> bytes:
    text = b'{"a":[' + b"[]," * (size // 3) + b"0]}"
    return struct.pack("<Q", len(text)) + text
