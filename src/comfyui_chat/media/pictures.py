"""Make files of the chat ready for a workflow: pictures, masks, videos and sounds.

`read_input` makes an `InputFile` of a file's bytes. A picture keeps its bytes where every ComfyUI
reads them correctly. Otherwise it is encoded again: upright, with 8 bits a channel, and only the
first of several pictures.

Until it is sent, a mask is a Pillow picture of mode L, white where something is repainted:
`read_mask` finds it in what somebody drew, `mask_of` in what is see-through in a picture. It goes
to ComfyUI as the transparency of a picture (`with_mask`), which is how LoadImage takes it, or as a
file of its own (`mask_file`).

`small_copy` and `small_jpeg` shrink a picture to a JPEG data URI, for models to look at and for
live previews. `read_picture_workflow` takes the workflow out of a picture that ComfyUI saved:

    PNG   a text "prompt" with the graph in the API format, a text "workflow" with the one in the UI format
    WebP  the same in EXIF data, as "prompt:{...}" and "workflow:{...}"

All of this decodes or encodes pictures and blocks: call it in a thread.
"""

import base64
import contextlib
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageChops, ImageOps, ImageStat

from ..bounds import MOST_MEGAPIXELS, MOST_SIDE, MOST_SMALL_MEGAPIXELS
from ..errors import BadArgument, ComfyUIError, LimitExceeded, WorkflowRefused
from ..graph.nodes import Graph, is_ui_format
from ..graph.reading import EXPECTED, read_json, unwrap
from ..names import shortened
from ..sizes import Size
from ..threads import one_at_a_time
from .file_bytes import Buffer
from .kinds import (
    ORIENTATION,
    PICTURE_TYPES,
    TURNED,
    content_type_of,
    ending_of,
    is_drawing,
    is_paged,
    open_picture,
)
from .parts import TooManyParts

# Pictures that every ComfyUI reads correctly as they are: their formats, with the usual endings,
# and their modes.
ENDINGS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
# How a drawing is recognized as a mask; all of these are of 255.
LEAST_WHITE = 8  # the brightest pixel of a mask has to have
# each channel of strokes in one colour may vary by so much, as a standard deviation
ONE_COLOUR_SPREAD = 16.0
GREY_SPREAD = 12.0  # the channels of something grey may be so far apart on average


@dataclass(frozen=True)
class InputFile:
    """A file for a workflow to work on, as ComfyUI reads it."""

    data: bytes = field(repr=False)
    ending: str  # of its name, without the dot: "png"
    size: Size | None = None  # of a picture, upright; None for a video or sound
    transparent: bool = False  # whether any part of it is see-through
    notes: tuple[str, ...] = ()  # for the user: "only the first of 3 pictures in it is used"
    kind: str = "image"  # or "video" or "audio"

    @functools.cached_property
    def stored_name(self) -> str:
        """Its name in the server's input folder, made from a digest of its content: a file is kept
        only once, and nodes that read it need not run again.
        """
        digest = hashlib.sha256(self.data).hexdigest()
        return f"open-webui-{digest[:24]}.{self.ending}"


def read_input(data: bytes, name: str) -> InputFile:
    """A file as a workflow's input: a video or sound as it is, a picture by `read_still`. Raises
    `BadArgument` for a file of another kind, and as `read_still` does. Blocks: call it in a thread.
    """
    content_type, _, _ = content_type_of(data, name)
    kind, _, _ = content_type.partition("/")
    if kind in ("video", "audio") and data:
        ending = ending_of(content_type, name, is_picture=False)
        return InputFile(data, ending, kind=kind)
    return read_still(data, name)


def read_still(data: bytes, name: str) -> InputFile:
    """A picture of any common format for ComfyUI: its own bytes where every ComfyUI reads them
    correctly, else encoded again, as a JPEG if it was one, else as a PNG.

    It is decoded once in any case, so that a damaged file is found here. Raises `BadArgument` for
    what is not a picture, and `LimitExceeded` beyond the bounds. Blocks.
    """
    with _open_input(data, name) as image:
        ending = ENDINGS.get(str(image.format), "")
        if ending == "jpg" and _is_plain(image):
            return _plain_jpeg(image, data)
        page_count = _page_count(image)
        image.load()
        _check_bounds(image, name)  # some formats tell their size only now
        transparent = _is_see_through(image)
        # Where one colour stands for nothing, ComfyUI shows it.
        is_hidden_colour = transparent and image.mode in ("1", "L", "RGB")
        if ending and page_count == 1 and not is_hidden_colour and _is_plain(image):
            return InputFile(data, ending, Size(*image.size), transparent)
        notes: tuple[str, ...] = ()
        if page_count > 1:
            notes = (f"only the first of {page_count} pictures in it is used",)
        return _reencoded(image, transparent, notes)


