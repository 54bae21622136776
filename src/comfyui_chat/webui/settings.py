"""Resolves the valves: what administrator, user and call say becomes one set of `Settings`.

`settle` is what a call asks, and `resolve` is the one place where the valves are resolved: numbers
are clamped to their ranges, the user's valves go before the administrator's, and what a user has no
right to is refused or left out. The addresses are read in webui/servers.py.

`Settings.request`, `edit`, `enlarge` and `order` then make the `Request` of a call out of its
arguments, which go before all valves. Each value carries whose it is (`Argument`: level 0 for the
call, 1 for the user, 2 for the administrator), so that errors can name it and, of two that do not
go together, the one with less right gives way.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from pydantic import BaseModel

from ..catalogue.entries import Catalogue, Entry, read_pasted
from ..catalogue.request import CHANGING, IMAGE_SETTINGS, VARYING, Offer, Request
from ..catalogue.task_words import task_named
from ..counts import read_number
from ..errors import BadArgument, UnknownWorkflow
from ..graph.discovery import parameter_name
from ..media.delivery import Format
from ..media.pictures import InputFile
from ..prompt_tags import read_tags
from ..run.credits import ASK, NEVER, Purse, SpendingRule
from ..run.fleet import Fleet, Limits, Timing
from ..run.owner import Owner
from ..server.allowed import ALL_ALLOWED, Allowed
from ..server.endpoint import CLOUD_HOST, Endpoint
from ..server.transport import read_reach
from ..sizes import says_pixels
from ..spelling import parsed_json, plain_words
from ..threads import FILES
from ..values import Argument, is_given, unwrapped, word_for_none, words_of
from .arguments import parted_prompt, read_arguments, read_inputs, read_prompt, several_prompts_note
from .buttons import LookAhead
from .chat import Chat
from .image_settings import (
    NO_IMAGE_SETTINGS,
    ImageSettings,
    image_preferences,
    image_settings_lines,
    read_image_settings,
    taken_over_entries,
)
from .menus import LastCall, note_call
from .monitoring import find_monitor
from .references import OF_CHAT
from .rights import EVERY_RIGHT, Rights, read_rules, rights_of
from .servers import administrators_endpoints, own_endpoint, permitted, pinned, same_server
from .valves import UserValves, Valves

# without a run, until the valve "Free ComfyUI's memory" takes a server for idle
IDLE_MEMORY_SECONDS = 600.0


@dataclass(frozen=True)
class Settings:
    """What both kinds of valves and the caller's rights amount to, for one call."""

    endpoints: tuple[Endpoint, ...]  # in the order in which they are preferred
    limits: Limits
    previews: bool
    preferences: Mapping[str, Argument]  # argument -> what a valve says for when the call does not
    catalogue: Catalogue = Catalogue()
    own_workflows: bool = False  # whether the caller may bring their own
    format: Format = Format()
    leaves_no_prompts: bool = False  # whether prompts are removed from ComfyUI's history
    ask_seconds: float = 0.0  # of a run, from which on the user is asked about it; 0 for never
    buttons: bool = True  # whether the newest result has buttons
    show_to_model: bool = False  # whether the model gets small copies of its pictures
    owner: Owner = field(default_factory=Owner)
    timing: Timing = Timing()
    unload_ollama: bool = False
    # after a run, until ComfyUI's memory is freed; None for never
    free_seconds: float | None = None
    others: tuple[Endpoint, ...] = ()  # the administrator's other servers, while the user names one
    # whose credits are spent on each server
    purses: Mapping[Endpoint, Purse] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)  # keys that nobody is told
    # what of the stored valves does not count as it stands, for who may set it
    valve_problems: tuple[str, ...] = ()
    # what was taken over of Open WebUI's image settings, for administrators
    image_settings: tuple[str, ...] = ()

    @property
    def fleet(self) -> Fleet:
        """The servers of this call, and the rules for them."""
        monitor = find_monitor(is_own=bool(self.others))
        return Fleet(
            self.endpoints, self.limits, self.owner, self.timing, self.others, monitor=monitor
        )

    def look_ahead(self) -> LookAhead:
        """What the buttons under the result need to know, looked up from now on."""
        return LookAhead(self.endpoints if self.buttons else ())

    def request(self, prompt: Any, **arguments: Any) -> Request:
        """The request of a call for new pictures: its arguments first, then the user's valves, then
        the administrator's.

        Raises `BadArgument` when there is no prompt.
        """
        prompt, given = parted_prompt(prompt, arguments)
        text = read_prompt(prompt)
        said = read_arguments(given, text)
        wanted: dict[str, Any] = {**self.preferences, **said.values}
        for name in ("edit_workflow", "edit_model", "edit_size"):
            wanted.pop(name, None)
        self._leave_image_settings(wanted, "workflow")
        notes = (*several_prompts_note(prompt), *said.notes)
        request = Request(read_tags(text).text, notes=notes, **wanted)
        return _with_word(request, given.get("workflow"))

    def edit(
        self,
        prompt: Any,
        files: Sequence[InputFile | None],
        mask: Image.Image | None,
        **arguments: Any,
    ) -> Request:
        """The request of a call that changes pictures. The valves for the size and the workflow of
        new pictures do not apply; "Workflow for changing pictures" does. With a mask only workflows
        that paint into one are chosen.

        Raises `BadArgument` when there is no prompt.
        """
        wanted: dict[str, Any] = {}
        for valve, preference in self.preferences.items():
            if valve in ("model", "negative_prompt") and preference.level < IMAGE_SETTINGS:
                wanted[valve] = preference
            elif valve.startswith("edit_"):
                wanted.setdefault(valve.removeprefix("edit_"), preference)
        prompt, given = parted_prompt(prompt, arguments)
        text = read_prompt(prompt)
        said = read_arguments(given, text)
        wanted.update(said.values)
        self._leave_image_settings(wanted, "edit_workflow")
        notes = (*several_prompts_note(prompt), *said.notes)
        tasks = ("inpaint",) if mask else CHANGING
        if tasks == CHANGING and "strength" in wanted:
            tasks = VARYING
        request = Request(
            read_tags(text).text, tasks, files=tuple(files), mask=mask, notes=notes, **wanted
        )
        return _with_word(request, given.get("workflow"))

    def _leave_image_settings(self, wanted: dict[str, Any], preference: str) -> None:
        """Take out what belongs to the workflow of Open WebUI's image settings, where the call
        names another one.
        """
        own = self.preferences.get(preference)
        if own and own.level == IMAGE_SETTINGS and wanted.get("workflow") is not own:
            for name in ("size", "steps"):
                value = wanted.get(name)
                if value and value.level == IMAGE_SETTINGS:
                    del wanted[name]

    def enlarge(self, picture: InputFile | None, **arguments: Any) -> Request:
        """The request for a larger copy of a picture. No valve applies. A scale of pixels, such as
        "4k" or 3840, is a size, and a size such as "2x" or "double" is a scale.
        """
        said = read_arguments(arguments)
        wanted: dict[str, Any] = dict(said.values)
        scale, size = wanted.get("scale"), wanted.get("size")
        if scale and size is None and says_pixels(scale.value):
            wanted["size"] = wanted.pop("scale")
        elif (
            size
            and scale is None
            and not says_pixels(size.value)
            and read_number(size.value) is not None
        ):
            wanted["scale"] = wanted.pop("size")
        return Request(tasks=("upscale",), files=(picture,), notes=said.notes, **wanted)

    def order(
        self,
        workflow: Any,
        inputs: Any,
        files: Sequence[InputFile | None] = (),
        offers: Mapping[str, Offer] | None = None,
        prompt: Any = None,
        mask: Image.Image | None = None,
    ) -> Request:
        """The request of a call that names a workflow and its inputs, such as {"prompt": "a fox",
        "seed": 7}, also written as JSON in a text. All other inputs stay as the workflow's author
        saved them. Without a name a workflow is chosen that makes pictures, or that changes those
        which are given.

        Raises `BadArgument`.
        """
        name = _workflow_name(workflow)
        said = read_inputs(inputs, prompt)
        values = dict(said.values)
        models = [key for key in values if parameter_name(key) == "model"]
        model = None
        if models and (not name or task_named(name)):  # a workflow is chosen for it
            model = values.pop(models[0])
        notes = (*several_prompts_note(prompt), *said.notes)
        request = Request(model=model, inputs=values, files=tuple(files), mask=mask, notes=notes)
        if request.pictures:
            has_strength = any(
                parameter_name(key) in ("strength", "denoise") for key in said.values
            )
            request = replace(request, tasks=VARYING if has_strength else CHANGING)
        if mask:
            request = replace(request, tasks=("inpaint",))
        if name:
            named = Argument(name, "The argument workflow")
            return replace(request, workflow=named, offers=offers or {})
        return _with_word(request, workflow)

    async def including(self, chat: "Chat", workflow: Any) -> Catalogue:
        """The catalogue, with the workflow attached to the chat when that is the one which is
        named: "attached", or the name or id of its file. Raises `UnknownWorkflow` where the caller
        may not bring one, and as `Chat.attached_workflow` does.
        """
        if not isinstance(workflow, str) or not workflow.strip():
            return self.catalogue
        if self.own_workflows:
            attached = await chat.attached_workflow(workflow)
        elif OF_CHAT.fullmatch(plain_words(workflow)):
            raise UnknownWorkflow(
                "The administrator does not allow users to bring workflows of their own.",
                "Name one that list_workflows lists.",
            )
        else:
            attached = None
        if attached is None:
            return self.catalogue
        return replace(self.catalogue, given=(attached, *self.catalogue.given))


