"""The candidates for one argument of one tool at one moment, with the features of each."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence

from spec_envs.agents.pattern.index import PastCall
from spec_envs.agents.pattern.moment import Added, Candidate, Candidates, Described, Moment, Row

#: The candidates chosen for earlier arguments; ``None`` for an omitted argument.
Chosen = Mapping[str, Candidate | None]


@dataclasses.dataclass(slots=True)
class ArgumentChoice:
    """The choice of one argument of a tool at one moment: the candidates, and their features for this argument."""

    tool: str
    argument: str
    candidates: Candidates
    described: Described  # the features for this argument; those for any argument are in the candidate
    optional: bool


def argument_choice(moment: Moment, tool: str, argument: str) -> ArgumentChoice:
    """Return the candidates for an argument, with the features that do not depend on other arguments."""
    candidates = moment.candidates(tool, argument)
    optional = moment.memory.optional(tool, argument, moment.task)
    return ArgumentChoice(tool, argument, candidates, _described(moment, tool, argument, candidates), optional)


def _described(moment: Moment, tool: str, argument: str, candidates: Candidates) -> Described:
    """Return the features for this argument. Tools whose calls had the same candidates as values share them."""
    index, places = moment.index, candidates.places
    calls = (index.calls[number].arguments.get(argument) for number in index.of_tool.get(tool, ()))
    used = frozenset([key for key in calls if key in places])
    done = index.last_of(tool)
    previous = None if done is None else done.arguments.get(argument)
    previous = previous if previous in used else None
    key = (argument, candidates.signature, used, previous)
    found = moment.described.get(key)
    if found is None:
        adding = moment.by_argument.get(key[:2])
        if adding is None:
            adding = moment.by_argument[key[:2]] = _Adding(moment, argument, candidates)
        found = moment.described[key] = adding.described(used, previous)
    return found


class _Adding:
    """The features that an argument adds to its candidates.

    They are computed for a tool that was given none of the candidates, and adapted to tools that were given some.
    """

    def __init__(self, moment: Moment, argument: str, candidates: Candidates) -> None:
        self._candidates = candidates
        self._starts = _starts(moment, argument, candidates)
        self._now = (moment.user[0], moment.agent[0])
        #: The candidates in each list with their places, and in each message; in the order of the list or the message.
        self._lists: dict[str, list[tuple[int, int]]] = {}
        self._said: dict[int, list[int]] = {}
        for number, each in enumerate(candidates):
            for source, place in each.lists:
                self._lists.setdefault(source, []).append((place, number))
            if each.mention[0] >= 0:
                self._said.setdefault(each.mention[0], []).append(number)
        for members in self._said.values():
            members.sort(key=lambda number: candidates[number].mention[1])
        self._orders = {
            time: list(dict.fromkeys(candidates[number].mention[1] for number in members))
            for time, members in self._said.items()
        }
        for ordered in self._lists.values():
            ordered.sort()
        self._first = {source: ordered[0][1] for source, ordered in self._lists.items()}
        self._first_said = {time: places[0] for time, places in self._orders.items()}
        firsts = frozenset(self._first.values())
        self._shared = Added([self._row(number, "", firsts, self._first_said) for number in range(len(candidates))])

    def described(self, used: frozenset[str], previous: str | None) -> Described:
        """Return each candidate's features for a tool whose calls had the values ``used``, the last ``previous``."""
        if not used:
            return Described(self._shared, [], Added([]))
        candidates = self._candidates
        given = {candidates.places[key]: f"used here{' last' * (key == previous)}" for key in used}
        others = set(given)  # candidates whose features may differ from the shared ones
        first, first_said = dict(self._first), dict(self._first_said)
        for number in given:
            for source, _ in candidates[number].lists:
                first[source] = next((each for _, each in self._lists[source] if each not in given), -1)
                others.add(first[source])
            time = candidates[number].mention[0]
            if time >= 0:
                unused = (each for each in self._said[time] if each not in given)
                first_said[time] = next((candidates[each].mention[1] for each in unused), -1)
                others.update(self._said[time])
        others.discard(-1)
        firsts = frozenset(first.values())
        rows = {number: self._row(number, given.get(number, ""), firsts, first_said) for number in others}
        changed = {number: row for number, row in rows.items() if row != self._shared.rows[number]}
        return Described(self._shared, list(changed), Added(list(changed.values())))

    def _row(self, number: int, given: str, firsts: frozenset[int], first_said: Mapping[int, int]) -> Row:
        each, (start, *row) = self._candidates[number], self._starts[number]
        if each.lists and not given:
            row.append("next of list" if number in firsts else "unused of list")
        time, place = each.mention
        if time >= 0:
            order = self._orders[time]
            when = "now" if time in self._now else "before"
            row.append(f"said as {min(3, order.index(place))} of {min(3, len(order))} {when}")
            if place == first_said[time]:
                row.append(f"first said of the unused {when}")
        return (given or start, *row)


