"""The methods that a model can call, as Open WebUI offers them: the class `Tools`.

Open WebUI reads the specification of a method out of its signature and docstring when the tool is saved: the text
before the first `:param` says what it does, each `:param` describes an argument. So these docstrings are written for
models. Arguments whose names begin with two underscores are Open WebUI's own, and hidden from the model.

All methods go the same way: make the `Chat` of the call, and have `_answer` do the work in it, which gets the call's
settings, makes a request of the arguments, and has it done. Open WebUI does not validate arguments: a list may come as
a text, a switch as a word. Numbers are annotated as `float`, also whole ones, since at `int` Open WebUI (0.10 and
later) would fail at a text itself, before anything here could read it or say what is wrong.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from ..catalogue.entries import Catalogue
from ..catalogue.listings import describe_workflow, list_models, list_workflows, one_list
from ..catalogue.request import Request
from ..errors import BadArgument
from ..names import file_stem
from ..run.fleet import everywhere
from ..run.make import Memory, RunOptions, make
from ..server.client import ComfyUIServer
from ..threads import WORKS_FOR
from ..values import Argument, as_yes, words_of
from .arguments import named_values, pictures_among, with_earlier_seed
from .chat import Chat
from .display import Display
from .jobs import check_jobs
from .permission import require_image_permission
from .reports import keep_and_report, status_report
from .settings import Settings, settle
from .valves import UserValves, Valves


class Tools:
    """What Open WebUI loads: every public method here is offered to the model."""

    Valves = Valves
    UserValves = UserValves

    def __init__(self) -> None:
        self.valves = Valves()

    async def generate_image(
        self,
        prompt: str,
        negative_prompt: str = "",
        size: str = "auto",
        count: float | None = None,
        seed: float | None = None,
        steps: float | None = None,
        guidance: float | None = None,
        model: str = "",
        loras: list[str] | None = None,
        workflow: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Make pictures from a description with ComfyUI and show them to the user in the chat.

        Leave optional arguments out unless the user asks for them. The result holds the seed: give it again with
        another prompt to vary a picture.

        :param prompt: What the pictures show, described in detail
        :param negative_prompt: What must not be in them
        :param size: "auto", an aspect ratio such as "16:9", or pixels such as "1216x832"
        :param count: How many pictures, a whole number from 1
        :param seed: The seed of an earlier result, a whole number
        :param steps: Sampling steps, a whole number
        :param guidance: How strictly the prompt is followed (CFG)
        :param model: Name of an installed model
        :param loras: Names of installed LoRAs, with a strength if need be: "name:0.8"
        :param workflow: Name of a workflow; without it the best one is chosen
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
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            request = settings.request(prompt, **await with_earlier_seed(chat, arguments))
            return await _run(chat, display, settings, request, await settings.including(chat, workflow))

        return await _make(chat, self.valves, work)

    async def edit_image(
        self,
        prompt: str,
        images: list[str] | None = None,
        mask: str = "",
        strength: float | None = None,
        size: str = "auto",
        count: float | None = None,
        seed: float | None = None,
        model: str = "",
        workflow: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Change pictures of this chat as a prompt says, or combine several, and show the user the result.

        :param prompt: What to change; with several pictures they are "image 1", "image 2"
        :param images: Pictures by their number in this chat ("1"), "last", "last 2", id or URL; without it the newest
        :param mask: A picture, white where to paint anew, or "transparency" for the image's own
        :param strength: How much is painted anew, 0 to 1, for models that paint over pictures
        :param size: As in generate_image; without it that of the picture
        :param count: How many results
        :param seed: As in generate_image
        :param model: Name of an installed model
        :param workflow: Name of a workflow that takes pictures
        """
        arguments = {
            "strength": strength,
            "size": size,
            "count": count,
            "seed": seed,
            "model": model,
            "workflow": workflow,
        }
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            files = await chat.input_files(images) or [await chat.newest()]
            painted = await chat.mask(mask, files[0]) if files[0] else None
            request = settings.edit(prompt, files, painted, **await with_earlier_seed(chat, arguments))
            return await _run(chat, display, settings, request, await settings.including(chat, workflow))

        return await _make(chat, self.valves, work)

    async def upscale_image(
        self,
        images: list[str] | None = None,
        scale: float | None = None,
        size: str = "",
        model: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Enlarge a picture of this chat with an upscale model, without changing what it shows.

        :param images: As edit_image takes them; without it the newest
        :param scale: How many times as wide and high, 1 to 8; without it 2
        :param size: Instead of scale: "4k" or pixels such as "3840x2160"
        :param model: Name of an installed upscale model
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            files = await chat.input_files(images) or [await chat.newest()]
            if len(files) > 1:
                raise BadArgument("The argument images names several pictures.", "Call once for each.")
            request = settings.enlarge(files[0], scale=scale, size=size, model=model)
            return await _run(chat, display, settings, request, settings.catalogue)

        return await _make(chat, self.valves, work)

    async def run_workflow(
        self,
        workflow: str = "",
        prompt: str = "",
        inputs: dict[str, Any] | None = None,
        images: list[str] | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Run any ComfyUI workflow by its name: pictures, edits, video, sound, anything saved there.

        Ask describe_workflow for its inputs first.

        :param workflow: A name or task of list_workflows, "attached" for the one in an attached picture; else the best
        :param prompt: What to make
        :param inputs: Values by input name, such as {"seconds": 5, "seed": 7}; all others stay as saved
        :param images: What to work on, a mask last, as edit_image takes it; "saved" is the workflow's own
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            pictures, named = pictures_among(images, named_values(inputs))
            files = await chat.input_files(pictures, allow_saved=True)
            named = await with_earlier_seed(chat, named, "input")
            request = settings.order(workflow, named, files, await chat.offers(), prompt)
            return await _run(chat, display, settings, request, await settings.including(chat, workflow))

        return await _make(chat, self.valves, work)

    async def list_workflows(
        self,
        search: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """List the workflows that can be run, with what each is for.

        :param search: Words that the name or the description holds; empty lists all
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            words = words_of(search, "search")
            catalogue = settings.catalogue
            answers, silent = await everywhere(
                settings.endpoints, lambda server: list_workflows(server, catalogue, words)
            )
            answer = one_list(answers) | _left_out(silent)
            return {"status": "done", **answer}, f"{len(answer['workflows'])} workflows"

        return await _answer(chat, self.valves, work)

    async def describe_workflow(
        self,
        workflow: str,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """Tell a workflow's inputs, models, missing nodes and outputs, with a diagram of its graph.

        :param workflow: A name of list_workflows, or "attached" for the one in a picture that the user attached
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            name = words_of(workflow, "workflow").strip()
            if not name:
                raise BadArgument("The argument workflow is empty.", "list_workflows tells the names.")
            catalogue = await settings.including(chat, workflow)
            about = Argument(name, "The argument workflow")

            async def describe(server: ComfyUIServer) -> dict[str, Any]:
                return await describe_workflow(server, await catalogue.find(server, about))

            answers, silent = await everywhere(settings.endpoints, describe)
            answer = min(answers, key=lambda answer: "cannot run" in answer or "missing nodes" in answer)
            answer |= _left_out(silent)
            return {"status": "done", **answer}, f'Looked at "{answer["name"]}"'

        return await _answer(chat, self.valves, work)

    async def list_models(
        self,
        kind: str = "",
        search: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """List what is installed in ComfyUI: models of a kind, LoRAs, embeddings, samplers, schedulers.

        :param kind: Such as "checkpoints", "loras", "samplers"; empty counts all kinds
        :param search: Words that the name holds
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            kind_name = words_of(kind, "kind")
            words = words_of(search, "search")
            answers, silent = await everywhere(settings.endpoints, lambda server: list_models(server, kind_name, words))
            answer = one_list(answers) | _left_out(silent)
            return {"status": "done", **answer}, "Looked up what is installed"

        return await _answer(chat, self.valves, work)

    async def check_job(
        self,
        job_id: str = "",
        cancel: bool = False,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Bring what a job made that was "still running" into the chat, or cancel it.

        :param job_id: As told by that result; without it all of the user's jobs
        :param cancel: true cancels it
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            return await check_jobs(chat, display, settings, words_of(job_id, "job_id"), as_yes(cancel, "cancel"))

        return await _answer(chat, self.valves, work)

    async def comfyui_status(
        self,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """Tell ComfyUI's health and load."""
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            statuses = await settings.fleet.statuses()
            return status_report(statuses, chat.is_admin)

        return await _answer(chat, self.valves, work)


async def _answer(
    chat: Chat, valves: Valves, work: Callable[[Settings, Display], Awaitable[tuple[dict[str, Any], str]]]
) -> dict[str, Any]:
    """What a call answers: `work` done with the call's settings, inside `Chat.answer`. `valves` are those of the call's
    beginning; another request may replace them meanwhile."""

    async def with_settings(display: Display) -> tuple[dict[str, Any], str]:
        settings = await settle(valves, chat.user, chat)
        chat.hide(settings.fleet.known)
        return await work(settings, display)

    WORKS_FOR.set(str(chat.user.get("id") or ""))
    return await chat.answer(with_settings)


async def _make(
    chat: Chat, valves: Valves, work: Callable[[Settings, Display], Awaitable[tuple[dict[str, Any], str]]]
) -> dict[str, Any]:
    """`_answer` for a call that makes something: it is let in before `work` reads anything, if the user may make images
    at all, and until it ends its jobs are attended to, so that check_job leaves them."""

    async def when_admitted(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
        if valves.require_image_permission:
            await require_image_permission(chat.request, chat.user)
        async with settings.fleet.admission() as fleet:
            return await work(replace(settings, endpoints=fleet.endpoints), display)

    return await _answer(chat, valves, when_admitted)


def _left_out(silent: Sequence[str]) -> dict[str, Any]:
    """What a list of several servers says of those that are not in it."""
    return {"no answer from": list(silent)} if silent else {}


async def _run(
    chat: Chat, display: Display, settings: Settings, request: Request, catalogue: Catalogue
) -> tuple[dict[str, Any], str]:
    """A request made, stored as files of the user, and reported."""
    memory = Memory(chat.unload_ollama if settings.unload_ollama else None, settings.free_seconds)
    options = RunOptions(catalogue, settings.previews and display.previews, settings.format, memory)
    made = await make(request, settings.fleet, display, options)
    with contextlib.closing(made):
        return await keep_and_report(chat, settings, made, file_stem(request.called or made.workflow, made.seed))
