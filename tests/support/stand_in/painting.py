"""Pictures that a person likes to look at, made of a prompt's words and a seed."""

from __future__ import annotations

import io
import math
import random
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageStat

Colour = tuple[int, int, int]
SMALL, LARGE = 448, 768  # the longer side of what is painted, and then made larger or smaller
PREVIEW_SIDE = 512


@dataclass(frozen=True)
class Light:
    """The colours of an hour of the day."""

    top: Colour
    horizon: Colour
    sun: Colour
    ground: Colour
    far: Colour
    stars: int = 0


LIGHTS = {
    "dawn": Light((72, 96, 168), (255, 196, 160), (255, 240, 214), (92, 104, 96), (120, 110, 150)),
    "day": Light((66, 142, 222), (200, 230, 248), (255, 250, 220), (96, 150, 84), (112, 140, 168)),
    "sunset": Light((60, 44, 110), (255, 142, 78), (255, 222, 140), (66, 52, 62), (108, 60, 96)),
    "dusk": Light((36, 34, 84), (226, 120, 128), (255, 206, 170), (46, 44, 66), (72, 58, 108), 30),
    "night": Light((8, 12, 38), (44, 58, 110), (236, 238, 250), (22, 28, 44), (24, 32, 66), 160),
    "storm": Light((48, 56, 70), (140, 150, 158), (214, 218, 222), (58, 66, 66), (72, 82, 92)),
}
LIGHT_WORDS = {
    "dawn": ("dawn", "sunrise", "morning"),
    "sunset": ("sunset", "golden hour", "evening"),
    "dusk": ("dusk", "twilight"),
    "night": ("night", "midnight", "moon", "stars", "neon"),
    "storm": ("storm", "rain", "fog", "mist", "grey", "gray"),
    "day": ("day", "noon", "summer", "sunny"),
}
COLOURS = {
    "red": (206, 56, 48),
    "orange": (236, 132, 44),
    "yellow": (240, 204, 70),
    "green": (74, 150, 84),
    "blue": (58, 104, 196),
    "purple": (130, 80, 176),
    "pink": (236, 130, 170),
    "white": (244, 242, 236),
    "black": (36, 36, 42),
    "brown": (126, 84, 54),
    "golden": (232, 182, 64),
}


@dataclass
class Canvas:
    image: Image.Image
    draw: ImageDraw.ImageDraw
    random: random.Random
    light: Light
    horizon: int
    colour: Colour | None

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    def shade(self, colour: Colour, amount: float = 0.35) -> Colour:
        """A colour as it looks in this light."""
        return mixed(colour, self.light.ground, amount * (0.6 if self.light is LIGHTS["day"] else 1.0))


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def says(text: str, words: Iterable[str]) -> bool:
    """Whether a word of the text begins with one of these: a lighthouse is no house."""
    return any(f" {word}" in f" {text}" for word in words)


# --- backgrounds ------------------------------------------------------------------------------------------------------


def sky(canvas: Canvas) -> None:
    width, height = canvas.size
    column = Image.new("RGB", (1, height))
    for y in range(height):
        column.putpixel((0, y), mixed(canvas.light.top, canvas.light.horizon, min(1.0, y / max(1, canvas.horizon))))
    canvas.image.paste(column.resize((width, height)))
    for _ in range(canvas.light.stars):
        x, y = canvas.random.randrange(width), canvas.random.randrange(max(1, int(canvas.horizon * 0.85)))
        size = canvas.random.choice((0, 0, 0, 1))
        canvas.draw.ellipse((x, y, x + size, y + size), fill=mixed(canvas.light.top, (255, 255, 255), 0.8))


