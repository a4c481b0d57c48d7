"""The two models of one window, joined: the most likely next calls with all their arguments."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.agents.calibration import LogOddsCalibration
from spec_envs.agents.log_linear import Ranker, Rows
from spec_envs.agents.pattern.argument_model import ArgumentModel
from spec_envs.agents.pattern.tool_model import MESSAGE, CallModel
from spec_envs.conversation import ToolCall

if TYPE_CHECKING:
    from spec_envs.agents.pattern.moment import State

#: Tools that are less likely than this are not completed: it would take time, and gain next to nothing.
_MIN_SHARE = 0.02
_MIN_TOOLS, _MAX_TOOLS = 2, 6
#: And calls that are less likely than this are not worth the time either.
_LEAST = 1e-5
#: A model makes at least so many steps, if that does not take more rounds than this.
_MIN_STEPS, _MAX_ROUNDS = 2000, 40

Lesson = tuple[Ranker, Rows, int]


class WindowModel:
    """Predicts the next call in one window: while the agent thinks (``seen``), or while the user types."""

    def __init__(self, seen: bool) -> None:
        self.seen = seen
        self.calls = CallModel(seen=seen)
        self.arguments = ArgumentModel()
        self.curve = LogOddsCalibration()

    def lessons(self, state: State, right: Iterable[ToolCall | None]) -> list[Lesson]:
        """What is to be learned from ``right`` (``None``: a message) being what could be predicted at ``state``."""
        lessons: list[Lesson] = []
        for action in right:
            rows, outcome = self.calls.decision(state, MESSAGE if action is None else action.name)
            lessons.append((self.calls.ranker, rows, outcome))
            if action is not None:
                lessons += [(self.arguments.ranker, *each) for each in self.arguments.decisions(state, action)]
        return lessons

    def predict(self, state: State, count: int) -> list[tuple[ToolCall, float]]:
        """At most ``count`` calls, most likely first, with the probability that the model gives them."""
        tools = self.calls.probabilities(state)
        tools.pop(MESSAGE)
        likely = sorted(tools.items(), key=lambda item: -item[1])[:_MAX_TOOLS]
        found: list[tuple[ToolCall, float]] = []
        for number, (tool, share) in enumerate(likely):
            if number >= _MIN_TOOLS and share < _MIN_SHARE:
                break
            best = sorted((p for _, p in found), reverse=True)
            least = best[count - 1] if len(best) >= count else _LEAST
            if share > least:
                completed = self.arguments.complete(state, tool, least / share)
                found += [(ToolCall(tool, arguments), share * p) for arguments, p in completed]
        return sorted(found, key=lambda item: -item[1])[:count]

    def to_json(self) -> dict[str, Any]:
        """The weights, as JSON data."""
        return {
            "calls": self.calls.ranker.to_json(),
            "arguments": self.arguments.ranker.to_json(),
            "curve": self.curve.to_json(),
        }

    def load(self, data: dict[str, Any]) -> None:
        """Take the weights of ``to_json``."""
        self.calls.ranker = Ranker.from_json(data["calls"])
        self.arguments.ranker = Ranker.from_json(data["arguments"])
        self.curve = LogOddsCalibration.from_json(data["curve"])


def study(lessons: Sequence[Sequence[Lesson]], rounds: int, seed: int) -> None:
    """Learn ``lessons`` (grouped by decision) in several rounds, each in another order; few of them in more rounds."""
    order = random.Random(seed)
    groups = list(lessons)
    few = min(_MAX_ROUNDS, _MIN_STEPS // max(1, len(groups)))
    for _ in range(max(rounds, few)):
        order.shuffle(groups)
        for group in groups:
            for ranker, rows, right in group:
                ranker.learn(rows, right)
