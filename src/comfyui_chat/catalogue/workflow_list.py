"""What list_workflows answers: which workflows there are, what each is for, and which tasks can be
done at all.

`list_workflows` looks at all of them on one server, and `one_list` (catalogue/listings.py) merges
servers. Then `told_workflows` picks what was searched for and makes it short enough for a model:

    {"workflows": [{"name": "portrait", "about": "A face in studio light", "source": "server"}],
     "tasks": {"text_to_image": ["portrait", "checkpoint"], "upscale": ["upscale"]},
     "nothing installed for": ["text_to_video", ...], "cannot run": "21 more lack models or nodes; all=true lists them"}

What can run comes first, somebody's own before what is bundled, and then the templates that came
with the server, the most used first. What cannot run is listed only where the search names it, or
all are asked for. `tasks_told` is the same map for whoever names a workflow that there is not.

Of templates there are hundreds. Without a search they are a count, apart from those that are known
to run; a search has the first that it finds read (catalogue/gallery.py). What costs money comes
last, and is marked so.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ComfyUIError, ServerGone, ServerUnreachable
from ..graph.facts import guess_task
from ..graph.prices import Price, price_of
from ..names import close_names, quoted, shortened
from ..server.client import ComfyUIServer
from ..tasks import gather
from ..threads import FILES
from .entries import TEMPLATE, Catalogue, Entry, bundled_entries
from .entry_reading import bare_reason
from .fitted import fit_entry, fit_saved
from .gallery import SEEMS_TO_LACK, lacking, outlooks, read_before, read_templates, worth_reading
from .missing import files_in_short
from .searching import PAID, TITLE, TOPICS, WorkflowLine, called_by, found_lines, topics, weigh
from .task_words import (
    asks_for_everything,
    done_elsewhere,
    has_word,
    is_task_word,
    means,
    search_words,
    tasks_near,
)

MOST_WORKFLOWS_TRIED = 60  # workflows that are not bundled; each has to be fetched and read
# of an answer: less than 600 tokens of a model; twice as many where all are asked for
MOST_CHARACTERS = 1900
MOST_UNRUNNABLE = 6  # of those that the search names
MOST_TASK_NAMES, MOST_TASK_NAMES_IN_HINT = 12, 4  # workflows of one task
# characters; the first with which the answer is short enough
ABOUT_LENGTHS = (200, 120, 80, 50, 30, 0)
MOST_SEARCHED_ABOUT = 500  # characters of a description
MOST_TOPICS = 30
OTHER_TASKS = ("video_to_video", "image_to_3d", "text", "other")  # that no bundled workflow does
LEAST_REASON = 80  # characters of why one cannot run
CANNOT_RUN = "cannot run"  # the key of the reason
NOT_READ = "not read"  # the key that says that nobody looked whether it can run


async def list_workflows(
    server: ComfyUIServer, catalogue: Catalogue, search: str = ""
) -> dict[str, Any]:
    """All workflows, and whether this server can run them. Of those that somebody made the first
    `MOST_WORKFLOWS_TRIED` are looked into, beginning with those whose names hold a word of the
    search; the others have only a name.

        {"workflows": [{"name": "flux2", "task": "text_to_image", "source": "bundled", "about": "...",
                        "cannot run": "lacks diffusion_models/..."}], "problems": [...]}
    """
    listing = await catalogue.entries(server)
    own = await FILES.run(_own_in_order, listing.entries, search_words(search))
    bundled = [entry for entry in listing.entries if entry.bundled]
    looked_into = own[:MOST_WORKFLOWS_TRIED] + bundled
    lines = await gather(4, [functools.partial(look_into, server, entry) for entry in looked_into])
    rest = [{"name": entry.name, "source": entry.source} for entry in own[MOST_WORKFLOWS_TRIED:]]
    templates = [entry for entry in listing.entries if entry.template]
    template_lines = await _template_lines(server, templates, search) if templates else []
    return {"workflows": [*lines, *rest, *template_lines], "problems": list(listing.problems)}


async def _template_lines(
    server: ComfyUIServer, entries: Sequence[Entry], search: str
) -> list[WorkflowLine]:
    """A few words about each template that came with this server. The first free ones that the
    search finds are read, those before others that seem to run here; of the rest it is said how it
    looks.
    """
    lines = await FILES.run(_lines_of_templates, entries)
    words = search_words(search)
    if words:
        found = await FILES.run(found_lines, lines, search, words)
        by_name = {entry.name: entry for entry in entries}
        wanted = await worth_reading(server, [by_name[line["name"]] for line in found])
        await read_templates(server, wanted)
    known = read_before(server)
    lacks = await lacking(
        server, {entry.name: known[entry.name] for entry in entries if entry.name in known}
    )
    looks = await outlooks(server, entries)
    for line, entry in zip(lines, entries, strict=True):
        name = line["name"]
        if entry.name in known:
            line["task"] = known[entry.name].task or line["task"]
            line["about"] = line["about"] or _in_words(line["task"], known[entry.name].model)
            if known[entry.name].price:
                line[PAID] = known[entry.name].price
            if lacks[name]:
                line[CANNOT_RUN] = shortened(lacks[name], 160)
        elif PAID in line:
            continue
        elif looks[name] == SEEMS_TO_LACK:
            line[CANNOT_RUN] = f"seems to lack the models: {_models_of_template(entry)}"
        else:
            line[NOT_READ] = "yes"
    return lines


def _lines_of_templates(entries: Sequence[Entry]) -> list[WorkflowLine]:
    """What the list of templates itself tells. Blocks."""
    lines: list[WorkflowLine] = []
    for entry in entries:
        line = {"name": entry.name, "task": entry.task, "source": entry.source}
        line |= {"about": shortened(entry.description, MOST_SEARCHED_ABOUT), "tags": entry.tags}
        if entry.template:
            line |= {TITLE: entry.template.title, TOPICS: ", ".join(entry.template.tags)}
        if entry.template and entry.template.is_paid:
            line[PAID] = "costs credits"
        lines.append(line)
    return lines


def _models_of_template(entry: Entry) -> str:
    """What a template runs with, and how large it is: "Wan2.2 (38 GB)"."""
    template = entry.template
    if template is None:
        return ""
    size = f" ({(template.bytes or 0) / 1e9:.1f} GB)" if template.bytes else ""
    return ", ".join(template.models[:3]) + size


def _own_in_order(entries: Sequence[Entry], words: Sequence[str]) -> list[Entry]:
    """Those that somebody here made, and first of them those whose names hold one of the words.
    Blocks.
    """
    own = [entry for entry in entries if entry.own]
    own.sort(key=lambda entry: not any(has_word(entry.name.lower(), word) for word in words))
    return own


async def look_into(server: ComfyUIServer, entry: Entry) -> WorkflowLine:
    """A few words about a workflow: name, task, source, description, and if this server cannot run
    it, why. Raises `ServerUnreachable` and `ServerGone`; any other error is the reason.
    """
    task, about = entry.task, entry.description
    problem = ""
    price: Price | None = None
    try:
        if entry.bundled:
            await fit_entry(server, entry, None)
        else:
            fitted = await fit_saved(server, entry, None)
            task = task or await FILES.run_unless_short(
                [fitted.workflow], guess_task, fitted.workflow.flow
            )
            about = about or _in_words(task, fitted.model)
            price = await FILES.run(price_of, fitted.workflow.graph, fitted.workflow.definitions)
            if fitted.absent:
                problem = files_in_short(fitted.absent.values())
    except (ServerUnreachable, ServerGone):
        raise
    except ComfyUIError as error:
        problem = bare_reason(entry, error)
    line = {
        "name": entry.name,
        "task": task,
        "source": entry.source,
        "about": shortened(about, ABOUT_LENGTHS[0]),
    }
    if entry.tags:
        line["tags"] = entry.tags
    if price:
        line[PAID] = price.words
    if problem:
        line[CANNOT_RUN] = shortened(problem, 160)
    return line


def _in_words(task: str, model: str) -> str:
    """What a workflow is about that nobody has described: "text to image with sdxl.safetensors"."""
    words = task.replace("_", " ")
    if not model:
        return words
    return f"{words} with {model}"


# What is told of all that.


def told_workflows(answer: Mapping[str, Any], search: str, everything: bool) -> dict[str, Any]:
    """What a model is told of the workflows of all servers, in about `MOST_CHARACTERS`: those which
    are searched for, or with the map of tasks where nothing is, or nothing is found. Blocks, where
    there are many.
    """
    lines: Sequence[WorkflowLine] = answer["workflows"]
    everything = everything or asks_for_everything(search)
    words = search_words(search)
    runnable, others = _parted(found_lines(lines, search, words), bool(words) or everything)
    listed = others if everything else _unrunnable_named(others, words)
    told: dict[str, Any] = _missed_told(lines, runnable, search, words) if words else {}
    if not words or not runnable:
        told |= tasks_told(lines)
    told |= _counts_told(lines, others, listed, words)
    told["problems"] = list(answer.get("problems", ()))
    most = 2 * MOST_CHARACTERS if everything else MOST_CHARACTERS
    return _short_enough([*runnable, *listed], told, bool(words), most)


def _parted(
    found: Sequence[WorkflowLine], with_templates: bool
) -> tuple[list[WorkflowLine], list[WorkflowLine]]:
    """What can run, the free first, and what cannot; without templates that cost something, or
    cannot run, where nobody asked for any.
    """
    runnable = [line for line in found if can_run(line)]
    others = [line for line in found if not can_run(line)]
    if not with_templates:
        runnable = [line for line in runnable if not _is_paid_template(line)]
        others = [line for line in others if line["source"] != TEMPLATE]
    runnable.sort(key=lambda line: PAID in line)
    return runnable, others


def _missed_told(
    lines: Sequence[WorkflowLine],
    runnable: Sequence[WorkflowLine],
    search: str,
    words: Sequence[str],
) -> dict[str, Any]:
    """What is told of a search that found nothing which can run, or nothing that has all words."""
    told: dict[str, Any] = {}
    if not runnable:
        told["note"] = f'Nothing that can run here is found by "{shortened(search)}".'
        told["closest"] = close_names(search, _names(filter(can_run, lines)))
    if not any(each.has_all for each in weigh(runnable, words)):
        told |= _topics_told(lines)
    return told


def _topics_told(lines: Sequence[WorkflowLine]) -> dict[str, list[str]]:
    """The words that the authors of templates use, for a search that found none with all of its own.
    Those that only paid ones have are not worth the room.
    """
    named = topics([line for line in lines if PAID not in line], MOST_TOPICS)
    return {"topics of templates": named} if named else {}


def _unrunnable_named(lines: Sequence[WorkflowLine], words: Sequence[str]) -> list[WorkflowLine]:
    """The first lines of workflows that cannot run and whose names hold all words of a search; none
    without words.
    """
    if not words:
        return []
    unrunnable = [line for line in lines if CANNOT_RUN in line]
    named = [
        line for line in unrunnable if all(has_word(line["name"].lower(), word) for word in words)
    ]
    return named[:MOST_UNRUNNABLE]


def _counts_told(
    lines: Sequence[WorkflowLine],
    others: Sequence[WorkflowLine],
    listed: Sequence[WorkflowLine],
    words: Sequence[str],
) -> dict[str, str]:
    """How many there are that are not listed, and how to see them."""
    told: dict[str, str] = {}
    unrunnable = [line for line in others if CANNOT_RUN in line]
    hidden = len(unrunnable) - sum(CANNOT_RUN in line for line in listed)
    if hidden:
        told[CANNOT_RUN] = f"{hidden} more lack models or nodes; all=true lists them"
    unread = [line for line in others if NOT_READ in line]
    if unread and not all(line in listed for line in unread):
        told["not looked into"] = (
            f"{len(unread)} templates; a search with more words reads the first that it finds"
        )
    templates = [line for line in lines if line["source"] == TEMPLATE]
    if templates and not words:
        paid = sum(PAID in line for line in templates)
        told["templates"] = (
            f"{len(templates)} came with ComfyUI ({paid} paid); a search by task, model or word reads them"
        )
    return told


def can_run(line: WorkflowLine) -> bool:
    """Whether a workflow is known to run, as far as anybody can know before it does."""
    return CANNOT_RUN not in line and NOT_READ not in line


def _text_of(line: WorkflowLine) -> str:
    """All that a workflow can be found by, in lower case."""
    return f"{called_by(line)} {line.get('about', '')}".lower()


def _names(lines: Any) -> list[str]:
    return [line["name"] for line in lines]


def _is_paid_template(line: WorkflowLine) -> bool:
    """Whether a workflow came with the server and costs money: there are hundreds, and nobody here
    chose them.
    """
    return PAID in line and line["source"] == TEMPLATE


def tasks_told(lines: Sequence[WorkflowLine], most: int = MOST_TASK_NAMES) -> dict[str, Any]:
    """Which workflows can run for each task, so many at most, and for which tasks there is none."""
    tasks: dict[str, list[str]] = {}
    for line in sorted(lines, key=lambda line: PAID in line):
        if can_run(line) and not _is_paid_template(line) and line.get("task"):
            tasks.setdefault(line["task"], []).append(line["name"])
    known = dict.fromkeys(entry.task for entry in bundled_entries())
    order = [*known, *OTHER_TASKS, *tasks]
    cut = {task: _cut_names(tasks[task], most) for task in dict.fromkeys(order) if task in tasks}
    return {"tasks": cut, "nothing installed for": [task for task in known if task not in tasks]}


def _cut_names(names: Sequence[str], most: int) -> list[str]:
    """The first names, and how many more there are."""
    if len(names) <= most:
        return list(names)
    return [*names[:most], f"and {len(names) - most} more"]


def _short_enough(
    lines: Sequence[WorkflowLine], told: Mapping[str, Any], with_task: bool, most: int
) -> dict[str, Any]:
    """The answer in so many characters: with as many words about each workflow as there is room
    for, and beyond that with fewer workflows.
    """
    answer: dict[str, Any] = {}
    for length in ABOUT_LENGTHS:
        answer = {"workflows": [_line_told(line, length, with_task) for line in lines], **told}
        if characters_of(answer) <= most:
            return answer
    names: list[Any] = answer["workflows"]
    while len(names) > 1 and characters_of(answer) > most:
        left_out = max(len(names) // 8, 1)
        del names[-left_out:]
        answer["more"] = f"{len(lines) - len(names)} more; search for words of their names"
    return answer


def _line_told(line: WorkflowLine, length: int, with_task: bool) -> Any:
    """A workflow in a list: with what it is about, in so many characters, or only its name."""
    if not length and CANNOT_RUN not in line and PAID not in line:
        return line["name"]
    told = {"name": line["name"]}
    if with_task:
        told["task"] = line.get("task", "")
    if CANNOT_RUN not in line and length:
        told["about"] = shortened(line.get("about", ""), length)
    if line["source"] != "bundled":
        told["source"] = line["source"]
    if PAID in line:
        told[PAID] = line[PAID]
    if CANNOT_RUN in line:
        told[CANNOT_RUN] = shortened(line[CANNOT_RUN], max(length, LEAST_REASON))
    return {name: value for name, value in told.items() if value}


def characters_of(answer: Mapping[str, Any]) -> int:
    """How long an answer is as JSON, about."""
    return len(json.dumps(answer, ensure_ascii=False))


def tasks_note(lines: Sequence[WorkflowLine], name: str) -> str:
    """What would do instead of a workflow that there is not: those for what its name means, else
    those with names like it, and which tasks can be done.
    """
    runnable = [line for line in lines if can_run(line) and PAID not in line]
    installed = tasks_told(lines, MOST_TASK_NAMES_IN_HINT)["tasks"]
    meant = _tasks_meant(name)
    said: list[str] = []
    if not meant:  # spelling says nothing where the meaning is known
        said += _like(runnable, name)
    doing = {task: installed[task] for task in meant if task in installed}
    if meant and not doing:
        words = done_elsewhere(name)
        found = _names(
            line for line in runnable if any(means(word, _text_of(line), "") for word in words)
        )
        said.append(
            f"For that: {quoted(found[:6])}."
            if found
            else f"Nothing is installed for {' or '.join(meant)}."
        )
    tasks = doing or installed
    if tasks:
        listed = "; ".join(f"{task} ({', '.join(names)})" for task, names in tasks.items())
        said.append(f"A task can be named, or a workflow that does it: {listed}.")
    return " ".join(said)


def _like(runnable: Sequence[WorkflowLine], name: str) -> list[str]:
    """Which workflows have names like this one, else which are about its words; empty for none."""
    alike = close_names(name, _names(runnable))
    if alike:
        return [f"Names like it: {quoted(alike)}."]
    about = [each.line for each in weigh(runnable, search_words(name)) if each.has_all]
    return [f"About that: {quoted(_names(about[:6]))}."] if about else []


def _tasks_meant(name: str) -> list[str]:
    """What somebody who names a workflow like this wants done: known tasks, or a word for what none
    of them does.
    """
    words = search_words(name)
    task = "_".join(name.lower().split())
    if task in {entry.task for entry in bundled_entries()}:
        return [task]
    near = dict.fromkeys(task for word in words for task in tasks_near(word))
    return list(near) or [word for word in words if is_task_word(word)]
