"""Which value for each argument: candidates by provenance, ranked by a log-linear model, joined by a beam."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs.agents.log_linear import Ranker, Rows, rows_of, softmax
from spec_envs.agents.pattern.argument_features import Chosen, Given, Slot, slot_of
from spec_envs.agents.pattern.moment import Candidate, State
from spec_envs.conversation import ToolCall, canonical

#: Beside candidates, two things may be right: something that is no candidate, and to leave the argument out.
_UNKNOWN = "(unknown)"
_OMITTED = "(omitted)"
#: Candidates of an argument that the beam looks at, and partial calls that it keeps.
_BREADTH = 12
_BEAM = 8
#: A partial call this much less likely (natural logarithm) than the best is dropped.
_BEHIND = 6.0


@dataclasses.dataclass(slots=True)
class Partial:
    """A call in the making."""

    chosen: Chosen
    score: float


class ArgumentModel:
    """Ranks the values of arguments, given the arguments before them.

    Args:
        ranker: The weights.
    """

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker()

    def decisions(self, state: State, call: ToolCall) -> list[tuple[Rows, int]]:
        """What ``call`` having been made at ``state`` teaches: for each argument, rows and the right one."""
        found = []
        chosen: dict[str, Candidate | None] = {}
        names = list(state.memory.tools.get(call.name, call.arguments))
        for position, argument in enumerate(names):
            slot = slot_of(state, call.name, argument)
            right = self._right(slot, call)
            given = Given(state, slot, chosen, position == len(names) - 1)
            features = [
                [*each, *given.features(candidate)]
                for each, candidate in zip(slot.features, slot.candidates, strict=True)
            ]
            features += _others(slot)
            known = [[self.ranker.feature(name, new=True) for name in row] for row in features]
            found.append((rows_of(known, self._contexts(slot, new=True)), right))
            chosen[argument] = _chosen(slot, right, call.arguments.get(argument))
        return found

    def knows(self, state: State, call: ToolCall) -> bool:
        """Whether every argument of ``call`` is among the candidates at ``state``."""
        slots = (slot_of(state, call.name, argument) for argument in state.memory.tools.get(call.name, call.arguments))
        return all(
            slot.argument not in call.arguments or self._right(slot, call) < len(slot.candidates) for slot in slots
        )

    def complete(self, state: State, tool: str, least: float = 0.0) -> list[tuple[dict[str, Any], float]]:
        """Arguments for a call of ``tool``, most likely first, with their probability given that it is called.

        Args:
            state: The moment.
            tool: Its name.
            least: What is less likely than this is not worth following.
        """
        beam = [Partial({}, 0.0)]
        names = list(state.memory.tools.get(tool, ()))
        floor = math.log(max(least, 1e-9))
        for position, argument in enumerate(names):
            if not beam:
                break
            slot = slot_of(state, tool, argument)
            beam = self._extend(state, slot, beam, position == len(names) - 1)
            beam = [each for each in beam if each.score >= floor]
        written = [name for name in state.memory.order.get(tool, ()) if name in names]
        written += [name for name in names if name not in written]
        found = []
        for partial in beam:
            chosen = {name: partial.chosen[name] for name in written}
            arguments = {name: each.value for name, each in chosen.items() if each is not None}
            found.append((arguments, math.exp(partial.score)))
        return found

    def _extend(self, state: State, slot: Slot, beam: Sequence[Partial], final: bool) -> list[Partial]:
        ranker = self.ranker
        known, weights = ranker.known.get, ranker.weights(self._contexts(slot))
        base = _sums(weights, [[known(name, 0) for name in row] for row in slot.features])
        others = _sums(weights, [[known(name, 0) for name in row] for row in _others(slot)])
        weights = weights.tolist()
        order = np.argsort(-base, kind="stable")
        best, rest = order[:_BREADTH].tolist(), base[order[_BREADTH:]]
        extended = []
        for partial in beam:
            given = Given(state, slot, partial.chosen, final)
            scores = [
                base[i] + sum(weights[known(name, 0)] for name in given.features(slot.candidates[i])) for i in best
            ]
            shares = softmax(np.concatenate([scores, others, rest]))
            options: list[Candidate | None] = [slot.candidates[i] for i in best]
            if slot.optional:
                options.append(None)
                shares = np.delete(shares, len(best))  # that of the unknown value, which cannot be guessed
            for option, share in zip(options, shares.tolist(), strict=False):
                score = partial.score + math.log(share + 1e-12)
                extended.append(Partial({**partial.chosen, slot.argument: option}, score))
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


def _sums(weights: NDArray[np.float64], rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    if not rows:
        return np.zeros(0)
    flat = rows_of(rows, [0])
    return np.asarray(np.add.reduceat(weights[flat.features], flat.starts))
