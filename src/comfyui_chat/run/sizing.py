"""In which width and height a request is made.

`Sizing.values` gives the values for the workflow's inputs. They follow from what is asked for
(`AskedSize`), else from the picture that is worked on, else from what the model makes best:

    asked for 1000x600           {"width": 1000, "height": 600}, or what the node takes that is nearest
    asked for 16:9               of the model's usual megapixels, or fewer if the limit is lower
    a picture of 800x600         {"width": 800, "height": 608}, in multiples of `GRAIN`
    nothing, saved as 1024x1024  {"width": 1024, "height": 1024}

A picture that is enlarged keeps its proportions: a size is what it is to fit into, and "4k" says
how long its longer side is to be.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..catalogue.request import FittedWorkflow, Request
from ..errors import BadArgument, LimitExceeded
from ..graph.definitions import InputSpec
from ..graph.fitting import fit_number, fit_size, on_step
from ..graph.input_names import PRESETS
from ..graph.workflow import Workflow
from ..names import shortened
from ..sizes import AskedSize, Ratio, Size, nearest_choice, read_size, size_of_choice
from ..values import Argument
from .fleet import Limits
from .limits import SIDES

SCALE = InputSpec("FLOAT", 1.0, 8.0)  # how many times as wide and high a picture may become
USUAL_SCALE = 2  # of a picture that is enlarged, where nothing is said
# parts of a model's usual number of pixels; between them a picture keeps its very size
FOLLOWED = (0.2, 1.5)
# pixels; sides in multiples of these suit every model, and every one for video
GRAIN, FILM_GRAIN = 16, 64


class Sizing:
    """The size of one request in its workflow; `notes` say what had to be changed or left out for
    it.
    """

    def __init__(self, choice: FittedWorkflow, request: Request, limits: Limits) -> None:
        self._choice = choice
        self._workflow = choice.workflow
        self._request = request
        self._limits = limits
        self._title = f'the workflow "{self._workflow.name}"'  # in notes
        self.notes: list[str] = []

    def values(self) -> dict[str, Any]:
        """The width and height, by those names, or the choice of an input for one of these. Empty
        where the workflow has none, or where what its author saved stays. Raises `BadArgument` and
        `LimitExceeded`.
        """
        return self._scaled() or self._size()

    def _spec(self, name: str) -> InputSpec:
        return self._workflow.spec(name)

    @property
    def _has_sides(self) -> bool:
        return all(side in self._workflow.parameters for side in SIDES)

    # So many times as large as a picture.

    def _scaled(self) -> dict[str, int]:
        """The width and height of an enlarged picture: exactly so many times its own as `scale`
        says, or as the size that is asked for says; twice where an upscale workflow is told
        nothing. Empty for any other. Raises `BadArgument` and `LimitExceeded`.
        """
        request, picture = self._request, self._choice.picture
        if not self._has_sides:
            picture = None
        enlarges = self._choice.task == "upscale"
        if request.scale is None:
            if picture is None or not enlarges:
                return {}
            if request.size:
                return self._checked(picture, self._enlarged_to(picture, request.size))
            sides = self._sides_named()
            if len(sides) == 2:
                return {}
            if sides:
                return in_proportion(picture, sides)
        if picture is None:
            self.notes.append(f"{self._title} has a scale of its own; scale was left out")
            return {}
        return self._checked(picture, scaled(picture, self._scale()))

    def _scale(self) -> float:
        """How many times as wide and high the picture becomes."""
        wanted = self._request.scale or Argument(USUAL_SCALE, "scale")
        factor, note = fit_number(wanted, SCALE)
        if note:
            self.notes.append(note)
        if self._request.size:
            self.notes.append("scale was followed, and size left out")
        return factor

    def _enlarged_to(self, picture: Size, wanted: Argument) -> Size:
        """The size of an enlarged picture of which a size is asked for: its own proportions, as
        large as fits. Raises `BadArgument` for a size that would not enlarge it.
        """
        asked = read_size(wanted)
        if asked.pixels is None and asked.megapixels is None and asked.side is None:
            raise BadArgument(
                f'{wanted.name} is "{shortened(wanted.value)}", and a picture that is enlarged keeps its proportions.',
                'Give pixels such as "3840x2160", "4k", or a scale; edit_image extends a picture.',
            )
        factor = _enlargement(picture, asked)
        if factor < 1:
            raise BadArgument(
                f'{wanted.name} is "{shortened(wanted.value)}", and the picture has {picture} pixels already.',
                "Ask for a larger size, or for a scale.",
            )
        most = SCALE.maximum or factor
        size = scaled(picture, min(factor, most))
        if factor > most:
            self.notes.append(
                f"a picture becomes at most {most:g} times as wide and high, here {size}"
            )
        elif asked.pixels and not asked.named and size != asked.pixels:
            self.notes.append(
                f"a picture that is enlarged keeps its proportions: {size} fits into {asked.pixels}"
            )
        return size

    def _checked(self, picture: Size, size: Size) -> dict[str, int]:
        """The size as values. Raises `LimitExceeded`, with the largest scale that is left, for a
        size beyond the node or the limits.
        """
        longer_side = "width" if picture.width > picture.height else "height"
        maximum = self._spec(longer_side).maximum
        if maximum and max(size.width, size.height) > maximum:
            longest = max(picture.width, picture.height)
            tenths = math.floor(10 * maximum / longest)
            raise LimitExceeded(
                f"The picture would have {size} pixels, and ComfyUI makes at most {maximum:g} a side.",
                f"Ask for a scale of at most {tenths / 10:g}.",
            )
        allowed = self._limits.megapixels
        if size.megapixels > allowed:
            scale = math.sqrt(allowed / picture.megapixels)
            tenths = math.floor(10 * scale)
            hint = "It is as large as it may become."
            if tenths > 10:
                hint = f"Ask for a scale of at most {tenths / 10:g}."
            raise LimitExceeded(
                f"The picture would have {size}, {size.megapixels:.1f} megapixels, and the administrator allows "
                f"{allowed:g}.",
                hint,
            )
        return _as_values(size)

    def _sides_named(self) -> dict[str, float]:
        """The width and height that the `inputs` of the call name, without those of 0, which stands
        for "in proportion": {"width": 1500.0}.
        """
        inputs = self._request.inputs
        sides: dict[str, float] = {}
        for side in SIDES:
            for name in names_of(self._workflow, side, inputs):
                length, _ = fit_number(inputs[name], self._spec(side))
                if length:
                    sides[side] = length
        return sides

    # As asked for, as the picture, or as saved.

    def _size(self) -> dict[str, Any]:
        """The width and height in which the workflow works, as the top of this module says. Raises
        `LimitExceeded` for more pixels than allowed, but only where just so many were asked for.
        """
        choice, wanted = self._choice, self._request.size
        if not self._has_sides:
            chosen = self._chosen(wanted) if wanted else {}
            if wanted and not chosen:
                self.notes.append(f"{self._title} has no size of its own; size was left out")
            return chosen
        if choice.saved and wanted is None:
            return {}
        types = {self._spec(side).type for side in SIDES}
        if choice.saved and types != {"INT"}:
            self.notes.append(f"{self._title} has no size in pixels; size was left out")
            return {}
        if wanted:
            size = self._asked_size(wanted)
        elif choice.picture:
            size = self._size_for(choice.picture, self._usual_megapixels())
        else:
            size = self._usual_size()
        return _as_values(size)

    def _chosen(self, wanted: Argument) -> dict[str, Any]:
        """The choice of an input for proportions, or for a resolution, that is nearest to what is
        asked for: of "16:9" it is {"aspect_ratio": "16:9"}. Empty where the workflow has no such
        choice. Raises as `nearest` does.
        """
        found: list[tuple[float, str, Any]] = []
        for name in PRESETS:
            near = self._near(name, wanted) if name in self._workflow.parameters else None
            if near:
                found.append((near[1], name, near[0]))
        if not found:
            return {}
        difference, name, choice = min(found, key=lambda item: item[0])
        self._note_nearest(wanted, choice, difference)
        return {name: choice}

    def nearest(self, name: str, wanted: Argument) -> Any:
        """The choice of an input that is nearest to a size that is asked for; None for an input
        without such choices. Raises `BadArgument` for what is not a size, and `LimitExceeded`.
        """
        near = self._near(name, wanted)
        if near is None:
            return None
        self._note_nearest(wanted, *near)
        return near[0]

    def _near(self, name: str, wanted: Argument) -> tuple[Any, float] | None:
        asked, allowed = read_size(wanted), self._limits.megapixels
        megapixels = asked.megapixels or (asked.pixels.megapixels if asked.pixels else 0.0)
        if megapixels > allowed:
            raise over_limit(
                wanted,
                asked.pixels or f"{megapixels:g} megapixels",
                f"at most {allowed:g} megapixels",
            )
        choices = [choice for choice in self._spec(name).choices if _pixels_of(choice) <= allowed]
        return nearest_choice(asked, choices)

    def _note_nearest(self, wanted: Argument, choice: Any, difference: float) -> None:
        if difference > 0.01:
            given = shortened(wanted.value, 40)
            self.notes.append(
                f'size {given} was changed to "{choice}", the nearest that {self._title} has'
            )

    def _own_size(self) -> Size:
        """The size that the workflow was saved with."""
        sides = [self._workflow.value(side) for side in SIDES]
        if all(isinstance(side, int) and side > 0 for side in sides):
            return Size(*sides)
        return Size(1024, 1024)

    def _usual_megapixels(self) -> float:
        """Those that the model makes best."""
        return self._choice.family.megapixels or self._own_size().megapixels

    def _fit_size(self, asked: Size | Ratio, megapixels: float) -> Size:
        """The nearest size that the workflow's nodes take."""
        return fit_size(asked, megapixels, self._spec("width"), self._spec("height"))

    def _asked_size(self, wanted: Argument) -> Size:
        """The size that is asked for. Raises `BadArgument` and `LimitExceeded`."""
        asked = read_size(wanted)
        allowed = self._limits.megapixels
        ratio = asked.ratio or self._usual_ratio()
        pixels = asked.pixels_in(ratio)
        megapixels = asked.megapixels or (pixels.megapixels if pixels else 0.0)
        if megapixels > allowed:
            value = pixels or f"{megapixels:g} megapixels"
            raise over_limit(wanted, value, f"at most {allowed:g} megapixels")
        if asked.named and self._choice.picture:
            return self._size_for(self._choice.picture, megapixels, exactly=True)
        if pixels:
            size = self._fit_size(pixels, megapixels)
            if size != pixels:
                self.notes.append(f"size {pixels} was changed to {size}, which the node takes")
            return size
        megapixels = megapixels or self._usual_megapixels()
        return self._within_limit(self._fit_size(ratio, megapixels), ratio, megapixels)

    def _usual_ratio(self) -> Ratio:
        """The proportions of the picture that is worked on, or those of the workflow."""
        size = self._choice.picture or self._own_size()
        return float(size.width), float(size.height)

    def _size_for(self, picture: Size, megapixels: float, *, exactly: bool = False) -> Size:
        """The size in which the model works on a picture, which is best at so many megapixels. With
        `exactly` the picture is brought to these.
        """
        width_spec, height_spec = self._spec("width"), self._spec("height")
        makes_film = "length" in self._workflow.parameters
        grain = FILM_GRAIN if makes_film else GRAIN
        for spec in (width_spec, height_spec):
            grain = max(grain, int(spec.step or 1))
        size = followed(picture, megapixels, self._limits.megapixels, grain, exactly=exactly)
        return Size(on_step(size.width, width_spec), on_step(size.height, height_spec))

    def _usual_size(self) -> Size:
        """The workflow's own size where the model is good at it, else one of its proportions."""
        size, megapixels = self._own_size(), self._usual_megapixels()
        ratio = float(size.width), float(size.height)
        if not 0.9 <= size.megapixels / megapixels <= 1.1:
            size = self._fit_size(ratio, megapixels)
        return self._within_limit(size, ratio, megapixels)

    def _within_limit(self, size: Size, ratio: Ratio, megapixels: float) -> Size:
        """The size, or a smaller one of the same proportions where it is over the limit: nobody
        asked for just so many pixels.
        """
        while size.megapixels > self._limits.megapixels and megapixels > 0.01:
            megapixels *= 0.95
            size = self._fit_size(ratio, megapixels)
        return size


