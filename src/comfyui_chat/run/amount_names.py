"""By which names nodes are known that make pictures larger or more, or work out numbers.

A node's class says little: packages call theirs what they like. What its inputs are called says
more, "scale_by" or "final_width", and a word in its class tells where they do not, "BatchImages".
`Amounts` (run/amounts) reads both.
"""

import re

# Names of inputs, without their groups, by what they do to the pictures that a node is given.
SCALES = (
    "scale_by",
    "upscale_by",
    "rescale_factor",
    "scale_factor",
    "supersample",
    "resize_by",
)
RESIZE_FACTORS = ("multiplier", "factor")  # by which a node scales whose class says that it does
# the size of what a node makes, beside the usual names of a width and a height
OWN_SIDES = (
    ("final_width", "final_height"),
    ("output_width", "output_height"),
    ("canvas_width", "canvas_height"),
    ("new_width", "new_height"),
)
SQUARE_SIDES = ("texture_size", "resolution")  # of a picture made of something else
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
INTERPOLATES = re.compile(r"interpol|\bVFI\b|RIFE", re.IGNORECASE)
CALCULATES = re.compile(r"math|calc|multipl|power|square|expon|factorial|operat", re.IGNORECASE)
OPERATORS = ("operation", "operator", "op", "method", "mode")
POWER = re.compile(r"pow|\*\*|\^|exp|square|fact|shift|<<", re.IGNORECASE)
MULTIPLIED = re.compile(r"mul|[*x×]", re.IGNORECASE)
TIMES_IN_NAME = re.compile(r"(?<![0-9a-z])(?:(\d{1,2})x|x(\d{1,2}))(?![0-9])", re.IGNORECASE)
# how many times as wide a model makes a picture whose file does not say it
USUAL_TIMES = {"UPSCALE_MODEL": 4.0, "LATENT_UPSCALE_MODEL": 2.0}
# in how many parts a node may cut what it is given, by the names of inputs
PARTS_MADE = ("num_segments", "segments", "num_chunks", "repeats", "count")
