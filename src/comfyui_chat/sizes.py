"""What people and models write for a size: pixels, proportions, megapixels, a screen's name, a word
for a format.

`read_size` makes an `AskedSize` of an argument, which says only what was said. What is left open is
settled where the workflow and its picture are known (run/sizing.py):

    "1216x832", [1216, 832], {"width": 1216, "height": 832}, "1216,832"     pixels
    "16:9", "16対9", "wide", "portrait", "Hochformat", "横長"                 proportions
    "2 megapixels", "16:9 2MP"                                              so many millions of pixels
    "1080p", "HD", "4k", "720p portrait"                                    pixels of a screen, `named`
    "1200 wide", "width 1200", {"width": 1200}                              one `side`; proportions say the other

`nearest_choice` finds the choice of a node, "1344x768 (1.75)" or "16:9", that comes next to a size.

Words for formats are understood in English, German, French, Spanish, Portuguese, Italian, Japanese,
Korean and Chinese.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .bounds import MOST_WORD_CHARACTERS
from .errors import BadArgument
from .names import shortened
from .spelling import parsed_json, plain_words
from .values import NOT_GIVEN, Argument, unwrapped


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """The area in millions of pixels."""
        return self.width * self.height / 1e6

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


Ratio = tuple[float, float]  # across, down


@dataclass(frozen=True)
class AskedSize:
    """A size as it was asked for; None stands for what was not said."""

    pixels: Size | None = None
    ratio: Ratio | None = None
    megapixels: float | None = None
    # whether the pixels are those of a screen, such as "1080p", and not to be met exactly
    named: bool = False
    side: tuple[str, int] | None = None  # one side alone: ("width", 1200)

    def pixels_in(self, ratio: Ratio) -> Size | None:
        """The pixels that are asked for: those of one side alone with another side for these
        proportions.
        """
        if self.side is None:
            return self.pixels
        name, length = self.side
        across, down = ratio
        if name == "width":
            return Size(length, max(round(length * down / across), 1))
        return Size(max(round(length * across / down), 1), length)


SMALLEST_SIDE = 64  # in pixels; two smaller numbers are an aspect ratio, as in "16x9"
WIDEST_RATIO = 8.0  # of an aspect ratio, across to down or down to across
LARGEST_MEGAPIXELS = 1000.0  # that are understood; an administrator allows far fewer

# The pixels of screens by their names; a number before "p" is that of their lines.
SCREENS = {
    "full hd": Size(1920, 1080),
    "fullhd": Size(1920, 1080),
    "fhd": Size(1920, 1080),
    "ultra hd": Size(3840, 2160),
    "uhd": Size(3840, 2160),
    "qhd": Size(2560, 1440),
    "hd": Size(1280, 720),
    "xga": Size(1024, 768),
    "vga": Size(640, 480),
    "8k": Size(7680, 4320),
    "4k": Size(3840, 2160),
    "2k": Size(2560, 1440),
    "1k": Size(1024, 1024),
}
LINES = {
    240: 426,
    360: 640,
    480: 854,
    540: 960,
    576: 1024,
    720: 1280,
    1080: 1920,
    1440: 2560,
    2160: 3840,
    4320: 7680,
}

# Words for formats, and the proportions that they mean.
SQUARE, LANDSCAPE, PORTRAIT, WIDE, TALL = (
    (1.0, 1.0),
    (3.0, 2.0),
    (2.0, 3.0),
    (16.0, 9.0),
    (9.0, 16.0),
)
_FORMATS: tuple[tuple[Ratio, str], ...] = (
    (
        SQUARE,
        "square squared quadrat quadratisch quadratisches carré carrée carre cuadrado cuadrada quadrado quadrada "
        "quadrato quadrata 正方形 方形 スクエア 四角 정사각형 정방형 스퀘어",
    ),
    (
        PORTRAIT,
        "portrait vertical upright hochformat hochkant retrato verticale ritratto 縦長 縦向き 縦 "
        "ポートレート 세로형 세로 竖版 竖屏 竖向 竖 纵向 縱向 直式 直向",
    ),
    (
        LANDSCAPE,
        "landscape horizontal querformat quer paysage horizontale paisaje apaisado apaisada paisagem paesaggio "
        "orizzontale 横長 横向き 横向 横 橫向 橫式 ランドスケープ 가로형 가로 横版 横屏",
    ),
    (
        WIDE,
        "wide widescreen wallpaper desktop youtube breitbild panorámico panorámica panorâmico panoramico panoramique "
        "ワイド 와이드 宽屏 寬屏 宽银幕",
    ),
    (TALL, "tall story reel tiktok phone smartphone handy"),
    ((21.0, 9.0), "ultrawide cinematic"),
    ((3.0, 1.0), "banner"),
)
FORMATS = {word: ratio for ratio, words in _FORMATS for word in words.split()}
PAPERS: Mapping[str, Ratio] = dict.fromkeys(("a2", "a3", "a4", "a5", "a6"), (1.0, math.sqrt(2)))

# What may stand beside them and says nothing.
_FILLERS = (
    "format size resolution aspect ratio mode orientation image picture video px pixel pixels in im a an the of "
    "about at as like instagram formato formati größe auflösung seitenverhältnis en au le de résolution taille tamaño "
    "tamanho proporción proporção proporzioni relación rapporto com con mit und and with or "
    "比率 比 の で サイズ 画像 해상도 비율 이미지 尺寸 比例 画面 图片"
)
FILLERS = frozenset(_FILLERS.casefold().split())

# The parts of a text that say a size, each by the name of its group.
NUMBER = r"\d{1,6}(?:\.\d{1,6})?"
WIDTH = r"(?:width|breite|ancho|largeur|largura|larghezza|wide|w|幅|宽|寬|너비|가로)"
HEIGHT = r"(?:height|höhe|alto|altura|hauteur|altezza|high|tall|h|高さ|高|높이|세로)"
BETWEEN_SIDES = r"(?:x|×|✕|✖|\*|,|;|by|auf|por|par|per| )"
# between two numbers that are proportions whatever they are
BETWEEN_RATIO = r"(?:∶|:|/|to|zu|対|比|대)"
_SCREENS = "|".join(sorted(SCREENS, key=len, reverse=True))
_UNSPACED = "|".join(
    sorted((word for word in {*FORMATS, *FILLERS} if not word.isascii()), key=len, reverse=True)
)
PART = re.compile(
    rf"(?P<megapixels>\d{{1,6}}(?:[.,]\d{{1,6}})?) ?(?:mega ?pixels?|megapíxel(?:es)?|mégapixels?|mpx?|メガピクセル"
    rf"|메가픽셀|百万像素)(?![a-z])"
    rf"|(?P<lines>\d{{3,4}}) ?p(?![a-z])"
    rf"|(?P<screen>{_SCREENS})(?![a-z0-9])"
    rf"|{WIDTH} ?[:=]? ?(?P<width>{NUMBER}),? ?{HEIGHT} ?[:=]? ?(?P<height>{NUMBER})"
    rf"|(?P<wide>{NUMBER}) ?{WIDTH},? ?(?P<high>{NUMBER}) ?{HEIGHT}(?![a-z])"
    rf"|{WIDTH} ?[:=]? ?(?P<only_width>{NUMBER})"
    rf"|{HEIGHT} ?[:=]? ?(?P<only_height>{NUMBER})"
    rf"|(?P<wide_alone>{NUMBER}) ?(?:px|pixels?)? ?(?:{WIDTH}|x(?! ?\d))(?![a-z])"
    rf"|(?:x ?(?P<high_behind>{NUMBER})|(?P<high_alone>{NUMBER}) ?(?:px|pixels?)? ?{HEIGHT}(?![a-z]))"
    rf"|(?P<much>{NUMBER}) ?{BETWEEN_RATIO} ?(?P<to>{NUMBER})"
    rf"|(?P<across>{NUMBER}) ?(?:px)? ?{BETWEEN_SIDES} ?(?P<down>{NUMBER})"
    rf"|(?P<number>{NUMBER})"
    rf"|(?P<word>a[2-6](?!\w)|{_UNSPACED}|[^\W\d_]+)"
    r"|(?P<nothing>[\s,;().]+)"
    r"|(?P<strange>.)"
)


def read_size(wanted: Argument | None) -> AskedSize:
    """What somebody means by a size; nothing at all for None and "auto".

    Raises `BadArgument` for what is not a size, and for proportions beyond `WIDEST_RATIO`.
    """
    if wanted is None:
        return AskedSize()
    text = plain_words(_as_one_text(wanted, parsed_json(wanted.value)))
    if text in NOT_GIVEN:
        return AskedSize()
    asked = _read_text(text)
    if asked is None:
        raise _no_size(wanted)
    if asked.ratio and not 1 / WIDEST_RATIO <= asked.ratio[0] / asked.ratio[1] <= WIDEST_RATIO:
        raise BadArgument(
            f'{wanted.name} is "{shortened(wanted.value)}", which is too narrow for a picture.',
            "Give an aspect ratio between 1:8 and 8:1.",
        )
    return asked


# What leaves a picture its own size.
_OWN = "same original keep unchanged input source gleich unverändert misma mismo même stesso mesmo 元 原 같은"
OWN = frozenset(_OWN.split())


NO_SIZE = re.compile(r"0 ?(?:[x×*:] ?0)?")
THE_PICTURE = re.compile(
    r"(?:as|of|like) (?:the |in )?(?:image|picture|photo|input|source)?[ #]{0,2}\d{0,4}$"
)


def says_own_size(value: Any) -> bool:
    """Whether a value leaves a picture the size that it has: "original", "keep", "same as image 1",
    "0x0".
    """
    if not isinstance(value, str):
        return False
    text = plain_words(value)
    words = [word for word in THE_PICTURE.sub("", text).split() if word not in FILLERS]
    return bool(NO_SIZE.fullmatch(text)) or (bool(words) and OWN.issuperset(words))


# How a choice of a node says pixels or proportions, whatever stands around: "1344x768 (1.75)",
# "16:9 - Wide".
PIXELS_OF_CHOICE = re.compile(r"(?<![\d.])(\d{2,5}) ?[x×*] ?(\d{2,5})(?![\d.])")
RATIO_OF_CHOICE = re.compile(
    r"(?<![\d.])(\d{1,3}(?:\.\d{1,3})?) ?[:∶_/] ?(\d{1,3}(?:\.\d{1,3})?)(?![\d.])"
)
ALIKE = 0.05  # by how much, as a logarithm, proportions differ that people take for the same


def size_of_choice(choice: Any) -> AskedSize:
    """The size that a choice of a node stands for; nothing for one that is none, such as
    "custom".
    """
    text = plain_words(choice)
    pixels, ratio = PIXELS_OF_CHOICE.search(text), RATIO_OF_CHOICE.search(text)
    if pixels and int(pixels[1]) and int(pixels[2]):
        return AskedSize(Size(int(pixels[1]), int(pixels[2])))
    if ratio and float(ratio[1]) and float(ratio[2]):
        return AskedSize(ratio=(float(ratio[1]), float(ratio[2])))
    try:
        return read_size(Argument(choice, ""))
    except BadArgument:
        return AskedSize()


def nearest_choice(asked: AskedSize, choices: Iterable[Any]) -> tuple[Any, float] | None:
    """The one of a node's choices whose size is nearest to what is asked for, and how far it is
    from that, 0 for just that; None where none of them is a size. Proportions count before pixels.
    """
    found: list[tuple[tuple[float, float], int, Any]] = []
    for number, choice in enumerate(choices):
        difference = _difference(asked, size_of_choice(choice))
        if difference:
            found.append((difference, number, choice))
    if not found:
        return None
    (shape, area), _, choice = min(found)
    return choice, shape + area


def _difference(asked: AskedSize, other: AskedSize) -> tuple[float, float] | None:
    """How far two sizes are apart in their proportions, in steps of `ALIKE`, and in all; None where
    one says none.
    """
    ratios = [
        size.ratio or (size.pixels and (size.pixels.width, size.pixels.height))
        for size in (asked, other)
    ]
    areas = [size.megapixels or (size.pixels and size.pixels.megapixels) for size in (asked, other)]
    area = abs(math.log(areas[0] / areas[1])) if areas[0] and areas[1] else None
    if not ratios[0] or not ratios[1]:
        return None
    shape = abs(math.log(ratios[0][0] / ratios[0][1] * ratios[1][1] / ratios[1][0]))
    if asked.pixels and not asked.named and asked.pixels != other.pixels:
        shape += ALIKE  # also where pixels are asked for and proportions are to be chosen
    return float(round(shape / ALIKE)), (area or 0.0) + shape


def says_pixels(value: Any) -> bool:
    """Whether a value says how many pixels something is to have, and not only its proportions."""
    try:
        asked = read_size(Argument(value, ""))
    except BadArgument:
        return False
    return asked.pixels is not None or asked.megapixels is not None or asked.side is not None


def _no_size(wanted: Argument) -> BadArgument:
    return BadArgument(
        f'{wanted.name} is "{shortened(wanted.value)}", which is not a size.',
        'Give an aspect ratio such as "16:9", or width and height in pixels such as "1216x832".',
    )


# The keys under which an object says a size, or parts of it.
SIDE_KEYS = (("width", "w"), ("height", "h"))
OTHER_KEYS = ("size", "resolution", "aspect_ratio", "aspectratio", "ratio", "orientation", "format")


def _as_one_text(wanted: Argument, value: Any) -> str:
    """A size in any shape as one text: [1024, 768] and {"width": 1024, "height": 768} as "1024 x
    768". Raises `BadArgument`.
    """
    parts, joint = _parts_of(value)
    if not 1 <= len(parts) <= 3 or not all(map(_is_written, parts)):
        raise _no_size(wanted)
    return joint.join(map(_written, parts))


def _parts_of(value: Any) -> tuple[list[Any], str]:
    """What says a size in a value of any shape, and what belongs between: [1024, 768] and " x "."""
    value = unwrapped(value)
    if isinstance(value, list):
        has_words = any(isinstance(part, str) and not part.strip().isdigit() for part in value)
        return value, " " if has_words else " x "
    if not isinstance(value, Mapping):
        return [value], " "
    keys = {str(key).lower(): part for key, part in value.items() if part}
    sides = [keys[key] for names in SIDE_KEYS for key in names if key in keys]
    if len(sides) == 2:
        return sides, " x "
    if sides:
        return ["width" if any(key in keys for key in SIDE_KEYS[0]) else "height", *sides], " "
    parts = [keys[key] for key in OTHER_KEYS if key in keys]
    parts += [f"{part} mp" for key, part in keys.items() if key == "megapixels"]
    return parts, " "


def _is_written(value: Any) -> bool:
    """Whether a value is a text or a number."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _written(value: Any) -> str:
    """A text, or a number as it is written: of 1024.0 it is "1024"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:MOST_WORD_CHARACTERS]


# The groups of `PART` that hold the second of two numbers, each with that of the first.
PAIRS = {"height": "width", "high": "wide", "down": "across"}


@dataclass
class _Said:
    """The parts of a size that a text says, as far as it was read."""

    pixels: set[Size] = field(default_factory=set)
    ratios: set[Ratio] = field(default_factory=set)
    formats: set[Ratio] = field(default_factory=set)  # of words
    megapixels: set[float] = field(default_factory=set)
    screens: set[Size] = field(default_factory=set)
    sides: set[tuple[str, int]] = field(default_factory=set)


# The groups of `PART` that hold one side alone.
ALONE = {
    **dict.fromkeys(("only_width", "wide_alone"), "width"),
    **dict.fromkeys(("only_height", "high_alone", "high_behind"), "height"),
}
DECIMAL_COMMA_IN_RATIO = re.compile(r"(?<![\d,])(\d{1,2}),(\d{1,2})(?= ?[:∶])")


def _read_text(text: str) -> AskedSize | None:
    """What one text in `plain_words` says, or None where some of it is not understood or two parts
    disagree.
    """
    said = _Said()
    for part in PART.finditer(DECIMAL_COMMA_IN_RATIO.sub(r"\1.\2", text)):
        kind = str(part.lastgroup)
        if kind in PAIRS:
            understood = _take_pair(said, float(part[PAIRS[kind]]), float(part[kind]))
        elif kind == "to":
            said.ratios.add((float(part["much"]), float(part["to"])))
            understood = all(map(all, said.ratios))
        elif kind in ALONE:
            said.sides.add((ALONE[kind], int(float(part[kind]))))
            understood = float(part[kind]) >= SMALLEST_SIDE
        elif kind == "number":
            understood = _take_number(said, float(part["number"]))
        elif kind == "word":
            understood = _take_word(said, part["word"])
        elif kind == "megapixels":
            millions = float(part["megapixels"].replace(",", "."))
            said.megapixels.add(millions)
            understood = 0 < millions <= LARGEST_MEGAPIXELS
        elif kind == "lines":
            lines = int(part["lines"])
            said.screens.add(Size(LINES.get(lines, round(lines * 16 / 18) * 2), lines))
            understood = lines >= SMALLEST_SIDE
        elif kind == "screen":
            said.screens.add(SCREENS[part["screen"]])
            understood = True
        else:
            understood = kind == "nothing"
        if not understood:
            return None
    return _settled(said)


def _take_pair(said: _Said, across: float, down: float) -> bool:
    """Take in two numbers: pixels if one is large enough for it, else proportions. Returns whether
    they are either.
    """
    if (
        max(across, down) >= SMALLEST_SIDE
        and across.is_integer()
        and down.is_integer()
        and across
        and down
    ):
        said.pixels.add(Size(int(across), int(down)))
        return True
    said.ratios.add((across, down))
    return bool(across and down)


def _take_number(said: _Said, number: float) -> bool:
    """Take in a number alone: the side of a square, or proportions such as 1.78."""
    if number.is_integer():
        said.pixels.add(Size(int(number), int(number)))
        return number >= SMALLEST_SIDE
    said.ratios.add((number, 1.0))
    return bool(number)


def _take_word(said: _Said, word: str) -> bool:
    """Take in a word for a format; one that says nothing is passed over."""
    if word in PAPERS:
        said.ratios.add(PAPERS[word])
        return True
    if word in FORMATS:
        said.formats.add(FORMATS[word])
        return True
    return word in FILLERS


def _settled(said: _Said) -> AskedSize | None:
    """What the parts of a text say together; None where two disagree, or nothing is said."""
    if {name for name, _ in said.sides} == {"width", "height"}:
        said.pixels.add(Size(**dict(said.sides)))
        said.sides.clear()
    parts = (said.pixels, said.ratios, said.formats, said.megapixels, said.screens, said.sides)
    if any(len(part) > 1 for part in parts):
        return None
    pixels, screen, side = _only(said.pixels), _only(said.screens), _only(said.sides)
    ratio, form, megapixels = _only(said.ratios), _only(said.formats), _only(said.megapixels)
    if ratio and form:
        ratio = _turned(ratio, form)
        if ratio is None:
            return None
    ratio = ratio or form
    if side:
        is_contradicted = bool(pixels or screen or megapixels)
        return None if is_contradicted else AskedSize(ratio=ratio, side=side)
    if pixels or screen:
        return _with_pixels(pixels, screen, ratio, megapixels)
    return AskedSize(None, ratio, megapixels) if ratio or megapixels else None


def _with_pixels(
    pixels: Size | None, screen: Size | None, ratio: Ratio | None, megapixels: float | None
) -> AskedSize | None:
    """What numbers of pixels, or the name of a screen, say together with the rest; None where they
    disagree.
    """
    if pixels is None and screen:
        asked = AskedSize(_screen_in(screen, ratio)) if ratio else AskedSize(screen, named=True)
        return None if megapixels else asked
    return _agreed(pixels, screen, ratio, megapixels)


def _turned(ratio: Ratio, form: Ratio) -> Ratio | None:
    """A ratio in the format that a word asks for, as "4:3 portrait" is 3:4; None where the two
    disagree.
    """
    if _leans(*ratio) == _leans(*form):
        return ratio
    if form not in (PORTRAIT, LANDSCAPE) or not _leans(*ratio):
        return None
    return ratio[1], ratio[0]


def _agreed(
    pixels: Size | None, screen: Size | None, ratio: Ratio | None, megapixels: float | None
) -> AskedSize | None:
    """The pixels that are said, where whatever else is said agrees with them: "4k (3840x2160)";
    else None.
    """
    if pixels is None:
        return None
    if ratio and _leans(*ratio) != _leans(pixels.width, pixels.height):
        return None
    if screen and {screen.width, screen.height} != {pixels.width, pixels.height}:
        return None
    if megapixels and not 0.8 <= pixels.megapixels / megapixels <= 1.25:
        return None
    return AskedSize(pixels)


Only = TypeVar("Only")


def _only(values: set[Only]) -> Only | None:
    """The one value that there is, or None."""
    return next(iter(values), None)


def _leans(across: float, down: float) -> int:
    """1 for what is wide, -1 for what is high, 0 for a square."""
    return (across > down) - (across < down)


def _screen_in(screen: Size, ratio: Ratio) -> Size:
    """A screen's pixels in other proportions: its shorter side stays, so that "1080p portrait" is
    1080x1920.
    """
    across, down = ratio
    if ratio in (PORTRAIT, TALL):
        return Size(screen.height, screen.width)
    if ratio in (LANDSCAPE, WIDE):
        return screen
    if across >= down:
        return Size(round(screen.height * across / down), screen.height)
    return Size(screen.height, round(screen.height * down / across))
