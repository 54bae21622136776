"""How long the video or sound of a request becomes, in whatever unit its workflow counts.

A call says `seconds`. Some graphs take them so; in most a video is a number of frames ("length"),
which depends on the rate, and which the model makes in steps: 5 seconds at 16 frames a second are
81 frames, since Wan makes 1 and 4, and 4 more. `timed` puts the seconds into that, and tells how a
`length` was understood.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..counts import read_number
from ..errors import BadArgument
from ..graph.definitions import InputSpec
from ..graph.discovery import parameter_name
from ..graph.workflow import Workflow
from ..lengths import read_seconds, says_seconds
from ..names import shortened
from ..values import Argument, as_number
from .amounts import Amounts
from .limits import frame_rate

MOST_ASKED_FRAMES = 1e9  # that are reckoned with; no node makes nearly as many
TIMES = ("seconds", "length", "fps")  # parameters that say how long a video or a sound is


@dataclass(frozen=True)
class Timed:
    """The inputs of a call with its time in the units of the workflow, and notes on it."""

    inputs: Mapping[str, Argument]
    notes: tuple[str, ...] = ()


def timed(workflow: Workflow, inputs: Mapping[str, Argument]) -> Timed:
    """The inputs of a call, with a time of theirs in the unit of the workflow: seconds or frames.
    Names that are not those of a time stay as they are. Raises `BadArgument` for a time that cannot
    be understood.
    """
    named = {parameter_name(name): name for name in inputs if "." not in name}
    names = [named[parameter] for parameter in TIMES if parameter in named]
    counts_frames = "length" in workflow.parameters
    if not names or not (counts_frames or "seconds" in workflow.parameters):
        return Timed(inputs)
    asked = {parameter_name(name): inputs[name] for name in names}
    left = {name: wanted for name, wanted in inputs.items() if name not in names}
    notes: list[str] = []
    fps = asked.get("fps")
    if fps and "fps" in workflow.parameters:
        left["fps"] = fps
    elif fps:
        notes.append(
            f'the workflow "{workflow.name}" has no rate (fps) of its own; it was left out'
        )
    seconds, length, note = _seconds_or_frames(
        asked.get("seconds"), asked.get("length"), counts_frames
    )
    notes.append(note)
    if seconds:
        unit, value, note = _in_its_unit(workflow, seconds, fps)
        left[unit] = value
        notes.append(note)
    elif length:
        left["length"] = length
        notes.append(_frames_note(workflow, length, fps))
    return Timed(left, tuple(note for note in notes if note))


def _seconds_or_frames(
    seconds: Argument | None, length: Argument | None, counts_frames: bool
) -> tuple[Argument | None, Argument | None, str]:
    """Of a time that is asked for, the seconds or else the frames, and a note on how it was
    understood. `counts_frames` says whether the workflow has a number of frames.
    """
    if length is None:
        return seconds, None, ""
    if seconds:
        return seconds, None, "seconds was followed, and length left out"
    if says_seconds(length.value):
        return length, None, ""
    if counts_frames:
        return None, length, ""
    return length, None, "length was taken for seconds"


def _in_its_unit(
    workflow: Workflow, wanted: Argument, fps: Argument | None
) -> tuple[str, Argument, str]:
    """The parameter of the workflow that takes a time, its value, and a note where that is not just
    as long.
    """
    seconds = read_seconds(wanted.value)
    if seconds is None:
        raise BadArgument(
            f'{wanted.name} is "{shortened(wanted.value)}", which is no number of seconds.',
            'Give {"seconds": 5}.',
        )
    if "seconds" in workflow.parameters:
        spec = workflow.spec("seconds")
        value, note = _of_choices(seconds, spec)
        return "seconds", Argument(value, wanted.name, wanted.level), note
    rate = _rate(workflow, fps)
    spec = workflow.spec("length")
    frames = frames_in(seconds, rate, spec)
    note = ""
    if frames < seconds * rate - max(spec.step or 1, 1):
        note = f"{seconds:g} seconds are too long: it makes at most {frames} frames, {frames / rate:.0f} s"
    return "length", Argument(frames, wanted.name, wanted.level), note


def _of_choices(seconds: float, spec: InputSpec) -> tuple[object, str]:
    """The one of an input's choices that is nearest to so many seconds, with a note where it is
    another number; the seconds themselves where there are no choices.
    """
    numbers = {choice: read_seconds(choice) for choice in spec.choices}
    near = [
        (abs(number - seconds), choice) for choice, number in numbers.items() if number is not None
    ]
    if not near:
        return seconds, ""
    difference, choice = min(near, key=lambda pair: pair[0])
    return (
        choice,
        f"{seconds:g} seconds were changed to {choice}, which there is" if difference else "",
    )


def frames_in(seconds: float, rate: float, spec: InputSpec) -> int:
    """The number of frames nearest to so many seconds that an input takes: in its range, and so
    many steps above the lowest.
    """
    low = int(spec.minimum or 1)
    step = max(int(spec.step or 1), 1)
    wanted = min(seconds * rate, MOST_ASKED_FRAMES)
    frames = low + math.floor((wanted - low) / step + 0.5) * step
    frames = max(frames, low)
    if spec.maximum is not None and frames > spec.maximum:
        frames = low + int(spec.maximum - low) // step * step
    return frames


def _rate(workflow: Workflow, fps: Argument | None) -> float:
    """The frames a second: as the call says, or else as the workflow does."""
    asked = read_number(fps.value) if fps and "fps" in workflow.parameters else None
    held = as_number(workflow.value("fps"))
    return asked or held or frame_rate(Amounts(workflow.flow))


def _frames_note(workflow: Workflow, wanted: Argument, fps: Argument | None) -> str:
    """What a length is that was given as a mere number."""
    frames = read_number(wanted.value)
    if frames is None:
        return ""
    rate = _rate(workflow, fps)
    return (
        f"length is in frames: {frames:g} are {frames / rate:.2g} s at {rate:g} frames a second; "
        "seconds gives the time"
    )