def _starts(moment: Moment, argument: str, candidates: Candidates) -> list[Row]:
    """Return the features of each candidate that are the same for all tools that were not given the candidate."""
    with_argument = (each.arguments for each in reversed(moment.index.calls) if argument in each.arguments)
    elsewhere = next((arguments[argument] for arguments in with_argument), "")
    mentions = _ranks({each.mention for each in candidates if each.mention[0] >= 0})
    ages = _ranks({(each.last,) for each in candidates if each.last >= 0})
    found = []
    for each in candidates:
        if argument in moment.uses.get(each.key, ()):
            use = "used as this last" if each.key == elsewhere else "used as this"
        else:
            use = "not used as this"
        field = (_FIELD[_most_alike(each.fields, argument)],) if each.fields else ()
        found.append((use, *field, _MENTION[mentions.get(each.mention, 9)], _RECENT[ages.get((each.last,), 9)]))
    return found


def _ranks(places: Collection[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
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


class CallSoFar:
    """Features of candidates that depend on the arguments already ``chosen``, and on the calls made so far.

    Args:
        moment: Where the call is predicted.
        choice: The argument that is chosen next.
        chosen: The arguments that are chosen already.
        begun: The calls of the same tool with the same values for the chosen arguments, in their order.
        final: Whether the argument is the last one.
    """

    def __init__(
        self, moment: Moment, choice: ArgumentChoice, chosen: Chosen, begun: Sequence[PastCall], final: bool
    ) -> None:
        self._final, self._last = final, moment.index.calls[-1:]
        self._equals: dict[str, list[str]] = {}
        for name, each in chosen.items():
            if each is not None:
                self._equals.setdefault(each.key, []).append(f"equals {name}")
        records = [each.records for each in chosen.values() if each is not None and each.records]
        self._records = records[-1] if records else frozenset()
        self._results = frozenset([result for result, _ in self._records])
        #: The last call that began like this one, by its value for this argument.
        self._made: dict[str | None, PastCall] = {each.arguments.get(choice.argument): each for each in begun}
        self._swapped: dict[str, list[str]] = {}
        self._before = self._shape = None
        self._compares = False  # whether a value may be above or below the one of the last call
        self._same = self._new = ""
        done = moment.index.last_of(choice.tool)
        if done is not None:
            how = "first" if not chosen else "so far as before" if begun and begun[-1] is done else "other"
            result = "failed" if done.error else "done"
            self._same, self._new = f"{how}, same, {result}", f"{how}, new, {result}"
            self._before = done.arguments.get(choice.argument)
            self._shape = None if self._before is None else choice.candidates.shape_of(self._before)
            self._compares = bool(chosen) and self._before is not None
            for name, key in done.arguments.items():
                if name != choice.argument:
                    self._swapped.setdefault(key, []).append(f"was {name}")
        self._turns = bool(chosen) and bool(self._made)
        #: The features of the many candidates that no call and no other argument had, by those of their records.
        self._usual: dict[tuple[str, ...], tuple[str, ...]] = {}

    def features(self, candidate: Candidate) -> tuple[str, ...]:
        """Return the features of a candidate."""
        key, records = candidate.key, self._features_of_records(candidate)
        if (
            key in self._made
            or key in self._equals
            or key in self._swapped
            or (self._compares and candidate.shape == self._shape)
        ):
            return self._features(candidate, records)
        usual = self._usual.get(records)
        if usual is None:
            usual = self._usual[records] = self._features(candidate, records)
        return usual

    def _features(self, candidate: Candidate, records: tuple[str, ...]) -> tuple[str, ...]:
        key = candidate.key
        features = [*self._equals.get(key, ()), *records]
        if self._new:
            features.append(self._same if key == self._before else self._new)
            features += self._swapped.get(key, ())
            if self._compares and key != self._before and candidate.shape == self._shape:
                features.append("above the last" if key > (self._before or "") else "below the last")
        if self._turns:
            again = key in self._made
            features.append("begins a call that was made" if again else "turns from calls that were made")
        if self._final:
            features.append(self._completes(key))
        return tuple(features)

    def _features_of_records(self, candidate: Candidate) -> tuple[str, ...]:
        if not self._records or not candidate.records:
            return ()
        if not self._records.isdisjoint(candidate.records):
            return ("same record", "same result")
        near = not self._results.isdisjoint(candidate.results())
        return ("other record", "same result" if near else "other result")

    def _completes(self, key: str) -> str:
        equal = self._made.get(key)
        if equal is None:
            return "completes something new"
        place = "the last call" if equal is self._last[0] else "an earlier call"
        return f"completes {place}, {'failed' if equal.error else 'done'}"


def calls_of(moment: Moment, tool: str) -> list[PastCall]:
    """Return the calls of ``tool``, in their order."""
    return [moment.index.calls[number] for number in moment.index.of_tool.get(tool, ())]


def calls_with(calls: Sequence[PastCall], argument: str, chosen: Candidate | None) -> Sequence[PastCall]:
    """Return the ``calls`` whose ``argument`` had the chosen value; with ``None``, those that omitted the argument."""
    key = None if chosen is None else chosen.key
    return [each for each in calls if each.arguments.get(argument) == key] if calls else calls