def sun(canvas: Canvas) -> None:
    width, height = canvas.size
    x = int(width * canvas.random.uniform(0.18, 0.82))
    low = canvas.light in (LIGHTS["sunset"], LIGHTS["dawn"], LIGHTS["dusk"])
    y = int(canvas.horizon * (canvas.random.uniform(0.68, 0.92) if low else canvas.random.uniform(0.2, 0.5)))
    radius = int(min(width, height) * canvas.random.uniform(0.05, 0.085))
    glow = Image.new("L", canvas.size)
    pen = ImageDraw.Draw(glow)
    for ring in range(7, 0, -1):
        reach = radius * (1 + ring * 0.9)
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=round(120 / ring))
    canvas.image.paste(canvas.light.sun, mask=glow.filter(ImageFilter.BoxBlur(radius)))
    canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=canvas.light.sun)


def clouds(canvas: Canvas) -> None:
    width, height = canvas.size
    layer = Image.new("L", canvas.size)
    pen = ImageDraw.Draw(layer)
    for _ in range(canvas.random.randint(2, 5)):
        x, y = canvas.random.uniform(0, width), canvas.random.uniform(0.08, 0.7) * canvas.horizon
        for _ in range(canvas.random.randint(3, 6)):
            a, b = canvas.random.uniform(0.05, 0.13) * width, canvas.random.uniform(0.012, 0.03) * height
            pen.ellipse((x - a, y - b, x + a, y + b), fill=canvas.random.randint(70, 150))
            x += canvas.random.uniform(-0.09, 0.09) * width
            y += canvas.random.uniform(-0.012, 0.012) * height
    fluffy = mixed(canvas.light.horizon, (255, 255, 255), 0.45)
    canvas.image.paste(fluffy, mask=layer.filter(ImageFilter.BoxBlur(max(1, width // 120))))


def ridge(canvas: Canvas, base: int, height: float, roughness: float, colour: Colour) -> None:
    """One chain of hills from edge to edge."""
    width, full = canvas.size
    phases = [canvas.random.uniform(0, math.tau) for _ in range(4)]
    points = [(0, full)]
    for x in range(0, width + 8, 8):
        u = x / width * math.tau
        wave = sum(math.sin(u * (n + 0.7) * roughness + phase) / (n + 1) for n, phase in enumerate(phases))
        points.append((x, round(base - height * (0.55 + 0.3 * wave))))
    canvas.draw.polygon([*points, (width, full)], fill=colour)


def peaks(canvas: Canvas, base: int, colour: Colour, tall: float) -> None:
    width, _ = canvas.size
    for _ in range(canvas.random.randint(3, 5)):
        x, half = canvas.random.uniform(0, width), canvas.random.uniform(0.14, 0.28) * width
        top = base - canvas.random.uniform(0.5, 1.0) * tall
        canvas.draw.polygon([(x - half, base), (x, top), (x + half, base)], fill=colour)
        canvas.draw.polygon([(x, top), (x + half, base), (x + half * 0.22, base)], fill=mixed(colour, (0, 0, 0), 0.16))
        snow = 0.26
        left, right = x - half * snow, x + half * snow
        low = top + (base - top) * snow
        zigzag = [(left, low), (x - half * 0.08, low - (low - top) * 0.25), (x + half * 0.03, low), (right, low)]
        canvas.draw.polygon([(x, top), *reversed(zigzag)], fill=mixed((250, 250, 255), canvas.light.horizon, 0.3))


def land(canvas: Canvas) -> None:
    width, height = canvas.size
    near = mixed(canvas.light.ground, (0, 0, 0), 0.2)
    canvas.draw.rectangle((0, canvas.horizon, width, height), fill=canvas.light.ground)
    ridge(canvas, canvas.horizon + int(height * 0.1), height * 0.07, 0.8, mixed(canvas.light.ground, near, 0.4))
    ridge(canvas, canvas.horizon + int(height * 0.24), height * 0.09, 0.6, near)


def sea(canvas: Canvas) -> None:
    width, height = canvas.size
    deep = mixed(canvas.light.top, (14, 60, 96), 0.45)
    for y in range(canvas.horizon, height):
        share = (y - canvas.horizon) / max(1, height - canvas.horizon)
        canvas.draw.line((0, y, width, y), fill=mixed(mixed(canvas.light.horizon, deep, 0.45), deep, share))
    for _ in range(90):
        share = canvas.random.random() ** 1.5
        y = canvas.horizon + share * (height - canvas.horizon)
        x, half = canvas.random.uniform(0, width), width * (0.006 + 0.05 * share) * canvas.random.random()
        canvas.draw.line((x - half, y, x + half, y), fill=mixed(canvas.light.sun, deep, 0.45), width=1 + int(2 * share))


def mountains(canvas: Canvas) -> None:
    _, height = canvas.size
    peaks(canvas, canvas.horizon, mixed(canvas.light.far, canvas.light.horizon, 0.35), height * 0.32)
    peaks(canvas, canvas.horizon, canvas.light.far, height * 0.24)
    land(canvas)


def city(canvas: Canvas) -> None:
    width, height = canvas.size
    for depth in (0.55, 0.2):
        colour = mixed(mixed(canvas.light.far, (20, 22, 40), 0.45), canvas.light.horizon, depth)
        x = -canvas.random.uniform(0, 0.05) * width
        while x < width:
            wide = canvas.random.uniform(0.04, 0.1) * width
            top = canvas.horizon - canvas.random.uniform(0.08, 0.36) * height * (1.1 - depth * 0.5)
            canvas.draw.rectangle((x, top, x + wide, height), fill=colour)
            step = max(4, int(width * 0.012))
            for wx in range(int(x + step), int(x + wide - step / 2), step):
                for wy in range(int(top + step), int(canvas.horizon), step):
                    if canvas.random.random() < 0.4:
                        lit = mixed((255, 222, 140), canvas.light.horizon, depth)
                        canvas.draw.rectangle((wx, wy, wx + step // 3, wy + step // 2), fill=lit)
            x += wide * canvas.random.uniform(0.9, 1.15)
    canvas.draw.rectangle((0, canvas.horizon, width, height), fill=mixed(canvas.light.ground, (18, 20, 30), 0.5))
    canvas.draw.polygon(
        [(width * 0.47, canvas.horizon), (width * 0.53, canvas.horizon), (width * 0.8, height), (width * 0.2, height)],
        fill=mixed(canvas.light.ground, (60, 62, 74), 0.6),
    )


def forest(canvas: Canvas) -> None:
    width, height = canvas.size
    ridge(canvas, canvas.horizon, height * 0.12, 1.2, mixed(canvas.light.far, canvas.light.horizon, 0.3))
    land(canvas)
    for row in (0.5, 0.75, 1.0):
        for _ in range(14):
            x = canvas.random.uniform(-0.05, 1.05) * width
            tree(canvas, x, canvas.horizon + height * 0.13 * row, height * 0.2 * row, 0.6 - row * 0.45)


def tree(canvas: Canvas, x: float, foot: float, tall: float, haze: float = 0.0) -> None:
    green = mixed(canvas.shade((44, 96, 66)), canvas.light.horizon, haze)
    canvas.draw.rectangle((x - tall * 0.03, foot - tall * 0.2, x + tall * 0.03, foot), fill=canvas.shade((84, 60, 44)))
    for level in range(3):
        top, half = foot - tall * (1 - level * 0.22), tall * (0.14 + level * 0.07)
        canvas.draw.polygon([(x, top), (x - half, top + tall * 0.4), (x + half, top + tall * 0.4)], fill=green)


BACKGROUNDS: list[tuple[tuple[str, ...], Callable[[Canvas], None]]] = [
    (("lighthouse", "sea", "ocean", "beach", "harbour", "harbor", "boat", "ship", "wave", "lake", "island"), sea),
    (("city", "street", "tokyo", "skyline", "neon", "town", "robot", "car"), city),
    (("mountain", "peak", "alps", "hill", "valley", "castle", "snow"), mountains),
    (("forest", "tree", "wood", "fox", "deer", "cabin"), forest),
    (("field", "meadow", "cat", "dog", "flower", "balloon", "house", "desert"), land),
]

# --- what stands in front ---------------------------------------------------------------------------------------------


def lighthouse(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    pen, half = canvas.draw, tall * 0.11
    rock = canvas.shade((70, 66, 72))
    pen.ellipse((x - tall * 0.5, foot - tall * 0.09, x + tall * 0.55, foot + tall * 0.2), fill=rock)
    top, bands = foot - tall * 0.78, 5
    stripe = canvas.colour or COLOURS["red"]
    for band in range(bands):
        a, b = band / bands, (band + 1) / bands
        ya, yb = foot + (top - foot) * a, foot + (top - foot) * b
        wa, wb = half * (1 - a * 0.38), half * (1 - b * 0.38)
        paint = canvas.shade(stripe if band % 2 == 0 else (246, 242, 234), 0.2)
        pen.polygon([(x - wa, ya), (x + wa, ya), (x + wb, yb), (x - wb, yb)], fill=paint)
    neck = half * 0.62
    beam = Image.new("L", canvas.size)
    light = ImageDraw.Draw(beam)
    lamp = top - tall * 0.05
    for side in (-1, 1):
        reach = canvas.size[0] * side
        light.polygon([(x, lamp), (x + reach, lamp - tall * 0.16), (x + reach, lamp + tall * 0.1)], fill=80)
    if canvas.light is not LIGHTS["day"]:
        canvas.image.paste((255, 244, 200), mask=beam.filter(ImageFilter.BoxBlur(max(2, int(tall * 0.02)))))
    pen.rectangle((x - neck * 1.3, top - tall * 0.012, x + neck * 1.3, top + tall * 0.012), fill=(50, 50, 58))
    pen.rectangle((x - neck * 0.7, top - tall * 0.09, x + neck * 0.7, top - tall * 0.01), fill=(255, 240, 190))
    pen.polygon([(x - neck, top - tall * 0.09), (x + neck, top - tall * 0.09), (x, top - tall * 0.18)], fill=stripe)
    pen.rectangle((x - half * 0.2, foot - tall * 0.14, x + half * 0.2, foot - tall * 0.03), fill=(60, 44, 40))


def animal(canvas: Canvas, x: float, foot: float, tall: float, fur: Colour, tip: Colour, bushy: bool) -> None:
    """A sitting fox or cat, seen from the front."""
    pen, fur = canvas.draw, canvas.shade(fur, 0.12)
    dark = mixed(fur, (0, 0, 0), 0.25)
    tail = [(x + tall * 0.2, foot - tall * 0.05), (x + tall * 0.62, foot - tall * 0.12)]
    for share in range(11):
        u = share / 10
        cx = tail[0][0] + (tail[1][0] - tail[0][0]) * u
        cy = tail[0][1] + (tail[1][1] - tail[0][1]) * u - math.sin(u * math.pi) * tall * 0.06 - u * u * tall * 0.2
        r = tall * ((0.05 + 0.08 * math.sin(u * math.pi)) if bushy else 0.035)
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=tip if u > 0.75 else fur)
    pen.ellipse((x - tall * 0.26, foot - tall * 0.58, x + tall * 0.26, foot), fill=fur)
    pen.ellipse((x - tall * 0.13, foot - tall * 0.5, x + tall * 0.13, foot - tall * 0.06), fill=tip)
    hy = foot - tall * 0.7
    for side in (-1, 1):
        ear = [(x + side * tall * 0.05, hy - tall * 0.14), (x + side * tall * 0.2, hy - tall * 0.34)]
        pen.polygon([*ear, (x + side * tall * 0.25, hy - tall * 0.05)], fill=dark)
        pen.ellipse(
            (x + side * tall * 0.12 - tall * 0.08, foot - tall * 0.07, x + side * tall * 0.12 + tall * 0.08, foot),
            fill=dark if bushy else tip,
        )
    pen.ellipse((x - tall * 0.25, hy - tall * 0.2, x + tall * 0.25, hy + tall * 0.17), fill=fur)
    snout = tall * (0.24 if bushy else 0.14)
    pen.polygon([(x - tall * 0.17, hy + tall * 0.03), (x + tall * 0.17, hy + tall * 0.03), (x, hy + snout)], fill=tip)
    pen.ellipse(
        (x - tall * 0.03, hy + snout - tall * 0.07, x + tall * 0.03, hy + snout - tall * 0.02), fill=(30, 26, 30)
    )
    for side in (-1, 1):
        ex = x + side * tall * 0.1
        pen.ellipse((ex - tall * 0.03, hy - tall * 0.06, ex + tall * 0.03, hy + tall * 0.02), fill=(34, 30, 34))
        pen.ellipse((ex - tall * 0.015, hy - tall * 0.05, ex, hy - tall * 0.03), fill=(255, 255, 255))


def fox(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    animal(canvas, x, foot, tall, canvas.colour or (226, 112, 40), (250, 240, 228), bushy=True)


def cat(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    fur = canvas.colour or canvas.random.choice([(120, 116, 120), (214, 146, 84), (60, 58, 66), (226, 216, 200)])
    animal(canvas, x, foot, tall, fur, mixed(fur, (255, 255, 255), 0.55), bushy=False)


def boat(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    pen, hull = canvas.draw, canvas.shade(canvas.colour or (128, 66, 46), 0.15)
    pen.line((x, foot - tall * 0.2, x, foot - tall), fill=(70, 54, 44), width=max(2, int(tall * 0.025)))
    sail = canvas.shade((250, 246, 234), 0.1)
    pen.polygon(
        [(x + tall * 0.03, foot - tall), (x + tall * 0.42, foot - tall * 0.28), (x + tall * 0.03, foot - tall * 0.28)],
        fill=sail,
    )
    pen.polygon(
        [
            (x - tall * 0.03, foot - tall * 0.9),
            (x - tall * 0.3, foot - tall * 0.28),
            (x - tall * 0.03, foot - tall * 0.28),
        ],
        fill=mixed(sail, hull, 0.25),
    )
    pen.polygon(
        [
            (x - tall * 0.45, foot - tall * 0.2),
            (x + tall * 0.5, foot - tall * 0.2),
            (x + tall * 0.34, foot),
            (x - tall * 0.32, foot),
        ],
        fill=hull,
    )


def house(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    pen, wall = canvas.draw, canvas.shade(canvas.colour or (232, 220, 196), 0.2)
    pen.rectangle((x - tall * 0.4, foot - tall * 0.5, x + tall * 0.4, foot), fill=wall)
    pen.rectangle(
        (x + tall * 0.18, foot - tall * 0.95, x + tall * 0.28, foot - tall * 0.6), fill=canvas.shade((120, 74, 62))
    )
    pen.polygon(
        [(x - tall * 0.5, foot - tall * 0.48), (x, foot - tall), (x + tall * 0.5, foot - tall * 0.48)],
        fill=canvas.shade((142, 62, 52), 0.2),
    )
    for wx in (-0.24, 0.24):
        pen.rectangle(
            (x + tall * (wx - 0.08), foot - tall * 0.38, x + tall * (wx + 0.08), foot - tall * 0.2),
            fill=(255, 226, 150),
        )
    pen.rectangle((x - tall * 0.07, foot - tall * 0.28, x + tall * 0.07, foot), fill=canvas.shade((92, 60, 44)))


def castle(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    pen, stone = canvas.draw, canvas.shade(canvas.colour or (176, 168, 160), 0.3)
    for dx, high in ((-0.5, 0.75), (0.5, 0.7), (-0.22, 0.5), (0.22, 0.5), (0.0, 1.0)):
        half = tall * (0.13 if abs(dx) != 0.22 else 0.2)
        cx, top = x + tall * dx, foot - tall * high
        shade = mixed(stone, (0, 0, 0), 0.12 if abs(dx) == 0.22 else 0.0)
        pen.rectangle((cx - half, top, cx + half, foot), fill=shade)
        if abs(dx) != 0.22:
            pen.polygon(
                [(cx - half * 1.25, top), (cx, top - tall * 0.28), (cx + half * 1.25, top)],
                fill=canvas.shade((92, 70, 130), 0.2),
            )
            pen.rectangle((cx - half * 0.2, top + tall * 0.1, cx + half * 0.2, top + tall * 0.22), fill=(255, 224, 150))
    pen.pieslice((x - tall * 0.1, foot - tall * 0.26, x + tall * 0.1, foot + tall * 0.26), 180, 360, fill=(52, 44, 44))


def balloon(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    pen, y, r = canvas.draw, canvas.horizon - tall * 0.45, tall * 0.34
    colour = canvas.colour or canvas.random.choice(list(COLOURS.values())[:7])
    for stripe, share in enumerate((1.0, 0.66, 0.3)):
        paint = colour if stripe % 2 == 0 else mixed(colour, (255, 255, 255), 0.6)
        pen.ellipse((x - r * share, y - r, x + r * share, y + r), fill=paint)
    pen.polygon(
        [
            (x - r * 0.72, y + r * 0.7),
            (x + r * 0.72, y + r * 0.7),
            (x + r * 0.18, y + r * 1.35),
            (x - r * 0.18, y + r * 1.35),
        ],
        fill=colour,
    )
    pen.rectangle((x - r * 0.16, y + r * 1.5, x + r * 0.16, y + r * 1.75), fill=canvas.shade((130, 88, 54)))
    for side in (-0.15, 0.15):
        pen.line((x + r * side, y + r * 1.3, x + r * side, y + r * 1.52), fill=(70, 54, 44), width=2)


def robot(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    pen, steel = canvas.draw, canvas.shade(canvas.colour or (150, 164, 180), 0.15)
    dark = mixed(steel, (0, 0, 0), 0.35)
    for side in (-1, 1):
        pen.rounded_rectangle(
            span(x + side * tall * 0.13, tall * 0.07, foot - tall * 0.3, foot), tall * 0.03, fill=dark
        )
        pen.rounded_rectangle(
            span(x + side * tall * 0.31, tall * 0.05, foot - tall * 0.66, foot - tall * 0.3), tall * 0.03, fill=dark
        )
    pen.rounded_rectangle(span(x, tall * 0.25, foot - tall * 0.7, foot - tall * 0.26), tall * 0.06, fill=steel)
    pen.rounded_rectangle(span(x, tall * 0.2, foot - tall * 0.98, foot - tall * 0.74), tall * 0.06, fill=steel)
    pen.line((x, foot - tall * 0.98, x, foot - tall * 1.1), fill=dark, width=max(2, int(tall * 0.02)))
    for side in (-1, 1):
        pen.ellipse(
            span(x + side * tall * 0.08, tall * 0.045, foot - tall * 0.91, foot - tall * 0.82), fill=(130, 240, 255)
        )
    pen.ellipse(span(x, tall * 0.06, foot - tall * 0.54, foot - tall * 0.42), fill=(255, 120, 90))


def flower(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    petals = canvas.colour or canvas.random.choice(
        [COLOURS["pink"], COLOURS["yellow"], COLOURS["purple"], COLOURS["red"]]
    )
    for index in range(-2, 3):
        cx, cy = x + index * tall * 0.24, foot - tall * (0.8 - abs(index) * 0.13)
        canvas.draw.line(
            (cx, cy, cx - index * tall * 0.06, foot), fill=canvas.shade((70, 140, 76)), width=max(2, int(tall * 0.02))
        )
        for petal in range(8):
            angle = petal * math.tau / 8
            px, py, r = cx + math.cos(angle) * tall * 0.09, cy + math.sin(angle) * tall * 0.09, tall * 0.055
            canvas.draw.ellipse((px - r, py - r, px + r, py + r), fill=canvas.shade(petals, 0.1))
        canvas.draw.ellipse(span(cx, tall * 0.05, cy - tall * 0.05, cy + tall * 0.05), fill=(250, 206, 80))


def big_tree(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    canvas.draw.polygon(
        [
            (x - tall * 0.08, foot),
            (x + tall * 0.08, foot),
            (x + tall * 0.03, foot - tall * 0.5),
            (x - tall * 0.03, foot - tall * 0.5),
        ],
        fill=canvas.shade((96, 66, 46)),
    )
    green = canvas.colour or (66, 128, 70)
    for _ in range(16):
        a, d = canvas.random.uniform(0, math.tau), canvas.random.uniform(0, tall * 0.26)
        cx, cy, r = (
            x + math.cos(a) * d * 1.2,
            foot - tall * 0.7 + math.sin(a) * d * 0.8,
            tall * canvas.random.uniform(0.1, 0.16),
        )
        canvas.draw.ellipse(
            (cx - r, cy - r, cx + r, cy + r),
            fill=canvas.shade(mixed(green, (20, 60, 40), canvas.random.random() * 0.5), 0.15),
        )


def span(x: float, half: float, top: float, bottom: float) -> tuple[float, float, float, float]:
    return (x - half, top, x + half, bottom)


FIGURES: list[tuple[tuple[str, ...], Callable[[Canvas, float, float, float], None], float]] = [
    (("castle",), castle, 0.4),
    (("house", "cabin", "cottage"), house, 0.28),
    (("lighthouse",), lighthouse, 0.62),
    (("boat", "ship", "sail"), boat, 0.26),
    (("balloon",), balloon, 0.4),
    (("tree", "oak"), big_tree, 0.45),
    (("robot",), robot, 0.45),
    (("flower", "rose", "tulip"), flower, 0.3),
    (("fox",), fox, 0.42),
    (("cat", "kitten"), cat, 0.4),
]


def scene(
    text: str, seed: int, width: int, height: int, index: int = 0, size: tuple[int, int] | None = None
) -> Image.Image:
    """The picture of a prompt: the same for the same arguments, and the same scene in any `size`."""
    longest = max(width, height)
    scale = (SMALL if longest <= SMALL else LARGE) / longest
    painted = _scene(text.lower(), seed, index, max(8, round(width * scale)), max(8, round(height * scale)))
    size = size or (width, height)
    return painted.copy() if painted.size == size else painted.resize(size, Image.Resampling.BICUBIC)


@lru_cache(maxsize=32)
def _scene(text: str, seed: int, index: int, width: int, height: int) -> Image.Image:
    dice = random.Random(f"{seed}/{index}/{text}")
    hour = next((name for name, words in LIGHT_WORDS.items() if says(text, words)), None)
    light = LIGHTS[hour or dice.choice(["dawn", "day", "day", "sunset", "dusk"])]
    image = Image.new("RGB", (width, height))
    colour = next((value for name, value in COLOURS.items() if name in text.split()), None)
    canvas = Canvas(image, ImageDraw.Draw(image), dice, light, int(height * dice.uniform(0.52, 0.66)), colour)
    sky(canvas)
    if not says(text, ("storm", "rain")):
        sun(canvas)
    clouds(canvas)
    grounds = [paint for words, paint in BACKGROUNDS if says(text, words)] or [
        dice.choice([sea, mountains, land, forest])
    ]
    if sea in grounds and mountains in grounds:
        peaks(canvas, canvas.horizon, canvas.light.far, height * 0.24)
    grounds[0](canvas)
    figures = [(draw, size) for words, draw, size in FIGURES if says(text, words)]
    for place, (draw, size) in enumerate(figures):
        x = width * (
            (place + 0.5) / len(figures)
            + dice.uniform(-0.12, 0.12) / len(figures)
            + dice.uniform(-0.14, 0.14) * (len(figures) == 1)
        )
        draw(canvas, x, height * dice.uniform(0.82, 0.88), min(height * size, width * 0.8) * dice.uniform(0.9, 1.05))
    if not figures:
        birds(canvas)
    return ImageEnhance.Color(image).enhance(dice.uniform(0.92, 1.15))


def birds(canvas: Canvas) -> None:
    width, height = canvas.size
    for _ in range(canvas.random.randint(3, 7)):
        x, y = canvas.random.uniform(0.1, 0.9) * width, canvas.random.uniform(0.12, 0.45) * height
        r = width * canvas.random.uniform(0.008, 0.018)
        for side in (-1, 0):
            canvas.draw.arc(
                (x + side * 2 * r, y - r, x + (side + 1) * 2 * r, y + r),
                200,
                340,
                fill=(40, 40, 52),
                width=max(1, int(r / 4)),
            )


def captioned(image: Image.Image, text: str, seed: int) -> Image.Image:
    """The picture with what it was made of, small at its lower edge."""
    width, height = image.size
    if min(width, height) < 96:
        return image
    size = max(9, min(width, height) // 44)
    font = _font(size)
    letters = max(8, int(width / (size * 0.52)))
    lines = textwrap.wrap(" ".join(text.split()), letters, max_lines=2, placeholder=" …") or []
    lines.append(f"seed {seed} · {width} x {height}")
    line = int(size * 1.3)
    strip = line * len(lines) + size
    box = (0, height - strip, width, height)
    image.paste(ImageEnhance.Brightness(image.crop(box)).enhance(0.42), box)
    pen = ImageDraw.Draw(image)
    for number, words in enumerate(lines):
        tint = (244, 244, 240) if number < len(lines) - 1 else (190, 194, 200)
        pen.text((size, height - strip + size // 2 + number * line), words, font=font, fill=tint)
    return image


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def painted_over(source: Image.Image, drawn: Image.Image, denoise: float, mask: Image.Image | None) -> Image.Image:
    """What sampling over an existing picture leaves of it: less with more denoise, all of it outside the mask."""
    source = source.convert("RGB").resize(drawn.size)
    result = Image.blend(source, drawn, max(0.0, min(1.0, denoise)))
    return result if mask is None else Image.composite(result, source, mask.convert("L").resize(drawn.size))


def with_stripes(drawn: Image.Image, references: tuple[Image.Image, ...]) -> Image.Image:
    """The picture with one stripe for each reference over its upper quarter, in the average colour of that one."""
    width, height = drawn.size
    for number, reference in enumerate(references):
        left, right = (width * side // len(references) for side in (number, number + 1))
        drawn.paste(average(reference), (left, 0, right, height // 4))
    return drawn


def stripes(picture: Image.Image, count: int) -> list[Colour]:
    """The colours of the stripes, from left to right."""
    width, height = picture.size
    return [
        average(picture.crop((width * n // count + 2, 2, width * (n + 1) // count - 2, height // 4 - 2)))
        for n in range(count)
    ]


def average(picture: Image.Image) -> Colour:
    red, green, blue = ImageStat.Stat(picture.convert("RGB")).mean
    return (round(red), round(green), round(blue))


def preview(picture: Image.Image, share: float, seed: int) -> bytes:
    """The JPEG that a sampler shows when `share` of its steps are done: noise at first, nearly clear at the end."""
    width, height = picture.size
    scale = PREVIEW_SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    detail = max(6, round(PREVIEW_SIDE * (0.03 + 0.27 * share**1.5)))
    coarse = picture.resize((max(1, size[0] * detail // PREVIEW_SIDE), max(1, size[1] * detail // PREVIEW_SIDE)))
    noise = _noise(seed % 8).resize(size, Image.Resampling.NEAREST)
    image = Image.blend(coarse.resize(size, Image.Resampling.BILINEAR), noise, max(0.0, 0.88 * (1 - share) ** 1.25))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


@lru_cache(maxsize=8)
def _noise(seed: int) -> Image.Image:
    bands = [Image.frombytes("L", (64, 64), random.Random(f"{seed}/{band}").randbytes(4096)) for band in range(3)]
    return ImageChops.offset(Image.merge("RGB", bands), seed)
