"""Arithmetic for the tool ``calculate``: Python's parser reads an expression, and this module alone computes it.

So no text of a language model is ever run as code. An expression has the value, or the error, that Python gives it. Its
length, its depth and the size of powers are limited.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

MAX_LENGTH = 1000
_MAX_DEPTH = 60
_MAX_BITS = 10_000  # more than a float can hold, since a quotient of two large integers may be small

#: The characters of expressions. No name can be written with them.
CHARACTERS = frozenset("0123456789+-*/(). ")


def value_of(expression: str) -> str:
    """Return the value of ``expression``, rounded to two decimals, as tau-bench writes it.

    Raises:
        ValueError: The expression has characters that are not allowed, or is too long or nested too deep.
        SyntaxError: The text is no expression.
        ArithmeticError: The expression has no value, or its value is too large.
        TypeError: The value is no real number.
    """
    if not CHARACTERS.issuperset(expression):
        raise ValueError("invalid characters in expression")
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"expression too long ({len(expression)} characters, at most {MAX_LENGTH})")
    try:
        # Like ``eval``, which ignores spaces at the beginning, and calls the text "<string>" in its errors.
        parsed = ast.parse(expression.lstrip(" "), "<string>", "eval")
    except (RecursionError, MemoryError):
        _too_deep()
    return str(round(float(_value(parsed.body, 1)), 2))


def _too_deep() -> NoReturn:
    raise ValueError(f"expression nested too deep (at most {_MAX_DEPTH})")


def _value(node: ast.expr, depth: int) -> Any:
    """Return the value of a part of the expression, ``depth`` levels below the whole."""
    if depth > _MAX_DEPTH:
        _too_deep()
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=sign, operand=operand):
            return _SIGNS[type(sign)](_value(operand, depth + 1))
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            return _power(_value(left, depth + 1), _value(right, depth + 1))
        case ast.BinOp():
            return _chain(node, depth)
        case ast.Tuple():  # only "()" can be written
            return ()
        case ast.Call(func=function):
            raise TypeError(f"{type(_value(function, depth + 1)).__name__!r} object is not callable")
    raise SyntaxError("invalid syntax")  # not reached by any syntax that we know of


def _chain(node: ast.expr, depth: int) -> Any:
    """Return the value of operands that are joined from left to right, as in "1 + 2 - 3", which may be many."""
    joined: list[ast.BinOp] = []
    while isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow):
        joined.append(node)
        node = node.left
    value = _value(node, depth + 1)
    for each in reversed(joined):
        value = _OPERATORS[type(each.op)](value, _value(each.right, depth + 1))
    return value


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if base.bit_length() * exponent > _MAX_BITS:
            raise OverflowError("result too large")
    return base**exponent


_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
