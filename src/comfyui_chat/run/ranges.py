"""Between which two numbers the result of a formula lies, when all that is known of its variables
is a range.

A workflow may work out its width or its number of pictures in nodes for arithmetic. What comes out
at the server is not known before, so a limit is checked against the highest number that can come
out.

    range_of("min(a * 64, 2048) + 8", {"a": Range(1, 16)}) == Range(72, 1032)
    range_of("a / b", {"a": Range(1, 4), "b": Range(0, 2)}) == ANY_NUMBER

Formulas are those of ComfyUI's own node and of common custom ones, in the notation of Python. They
are read with Python's own parser and never run; whatever is not known here may come to any number.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

MOST_FORMULA_CHARACTERS = 500
HIGHEST_POWER = 64  # a higher exponent may come to any number


class Range(NamedTuple):
    """All numbers from `low` to `high`, both included."""

    low: float
    high: float

    @classmethod
    def around(cls, numbers: Sequence[float]) -> "Range":
        """The smallest range with all these numbers in it; `ANY_NUMBER` if one of them is none."""
        if not numbers or any(math.isnan(number) for number in numbers):
            return ANY_NUMBER
        return cls(min(numbers), max(numbers))

    @property
    def is_bounded(self) -> bool:
        """Whether there is a highest number."""
        return self.high < math.inf


ANY_NUMBER = Range(-math.inf, math.inf)
YES_OR_NO = Range(0, 1)


def range_of(formula: str, variables: Mapping[str, Range]) -> Range:
    """The range of what a formula comes to. `ANY_NUMBER` for what cannot be read."""
    if len(formula) > MOST_FORMULA_CHARACTERS:
        return ANY_NUMBER
    try:
        tree = ast.parse(formula.strip(), mode="eval")
        found = _of_part(tree.body, variables)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return ANY_NUMBER
    return found if found.is_bounded else ANY_NUMBER


def _of_part(part: ast.expr, variables: Mapping[str, Range]) -> Range:
    """The range of a part of a formula."""
    if isinstance(part, ast.Constant):
        return _of_constant(part.value)
    if isinstance(part, ast.Name):
        return variables.get(part.id, ANY_NUMBER)
    if isinstance(part, ast.UnaryOp):
        return _of_sign(part, _of_part(part.operand, variables))
    if isinstance(part, ast.BinOp):
        left = _of_part(part.left, variables)
        right = _of_part(part.right, variables)
        return _of_operation(part.op, left, right)
    if isinstance(part, ast.Compare):
        return YES_OR_NO
    if isinstance(part, (ast.IfExp, ast.BoolOp)):
        parts = part.values if isinstance(part, ast.BoolOp) else [part.body, part.orelse]
        return united([_of_part(one, variables) for one in parts])
    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
        given = [_of_part(one, variables) for one in part.args]
        return _of_call(part.func.id.lower(), given)
    return ANY_NUMBER


def united(ranges: Sequence[Range]) -> Range:
    """The smallest range with all of these in it."""
    if not ranges:
        return ANY_NUMBER
    return Range(min(one.low for one in ranges), max(one.high for one in ranges))


def _of_constant(value: object) -> Range:
    if isinstance(value, (int, float)):
        return Range(float(value), float(value))
    return ANY_NUMBER


def _of_sign(part: ast.UnaryOp, operand: Range) -> Range:
    if isinstance(part.op, ast.USub):
        return Range(-operand.high, -operand.low)
    if isinstance(part.op, ast.UAdd):
        return operand
    if isinstance(part.op, ast.Invert):
        return Range(-operand.high - 1, -operand.low - 1)
    return YES_OR_NO if isinstance(part.op, ast.Not) else ANY_NUMBER


def _of_operation(sign: ast.operator, left: Range, right: Range) -> Range:
    """The range of two numbers put together by +, -, *, /, //, %, ** or bit by bit."""
    if isinstance(sign, ast.Add):
        return Range(left.low + right.low, left.high + right.high)
    if isinstance(sign, ast.Sub):
        return Range(left.low - right.high, left.high - right.low)
    if isinstance(sign, ast.Mult):
        return _of_corners(operator.mul, left, right)
    if isinstance(sign, (ast.Div, ast.FloorDiv)):
        if right.low <= 0 <= right.high:
            return ANY_NUMBER
        quotient = _of_corners(operator.truediv, left, right)
        if isinstance(sign, ast.FloorDiv):
            return Range(quotient.low - 1, quotient.high)
        return quotient
    if isinstance(sign, ast.Mod) and right.low > 0:
        return Range(0, right.high)
    if (
        isinstance(sign, ast.Pow)
        and left.low >= 0
        and right.low >= 0
        and right.high <= HIGHEST_POWER
    ):
        return _of_corners(operator.pow, left, right)
    return _of_bits(sign, left, right)


def _of_bits(sign: ast.operator, left: Range, right: Range) -> Range:
    """The range of two whole numbers put together by &, |, ^, << or >>. "a & ~1" is how people make
    a number even.
    """
    natural = [one for one in (left, right) if one.low >= 0]
    if isinstance(sign, ast.BitAnd) and natural:
        return Range(0, min(one.high for one in natural))
    if len(natural) < 2:
        return ANY_NUMBER
    if isinstance(sign, (ast.BitOr, ast.BitXor)):
        return Range(0, left.high + right.high)
    if isinstance(sign, ast.RShift):
        return Range(0, left.high)
    if isinstance(sign, ast.LShift) and right.high <= HIGHEST_POWER:
        return Range(left.low, left.high * 2**right.high)
    return ANY_NUMBER


def _of_corners(operation: Callable[[float, float], float], left: Range, right: Range) -> Range:
    """The range of an operation that is highest and lowest where both its numbers are."""
    return Range.around([operation(one, other) for one in left for other in right])


def _rounded(number: float, rounded: Callable[[float], int]) -> float:
    """A number without its fraction; infinity stays."""
    return rounded(number) if math.isfinite(number) else number


def _of_call(name: str, given: Sequence[Range]) -> Range:
    """The range of a function of numbers."""
    if not given:
        return ANY_NUMBER
    first = given[0]
    if name == "min":
        return Range(min(one.low for one in given), min(one.high for one in given))
    if name == "max":
        return Range(max(one.low for one in given), max(one.high for one in given))
    if name in ("round", "int", "floor", "ceil", "float"):
        return Range(_rounded(first.low, math.floor), _rounded(first.high, math.ceil))
    if name == "abs":
        return Range(0, max(abs(first.low), abs(first.high)))
    if name == "sqrt" and first.low >= 0:
        return Range(math.sqrt(first.low), math.sqrt(first.high))
    return ANY_NUMBER
