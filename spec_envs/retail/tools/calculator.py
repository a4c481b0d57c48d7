"""Arithmetic for the tool ``calculate``: a small parser, so that no text of a language model is ever run as code.

An expression has the value that Python gives it. Its length, its depth and the size of powers are limited.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

MAX_LENGTH = 1000
_MAX_DEPTH = 60
_MAX_BITS = 10_000  # more than a float can hold, since a quotient of two large integers may be small

_ALLOWED = frozenset("0123456789+-*/(). ")
# The numbers and operators of Python; an integer has no leading zero.
_TOKEN = re.compile(r" *(?:(?P<number>\d+\.\d*|\.\d+|[1-9]\d*|0+(?!\d))|(?P<symbol>\*\*|//|[-+*/()]))")
_BINARY: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "/": (2, operator.truediv),
    "//": (2, operator.floordiv),
}

_Number = int | float | complex  # complex: a root of a negative number


def value_of(expression: str) -> str:
    """Return the value of ``expression``, rounded to two decimals, as tau-bench writes it.

    Raises:
        ValueError: The expression has characters that are not allowed, or is too long or nested too deep.
        SyntaxError: The text is no expression.
        ArithmeticError: The expression has no value, or its value is too large.
        TypeError: The value is complex.
    """
    if not _ALLOWED.issuperset(expression):
        raise ValueError("invalid characters in expression")
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"expression too long ({len(expression)} characters, at most {MAX_LENGTH})")
    parser = _Parser(_tokens(expression))
    value = parser.expression(0)
    if parser.peek():
        raise SyntaxError("invalid syntax")
    return str(round(float(value), 2))  # type: ignore[arg-type]  # a complex number raises TypeError


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
    """Parses and computes at the same time, by the precedence of the operators."""

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
        """Compute a chain of operators of precedence ``at_least`` or more, from left to right."""
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
            if self.peek() == "**":  # binds more tightly than a sign before it, and less tightly than a sign after it
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
