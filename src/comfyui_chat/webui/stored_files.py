"""What Open WebUI holds of a file that was made: how a message names it, and what its dialog shows.

A picture that a browser draws is an "image" in the message, and any other a "file" that is offered
for download and opens a dialog. Both look like this (`message_file`); the metadata of the stored
file tells under `JOB_KEY` which job made it, so that `Chat.kept` finds it again:

    {"type": "image", "id": "5f0c...", "url": "/api/v1/files/5f0c.../content", "name": "a-red-fox-7.png",
     "content_type": "image/png"}

Open WebUI serves a file by the type that it was stored with, and on one of its routes by the ending
of its name, in its own origin: a page, a drawing (SVG) or a script of a hostile server would run
there with the session of whoever opens it (seen with 0.12.4). So `as_served` lets only pictures,
videos and sounds keep their type, and tells them by their own bytes. Everything else becomes plain
text or plain bytes, and keeps its ending only where no browser runs files that end so.

`read_stored_file` reads a file of this Open WebUI for a call, if the user may read it.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import BadArgument, ComfyUIError, LimitExceeded, StorageRefused
from ..media.kinds import (
    MAX_INPUT_BYTES,
    OTHER_TYPES,
    OutputFile,
    content_type_of,
    ending_of,
    plain_png_size,
)
from ..names import quoted, shortened
from ..threads import FILES, PICTURES, STORAGE, ShortWork
from ..values import list_of
from .references import DATA_URI, FILE_ID, FILE_REFERENCE, read_data_uri

JOB_KEY = "comfyui_job"  # under which a stored file tells of the run that made it
# What the page's browser draws as a picture; others are offered for download.
DRAWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp")
# Bytes of which the digest takes half a millisecond, or three on a slow machine.
SMALL_FILE = 1_100_000
TEXT_SHOWN = 100_000  # characters of a text that its dialog shows
TEXT_JUDGED = 4096  # bytes of a file by which it is told whether it is a text
# How files end that no browser runs: texts and tables, subtitles, 3D models, and what ComfyUI
# itself writes.
_INERT_ENDINGS = """
    txt md log csv tsv json jsonl yaml yml srt vtt ass lrc
    obj stl ply glb gltf fbx usd usdz splat ksplat spz exr hdr
    latent safetensors npy npz mid zip bin
"""
INERT_ENDINGS = frozenset(_INERT_ENDINGS.split())


@dataclass
class StoredOutputs:
    """What is stored of a job that made `of` files."""

    of: int
    files: list[dict[str, Any]] = field(default_factory=list)  # as a message holds them
    # what each is called on its server, in the order of storing
    sources: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing; what is, the user may have deleted."""
        return len(self.files) >= self.of

    def add(self, item: Any, source: str) -> None:
        """Take in a stored file (`item` as Open WebUI's `Files` gives it). One that a browser does
        not draw has a page (`file_page`) as its content.
        """
        drawn = "content" not in (item.data or {})
        self.sources.append(source)
        self.files.append(message_file(item, drawn))


def run_record(product: OutputFile, mask: str = "") -> dict[str, Any]:
    """What a stored file tells of the run that made it, as `run_of` reads it again. `mask` is the
    file of the mask with which it was made.
    """
    record = {"prompt_id": product.prompt_id, "source": product.source, "of": product.of}
    if product.seed is not None:
        record["seed"] = product.seed
    mask_id = file_id(product.mask or mask)
    if mask_id:
        record["mask"] = mask_id
    return record


def file_id(reference: str) -> str:
    """The id in a reference to a stored file; "" for anything else, such as a data URI."""
    found = FILE_REFERENCE.fullmatch(reference)
    return found[1] if found and FILE_ID.fullmatch(found[1]) else ""


async def stored_seed(file_id: str) -> int | None:
    """The seed of the call that made a stored file; None for a file that none made."""
    from open_webui.models.files import Files

    item = await Files.get_file_by_id(file_id)
    seed = run_of(item).get("seed") if item else None
    return seed if isinstance(seed, int) else None


async def stored_mask(file_id: str) -> str:
    """The id of the mask with which a stored file was made; "" for one that was made without."""
    from open_webui.models.files import Files

    item = await Files.get_file_by_id(file_id)
    return str(run_of(item).get("mask") or "") if item else ""


