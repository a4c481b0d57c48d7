"""The probability of each possible action of an agent: a log-linear model with one more row, for any other action."""

from __future__ import annotations

import dataclasses
from typing import Any

from spec_envs.agents.log_linear import Ranker, Rows, rows_of, softmax
from spec_envs.agents.search.candidates import Candidates
from spec_envs.agents.search.situation import Situation
from spec_envs.search.actions import Act


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """A situation, and the actions that the agent may take in it."""

    situation: Situation
    acts: tuple[Act, ...]
    features: tuple[tuple[str, ...], ...]  # one row more than ``acts``: the last row is for any other action

    def row_of(self, act: Act | None) -> int:
        """Return the row of an action, ignoring case; the last row if the action is not a candidate."""
        for number, each in enumerate(self.acts):
            if act is not None and each.name == act.name and each.argument.lower() == act.argument.lower():
                return number
        return len(self.acts)


def decide(situation: Situation) -> Decision:
    """Return the decision that the agent has to take in ``situation``."""
    found = Candidates(situation)
    none = ("none", f"none {situation.phase}", f"none {situation.form}")
    return Decision(situation, tuple(found.acts), (*map(tuple, found.features), none))


class ActionModel:
    """Estimates P(action | situation); learns one action at a time.

    Args:
        ranker: The weights. Default: a new, untrained ranker.
    """

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker(rate=0.03, decay=0.1)

    def probabilities(self, decision: Decision) -> list[float]:
        """Return the probability of each candidate. The rest to 1 is the probability of any other action."""
        return [float(p) for p in softmax(self.ranker.scores(self._rows(decision, new=False)))[:-1]]

    def learn(self, decision: Decision, act: Act | None) -> None:
        """Learn that the agent took ``act``; ``None`` if its response was not an action."""
        self.ranker.learn(self._rows(decision, new=True), decision.row_of(act))

    def lesson(self, decision: Decision, act: Act | None) -> tuple[Ranker, Rows, int]:
        """Return the same as a lesson, which can be learned later and several times."""
        return self.ranker, self._rows(decision, new=True), decision.row_of(act)

    def _rows(self, decision: Decision, *, new: bool) -> Rows:
        situation, phase = decision.situation, decision.situation.phase
        names = ("", phase, f"{phase} {situation.form}", f"{phase} after {min(len(situation.pages), 3)}")
        features = [[self.ranker.feature(name, new=new) for name in row] for row in decision.features]
        return rows_of(features, [self.ranker.context(name, new=new) for name in names])

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as JSON data."""
        return self.ranker.to_json()
