"""The candidates for one argument of one tool at one moment, with the features of each."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from spec_envs.agents.pattern.moment import Candidate, Described, Moment

#: The candidates chosen for earlier arguments; ``None`` for an omitted argument.
Chosen = Mapping[str, Candidate | None]


@dataclasses.dataclass(slots=True)
class ArgumentChoice:
    """The choice of one argument of a tool at one moment: the candidates, and what this argument makes of each."""

    tool: str
    argument: str
    candidates: list[Candidate]
    described: Described  # features beside those of the candidate itself, which hold for any argument
    optional: bool
    shapes: dict[str, str]  # the form of every candidate, by key


def argument_choice(moment: Moment, tool: str, argument: str) -> ArgumentChoice:
    """Return the candidates for an argument, with the features that do not depend on other arguments."""
    candidates = moment.candidates(tool, argument)
    shapes = {each.key: each.shape for each in candidates}
    optional = moment.memory.optional(tool, argument, moment.task)
    return ArgumentChoice(tool, argument, candidates, _described(moment, tool, argument, candidates), optional, shapes)


def _described(moment: Moment, tool: str, argument: str, candidates: Sequence[Candidate]) -> Described:
    """Return what the argument adds: the same for all tools that were given the same candidates as this argument."""
    index = moment.index
    calls = (index.calls[number].arguments.get(argument) for number in index.of_tool.get(tool, ()))
    used = frozenset(calls).intersection(each.key for each in candidates)
    done = index.last_of(tool)
    previous = None if done is None else done.arguments.get(argument)
    previous = previous if previous in used else None
    key = (argument, used, previous, tuple((each.key, each.mention, each.last, each.fields) for each in candidates))
    found = moment.described.get(key)
    if found is None:
        found = moment.described[key] = Described(_features(moment, argument, used, previous, candidates))
    return found


def _features(
    moment: Moment, argument: str, used: frozenset[str | None], previous: str | None, candidates: Sequence[Candidate]
) -> list[list[str]]:
    elsewhere = next(
        (each.arguments[argument] for each in reversed(moment.index.calls) if argument in each.arguments), ""
    )
    mentions = _ranks({each.mention: each for each in candidates if each.mention[0] >= 0})
    ages = _ranks({(each.last,): each for each in candidates if each.last >= 0})
    fresh = _fresh(used, candidates)
    places: dict[int, list[int]] = {}
    for each in candidates:
        places.setdefault(each.mention[0], []).append(each.mention[1])
    orders = {time: sorted(set(found)) for time, found in places.items()}
    unused: dict[int, int] = {}
    for each in candidates:
        time, place = each.mention
        if each.key not in used and place <= unused.get(time, place):
            unused[time] = place
    rows = []
    for each in candidates:
        row: list[str] = []
        if each.key in used:
            row.append("used here last" if each.key == previous else "used here")
        elif any(name == argument for _, name in moment.uses.get(each.key, ())):
            row.append("used as this last" if each.key == elsewhere else "used as this")
        else:
            row.append("not used as this")
        if each.fields:
            row.append(_FIELD[_most_alike(each.fields, argument)])
        row.append(_MENTION[mentions.get(each.mention, 9)])
        row.append(_RECENT[ages.get((each.last,), 9)])
        if each.key in fresh:
            row.append("next of list" if fresh[each.key] else "unused of list")
        time, place = each.mention
        if time >= 0:
            order = orders[time]
            when = "now" if time in (moment.user[0], moment.agent[0]) else "before"
            row.append(f"said as {min(3, order.index(place))} of {min(3, len(order))} {when}")
            if place == unused.get(time):
                row.append(f"first said of the unused {when}")
        rows.append(row)
    return rows


def _ranks(places: Mapping[tuple[int, ...], Candidate]) -> dict[tuple[int, ...], int]:
    return {place: min(rank, 4) for rank, place in enumerate(sorted(places, reverse=True))}


_FIELD = [f"field {likeness}" for likeness in range(4)]
_MENTION = [f"mention {rank}" for rank in range(10)]
_RECENT = [f"recent {rank}" for rank in range(10)]


@functools.lru_cache(maxsize=16384)
def _most_alike(fields: frozenset[str], argument: str) -> int:
    return max(_alike(field, argument) for field in fields)


def _alike(field: str, argument: str) -> int:
    """Return how similar a field's name is to an argument's: 3 equal, 2 one ends with the other, 1 a common word."""
    if field == argument:
        return 3
    if field and (argument.endswith(f"_{field}") or field.endswith(f"_{argument}")):
        return 2
    return int(bool(set(field.rstrip("s").split("_")) & set(argument.rstrip("s").split("_"))))


def _fresh(used: frozenset[str | None], candidates: Sequence[Candidate]) -> dict[str, bool]:
    """Return the list elements that were not yet ``used`` for the argument; ``True`` for the first of each list."""
    first: dict[str, tuple[int, str]] = {}
    fresh: dict[str, bool] = {}
    for each in candidates:
        if each.lists and each.key not in used:
            fresh[each.key] = False
            for source, place in each.lists:
                if source not in first or place < first[source][0]:
                    first[source] = (place, each.key)
    for _, key in first.values():
        fresh[key] = True
    return fresh


class CallSoFar:
    """Features of candidates that depend on the arguments ``chosen`` before, and on the calls made so far."""

    def __init__(self, moment: Moment, choice: ArgumentChoice, chosen: Chosen, final: bool) -> None:
        self._choice, self._final, self._calls = choice, final, moment.index.calls
        self._keys = {name: None if each is None else each.key for name, each in chosen.items()}
        self._names = [(name, key) for name, key in self._keys.items() if key is not None]
        records = [each.records for each in chosen.values() if each is not None and each.records]
        self._records = records[-1] if records else frozenset()
        self._results = {result for result, _ in self._records}
        self._done = done = moment.index.last_of(choice.tool)
        if done is not None:
            agree = all(done.arguments.get(name) == key for name, key in self._keys.items())
            self._how = "first" if not chosen else "so far as before" if agree else "other"
            self._result = "failed" if done.error else "done"
            self._before = done.arguments.get(choice.argument)
            self._swapped: dict[str, list[str]] = {}
            for name, key in done.arguments.items():
                if name != choice.argument:
                    self._swapped.setdefault(key, []).append(f"was {name}")
        same_tool = (self._calls[number] for number in moment.index.of_tool.get(choice.tool, ()))
        self._made = [
            each for each in same_tool if all(each.arguments.get(name) == key for name, key in self._keys.items())
        ]

    def features(self, candidate: Candidate) -> list[str]:
        """Return the features of a candidate."""
        features = [f"equals {name}" for name, key in self._names if key == candidate.key]
        if self._records and candidate.records:
            same = not self._records.isdisjoint(candidate.records)
            near = same or any(result in self._results for result, _ in candidate.records)
            features.append("same record" if same else "other record")
            features.append("same result" if near else "other result")
        if self._done is not None:
            same = candidate.key == self._before
            features.append(f"{self._how}, {'same' if same else 'new'}, {self._result}")
            features += self._swapped.get(candidate.key, ())
            before = self._before
            if self._keys and before is not None and not same and candidate.shape == self._choice.shapes.get(before):
                features.append("above the last" if candidate.key > before else "below the last")
        if self._keys and self._made:
            again = any(each.arguments.get(self._choice.argument) == candidate.key for each in self._made)
            features.append("begins a call that was made" if again else "turns from calls that were made")
        if self._final:
            features.append(self._completes(candidate))
        return features

    def _completes(self, candidate: Candidate) -> str:
        equal = [each for each in self._made if each.arguments.get(self._choice.argument) == candidate.key]
        if not equal:
            return "completes something new"
        place = "the last call" if equal[-1] is self._calls[-1] else "an earlier call"
        return f"completes {place}, {'failed' if equal[-1].error else 'done'}"
