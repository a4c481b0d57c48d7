"""Which call is next: the tools and "answer the user" are the outcomes of a log-linear model of the dialogue."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from spec_envs.agents.log_linear import Ranker, Rows, softmax
from spec_envs.agents.pattern import text as texts

if TYPE_CHECKING:
    from spec_envs.agents.pattern.moment import State
    from spec_envs.conversation import Tool

#: The outcome that the agent answers the user instead of calling a tool.
MESSAGE = "(message)"
#: Words that are in every message. ``yes``, ``no`` and ``please`` are not among them: here they matter.
_FILLERS = texts.COMMON - frozenset("yes no not please thank thanks sure ok okay great".split())


class CallModel:
    """Predicts the next tool, or that the agent answers the user.

    Args:
        ranker: The weights.
        seen: Whether the user's last message is known, or still being written.
    """

    def __init__(self, ranker: Ranker | None = None, *, seen: bool = True) -> None:
        self.ranker = ranker or Ranker()
        self._seen = seen

    def outcomes(self, state: State) -> list[str]:
        """What may come next."""
        return [MESSAGE, *state.memory.tools]

    def decision(self, state: State, outcome: str) -> tuple[Rows, int]:
        """What is to be learned from ``outcome`` having come at ``state``."""
        outcomes = self.outcomes(state)
        return self._rows(state, outcomes, new=True), outcomes.index(outcome)

    def probabilities(self, state: State) -> dict[str, float]:
        """The probability of each outcome."""
        outcomes = self.outcomes(state)
        shares = softmax(self.ranker.scores(self._rows(state, outcomes)))
        return dict(zip(outcomes, shares.tolist(), strict=True))

    def _rows(self, state: State, outcomes: list[str], *, new: bool = False) -> Rows:
        feature, context = self.ranker.feature, self.ranker.context
        shared = [number for name in self._situation(state) if (number := feature(name, new=new))]
        features: list[int] = []
        starts, contexts = [], []
        for outcome in outcomes:
            starts.append(len(features))
            features += shared
            features += [feature(name, new=new) for name in self._match(state, outcome)]
            family = outcome.partition("_")[0] if outcome != MESSAGE else ""
            contexts.append([context(name, new=new) for name in ("", outcome, f"{family}_*")])
        return Rows(np.array(contexts, np.int32), np.array(features, np.int32), np.array(starts, np.int32))

    def _situation(self, state: State) -> list[str]:
        calls = state.index.calls
        names = [MESSAGE if state.after != "tool" else "", *(done.call.name for done in calls[-2:][::-1])]
        last, before = (names + ["-", "-"])[1:3]
        failed = bool(calls) and calls[-1].error
        features = ["any", f"after {state.after}", f"last {last}", f"last {last}, after {state.after}"]
        features += [f"last two {before}, {last}", f"before {before}", f"failed {failed}, after {state.after}"]
        features.append(f"failed {failed}, last {last}, after {state.after}")
        features.append(f"calls {min(4, len(calls))}, after {state.after}")
        features.append(f"users {min(4, len(state.index.users))}, after {state.after}")
        since = sum(done.time > state.user[0] for done in calls)
        features.append(f"since user {min(4, since)}")
        here = "" if state.after != "tool" else "later "
        words = frozenset(state.user[1].words) - _FILLERS
        features += [f"{here}said {word}" for word in sorted(words) if not word.isdigit()]
        features += [f"{here}said a {kind}" for kind in sorted({entity.kind for entity in state.user[1].entities})]
        features.append(f"{here}said {min(5, len(state.user[1].words) // 6)} long")
        if state.after != "tool" or not self._seen:
            words = frozenset(state.agent[1].words) - _FILLERS
            features += [f"written {word}" for word in sorted(words) if not word.isdigit()]
        return features

    def _match(self, state: State, outcome: str) -> list[str]:
        """Features of an outcome itself; those with the same names count for every tool."""
        if outcome == MESSAGE:
            return ["message", f"message after {state.after}"]
        counts = Counter(done.call.name for done in state.index.calls)
        features = ["tool", f"tool after {state.after}", f"tool called {min(3, counts[outcome])}"]
        wanted = _words_of_tool(outcome, state.memory.schemas.get(outcome))
        said, written = state.user[1].vocabulary, state.agent[1].vocabulary
        features.append(f"tool said {min(2, len(wanted & said))}, after {state.after}")
        features.append(f"tool written {min(2, len(wanted & written))}, after {state.after}")
        done = state.latest.get(outcome)
        if done is not None:
            is_last = done is state.index.calls[-1]
            result = "failed" if done.error else "done"
            features.append(f"tool {'last' if is_last else 'earlier'} {result}, after {state.after}")
            features.append(f"tool has {min(3, _remaining(state, done.arguments))} left, after {state.after}")
        return features


def _words_of_tool(name: str, tool: Tool | None) -> frozenset[str]:
    described = "" if tool is None else tool.description.partition(".")[0]
    return frozenset(texts.words_of(f"{name.replace('_', ' ')} {described}")) - _FILLERS


def _remaining(state: State, arguments: dict[str, str]) -> int:
    """How many elements are left of the lists that the arguments of a call were elements of."""
    left = 0
    for argument, key in arguments.items():
        value = state.index.values.get(key)
        lists = [] if value is None else [source for source, (_, _, length) in value.sources.items() if length > 1]
        for source in lists[-1:]:
            used = {k for k, uses in state.uses.items() if any(name == argument for _, name in uses)}
            members = [k for k, each in state.index.values.items() if source in each.sources]
            left = max(left, sum(k not in used for k in members))
    return left
