"""The candidates for arguments at one moment of a conversation, with features that hold for any argument."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.log_linear import Flat, Ranker, flattened
from spec_envs.agents.pattern import text as texts
from spec_envs.agents.pattern.composites import composites
from spec_envs.agents.pattern.index import Index, Told, Value
from spec_envs.agents.pattern.memory import Memory, TaskCounts
from spec_envs.conversation import AssistantMessage, Conversation, UserMessage, canonical

#: The number of values of the conversation that are considered for one argument, unless the guesser says otherwise.
MAX_VALUES = 64
#: The number of constants of an argument that are considered although the conversation does not hold them.
_MAX_UNKNOWN = 24
#: A name may stand for a value if the value was an argument in more than this share of the tasks with the name.
_MIN_SHARE = 0.2

#: Where something was said: the time, the position in the message, and the word before.
Mention = tuple[int, int, str]
#: The names of a candidate's features.
Row = tuple[str, ...]
#: A domain's own candidates for an argument of a tool.
Extra = Callable[[Conversation, str, str], Iterable[Any]]


@dataclasses.dataclass(slots=True, eq=False)
class Candidate:
    """A value that may be an argument, with features that hold for any argument."""

    value: Any
    key: str
    shape: str
    features: list[str]  # the features of the value
    records: frozenset[tuple[int, int]]  # the records that hold the value
    fields: frozenset[str]  # names of fields and arguments that had the value
    lists: tuple[tuple[str, int], ...]  # the lists that hold the value, with the place in each
    mention: tuple[int, int] = (-1, -1)  # time and position of the latest mention in a message; (-1, -1): none
    last: int = -1  # when the value was seen last; -1 if never
    #: A ranker, the numbers of the features that it knows and, if it does not know all, how many it knew then.
    _numbers: tuple[Ranker, list[int], int] | None = dataclasses.field(default=None, init=False)
    _results: frozenset[int] | None = dataclasses.field(default=None, init=False)

    def numbers(self, ranker: Ranker, *, new: bool = False) -> list[int]:
        """Return the numbers that ``ranker`` has given to the features; ``new``: unknown features get numbers."""
        kept = self._numbers
        if kept is None or kept[0] is not ranker or (kept[2] and (new or kept[2] != len(ranker.known))):
            numbers = ranker.features(self.features, new=new)
            kept = self._numbers = ranker, numbers, len(ranker.known) if 0 in numbers else 0
        return kept[1]

    def results(self) -> frozenset[int]:
        """Return the numbers of the results that hold the value."""
        if self._results is None:
            self._results = frozenset([result for result, _ in self.records])
        return self._results

    def plus(self, features: list[str], mention: tuple[int, int]) -> Candidate:
        """Return this candidate with more features and another mention."""
        return Candidate(
            self.value,
            self.key,
            self.shape,
            self.features + features,
            self.records,
            self.fields,
            self.lists,
            mention,
            self.last,
        )


class Candidates(list[Candidate]):
    """The candidates for an argument, each value once. Arguments with the same candidates share one such list.

    Attributes:
        places: The position of each candidate, by its key.
        signature: Equal for lists that differ only in the candidates' own features: arguments add the same to these.

    Args:
        found: The candidates, by their keys.
        signatures: The signatures so far.
        shared: A list that this one continues; a few of the first candidates may be others than those of that list.
    """

    def __init__(
        self, found: dict[str, Candidate], signatures: dict[tuple[Any, ...], int], shared: Candidates | None = None
    ) -> None:
        super().__init__(found.values())
        self.places = {key: place for place, key in enumerate(found)}
        self._shared = shared
        self._own: Sequence[int] = range(len(self))  # the places of the candidates that are not those of ``shared``
        if shared is not None:
            kept = len(shared)
            self._own = [place for place, each in enumerate(self) if place >= kept or each is not shared[place]]
        own = [(place, self[place]) for place in self._own]
        signature = tuple((place, each.key, each.mention, each.last, each.fields) for place, each in own)
        known = (None if shared is None else shared.signature, signature)
        self.signature: int = signatures.setdefault(known, len(signatures))
        self._flat: Flat | None = None

    def sums(self, weights: NDArray[np.float64], ranker: Ranker) -> NDArray[np.float64]:
        """Return the sum of the weights of each candidate's own features, as far as ``ranker`` knows them."""
        if self._flat is None:
            self._flat = flattened([self[place].numbers(ranker) for place in self._own])
        if self._shared is None:
            return self._flat.sums(weights)
        sums = np.empty(len(self))
        sums[: len(self._shared)] = self._shared.sums(weights, ranker)
        sums[self._own] = self._flat.sums(weights)
        return sums

    def shape_of(self, key: str) -> str | None:
        """Return the form of the candidate with this key, if there is one."""
        place = self.places.get(key)
        return None if place is None else self[place].shape


