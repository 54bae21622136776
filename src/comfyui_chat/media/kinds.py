"""Tell what a file is by its bytes: its type, a picture's size, whether it moves.

`content_type_of` answers ("image/png", Size(1024, 768), False), say. Pictures are opened by Pillow
(`open_picture`), which decodes only their heads, after their parts were counted (media/parts). For
other files `BEGINNINGS` lists how each kind begins; failing that, the ending of the name tells.
What a server or a browser says of a file is not asked. An `OutputFile` is a finished file and its
type.

Files come from anybody, and Pillow's readers raise whatever they stumble over. So in `media/` every
exception of theirs is caught and becomes an error of this tool or a note, and formats that could do
harm are not read.
"""

import contextlib
import mimetypes
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from PIL import Image

from ..bounds import MOST_PICTURE_BYTES
from ..sizes import Size
from .file_bytes import Buffer, FileBytes, open_buffer
from .parts import check_parts

MAX_INPUT_BYTES = 256 * 2**20  # of a file, and of all files of a call together
MAX_INPUT_FILES = 16  # of a call

# Content types: of what Pillow reads, by its names for the formats, and by the endings of names,
# where the operating system's own table may lack them.
PICTURE_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
OTHER_TYPES = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "obj": "model/obj",
    "stl": "model/stl",
    "ply": "model/ply",
    "svg": "image/svg+xml",
    "json": "application/json",
    "txt": "text/plain",
    "md": "text/markdown",
    "latent": "application/octet-stream",
}

# How files of each content type begin; the first match counts.
BEGINNINGS = tuple(
    (re.compile(start, re.DOTALL), content_type)
    for start, content_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"II[*+]\0|MM\0[*+]", "image/tiff"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo"),
        (rb".{4}ftypavi[fs]", "image/avif"),
        (rb".{4}ftyp(?:hei[cmsx]|hev[cx]|mif1|msf1)", "image/heic"),
        (rb".{4}ftypM4[AB] ", "audio/mp4"),
        (rb".{4}ftypqt  ", "video/quicktime"),
        (rb".{4}ftyp", "video/mp4"),
        (rb".{4}(?:moov|mdat|wide|free|skip).{4}", "video/quicktime"),  # of before there was ftyp
        (rb"\x1aE\xdf\xa3.{0,60}webm", "video/webm"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS.{24,28}\x80theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb"glTF", "model/gltf-binary"),
        (rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]", "audio/aac"),
        (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]", "audio/mpeg"),
    )
)

# Formats that are read besides. Pillow knows some forty more, which hardly anybody sends: some
# start another program, draw vectors, unpack without a bound, or take minutes over a small file.
ALSO_READ = ("ICNS", "ICO", "JPEG2000", "PPM", "PSD", "TGA")

# Formats whose further pictures are as good as the first. In others they only go with it, as in a
# phone's MPO.
PAGED = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")

# EXIF's tag for how a picture is turned, and the values of it that ask for turning; 1 is upright.
ORIENTATION = 0x0112
TURNED = range(2, 9)


def content_type_of(data: Buffer, name: str) -> tuple[str, Size | None, bool]:
    """What a file is: its content type, a picture's size in pixels (None for other files), and
    whether it moves or has pages.

    Told by its own bytes, of which only the head is decoded, else by the ending of its name; what
    nothing tells is "application/octet-stream". Blocks: call it in a thread.
    """
    with contextlib.suppress(Exception), open_picture(data, PICTURE_TYPES) as image:
        return PICTURE_TYPES[str(image.format)], Size(*image.size), is_paged(image)
    _, _, ending = name.lower().rpartition(".")
    content_type = _type_by_beginning(data)
    if content_type == "video/mp4" and ending == "m4a":  # most programs give both the same brand
        content_type = "audio/mp4"
    if not content_type:
        guess, _ = mimetypes.guess_type(name)
        content_type = OTHER_TYPES.get(ending) or guess or "application/octet-stream"
    return content_type, None, content_type.startswith("video/")


def _type_by_beginning(data: Buffer) -> str:
    """The content type of a file that is not a picture, "" where its first bytes do not tell it."""
    at = behind_id3(data)
    start = data[at : at + 80]
    for beginning, content_type in BEGINNINGS:
        if beginning.match(start):
            return content_type
    if data[:3] == b"ID3":
        return "audio/mpeg"
    if is_drawing(data):
        return "image/svg+xml"
    return ""


# Endings of names whose files begin as one of `BEGINNINGS`, whatever program writes them.
KNOWN_BY_BEGINNING = (
    *("png", "apng", "jpg", "jpeg", "webp", "gif", "avif", "heic", "tif", "tiff", "glb"),
    *("mp4", "m4v", "mov", "m4a", "webm", "mkv", "avi", "flac", "wav", "ogg", "oga", "ogv", "opus"),
)
PAGE_ENDINGS = ("html", "htm", "xhtml", "shtml")
PAGE_TYPES = ("text/html", "application/xhtml+xml")


