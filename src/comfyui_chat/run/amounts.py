"""How large and how many the pictures of a graph get at most, and how high the numbers that its
nodes work out.

A number in a node need not stand there: it may come from a node that only holds it, from
arithmetic, from a list of sizes, from the size of a picture. And pictures grow on their way: scaled
in one node and again in the next, repeated, put together to a batch. `Amounts` follows both from
the first nodes to the last, and answers with upper bounds:

    {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},                           1024 x 768, one
     "2": {"class_type": "ImageScaleBy", "inputs": {"image": ["1", 0], "scale_by": 4}},        4096 x 3072, one
     "3": {"class_type": "RepeatImageBatch", "inputs": {"image": ["2", 0], "amount": 8}},      4096 x 3072, eight
     "4": {"class_type": "GetImageSize", "inputs": {"image": ["3", 0]}}}                       numbers 4096, 3072 and 8

A node is known by its inputs, as everywhere (see graph/roles), and by a word in its class where
nothing else tells. A picture whose size nothing tells is of the usual size. A number that nothing
tells has no bound: `math.inf`.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..graph.definitions import SEED_INPUTS, last_part
from ..graph.links import TypedLink
from ..graph.nodes import Target, is_link
from ..graph.roles import Roles
from ..sizes import Size
from ..values import as_number
from .ranges import ANY_NUMBER, Range, range_of, united

DRAWN_TYPES = ("IMAGE", "LATENT", "MASK", "VIDEO")  # types of what has a width and a height
NUMBER_TYPES = ("INT", "FLOAT")
MOST_NUMBERS_IN_TEXT = 50_000
WRITTEN_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")

# Names of inputs, without their groups, by what they do to the pictures that a node is given.
SCALES = (
    "scale_by",
    "upscale_by",
    "rescale_factor",
    "scale_factor",
    "multiplier",
    "factor",
    "supersample",
    "resize_by",
)
LONG_SIDES = (
    "longer_size",
    "largest_size",
    "longest_side",
    "longest_edge",
    "longer_edge",
    "max_size",
    "resolution",
)
SHORT_SIDES = ("shorter_size", "shortest_side", "smallest_side", "short_side", "shorter_edge")
MARGINS = {"left": 0, "right": 0, "top": 1, "bottom": 1}
REPEATS = ("amount", "repeats", "repeat", "times")
# a class whose width and height are what comes out
RESIZES = re.compile(r"crop|resiz|scal|latent", re.IGNORECASE)
# inputs that say the same
RESIZING = ("upscale_method", "scale_method", "resize_type", "batch_size", "length")
# Words in the names of classes that put pictures into one batch, or beside one another.
BATCHES = re.compile(r"batch|list|combine|merge|join|insert|concat", re.IGNORECASE)
STITCHES = re.compile(r"stitch|concat|grid|tile|collage|join", re.IGNORECASE)
JOINS_TEXTS = re.compile(r"concat|join|format|append|combine|repeat|regex", re.IGNORECASE)
CALCULATES = re.compile(r"math|calc|multipl|power|square|expon|factorial|operat", re.IGNORECASE)
OPERATORS = ("operation", "operator", "op", "method", "mode")
POWER = re.compile(r"pow|\*\*|\^|exp|square|fact|shift|<<", re.IGNORECASE)
MULTIPLIED = re.compile(r"mul|[*x×]", re.IGNORECASE)
TIMES_IN_NAME = re.compile(r"(?<![0-9a-z])(?:(\d{1,2})x|x(\d{1,2}))(?![0-9])", re.IGNORECASE)
USUAL_TIMES = 4.0  # an upscaling model whose file does not say it


class Pictures(NamedTuple):
    """Bounds of the pictures that come out of a node: the sides of the largest in pixels, and how
    many there are.
    """

    width: float
    height: float
    number: float = 1.0

    @property
    def megapixels(self) -> float:
        """The size of the largest one."""
        return self.width * self.height / 1e6

    def scaled(self, factor: float) -> "Pictures":
        """The same, with both sides so many times as long."""
        return self._replace(width=self.width * factor, height=self.height * factor)


USUAL = Pictures(1024, 1024)


class Amounts:
    """The bounds of one graph. `sizes` are those of the pictures that it is given, by the input
    that names the file.

    All is worked out when the object is made, node by node, each after those that feed it: linear
    in the links of the graph. What stands in a circle of links has no bound. Blocks.
    """

    def __init__(self, roles: Roles, sizes: Mapping[Target, Size] | None = None) -> None:
        self._roles = roles
        self._sizes: dict[str, Size] = {}
        for target, size in (sizes or {}).items():
            self._sizes[target.node_id] = size
        # by node and by the last part of an input's name
        self._numbers: dict[str, dict[str, Range]] = {}
        self._pictures: dict[str, Pictures] = {}
        for node_id in roles.fed_first(roles.nodes):
            self._numbers[node_id] = dict(self._numbers_into(node_id))
            self._pictures[node_id] = self._made_by(node_id)

    def numbers(self, node_id: str) -> dict[str, float]:
        """The highest numbers that a node's inputs may get, by the last parts of their names:
        `math.inf` where nothing bounds one. An input that gets no number is not among them.
        """
        return {name: found.high for name, found in self._numbers[node_id].items()}

    def pictures(self, node_id: str) -> Pictures:
        """The pictures that come out of a node."""
        return self._pictures[node_id]

    def sigmas(self, node_id: str) -> float:
        """How many steps a list of sigmas stands for that a node has written in a text, "14.6, 6.3,
        0"; 0 for none.
        """
        definition = self._roles.definition(node_id)
        if definition is None or "SIGMAS" not in definition.outputs:
            return 0.0
        texts = [value for value in self._roles.inputs(node_id).values() if isinstance(value, str)]
        return float(max((len(_numbers_in_text(text)) - 1 for text in texts), default=0))

    # Numbers.

    def _numbers_into(self, node_id: str) -> Iterator[tuple[str, Range]]:
        """The range of each input of a node that gets a number."""
        for name, value in self._roles.inputs(node_id).items():
            last = last_part(name)
            if not is_link(value):
                number = as_number(value.get("__value__") if isinstance(value, Mapping) else value)
                if number is not None:
                    yield last, Range(number, number)
                continue
            link = self._roles.link(node_id, name)
            if link and link.may_carry(*NUMBER_TYPES) and not link.surely_carries(*DRAWN_TYPES):
                found = self._number_out_of(link)
                if found:
                    yield last, found

    def _number_out_of(self, link: TypedLink) -> Range | None:
        """The range of what comes over a link; None where nothing says that it is a number."""
        node_id = link.source
        if node_id not in self._numbers:  # in a circle
            return ANY_NUMBER
        roles = self._roles
        held = {
            name: found for name, found in self._numbers[node_id].items() if name not in SEED_INPUTS
        }
        inputs = roles.inputs(node_id)
        formula = inputs.get("expression")
        if isinstance(formula, str):
            return range_of(formula, held)
        if "value" in held:
            return held["value"]
        definition = roles.definition(node_id)
        named = definition.output_names[link.slot : link.slot + 1] if definition else ()
        for name in named:  # it passes on an input of that name
            own = held.get(name.strip().lower().replace(" ", "_"))
            if own and not roles.links_surely_carrying(node_id, *DRAWN_TYPES):
                return own
        of_pictures = self._number_of_pictures(link)
        if of_pictures is not None:
            return Range(0, of_pictures)
        if not held and roles.links_surely_carrying(node_id, "STRING"):
            return self._read_out_of_texts(node_id)
        if CALCULATES.search(roles.class_type(node_id)) or any(
            name in inputs for name in OPERATORS
        ):
            return self._calculated(node_id, list(held.values()))
        return self._chosen(node_id, held) or (
            ANY_NUMBER if link.surely_carries(*NUMBER_TYPES) else None
        )

    def _number_of_pictures(self, link: TypedLink) -> float | None:
        """What a node tells of the pictures that it is given: their width, their height, how many
        there are. The first number that comes out of it is taken for the width, the second for the
        height. None where it is given none.
        """
        node_id = link.source
        if not self._roles.links_surely_carrying(node_id, *DRAWN_TYPES):
            return None
        about = self._pictures[node_id]
        definition = self._roles.definition(node_id)
        outputs = definition.outputs if definition else ()
        numbers = [slot for slot, kind in enumerate(outputs) if kind in NUMBER_TYPES]
        place = numbers.index(link.slot) if link.slot in numbers else len(about)
        return about[place] if place < len(about) else max(about)

    def _read_out_of_texts(self, node_id: str) -> Range:
        """The range of a number that is read out of texts: of all numbers in those before the node,
        unless one of them is put together, which may make a higher number of two.
        """
        numbers = [0.0]
        for source in self._roles.before([node_id], ("STRING",)):
            if source != node_id and (
                self._roles.is_service(source) or JOINS_TEXTS.search(self._class(source))
            ):
                return ANY_NUMBER
            for name, value in self._roles.inputs(source).items():
                if not isinstance(value, str):
                    continue
                found = _numbers_in_text(value)
                if name == "replace" and found:
                    return ANY_NUMBER
                numbers += found
        return Range.around(numbers)

    def _class(self, node_id: str) -> str:
        return self._roles.class_type(node_id)

    def _calculated(self, node_id: str, held: Sequence[Range]) -> Range:
        """The range of what a node works out of its numbers, as far as its class or its operator
        tell how.
        """
        if not held or any(not one.is_bounded for one in held):
            return ANY_NUMBER
        inputs = self._roles.inputs(node_id)
        signs = [str(inputs[name]) for name in OPERATORS if isinstance(inputs.get(name), str)]
        how = " ".join(signs) or self._class(node_id)
        if POWER.search(how):
            return ANY_NUMBER
        highest = [max(abs(one.low), abs(one.high)) for one in held]
        bound = (
            math.prod(max(one, 1.0) for one in highest) if MULTIPLIED.search(how) else sum(highest)
        )
        return Range(-bound, bound)

    def _chosen(self, node_id: str, held: Mapping[str, Range]) -> Range | None:
        """The range of what a node passes on or chooses: the numbers that it is given, and those in
        its texts, as in "1024x768 (4:3)"; of megapixels, the sides. None for a node with no number
        at all.
        """
        ranges = [found for name, found in held.items() if name != "megapixels"]
        for name, value in self._roles.inputs(node_id).items():
            if isinstance(value, str) and name not in OPERATORS:
                ranges += [Range(number, number) for number in _numbers_in_text(value)]
        if "megapixels" in held:
            ranges.append(Range(0, math.sqrt(max(held["megapixels"].high, 0.0) * 1e6) * 2))
        return united(ranges) if ranges else None

    # Pictures.

    def _made_by(self, node_id: str) -> Pictures:
        """What comes out of a node: the pictures that it is given, as large and as many as it makes
        them.
        """
        given = self._given(node_id)
        numbers = self.numbers(node_id)
        sized = self._resized(node_id, given, numbers)
        return sized._replace(number=self._counted(node_id, given, numbers))

    def _given(self, node_id: str) -> list[Pictures]:
        """The pictures that a node is given, or the one that it reads out of a file."""
        if node_id in self._sizes:
            size = self._sizes[node_id]
            return [Pictures(size.width, size.height)]
        links = self._roles.links_surely_carrying(node_id, *DRAWN_TYPES)
        return [self._pictures.get(link.source, USUAL) for link in links]

    def _resized(
        self, node_id: str, given: Sequence[Pictures], numbers: Mapping[str, float]
    ) -> Pictures:
        """How large the pictures are that come out of a node, the largest of those that it is given
        to begin with.
        """
        largest = max(given, key=lambda one: one.megapixels, default=USUAL)
        own = self._own_size(node_id, largest, numbers, is_given=bool(given))
        if own and (not given or self._resizes(node_id)):
            return own
        if len(given) > 1 and self._stitches(node_id):
            largest = Pictures(sum(one.width for one in given), max(one.height for one in given))
        for name, side in MARGINS.items():
            margin = max(numbers.get(name, 0.0), 0.0)
            wider = (
                (largest.width + margin, largest.height)
                if side == 0
                else (largest.width, largest.height + margin)
            )
            largest = Pictures(*wider)
        if not given:
            return largest
        factor = math.prod(max(numbers.get(name, 1.0), 1.0) for name in SCALES)
        larger = largest.scaled(factor * self._times_of_model(node_id))
        return max(larger, own or larger, key=lambda one: one.megapixels)

    def _stitches(self, node_id: str) -> bool:
        """Whether a node puts pictures beside one another to one larger picture."""
        definition = self._roles.definition(node_id)
        makes_picture = definition is None or "IMAGE" in definition.outputs
        return makes_picture and bool(STITCHES.search(self._class(node_id)))

    def _resizes(self, node_id: str) -> bool:
        """Whether what comes out of a node has just the size that it names. In others a width may
        be that of a frame drawn into the picture.
        """
        takes = {last_part(name) for name in self._roles.inputs(node_id)}
        return not takes.isdisjoint(RESIZING) or bool(RESIZES.search(self._class(node_id)))

    def _own_size(
        self, node_id: str, largest: Pictures, numbers: Mapping[str, float], *, is_given: bool
    ) -> Pictures | None:
        """The size that a node itself names: in pixels, in megapixels, or as one side of the
        picture it is given.
        """
        names = self._roles.size_inputs(node_id)
        if names:
            width = numbers.get(last_part(names["width"]), math.inf)
            height = numbers.get(last_part(names["height"]), math.inf)
            return Pictures(max(width, 0.0), max(height, 0.0))
        width, height = numbers.get("width", 0.0), numbers.get("height", 0.0)
        if width > 0 or height > 0:  # the other one is 0: in proportion
            factor = (
                width / max(largest.width, 1.0) if width > 0 else height / max(largest.height, 1.0)
            )
            return largest.scaled(factor)
        if "megapixels" in numbers:
            return largest.scaled(
                math.sqrt(max(numbers["megapixels"], 0.0) / max(largest.megapixels, 1e-6))
            )
        if not is_given:  # a number of another kind, such as how fine a mesh is
            return None
        for name in LONG_SIDES:
            if name in numbers:
                return largest.scaled(numbers[name] / max(largest.width, largest.height, 1.0))
        for name in SHORT_SIDES:
            if name in numbers:
                return largest.scaled(numbers[name] / max(min(largest.width, largest.height), 1.0))
        return None

    def _times_of_model(self, node_id: str) -> float:
        """How many times as wide an upscaling model makes a picture: as its file's name says,
        "4x-UltraSharp.pth".
        """
        links = self._roles.links_surely_carrying(node_id, "UPSCALE_MODEL")
        if not links:
            return 1.0
        held = self._roles.inputs(links[0].source).values()
        for text in [value for value in held if isinstance(value, str)]:
            found = TIMES_IN_NAME.search(text[:200])
            if found:
                return max(float(found[1] or found[2]), 1.0)
        return USUAL_TIMES

    def _counted(
        self, node_id: str, given: Sequence[Pictures], numbers: Mapping[str, float]
    ) -> float:
        """How many pictures come out of a node."""
        counts = [one.number for one in given]
        count = max(counts, default=1.0)
        class_type = self._class(node_id)
        if len(counts) > 1 and BATCHES.search(class_type):
            count = sum(counts)
        if not given or self._roles.size_inputs(node_id):
            count *= max(numbers.get("batch_size", 1.0), 1.0)
        repeats = [numbers[name] for name in REPEATS if name in numbers]
        if repeats and (class_type.startswith("Repeat") or not given or BATCHES.search(class_type)):
            count *= max(*repeats, 1.0)
        return count


def _numbers_in_text(text: str) -> list[float]:
    """The numbers that a text holds, as many as count."""
    numbers: list[float] = []
    for found in WRITTEN_NUMBER.finditer(text):
        if len(numbers) >= MOST_NUMBERS_IN_TEXT:
            break
        numbers.append(float(found[0]))
    return numbers
