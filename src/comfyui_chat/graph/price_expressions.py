"""Works out the expressions by which ComfyUI's partner nodes tell their prices.

A definition in `/object_info` may have a price badge, whose expression is in the language JSONata:

    ( $rate := widgets.resolution = "1080p" ? 0.15 : 0.1;
      {"type": "usd", "usd": $rate * widgets.duration} )

`work_out` knows the part of the language that such badges need: numbers, texts, lists and objects,
variables, fields, arithmetics, comparisons, choices, and a few functions. There are no loops and no
patterns, and functions that an expression makes are called few times and never by one another. So
every place is worked out only so often, and the work is in proportion to the length of the
expression: any server, or any package of nodes on it, may send one. Whatever is not known, too long
or nested too deep raises `NotWorkedOut`.

Of the 229 badges of ComfyUI 0.33.0 all but one are in this part. Nothing here is Python's own
evaluation: a text is taken apart into tokens, the tokens are read by precedence (`_Parser`) into
functions of the variables, and those are called. Values are None, truth values, numbers, texts,
lists and dictionaries with texts as keys; `MISSING` is JSONata's "undefined", which is what a field
has that is not there.
"""

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

MOST_EXPRESSION_CHARACTERS = 20_000  # the longest badge of ComfyUI 0.33.0 has 4,205
MOST_NESTED = 60  # how deep parts of an expression may be in one another
MOST_TEXT_CHARACTERS = 1000  # of a text that an expression puts together
MOST_CALLS = 20  # of functions that an expression makes itself


class NotWorkedOut(Exception):
    """An expression is beyond what is known of the language, or makes no sense."""


class _Missing:
    """JSONata's "undefined"."""

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