def is_another_file(name: str, content_type: str, start: bytes) -> bool:
    """Whether something else was given in the place of a file of this name, such as a page on which
    to log in: by the content type that it was given with, and by its first bytes.
    """
    _, _, ending = name.lower().rpartition(".")
    if content_type in PAGE_TYPES and ending not in PAGE_ENDINGS:
        return True
    if ending in KNOWN_BY_BEGINNING:
        return bool(start) and not _type_by_beginning(start) and start[:2] != b"BM"
    guess, _ = mimetypes.guess_type(f"x.{ending}")
    is_text = content_type.startswith("text/") or start.lstrip()[:1] in (b"<", b"{")
    is_binary = str(guess).startswith(("image/", "video/", "audio/")) and "+" not in str(guess)
    return is_text and is_binary


def open_picture(data: Buffer, formats: Iterable[str] = ()) -> Image.Image:
    """A picture of which only the head is decoded, in one of Pillow's `formats`, or in any that is
    read when there are none. May raise any exception, and raises `TooManyParts`.
    """
    if len(data) > MOST_PICTURE_BYTES:
        raise ValueError("the file is too large")
    check_parts(data)
    Image.init()
    known = [name for name in formats or (*PICTURE_TYPES, *ALSO_READ) if name in Image.OPEN]
    return Image.open(open_buffer(data), formats=known)


# Chunks of a PNG that may stand before the picture itself and that are told at a glance: the rest,
# such as what is packed, is for Pillow.
PLAIN_CHUNKS = (b"IHDR", b"tEXt", b"pHYs", b"gAMA", b"sRGB", b"sBIT", b"cHRM", b"tIME", b"eXIf")
MOST_PLAIN_CHUNKS = 16
MOST_PLAIN_PIXELS = 50_000_000  # so many are no bomb to Pillow


def plain_png_size(data: Buffer) -> Size | None:
    """The size of a PNG as ComfyUI writes it, told by its first chunks in a few microseconds; None
    for any other file, which is for `content_type_of`.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    head = data[8:33]  # length, kind, width, height and five bytes more, checksum
    if len(head) < 25 or zlib.crc32(head[4:21]) != int.from_bytes(head[21:], "big"):
        return None
    size = Size(int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big"))
    at = 8
    for _ in range(MOST_PLAIN_CHUNKS):
        kind = data[at + 4 : at + 8]
        if kind == b"IDAT":
            return size if 0 < size.width * size.height <= MOST_PLAIN_PIXELS else None
        if kind not in PLAIN_CHUNKS:
            return None
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return None


def is_paged(image: Image.Image) -> bool:
    """Whether a picture is an animation or has pages."""
    with contextlib.suppress(Exception):
        return image.format in PAGED and bool(getattr(image, "is_animated", False))
    return False


def is_drawing(data: Buffer) -> bool:
    """Whether a file is a drawing (SVG)."""
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_page = head.startswith((b"<html", b"<!doctype html"))
    return head.startswith(b"<") and b"<svg" in head and not is_page


def behind_id3(data: Buffer) -> int:
    """The place behind the ID3 tags that a file begins with, 0 when it has none.

    A tag is a head (10 bytes: "ID3", version, flags, and the length in 4 bytes of 7 bits each), the
    content and, if a flag says so, a foot (10 bytes).
    """
    at = 0
    for _ in range(8):  # there is rarely a second one
        head = data[at : at + 10]
        if head[:3] != b"ID3" or len(head) < 10:
            break
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        at += 10 + length
        if head[5] & 0x10:
            at += 10
    return at


# How files end whose content type has another name for it: image/jpeg, say.
USUAL_ENDINGS = {"jpeg": "jpg", "plain": "txt", "svg+xml": "svg"}


def ending_of(content_type: str, name: str, is_picture: bool) -> str:
    """How the name of a file ends, without the dot: "png". By its own name, but for a picture;
    "bin" where nothing sensible is known.
    """
    _, _, ending = content_type.rpartition("/")
    if not is_picture and "." in name:
        _, _, ending = name.lower().rpartition(".")
    ending = USUAL_ENDINGS.get(ending, ending)
    if re.fullmatch(r"[a-z0-9]{1,12}", ending):
        return ending
    return "bin"


@dataclass(frozen=True)
class OutputFile:
    """A finished file, nearly always a picture, with what is known of it. Whoever is done with it
    closes its `data`.
    """

    data: FileBytes = field(repr=False)
    content_type: str
    size: Size | None  # of a picture in pixels
    # its name on the ComfyUI server; "" for a text, and for what came over the websocket
    source: str
    prompt_id: str = ""  # of the run that made it
    of: int = 0  # how many files of that run are brought, if not all by one call
    seed: int | None = None  # of the call that made it: the same call with it makes the same again
    mask: str = ""  # the id of the mask that an earlier call made it with
    digest: str = ""  # the SHA-256 of its bytes, where it is known

    @property
    def ending(self) -> str:
        """How the name of such a file ends, without the dot."""
        return ending_of(self.content_type, self.source, self.size is not None)