def run_of(item: Any) -> Mapping[str, Any]:
    """What a stored file tells of the run that made it; empty for a file that none made.

    {"prompt_id": "0c6d...", "source": "ComfyUI_00007_.png", "of": 2, "seed": 7, "mask": "9d2e...",
     "again": [<the first three of each later run that made the very same>]}
    """
    data = (item.meta or {}).get("data") or {}
    run: Mapping[str, Any] = data.get(JOB_KEY) or {}
    return run


def runs_of(item: Any) -> list[Mapping[str, Any]]:
    """All runs that a stored file tells of: the one that it was stored for, and those that made the
    very same again.
    """
    run = run_of(item)
    return [run, *list_of(run.get("again"))] if run else []


def message_file(item: Any, drawn: bool) -> dict[str, Any]:
    """What a message holds of a stored file (`item` as Open WebUI's `Files` gives it): a picture
    that is `drawn`, or a file that is offered for download.
    """
    meta = item.meta or {}
    entry = {
        "id": item.id,
        "url": f"/api/v1/files/{item.id}/content",
        "name": str(meta.get("name") or item.filename),
        "content_type": str(meta.get("content_type") or ""),
    }
    if drawn:
        return {"type": "image", **entry}
    return {"type": "file", **entry, "size": int(meta.get("size") or 0)}


def as_served(product: OutputFile) -> tuple[OutputFile, str]:
    """A file with the content type that it is stored with, which no browser runs, and the ending of
    its name: a page that a server calls "a.html", or "a.png", becomes text/plain and "txt". Blocks:
    call it in a thread.
    """
    content_type, _, _ = content_type_of(product.data.buffer, "")
    kind, _, detail = content_type.partition("/")
    if kind in ("image", "video", "audio") and detail != "svg+xml":
        return replace(product, content_type=content_type), _media_ending(
            content_type, product.ending
        )
    content_type, ending = "application/octet-stream", "bin"
    if _is_text(product.data.start(TEXT_JUDGED)):
        content_type, ending = "text/plain", "txt"
    if product.ending in INERT_ENDINGS:
        ending = product.ending
    return replace(product, content_type=content_type), ending


async def ready_to_store(product: OutputFile) -> tuple[OutputFile, str]:
    """`as_served`, with the digest of the file's bytes. A small picture as ComfyUI writes it is
    known at a glance, and gone through on the event loop: a thread would take longer to begin.
    """
    data = product.data
    if len(data) <= SMALL_FILE and plain_png_size(data.buffer):
        return await ShortWork.here().run(functools.partial(_with_digest, product))
    return await PICTURES.run(_with_digest, product)


def _with_digest(product: OutputFile) -> tuple[OutputFile, str]:
    served, ending = as_served(product)
    digest = hashlib.sha256(served.data.buffer).hexdigest()
    return replace(served, digest=digest), ending


def _media_ending(content_type: str, ending: str) -> str:
    """How the name of a picture, video or sound ends: as it does where that fits its type, else as
    is usual.
    """
    if OTHER_TYPES.get(ending) == content_type:
        return ending
    for usual, its_type in OTHER_TYPES.items():
        if its_type == content_type:
            return usual
    return ending_of(content_type, "", is_picture=True)


def _is_text(start: bytes) -> bool:
    """Whether a file that begins so is a text in UTF-8; its last character may be cut off."""
    if b"\0" in start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and error.reason == "unexpected end of data"
    return True


def file_page(product: OutputFile, url: str) -> str:
    """What Open WebUI's dialog shows of a file that is not a picture, in Markdown: a player, the
    text, or a link to download it. It is stored with the file.
    """
    kind, _, _ = product.content_type.partition("/")
    if kind in ("video", "audio"):
        # the dialog is not high
        return player(kind, url, ' style="max-width:100%;max-height:20rem"')
    if kind != "text":
        return f"[Download]({url})"
    start = product.data.start(4 * TEXT_SHOWN)  # a character has up to 4 bytes
    return fenced(start.decode("utf-8", "replace")[:TEXT_SHOWN])


