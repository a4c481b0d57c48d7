"""Splits a tool's result into its values, its records (JSON objects), and its lists of records."""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.agents.pattern import text as texts
from spec_envs.conversation import canonical

#: The greatest number of values of one result that are indexed; further values are ignored.
_MAX_LEAVES = 600


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """A value in a result: its key, a generic path, its field, the number of its record, and its place in a list."""

    value: Any
    key: str
    path: str
    field: str
    record: int
    place: int
    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A JSON object in a result."""

    path: str
    own: Mapping[str, Any]  # its fields that are neither objects nor lists
    inner: Mapping[str, Any]  # the same fields of the objects directly inside
    parent: int  # the number of the record around this one; -1 if there is none
    words: frozenset[str]  # the values in ``own``, as they would appear in a text


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """The parts of a result. A group is a list of records: its path, and the numbers of the records."""

    leaves: tuple[Leaf, ...]
    records: tuple[Record, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]


class _Walk:
    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.leaves: list[Leaf] = []
        self.records: list[Record] = []
        self.groups: list[tuple[str, tuple[int, ...]]] = []

    def visit(self, value: Any, path: str, field: str, record: int, place: int, length: int) -> int:
        """Add ``value``; return the number of its record, or -1 if ``value`` is not an object."""
        if len(self.leaves) >= _MAX_LEAVES:
            return -1
        if isinstance(value, Mapping):
            return self._visit_object(value, path, record, place, length)
        if isinstance(value, list):
            self._visit_list(value, path, field, record)
        elif value is not None and not (isinstance(value, str) and len(value) > 120):
            self.leaves.append(Leaf(value, canonical(value), path, field, record, place, length))
        return -1

    def _visit_object(self, value: Mapping[str, Any], path: str, parent: int, place: int, length: int) -> int:
        number = len(self.records)
        self.records.append(_record(value, path, parent))
        by_id = len(value) > 1 and all(re.search(r"\d", key) for key in value)
        members = []
        for index, (key, each) in enumerate(value.items()):
            if by_id:  # a table from ids to records: its keys are values, not names of fields
                self.leaves.append(Leaf(key, canonical(key), f"{path}.*", _last(path), number, index, len(value)))
                members.append(self.visit(each, f"{path}[*]", _last(path), number, index, len(value)))
            else:
                self.visit(each, f"{path}.{key}", key, number, place, length)
        self._group(path, members)
        return number

    def _visit_list(self, value: list[Any], path: str, field: str, record: int) -> None:
        members = [self.visit(each, f"{path}[*]", field, record, i, len(value)) for i, each in enumerate(value)]
        self._group(path, members)
        if value and len(value) <= 12 and not any(isinstance(each, Mapping | list) for each in value):
            self.leaves.append(Leaf(value, canonical(value), path, field, record, 0, 1))
        columns: dict[str, list[Any]] = {}
        for each in value[:12]:
            if isinstance(each, Mapping):
                for key, cell in each.items():
                    if isinstance(cell, str) and any(map(str.isdigit, cell)):
                        columns.setdefault(key, []).append(cell)
        for key, column in columns.items():
            if len(column) == len(value):
                self.leaves.append(Leaf(column, canonical(column), f"{path}[*].{key}[]", key, record, 0, 1))

    def _group(self, path: str, members: Sequence[int]) -> None:
        if members and all(number >= 0 for number in members):
            self.groups.append((f"{self.tool}:{path}", tuple(members)))


def _last(path: str) -> str:
    return path.rstrip("[*]").rpartition(".")[2]


def _record(value: Mapping[str, Any], path: str, parent: int) -> Record:
    scalars = {key: each for key, each in value.items() if not isinstance(each, Mapping | list)}
    inner: dict[str, Any] = {}
    for each in value.values():
        if isinstance(each, Mapping):
            for key, cell in each.items():
                if not isinstance(cell, Mapping | list):
                    inner.setdefault(key, cell)
    words = frozenset(filter(None, (texts.normal(each) for each in scalars.values())))
    return Record(path, scalars, inner, parent, words)


@functools.lru_cache(maxsize=2048)
def content_of(tool: str, content: str) -> Content:
    """Return the parts of the result of ``tool``, given as JSON text. Cached."""
    walk = _Walk(tool)
    walk.visit(json.loads(content), "", "", -1, 0, 1)
    return Content(tuple(walk.leaves), tuple(walk.records), tuple(walk.groups))
