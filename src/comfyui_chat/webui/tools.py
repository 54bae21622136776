"""The methods that a model can call, as Open WebUI offers them: the class `Tools`.

Open WebUI reads the specification of a method out of its signature and docstring when the tool is saved: the text
before the first `:param` says what it does, each `:param` describes an argument. So these docstrings are written for
models. Arguments whose names begin with two underscores are Open WebUI's own, and hidden from the model.

All methods go the same way: make the `Chat` of the call, and have `_answer` do the work in it, which gets the call's
settings, makes a request of the arguments, and has it done. Open WebUI does not validate arguments: a list may come as
a text, a switch as a word.

Two annotations say one thing to the model and another to Open WebUI (0.10 and later). It runs `int()` on a text for an
`int`, and fails before anything here could read it or say what is wrong; a `Whole` is a whole number in the
specification, and is let through as it is. `REQUIRED` is a default that stands for none in the specification, so that a
call without the argument gets an error of ours, and not a TypeError.
"""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NewType

from ..catalogue.choosing import find_meant
from ..catalogue.entries import Catalogue
from ..catalogue.listings import describe_workflow, one_list
from ..catalogue.model_list import list_models, told_models
from ..catalogue.request import Request
from ..catalogue.searching import PAID
from ..catalogue.workflow_list import list_workflows, tasks_note, told_workflows
from ..errors import (
    BadArgument,
    ComfyUIError,
    CreditsRefused,
    ModelNotInstalled,
    ServerUnreachable,
    UnknownWorkflow,
)
from ..names import file_stem, shortened
from ..phrases import Phrase
from ..run.fleet import everywhere
from ..run.options import Memory, RunOptions
from ..server.client import ComfyUIServer
from ..server.pool import Pool
from ..threads import FILES, WORKS_FOR
from ..values import Argument, as_yes, word_for_none, words_of
from .arguments import named_values, with_earlier_seed
from .asking import credits_of
from .chat import Chat
from .display import Display
from .first_start import tell_first_steps
from .given_pictures import given_for_workflow, given_pictures, unused_note
from .jobs import check_jobs, jobs_told
from .long_run import long_runs_of
from .model_choice import make_as_meant
from .painting import telling_of_mask
from .permission import require_image_permission, sharing_told
from .picture_choice import choose_picture
from .reports import ToolAnswer, as_answer, keep_and_report, status_report
from .settings import Settings, settle
from .valves import UserValves, Valves

Whole = NewType("Whole", int)
REQUIRED: Any = ...


