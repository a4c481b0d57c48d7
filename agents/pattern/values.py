"""Which value for each argument: candidates by provenance, ranked by a log-linear model, joined by a beam."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.pattern.ranker import Ranker, Rows, rows_of, softmax
from spec_envs.agents.pattern.state import Candidate, State
from spec_envs.conversation import ToolCall, canonical

#: Beside candidates, two things may be right: something that is no candidate, and to leave the argument out.
_UNKNOWN = "(unknown)"
_OMITTED = "(omitted)"
#: Candidates of an argument that the beam looks at, and partial calls that it keeps.
_BREADTH = 16
_BEAM = 10
#: A partial call this much less likely (natural logarithm) than the best is dropped.
_BEHIND = 7.0


@dataclasses.dataclass(slots=True)
class Slot:
    """One argument of a tool at one moment: what it may be, and the features of each possibility."""

    tool: str
    argument: str
    candidates: list[Candidate]
    features: list[list[str]]
    optional: bool
    shapes: dict[str, str]  # of every candidate, by key


@dataclasses.dataclass(slots=True)
class Partial:
    """A call in the making."""

    chosen: dict[str, Candidate | None]
    score: float


class ArgumentModel:
    """Ranks the values of arguments, given the arguments before them.

    Args:
        ranker: The weights.
    """

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker()

    def decisions(self, state: State, call: ToolCall) -> list[tuple[Rows, int]]:
        """What is to be learned from ``call`` having been made at ``state``: for each argument, rows and the right one."""
        found = []
        chosen: dict[str, Candidate | None] = {}
        names = list(state.memory.tools.get(call.name, call.arguments))
        for position, argument in enumerate(names):
            slot = slot_of(state, call.name, argument)
            right = self._right(slot, call)
            final = position == len(names) - 1
            features = [
                list(each) + given(state, slot, candidate, chosen, final)
                for each, candidate in zip(slot.features, slot.candidates, strict=True)
            ]
            features += _others(slot)
            known = [[self.ranker.feature(name, new=True) for name in row] for row in features]
            found.append((rows_of(known, self._contexts(slot, new=True)), right))
            chosen[argument] = _chosen(slot, right, call.arguments.get(argument))
        return found

    def complete(self, state: State, tool: str) -> list[tuple[dict[str, Any], float]]:
        """Arguments for a call of ``tool``, most likely first, with their probability given that it is called."""
        beam = [Partial({}, 0.0)]
        names = list(state.memory.tools.get(tool, ()))
        for position, argument in enumerate(names):
            slot = slot_of(state, tool, argument)
            beam = self._extend(state, slot, beam, position == len(names) - 1)
            if not beam:
                return []
        return [
            ({name: each.value for name, each in partial.chosen.items() if each is not None}, math.exp(partial.score))
            for partial in beam
        ]

    def _extend(self, state: State, slot: Slot, beam: Sequence[Partial], final: bool) -> list[Partial]:
        ranker = self.ranker
        weights = ranker.weights(self._contexts(slot))
        base = _sums(weights, [[ranker.feature(name) for name in row] for row in slot.features])
        others = _sums(weights, [[ranker.feature(name) for name in row] for row in _others(slot)])
        order = np.argsort(-base, kind="stable")
        best, rest = order[:_BREADTH].tolist(), base[order[_BREADTH:]]
        extended = []
        for partial in beam:
            scores = [
                base[i]
                + sum(
                    weights[ranker.feature(name)]
                    for name in given(state, slot, slot.candidates[i], partial.chosen, final)
                )
                for i in best
            ]
            shares = softmax(np.concatenate([scores, others, rest]))
            options: list[Candidate | None] = [slot.candidates[i] for i in best]
            if slot.optional:
                options.append(None)
                shares = np.delete(shares, len(best))  # that of the unknown value, which cannot be guessed
            for option, share in zip(options, shares.tolist(), strict=False):
                score = partial.score + math.log(share + 1e-12)
                extended.append(Partial(partial.chosen | {slot.argument: option}, score))
        extended.sort(key=lambda partial: -partial.score)
        return [each for each in extended[:_BEAM] if each.score > extended[0].score - _BEHIND]

    def _contexts(self, slot: Slot, *, new: bool = False) -> list[int]:
        names = ("", slot.argument, f"{slot.tool}.{slot.argument}")
        return [self.ranker.context(name, new=new) for name in names]

    def _right(self, slot: Slot, call: ToolCall) -> int:
        if slot.argument not in call.arguments:
            return len(slot.candidates) + slot.optional  # unknown, if it cannot be left out
        key = canonical(call.arguments[slot.argument])
        for number, candidate in enumerate(slot.candidates):
            if candidate.key == key:
                return number
        return len(slot.candidates)


def slot_of(state: State, tool: str, argument: str) -> Slot:
    """The candidates of an argument, with those features that do not depend on other arguments."""
    candidates = state.candidates(tool, argument)
    features = _features(state, tool, argument, candidates)
    shapes = {each.key: each.shape for each in candidates}
    return Slot(tool, argument, candidates, features, state.memory.optional(tool, argument, state.task), shapes)


def _features(state: State, tool: str, argument: str, candidates: Sequence[Candidate]) -> list[list[str]]:
    done = state.latest.get(tool)
    previous = None if done is None else done.arguments.get(argument)
    elsewhere = next(
        (each.arguments[argument] for each in reversed(state.index.calls) if argument in each.arguments), ""
    )
    mentions = _ranks({each.mention: each for each in candidates if each.mention[0] >= 0})
    ages = _ranks({(each.last,): each for each in candidates if each.last >= 0})
    fresh = _fresh(state, tool, argument, candidates)
    places: dict[int, list[int]] = {}
    for each in candidates:
        places.setdefault(each.mention[0], []).append(each.mention[1])
    orders = {time: sorted(set(found)) for time, found in places.items()}
    unused = {
        time: min(
            (c.mention[1] for c in candidates if c.mention[0] == time and not _used(state, tool, argument, c)),
            default=-1,
        )
        for time in orders
    }
    rows = []
    for each in candidates:
        row = list(each.features)
        uses = state.uses.get(each.key, ())
        if (tool, argument) in uses:
            row.append("used here last" if each.key == previous else "used here")
        elif any(name == argument for _, name in uses):
            row.append("used as this last" if each.key == elsewhere else "used as this")
        else:
            row.append("not used as this")
        if each.fields:
            row.append(f"field {max(_alike(field, argument) for field in each.fields)}")
        row.append(f"mention {mentions.get(each.mention, 9)}")
        row.append(f"recent {ages.get((each.last,), 9)}")
        if each.key in fresh:
            row.append("next of list" if fresh[each.key] else "unused of list")
        time, place = each.mention
        if time >= 0:
            order = orders[time]
            when = "now" if time in (state.user[0], state.agent[0]) else "before"
            row.append(f"said as {min(3, order.index(place))} of {min(3, len(order))} {when}")
            if place == unused[time]:
                row.append(f"first said of the unused {when}")
        rows.append(row)
    return rows


def _used(state: State, tool: str, argument: str, candidate: Candidate) -> bool:
    return (tool, argument) in state.uses.get(candidate.key, ())


def _ranks(places: Mapping[tuple[int, ...], Candidate]) -> dict[tuple[int, ...], int]:
    return {place: min(rank, 4) for rank, place in enumerate(sorted(places, reverse=True))}


def _alike(field: str, argument: str) -> int:
    """How much a field's name is like an argument's: 3 equal, 2 the one ends with the other, 1 a common word."""
    if field == argument:
        return 3
    if field and (argument.endswith(f"_{field}") or field.endswith(f"_{argument}")):
        return 2
    return int(bool(set(field.rstrip("s").split("_")) & set(argument.rstrip("s").split("_"))))


def _fresh(state: State, tool: str, argument: str, candidates: Sequence[Candidate]) -> dict[str, bool]:
    """Elements of lists that this argument was not yet taken from; true for the first of each list."""
    first: dict[str, tuple[int, str]] = {}
    fresh: dict[str, bool] = {}
    for each in candidates:
        if each.lists and (tool, argument) not in state.uses.get(each.key, ()):
            fresh[each.key] = False
            for source, place in each.lists:
                if source not in first or place < first[source][0]:
                    first[source] = (place, each.key)
    for _, key in first.values():
        fresh[key] = True
    return fresh


def _others(slot: Slot) -> list[list[str]]:
    count = len(slot.candidates)
    rows = [[_UNKNOWN, f"unknown of {'0' if not count else '1' if count == 1 else '4' if count < 5 else 'many'}"]]
    if slot.optional:
        rows.append([_OMITTED])
    return rows


def _chosen(slot: Slot, right: int, value: Any) -> Candidate | None:
    if right < len(slot.candidates):
        return slot.candidates[right]
    if value is None:
        return None
    return Candidate(value, canonical(value), "", [], frozenset(), frozenset(), ())


def given(
    state: State, slot: Slot, candidate: Candidate, chosen: Mapping[str, Candidate | None], final: bool
) -> list[str]:
    """Features of a candidate that depend on the arguments chosen before it, and on the call that it completes."""
    features = []
    records = [each.records for each in chosen.values() if each is not None and each.records]
    if records and candidate.records:
        features.append("same record" if candidate.records & records[-1] else "other record")
        results = {result for result, _ in records[-1]}
        features.append(f"{'same' if any(result in results for result, _ in candidate.records) else 'other'} result")
    features += [f"equals {name}" for name, each in chosen.items() if each is not None and each.key == candidate.key]
    done = state.latest.get(slot.tool)
    if done is not None:
        agree = all((each.key if each else None) == done.arguments.get(name) for name, each in chosen.items())
        same = candidate.key == done.arguments.get(slot.argument)
        how = "first" if not chosen else "so far as before" if agree else "other"
        features.append(f"{how}, {'same' if same else 'new'}, {'failed' if done.error else 'done'}")
        before = done.arguments.get(slot.argument)
        if chosen and before is not None and before != candidate.key and candidate.shape == slot.shapes.get(before):
            features.append("above the last" if candidate.key > before else "below the last")
        swapped = [name for name, key in done.arguments.items() if key == candidate.key and name != slot.argument]
        features += [f"was {name}" for name in swapped]
    if chosen:
        keys = [(name, each.key if each else None) for name, each in chosen.items()]
        made = [
            done
            for done in state.index.calls
            if done.call.name == slot.tool and all(done.arguments.get(name) == key for name, key in keys)
        ]
        if made:
            again = any(done.arguments.get(slot.argument) == candidate.key for done in made)
            features.append("begins a call that was made" if again else "turns from calls that were made")
    if final:
        features += _completes(state, slot, candidate, chosen)
    return features


def _completes(state: State, slot: Slot, candidate: Candidate, chosen: Mapping[str, Candidate | None]) -> list[str]:
    keys = {name: each.key for name, each in chosen.items() if each is not None} | {slot.argument: candidate.key}
    made = [done for done in state.index.calls if done.call.name == slot.tool and done.arguments == keys]
    if not made:
        return ["completes something new"]
    last = made[-1] is state.index.calls[-1]
    return [f"completes {'the last call' if last else 'an earlier call'}, {'failed' if made[-1].error else 'done'}"]


def _sums(weights: NDArray[np.float64], rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    if not rows:
        return np.zeros(0)
    flat = rows_of(rows, [0])
    return np.asarray(np.add.reduceat(weights[flat.features], flat.starts))
