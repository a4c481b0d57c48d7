"""How probable each of an agent's possible actions is: a log-linear model, with a row for none of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from spec_envs.agents.pattern.ranker import Ranker, Rows, rows_of, softmax
from spec_envs.agents.search_guessers.candidates import Candidates

if TYPE_CHECKING:
    from spec_envs.agents.search_guessers.situation import Situation
    from spec_envs.search.actions import Act


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """A situation, and what the agent may do in it."""

    situation: Situation
    acts: tuple[Act, ...]
    features: tuple[tuple[str, ...], ...]  # one row more than acts: the last is for anything else

    def row_of(self, act: Act | None) -> int:
        """The row of an action, in any case; the last for what is none of the candidates."""
        for number, each in enumerate(self.acts):
            if act is not None and each.name == act.name and each.argument.lower() == act.argument.lower():
                return number
        return len(self.acts)


def decide(situation: Situation) -> Decision:
    """What the agent may do."""
    found = Candidates(situation)
    none = ("none", f"none {situation.phase}", f"none {situation.form}")
    return Decision(situation, tuple(found.acts), (*map(tuple, found.features), none))


class ActionModel:
    """P(action | situation), learned one action at a time.

    Args:
        ranker: The weights. Default: none yet.
    """

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker(rate=0.03, decay=0.1)

    def probabilities(self, decision: Decision) -> list[float]:
        """Of each candidate; what is missing to 1 is the probability of anything else."""
        return [float(p) for p in softmax(self.ranker.scores(self._rows(decision, new=False)))[:-1]]

    def learn(self, decision: Decision, act: Act | None) -> None:
        """Learn that the agent did ``act``; ``None``: something that was no action."""
        self.ranker.learn(self._rows(decision, new=True), decision.row_of(act))

    def lesson(self, decision: Decision, act: Act | None) -> tuple[Ranker, Rows, int]:
        """The same as ``learn``, to be learned later and more than once."""
        return self.ranker, self._rows(decision, new=True), decision.row_of(act)

    def _rows(self, decision: Decision, *, new: bool) -> Rows:
        situation, phase = decision.situation, decision.situation.phase
        names = ("", phase, f"{phase} {situation.form}", f"{phase} after {min(len(situation.pages), 3)}")
        features = [[self.ranker.feature(name, new=new) for name in row] for row in decision.features]
        return rows_of(features, [self.ranker.context(name, new=new) for name in names])

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON data."""
        return self.ranker.to_json()
