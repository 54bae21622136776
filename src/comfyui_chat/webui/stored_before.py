"""Files that are stored already: the same run made again shows the file that is there, and stores
none.

ComfyUI answers a run that it has made before from its cache, with the very same file, and so a
second copy would be stored with every "once more" that changes nothing. The same run gives a file
the same name, which is made of its prompt and seed, and the same content. That is known by its
SHA-256, which Open WebUI (0.9.6 to 0.12.4) keeps of every file as `file_hash`. `stored_before` goes
through nothing to find it: this process remembers the newest files, and of the chat it looks at
those of that name, which releases before 0.12 do not always tell. Whatever is found is looked at in
the database: it may be deleted meanwhile.

The file then tells of the later run, too (`note_run`), so that check_job knows it as brought.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..bounded import BoundedDict
from ..logs import log
from ..values import list_of, object_of
from .messages import Message
from .stored_files import JOB_KEY, run_of, runs_of

REMEMBERED_STORED = 10_000  # the newest of all users
MOST_OF_A_NAME = 3  # files of a chat that have the name, and are looked at
MOST_RUNS = 50  # of which a file tells
StoredFile = tuple[str, str, str]  # the user, and the name and the SHA-256 of the file
# -> the id of the file.
STORED_FILES = BoundedDict[StoredFile, str](REMEMBERED_STORED)


def remember_stored(file: StoredFile, file_id: str) -> None:
    """Remember a file that was stored."""
    STORED_FILES.pop(file, None)  # so that it is the newest
    STORED_FILES[file] = file_id


async def stored_before(file: StoredFile, of_name: Sequence[str], channel: str = "") -> Any:
    """Open WebUI's record of a file that the tool stored already; None where none is found.
    `of_name` are the ids of the files in the chat that have its name. In a `channel` only one that
    was stored there counts: its members may see no other.
    """
    user_id, name, digest = file
    candidates = [STORED_FILES.get(file), *of_name[-MOST_OF_A_NAME:]]
    for file_id in dict.fromkeys(filter(None, candidates)):
        from open_webui.models.files import Files

        item = await Files.get_file_by_id(file_id)
        if item is None or item.user_id != user_id or not run_of(item):
            continue
        meta = object_of(item.meta)
        place = str(object_of(meta.get("data")).get("channel_id") or "")
        is_same = meta.get("file_hash") == digest and meta.get("name") == name
        if is_same and channel in ("", place):
            return item
    return None


def ids_of_name(messages: Iterable[Message], name: str) -> list[str]:
    """The ids of the files in these messages that have a name."""
    return [
        str(item["id"])
        for message in messages
        for item in list_of(message.get("files"))
        if isinstance(item, dict) and item.get("name") == name and item.get("id")
    ]


async def note_run(item: Any, record: Mapping[str, Any]) -> None:
    """Have a stored file tell of a further run that made it. Never raises."""
    told = runs_of(item)
    kept = {key: record[key] for key in ("prompt_id", "source", "of")}
    if any(kept.items() <= one.items() for one in told):
        return
    from open_webui.models.files import Files

    again = [*told[1:], kept][-MOST_RUNS:]
    data = {**item.meta["data"], JOB_KEY: {**run_of(item), "again": again}}
    try:
        await Files.update_file_metadata_by_id(item.id, {"data": data})
    except Exception as error:
        log.warning("a file does not tell of its later run: %s", type(error).__name__)
