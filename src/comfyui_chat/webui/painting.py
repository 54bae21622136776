"""Masks that the user paints for a call, and the same ones for later calls.

A mask is painted once in a message: a second call for the same picture takes what was painted for
the first, be it that several variants were asked for, or that the first call failed.

What was painted is stored as a file of the user's that no message shows. Every picture that is made
with a mask remembers which one, so that "the same mask, but blue" finds it after a restart, too;
within this process the newest mask of a chat is known even where nothing came of it.
"""

import contextlib
from collections.abc import Iterator

from PIL import Image

from ..bounded import BoundedDict
from ..errors import BadArgument, ComfyUIError, StillRunning
from ..media.file_bytes import hold
from ..media.kinds import OutputFile
from ..media.pictures import InputFile, encode
from ..phrases import Phrase
from ..sizes import Size
from ..threads import PICTURES
from .chat import Chat
from .chat_files import MessagePlace
from .mask_editor import paint_mask
from .page_dialog import page_turn

MASK_NAME = "painted-mask.png"
_PAINTED = BoundedDict[tuple[MessagePlace, str], str](1000)  # by picture -> the id of the mask
_NEWEST = BoundedDict[tuple[str, str], str](1000)  # user and chat -> the id of their newest mask


async def painted_mask(chat: Chat, reference: str, picture: InputFile) -> str:
    """The id of the mask that the user paints over a picture, or has painted for this message.

    Raises `NotAnswered`, and `BadArgument` for what is not a mask.
    """
    message = chat.place
    async with page_turn(message):
        painted = _PAINTED.get((message, reference))
        if painted:
            return painted
        chat.show_status(Phrase("painting"))
        mask = await paint_mask(chat, reference, picture.data)
        painted = await _mask_as_file(chat, mask)
        _PAINTED[message, reference] = painted
        remember_mask(chat, painted)
        return painted


async def _mask_as_file(chat: Chat, mask: Image.Image) -> str:
    """Store a mask, and nothing else that came with it; its id."""
    png = await PICTURES.run(encode, mask, "PNG")
    data = hold(png)
    try:
        return await chat.keep_unshown(
            OutputFile(data, "image/png", Size(*mask.size), ""), MASK_NAME
        )
    finally:
        data.close()


def remember_mask(chat: Chat, mask: str) -> None:
    """From now on the newest mask of the chat is this one, a file by its id."""
    place = chat.place[:2]
    _NEWEST.pop(place, None)
    _NEWEST[place] = mask


@contextlib.contextmanager
def telling_of_mask(chat: Chat) -> Iterator[None]:
    """Around a run: where it fails, the error says that what the user painted is not lost."""
    try:
        yield
    except ComfyUIError as error:
        is_painted = bool(chat.mask_id) and chat.worked_on.get(chat.mask) == MASK_NAME
        if is_painted and not isinstance(error, StillRunning):
            error.add_note('What the user painted is kept: mask="same" takes it again.')
        raise


async def same_mask(chat: Chat) -> str:
    """The id of the newest mask of the chat. Raises `BadArgument` where there was none."""
    newest = _NEWEST.get(chat.place[:2])
    mask = newest or await chat.earlier_mask()
    if not mask:
        raise BadArgument(
            "No picture of this chat was made with a mask yet.",
            'Give the number of a picture that is white where to repaint, or "paint", so that the user paints one.',
        )
    return mask
