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
nothing else tells. What the server does not read of a node counts for nothing. A picture whose size
nothing tells is of the usual size. A number that nothing tells has no bound: `math.inf`.

Some nodes make lists, of seeds, prompts or tiles, and each node after one runs as often as the list
is long: `runs` says how often. `frames` are those of a film that is made in one piece.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..graph.definitions import SEED_INPUTS, last_part
from ..graph.input_names import PARAMETERS
from ..graph.links import TypedLink
from ..graph.nodes import Target, is_link
from ..graph.roles import Roles
from ..sizes import Size
from ..values import as_number
from .amount_names import (
    BATCHES,
    CALCULATES,
    INTERPOLATES,
    LONG_SIDES,
    MARGINS,
    MULTIPLIED,
    OPERATORS,
    OWN_SIDES,
    PARTS_MADE,
    POWER,
    REPEATS,
    RESIZE_FACTORS,
    RESIZES,
    RESIZING,
    SCALES,
    SHORT_SIDES,
    SQUARE_SIDES,
    STITCHES,
    TIMES_IN_NAME,
    USUAL_TIMES,
)
from .ranges import ANY_NUMBER, Range, range_of, united
from .written import numbers_in, range_before, range_in, texts_before

DRAWN_TYPES = ("IMAGE", "LATENT", "MASK", "VIDEO")  # types of what has a width and a height
MADE = (*DRAWN_TYPES, "AUDIO")
NUMBER_TYPES = ("INT", "FLOAT")
MOST_SIDE_CUT = 1e6  # of a picture that is cut into tiles
# the numbers that a node may have beside its `value` and give on that value alone
AROUND_VALUE = {"value", "min", "max", "step", "min_value", "max_value"}