def _with_word(request: Request, workflow: Any) -> Request:
    """A request with the word that stands for no workflow in the argument workflow."""
    word = word_for_none(workflow)
    if not word:
        return request
    return replace(request, instead_of_workflow=Argument(word, "The argument workflow"))


def _workflow_name(workflow: Any) -> str:
    """The name in the argument workflow. Raises `BadArgument` for a whole workflow in its place."""
    value = parsed_json(unwrapped(workflow))
    if isinstance(value, Mapping) and len(value) > 1:
        raise BadArgument(
            "The argument workflow is a workflow in JSON, and not the name of one.",
            'Ask the user to attach it as a .json file; then "attached" runs it.',
        )
    return words_of(value if isinstance(value, str) else workflow, "workflow").strip()


# Resolving: both kinds of valves and the caller's rights, as one value.


async def settle(valves: Valves, user: Mapping[str, Any] | None, chat: Chat) -> Settings:
    """The settings of a call. Workflows in a valve may be megabytes, so they are then read beside
    the event loop.
    """
    rights = await rights_of(valves.rights, user or {})
    settings = await _settle(valves, user, chat, rights)
    _note(valves, user or {}, settings, sees_all=rights == EVERY_RIGHT)
    return settings


def _note(valves: Valves, user: Mapping[str, Any], settings: Settings, *, sees_all: bool) -> None:
    """Remember what the call can use, for the menus of the valves."""
    given = settings.catalogue.given
    call = LastCall(
        servers=settings.fleet.known,
        workflows=tuple(entry.name for entry in given if not entry.brought),
        own_workflows=tuple(entry.name for entry in given if entry.brought),
        own_address=bool(_user_valves(user.get("valves")).endpoint.strip()),
        rules=valves.rights,
    )
    note_call(str(user.get("id") or ""), sees_all, call)