def fenced(text: str) -> str:
    """A text in a code block of Markdown, which shows it as it is. Its fence is longer than any
    inside, so that the text cannot end it: what stands behind would be read as Markdown, with
    addresses that the browser loads.
    """
    inside = [len(run) for run in re.findall("`+", text)]
    fence = "`" * max([2, *inside]) + "`"
    return f"{fence}text\n{text}\n{fence}"


def player(kind: str, url: str, style: str = "") -> str:
    """A player in the one form that the page draws in an answer's text, where the inner text
    counts, as well as in a file's dialog, where the attribute does: a block of HTML of its own.
    """
    return f'<p><{kind} src="{url}" controls{style}>{url}</{kind}></p>'


def storage_refused(
    error: Exception, left: Sequence[str], stored: int, *, shown: bool
) -> StorageRefused:
    """The error for files that are not stored: what those that are `left` are called on the ComfyUI
    server, "" for one that is not there, and how many others are stored, and `shown`.
    """
    # an HTTPException, or the storage's own
    reason = getattr(error, "detail", None) or type(error).__name__
    mend = ""
    if getattr(error, "status_code", None) == 413:
        reason, mend = _over_own_limit(str(reason))
    sources = [source for source in left if source]
    hint = "Nothing is left of it on the ComfyUI server."
    if sources:
        hint = f"In ComfyUI's output folder: {quoted(sources)}."
    where = "stored and shown" if shown else "stored"
    if stored == 1:
        hint += f" The other file is {where}."
    elif stored:
        hint += f" The other {stored} files are {where}."
    hint = f"{mend} {hint}".lstrip()
    return StorageRefused(f"Open WebUI did not store the file: {shortened(reason, 200)}", hint)


def _over_own_limit(reason: str) -> tuple[str, str]:
    """Why a file is too large for Open WebUI, which speaks to somebody who uploads one, and what
    would help.
    """
    limit = re.search(r"less than ([\d.]+ ?[A-Za-z]+)", reason)
    most = f" of {limit[1]}" if limit else ""
    return (
        f"it is larger than Open WebUI's limit{most} for a file.",
        'An administrator can raise it: Admin Panel > Settings > Documents > "Max Upload Size". As WebP or JPEG a '
        'picture takes less (valve "Format of pictures").',
    )


# Files of this Open WebUI, read for a call.


async def read_stored_file(reference: str, user_id: str) -> tuple[str, bytes]:
    """Name and content of a file that a user may read, by its id or its address in this Open WebUI,
    or of a data URI.

    Raises `BadArgument` for any other: one that the user may not read cannot be told from one that
    is not there. Raises `LimitExceeded` for one that is too large.
    """
    if DATA_URI.match(reference):
        return await FILES.run(read_data_uri, reference)
    from open_webui.storage.provider import Storage

    item = await _readable_file(reference, user_id)
    if item is None:
        raise BadArgument(
            f'There is no file "{shortened(reference)}".',
            'Give a picture\'s number in this chat, "last", or the id or URL of one of its files.',
        )

    def content() -> bytes:
        path = Path(Storage.get_file(item.path))
        if path.stat().st_size > MAX_INPUT_BYTES:
            raise LimitExceeded(
                f'The file "{item.filename}" is larger than {MAX_INPUT_BYTES // 2**20} MB.'
            )
        return path.read_bytes()

    try:
        return str(item.filename), await STORAGE.run(content)
    except ComfyUIError:
        raise
    except Exception:  # whatever the storage provider raises
        raise BadArgument(
            f'The file "{item.filename}" is no longer in the storage of Open WebUI.'
        ) from None


async def _readable_file(reference: str, user_id: str) -> Any:
    """Open WebUI's record of a file, by its id or address; None where there is none that the user
    may read.
    """
    from open_webui.models.files import Files
    from open_webui.models.users import Users
    from open_webui.utils.access_control.files import has_access_to_file

    match = FILE_REFERENCE.fullmatch(reference.strip())
    user = await Users.get_user_by_id(user_id)
    if not match or not user:
        return None
    item = await Files.get_file_by_id(match[1])
    if item is None or item.user_id == user.id or user.role == "admin":  # as for Open WebUI itself
        return item
    is_shared = await has_access_to_file(item.id, "read", user)
    return item if is_shared else None
