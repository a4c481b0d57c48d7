"""An index of a conversation, kept while it grows: every value that could become an argument, and where it is from."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.agents.pattern import text as texts
from spec_envs.conversation import AssistantMessage, Conversation, Event, ToolCall, ToolResult, UserMessage, canonical

#: Of one result, at most this many values are indexed: the first ones.
_MAX_LEAVES = 600


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """A value in a result: a generic path to it, its key, the record that it is in, its place in a list."""

    value: Any
    key: str
    path: str
    field: str
    record: int
    place: int
    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A record (a JSON object) in a result: its own values, those of records in it, and the record around it."""

    path: str
    own: Mapping[str, Any]
    inner: Mapping[str, Any]
    parent: int
    words: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Expansion:
    """A result, taken apart. ``groups`` are lists of records: path, and the numbers of the records."""

    leaves: tuple[Leaf, ...]
    nodes: tuple[Node, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]


class _Walk:
    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.leaves: list[Leaf] = []
        self.nodes: list[Node] = []
        self.groups: list[tuple[str, tuple[int, ...]]] = []

    def visit(self, value: Any, path: str, field: str, record: int, place: int, length: int) -> int:
        """Index ``value``; returns the number of its record, if it is one."""
        if len(self.leaves) >= _MAX_LEAVES:
            return -1
        if isinstance(value, Mapping):
            return self._object(value, path, record, place, length)
        if isinstance(value, list):
            self._list(value, path, field, record)
        elif value is not None and not (isinstance(value, str) and len(value) > 120):
            self.leaves.append(Leaf(value, canonical(value), path, field, record, place, length))
        return -1

    def _object(self, value: Mapping[str, Any], path: str, parent: int, place: int, length: int) -> int:
        number = len(self.nodes)
        self.nodes.append(_node(value, path, parent))
        by_id = len(value) > 1 and all(re.search(r"\d", key) for key in value)
        members = []
        for index, (key, each) in enumerate(value.items()):
            if by_id:  # a table from ids to records: the ids are values, not names of fields
                self.leaves.append(Leaf(key, canonical(key), f"{path}.*", _last(path), number, index, len(value)))
                members.append(self.visit(each, f"{path}[*]", _last(path), number, index, len(value)))
            else:
                self.visit(each, f"{path}.{key}", key, number, place, length)
        self._group(path, members)
        return number

    def _list(self, value: list[Any], path: str, field: str, record: int) -> None:
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


def _node(value: Mapping[str, Any], path: str, parent: int) -> Node:
    scalars = {key: each for key, each in value.items() if not isinstance(each, Mapping | list)}
    inner: dict[str, Any] = {}
    for each in value.values():
        if isinstance(each, Mapping):
            for key, cell in each.items():
                if not isinstance(cell, Mapping | list):
                    inner.setdefault(key, cell)
    words = frozenset(filter(None, (texts.normal(each) for each in scalars.values())))
    return Node(path, scalars, inner, parent, words)


@functools.lru_cache(maxsize=2048)
def _expand(tool: str, content: str) -> Expansion:
    walk = _Walk(tool)
    walk.visit(json.loads(content), "", "", -1, 0, 1)
    return Expansion(tuple(walk.leaves), tuple(walk.nodes), tuple(walk.groups))


