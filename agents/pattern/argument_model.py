"""Chooses the values of a call's arguments with a log-linear model, and joins them with a beam search."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.log_linear import Ranker, Rows, rows_of, softmax
from spec_envs.agents.pattern.argument_features import ArgumentChoice, CallSoFar, Chosen, argument_choice
from spec_envs.agents.pattern.moment import Candidate, Moment
from spec_envs.conversation import ToolCall, canonical

#: Two more outcomes beside the candidates: a value that is no candidate, and an omitted argument.
_UNKNOWN = "(unknown)"
_OMITTED = "(omitted)"
#: The number of candidates that extend each partial call, and the number of partial calls in the beam.
_BREADTH = 12
_BEAM = 8
#: A partial call is dropped if its log-probability is lower than the best one's by more than this.
_BEHIND = 6.0


@dataclasses.dataclass(slots=True)
class Partial:
    """A call with some of its arguments chosen, and its log-probability."""

    chosen: Chosen
    score: float


class ArgumentModel:
    """Ranks the values of arguments, given the arguments before them."""

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker()

    def decisions(self, moment: Moment, call: ToolCall) -> list[tuple[Rows, int]]:
        """Return what ``call`` at ``moment`` teaches: for each argument, the rows and the number of the right row."""
        found = []
        chosen: dict[str, Candidate | None] = {}
        names = list(moment.memory.tools.get(call.name, call.arguments))
        for position, argument in enumerate(names):
            choice = argument_choice(moment, call.name, argument)
            right = self._right(choice, call)
            call_so_far = CallSoFar(moment, choice, chosen, position == len(names) - 1)
            numbers = self._numbers(choice, new=True)
            for row, candidate in zip(numbers, choice.candidates, strict=True):
                row += self._known(call_so_far.features(candidate), True)
            numbers += [self._known(row, True) for row in _others(choice)]
            found.append((rows_of(numbers, self._contexts(choice, new=True)), right))
            chosen[argument] = _chosen(choice, right, call.arguments.get(argument))
        return found

    def knows(self, moment: Moment, call: ToolCall) -> bool:
        """Return whether every argument of ``call`` is among the candidates at ``moment``."""
        names = (name for name in moment.memory.tools.get(call.name, call.arguments) if name in call.arguments)
        choices = (argument_choice(moment, call.name, name) for name in names)
        return all(self._right(choice, call) < len(choice.candidates) for choice in choices)

    def complete(self, moment: Moment, tool: str, least: float = 0.0) -> list[tuple[dict[str, Any], float]]:
        """Return arguments for a call of ``tool``, at least so likely if it is called, most likely first."""
        beam = [Partial({}, 0.0)]
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
        ranker = self.ranker
        known, weights = ranker.known.get, ranker.weights(self._contexts(choice))
        base = _sums(weights, self._numbers(choice))
        others = _sums(weights, [[known(name, 0) for name in row] for row in _others(choice)])
        weights = weights.tolist()
        order = np.argsort(-base, kind="stable")
        best, rest = order[:_BREADTH].tolist(), base[order[_BREADTH:]]
        extended = []
        for partial in beam:
            call_so_far = CallSoFar(moment, choice, partial.chosen, final)
            scores = [
                base[i] + sum(weights[known(name, 0)] for name in call_so_far.features(choice.candidates[i]))
                for i in best
            ]
            shares = softmax(np.concatenate([scores, others, rest]))
            options: list[Candidate | None] = [choice.candidates[i] for i in best]
            if choice.optional:
                options.append(None)
                shares = np.delete(shares, len(best))  # drop the share of an unknown value, which cannot be guessed
            for option, share in zip(options, shares.tolist(), strict=False):
                score = partial.score + math.log(share + 1e-12)
                extended.append(Partial({**partial.chosen, choice.argument: option}, score))
        extended.sort(key=lambda partial: -partial.score)
        return [each for each in extended[:_BEAM] if each.score > extended[0].score - _BEHIND]

    def _numbers(self, choice: ArgumentChoice, *, new: bool = False) -> list[list[int]]:
        """Return the numbers of the features of each candidate, and of what the argument adds to them."""
        described = choice.described
        if described.numbers is None or (new and any(0 in row for row in described.numbers)):
            described.numbers = [self._known(row, new) for row in described.rows]
        for each in choice.candidates:
            if each.numbers is None or (new and 0 in each.numbers):
                each.numbers = self._known(each.features, new)
        pairs = zip(choice.candidates, described.numbers, strict=True)
        return [[*(each.numbers or ()), *added] for each, added in pairs]

    def _known(self, features: Sequence[str], new: bool) -> list[int]:
        if new:
            return [self.ranker.feature(name, new=True) for name in features]
        known = self.ranker.known.get
        return [known(name, 0) for name in features]

    def _contexts(self, choice: ArgumentChoice, *, new: bool = False) -> list[int]:
        names = ("", choice.argument, f"{choice.tool}.{choice.argument}")
        return [self.ranker.context(name, new=new) for name in names]

    def _right(self, choice: ArgumentChoice, call: ToolCall) -> int:
        if choice.argument not in call.arguments:
            return len(choice.candidates) + choice.optional  # if the argument is required, its value counts as unknown
        key = canonical(call.arguments[choice.argument])
        for number, candidate in enumerate(choice.candidates):
            if candidate.key == key:
                return number
        return len(choice.candidates)


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


def _sums(weights: NDArray[np.float64], rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    if not rows:
        return np.zeros(0)
    flat = rows_of(rows, [0])
    return np.asarray(np.add.reduceat(weights[flat.features], flat.starts))