class _Variables:
    """The variables of a block in parentheses, and those of the blocks around it."""

    def __init__(
        self, fields: Mapping[str, Any], around: "_Variables | None" = None, in_call: bool = False
    ) -> None:
        self.fields = fields  # of what the expression is about: "widgets", "inputs"
        # of functions that the expression made, so far
        self.calls: list[str] = around.calls if around else []
        # whether this is the inside of such a function
        self.in_call: bool = in_call or bool(around and around.in_call)
        self._around = around
        self._values: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> Any:
        """Give a variable of this block a value, and return it."""
        self._values[name] = value
        return value

    def get(self, name: str) -> Any:
        """The value of a variable, of the innermost block that has one of this name."""
        block: _Variables | None = self
        while block is not None:
            if name in block._values:
                return block._values[name]
            block = block._around
        return MISSING

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Call a function that the expression made. Raises `NotWorkedOut` for none, and for too
        many calls.
        """
        function = self.get(name)
        self.calls.append(name)
        if not isinstance(function, _Function) or self.in_call or len(self.calls) > MOST_CALLS:
            raise NotWorkedOut
        inner = _Variables(self.fields, function.variables, in_call=True)
        for parameter, value in zip(function.parameters, arguments, strict=False):
            inner.set(parameter, value)
        return function.body(inner)


Part = Callable[[_Variables], Any]  # a part of an expression: gives its value


@dataclass(frozen=True)
class _Function:
    """`function($x) { body }`, and the variables of the place where it stands."""

    parameters: Sequence[str]
    body: "Part"
    variables: _Variables


def work_out(expression: str, fields: Mapping[str, Any]) -> Any:
    """The value of an expression, where its plain names are these fields. Raises `NotWorkedOut`."""
    if len(expression) > MOST_EXPRESSION_CHARACTERS:
        raise NotWorkedOut
    try:
        whole = _Parser(_tokens(expression)).whole()
        return whole(_Variables(fields))
    except RecursionError:  # a long chain of signs is nested, too
        raise NotWorkedOut from None


# Taking a text apart.

TOKEN = re.compile(
    r'\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)|"(?P<text>[^"\\]*)"|\'(?P<other>[^\'\\]*)\''
    r"|\$(?P<variable>\w+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>:=|!=|<=|>=|[-+*/%&=<>?:;,.()\[\]{}]))"
)
Token = tuple[str, str]  # its kind, as the pattern calls it, and what it says
END: Token = ("end", "")


def _tokens(expression: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    end = len(expression.rstrip())
    while position < end:
        found = TOKEN.match(expression, position)
        if not found or not found.lastgroup:
            raise NotWorkedOut
        kind = found.lastgroup
        tokens.append(("text" if kind == "other" else kind, found[kind]))
        position = found.end()
    return tokens


# Reading tokens, by how strongly each sign binds.

BINDING = {
    ":=": 10,
    "?": 20,
    "or": 25,
    "and": 30,
    **dict.fromkeys(("in", "=", "!=", "<", "<=", ">", ">="), 40),
    **dict.fromkeys(("&", "+", "-"), 50),
    **dict.fromkeys(("*", "/", "%"), 60),
    ".": 75,
    "[": 80,
}
NEGATIVE = 70  # how strongly the minus of a negative number binds
CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class _Parser:
    """Reads tokens into one `Part`, which is called for its value."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def whole(self) -> Part:
        """All tokens as one part."""
        part = self._part(0)
        if self._token() != END:
            raise NotWorkedOut
        return part

    def _token(self) -> Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else END

    def _take(self) -> Token:
        token = self._token()
        self._next += 1
        return token

    def _has(self, sign: str) -> bool:
        """Take a sign, if it comes next. Returns whether it did."""
        if self._token() != ("sign", sign):
            return False
        self._next += 1
        return True

    def _want(self, sign: str) -> None:
        if not self._has(sign):
            raise NotWorkedOut

    def _part(self, binding: int) -> Part:
        """All that follows, up to a sign that binds no more strongly than this."""
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise NotWorkedOut
        part = self._first()
        while True:
            kind, word = self._token()
            is_sign = kind == "sign" or (kind == "name" and word in ("or", "and", "in"))
            if not is_sign or BINDING.get(word, 0) <= binding:
                break
            self._next += 1
            part = self._after(part, word)
        self._depth -= 1
        return part

    def _first(self) -> Part:
        """What can stand where a value begins."""
        kind, word = self._take()
        if kind == "number":
            return _always(_finite_only(float(word)))
        if kind == "text":
            return _always(word)
        if kind == "name":
            if word in CONSTANTS:
                return _always(CONSTANTS[word])
            if word == "function":
                return self._function()
            return lambda variables: variables.fields.get(word, MISSING)
        if kind == "variable":
            return self._variable_or_call(word)
        if word == "(":
            return self._block()
        if word == "{":
            return self._object()
        if word == "[":
            return self._list()
        if word == "-":
            negative = self._part(NEGATIVE)
            return lambda variables: _calculated("-", 0.0, negative(variables))
        raise NotWorkedOut

    def _variable_or_call(self, name: str) -> Part:
        """`$name`, `$name := value` or `$name(argument, ...)`."""
        if self._has(":="):
            value = self._part(BINDING[":="] - 1)
            return lambda variables: variables.set(name, value(variables))
        if not self._has("("):
            return lambda variables: variables.get(name)
        arguments = self._several(")")
        function = FUNCTIONS.get(name)
        if function is None:
            return lambda variables: variables.call(
                name, [argument(variables) for argument in arguments]
            )
        return lambda variables: _result_of(
            function, [argument(variables) for argument in arguments]
        )

    def _function(self) -> Part:
        parameters: list[str] = []
        self._want("(")
        while not self._has(")"):
            if parameters:
                self._want(",")
            kind, name = self._take()
            if kind != "variable":
                raise NotWorkedOut
            parameters.append(name)
        self._want("{")
        body = self._part(0)
        self._want("}")
        return lambda variables: _Function(parameters, body, variables)

    def _several(self, end: str) -> list[Part]:
        """Parts behind commas, up to a sign that ends them."""
        parts: list[Part] = []
        if self._has(end):
            return parts
        while True:
            parts.append(self._part(0))
            if self._has(end):
                return parts
            self._want(",")

    def _block(self) -> Part:
        """Parts behind semicolons, in parentheses: the value is that of the last one."""
        parts = [self._part(0)]
        while not self._has(")"):
            self._want(";")
            if self._token() != ("sign", ")"):
                parts.append(self._part(0))

        def value(variables: _Variables) -> Any:
            inner = _Variables(variables.fields, variables)
            return [part(inner) for part in parts][-1]

        return value

    def _list(self) -> Part:
        parts = self._several("]")
        return lambda variables: [
            value for part in parts if (value := part(variables)) is not MISSING
        ]

    def _object(self) -> Part:
        parts: dict[str, Part] = {}
        while not self._has("}"):
            if parts:
                self._want(",")
            kind, key = self._take()
            if kind != "text":
                raise NotWorkedOut
            self._want(":")
            parts[key] = self._part(0)
        return lambda variables: {key: part(variables) for key, part in parts.items()}

    def _after(self, left: Part, sign: str) -> Part:
        """What a sign makes of what stands before it and what follows."""
        if sign == "?":
            return self._choice(left)
        if sign == ".":
            kind, name = self._take()
            if kind != "name":
                raise NotWorkedOut
            return lambda variables: _field(left(variables), name)
        if sign == "[":
            place = self._part(0)
            self._want("]")
            return lambda variables: _item(left(variables), place(variables))
        right = self._part(BINDING[sign])
        if sign == "and":
            return lambda variables: _is_true(left(variables)) and _is_true(right(variables))
        if sign == "or":
            return lambda variables: _is_true(left(variables)) or _is_true(right(variables))
        operation = OPERATIONS[sign]
        return lambda variables: operation(left(variables), right(variables))

    def _choice(self, condition: Part) -> Part:
        """`condition ? one : other`, of which only one is worked out. The `: other` may be
        missing.
        """
        one = self._part(0)
        other = self._part(0) if self._has(":") else _always(MISSING)
        return lambda variables: (
            one(variables) if _is_true(condition(variables)) else other(variables)
        )


