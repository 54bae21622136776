"""Which pictures an edit works on, and which one is its mask, where the call says so and where it
does not.

A model often leaves `images` out, or names the mask alone. Then all pictures of the user's last
message are meant, apart from the mask; the newest picture of the chat where that message has none.
The second of two that plainly is a mask of the first, white on black and of its size, is taken for
its mask. A mask may be described ("the white area") instead of named, and mixed up with its
picture; or it is yet to be painted, or that of an earlier result (webui/painting.py). All of this
is said in the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from ..errors import BadArgument
from ..logs import log
from ..media.pictures import InputFile, is_mask_of, mask_of, read_mask
from ..phrases import Phrase
from ..run.inputs import unnamed_note
from ..spelling import plain_words
from ..threads import PICTURES
from ..values import is_given
from .arguments import MASK_INPUTS, pictures_among, plain_input
from .chat import Chat
from .painting import painted_mask, remember_mask, same_mask
from .picking import NO_PICTURE
from .references import (
    FILE_REFERENCE,
    OF_IMAGE,
    PAINTED_LAST,
    SAME_MASK,
    SOME_MASK,
    TO_BE_PAINTED,
    read_references,
)


@dataclass(frozen=True)
class GivenPictures:
    """What an edit works on."""

    files: list[InputFile | None]
    mask: Image.Image | None = None


@dataclass(frozen=True)
class AskedMask:
    """What the argument mask says: a picture, the picture's own transparency, that the user paints
    it, or only that there is one.
    """

    reference: str = ""  # of the picture that it names
    is_own: bool = False
    is_some: bool = False
    is_painted: bool = False


async def given_pictures(chat: Chat, images: Any, mask: Any) -> GivenPictures:
    """The pictures and the mask of a call that edits. Raises `BadArgument` and `LimitExceeded`."""
    asked = await _asked_mask(chat, mask)
    named, note = await _pictures_named(chat, images, asked)
    if asked.is_painted and note:
        named = await _with_painted_first(chat, named)
    given = GivenPictures(await chat.read_inputs(named))
    changed = ""
    if asked.reference:
        given, changed = await _with_mask_named(chat, given.files, named, asked.reference)
    elif asked.is_own and given.files[0]:
        given = replace(given, mask=await _own_mask(given.files[0]))
    elif asked.is_painted:
        given, changed = await _with_painted_mask(chat, given.files, named)
    if given.mask is None:
        given, changed = await _with_second_as_mask(given.files)
    if given.mask is None and asked.is_some:
        raise BadArgument(
            "No picture here plainly is a mask: white on black, and as large as the picture.",
            "Give the mask's number.",
        )
    note = changed or note
    first, *others = given.files
    if note and first:
        given = replace(given, files=[replace(first, notes=(*first.notes, note)), *others])
    return given


async def given_for_workflow(
    chat: Chat, images: Any, inputs: Mapping[str, Any]
) -> tuple[GivenPictures, dict[str, Any]]:
    """The files and the mask of a call that names its workflow, and its other inputs. Its mask is
    an input called so, or stands last in `images`. Raises as `given_pictures` does.
    """
    pictures, others = pictures_among(images, inputs)
    pictures, mask, others = mask_among(pictures, others)
    if mask is None:
        return GivenPictures(await chat.input_files(pictures, allow_saved=True)), others
    asked = await _asked_mask(chat, mask)
    if not asked.reference:
        return await given_pictures(chat, pictures, mask), others
    files = await chat.input_files(pictures, allow_saved=True)
    return GivenPictures(files, await _read_mask(chat, asked.reference)), others


def mask_among(images: Any, inputs: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The pictures without a mask, the mask that is said beside or among them, or None, and the
    other inputs. A picture that stands last is not taken for one here, but where it is known
    whether the workflow takes a mask (run/inputs.py).
    """
    for name, value in inputs.items():
        if plain_input(name) in MASK_INPUTS and is_given(value) and not isinstance(value, bool):
            return images, value, {key: inputs[key] for key in inputs if key != name}
    texts = read_references(images)
    if len(texts) == 1:
        texts = [text.strip() for text in texts[0].split(",")]
    last = plain_words(texts[-1]) if texts else ""
    if PAINTED_LAST.fullmatch(last) or (len(texts) > 1 and SAME_MASK.fullmatch(last)):
        return texts[:-1], texts[-1], inputs
    return images, None, inputs


async def _asked_mask(chat: Chat, mask: Any) -> AskedMask:
    """The argument mask, read. Raises `BadArgument`."""
    if mask is True:
        return AskedMask(is_some=True)
    words = " ".join(map(plain_words, read_references(mask, "mask")))
    if SAME_MASK.fullmatch(words):
        return AskedMask(await same_mask(chat))
    if TO_BE_PAINTED.fullmatch(words):
        return AskedMask(is_painted=True)
    if OF_IMAGE.fullmatch(words):
        return AskedMask(is_own=True)
    if SOME_MASK.fullmatch(words):
        return AskedMask(is_some=True)
    masks = await chat.meant_files(mask, "mask")
    if len(masks) > 1:
        raise BadArgument("The argument mask names several pictures.", "Give one.")
    return AskedMask(masks[0]) if masks else AskedMask()


