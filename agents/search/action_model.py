"""The probability of each possible action of an agent, and the actions that came next in earlier episodes."""

import dataclasses
from collections.abc import Hashable, Iterator

from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.log_linear import Ranker, Rows, rows_of, softmax
from spec_envs.agents.recent import Recent
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
    rows = Candidates(situation).rows
    none = ("none", f"none {situation.phase}", f"none {situation.form}")
    return Decision(situation, tuple(act for act, _ in rows), (*(features for _, features in rows), none))


class ActionModel:
    """Estimates P(action | situation); learns one action at a time."""

    def __init__(self, ranker: Ranker | None = None) -> None:
        self.ranker = ranker or Ranker(rate=0.03, decay=0.1)

    def probabilities(self, decision: Decision) -> list[float]:
        """Return the probability of each candidate. The rest to 1 is the probability of any other action."""
        return [float(p) for p in softmax(self.ranker.scores(self._rows(decision, new=False)))[:-1]]

    def learn(self, decision: Decision, act: Act | None) -> None:
        """Learn that the agent took ``act``; ``None``: its response was not an action."""
        self.ranker.learn(*self.lesson(decision, act))

    def lesson(self, decision: Decision, act: Act | None) -> tuple[Rows, int]:
        """Return the arguments of ``ranker.learn`` for this decision, to learn it later, or several times."""
        return self._rows(decision, new=True), decision.row_of(act)

    def _rows(self, decision: Decision, *, new: bool) -> Rows:
        situation, phase = decision.situation, decision.situation.phase
        names = ("", phase, f"{phase} {situation.form}", f"{phase} after {min(len(situation.pages), 3)}")
        features = [self.ranker.features(row, new=new) for row in decision.features]
        return rows_of(features, [self.ranker.context(name, new=new) for name in names])


#: The prior reliability of each kind of memory: mean and strength.
_PRIORS = ((2 / 3, 3.0), (1 / 4, 4.0))


class PastActions:
    """Remembers the next action in each situation, and how often the same action was taken again.

    There are two kinds of memory: the same question after the same actions, and any question after the same action.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._next: Recent[Act] = Recent(capacity)
        self._reliability = [RankCalibration((mean,), strength) for mean, strength in _PRIORS]

    def recall(self, situation: Situation) -> tuple[Act, float] | None:
        """Return the remembered action and its probability, from the most specific memory that has an action."""
        for kind, key in enumerate(_keys(situation)):
            act = self._next.get(key)
            if act is not None:
                return act, self._reliability[kind].probability(0)
        return None

    def add(self, situation: Situation, act: Act) -> None:
        """Remember that ``act`` came next in ``situation``."""
        keys = list(_keys(situation))
        for kind, key in enumerate(keys):
            recalled = self._next.get(key)
            if recalled is not None:
                self._reliability[kind].observe(0 if recalled == act else None, 1)
                break
        for key in keys:
            self._next.put(key, act)


def _keys(situation: Situation) -> Iterator[Hashable]:
    """Yield a key of the situation for each kind of memory, the most specific first."""
    yield (situation.question, situation.acts)
    if situation.acts:
        yield situation.acts[-1]
