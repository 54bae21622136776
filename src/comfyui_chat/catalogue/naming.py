"""Which installed model, or which bundled workflow, somebody means who says "SDXL", "flux" or
"juggernaut".

Files are found by their exact names in catalogue/fitted.py. Where none has the name that was asked
for, `meant_by` looks for what is meant by its words, in this order, and takes the first that finds
one:

    "flux"                  a bundled workflow of that name
    "juggernaut"            the one installed file that has all words of it
    "qwen"                  the one bundled workflow that has them
    "Stable Diffusion XL"   the one installed file of the family of that name in the manifest

Several that could be meant become a question that lists them (`several_meant`), which the user
answers in the chat's page (webui/model_choice.py), or else the language model.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ..bounds import MOST_COMPARED_CHARACTERS
from ..errors import BadArgument, SeveralNames
from ..names import (
    base_name,
    find_name,
    first_names,
    name_words,
    names_with_words,
    plain_name,
    quoted,
    shortened,
)
from ..server.client import ComfyUIServer
from ..threads import FILES
from ..values import Argument
from .entries import Entry, Family, matches
from .small_files import names_of_input, small_files

MOST_ASKED = 12  # names that a question lists


@dataclass(frozen=True)
class Meant:
    """What a model's name was taken for: a file, or a workflow with whatever model it runs best
    with.
    """

    file: str = ""
    entry: Entry | None = None


async def meant_by(
    server: ComfyUIServer,
    entries: Sequence[Entry],
    model: Argument,
    can_run: Callable[[Entry], Awaitable[bool]] | None = None,
) -> Meant | None:
    """What somebody means by a model that is not installed under that name, for any of these
    workflows; None for nothing. Of several workflows only those count that `can_run`. Raises
    `BadArgument` where it could be several, and as the server does.
    """
    name = str(model.value)
    named = [entry for entry in entries if plain_name(entry.name) == plain_name(name)]
    if named:
        return Meant(entry=named[0])
    installed = [
        (entry, await files_of_loader(server, entry), await small_files(server, entry))
        for entry in entries
    ]
    files = await FILES.run(_files_with_words, name, installed)
    if files:
        return Meant(_one_of(model, files))
    worded = names_with_words(name, [entry.name for entry in entries])
    if len(worded) > 1 and can_run:
        worded = [entry.name for entry in entries if entry.name in worded and await can_run(entry)]
    if worded:
        chosen = _one_of(model, worded)
        return Meant(entry=next(entry for entry in entries if entry.name == chosen))
    files = await FILES.run(_files_of_family, base_name(name), installed)
    if files:
        return Meant(_one_of(model, _of_that_version(name, files)))
    return None


def _of_that_version(name: str, files: Sequence[str]) -> Sequence[str]:
    """The one of a family's files that has the numbers of a name, as "v1-5-pruned" those of "SD
    1.5"; else all.
    """
    version = "".join(word for word in name_words(name) if word.isdigit())
    found = [file for file in files if version and version in plain_name(file)]
    return found if len(found) == 1 else files


async def names_model(server: ComfyUIServer, entries: Sequence[Entry], name: str) -> bool:
    """Whether a name is that of an installed file that one of these workflows may load, or of a
    family of models that the manifest knows.
    """
    if any(_is_named(family, name, exactly=True) for entry in entries for family in entry.families):
        return True
    for entry in entries:
        if await FILES.run(find_name, name, await files_of_loader(server, entry)):
            return True
    return False


async def entry_meant(
    server: ComfyUIServer, entries: Sequence[Entry], model: Argument
) -> Entry | None:
    """The workflow that runs with the model that somebody means; None for no model. Raises as
    `meant_by` does.
    """
    meant = await meant_by(server, entries, model)
    if meant is None or meant.entry:
        return meant.entry if meant else None
    for entry in entries:
        if entry.needs[0].fits(meant.file) and meant.file in await files_of_loader(server, entry):
            return entry
        if meant.file in await small_files(server, entry):
            return entry
    return None


def _one_of(wanted: Argument, names: Sequence[str]) -> str:
    """The one name there is. Raises `BadArgument` with the question which of several is meant."""
    if len(names) == 1:
        return names[0]
    raise several_meant(wanted.name, str(wanted.value), names)


def several_meant(argument: str, value: str, names: Sequence[str]) -> BadArgument:
    """The question which of several names is meant."""
    listed = quoted(names[:MOST_ASKED])
    if len(names) > MOST_ASKED:
        listed += f" and {len(names) - MOST_ASKED} more"
    error = BadArgument(
        f'{argument} is "{shortened(value)}", which could be any of: {listed}.',
        "Give one of these names.",
    )
    error.several = SeveralNames(argument, value, tuple(names))
    return error


async def files_of_loader(server: ComfyUIServer, entry: Entry) -> tuple[str, ...]:
    """The files that the loader of a workflow's main model lists."""
    target = entry.needs[0].target
    definition = await server.define(entry.workflow.graph[target.node_id]["class_type"])
    return names_of_input(definition, target.input)


# Workflows, each with the files that its main loader lists, and those made small that will do.
Installed = Sequence[tuple[Entry, tuple[str, ...], list[str]]]


def _files_with_words(name: str, installed: Installed) -> list[str]:
    """The files with all words of a name, those first that suit a workflow by their own names.
    Blocks.
    """
    suitable: dict[str, None] = {}
    others: dict[str, None] = {}
    for entry, names, small in installed:
        for file in names_with_words(name, [*names, *small]):
            kind = suitable if file in small or entry.needs[0].fits(file) else others
            kind[file] = None
    return list(suitable or others)


def _files_of_family(name: str, installed: Installed) -> list[str]:
    """The files of the family of the manifest that has this name, or all words of it. Blocks."""
    found: dict[str, None] = {}
    for exactly in (True, False):
        for entry, names, small in installed:
            families = [
                family for family in entry.families if _is_named(family, name, exactly=exactly)
            ]
            if not families:
                continue
            for file in first_names([*names, *small], MOST_COMPARED_CHARACTERS):
                will_do = file in small or entry.needs[0].fits(file)
                if will_do and family_by_name(entry, file) in families:
                    found[file] = None
        if found:
            break
    return list(found)


def _is_named(family: Family, name: str, *, exactly: bool) -> bool:
    """Whether somebody means a family by a name: "Stable Diffusion XL" is SDXL."""
    wanted, words = name_words(name), name_words(family.name)
    if exactly:
        return "".join(wanted) == "".join(words)
    return len("".join(wanted)) > 1 and all(word in "".join(words) for word in wanted)


def family_by_name(entry: Entry, file: str) -> Family:
    """The family that a file belongs to as far as its name tells. The last family of each workflow
    fits all.
    """
    fitting = [family for family in entry.families if matches(family.match, file)]
    return fitting[0]


def taken_for(wanted: Argument, meaning: str) -> str:
    """The note on a name that was not taken literally."""
    return f'{wanted.name} "{shortened(wanted.value)}" was taken for {meaning}'
