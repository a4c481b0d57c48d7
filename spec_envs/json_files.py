"""Reading JSON, from files and from the texts of agents, and checking the values in it."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spec_envs.errors import InvalidConfiguration


def read_json(path: str | os.PathLike[str], *, lines: bool = False) -> Any:
    """The content of a JSON file, or with ``lines`` also the list of the values on its lines.

    Raises:
        InvalidConfiguration: The file cannot be read as JSON; the message names the file.
        FileNotFoundError: There is no such file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if not lines or error.msg != "Extra data":
                raise
            return [json.loads(line) for line in text.split("\n") if line.strip()]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # ValueError: both broken JSON and broken UTF-8
        raise InvalidConfiguration(f"{path} cannot be read as JSON: {error}") from error


def parsed(text: str) -> Any:
    """The value of JSON text; ``None`` if ``text`` is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


#: The greatest depth of lists and objects inside each other. Python's own limit depends on who calls.
DEEPEST = 100


def is_deep(value: Any) -> bool:
    """Whether lists and objects are inside each other more than ``DEEPEST`` times, or for ever."""
    level = [value]
    for _ in range(DEEPEST + 1):
        inner = (each.values() if isinstance(each, Mapping) else each for each in level if _holds(each))
        level = list({id(each): each for values in inner for each in values}.values())
        if not level:
            return False
    return True


def _holds(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn the errors that reading a wrong value raises into ``InvalidConfiguration``, which begins with ``where``."""
    try:
        yield
    except KeyError as error:
        raise InvalidConfiguration(f"{where}: {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidConfiguration(f"{where}: {error}") from error


def text_of(value: object, name: str) -> str:
    """``value``, which must be text, or ``TypeError``, which names it ``name``."""
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be text, not {value!r:.200}")
    return value


def list_of(value: object, name: str) -> list[Any]:
    """``value``, which must be a list, or ``TypeError``: a text would be iterated letter by letter."""
    if not isinstance(value, list):
        raise TypeError(f"'{name}' must be a list, not {value!r:.200}")
    return value


def texts_of(value: object, name: str) -> tuple[str, ...]:
    """``value``, which must be a list of texts, or ``TypeError``."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"'{name}' must be a list of texts, not {value!r:.200}")
    return tuple(value)


def number_of(value: object, name: str) -> float:
    """``value``, which must be a finite number of at least 0, or ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"'{name}' must be a number of at least 0, not {value!r}")
    return value