def _is_plain(image: Image.Image) -> bool:
    """Whether every ComfyUI reads the pixels of a picture correctly: in a usual mode, and
    upright.
    """
    return image.mode in PLAIN_MODES and orientation_of(image) == 1


def _page_count(image: Image.Image) -> int:
    if not is_paged(image):
        return 1
    return int(getattr(image, "n_frames", 1))  # `check_parts` bounds it, where it takes time


def _plain_jpeg(image: Image.Image, data: bytes) -> InputFile:
    """A JPEG as it is, decoded at an eighth of its size, for which all of the file is read all the
    same.
    """
    size = Size(*image.size)
    image.draft(image.mode, (1, 1))
    image.load()
    return InputFile(data, "jpg", size)


def _reencoded(image: Image.Image, transparent: bool, notes: tuple[str, ...]) -> InputFile:
    """A decoded picture upright and with 8 bits a channel: a JPEG as a JPEG, all else as a PNG."""
    turn_upright(image)
    # A JPEG gets here if it was turned, or has EXIF data that ComfyUI would fail on.
    if ENDINGS.get(str(image.format)) == "jpg" and image.mode in ("L", "RGB"):
        profile = image.info.get("icc_profile")
        encoded = encode(image, "JPEG", quality=95, subsampling="4:4:4", icc_profile=profile)
        return InputFile(encoded, "jpg", Size(*image.size), notes=notes)
    profile = rgb_profile(image)
    plain = plain_picture(image)
    encoded = encode(plain, "PNG", compress_level=1, icc_profile=profile)
    return InputFile(encoded, "png", Size(*plain.size), transparent=transparent, notes=notes)


# Opening a picture within bounds, and the errors for what cannot be opened.