class Tools:
    """What Open WebUI loads: every public method here is offered to the model."""

    Valves = Valves
    UserValves = UserValves

    def __init__(self) -> None:
        self.valves = Valves()

    async def generate_image(
        self,
        prompt: str = REQUIRED,
        negative_prompt: str | None = None,
        size: str | None = None,
        count: Whole | None = None,
        seed: Whole | None = None,
        steps: Whole | None = None,
        guidance: float | None = None,
        model: str | None = None,
        loras: list[str] | None = None,
        workflow: str | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __event_call__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> ToolAnswer:
        """Create a new image from text. The user sees it in the chat at once.

        To change, combine or imitate an existing image, use edit_image. For video, music or anything else, use
        run_workflow. Leave out every optional argument the user did not ask for; never fill one with 0, "" or "none".

        :param prompt: Complete description: subject, setting, style, light. The image model knows nothing of this chat
        :param negative_prompt: What to keep out
        :param size: Aspect ratio ("16:9"), or pixels if the user gave them ("1920x1080")
        :param count: Images of this one prompt; for different subjects, call once for each
        :param seed: Seed of an earlier result, to repeat or vary it
        :param steps: Sampling steps
        :param guidance: CFG scale
        :param model: Model the user asked for, such as "SDXL"
        :param loras: Each as "name" or "name:0.8"
        :param workflow: Workflow the user asked for
        """
        arguments = {
            "negative_prompt": negative_prompt,
            "size": size,
            "count": count,
            "seed": seed,
            "steps": steps,
            "guidance": guidance,
            "model": model,
            "loras": loras,
            "workflow": workflow,
        }
        chat = Chat(
            __request__,
            __user__,
            __metadata__,
            __event_emitter__,
            __chat_id__,
            __message_id__,
            __messages__,
            __event_call__,
        )

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            request = settings.request(prompt, **await with_earlier_seed(chat, arguments))
            if request.workflow is None or request.workflow.level:
                request = replace(request, notes=(*request.notes, *await unused_note(chat)))
            return await _run(
                chat, display, settings, request, await settings.including(chat, workflow)
            )

        return await _make(chat, self.valves, work)

    async def edit_image(
        self,
        prompt: str = REQUIRED,
        images: list[str] | None = None,
        mask: str | None = None,
        strength: float | None = None,
        size: str | None = None,
        count: Whole | None = None,
        seed: Whole | None = None,
        model: str | None = None,
        workflow: str | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __event_call__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> ToolAnswer:
        """Edit images of this chat, uploaded or generated.

        Change or remove something, replace the background, restyle, extend, inpaint, combine several, or put a person
        or thing from one into a new image.

        :param prompt: What to change and what to keep; "image 1", "image 2" are in the order of `images`
        :param images: Numbers from results (["2"]; the chat's first is 1), names, ids or URLs; else the newest
        :param mask: Number of an image white where to repaint, "paint" (by the user), "same" as before, "transparency"
        :param strength: To vary an image: 0.2 a little to 0.9 strongly
        :param size: Else the image keeps its own
        :param count: Number of results
        :param seed: As in generate_image
        :param model: As in generate_image
        :param workflow: As in generate_image
        """
        arguments = {
            "strength": strength,
            "size": size,
            "count": count,
            "seed": seed,
            "model": model,
            "workflow": workflow,
        }
        chat = Chat(
            __request__,
            __user__,
            __metadata__,
            __event_emitter__,
            __chat_id__,
            __message_id__,
            __messages__,
            __event_call__,
        )

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            given = await given_pictures(chat, images, mask)
            request = settings.edit(
                prompt, given.files, given.mask, **await with_earlier_seed(chat, arguments)
            )
            return await _run(
                chat, display, settings, request, await settings.including(chat, workflow)
            )

        return await _make(chat, self.valves, work)

    async def upscale_image(
        self,
        images: list[str] | None = None,
        scale: float | None = None,
        size: str | None = None,
        model: str | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __event_call__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> ToolAnswer:
        """Enlarge an image of this chat and keep what it shows.

        :param images: As in edit_image
        :param scale: 1.1 to 8 times as wide and high; else 2
        :param size: Instead of scale: "4k" or "3840x2160"
        :param model: Upscale model, if asked for
        """
        chat = Chat(
            __request__,
            __user__,
            __metadata__,
            __event_emitter__,
            __chat_id__,
            __message_id__,
            __messages__,
            __event_call__,
        )

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            files = await chat.input_files(images)
            if not files:
                files = await chat.read_inputs(await chat.newest_one(Phrase("which_to_enlarge")))
            if len(files) > 1:
                raise BadArgument(
                    f"{len(files)} pictures are meant, and one is enlarged at a time.",
                    "Call once for each.",
                )
            request = settings.enlarge(files[0], scale=scale, size=size, model=model)
            return await _run(chat, display, settings, request, settings.catalogue)

        return await _make(chat, self.valves, work)

    async def run_workflow(
        self,
        workflow: str = REQUIRED,
        prompt: str | None = None,
        inputs: dict[str, Any] | None = None,
        images: list[str] | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __event_call__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> ToolAnswer:
        """Make video, music, sound or 3D, or run any ComfyUI workflow by name.

        Video, music and 3D need no other call first. describe_workflow tells the inputs of others.

        :param workflow: "text_to_video", "image_to_video", "text_to_audio", "image_to_3d", a name, or "attached" (file)
        :param prompt: What to make
        :param inputs: Others by name: {"seconds": 5, "size": "16:9", "lyrics": "..."}; those left out stay as saved
        :param images: As in edit_image; its mask comes last
        """
        chat = Chat(
            __request__,
            __user__,
            __metadata__,
            __event_emitter__,
            __chat_id__,
            __message_id__,
            __messages__,
            __event_call__,
        )

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            given, named = await given_for_workflow(chat, images, named_values(inputs))
            named = await with_earlier_seed(chat, named, "input")
            offers = await chat.offers()
            request = settings.order(workflow, named, given.files, offers, prompt, given.mask)
            if request.offers:
                request = replace(request, sent_pictures=await chat.sent_offers())
            return await _run(
                chat, display, settings, request, await settings.including(chat, workflow)
            )

        return await _make(chat, self.valves, work)

    async def list_workflows(
        self,
        search: str | None = None,
        all: bool | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> ToolAnswer:
        """List the workflows and the tasks they do.

        :param search: Words such as "video"
        :param all: Also what cannot run
        """
        chat = Chat(
            __request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__
        )

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            words = words_of(search, "search")
            catalogue = settings.catalogue
            answers, silent = await everywhere(
                settings.endpoints, lambda server: list_workflows(server, catalogue, words)
            )
            told = await FILES.run(told_workflows, one_list(answers), words, as_yes(all, "all"))
            answer = told | _left_out(silent)
            return {"status": "done", **answer}, Phrase("workflows_listed")

        return await _answer(chat, self.valves, work)

    async def describe_workflow(
        self,
        workflow: str = REQUIRED,
        diagram: bool | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> ToolAnswer:
        """Explain a workflow: inputs, models, missing parts.

        :param workflow: As in run_workflow
        :param diagram: With a drawing
        """
        chat = Chat(
            __request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__
        )

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            name = words_of(workflow, "workflow").strip() or word_for_none(workflow)
            if not name:
                raise BadArgument(
                    "The argument workflow is empty.", "list_workflows tells the names."
                )
            catalogue = await settings.including(chat, workflow)
            about = Argument(name, "The argument workflow")

            async def describe(server: ComfyUIServer) -> dict[str, Any]:
                entry = await find_meant(server, catalogue, about)
                return await describe_workflow(server, entry, as_yes(diagram, "diagram"))

            answers, silent = await everywhere(settings.endpoints, describe)
            answer = min(
                answers, key=lambda answer: "cannot run" in answer or "missing nodes" in answer
            )
            answer |= _left_out(silent)
            return {"status": "done", **answer}, Phrase("workflow_read", name=answer["name"])

        return await _answer(chat, self.valves, work)

    async def list_models(
        self,
        kind: str | None = None,
        search: str | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> ToolAnswer:
        """List what is installed: models, LoRAs, upscalers, samplers.

        :param kind: "checkpoints", "diffusion_models", "loras", "samplers" or another folder
        :param search: Part of a name
        """
        chat = Chat(
            __request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__
        )

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            kind_name = words_of(kind, "kind")
            words = words_of(search, "search")
            answers, silent = await everywhere(
                settings.endpoints, lambda server: list_models(server, kind_name, words)
            )
            answer = told_models(one_list(answers), words) | _left_out(silent)
            return {"status": "done", **answer}, Phrase("models_listed")

        return await _answer(chat, self.valves, work)

    async def check_job(
        self,
        job_id: str | None = None,
        cancel: bool | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> ToolAnswer:
        """Tell how far the user's jobs and the queue are, deliver what has finished, or cancel one.

        :param job_id: From a "still running" result; else all
        :param cancel: true cancels
        """
        chat = Chat(
            __request__,
            __user__,
            __metadata__,
            __event_emitter__,
            __chat_id__,
            __message_id__,
            __messages__,
        )

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            return await check_jobs(
                chat, display, settings, words_of(job_id, "job_id"), as_yes(cancel, "cancel")
            )

        return await _answer(chat, self.valves, work)

    async def comfyui_status(
        self,
        __id__: str | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> ToolAnswer:
        """Tell whether ComfyUI is up, its queue, memory, speed and the user's jobs."""
        chat = Chat(
            __request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__
        )

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            statuses = await settings.fleet.statuses()
            answer, text = status_report(
                statuses, chat.is_admin, await jobs_told(settings.fleet, statuses)
            )
            sharing = await sharing_told(__id__) if chat.is_admin else ""
            answer |= {"valves": settings.valve_problems, "sharing": sharing}
            return {**answer, "image settings": settings.image_settings}, text

        return await _answer(chat, self.valves, work)


async def _answer(
    chat: Chat,
    valves: Valves,
    work: Callable[[Settings, Display], Awaitable[tuple[dict[str, Any], str]]],
) -> ToolAnswer:
    """What a call answers: `work` done with the call's settings, inside `Chat.answer`. `valves` are
    those of the call's beginning; another request may replace them meanwhile.
    """

    async def with_settings(display: Display) -> tuple[dict[str, Any], str]:
        settings = await settle(valves, chat.user, chat)
        chat.hide(settings.fleet.known, settings.secrets)
        for endpoint in settings.fleet.known:
            for key in settings.secrets:
                Pool.here().server(endpoint).note_key(key)
        try:
            return await work(settings, display)
        except ServerUnreachable as error:
            if error.nothing_set:
                await tell_first_steps(chat, settings.endpoints, error)
            raise
        except ModelNotInstalled as error:
            error.hint = f"{error.hint} {_limited(settings)}".strip()
            raise
        except UnknownWorkflow as error:
            error.hint = f"{error.hint} {_limited(settings)}".strip()
            instead = await _instead_of(chat, settings, error.name) if error.name else ""
            if instead:
                error.hint = f"{error.hint.removeprefix(error.default_hint)} {instead}".strip()
            raise
        except CreditsRefused as error:
            free = replace(
                settings, endpoints=tuple(one for one in settings.endpoints if not one.cloud)
            )
            instead = (
                await _instead_of(chat, free, error.task, costs=False)
                if free.endpoints and error.task
                else ""
            )
            if instead:
                error.hint = f"{error.hint} What costs nothing: {instead}"
            raise

    WORKS_FOR.set(str(chat.user.get("id") or ""))
    return as_answer(await chat.answer(with_settings))


def _limited(settings: Settings) -> str:
    """What is said where something is not there, to a user who may not use everything."""
    if all(endpoint.allowed.everything for endpoint in settings.endpoints):
        return ""
    return "The administrator's rules let this user use only some workflows and models."


async def _make(
    chat: Chat,
    valves: Valves,
    work: Callable[[Settings, Display], Awaitable[tuple[dict[str, Any], str]]],
) -> ToolAnswer:
    """`_answer` for a call that makes something: it is let in before `work` reads anything, if the
    user may make images at all, and until it ends its jobs are attended to, so that check_job
    leaves them.
    """

    chat.pointing = functools.partial(choose_picture, chat)

    async def when_admitted(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
        if valves.require_image_permission:
            await require_image_permission(chat.request, chat.user)
        async with settings.fleet.admission() as fleet:
            return await work(replace(settings, endpoints=fleet.endpoints), display)

    return await _answer(chat, valves, when_admitted)


async def _instead_of(chat: Chat, settings: Settings, name: str, costs: bool = True) -> str:
    """What would do instead of a workflow that does not exist, or instead of one that costs
    something: what the user attached, and what there is for the task. "" where no server tells.
    Without `costs` only what is free is named.
    """
    attached = (
        [shortened(file.name, 40) for file in await chat.attachments()]
        if settings.own_workflows
        else []
    )
    note = f'"attached" is the workflow in {attached[0]}, if it has one. ' if attached else ""
    catalogue = settings.catalogue
    try:
        answers, _ = await everywhere(
            settings.endpoints, lambda server: list_workflows(server, catalogue, name)
        )
    except ComfyUIError:
        return ""
    lines = one_list(answers)["workflows"]
    return note + tasks_note([line for line in lines if costs or PAID not in line], name)


def _left_out(silent: Sequence[str]) -> dict[str, Any]:
    """What a list of several servers says of those that are not in it."""
    return {"no answer from": list(silent)} if silent else {}


async def _run(
    chat: Chat,
    display: Display,
    settings: Settings,
    request: Request,
    catalogue: Catalogue,
) -> tuple[dict[str, Any], str]:
    """A request made, stored as files of the user, and reported."""
    memory = Memory(chat.unload_ollama if settings.unload_ollama else None, settings.free_seconds)
    options = RunOptions(
        catalogue,
        settings.previews and display.previews,
        settings.format,
        memory,
        credits_of(chat, settings),
        settings.leaves_no_prompts,
        long_runs_of(chat, settings),
        chat.mask_id,
    )
    with contextlib.closing(settings.look_ahead()) as ahead:
        with telling_of_mask(chat):
            made = await make_as_meant(chat, request, settings.fleet, display, options)
        with contextlib.closing(made):
            stem = file_stem(request.called or made.workflow, made.seed)
            return await keep_and_report(chat, settings, made, stem, ahead, request.called)