def _pixels_of(choice: Any) -> float:
    """The megapixels of a node's choice; 0 for one that does not tell them."""
    pixels = size_of_choice(choice).pixels
    return pixels.megapixels if pixels else 0.0


def names_of(workflow: Workflow, parameter: str, names: Iterable[str]) -> list[str]:
    """Those of these names that mean the parameter: "positive" and "Positive.text" for "prompt"."""
    targets = workflow.parameters[parameter]
    return [name for name in names if workflow.find(name) == targets]


def scaled(picture: Size, factor: float) -> Size:
    """The size of a picture, so many times as wide and high."""
    return Size(max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))


def _enlargement(picture: Size, asked: AskedSize) -> float:
    """How many times as wide and high a picture has to become for the size that is asked for."""
    if asked.side:
        side, length = asked.side
        return float(length / getattr(picture, side))
    pixels = asked.pixels
    if pixels is None:
        return math.sqrt((asked.megapixels or 0.0) / picture.megapixels)
    if asked.named:
        return max(pixels.width, pixels.height) / max(picture.width, picture.height)
    return min(pixels.width / picture.width, pixels.height / picture.height)


def in_proportion(picture: Size, sides: Mapping[str, float]) -> dict[str, int]:
    """The width and height of a picture of which one side gets a length: with {"width": 1500.0} a
    picture of 1000x600 becomes {"width": 1500, "height": 900}.
    """
    ((side, length),) = sides.items()
    return _as_values(scaled(picture, length / getattr(picture, side)))