class Added:
    """Rows of features that an argument adds to candidates, with the numbers of the features once they are known.

    A moment has one ranker of arguments, which gives the numbers.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self._numbers: list[list[int]] | None = None
        self._flat: Flat | None = None

    def numbers(self, number: Callable[[Row], list[int]], *, new: bool = False) -> list[list[int]]:
        """Return the numbers of the features, found by ``number``; ``new``: also of those that were unknown before."""
        if self._numbers is None or (new and any(0 in row for row in self._numbers)):
            self._numbers = [number(row) for row in self.rows]
        return self._numbers

    def flat(self, number: Callable[[Row], list[int]]) -> Flat:
        """Return the same in one array."""
        if self._flat is None:
            self._flat = flattened(self.numbers(number))
        return self._flat


class Described(NamedTuple):
    """The features that an argument of a tool adds to its candidates."""

    shared: Added  # for tools that were given none of the candidates
    places: list[int]  # of the candidates that have other features for this tool
    changed: Added  # these features


class Moment:
    """The end of an indexed conversation, with the candidates for each argument of each tool.

    The candidates of an argument are the ``max_values`` values of the conversation that were seen last. ``index`` must
    not be changed while the moment is in use. Counts of ``task`` itself in ``memory`` are ignored.
    """

    def __init__(
        self,
        index: Index,
        memory: Memory,
        task: str | None = None,
        extra: Extra | None = None,
        max_values: int = MAX_VALUES,
    ) -> None:
        self.index, self.memory, self.task = index, memory, task
        self._extra = extra
        self._max_values = max_values
        self.now = len(index.events)
        last = index.events[-1] if index.events else None
        self.after = {UserMessage: "user", AssistantMessage: "agent"}.get(type(last), "tool")
        self.user = index.users[-1] if index.users else (-1, texts.read(""))
        self.agent = index.agents[-1] if index.agents else (-1, texts.read(""))
        self.uses = index.uses
        self._messages = index.messages
        self._candidates: dict[str, Candidate] = {}
        #: The candidates of arguments, by all that they depend on: first by form alone, which many arguments share.
        self._formed: dict[tuple[Any, ...], tuple[dict[str, Candidate], Candidates]] = {}
        self._found: dict[tuple[Any, ...], Candidates] = {}
        self._signatures: dict[tuple[Any, ...], int] = {}
        self.described: dict[tuple[Any, ...], Described] = {}
        self.by_argument: dict[tuple[str, int], Any] = {}  # what an argument adds, by the candidates' signature
        self.states: dict[str, Any] = {}  # the state of each outcome, for the model of tools
        self.unused: dict[tuple[str, str], int] = {}  # the number of unused elements of each list, for each argument
        self._said: dict[tuple[int, int], tuple[set[str], set[str]]] = {}  # by record, as in ``_words_said``
        self._composed: dict[str, list[Candidate]] = {}
        self._dated = self._date() if index.open_days else {}
        self._latest: dict[str, list[Value]] = {}  # by form

    def candidates(self, tool: str, argument: str) -> Candidates:
        """Return every candidate for this argument, each value once."""
        shapes, start, choices = self.memory.admits(tool, argument)
        constants = self._constants(tool, argument, choices)
        if self._extra:
            return self._all_candidates(shapes, start, constants, self._extra_of(tool, argument))
        key = (shapes.all, start, tuple((key, *features) for key, features in constants.items()))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._all_candidates(shapes, start, constants)
        return found

    def _all_candidates(
        self, shapes: texts.Forms, start: str | None, constants: dict[str, list[str]], extra: Iterable[Any] = ()
    ) -> Candidates:
        if (shapes.all, start) not in self._formed:
            formed = self._of_forms(shapes, start)
            self._formed[shapes.all, start] = formed, Candidates(formed, self._signatures)
        formed, shared = self._formed[shapes.all, start]
        if not constants and not extra:
            return shared
        found, names = dict(formed), self._called
        for key, features in constants.items():
            known = found.get(key) or self._unseen(key)
            called = names.get(key)
            mention = known.mention if called is None or known.mention[0] >= called[1][0] else called[1][:2]
            found[key] = known.plus(features, mention)
        for value in extra:
            key = canonical(value)
            known = found.get(key) or self._unseen(key)
            found[key] = known.plus(["from extra"], known.mention)
        return Candidates(found, self._signatures, shared)

    def _of_forms(self, shapes: texts.Forms, start: str | None) -> dict[str, Candidate]:
        """Return the values of the admitted forms, and what can be built of them, as candidates by their keys."""
        found = {value.key: self._candidate(value) for value in self._values(shapes, start)}
        for shape in shapes:
            if shape.startswith(("[", "{")):
                for each in self._compose(shape):
                    if each.key in found:
                        known = found[each.key]
                        others = [name for name in each.features if name not in known.features]
                        found[each.key] = dataclasses.replace(
                            known, features=known.features + others, records=known.records | each.records
                        )
                    else:
                        found[each.key] = each
        return found

    def _extra_of(self, tool: str, argument: str) -> Iterable[Any]:
        return self._extra(Conversation(tuple(self.index.events)), tool, argument) if self._extra else ()

    def _values(self, shapes: texts.Forms, start: str | None) -> list[Value]:
        """Return the latest values of the admitted forms; within a form, the latest value comes last."""
        forms = {*self.index.by_shape, *(each.shape for each in self._dated.values())}
        admitted = [form for form in forms if form in shapes or (start is not None and form.startswith(start))]
        found = [value for form in sorted(admitted) for value in self._latest_of(form)]
        if len(found) > self._max_values:
            lasts = [value.last for value in found]
            places = heapq.nlargest(self._max_values, range(len(found)), key=lasts.__getitem__)
            found = [found[place] for place in sorted(places)]
        return found

    def _latest_of(self, form: str) -> list[Value]:
        found = self._latest.get(form)
        if found is None:
            values, open_days, dated = self.index.values, self.index.open_days, self._dated
            keys = (key for key in reversed(self.index.by_shape.get(form, {})) if key not in open_days)
            found = [values[key] for key in itertools.islice(keys, self._max_values) if key not in dated]
            found.reverse()
            found += [value for value in dated.values() if value.shape == form]
            self._latest[form] = found
        return found

    def _date(self) -> dict[str, Value]:
        """Return the days without a year, in the usual year, or else in the latest year in the conversation."""
        index, dated = self.index, dict[str, Value]()
        year = self.memory.year(self.task)
        if year is None:
            dates = (key for key in index.values if key.startswith(('"19', '"20')))
            years = [key[1:5] for key in dates if re.fullmatch(r'"\d{4}-\d\d-\d\d.*"', key)]
            year = max(years, default="????")
        for each in (index.values[key] for key in index.open_days):
            date = f"{year}{each.value[4:]}"
            known = index.values.get(canonical(date))
            merged = Value(date, canonical(date), texts.shape(date), texts.normal(date), each.first, each.last)
            merged.sources = each.sources | (known.sources if known else {})
            if known:
                merged.last, merged.fields, merged.records = max(each.last, known.last), known.fields, known.records
            dated[merged.key] = merged
        return dated

    def _candidate(self, value: Value) -> Candidate:
        made = self._candidates.get(value.key)
        if made is None:
            made = self._candidates[value.key] = self._describe(value)
        return made

    def _describe(self, value: Value) -> Candidate:
        traced, told = value.traced(), value.told
        if told is None or told.messages is not self._messages:
            told = self._tell(value)
            if value.last >= 0:  # values that are not in the conversation are shared by all conversations
                value.told = told
        age, times = _bucket(self.now - value.last), min(2, len(self.uses.get(value.key, ())))
        since = _bucket(self.now - told.mention[0]) if told.mention[0] >= 0 else ""
        made = told.described.get((age, times, since))
        if made is not None:
            return made  # type: ignore[no-any-return]
        features = [*(traced.latest if age == "0" else traced.features), f"age {age}", f"times {times}"]
        if since:
            features.append(f"latest {told.who}{since}")
        features += told.features
        key, shape, mention = value.key, value.shape, told.mention
        records, fields, lists = traced.records, traced.fields, traced.lists
        made = Candidate(value.value, key, shape, features, records, fields, lists, mention, value.last)
        told.described[age, times, since] = made
        return made

    def _tell(self, value: Value) -> Told:
        features, mention, author = list[str](), (-1, -1), ""
        for time, who, position, message in self._mentions(value.normal):
            if mention[0] < 0:
                mention, author = (time, position), who
                features.append(f"after {message.word_before(position, value.normal)}")
            if who == "u" and time == self.user[0]:
                features.append("said last")
                features.append(f"said after {message.word_before(position, value.normal)}")
            elif who == "a" and time == self.agent[0]:
                features.append("written last")
        if mention[0] < 0:
            features.append("never said")
        return Told(self._messages, mention, author, features + self._siblings(value) + self._words(value), {})

    def _mentions(self, wanted: str) -> Iterator[tuple[int, str, int, texts.Text]]:
        """Yield the messages that mention the normal form ``wanted``, latest first: time, author, position, text."""
        for time, who, message in self._messages:
            position = message.find(wanted)
            if position >= 0:
                yield time, who, position, message

    def _words(self, value: Value) -> list[str]:
        """Return whether the words in an id, such as ``gift_card_123``, were said."""
        words = [word for word in value.normal.split(" ") if word.isalpha() and len(word) > 2]
        if not words or len(words) == value.normal.count(" ") + 1:
            return []
        said = all(word in self.user[1].vocabulary for word in words)
        written = all(word in self.agent[1].vocabulary for word in words)
        earlier = any(all(word in text.vocabulary for word in words) for _, text in self.index.users[:-1])
        return [f"words {'said' if said else 'written' if written else 'said earlier' if earlier else 'not said'}"]

    def _siblings(self, value: Value) -> list[str]:
        """Return how many other values of the record of ``value`` were said, such as a card's last four digits."""
        said = written = 0
        for record in list(value.records)[-3:]:
            by_user, by_agent = self._words_said(record)
            said = max(said, len(by_user) - (value.normal in by_user))
            written = max(written, len(by_agent) - (value.normal in by_agent))
        return [f"sibling said {min(said, 3)}", f"sibling written {min(written, 3)}"]

    def _words_said(self, record: tuple[int, int]) -> tuple[set[str], set[str]]:
        """Return the values in a record that the user's last message mentions, and those that the agent's mentions."""
        found = self._said.get(record)
        if found is None:
            words, user, agent = self.index.record(record).words, self.user[1], self.agent[1]
            by_user = {each for each in words if user.find(each) >= 0}
            found = self._said[record] = by_user, {each for each in words if agent.find(each) >= 0}
        return found

    def _unseen(self, key: str) -> Candidate:
        made = self._candidates.get(key)
        return self._candidate(_known(key)) if made is None else made

    def _constants(self, tool: str, argument: str, choices: tuple[Any, ...]) -> dict[str, list[str]]:
        memory, found = self.memory, dict[str, list[str]]()
        used = max(1, memory.given.count(f"{tool}.{argument}", self.task))
        for place, name in ((f"{tool}.{argument}", "constant"), (argument, "constant elsewhere")):
            counts = memory.constants.get(place, TaskCounts())
            for key in self._likely(counts):
                share = counts.count(key, self.task) / used
                found.setdefault(key, [f"is {key}"]).append(f"{name} {min(9, int(10 * share))}")
        for choice in choices:
            found.setdefault(canonical(choice), []).append("choice")
        if argument not in memory.constants:
            return found
        for key, (share, (time, _, before)) in self._called.items():
            known = share > 1 and texts.shape(json.loads(key)) in memory.admits(tool, argument)[0]
            if known or memory.constants[argument].count(key, self.task):
                when = "now" if time == self.user[0] else "before"
                found.setdefault(key, []).extend(
                    [f"called {min(12, int(10 * share))} {when}", f"called after {before}, {when}"]
                )
        return found

    def _likely(self, constants: TaskCounts) -> Iterable[str]:
        """Return the constants that are in the conversation, and the most frequent others."""
        common, values = constants.common(self.task), self.index.values
        if len(common) <= _MAX_UNKNOWN:
            return common
        known = [key for key in common if key in values]
        unknown = [key for key in common if key not in values]
        return known + heapq.nlargest(_MAX_UNKNOWN, unknown, key=lambda key: constants.count(key, self.task))

    @functools.cached_property
    def _called(self) -> dict[str, tuple[float, Mention]]:
        """The values that names in the user's messages stand for, each with its certainty and the place of the name."""
        found: dict[str, tuple[float, Mention]] = {}
        for time, text in reversed(self.index.users[-4:]):
            for name in text.names:
                position = text.find(texts.normal(name))
                for key, share in self._meanings(name).items():
                    known = found.get(key)
                    if share > _MIN_SHARE and (known is None or (known[1][0] == time and known[0] < share)):
                        found[key] = (share, (time, position, text.word_before(position)))
        return found

    def _meanings(self, name: str) -> dict[str, float]:
        meanings = self.memory.associations(name, self.task)
        known = self.memory.glosses.get(name, TaskCounts())
        meanings |= {key: 1.1 for key in known.tasks if known.count(key, self.task)}
        if name in self.index.glosses:
            meanings[canonical(self.index.glosses[name])] = 1.2
        return meanings

    def _compose(self, shape: str) -> list[Candidate]:
        made = self._composed.get(shape)
        if made is None:
            made = []
            for key, each in composites(self.index, shape, self.memory.order).items():
                features = ["any", f"like {shape}", *(f"from {source}" for source in each.sources)]
                features.append(f"times {min(2, len(self.uses.get(key, ())))}")
                features.append(f"long {min(5, len(each.value))}")
                features.append(f"age {_bucket(self.now - each.last)}")
                records = frozenset(each.records)
                made.append(Candidate(each.value, key, shape, features, records, frozenset(), (), last=each.last))
            self._composed[shape] = made
        return made


@functools.lru_cache(maxsize=65536)
def _known(key: str) -> Value:
    """Return a value that is not in the conversation. Cached, so it must not be changed."""
    value = json.loads(key)
    return Value(value, key, texts.shape(value), texts.normal(value), -1, -1)


def _bucket(age: int) -> str:
    return "0" if age <= 1 else "1" if age <= 3 else "2" if age <= 6 else "3" if age <= 12 else "4"
