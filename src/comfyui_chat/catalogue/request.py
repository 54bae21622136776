"""What somebody wants, and the workflow that was found for it: `Request` and `FittedWorkflow`.

A `Request` goes through all of run/ as it was given, so that another server can be tried with it.
Each of its values tells whose it is (`Argument.level`): 0 an argument of the call, 1 the user's
valve, 2 the administrator's valve, 3 Open WebUI's own image settings (`IMAGE_SETTINGS`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from ..errors import SeveralNames
from ..extents import extent_of
from ..graph.facts import FileInput
from ..graph.loras import read_loras
from ..graph.nodes import Target
from ..graph.workflow import Workflow
from ..media.pictures import InputFile
from ..sizes import Size
from ..values import Argument
from .entries import Family
from .missing import AbsentFile

IMAGE_SETTINGS = 3  # the level of what stands in Open WebUI's own image settings
TEXT_TO_IMAGE = ("text_to_image",)  # the tasks of a request for a new picture
# those of a request that says how strongly, the preferred one first
VARYING = ("image_to_image", "image_edit")
# those of a request to change pictures, the preferred one first
CHANGING = ("image_edit", "image_to_image")
# the family of a workflow that is not bundled: nothing of its own to set
AS_SAVED = Family("", "", None, {})
# reads a file that may be used; it is not read until it is needed
Offer = Callable[[], Awaitable[InputFile]]


@dataclass(frozen=True)
class Request:
    """What somebody wants, not yet understood. None leaves a value to what is best, or to what the
    workflow's author saved.
    """

    prompt: str | None = None
    # when no workflow is named, one for the first of these that can be done
    tasks: tuple[str, ...] = TEXT_TO_IMAGE
    negative_prompt: Argument | None = None
    size: Argument | None = None
    count: Argument | None = None
    seed: Argument | None = None
    steps: Argument | None = None
    guidance: Argument | None = None
    model: Argument | None = None
    workflow: Argument | None = None
    # what stands in its place to leave it out, "default": a workflow may be called just so
    instead_of_workflow: Argument | None = None
    loras: Argument | None = None
    strength: Argument | None = None  # how much of a picture is painted anew, 0 to 1
    scale: Argument | None = None  # how many times as wide and high a picture becomes
    # any other input of the workflow, by name
    inputs: Mapping[str, Argument] = field(default_factory=dict)
    # for its file inputs, in order; None keeps the author's
    files: tuple[InputFile | None, ...] = ()
    mask: Image.Image | None = field(default=None, repr=False)  # of mode "L": white is painted anew
    # kind -> the chat's newest file, for when none is given
    offers: Mapping[str, Offer] = field(default_factory=dict)
    # of the user's last message, if the newest picture is one of these
    sent_pictures: tuple[Offer, ...] = ()
    notes: tuple[str, ...] = ()  # on how the call was understood, for the model that called

    @property
    def pictures(self) -> int:
        """How many pictures are given to work on; the last one may be the mask."""
        kinds = [file.kind for file in self.files if file]
        return kinds.count("image")

    def room_in(self, inputs: Sequence[FileInput]) -> int:
        """How many pictures these inputs have room for. Where they take a mask and none is given by
        itself, there is room for one more: the last picture may be the mask.
        """
        room = sum(item.kind == "image" for item in inputs)
        if self.mask is None and any(item.takes_mask for item in inputs):
            room += 1
        return room

    @property
    def extent(self) -> int:
        """How much there is to work through in what was asked for, as extents.py counts. Files are
        not looked into.
        """
        asked = [value.value for value in vars(self).values() if isinstance(value, Argument)]
        inputs = [[name, wanted.value] for name, wanted in self.inputs.items()]
        return extent_of(self.prompt, asked, inputs, self.notes)

    @property
    def called(self) -> str:
        """What the files that come of it are named after: the prompt, wherever it was given, or the
        workflow.
        """
        if self.prompt:
            return self.prompt
        named = self.inputs.get("prompt") or self.workflow
        return str(named.value) if named else ""

    def insisting(self) -> "Request":
        """The same request, insisting on the model or the workflow of a valve as if it were an
        argument, so that a server that has it is found first.
        """
        model, workflow = self.model, self.workflow
        if model and not workflow:
            return replace(self, model=replace(model, level=0))
        if workflow and not model:
            level = workflow.level
            return replace(
                self,
                workflow=replace(workflow, level=0),
                size=_insisted(self.size, level),
                steps=_insisted(self.steps, level),
                negative_prompt=_insisted(self.negative_prompt, level),
            )
        return self

    def naming(self, several: SeveralNames, name: str) -> "Request | None":
        """The same request with one of several names in the place of the one that fits them all;
        None where it is no argument of the call that says it.
        """

        def says_it(value: Argument | None) -> bool:
            return value is not None and value.level == 0 and value.name == several.argument

        if self.model and says_it(self.model):
            return replace(self, model=replace(self.model, value=name))
        if self.workflow and says_it(self.workflow):
            return replace(self, workflow=replace(self.workflow, value=name))
        if self.loras and says_it(self.loras):
            loras = [
                {"name": name if lora == several.value else lora, "strength": strength}
                for lora, strength in read_loras(self.loras)
            ]
            return replace(self, loras=replace(self.loras, value=loras))
        for key, value in self.inputs.items():
            if says_it(value):
                return replace(self, inputs={**self.inputs, key: replace(value, value=name)})
        return None

    def without_image_settings(self) -> "tuple[Request, Argument] | None":
        """The same request without the workflow that Open WebUI's image settings name, else without
        the model that they name; and what was left out. None where they name neither.
        """
        workflow, model = self.workflow, self.model
        if workflow and workflow.level == IMAGE_SETTINGS:
            return replace(self._for_another(), workflow=None), workflow
        if model and model.level == IMAGE_SETTINGS:
            return replace(self, model=None), model
        return None

    def _for_another(self) -> "Request":
        """The same without the size and the steps that belong to the workflow of Open WebUI's image
        settings.
        """
        size = None if self.size and self.size.level == IMAGE_SETTINGS else self.size
        steps = None if self.steps and self.steps.level == IMAGE_SETTINGS else self.steps
        return replace(self, size=size, steps=steps)

    def suiting(self, fitted: "FittedWorkflow") -> "Request":
        """The request for the workflow that was found: of size, steps and negative prompt only what
        counts for it.
        """
        request = self
        named = self.workflow
        if named and named.level == IMAGE_SETTINGS and fitted.workflow.name != named.value:
            request = self._for_another()
        return request.against_author() if fitted.saved else request

    def against_author(self) -> "Request":
        """The same request for a workflow that stays as its author saved it: size, steps and
        negative prompt of a valve with less right than what named the workflow are dropped.
        """
        level = self.workflow.level if self.workflow else 0
        size = self.size
        if size and size.level > level:
            size = None
        negative_prompt = self.negative_prompt
        if negative_prompt and negative_prompt.level > level:
            negative_prompt = None
        steps = self.steps
        if steps and steps.level > level:
            steps = None
        return replace(self, size=size, steps=steps, negative_prompt=negative_prompt)


def _insisted(value: Argument | None, level: int) -> Argument | None:
    """A value of a request whose workflow is insisted on: what had the same right keeps it."""
    if value is None or value.level > level:
        return value
    return replace(value, level=0)


@dataclass(frozen=True)
class ChosenFile:
    """A model file that nobody named: it was chosen here."""

    folder: str
    name: str


@dataclass(frozen=True)
class FittedWorkflow:
    """A workflow that this server can run, with its definitions of the nodes, and with its model
    files set. `run/inputs.py` adds `wanting`, `picture` and `sizes`.
    """

    workflow: Workflow
    family: Family
    model: str  # the main model's file
    notes: tuple[str, ...] = ()
    # model files that it names, and by their widgets
    absent: Mapping[Target, AbsentFile] = field(default_factory=dict)
    # input files that it still has to be given
    wanting: Mapping[Target, str] = field(default_factory=dict)
    task: str = ""  # of a bundled one
    # its model files that nobody named
    chosen: Mapping[Target, ChosenFile] = field(default_factory=dict)
    # of a bundled one: each need as a text -> the file for it
    files: Mapping[str, str] = field(default_factory=dict)
    picture: Size | None = None  # of the first picture that it works on
    sizes: Mapping[Target, Size] = field(default_factory=dict)  # of the pictures that it is given
    models_size: int = 0  # in bytes, of all files of a template's models; 0 where nothing tells
    given: frozenset[Target] = frozenset()  # the widgets that hold files of the call
    # seconds of the videos and sounds of the call, by the nodes that load them
    lengths: Mapping[str, float] = field(default_factory=dict)
    # attached to the chat or pasted by a user who is no administrator: it may name no files and
    # paths on the server, and the limits hold for what is saved in it
    from_user: bool = False

    @property
    def saved(self) -> bool:
        """Whether it is to run as somebody saved it: what its author chose stays unless the call
        says otherwise.
        """
        return self.family.megapixels is None

    def noting(self, note: str) -> "FittedWorkflow":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))