class Pictures(NamedTuple):
    """Bounds of the pictures that come out of a node: the sides of the largest in pixels, how many
    there are in one batch, and of how many frames each of them is, if it is a film.
    """

    width: float
    height: float
    number: float = 1.0
    frames: float = 1.0

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
        self._sent = roles
        self._roles = roles.without_unread()
        roles = self._roles
        self._sizes: dict[str, Size] = {}
        for target, size in (sizes or {}).items():
            self._sizes[target.node_id] = size
        # by node and by the last part of an input's name
        self._numbers: dict[str, dict[str, Range]] = {}
        self._pictures: dict[str, Pictures] = {}
        self._sigmas: dict[str, float] = {}
        self._runs: dict[str, float] = {}
        self._items: dict[str, float] = {}  # how long the lists are that come out of a node
        self._tiles: dict[str, float] = {}  # of how many of these one picture is made
        for node_id in roles.fed_first(roles.nodes):
            self._numbers[node_id] = self._numbers_into(node_id)
            self._runs[node_id] = self._times_run(node_id)
            self._pictures[node_id] = self._made_by(node_id)
            self._tiles[node_id] = self._tiles_of(node_id)
            self._sigmas[node_id] = self._sigmas_of(node_id)
            self._items[node_id] = self._items_made(node_id)

    def numbers(self, node_id: str) -> dict[str, float]:
        """The highest numbers that a node's inputs may get, by the last parts of their names:
        `math.inf` where nothing bounds one. An input that gets no number is not among them.
        """
        return {name: found.high for name, found in self._numbers[node_id].items()}

    def pictures(self, node_id: str) -> Pictures:
        """The pictures that come out of a node."""
        return self._pictures[node_id]

    def runs(self, node_id: str) -> float:
        """How often a node runs: more than once after a list."""
        return self._runs[node_id]

    def made(self, node_id: str) -> float:
        """How many pictures come out of a node in all its runs, tiles too."""
        return self._pictures[node_id].number * self._items[node_id]

    def whole(self, node_id: str) -> float:
        """How many pictures that is when the tiles are put together again."""
        pictures = max(self._items[node_id] / self._tiles[node_id], 1.0)
        return self._pictures[node_id].number * pictures

    def sigmas(self, node_id: str) -> float:
        """How many steps the sigmas stand for that come out of a node; 0 for none."""
        return self._sigmas[node_id]

    def lowest(self, names: Collection[str]) -> float | None:
        """The lowest number that any input of these names gets; None where none is known."""
        lows = [
            found.low
            for numbers in self._numbers.values()
            for name, found in numbers.items()
            if name in names and found.low > 0
        ]
        return min(lows, default=None)

    # Numbers.

    def _numbers_into(self, node_id: str) -> dict[str, Range]:
        """The range of each input of a node that gets a number, by the last part of its name."""
        ranges: dict[str, Range] = {}
        for name, found in self._each_number_into(node_id):
            ranges[name] = united([found, ranges.get(name, found)])
        return ranges

    def _each_number_into(self, node_id: str) -> Iterator[tuple[str, Range]]:
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
        if "value" in held and held.keys() <= AROUND_VALUE:
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
            return range_before(roles, node_id)
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
        # a class may read more than it lists
        for name, value in self._sent.inputs(node_id).items():
            number = None if is_link(value) else as_number(value)
            if isinstance(value, str) and name not in OPERATORS:
                ranges += self._in_text(node_id, name, value)
            elif number is not None and name not in SEED_INPUTS:
                ranges.append(Range(number, number))
        if "megapixels" in held:
            ranges.append(Range(0, math.sqrt(max(held["megapixels"].high, 0.0) * 1e6) * 2))
        return united(ranges) if ranges else None

    def _in_text(self, node_id: str, name: str, text: str) -> list[Range]:
        """What a text of a node may come to as a number: one that stands in it, or, unless it is
        one of the input's choices, its length.
        """
        spec = self._roles.spec(node_id, name)
        if spec is None or spec.type != "COMBO":
            return [range_in(text, self._class(node_id))]
        return [Range(number, number) for number in numbers_in(text)]

    # Steps.

    def _sigmas_of(self, node_id: str) -> float:
        """How many steps the sigmas of a node stand for: as many as it says, or as numbers are
        written in its texts, "14.6, 6.3, 0". Where it is given some, as often as it puts so many
        in the place of each.
        """
        definition = self._roles.definition(node_id)
        if definition is None or "SIGMAS" not in definition.outputs:
            return 0.0
        steps = self.numbers(node_id).get("steps", 0.0)
        links = self._roles.links_surely_carrying(node_id, "SIGMAS")
        if links:
            given = sum(self._sigmas.get(link.source, math.inf) for link in links)
            return given * max(steps, 1.0)
        texts = [text for text in self._roles.inputs(node_id).values() if isinstance(text, str)]
        if self._roles.links_surely_carrying(node_id, "STRING"):
            texts += (text or "" for text in texts_before(self._roles, node_id))
        written = sum(len(numbers_in(text)) for text in texts) - 1
        return max(steps, float(written))

    # Lists.

    def _times_run(self, node_id: str) -> float:
        """How often a node runs: once for each item of the longest list that it is given, or once
        for all of them.
        """
        definition = self._roles.definition(node_id)
        if definition and definition.takes_lists:
            return 1.0
        return max(self._given_items(node_id), default=1.0)

    def _given_items(self, node_id: str) -> list[float]:
        links = self._roles.links(node_id)
        return [self._items.get(link.source, math.inf) for link in links]

    def _items_made(self, node_id: str) -> float:
        """How long the longest list is that comes out of a node."""
        definition = self._roles.definition(node_id)
        if definition is None or not definition.makes_lists:
            return self._runs[node_id]
        if "batch_size" in self._numbers[node_id]:  # it makes batches of another size
            return sum(self.made(link.source) for link in self._drawn_links(node_id))
        if definition.takes_lists:  # it puts lists together
            return max(sum(self._given_items(node_id)), 1.0)
        return self._runs[node_id] * self._parts_of_one(node_id) * self._cut(node_id)

    def _parts_of_one(self, node_id: str) -> float:
        """How many items a node makes of one: the lines of a text, or as many as it says."""
        numbers = self.numbers(node_id)
        texts = [text for text in self._roles.inputs(node_id).values() if isinstance(text, str)]
        lines = [float(text.count("\n") + 1) for text in texts]
        return max([1.0, *lines, *(numbers.get(name, 1.0) for name in PARTS_MADE)])

    def _tiles_of(self, node_id: str) -> float:
        """Of how many tiles a picture is made that comes out of a node, in a list."""
        tiles = [self._tiles.get(link.source, 1.0) for link in self._drawn_links(node_id)]
        return max(tiles, default=1.0) * self._cut(node_id)

    def _cut(self, node_id: str) -> float:
        """Into how many tiles a node cuts a picture, each one for itself in a list."""
        tile = self._tile(node_id)
        if tile is None:
            return 1.0
        overlap = max(self.numbers(node_id).get("overlap", 0.0), 0.0)
        whole = _largest_of(self._given(node_id))
        tiles = 1.0
        for side, of_tile in ((whole.width, tile.width), (whole.height, tile.height)):
            tiles *= math.ceil(min(side, MOST_SIDE_CUT) / max(of_tile - overlap, 1.0))
        return max(tiles, 1.0)

    def _tile(self, node_id: str) -> Pictures | None:
        """The size of the tiles that a node cuts pictures into; None for one that does not."""
        definition = self._roles.definition(node_id)
        numbers = self.numbers(node_id)
        if definition is None or not definition.makes_lists or "tile_width" not in numbers:
            return None
        return Pictures(numbers["tile_width"], numbers.get("tile_height", numbers["tile_width"]))

    # Pictures.

    def _made_by(self, node_id: str) -> Pictures:
        """What comes out of a node: the pictures that it is given, as large and as many as it makes
        them.
        """
        given = self._given(node_id)
        numbers = self.numbers(node_id)
        sized = self._resized(node_id, given, numbers)
        frames = max([self._frames(node_id, numbers), *(one.frames for one in given)])
        return sized._replace(number=self._counted(node_id, given, numbers), frames=frames)

    def _frames(self, node_id: str, numbers: Mapping[str, float]) -> float:
        """Of how many frames the films are that a node makes; 1 for one that makes none."""
        definition = self._roles.definition(node_id)
        if definition and not {"LATENT", "IMAGE", "VIDEO"} & set(definition.outputs):
            return 1.0
        if not makes_frames(self._roles, node_id):
            return 1.0
        return max((numbers.get(name, 1.0) for name in PARAMETERS["length"]), default=1.0)

    def _given(self, node_id: str) -> list[Pictures]:
        """The pictures that a node is given, or the one that it reads out of a file."""
        if node_id in self._sizes:
            size = self._sizes[node_id]
            return [Pictures(size.width, size.height)]
        return [self._pictures.get(link.source, USUAL) for link in self._drawn_links(node_id)]

    def _drawn_links(self, node_id: str) -> list[TypedLink]:
        """The links that bring a node the pictures that it works on, also through nodes that take
        anything. What is put into latents is made to fit them.
        """
        drawn = [
            link
            for link in self._roles.links(node_id)
            if (link.type in DRAWN_TYPES or link.surely_carries(*DRAWN_TYPES))
            and "audio" not in link.input
        ]
        definition = self._roles.definition(node_id)
        if definition is None or "LATENT" not in definition.outputs:
            return drawn
        latents = [link for link in drawn if "LATENT" in (link.type, *link.declared)]
        return drawn if "IMAGE" in definition.outputs else latents or drawn

    def _resized(
        self, node_id: str, given: Sequence[Pictures], numbers: Mapping[str, float]
    ) -> Pictures:
        """How large the pictures are that come out of a node, the largest of those that it is given
        to begin with.
        """
        tile = self._tile(node_id)
        if tile:
            return tile
        largest = _largest_of(self._matched(node_id) or given)
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
        larger = largest.scaled(self._factor(node_id, numbers) * self._times_of_model(node_id))
        return max(larger, own or larger, key=lambda one: one.megapixels)

    def _matched(self, node_id: str) -> list[Pictures]:
        """The picture that all others which a node is given become as large as, if there is one."""
        links = [link for link in self._drawn_links(node_id) if last_part(link.input) == "match"]
        return [self._pictures.get(link.source, USUAL) for link in links]

    def _factor(self, node_id: str, numbers: Mapping[str, float]) -> float:
        """How many times as long a node makes the sides of pictures; less than one only for a node
        whose class says that it resizes.
        """
        resizes = self._resizes(node_id)
        names = (*SCALES, *RESIZE_FACTORS) if resizes else SCALES
        factors = [numbers[name] for name in names if numbers.get(name, 0.0) > 0]
        larger = [factor for factor in factors if factor > 1]
        if resizes and factors and not larger:
            return max(factors)
        return math.prod(larger)

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
        for own_width, own_height in OWN_SIDES:
            if own_width in numbers and own_height in numbers:
                return Pictures(max(numbers[own_width], 0.0), max(numbers[own_height], 0.0))
        if "cell_width" in numbers and "cell_height" in numbers:
            return self._sheet(node_id, numbers)
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
        if not is_given:
            return self._square(node_id, numbers)
        for name in LONG_SIDES:
            if name in numbers:
                return largest.scaled(numbers[name] / max(largest.width, largest.height, 1.0))
        for name in SHORT_SIDES:
            if name in numbers:
                return largest.scaled(numbers[name] / max(min(largest.width, largest.height), 1.0))
        return None

    def _sheet(self, node_id: str, numbers: Mapping[str, float]) -> Pictures:
        """The size of a sheet with all pictures in cells, so many beside one another."""
        columns = max(numbers.get("columns", 1.0), 1.0)
        pictures = sum(self.made(link.source) for link in self._drawn_links(node_id))
        rows = pictures / columns + 1
        return Pictures(numbers["cell_width"] * columns, numbers["cell_height"] * rows)

    def _square(self, node_id: str, numbers: Mapping[str, float]) -> Pictures | None:
        """The size of a picture that is made of something else, a mesh say. What a node makes that
        gives no picture may have such a number too: how fine a mesh is.
        """
        definition = self._roles.definition(node_id)
        sides = [numbers[name] for name in SQUARE_SIDES if name in numbers]
        if not sides or definition is None or "IMAGE" not in definition.outputs:
            return None
        return Pictures(max(sides), max(sides))

    def _times_of_model(self, node_id: str) -> float:
        """How many times as wide an upscaling model makes a picture: as its file's name says,
        "4x-UltraSharp.pth".
        """
        links = self._roles.links_surely_carrying(node_id, *USUAL_TIMES)
        if not links:
            return 1.0
        held = self._roles.inputs(links[0].source).values()
        for text in [value for value in held if isinstance(value, str)]:
            found = TIMES_IN_NAME.search(text[:200])
            if found:
                return max(float(found[1] or found[2]), 1.0)
        return max(USUAL_TIMES.get(kind, 1.0) for kind in links[0].declared)

    def _counted(
        self, node_id: str, given: Sequence[Pictures], numbers: Mapping[str, float]
    ) -> float:
        """How many pictures come out of a node in one batch."""
        count = self._put_together(node_id, given, numbers)
        if self._frames(node_id, numbers) > 1:  # several films do not make a longer one
            return 1.0
        if self._roles.size_inputs(node_id):
            count *= max(numbers.get("layers", 1.0), 1.0)
        if not given or self._roles.size_inputs(node_id):
            count *= max(numbers.get("batch_size", 1.0), 1.0)
        class_type = self._class(node_id)
        repeats = [numbers[name] for name in REPEATS if name in numbers]
        if repeats and (class_type.startswith("Repeat") or not given or BATCHES.search(class_type)):
            count *= max(*repeats, 1.0)
        if INTERPOLATES.search(class_type):
            count *= max(numbers.get("multiplier", 1.0), 1.0)
        return count

    def _put_together(
        self, node_id: str, given: Sequence[Pictures], numbers: Mapping[str, float]
    ) -> float:
        """How many of the pictures that a node is given come out of it in one batch."""
        counts = [one.number for one in given]
        most = max(counts, default=1.0)
        definition = self._roles.definition(node_id)
        if definition and definition.makes_lists:
            return min(most, max(numbers.get("batch_size", most), 1.0))
        if not BATCHES.search(self._class(node_id)):
            return most
        if definition and definition.takes_lists:
            if self._stitches(node_id):
                return most
            return sum(self.made(link.source) for link in self._drawn_links(node_id))
        return sum(counts) if len(counts) > 1 else most


def _largest_of(pictures: Sequence[Pictures]) -> Pictures:
    return max(pictures, key=lambda one: one.megapixels, default=USUAL)


def makes_frames(roles: Roles, node_id: str) -> bool:
    """Whether a node may make frames, or says how many are made. One that makes nothing but sound
    does not, and one that is given a film, pictures or sound, and has neither a size nor a model
    for more, can only cut.
    """
    definition = roles.definition(node_id)
    if definition and set(definition.outputs) == {"AUDIO"}:
        return False
    if (
        not roles.links_surely_carrying(node_id, *MADE)
        or roles.is_maker(node_id)
        or roles.size_inputs(node_id)
    ):
        return True
    return bool(roles.links_surely_carrying(node_id, "MODEL", "VAE"))