def _always(value: Any) -> Part:
    return lambda _variables: value


# What the signs do.


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_true(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_true, value))
    return bool(value)


def _finite_only(value: float) -> float:
    if not math.isfinite(value):
        raise NotWorkedOut
    return value


ARITHMETICS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,
}


def _calculated(sign: str, left: Any, right: Any) -> Any:
    if left is MISSING or right is MISSING:
        return MISSING
    if not _is_number(left) or not _is_number(right):
        raise NotWorkedOut
    try:
        return _finite_only(ARITHMETICS[sign](float(left), float(right)))
    except (ArithmeticError, ValueError):
        raise NotWorkedOut from None


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        raise NotWorkedOut
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _equal(left: Any, right: Any) -> bool:
    return left is not MISSING and right is not MISSING and _same(left, right)


def _unequal(left: Any, right: Any) -> bool:
    return left is not MISSING and right is not MISSING and not _same(left, right)


def _among(left: Any, right: Any) -> bool:
    return any(_equal(left, item) for item in (right if isinstance(right, list) else [right]))


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared(sign: str, left: Any, right: Any) -> Any:
    if left is MISSING or right is MISSING:
        return MISSING
    are_texts = isinstance(left, str) and isinstance(right, str)
    if not are_texts and not (_is_number(left) and _is_number(right)):
        raise NotWorkedOut
    return COMPARISONS[sign](left, right)


def _joined(left: Any, right: Any) -> str:
    text = _jsonata_string(left) + _jsonata_string(right)
    if len(text) > MOST_TEXT_CHARACTERS:
        raise NotWorkedOut
    return text


def _field(value: Any, name: str) -> Any:
    if isinstance(value, list):
        raise NotWorkedOut
    return value.get(name, MISSING) if isinstance(value, Mapping) else MISSING


