"""The index of a conversation: every value that may become an argument, with its sources. Extended by each event."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spec_envs.agents.pattern import text as texts
from spec_envs.agents.pattern.results import Content, Record, content_of
from spec_envs.conversation import AssistantMessage, Conversation, Event, ToolCall, ToolResult, UserMessage, canonical

#: A message: its time, its author ("u" or "a"), and its text.
Message = tuple[int, str, texts.Text]

#: The number of sources of one value that are considered: the latest ones.
_MAX_SOURCES = 5


class Traced(NamedTuple):
    """The sources of a value, as features; valid until the value is seen again."""

    features: list[str]
    latest: list[str]  # the features while the value is in the last event
    lists: tuple[tuple[str, int], ...]  # sources that are lists with several elements, and the place in each
    records: frozenset[tuple[int, int]]
    fields: frozenset[str]


class Told(NamedTuple):
    """The mentions of a value in messages, as features; valid until the value is seen or mentioned again."""

    messages: tuple[Message, ...]
    mention: tuple[int, int]  # the time and position of the latest mention; (-1, -1) if there is none
    who: str  # the author of that message
    features: list[str]
    described: dict[tuple[Any, ...], Any]  # the value as a candidate, by all else that it depends on


@dataclasses.dataclass(slots=True)
class Value:
    """A value of a conversation: when it was seen, its sources (each with time, place and length), and its records."""

    value: Any
    key: str
    shape: str
    normal: str
    first: int
    last: int
    sources: dict[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    fields: dict[str, None] = dataclasses.field(default_factory=dict)
    records: dict[tuple[int, int], None] = dataclasses.field(default_factory=dict)
    told: Told | None = None  # kept by ``Moment``
    _traced: Traced | None = None

    def changed(self, own: bool, time: int) -> Value:
        """Return this value if it is ``own``, else a copy, to be changed because the value is seen at ``time``."""
        if not own:
            sources, fields, records = dict(self.sources), dict(self.fields), dict(self.records)
            return Value(self.value, self.key, self.shape, self.normal, self.first, time, sources, fields, records)
        self.last, self.told, self._traced = time, None, None
        return self

    def traced(self) -> Traced:
        """Return the sources of this value."""
        if self._traced is None:
            self._traced = self._trace()
        return self._traced

    def _trace(self) -> Traced:
        features, latest = ["any"], ["any"]
        sources = sorted(self.sources.items(), key=_latest_first)[:_MAX_SOURCES]
        for source, (time, place, length) in sources:
            added = [f"from {source}"]
            if length > 1:
                added.append("first" if place == 0 else "last" if place == length - 1 else "middle")
            features += added
            latest += added
            if length > 1 and time == self.last:
                latest.append(f"place {min(place, 4)} of last result")
        lists = tuple((source, place) for source, (_, place, length) in self.sources.items() if length > 1)
        return Traced(features, latest, lists, frozenset(self.records), frozenset(self.fields))


def _latest_first(item: tuple[str, tuple[int, int, int]]) -> tuple[int, str]:
    source, (time, _, _) = item
    return -time, source


@dataclasses.dataclass(frozen=True, slots=True)
class PastCall:
    """A call in the conversation, with its arguments as keys; ``answered`` is whether its result has arrived."""

    call: ToolCall
    time: int
    arguments: dict[str, str]
    key: str
    error: bool = False
    answered: bool = False


class Result(NamedTuple):
    """A result in the conversation, with the tool and the arguments of its call."""

    time: int
    tool: str
    content: Content
    arguments: Mapping[str, Any]


class Index:
    """The values, messages, calls and results of a conversation. Times are numbers of events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.values: dict[str, Value] = {}
        self.by_shape: dict[str, dict[str, None]] = {}  # form -> keys of values, the latest seen last
        self.members: dict[str, dict[str, None]] = {}  # source of list elements -> their keys
        self.open_days: dict[str, None] = {}  # keys of days without a year
        self.calls: list[PastCall] = []
        self.of_tool: dict[str, tuple[int, ...]] = {}  # tool -> the numbers of its calls
        #: key -> the names of the arguments that had the value: of its first two uses, and then each other name once.
        self.uses: dict[str, tuple[str, ...]] = {}
        self.heard: dict[frozenset[str], tuple[int, int]] = {}  # kept by ``ToolModel`` until the next message
        self.users: list[tuple[int, texts.Text]] = []
        self.agents: list[tuple[int, texts.Text]] = []
        self.messages: tuple[Message, ...] = ()  # the last messages, latest first; a new object after each message
        self.results: list[Result] = []
        self.glosses: dict[str, str] = {}  # a name in lower case -> the code in brackets after the name
        self._pending: list[int] = []  # numbers of calls
        self._numbers: dict[tuple[str, str], int] = {}
        # Keys of the values, and the ids of the inner dicts of keys, that are not shared with a copy of this index.
        self._own: set[str] = set()
        self._own_keys: set[int] = set()

    @classmethod
    def of(cls, conversation: Conversation) -> Index:
        """Return the index of a whole conversation."""
        index = cls()
        index.extend(conversation.events)
        return index

    def extend(self, events: Sequence[Event]) -> None:
        """Add the next events."""
        for event in events:
            time = len(self.events)
            self.events.append(event)
            match event:
                case UserMessage(text):
                    self.users.append((time, texts.read(text)))
                    self._add_message(self.users[-1][1], time, "user")
                case AssistantMessage(text):
                    self.agents.append((time, texts.read(text)))
                    self._add_message(self.agents[-1][1], time, "agent")
                case ToolCall():
                    self._add_call(event, time)
                case ToolResult():
                    self._add_result(event, time)

    def copy(self) -> Index:
        """Return an index that can be extended without changing this index."""
        other = Index()
        other.events, other.calls = list(self.events), list(self.calls)
        other.values = dict(self.values)
        self._own = set()  # from now on, a value is copied before it is changed
        other.by_shape, other.members, self._own_keys = dict(self.by_shape), dict(self.members), set()
        other.open_days, other.of_tool, other.uses = dict(self.open_days), dict(self.of_tool), dict(self.uses)
        other.users, other.agents, other.messages = list(self.users), list(self.agents), self.messages
        other.heard = self.heard
        other.results, other.glosses = list(self.results), dict(self.glosses)
        other._pending, other._numbers = list(self._pending), dict(self._numbers)
        return other

    def last_of(self, tool: str) -> PastCall | None:
        """Return the last call of ``tool``."""
        numbers = self.of_tool.get(tool)
        return self.calls[numbers[-1]] if numbers else None

    def record(self, place: tuple[int, int]) -> Record:
        """Return a record by the numbers of its result and of the record in the result."""
        return self.results[place[0]].content.records[place[1]]

    def _value(self, value: Any, key: str, time: int) -> Value:
        found = self.values.get(key)
        if found is None:
            found = Value(value, key, texts.shape(value), texts.normal(value), time, time)
            self.values[key] = found
            if key.startswith('"????-'):
                self.open_days[key] = None
        else:
            found = self.values[key] = found.changed(key in self._own, time)
        self._own.add(key)
        alike = self._keys(self.by_shape, found.shape)
        alike.pop(key, None)
        alike[key] = None
        return found

    def _keys(self, parts: dict[str, dict[str, None]], name: str) -> dict[str, None]:
        """Return the keys called ``name`` in ``parts``, to be changed."""
        keys = parts.get(name)
        if keys is None or id(keys) not in self._own_keys:
            keys = parts[name] = dict(keys or ())
            self._own_keys.add(id(keys))
        return keys

    def _add_message(self, text: texts.Text, time: int, who: str) -> None:
        for entity in text.entities:
            found = self._value(entity.value, canonical(entity.value), time)
            found.sources[f"{who}:{entity.kind}"] = (time, 0, 1)
        self.glosses.update(text.glosses)
        self.heard = {}
        merged = [(time, "u", message) for time, message in self.users[-4:]]
        merged += [(time, "a", message) for time, message in self.agents[-3:]]
        self.messages = tuple(sorted(merged, key=lambda entry: -entry[0]))

    def _add_call(self, call: ToolCall, time: int) -> None:
        keys = {name: canonical(value) for name, value in call.arguments.items()}
        for name, value in call.arguments.items():
            uses = self.uses.get(keys[name], ())
            if len(uses) < 2 or name not in uses:
                self.uses[keys[name]] = (*uses, name)
            if isinstance(value, str) and len(value) > 120:
                continue
            found = self._value(value, keys[name], time)
            found.sources[f"arg:{call.name}.{name}"] = (time, 0, 1)
            found.fields[name] = None
        number = len(self.calls)
        self.calls.append(PastCall(call, time, keys, call.key))
        self.of_tool[call.name] = (*self.of_tool.get(call.name, ()), number)
        self._pending.append(number)

    def _add_result(self, result: ToolResult, time: int) -> None:
        same = [number for number in self._pending if self.calls[number].call.id == result.id] or self._pending
        if not same:
            return
        number = same[0]
        self._pending.remove(number)
        done = self.calls[number] = dataclasses.replace(self.calls[number], answered=True, error=result.error)
        if result.error:
            return
        text = json.dumps(result.content)
        content = content_of(done.call.name, text)
        # The same call with the same result keeps its number, but is recent again.
        number = self._numbers.setdefault((done.key, text), len(self.results))
        self.results[number : number + 1] = [Result(time, done.call.name, content, done.call.arguments)]
        for leaf in content.leaves:
            found = self._value(leaf.value, leaf.key, time)
            source = f"{done.call.name}:{leaf.path}"
            found.sources[source] = (time, leaf.place, leaf.length)
            if leaf.length > 1:
                self._keys(self.members, source)[leaf.key] = None
            found.fields[leaf.field] = None
            if leaf.record >= 0:
                found.records[number, leaf.record] = None
