"""Arithmetic for the tool ``calculate``: a small parser, so that nothing that a model writes is ever run as code.

What it accepts has the value that Python gives it. Everything is bounded: the length of an expression, how deep it is
nested, and the size of a power before it is computed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

MAX_LENGTH = 1000
_MAX_DEPTH = 60
_MAX_BITS = 10_000  # a float ends at 1024, but a quotient of two larger integers may be small again

_ALLOWED = frozenset("0123456789+-*/(). ")
# Python's numbers, where an integer has no leading zero, and its operators.
_TOKEN = re.compile(r" *(?:(?P<number>\d+\.\d*|\.\d+|[1-9]\d*|0+(?!\d))|(?P<symbol>\*\*|//|[-+*/()]))")
_BINARY: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "/": (2, operator.truediv),
    "//": (2, operator.floordiv),
}

_Number = int | float | complex  # a root of a negative number is complex


def calculate(expression: str) -> str:
    """The value of ``expression``, rounded to cents, as tau-bench writes it.

    Raises:
        ValueError: It has characters that do not belong in one, or is too long or too deep.
        SyntaxError: It is no expression.
        ArithmeticError: Its value does not exist, or is too large.
        TypeError: Its value is complex.
    """
    if not _ALLOWED.issuperset(expression):
        raise ValueError("invalid characters in expression")
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"expression too long ({len(expression)} characters, at most {MAX_LENGTH})")
    parser = _Parser(_tokens(expression))
    value = parser.expression(0)
    if parser.peek():
        raise SyntaxError("invalid syntax")
    return str(round(float(value), 2))  # type: ignore[arg-type]  # of a complex number: the TypeError that is promised


def _tokens(expression: str) -> list[str]:
    tokens, place, end = [], 0, len(expression.rstrip())
    while place < end:
        token = _TOKEN.match(expression, place)
        if token is None:
            raise SyntaxError("invalid syntax")
        tokens.append(token["number"] or token["symbol"])
        place = token.end()
    return tokens


class _Parser:
    """Reads and computes at the same time, by the precedence of the operators."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self) -> str:
        token = self.peek()
        self._place += 1
        return token

    def expression(self, at_least: int) -> _Number:
        """A chain of operators of precedence ``at_least`` or more, from left to right."""
        left = self._factor()
        while (known := _BINARY.get(self.peek())) is not None and known[0] >= at_least:
            self._take()
            left = known[1](left, self.expression(known[0] + 1))
        return left

    def _factor(self) -> _Number:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"expression nested too deep (at most {_MAX_DEPTH})")
        if self.peek() in ("+", "-"):
            sign = self._take()
            value = self._factor()
            value = -value if sign == "-" else +value
        else:
            value = self._atom()
            if self.peek() == "**":  # binds tighter than a sign before it, and looser than one after it
                self._take()
                value = _power(value, self._factor())
        self._depth -= 1
        return value

    def _atom(self) -> _Number:
        token = self._take()
        if token == "(":
            value = self.expression(0)
            if self._take() != ")":
                raise SyntaxError("'(' was never closed")
            return value
        if not token or token in "+-*/()**//":
            raise SyntaxError("invalid syntax")
        return float(token) if "." in token else int(token)


def _power(base: _Number, exponent: _Number) -> _Number:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if base.bit_length() * exponent > _MAX_BITS:
            raise OverflowError("result too large")
    result: _Number = base**exponent
    return result
