"""Small pictures, written and read."""

import io
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

import comfyui_tool as tool


def png(size: tuple[int, int] = (64, 64), colour: Any = "red", mode: str = "RGB", **texts: str) -> bytes:
    """A PNG of one colour, with these texts in it as ComfyUI keeps them there."""
    return encoded(Image.new(mode, size, colour), **texts)


def encoded(image: Image.Image, **texts: str) -> bytes:
    """A picture as a PNG, with these texts in it."""
    chunks = PngInfo()
    for key, text in texts.items():
        chunks.add_text(key, text)
    return saved(image, "PNG", compress_level=1, pnginfo=chunks)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file of this kind, with options as Pillow takes them."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(picture: bytes | tool.OutputFile) -> Image.Image:
    """A picture, read to its end."""
    image = Image.open(io.BytesIO(picture if isinstance(picture, bytes) else picture.data.whole()))
    image.load()
    return image


def as_input(image: Image.Image) -> tool.InputFile:
    """A picture as a call hands it to a workflow."""
    return tool.read_still(encoded(image), "a.png")


def still(size: tuple[int, int] = (64, 64), colour: Any = "red") -> tool.InputFile:
    """A picture of one colour, handed to a workflow in the same way."""
    return as_input(Image.new("RGB", size, colour))


def unread(size: tuple[int, int] = (64, 64), colour: Any = "red") -> tool.InputFile:
    """The same as long as nobody has looked into it: its size is not known."""
    return tool.InputFile(png(size, colour), "png")