async def _pictures_named(chat: Chat, images: Any, asked: AskedMask) -> tuple[list[str], str]:
    """The references of the pictures to work on, and a note where none was named and several are
    meant. Where there is some mask that the call does not name, the newest picture beside the one
    named comes along.
    """
    masks = [asked.reference] if asked.reference else []
    named = list(dict.fromkeys(map(_file_of, await chat.meant_files(images, "images"))))
    note = ""
    if not named:
        named, note = await _meant_without_name(chat, masks)
    elif len(named) > 1:
        named = _without(named, masks) or named
    if asked.is_some and len(named) == 1:
        named += _without([file.reference for file in await chat.newest_pictures()], named)[:1]
    return named, note


async def _with_mask_named(
    chat: Chat, files: list[InputFile | None], named: Sequence[str], mask: str
) -> tuple[GivenPictures, str]:
    """The pictures with the mask that the call names, and a note where the two are plainly mixed
    up.
    """
    painted = await _read_mask(chat, mask)
    drawn = files[0]
    picture = await _picture_in_the_mask(chat, files, mask)
    if picture is None or drawn is None:
        return GivenPictures(files, painted), ""
    chat.worked_on[named[0]] = chat.worked_on.pop(named[0])
    painted = await PICTURES.run(read_mask, drawn.data, "the mask")
    note = "the picture is white on black and was taken for the mask, and the mask for the picture"
    return GivenPictures([picture], painted), note


async def _read_mask(chat: Chat, mask: str) -> Image.Image:
    """The mask of a call, by its reference, which is from now on the newest of the chat."""
    name, data = await chat.read_file(mask)
    chat.worked_on[mask] = name
    chat.mask = mask
    remember_mask(chat, mask)
    return await PICTURES.run(read_mask, data, name)


async def _with_painted_first(chat: Chat, named: list[str]) -> list[str]:
    """The pictures of a call that names none, with the one first that the user wants to paint
    on.
    """
    pictures = [file.reference for file in await chat.pictures()]
    numbers = [pictures.index(reference) + 1 for reference in named]
    number = await chat.pointing(Phrase("which_to_paint"), numbers)
    if number is None:
        return named
    return [pictures[number - 1], *_without(named, [pictures[number - 1]])]


async def _with_painted_mask(
    chat: Chat, files: list[InputFile | None], named: Sequence[str]
) -> tuple[GivenPictures, str]:
    """The pictures with the mask that the user paints over the first of them, and a note on it."""
    picture = files[0]
    if picture is None or picture.kind != "image":
        raise BadArgument("A mask can only be painted over a picture.", "Name one in images.")
    mask = await painted_mask(chat, named[0], picture)
    given, _ = await _with_mask_named(chat, files, named, mask)
    return given, 'the user painted the mask; mask="same" takes it again'


async def _with_second_as_mask(files: list[InputFile | None]) -> tuple[GivenPictures, str]:
    """The pictures, the second of two as the mask of the first where it plainly is that, and a note
    on it.
    """
    if len(files) != 2 or files[0] is None or files[1] is None:
        return GivenPictures(files), ""
    first, second = files[0], files[1]
    if not await PICTURES.run(is_mask_of, second, first):
        return GivenPictures(files), ""
    painted = await PICTURES.run(read_mask, second.data, "the mask")
    return GivenPictures(
        [first], painted
    ), "the second picture is white on black, and was taken for the mask of the first"


async def unused_note(chat: Chat) -> tuple[str, ...]:
    """A note for a call that makes a new picture, or none: the user attached one, and nothing was
    made of it yet.
    """
    try:
        pictures = await chat.pictures()
    except Exception as error:  # the chat's pictures are of no use to the call itself
        log.warning("the pictures of the chat could not be read: %s", type(error).__name__)
        return ()
    if not pictures or not pictures[-1].attached:
        return ()
    return ("the user's picture was not used: this is a new one; edit_image works on the user's",)


async def _picture_in_the_mask(
    chat: Chat, files: Sequence[InputFile | None], mask: str
) -> InputFile | None:
    """The picture that was given as the mask, where the only file plainly is a mask and that is
    none; else None.
    """
    drawn = files[0]
    if len(files) != 1 or drawn is None:
        return None
    is_drawn = await PICTURES.run(is_mask_of, drawn, drawn)
    if not is_drawn:
        return None
    [picture] = await chat.read_inputs([mask])
    if picture is None or picture.size != drawn.size:
        return None
    is_drawn_too = await PICTURES.run(is_mask_of, picture, drawn)
    return None if is_drawn_too else picture


async def _own_mask(picture: InputFile) -> Image.Image:
    """The see-through part of a picture as a mask. Raises `BadArgument` where it has none."""
    transparency = await PICTURES.run(mask_of, picture)
    if transparency is None:
        raise BadArgument(
            "The picture has no transparent part.", "Give a separate picture as the mask, or none."
        )
    return transparency


async def _meant_without_name(chat: Chat, masks: Sequence[str]) -> tuple[list[str], str]:
    """The pictures that are meant where none is named, none of which is a mask, and a note where
    they are several.
    """
    newest = _without([file.reference for file in await chat.newest_pictures()], masks)
    if not newest:
        newest = _without([file.reference for file in await chat.pictures()], masks)[-1:]
    if not newest:
        raise BadArgument(*NO_PICTURE)
    return newest, unnamed_note(len(newest), len(newest))


def _without(references: Sequence[str], others: Sequence[str]) -> list[str]:
    """The references to files that are none of the others."""
    unwanted = {_file_of(reference) for reference in others}
    return [reference for reference in references if _file_of(reference) not in unwanted]


def _file_of(reference: str) -> str:
    """A file's id, however it is referred to."""
    found = FILE_REFERENCE.fullmatch(reference)
    return found[1] if found else reference
