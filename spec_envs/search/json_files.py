"""Reading JSON files, and checking the values in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spec_envs.errors import InvalidConfiguration


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InvalidConfiguration: The file cannot be read as JSON; the message names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidConfiguration(f"{path} cannot be read as JSON: {error}") from error


def text_of(value: object) -> str:
    """``value``, which must be text.

    Raises:
        TypeError: ``value`` is not text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def texts_of(value: object) -> tuple[str, ...]:
    """``value``, which must be a list of texts.

    Raises:
        TypeError: ``value`` is not a list of texts.
    """
    if not isinstance(value, list):  # a text is iterable too, letter by letter
        raise TypeError(f"{value!r:.100} is not a list of texts")
    return tuple(map(text_of, value))