def _as_values(size: Size) -> dict[str, int]:
    return {"width": size.width, "height": size.height}


def followed(
    picture: Size, megapixels: float, most: float, grain: int = GRAIN, *, exactly: bool = False
) -> Size:
    """The size in which a model that is best at `megapixels` works on a picture: the picture's own
    where the model can, else one of its proportions, of at most `most` megapixels; in multiples of
    `grain` pixels. With `exactly` it has those megapixels in any case.
    """
    lowest, highest = FOLLOWED
    factor = 1.0
    if exactly or not lowest <= picture.megapixels / megapixels <= highest:
        factor = math.sqrt(megapixels / picture.megapixels)
    factor = min(factor, math.sqrt(most / picture.megapixels))
    columns = picture.width * factor / grain
    rows = picture.height * factor / grain
    nearest = _in_grains(round(columns), round(rows), grain)
    if nearest.megapixels <= most:
        return nearest
    return _in_grains(math.floor(columns), math.floor(rows), grain)


def _in_grains(columns: int, rows: int, grain: int) -> Size:
    """The size of so many grains across and down, at least one of them."""
    return Size(max(columns, 1) * grain, max(rows, 1) * grain)


def over_limit(wanted: Argument, value: object, limit: str) -> LimitExceeded:
    """The error of an argument that asks for more than is allowed."""
    message = f"{wanted.name} is {shortened(value, 20)}, and the administrator allows {limit}."
    return LimitExceeded(message, f"Ask for {limit}.")