async def _settle(
    valves: Valves, user: Mapping[str, Any] | None, chat: Chat, rights: Rights
) -> Settings:
    image_settings = await read_image_settings(chat.request)
    stored = (user or {}).get("valves")
    texts: list[Any] = [
        vars(each) if isinstance(each, BaseModel) else each for each in (valves, stored)
    ]
    texts += image_settings.texts
    settings = await FILES.run_unless_short(
        texts, resolve, valves, user, image_settings, chat.owner, rights
    )
    mine = _user_valves((user or {}).get("valves"))
    if not mine.endpoint.strip():
        return settings
    everybodys: list[Endpoint] = []
    # of which the administrator is told without an address of one's own
    with contextlib.suppress(BadArgument):
        everybodys = await FILES.run_unless_short(
            texts, administrators_endpoints, valves, image_settings
        )
    copied = await same_server(settings.endpoints[0], everybodys)
    if copied is None:
        return settings
    return await FILES.run_unless_short(
        texts, resolve, valves, user, image_settings, chat.owner, rights, copied
    )


def resolve(
    valves: Valves,
    user: Mapping[str, Any] | None,
    image_settings: ImageSettings = NO_IMAGE_SETTINGS,
    owner: Owner | None = None,
    rights: Rights = EVERY_RIGHT,
    copied: Endpoint | None = None,
) -> Settings:
    """Both kinds of valves and the caller's rights as one value: this is where valves are resolved.

    `user` is Open WebUI's `__user__`, with the user's valves in it, and None on the command line;
    `image_settings` are Open WebUI's own; `owner` says whose the jobs are; `rights` what the user
    may use; `copied` is the administrator's server to which the user's own address leads, whose
    rules hold then.

    Raises `EndpointRefused` for an address of their own that the user may not have, `NotPermitted`
    where they may use no server, and `BadArgument`.
    """
    user = user or {}
    mine = _user_valves(user.get("valves"))
    is_admin = user.get("role") == "admin"
    has_own_address = bool(mine.endpoint.strip())
    has_own_server = has_own_address and copied is None
    everybodys: list[Endpoint] = []
    if has_own_address:
        endpoints = [_own_endpoint(valves, mine, is_admin, rights, copied)]
    else:
        everybodys = permitted(administrators_endpoints(valves, image_settings), rights)
        endpoints = pinned(everybodys, mine.server)
    own_workflows = is_admin or _may_bring_workflows(valves, rights)
    return Settings(
        endpoints=tuple(endpoints),
        limits=_limits(valves, is_admin),
        previews=valves.previews and mine.previews,
        preferences={
            **image_preferences((valves, mine), image_settings, rights.allowed),
            **_preferences(valves, 2, "The administrator's valve", rights.allowed),
            **_preferences(mine, 1, "Your valve"),
        },
        catalogue=_catalogue(
            valves,
            mine,
            own_workflows,
            valves.server_workflows or has_own_server,
            () if has_own_server else taken_over_entries(image_settings),
        ),
        own_workflows=own_workflows,
        format=_format(valves, mine),
        leaves_no_prompts=valves.remove_prompts or mine.remove_prompts,
        ask_seconds=60 * mine.number("ask_minutes"),
        buttons=mine.buttons,
        show_to_model=mine.show_to_model,
        owner=owner or Owner(str(user.get("id") or "")),
        unload_ollama=valves.unload_ollama and not has_own_server,
        free_seconds=None if has_own_server else _free_seconds(valves),
        others=tuple(one for one in everybodys if one not in endpoints and not one.guessed),
        purses=_purses(endpoints, valves, mine, is_admin, copied),
        secrets=tuple(filter(None, (_account_key(valves), _account_key(mine)))),
        valve_problems=tuple(valve_problems(valves) if is_admin else ()) + mine.problems,
        image_settings=image_settings_lines(valves, image_settings) if is_admin else (),
    )


