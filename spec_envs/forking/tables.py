"""Fast copies of large tables: lists and dicts, nested to any depth, whose innermost items cannot change.

A table of transition probabilities has thousands of small lists. These are checked and copied level by level instead of
one by one.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from spec_envs.forking.kinds import is_atomic_kind

#: The least size of a list or dict that is copied as a table.
LEAST_OF_A_TABLE = 8


def copy_table(table: Any, memo: dict[int, Any]) -> Any:
    """A copy of a list or dict; ``None`` if it is not a table, and has to be copied item by item.

    Args:
        table: A list or dict; each of its levels holds only lists, or only dicts, and no object twice.
        memo: The copies made so far, by the ``id`` of the original. The copies of all levels are added.
    """
    levels: list[list[Any]] = [[table]]
    while True:
        items = _items(levels[-1])
        if items is None:
            return None
        if cannot_change(items):
            break
        levels.append(items)
    originals = list(map(id, chain.from_iterable(levels)))
    if len(set(originals)) != len(originals) or not memo.keys().isdisjoint(originals):
        return None
    copies = [each.copy() for each in levels[-1]]
    memo.update(zip(map(id, levels[-1]), copies, strict=True))
    for level in reversed(levels[:-1]):
        below = iter(copies)
        copies = [_refilled(each, below) for each in level]
        memo.update(zip(map(id, level), copies, strict=True))
    return copies[0]


def _items(level: list[Any]) -> list[Any] | None:
    kinds = set(map(type, level))
    if kinds == {list}:
        return list(chain.from_iterable(level))
    if kinds == {dict} and _are_atomic(chain.from_iterable(level)):
        return list(chain.from_iterable(map(dict.values, level)))
    return None


def _refilled(container: Any, items: Iterator[Any]) -> Any:
    if type(container) is list:
        return list(islice(items, len(container)))
    return dict(zip(container, items))  # noqa: B905  # the items go on


def cannot_change(items: Iterable[Any]) -> bool:
    """Whether all the items are atomic, or tuples of such items, nested to any depth."""
    while items:
        kinds = set(map(type, items))
        if not all(map(is_atomic_kind, kinds - {tuple})):
            return False
        items = tuple(chain.from_iterable(item for item in items if type(item) is tuple)) if tuple in kinds else ()
    return True


def _are_atomic(items: Iterable[Any]) -> bool:
    return all(map(is_atomic_kind, set(map(type, items))))
