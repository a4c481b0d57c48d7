"""Values as short text, for traces: a line that a person reads, made in microseconds whatever the size of the value."""

import dataclasses
import enum
import functools
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

#: Longer texts are cut.
MAX_LENGTH = 300
_MAX_ITEMS = 6
_MAX_DEPTH = 3
#: Values under such names are never shown.
_SECRET = re.compile(
    r"api_?key|passw|secret|credential|authori[sz]ation|cookie|bearer|(access|auth|refresh)_?token", re.I
)


def brief(value: Any) -> str:
    """``value`` as one short text of at most ``MAX_LENGTH`` characters.

    Parts of large values are left out, and so is whatever stands under a name such as ``api_key`` or ``password``. An
    object without a form of its own is shown by the name of its class: its ``repr`` may be long, slow, or private.
    """
    try:
        text = value if type(value) is str else _shown(value, 0)
    except Exception:  # objects of users may fail at anything; a trace must not
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def quoted(value: Any, most: int = 200) -> str:
    """At most ``most`` characters of ``repr(value)``, for messages; the class if ``repr`` fails."""
    try:
        return repr(value)[:most]
    except (Exception, RecursionError) as error:
        why = "nested too deeply to be shown" if isinstance(error, RecursionError) else f"repr: {type(error).__name__}"
        return f"<{type(value).__name__}, {why}>"


def error_text(error: BaseException | None) -> str | None:
    """An error as traces and statistics show it; ``None`` where there is none."""
    return None if error is None else quoted(error, 2000)


@functools.singledispatch
def own_form(value: Any) -> str | None:
    """The short text of objects of one class, which registers it; ``None`` where there is none."""
    return None


def _shown(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is str:
        return value if depth == 0 else repr(value[:MAX_LENGTH])
    if value is None or kind in (bool, int):
        return str(value)
    if kind is dict or kind is list:  # which need not be asked what else they are
        return _parts(value, depth)
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if (form := own_form(value)) is not None:
        return form
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, enum.Enum | np.generic | complex):
        return str(value)
    if isinstance(value, BaseException):
        return f"{kind.__name__}: {str(value)[:MAX_LENGTH]}"
    return _parts(value, depth)


def _parts(value: Any, depth: int) -> str:
    name = type(value).__name__
    if depth >= _MAX_DEPTH:
        return f"{name}(…)"
    if isinstance(value, Mapping):
        return f"{{{_named(value.items(), len(value), ': ', depth)}}}"
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value) if field.repr]
        return f"{name}({_named(((each, getattr(value, each, None)) for each in fields), len(fields), '=', depth)})"
    if isinstance(value, list | tuple | AbstractSet):
        shown = [_shown(item, depth + 1) for item, _ in zip(value, range(_MAX_ITEMS), strict=False)]
        return f"[{', '.join(shown)}{', …' if len(value) > _MAX_ITEMS else ''}]"
    return f"<{name}>"


def _named(items: Iterable[tuple[Any, Any]], count: int, joint: str, depth: int) -> str:
    shown = []
    for (name, item), _ in zip(items, range(_MAX_ITEMS), strict=False):
        text = "(hidden)" if isinstance(name, str) and _SECRET.search(name) else _shown(item, depth + 1)
        shown.append(f"{name if isinstance(name, str) else brief(name)}{joint}{text}")
    return ", ".join(shown) + (", …" if count > _MAX_ITEMS else "")


def _array(value: "np.ndarray[Any, Any]") -> str:
    if value.size > 8:
        return f"{value.dtype} array of shape {value.shape}"
    return "[" + ", ".join(_shown(item, 1) for item in value.ravel().tolist()) + "]"