def _account_key(valves: Valves | UserValves) -> str:
    """The key of a Comfy account in these valves. Raises `BadArgument` for what is none."""
    key = valves.account_key.strip()
    if re.search(r"[^\x21-\x7e]", key):
        title = type(valves).model_fields["account_key"].title
        raise BadArgument(
            f'The valve "{title}" contains a space, a line break or the like.', "Enter it again."
        )
    return key


def _own_endpoint(
    valves: Valves, mine: UserValves, is_admin: bool, rights: Rights, copied: Endpoint | None
) -> Endpoint:
    """The server at the user's own address; one of the administrator's cloud stays that, whatever
    the user writes before its address. Raises as `own_endpoint` does.
    """
    endpoint = own_endpoint(valves, mine, is_admin, rights, copied)
    if copied and copied.cloud:
        return replace(endpoint, cloud=True)
    return endpoint


def _purses(
    endpoints: Sequence[Endpoint],
    valves: Valves,
    mine: UserValves,
    is_admin: bool,
    copied: Endpoint | None,
) -> dict[Endpoint, Purse]:
    """Whose credits are spent on each server, if anybody's. `copied` is the administrator's server
    to which the user's own address leads.

    At Comfy Cloud it is whoever's key the server has, and at a proxy of the administrator's before
    it, which may hold their key, always the administrator's. On any other server the user's own key
    of a Comfy account goes before the administrator's, which is sent to the servers that an
    administrator has set, and neither to guesses nor to a user's own.
    """
    has_own_address = bool(mine.endpoint.strip())
    own = Purse(SpendingRule(mine.paid_runs, mine.number("paid_run_dollars")), is_own=True)
    word: str = valves.paid_runs
    if is_admin and word == NEVER:
        word = ASK
    rule = SpendingRule(word, valves.number("paid_run_dollars"), valves.number("paid_day_dollars"))
    common = Purse(rule)
    if mine.paid_runs == NEVER:
        common = own
    purses: dict[Endpoint, Purse] = {}
    for endpoint in endpoints:
        if endpoint.cloud:
            is_proxy = copied is not None and urlsplit(endpoint.url).hostname != CLOUD_HOST
            purses[endpoint] = own if has_own_address and not is_proxy else common
        elif key := _account_key(mine):
            purses[endpoint] = replace(own, key=key)
        elif (key := _account_key(valves)) and not has_own_address and not endpoint.unset:
            purses[endpoint] = replace(common, key=key)
    return purses


