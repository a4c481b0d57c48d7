"""Which of an environment's tasks or questions a user means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from spec_envs.errors import InvalidConfiguration

ThingType = TypeVar("ThingType")


def position_of(things: Sequence[object], index: object, *, noun: str) -> int:
    """``index``, if it is one of ``things``, each of which is a ``noun``.

    Raises:
        InvalidConfiguration: It is not.
    """
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(things):
        raise InvalidConfiguration(f"a {noun}'s index is an integer from 0 to {len(things) - 1}, not {index!r}")
    return index


def chosen(things: Sequence[ThingType], choice: object, *, noun: str, name: str) -> ThingType:
    """The one whose attribute ``name`` is ``choice``, if that is text, or which has that index.

    Raises:
        InvalidConfiguration: There is none.
    """
    if not isinstance(choice, str):
        return things[position_of(things, choice, noun=noun)]
    names = [getattr(each, name) for each in things]
    if choice not in names:
        raise InvalidConfiguration(f"there is no {noun} {choice!r}; the {name}s are {names[0]!r} and so on")
    return things[names.index(choice)]
