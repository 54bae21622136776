"""media/kinds."""

import contextlib
import functools
import io
import mimetypes
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from PIL import Image

from ..values import Size

MAX_INPUT_BYTES = 256 * 2**20
MAX_INPUT_FILES = 16  # of one call


#
# Pictures that come in, masks, and the files that go out, all as bytes. They come from anybody, and Pillow's readers
# raise whatever they stumble over, so every exception of theirs is caught and becomes an error or a note.

MAX_INPUT_MEGAPIXELS = 50.0
MAX_INPUT_SIDE = 16_384


# Not read: what Pillow only recognizes, what starts another program, draws vectors, opens other formats inside or
# unpacks without a bound (FITS).
NOT_READ = {"BUFR", "EPS", "FITS", "FPX", "GRIB", "HDF5", "IPTC", "MIC", "MPEG", "QOI", "WMF"}
ENDINGS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}  # what every ComfyUI reads
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
TURNED = range(2, 9)  # values of EXIF's orientation; 1 is upright
ORIENTATION = 0x0112
PAGED = ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "FLI")  # formats whose further pictures are as good as the first
FAINT = 8  # of 255: no more than a trace of white in a mask
ONE_COLOUR = 16.0  # of 255: how much each channel of a stroke's colour may spread
GREY = 12.0  # of 255: how far apart the channels of something grey may be on average
PICTURE_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


PICTURE_TYPES |= {"AVIF": "image/avif", "TIFF": "image/tiff", "BMP": "image/bmp", "MPO": "image/jpeg"}


# What the operating system's own table of endings may lack.
OTHER_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg", "flac": "audio/flac", "opus": "audio/ogg"}


OTHER_TYPES |= {"ogg": "audio/ogg", "wav": "audio/wav", "m4a": "audio/mp4", "mov": "video/quicktime"}


OTHER_TYPES |= {"mkv": "video/x-matroska", "glb": "model/gltf-binary", "gltf": "model/gltf+json", "obj": "model/obj"}


OTHER_TYPES |= {"stl": "model/stl", "ply": "model/ply", "svg": "image/svg+xml", "json": "application/json"}


OTHER_TYPES |= {"txt": "text/plain", "md": "text/markdown", "latent": "application/octet-stream"}


# How the files of a kind begin.
BEGINNINGS = tuple(
    (re.compile(start, re.DOTALL), kind)
    for start, kind in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo"),
        (rb".{4}ftypavi[fs]", "image/avif"),
        (rb".{4}ftyp(?:hei[cmsx]|hev[cx]|mif1|msf1)", "image/heic"),
        (rb".{4}ftypM4[AB] ", "audio/mp4"),
        (rb".{4}ftypqt  ", "video/quicktime"),
        (rb".{4}ftyp", "video/mp4"),
        (rb"\x1aE\xdf\xa3.{0,60}webm", "video/webm"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS.{24,28}\x80theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb"glTF", "model/gltf-binary"),
        (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]", "audio/mpeg"),
    )
)


def content_type_of(data: bytes, name: str) -> tuple[str, Size | None, bool]:
    """What a file is: its content type, the size in pixels of a picture, and whether it moves (or has pages).
    Told by its own bytes, of which only the head is decoded, else by the name's ending. Blocks: call it in a thread."""
    with contextlib.suppress(Exception), open_picture(data, PICTURE_TYPES) as image:
        return PICTURE_TYPES[str(image.format)], Size(*image.size), _is_paged(image)
    ending = name.rpartition(".")[2].lower()
    start = data[behind_id3(data) :][:80]
    kind = next((kind for begins, kind in BEGINNINGS if begins.match(start)), "")
    if kind == "video/mp4" and ending == "m4a":  # most programs give both the same brand
        kind = "audio/mp4"
    if not kind and data.startswith(b"ID3"):
        kind = "audio/mpeg"
    if not kind and is_drawing(data):
        kind = "image/svg+xml"
    kind = kind or OTHER_TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return kind, None, kind.startswith("video/")


def is_drawing(data: bytes) -> bool:
    """Whether a file is an SVG."""
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return head.startswith(b"<") and not head.startswith((b"<html", b"<!doctype html")) and b"<svg" in head


def open_picture(data: bytes, formats: Iterable[str] = ()) -> Image.Image:
    """A picture whose head is decoded. Raises anything."""
    Image.init()
    names = [kind for kind in Image.OPEN if kind not in NOT_READ and (not formats or kind in formats)]
    return Image.open(io.BytesIO(data), formats=names)


def _is_paged(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):
        return image.format in PAGED and bool(getattr(image, "is_animated", False))
    return False


def behind_id3(data: bytes) -> int:
    """Where a file goes on behind ID3 tags at its start."""
    at = 0
    for _ in range(8):  # there is rarely a second one
        if data[at : at + 3] != b"ID3" or len(data) < at + 10:
            break
        length = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, data[at + 6 : at + 10], 0)
        at += 10 + length + (10 if data[at + 5] & 0x10 else 0)
    return at


USUAL_ENDINGS = {"jpeg": "jpg", "plain": "txt", "svg+xml": "svg"}  # where a type is not called as its files end


@dataclass(frozen=True)
class Product:
    """A finished file, nearly always a picture."""

    data: bytes = field(repr=False)
    content_type: str
    size: Size | None  # of a picture
    source: str  # its name on the ComfyUI server, or "" when it came over the websocket, or is a text
    prompt_id: str = ""  # of the run that made it,
    of: int = 0  # and how many files that made

    @property
    def ending(self) -> str:
        """What a name of such a file ends in: "png"."""
        kind = self.content_type.rpartition("/")[2]
        ending = self.source.rpartition(".")[2].lower() if self.size is None and "." in self.source else kind
        ending = USUAL_ENDINGS.get(ending, ending)
        return ending if re.fullmatch(r"[a-z0-9]{1,8}", ending) else "bin"