def _user_valves(stored: Any) -> UserValves:
    """The user's valves as Open WebUI hands them over: as an object of any class, as a dictionary,
    or not at all.
    """
    if isinstance(stored, UserValves):
        return stored
    if isinstance(stored, BaseModel):
        return UserValves(**stored.model_dump())
    return UserValves(**dict(stored or {}))


def valve_problems(valves: Valves) -> Iterator[str]:
    """What an administrator has to know of the administrator's valves, a sentence each."""
    yield from valves.problems
    if valves.reachable.strip() and read_reach(valves.reachable) is None:
        title = Valves.model_fields["reachable"].title
        yield f'The valve "{title}" is neither "public", "any" nor a list of origins: only public ones count.'
    for problem in read_rules(valves.rights).problems:
        yield f"{problem} Nobody but administrators may do anything until it is corrected."
    if valves.unchecked_certificates:
        yield "Certificates are not checked: whoever is on the way can read keys and pictures, and pose as ComfyUI."


def _preferences(
    valves: Valves | UserValves, level: int, whose: str, allowed: Allowed = ALL_ALLOWED
) -> dict[str, Argument]:
    """What these valves prefer for arguments that a call leaves out, as far as that is allowed."""
    preferences: dict[str, Argument] = {}
    for name in ("model", "workflow", "edit_workflow", "size", "negative_prompt"):
        value = getattr(valves, name).strip()
        is_allowed = allowed.model(value) if name == "model" else allowed.workflow(value)
        if is_given(value) and (is_allowed or name in ("size", "negative_prompt")):
            title = type(valves).model_fields[name].title
            preferences[name] = Argument(value, f'{whose} "{title}"', level)
    return preferences


def _limits(valves: Valves, is_admin: bool) -> Limits:
    """What the administrator allows, in the ranges that the descriptions of the valves name."""
    return Limits(
        count=int(valves.number("max_count")),
        steps=int(valves.number("max_steps")),
        megapixels=valves.number("max_megapixels"),
        upscaled_megapixels=valves.number("max_upscaled_megapixels"),
        video_seconds=valves.number("max_video_seconds"),
        wait_seconds=60 * valves.number("max_wait_minutes"),
        jobs=int(valves.number("max_jobs")),
        queue=int(valves.number("max_queue")),
        guards_own=not is_admin,
        own_nodes=tuple(
            name for name in re.split(r"\s*[,;\n]\s*", valves.own_nodes.strip()) if name
        )
        or ("*",),
    )


def _format(valves: Valves, mine: UserValves) -> Format:
    """How files are wanted. Metadata is removed when either of the two valves says so."""
    kind: str = mine.picture_format
    if kind == "default":
        kind = valves.picture_format
    if kind == "as made":
        kind = ""
    return Format(
        kind=kind,
        quality=int(valves.number("quality")),
        metadata=not (valves.strip_metadata or mine.strip_metadata),
    )


def _may_bring_workflows(valves: Valves, rights: Rights) -> bool:
    """Whether a user may run workflows of their own: by the rules, else by the valve for all."""
    if rights.own_workflows is None:
        return valves.allow_user_workflows
    return rights.own_workflows


def _free_seconds(valves: Valves) -> float | None:
    """How long after a run ComfyUI's memory is freed; None for never."""
    if valves.free_memory == "after each run":
        return 0.0
    if valves.free_memory == "when idle":
        return IDLE_MEMORY_SECONDS
    return None


def _catalogue(
    valves: Valves,
    mine: UserValves,
    own_workflows: bool,
    saved: bool,
    taken_over: tuple[Entry, ...],
) -> Catalogue:
    """The workflows of both valves, the user's if they may bring their own, and what is wrong with
    them; those `taken_over` of Open WebUI's image settings; with those that are `saved` on the
    server, or without.
    """
    pasted = read_pasted(
        valves.workflows, "administrator", 'The administrator\'s valve "Workflows"'
    )
    entries, problems = pasted.entries, pasted.problems
    if own_workflows:
        own = read_pasted(mine.workflows, "user", 'Your valve "Workflows"')
        entries = own.entries + entries
        problems = own.problems + problems
    elif mine.workflows.strip():
        problems += ('Your valve "Workflows" is not used: the administrator does not allow that.',)
    return Catalogue(entries + taken_over, saved, problems)