def _item(value: Any, place: Any) -> Any:
    if not _is_number(place):
        raise NotWorkedOut
    items = value if isinstance(value, list) else [value]
    number = math.floor(place)
    return items[number] if -len(items) <= number < len(items) else MISSING


OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    **{sign: functools.partial(_calculated, sign) for sign in ARITHMETICS},
    **{sign: functools.partial(_compared, sign) for sign in COMPARISONS},
    "=": _equal,
    "!=": _unequal,
    "in": _among,
    "&": _joined,
}


# The functions.


def _result_of(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    try:
        return function(*arguments)
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
    ):  # for values that it is not made for
        raise NotWorkedOut from None


def _text_wanted(value: Any) -> str:
    return value if isinstance(value, str) else _refuse()


def _number_wanted(value: Any) -> float:
    return float(value) if _is_number(value) else _refuse()


def _refuse() -> NoReturn:
    raise NotWorkedOut


def _jsonata_string(value: Any) -> str:
    if value is MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{_number_wanted(value):.15g}"


def _jsonata_number(value: Any) -> Any:
    if value is MISSING or _is_number(value):
        return value
    return _finite_only(float(value)) if isinstance(value, (str, bool)) else _refuse()


def _jsonata_lookup(value: Any, key: Any) -> Any:
    return MISSING if value is MISSING else _field(value, _text_wanted(key))


def _jsonata_contains(text: Any, part: Any) -> Any:
    return MISSING if text is MISSING else _text_wanted(part) in _text_wanted(text)


def _jsonata_substring(text: Any, start: Any, length: Any = None) -> Any:
    if text is MISSING:
        return MISSING
    whole = _text_wanted(text)
    first = max(int(start) + len(whole), 0) if start < 0 else int(start)
    return whole[first:] if length is None else whole[first : first + max(int(length), 0)]


def _jsonata_substring_before(text: Any, mark: Any) -> Any:
    return MISSING if text is MISSING else _text_wanted(text).split(_text_wanted(mark), 1)[0]


def _jsonata_round(value: Any, digits: Any = 0.0) -> Any:
    return (
        MISSING if value is MISSING else round(_number_wanted(value), int(min(max(digits, -9), 9)))
    )


def _jsonata_floor(value: Any) -> Any:
    return MISSING if value is MISSING else float(math.floor(_number_wanted(value)))


def _jsonata_ceil(value: Any) -> Any:
    return MISSING if value is MISSING else float(math.ceil(_number_wanted(value)))


def _numbers(value: Any) -> list[float]:
    return list(map(_number_wanted, value if isinstance(value, list) else [value]))


def _jsonata_count(value: Any) -> float:
    return 0.0 if value is MISSING else float(len(value) if isinstance(value, list) else 1)


def _jsonata_type(value: Any) -> Any:
    kinds: tuple[tuple[str, Any], ...] = (
        ("boolean", bool),
        ("number", (int, float)),
        ("string", str),
        ("array", list),
        ("object", dict),
        ("null", type(None)),
    )
    return next((name for name, kind in kinds if isinstance(value, kind)), MISSING)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "lookup": _jsonata_lookup,
    "contains": _jsonata_contains,
    "round": _jsonata_round,
    "floor": _jsonata_floor,
    "ceil": _jsonata_ceil,
    "max": lambda value: max(_numbers(value)),
    "min": lambda value: min(_numbers(value)),
    "sum": lambda value: math.fsum(_numbers(value)),
    "abs": lambda value: abs(_number_wanted(value)),
    "count": _jsonata_count,
    "exists": lambda value: value is not MISSING,
    "type": _jsonata_type,
    "number": _jsonata_number,
    "string": _jsonata_string,
    "lowercase": lambda value: _text_wanted(value).lower(),
    "uppercase": lambda value: _text_wanted(value).upper(),
    "substring": _jsonata_substring,
    "substringBefore": _jsonata_substring_before,
    "length": lambda value: float(len(_text_wanted(value))),
    "not": lambda value: not _is_true(value),
    "boolean": _is_true,
}
