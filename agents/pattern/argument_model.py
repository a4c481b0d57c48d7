"""Chooses the values of a call's arguments: a log-linear model for each argument, joined by a beam search."""

import dataclasses
import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.log_linear import Ranker, Rows, rows_of
from spec_envs.agents.pattern.argument_features import (
    ArgumentChoice,
    CallSoFar,
    Chosen,
    argument_choice,
    calls_of,
    calls_with,
)
from spec_envs.agents.pattern.index import PastCall
from spec_envs.agents.pattern.moment import Candidate, Moment, Row
from spec_envs.conversation import ToolCall, canonical

#: The two outcomes besides the candidates: a value that is not a candidate, and an omitted argument.
_UNKNOWN = "(unknown)"
_OMITTED = "(omitted)"
#: The number of candidates that extend each partial call, and the number of partial calls in the beam.
_BREADTH = 12
_BEAM = 8
#: A partial call is dropped if its log-probability is lower than the best one's by more than this.
_BEHIND = 6.0


@dataclasses.dataclass(slots=True)
class Partial:
    """A call with some of its arguments chosen, its log-probability, and the calls that began like it."""

    chosen: Chosen
    score: float
    begun: Sequence[PastCall]


class ArgumentModel:
    """Ranks the values of arguments, given the arguments before them."""

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker()
        self._known_rows: dict[Row, list[int]] = {}  # features that arguments add, if all of them have numbers

    def decisions(self, moment: Moment, call: ToolCall) -> list[tuple[Rows, int]]:
        """Return the decisions in ``call``: for each argument, the rows and the number of the right row."""
        found = []
        chosen: dict[str, Candidate | None] = {}
        begun: Sequence[PastCall] = calls_of(moment, call.name)
        names = list(moment.memory.tools.get(call.name, call.arguments))
        for position, argument in enumerate(names):
            choice = argument_choice(moment, call.name, argument)
            right = self._right(choice, call)
            call_so_far = CallSoFar(moment, choice, chosen, begun, position == len(names) - 1)
            numbers = [
                [
                    *each.numbers(self.ranker, new=True),
                    *added,
                    *self.ranker.features(call_so_far.features(each), new=True),
                ]
                for each, added in zip(choice.candidates, self._all_added(choice), strict=True)
            ]
            numbers += [self.ranker.features(row, new=True) for row in _others(choice)]
            found.append((rows_of(numbers, self._contexts(choice, new=True)), right))
            chosen[argument] = _chosen(choice, right, call.arguments.get(argument))
            begun = calls_with(begun, argument, chosen[argument])
        return found

    def knows(self, moment: Moment, call: ToolCall) -> bool:
        """Return whether every argument of ``call`` is among the candidates at ``moment``."""
        names = (name for name in moment.memory.tools.get(call.name, call.arguments) if name in call.arguments)
        choices = (argument_choice(moment, call.name, name) for name in names)
        return all(self._right(choice, call) < len(choice.candidates) for choice in choices)

    def complete(self, moment: Moment, tool: str, least: float = 0.0) -> list[tuple[dict[str, Any], float]]:
        """Return arguments of ``tool``, most likely first, with a probability of at least ``least`` if it is called."""
        beam = [Partial({}, 0.0, calls_of(moment, tool))]
        names = list(moment.memory.tools.get(tool, ()))
        floor = math.log(max(least, 1e-9))
        for position, argument in enumerate(names):
            if not beam:
                break
            choice = argument_choice(moment, tool, argument)
            beam = self._extend(moment, choice, beam, position == len(names) - 1)
            beam = [each for each in beam if each.score >= floor]
        written = [name for name in moment.memory.order.get(tool, ()) if name in names]
        written += [name for name in names if name not in written]
        found = []
        for partial in beam:
            chosen = {name: partial.chosen[name] for name in written}
            arguments = {name: each.value for name, each in chosen.items() if each is not None}
            found.append((arguments, math.exp(partial.score)))
        return found

    def _extend(self, moment: Moment, choice: ArgumentChoice, beam: Sequence[Partial], final: bool) -> list[Partial]:
        argument, candidates = choice.argument, choice.candidates
        weights = self.ranker.weights(self._contexts(choice))
        sum_of = _Sums(self.ranker.known, weights).__getitem__
        base = self._base(choice, weights)
        order = np.argsort(-base, kind="stable")
        best = [(base.item(number), candidates[number]) for number in order[:_BREADTH].tolist()]
        others = [sum_of(tuple(row)) for row in _others(choice)]
        rest = base[order[_BREADTH:]]
        top = rest.max().item() if len(rest) else -math.inf
        rest_sum = np.exp(rest - top).sum().item()
        extended: list[tuple[float, Partial, Candidate | None]] = []
        leading = [-math.inf] * _BEAM  # a heap of the scores of the likeliest extensions
        for partial in beam:
            if partial.score < leading[0]:
                break  # all extensions of this partial call are less likely
            features = CallSoFar(moment, choice, partial.chosen, partial.begun, final).features
            scores = [score + sum_of(features(candidate)) for score, candidate in best]
            highest = max(top, *scores, *others)
            raised = [math.exp(score - highest) for score in scores]
            others_raised = [math.exp(score - highest) for score in others]
            total = sum(raised) + sum(others_raised) + rest_sum * math.exp(top - highest)
            options: list[tuple[float, Candidate | None]] = [
                (share, candidate) for share, (_, candidate) in zip(raised, best, strict=True)
            ]
            # The first of the others is the unknown value, which cannot be guessed.
            options += [(share, None) for share in others_raised[1:]]
            for share, option in options:
                score = partial.score + math.log(share / total + 1e-12)
                if score > leading[0]:
                    heapq.heapreplace(leading, score)
                    extended.append((score, partial, option))
        extended.sort(key=_score, reverse=True)
        return [
            Partial({**partial.chosen, argument: option}, score, calls_with(partial.begun, argument, option))
            for score, partial, option in extended[:_BEAM]
            if score > extended[0][0] - _BEHIND
        ]

    def _base(self, choice: ArgumentChoice, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the part of the candidates' scores that does not depend on other arguments."""
        shared, places, changed = choice.described
        added = shared.flat(self._added).sums(weights)
        if places:
            added[places] = changed.flat(self._added).sums(weights)
        return choice.candidates.sums(weights, self.ranker) + added

    def _all_added(self, choice: ArgumentChoice) -> list[list[int]]:
        """Return the numbers of the features that the argument adds to each candidate; new features get numbers."""
        shared, places, changed = choice.described
        found = list(shared.numbers(self._newly_added, new=True))
        for place, numbers in zip(places, changed.numbers(self._newly_added, new=True), strict=True):
            found[place] = numbers
        return found

    def _added(self, row: Row, *, new: bool = False) -> list[int]:
        known = self._known_rows.get(row)
        if known is not None:
            return known
        numbers = self.ranker.features(row, new=new)
        if all(numbers):  # numbers do not change any more
            self._known_rows[row] = numbers
        return numbers

    def _newly_added(self, row: Row) -> list[int]:
        return self._added(row, new=True)

    def _contexts(self, choice: ArgumentChoice, *, new: bool = False) -> list[int]:
        names = ("", choice.argument, f"{choice.tool}.{choice.argument}")
        return [self.ranker.context(name, new=new) for name in names]

    def _right(self, choice: ArgumentChoice, call: ToolCall) -> int:
        if choice.argument not in call.arguments:
            return len(choice.candidates) + choice.optional  # if the argument is required, its value counts as unknown
        key = canonical(call.arguments[choice.argument])
        return choice.candidates.places.get(key, len(choice.candidates))


def _others(choice: ArgumentChoice) -> list[list[str]]:
    count = len(choice.candidates)
    rows = [[_UNKNOWN, f"unknown of {'0' if not count else '1' if count == 1 else '4' if count < 5 else 'many'}"]]
    if choice.optional:
        rows.append([_OMITTED])
    return rows


def _chosen(choice: ArgumentChoice, right: int, value: Any) -> Candidate | None:
    if right < len(choice.candidates):
        return choice.candidates[right]
    if value is None:
        return None
    return Candidate(value, canonical(value), "", [], frozenset(), frozenset(), ())


def _score(extended: tuple[float, Partial, Candidate | None]) -> float:
    return extended[0]


class _Sums(dict[tuple[str, ...], float]):
    """The sums of the weights of features, by the names of the features; cached."""

    def __init__(self, known: Mapping[str, int], weights: NDArray[np.float64]) -> None:
        self._known, self._weights = known, weights

    def __missing__(self, names: tuple[str, ...]) -> float:
        known, weight_of = self._known, self._weights.item
        total = self[names] = float(sum(weight_of(known.get(name, 0)) for name in names))
        return total
