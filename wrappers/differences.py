"""Where two values differ, as text for messages."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from spec_envs.brief import quoted
from spec_envs.values import same

#: The characters of a value that are shown, and how many of them stand before the first that differs.
_SHOWN, _BEFORE = 120, 40


def first_difference(name: str, one: Any, other: Any) -> tuple[str, str, str]:
    """The first part in which two values called ``name`` differ: its path, and the part of each value as text."""
    path, first, second = _narrowed(name, one, other)
    return path, *_shown_apart(first, second)


def _narrowed(path: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """The first part in which two values differ: its path, and the part in each of them."""
    kind = type(one)
    if kind is type(other) is np.ndarray and one.shape == other.shape and one.dtype == other.dtype:
        for place in np.ndindex(one.shape):
            if not same(one[place], other[place]):
                return (f"{path}[{', '.join(map(str, place))}]" if place else path), one[place], other[place]
    if isinstance(one, Mapping) and kind is type(other) and [*one] == [*other]:
        parts = [(f"[{name!r}]", one[name], other[name]) for name in one]
    elif kind in (list, tuple) and kind is type(other) and len(one) == len(other):
        parts = [(f"[{i}]", *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    else:
        return path, one, other
    for name, first, second in parts:
        if not same(first, second):
            return _narrowed(path + name, first, second)
    return path, one, other


def _shown_apart(one: Any, other: Any) -> tuple[str, str]:
    """The two values as text, from a little before the place where they begin to differ."""
    texts = [quoted(value, 1 << 20) for value in (one, other)]
    if texts[0] == texts[1]:
        return f"{texts[0][:_SHOWN]} ({type(one).__name__})", f"{texts[1][:_SHOWN]} ({type(other).__name__})"
    equal = len(os.path.commonprefix(texts))
    begin = max(0, equal - _BEFORE) if max(map(len, texts)) > _SHOWN else 0
    shown = [f"{'…' * (begin > 0)}{text[begin : begin + _SHOWN]}{'…' * (begin + _SHOWN < len(text))}" for text in texts]
    return shown[0], shown[1]