@dataclasses.dataclass(slots=True)
class Value:
    """A value and what is known of it: sources (the latest time and place of each), records, when it was seen."""

    value: Any
    key: str
    shape: str
    normal: str
    first: int
    last: int
    sources: dict[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    fields: dict[str, None] = dataclasses.field(default_factory=dict)
    records: dict[tuple[int, int], None] = dataclasses.field(default_factory=dict)

    def copy(self) -> Value:
        """A copy that does not share what changes."""
        return dataclasses.replace(
            self, sources=dict(self.sources), fields=dict(self.fields), records=dict(self.records)
        )


@dataclasses.dataclass(slots=True)
class Done:
    """A call that was made, with its arguments as keys, and its result if it is there."""

    call: ToolCall
    time: int
    arguments: dict[str, str]
    key: str
    error: bool = False
    answered: bool = False


class Index:
    """All of a conversation that predictions need. ``extend`` adds events; ``copy`` is for another continuation."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.values: dict[str, Value] = {}
        self.calls: list[Done] = []
        self.made: dict[str, Done] = {}
        self.users: list[tuple[int, texts.Text]] = []
        self.agents: list[tuple[int, texts.Text]] = []
        self.results: list[tuple[int, str, Expansion, Mapping[str, Any]]] = []  # time, tool, content, arguments
        self.glosses: dict[str, str] = {}  # a name, in lower case, and what stood in brackets behind it
        self._pending: list[Done] = []
        self._expanded: dict[tuple[str, str], int] = {}
        self._own: set[str] = set()

    @classmethod
    def of(cls, conversation: Conversation) -> Index:
        """The index of a whole conversation."""
        index = cls()
        index.extend(conversation.events)
        return index

    def extend(self, events: Sequence[Event]) -> None:
        """Add what happened next."""
        for event in events:
            time = len(self.events)
            self.events.append(event)
            match event:
                case UserMessage(text):
                    self.users.append((time, texts.read(text)))
                    self._add_text(self.users[-1][1], time, "user")
                case AssistantMessage(text):
                    self.agents.append((time, texts.read(text)))
                    self._add_text(self.agents[-1][1], time, "agent")
                case ToolCall():
                    self._add_call(event, time)
                case ToolResult():
                    self._add_result(event, time)

    def copy(self) -> Index:
        """An index that can be extended without changing this one."""
        other = Index()
        other.events = list(self.events)
        other.values = dict(self.values)
        self._own = set()  # from now on, a value that changes is copied first
        other.users, other.agents = list(self.users), list(self.agents)
        other._expanded = dict(self._expanded)
        other.results, other.glosses = list(self.results), dict(self.glosses)
        other.calls = [dataclasses.replace(done) for done in self.calls]
        other.made = {done.key: done for done in other.calls}
        by_time = {done.time: done for done in other.calls}
        other._pending = [by_time[done.time] for done in self._pending]
        return other

    def node(self, record: tuple[int, int]) -> Node:
        """The record with a number that a ``Value`` has."""
        return self.results[record[0]][2].nodes[record[1]]

    def _value(self, value: Any, key: str, time: int) -> Value:
        found = self.values.get(key)
        if found is None:
            found = Value(value, key, texts.shape(value), texts.normal(value), time, time)
            self.values[key] = found
        elif key not in self._own:
            found = self.values[key] = found.copy()
        self._own.add(key)
        found.last = time
        return found

    def _add_text(self, text: texts.Text, time: int, who: str) -> None:
        for entity in text.entities:
            found = self._value(entity.value, canonical(entity.value), time)
            found.sources[f"{who}:{entity.kind}"] = (time, 0, 1)
        self.glosses.update(text.glosses)

    def _add_call(self, call: ToolCall, time: int) -> None:
        keys = {name: canonical(value) for name, value in call.arguments.items()}
        done = Done(call, time, keys, call.key)
        for name, value in call.arguments.items():
            if isinstance(value, str) and len(value) > 120:
                continue
            found = self._value(value, keys[name], time)
            found.sources[f"arg:{call.name}.{name}"] = (time, 0, 1)
            found.fields[name] = None
        self.calls.append(done)
        self.made[done.key] = done
        self._pending.append(done)

    def _add_result(self, result: ToolResult, time: int) -> None:
        same = [done for done in self._pending if done.call.id == result.id] or self._pending
        if not same:
            return
        done = same[0]
        self._pending.remove(done)
        done.answered, done.error = True, result.error
        if result.error:
            return
        content = json.dumps(result.content)
        expansion = _expand(done.call.name, content)
        number = self._expanded.setdefault((done.key, content), len(self.results))
        if number == len(self.results):
            self.results.append((time, done.call.name, expansion, done.call.arguments))
        else:  # the same call with the same result: nothing new, but it is recent again
            self.results[number] = (time, done.call.name, expansion, done.call.arguments)
        for leaf in expansion.leaves:
            found = self._value(leaf.value, leaf.key, time)
            found.sources[f"{done.call.name}:{leaf.path}"] = (time, leaf.place, leaf.length)
            found.fields[leaf.field] = None
            if leaf.record >= 0:
                found.records[number, leaf.record] = None

    def messages(self) -> list[tuple[int, str, texts.Text]]:
        """The last messages, latest first."""
        merged = [(time, "u", message) for time, message in self.users[-4:]]
        merged += [(time, "a", message) for time, message in self.agents[-3:]]
        return sorted(merged, key=lambda entry: -entry[0])