@contextlib.contextmanager
def _open_input(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open a picture within the bounds; it is not decoded yet. Whatever goes wrong then or inside
    the block is raised as `BadArgument` or `LimitExceeded`.
    """
    try:
        with open_picture(data) as image:
            _check_bounds(image, name)
            with room_for(image):
                yield image
    except ComfyUIError:
        raise
    except TooManyParts:
        content_type, _, _ = content_type_of(data, "")
        if not content_type.startswith("image/"):
            raise _unreadable(data, name) from None
        message = f'The picture "{shortened(name)}" is made of too many parts.'
        raise LimitExceeded(message, "Save it anew in an image program.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "far too many pixels") from None
    except Exception:
        raise _unreadable(data, name) from None


def _check_bounds(image: Image.Image, name: str) -> None:
    """Raise `LimitExceeded` for a picture with too many pixels or too long a side."""
    if is_too_large(Size(*image.size)):
        raise _too_large(name, f"{Size(*image.size)} pixels")


def _too_large(name: str, what_it_has: str) -> LimitExceeded:
    """The error for a picture that is too large: it has "9000x9000 pixels", say."""
    return LimitExceeded(
        f'The picture "{shortened(name)}" has {what_it_has}.',
        f"Give one of at most {MOST_MEGAPIXELS:g} megapixels and {MOST_SIDE} pixels a side.",
    )


def _unreadable(data: bytes, name: str) -> BadArgument:
    """The error for a file that Pillow cannot read: a drawing, a damaged picture, or none at
    all.
    """
    if is_drawing(data):
        return BadArgument(
            f'"{shortened(name)}" is a drawing (SVG), not a picture made of pixels.',
            "Export it as PNG first.",
        )
    readable_types = [
        content_type for kind, content_type in PICTURE_TYPES.items() if kind in Image.OPEN
    ]
    content_type, _, _ = content_type_of(data, "")
    if content_type in readable_types:
        return BadArgument(
            f'The picture "{shortened(name)}" ends too early or is damaged.',
            "Save or send it again.",
        )
    return BadArgument(
        f'"{shortened(name)}" is not a picture that can be read.',
        "Pictures may be PNG, JPEG, WebP, GIF, TIFF or AVIF.",
    )


# Masks. White is what is repainted. ComfyUI takes a mask from a picture's transparency, where
# see-through is what is repainted, or from one of the colours of a file.


def read_mask(data: bytes, name: str) -> Image.Image:
    """A mask (mode L, white is what is repainted) from a picture that somebody drew.

    It may be white on black, drawn on nothing in any one colour, or a picture with holes, which are
    the mask then. Raises as `read_still` does, and `BadArgument` when nothing is white. Blocks.
    """
    with _open_input(data, name) as image:
        image.load()
        _check_bounds(image, name)
        turn_upright(image)
        mask = _mask_in(plain_picture(image))
    if _brightest(mask) < LEAST_WHITE:
        raise BadArgument(
            f'In "{shortened(name)}" the mask has no white part, so nothing would be repainted.',
            "Give a mask that is white where the picture is to change.",
        )
    return mask


MASK_SAMPLE = 256  # pixels a side of the copy by which a mask is recognized
MASK_PART = 0.97  # of a mask's pixels that are nearly black or nearly white


def is_mask_of(drawn: InputFile, picture: InputFile) -> bool:
    """Whether a picture plainly is the mask of another one: of its size, grey, and nearly all of it
    black or white. Blocks.
    """
    if (
        drawn.kind != "image"
        or drawn.transparent
        or drawn.size is None
        or drawn.size != picture.size
    ):
        return False
    with _open_input(drawn.data, "the mask") as image:
        image.load()
        sample = image.convert("RGB").resize((MASK_SAMPLE, MASK_SAMPLE), Image.Resampling.NEAREST)
    red, green, blue = sample.split()
    for one, other in ((red, green), (green, blue)):
        _, most = ImageChops.difference(one, other).getextrema()
        if not isinstance(most, (int, float)) or most > GREY_SPREAD:
            return False
    counts = green.histogram()
    black, white = sum(counts[:32]), sum(counts[224:])
    return min(black, white) > 0 and black + white >= MASK_PART * sum(counts)


def _mask_in(picture: Image.Image) -> Image.Image:
    """The mask in a plain picture. Without transparency it is the brightness; else the strokes if
    they have one colour, their brightness if they are grey, and what is see-through if they are a
    picture.
    """
    colours = picture.convert("RGB")
    red, green, blue = colours.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    if picture.mode == "RGB":
        return brightest
    alpha = picture.getchannel("A")
    half = _brightest(alpha) / 2
    # without their soft edges
    strokes = alpha.point([255 if value >= half else 0 for value in range(256)])
    spreads = ImageStat.Stat(colours, strokes).stddev
    if max(spreads) < ONE_COLOUR_SPREAD:
        return alpha
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    colourfulness = ImageChops.subtract(brightest, darkest)
    (mean,) = ImageStat.Stat(colourfulness, strokes).mean
    if mean < GREY_SPREAD:
        return ImageChops.multiply(brightest, alpha)
    return ImageChops.invert(alpha)


def mask_of(still: InputFile) -> Image.Image | None:
    """What is see-through in a picture as a mask (mode L, white is see-through), or None when
    nothing is. Blocks.
    """
    if not still.transparent:
        return None
    with _open_input(still.data, "picture") as image:
        alpha = image.convert("RGBA").getchannel("A")
        return ImageChops.invert(alpha)


def with_mask(still: InputFile, mask: Image.Image) -> InputFile:
    """The picture, see-through where the mask is white, as ComfyUI's LoadImage takes it; under the
    mask its colours stay as well. A mask of another size is scaled, which is noted. Blocks.
    """
    size = still.size or Size(*mask.size)
    mask, notes = _scaled(mask, size)
    with _open_input(still.data, "picture") as image:
        image.load()
        image.info.pop("transparency", None)
        picture = image.convert("RGB")
        profile = rgb_profile(image)
        picture.putalpha(ImageChops.invert(mask))
        encoded = encode(picture, "PNG", compress_level=1, icc_profile=profile)
    has_holes = _brightest(mask) > 0
    return InputFile(encoded, "png", still.size, transparent=has_holes, notes=still.notes + notes)


def mask_file(mask: Image.Image, size: Size) -> InputFile:
    """A mask as a PNG of its own, scaled to `size`, that all of ComfyUI's loaders understand alike:
    those that read a colour, and those that read what is see-through. Blocks.
    """
    mask, notes = _scaled(mask, size)
    alpha = ImageChops.invert(mask)
    picture = Image.merge("RGBA", (mask, mask, mask, alpha))
    encoded = encode(picture, "PNG", compress_level=1)
    has_holes = _brightest(mask) > 0
    return InputFile(encoded, "png", size, transparent=has_holes, notes=notes)


def _scaled(mask: Image.Image, size: Size) -> tuple[Image.Image, tuple[str, ...]]:
    """The mask in mode L and this size, with a note if its size was another."""
    mask_size = Size(*mask.size)
    mask = mask.convert("L")
    if mask_size == size:
        return mask, ()
    # Bilinear, since that adds no rings around hard edges.
    scaled = mask.resize((size.width, size.height), Image.Resampling.BILINEAR)
    note = f"the mask of {mask_size} was scaled to {size}"
    return scaled, (note,)


# Small pictures to look at.


def small_copy(data: Buffer, side: int = 768, most: int = 100_000) -> str | None:
    """A picture as a JPEG data URI for a model to look at, of at most `side` pixels on its longer
    side and about `most` bytes; None for what is not a picture or is too large to decode. Blocks.
    """
    steps = (
        (side, 80),
        (side, 60),
        (side * 2 // 3, 60),
        (side // 2, 50),
        (side // 3, 40),
    )
    return small_jpeg(data, steps, most, MOST_MEGAPIXELS)


def small_jpeg(
    data: Buffer, steps: Sequence[tuple[int, int]], most: int, megapixels: float
) -> str | None:
    """A picture as a JPEG data URI, or None for what is not a picture or has more than so many
    megapixels.

    `steps` are tried in turn: (longer side in pixels, JPEG quality). The first that gives at most
    `most` bytes of JPEG is taken, else the last. Blocks.
    """
    try:
        with open_picture(data) as image:
            if Size(*image.size).megapixels > megapixels:
                return None
            largest_side, _ = steps[0]
            image.draft("RGB", (largest_side, largest_side))
            with room_for(image):
                image.load()
                if image.width * image.height > megapixels * 1e6:
                    return None
                turn_upright(image)
                small = plain_picture(image)
                small.thumbnail((largest_side, largest_side))
        jpeg = b""
        for side, quality in steps:
            small.thumbnail((side, side))
            jpeg = encode(over_white(small), "JPEG", quality=quality)
            if len(jpeg) <= most:
                break
    except Exception:
        return None
    text = base64.b64encode(jpeg).decode()
    return f"data:image/jpeg;base64,{text}"


def is_opaque(data: Buffer) -> bool:
    """Whether no part of a picture is see-through; False for what cannot be decoded. Blocks."""
    try:
        with open_picture(data) as image:
            if is_too_large(Size(*image.size)):
                return False
            with room_for(image):
                image.load()
                return not _is_see_through(image)
    except Exception:
        return False


# What is done with a picture that Pillow opened.


def is_too_large(size: Size) -> bool:
    """Whether a picture of this size is not decoded."""
    return size.megapixels > MOST_MEGAPIXELS or max(size.width, size.height) > MOST_SIDE


def room_for(image: Image.Image) -> contextlib.AbstractContextManager[Any]:
    """Within this a picture may be decoded: a large one when no other large one is, in the whole
    process. Blocks.
    """
    if Size(*image.size).megapixels > MOST_SMALL_MEGAPIXELS:
        return one_at_a_time()
    return contextlib.nullcontext()


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation: 1 for upright, 2 to 8 for turned, 0 when the EXIF data cannot be read. A
    picture that holds its EXIF data at its end is decoded for it.
    """
    try:
        orientation: int = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 0
    if orientation in TURNED:
        return orientation
    return 1


def turn_upright(image: Image.Image) -> None:
    """Turn a picture in place as its EXIF data says."""
    if orientation_of(image) in TURNED:
        ImageOps.exif_transpose(image, in_place=True)


def plain_picture(image: Image.Image) -> Image.Image:
    """A decoded picture as RGB with 8 bits a channel, or as RGBA when something in it is
    see-through.
    """
    mode = "RGBA"
    if not _is_see_through(image):
        mode = "RGB"
        image.info.pop("transparency", None)  # Pillow would warn of it
    if _has_deep_grey(image):
        image = _eight_bits(image)
    if image.mode == mode:
        return image
    return image.convert(mode)


def _is_see_through(image: Image.Image) -> bool:
    """Whether any pixel of a decoded picture is not fully opaque."""
    if not image.has_transparency_data or _has_deep_grey(image):
        return False
    if "A" not in image.getbands():
        image = image.convert("RGBA")
    least_opaque, _ = image.getchannel("A").getextrema()
    return least_opaque != 255


def _has_deep_grey(image: Image.Image) -> bool:
    """Whether a picture is grey, with 16 or 32 bits or with fractions: modes "I", "I;16" and its
    kin, and "F".
    """
    return image.mode[0] in "IF"


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits, or of fractions, as one of 8 bits.

    Of 16 bits the upper 8 are kept; ComfyUI itself would clip what is above 255 to white. In 32
    bits the brightest pixel becomes white. In fractions 1.0 is white if none is brighter, else 255
    or the brightest pixel.
    """
    if image.mode == "F":
        brightest = _brightest(image)
        white = 1.0
        if brightest > 1:
            white = max(brightest, 255.0)
    else:
        image = image.convert("I")
        white = _brightest(image)
        if white <= 0xFFFF:
            return image.point([value >> 8 for value in range(0x10000)], "L")
    return image.point(lambda value: value * (255 / white) + 0).convert("L")


def _brightest(image: Image.Image) -> float:
    """The highest value in a picture that has one channel."""
    return float(image.getextrema()[1])  # type: ignore[arg-type]


def rgb_profile(image: Image.Image) -> bytes | None:
    """A picture's colour profile (ICC), or None when it has none or one that is not for RGB."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        return profile
    return None


def over_white(image: Image.Image) -> Image.Image:
    """The picture without transparency: what was see-through shows white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def encode(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    """A picture as the bytes of a file, in one of Pillow's formats ("PNG", say) and with Pillow's
    options for that.
    """
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


# The workflow in a picture. What ran counts before what was drawn, since it needs no conversion.
PICTURE_KEYS = ("prompt", "workflow")


def read_picture_workflow(data: bytes, name: str) -> Graph:
    """The workflow that ComfyUI put into a picture that it made, in PNG texts or in the EXIF data
    of WebP and JPEG. Raises `WorkflowRefused` when there is none. Blocks: call it in a thread.
    """
    try:
        texts = _comfyui_texts(data)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise WorkflowRefused(
            f'There is no picture that can be read in "{name}".', EXPECTED
        ) from None
    for key in PICTURE_KEYS:
        with contextlib.suppress(WorkflowRefused):
            content = read_json(texts.get(key, ""))
            return unwrap(content)
    raise WorkflowRefused(
        f'The picture "{name}" holds no workflow of ComfyUI.',
        "Pictures lose it when they are edited, compressed or sent by a messenger: attach the file that ComfyUI saved.",
    )


def read_picture_page(data: bytes) -> Graph | None:
    """The same workflow as ComfyUI's editor saves it, where a picture has that as well: it tells
    more of its files and nodes. None where there is none. Blocks: call it in a thread.
    """
    try:
        page = unwrap(read_json(_comfyui_texts(data).get("workflow", "")))
    except (WorkflowRefused, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return page if is_ui_format(page) else None


def _comfyui_texts(data: bytes) -> dict[str, str]:
    """The texts in a picture by their keys, those in EXIF data among them. May raise what Pillow
    raises.
    """
    with open_picture(data, ("PNG", "WEBP", "JPEG")) as image:
        texts = {}
        for key in PICTURE_KEYS:
            text = image.info.get(key)
            if isinstance(text, str):
                texts[key] = text
        # Of a PNG only what stands before the pixels, which would be decoded for the rest.
        exif = {} if image.format == "PNG" and "exif" not in image.info else image.getexif()
        for value in exif.values():
            if isinstance(value, str):
                key, _, text = value.partition(":")
                texts.setdefault(key.strip().lower(), text.strip("\0 "))
    return texts
