"""What the model is told of results and servers, and the status that the user reads.

`keep_and_report` stores what a run made and tells of it with `report`; `status_report` tells of
servers. Both give back the result for the model and the status, such as "Done in 8 s · seed 7".
`as_answer` makes a text of a result, which goes to Open WebUI:

    {"status":"done","images":[{"number":3,"id":"5f0c..."}],"seed":7,"model":"sd_xl_base_1.0.safetensors",
     "workflow":"sdxl","size":"1024x1024","took":"8 s","note":"The user sees it already; do not show or link it again."}

Open WebUI sends a result to the model again in every later turn, so it is short: it has no spaces,
since a dictionary would be printed with an indent; nothing in it is empty; and where the number of
a picture tells which one is meant, there is no address.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..logs import log
from ..media.kinds import OutputFile, plain_png_size
from ..media.pictures import small_copy
from ..media.running_times import RunningTime, running_time
from ..names import beginning, duration, shortened
from ..phrases import FailurePhrase, Phrase, Span, joined
from ..run.fleet import ServerStatus
from ..run.options import RunResult
from ..run.traces import remove_prompts
from ..server.record import SetAside
from ..server.stats import Device
from ..threads import PICTURES
from .buttons import LookAhead, buttons_page
from .chat import Chat
from .first_start import first_steps
from .settings import Settings
from .stored_files import player
from .transparency import opaque_note

MOST_NODE_TEXTS, LONGEST_NODE_TEXT = 8, 4000  # that nodes showed, and that the model reads
MOST_COPIES = 4  # pictures of one result that the model is shown
ToolAnswer = str | dict[str, Any]  # of a method, as `as_answer` makes it
EMPTY: tuple[Any, ...] = (None, "", [], {}, ())


def as_answer(result: Mapping[str, Any]) -> ToolAnswer:
    """A result as Open WebUI gets it: as JSON without spaces, and without what is empty.

    Small copies of pictures need a dictionary: Open WebUI takes a picture only out of a value that
    is nothing else.
    """
    told = _without_empty(result)
    if "copies" in told:
        return dict(told)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _without_empty(value: Any) -> Any:
    """A value without what is empty in its dictionaries. 0 and False stay."""
    if isinstance(value, Mapping):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in EMPTY}
    if isinstance(value, (list, tuple)):
        return [_without_empty(item) for item in value]
    return value


async def keep_and_report(
    chat: Chat, settings: Settings, made: RunResult, stem: str, ahead: LookAhead, prompt: str = ""
) -> tuple[dict[str, Any], str]:
    """What was made, stored as the user's files and reported; `stem` is what the files are called
    after, `ahead` what the servers can do next, and `prompt` the prompt of the call. Raises
    `StorageRefused`.
    """
    ahead.begin()
    files = await chat.keep(made.products, stem)
    if settings.leaves_no_prompts:
        await chat.write()  # what follows may take a while
        failure = await remove_prompts(made.whole)
        made = replace(made, notes=(*made.notes, failure) if failure else made.notes)
    made = replace(made, notes=(*made.notes, *await opaque_note(prompt, made.products)))
    times = [await _running_time(product) for product in made.products]
    worked_on = await _worked_on(chat)
    numbers = await chat.numbers(files)
    result, text = report(made, files, chat.shown, numbers, times, worked_on, chat.repeated)
    if settings.buttons and chat.shown and files:
        await _show_buttons(chat, ahead, list(numbers.values()))
    if settings.show_to_model and chat.seen_by_model:
        result["copies"] = await _copies(made)
    return result, text


async def _show_buttons(chat: Chat, ahead: LookAhead, numbers: Sequence[int]) -> None:
    """Show buttons for the newest result; without them it is as good, so no failure of theirs
    counts.
    """
    if not ahead.is_done:
        await chat.write()  # the files do not wait for what the buttons need
    try:
        await chat.show_buttons(buttons_page(numbers, await ahead.tasks(), chat.language))
    except Exception as error:
        log.warning("the buttons could not be shown: %s", type(error).__name__)


async def _running_time(product: OutputFile) -> RunningTime:
    """How long a file plays; in no thread where it is told at a glance that it does not."""
    data = product.data
    if not data.on_disk and plain_png_size(data.buffer):
        return RunningTime()
    return await PICTURES.run(running_time, data.buffer, product.content_type)


async def _copies(made: RunResult) -> list[str]:
    """Small copies of the first pictures, as data URIs, for the model to look at."""
    pictures = [product.data.buffer for product in made.products if product.size]
    copies = []
    for data in pictures[:MOST_COPIES]:
        copy = await PICTURES.run(small_copy, data)
        if copy:
            copies.append(copy)
    return copies


async def _worked_on(chat: Chat) -> list[int | str]:
    """The files that the workflow got, with a mask last: pictures by their numbers in the chat,
    others by their names.

    [2, "clip.mp4"]
    """
    numbers = await chat.numbers([{"id": reference} for reference in chat.worked_on])
    return [numbers.get(reference) or shortened(name) for reference, name in chat.worked_on.items()]


def report(
    made: RunResult,
    files: Sequence[Mapping[str, Any]],
    shown: bool,
    numbers: Mapping[str, int] | None = None,
    times: Sequence[RunningTime] = (),
    worked_on: Sequence[int | str] = (),
    repeated: Mapping[str, bool] | None = None,
) -> tuple[dict[str, Any], str]:
    """What the model gets to know of finished files, and the last status. What is empty is left out
    by `as_answer`.

    `files` are what a message holds of them, `shown` tells whether the user sees them, `numbers`
    the pictures' numbers in the chat by id, `times` how long those play that do, `worked_on` what
    the workflow got, and `repeated` which files were stored before, and whether in this chat. Texts
    that nodes showed come as "text", and notes as "adjusted".
    """
    sizes = dict.fromkeys(str(product.size) for product in made.products if product.size)
    told = files_told(files, numbers or {}, shown)
    result: dict[str, Any] = {
        "status": "done",
        **told,
        "from": list(worked_on),
        "seed": made.seed,
        "model": made.model,
        "workflow": made.workflow,
        **made.used,
        "size": ", ".join(sizes) or made.used.get("size"),
        **_length_told(made.used, times),
        "cost": made.cost,
        "took": duration(made.seconds) if made.seconds >= 0.5 else "",
        "adjusted": [
            *made.notes,
            *_other_length(made.used, times),
            *_repeated_notes(repeated or {}, numbers or {}),
        ],
        "text": [beginning(text, LONGEST_NODE_TEXT) for text in made.texts[:MOST_NODE_TEXTS]],
        "still_running": made.running,
    }
    if made.running:
        result["note"] += (
            " The rest goes on as the job `still_running`: do not start it again; check_job brings it."
        )
    if made.texts and not told["images"] and not told["players"]:
        result["note"] = "`text` holds what it says; the user can open it as a file."
    all_repeated = bool(repeated) and len(repeated or {}) == len({item["id"] for item in files})
    return result, _done_text(made, all_repeated)


def _repeated_notes(repeated: Mapping[str, bool], numbers: Mapping[str, int]) -> list[str]:
    """Notes, or none, on files that were not stored because they were stored before."""
    notes = []
    pictures = sorted(
        numbers[one] for one, in_chat in repeated.items() if in_chat and one in numbers
    )
    if pictures:
        named = "picture" if len(pictures) == 1 else "pictures"
        told = " and ".join(map(str, pictures))
        notes.append(f"the same as {named} {told} of this chat: shown again, not stored anew")
    others = len(repeated) - len(pictures)
    if others:
        were = "the same file was" if others == 1 else f"the same {others} files were"
        notes.append(f"{were} stored before: shown again, not stored anew")
    return notes


def _length_told(used: Mapping[str, Any], times: Sequence[RunningTime]) -> dict[str, Any]:
    """The seconds and frames of videos and sounds: those that the graph was asked for, else those
    of the files.
    """
    return {
        "seconds": used.get("seconds")
        or _one_or_all([round(each.seconds or 0, 2) for each in times]),
        "frames": used.get("frames") or _one_or_all([each.frames for each in times]),
    }


def _other_length(used: Mapping[str, Any], times: Sequence[RunningTime]) -> list[str]:
    """Notes, or none, on files that play much longer or shorter than the graph was asked for."""
    asked = used.get("seconds")
    if not asked:
        return []
    others = [
        each for each in times if each.seconds and abs(each.seconds - asked) > max(asked / 10, 0.3)
    ]
    return [_plays(each) for each in others[:1]]


def _plays(time: RunningTime) -> str:
    frames = f", {time.frames} frames" if time.frames else ""
    return f"the file plays {time.seconds:.3g} s{frames}"


def _one_or_all(values: Sequence[float | None]) -> Any:
    """Numbers that are known, as one where they are all the same: 5.04, or [5.04, 4.96]; None where
    none is.
    """
    known = [value for value in values if value]
    return known[0] if len(set(known)) == 1 else known


def _done_text(made: RunResult, all_repeated: bool = False) -> str:
    """The last status of a run: "Done in 8 s · seed 7"; of one of which files are missing it says
    how many, and of one that only made what was stored before that this is shown again.
    """
    done = Phrase("done")
    if made.seconds >= 0.5:
        done = Phrase("done_in", time=Span(made.seconds))
    seed = Phrase("seed", seed=made.seed) if made.seed is not None else ""
    left_out = Phrase("left_out", count=made.left_out) if made.left_out else ""
    again = Phrase("shown_again") if all_repeated else ""
    return joined(done, seed, left_out, again)


def files_told(
    files: Sequence[Mapping[str, Any]], numbers: Mapping[str, int], shown: bool
) -> dict[str, Any]:
    """Files for the model, and what it is to do about them. Those that are not pictures come as
    "files", those that can be played also as "players", which the model copies into its answer.

        {"images": [{"number": 3, "id": "5f0c..."}], "files": [], "players": "", "note": "The user sees it already..."}
    """
    pictures = [item for item in files if item["type"] == "image"]
    others = [item for item in files if item["type"] != "image"]
    players = _players(others) if shown else []
    return {
        "images": _pictures_told(pictures, numbers, shown),
        "files": [{"name": item["name"], **_place(item, shown)} for item in others],
        "players": "\n\n".join(players),
        "note": _what_to_do(files, shown=shown, has_players=bool(players)),
    }


def _pictures_told(
    pictures: Sequence[Mapping[str, Any]], numbers: Mapping[str, int], shown: bool
) -> list[dict[str, Any]]:
    """Pictures by their numbers in the chat, a single one also by its id. Where its number is not
    known a picture has its id, and where nobody sees the message its address.

    [{"number": 3, "id": "5f0c..."}]    or    [{"number": 3}, {"number": 4}]
    """
    told: list[dict[str, Any]] = []
    for item in pictures:
        number = numbers.get(item["id"])
        if not number or not shown:
            told.append(_place(item, shown))
        elif len(pictures) == 1:
            told.append({"number": number, "id": item["id"]})
        else:
            told.append({"number": number})
    return told


def _place(item: Mapping[str, Any], shown: bool) -> dict[str, Any]:
    """Where a stored file is: its id, and its address where the caller has to show it to
    somebody.
    """
    if shown:
        return {"id": item["id"]}
    return {"id": item["id"], "url": item["url"]}


def _players(others: Sequence[Mapping[str, Any]]) -> list[str]:
    """A player for each of the files that are videos or sounds."""
    players = []
    for item in others:
        kind = item["content_type"].partition("/")[0]
        if kind in ("video", "audio"):
            players.append(player(kind, item["url"]))
    return players


def _what_to_do(files: Sequence[Mapping[str, Any]], *, shown: bool, has_players: bool) -> str:
    """What the model is told to do, or not to do, about these files."""
    if has_players:
        return (
            "Copy `players` into the answer as it is, between empty lines: there the user plays it."
        )
    if not shown:
        return "Stored as files of the user."
    if len(files) == 1:
        return "The user sees it already; do not show or link it again."
    return "The user sees them already; do not show or link them again."


# What comfyui_status tells of each server.


def status_report(
    statuses: Sequence[ServerStatus], admin: bool, jobs: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """What the model gets to know of the servers and of the user's `jobs`, and the last status.

    The servers' addresses, and the metrics of this process, are for administrators.
    """
    servers = [_server_entry(status, admin) for status in statuses]
    told = {"status": "done", "servers": servers, **(jobs or {})}
    tried = [status.endpoint for status in statuses]
    if statuses and all(status.endpoint.guessed and status.error for status in statuses):
        told["what to do"] = " ".join(first_steps(admin, tried))
    return told, _servers_text(statuses)


def _servers_text(statuses: Sequence[ServerStatus]) -> str:
    """The last status of comfyui_status: "2 of 3 servers ready · 4 in the queue"."""
    text = Phrase("server", health=_health_told(statuses[0]))
    if len(statuses) > 1:
        usable = sum(status.usable for status in statuses)
        text = Phrase("servers", ready=usable, all=len(statuses))
    queues = [status.queue for status in statuses if status.queue is not None]
    if not queues:
        return text
    is_whole = all(queue.is_whole for queue in queues)
    name = "in_queue" if is_whole else "in_queue_at_least"
    return joined(text, Phrase(name, count=sum(map(len, queues))))


def _health_told(status: ServerStatus) -> Phrase:
    if status.error and status.health != "unreachable":
        return FailurePhrase(status.health, status.error.code)
    return Phrase(status.health)


def _server_entry(status: ServerStatus, admin: bool) -> dict[str, Any]:
    """A server for the model. What is not known is left out.

    {"name": "fast", "health": "busy", "queue": {"running": 1, "waiting": 2, "yours": 2},
     "memory": ["22 of 22.5 GB free on NVIDIA L4"], "a run takes": "12 s", "version": "0.33.0"}
    """
    entry: dict[str, Any] = {"name": status.endpoint.name, "health": status.health}
    if admin:
        entry["url"] = status.endpoint.url
    if status.queue is not None:
        queue = {
            "running": len(status.queue.running),
            "waiting": len(status.queue.pending),
            "yours": status.mine,
        }
        entry["queue"] = {name: count for name, count in queue.items() if count} or "empty"
    if status.stats:
        entry["memory"] = [_memory_line(device) for device in status.stats.devices]
    pace = status.record.pace()
    if pace is not None:
        entry["a run takes"] = duration(max(pace, 1))
    if status.stats:
        entry["version"] = status.stats.version
    fault = _fault(status, admin)
    if fault:
        entry["last_fault"] = fault
    if admin:
        entry["model files set aside"] = [_aside_line(file) for file in status.record.files_aside()]
        entry["metrics"] = _metrics_line(status)
    return entry


def _memory_line(device: Device) -> str:
    """A device's free memory: "6 of 24 GB free on NVIDIA GeForce RTX 4090"; only its name where
    that is not known.
    """
    if device.memory_free is None or not device.memory_total:
        return device.name
    free = device.memory_free / 2**30
    total = device.memory_total / 2**30
    return f"{free:.3g} of {total:.3g} GB free on {device.name}"


def _aside_line(file: SetAside) -> str:
    """A model file that is not chosen for now: "checkpoints/x.safetensors is damaged ... (not
    chosen for 12 min)".
    """
    seconds = max(file.until - time.monotonic(), 1.0)
    return f"{shortened(f'{file.folder}/{file.name}', 200)} {file.reason} (not chosen for {duration(seconds)})"


def _metrics_line(status: ServerStatus) -> str:
    """What this process has seen of a server since it started, or since the tool was loaded,
    without zeros: "runs=4 done=2 mean_seconds=12.5".
    """
    record = status.record
    mean_seconds = 0.0
    if record.done:
        mean_seconds = record.run_seconds / record.done
    metrics = {
        "runs": record.runs,
        "done": record.done,
        "failed": record.failed,
        "lost": record.lost,
        "mean_seconds": round(mean_seconds, 1),
        "mb": round(record.bytes / 2**20, 1),
        "websockets": record.sockets,
        "faults": record.faults,
    }
    return " ".join(f"{name}={value}" for name, value in metrics.items() if value)


def _fault(status: ServerStatus, admin: bool) -> str:
    """Why a server gives no status, else what went wrong last and how long ago; empty where nothing
    did.
    """
    if status.error:
        return status.error.with_place if admin else status.error.message
    record = status.record
    if not record.fault:
        return ""
    seconds = max(time.time() - record.fault_at, 0.0)
    return f"{record.fault.rstrip('.')} ({duration(seconds)} ago)"
