"""The most likely next calls with all their arguments, by the models of tools and arguments together."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from spec_envs.agents.calibration import LogOddsCalibration
from spec_envs.agents.log_linear import Ranker, Rows
from spec_envs.agents.pattern.argument_model import ArgumentModel
from spec_envs.agents.pattern.moment import Moment
from spec_envs.agents.pattern.tool_model import MESSAGE, ToolModel
from spec_envs.conversation import ToolCall

#: Arguments are chosen only for tools that are at least this likely, but for at least ``_MIN_TOOLS`` tools.
_MIN_SHARE = 0.02
_MIN_TOOLS, _MAX_TOOLS = 2, 6
#: Less likely calls are dropped.
_LEAST = 1e-5
#: A model learns for at least ``_MIN_STEPS`` steps, in at most ``_MAX_ROUNDS`` rounds.
_MIN_STEPS, _MAX_ROUNDS = 2000, 40

#: A ranker, rows, and the number of the right row.
Lesson = tuple[Ranker, Rows, int]


class WindowModel:
    """Predicts calls in one window: while the agent thinks (``seen``), or while the user types.

    Args:
        seen: Whether the user's last message is known.
    """

    def __init__(self, seen: bool) -> None:
        self.seen = seen
        self.calls = ToolModel(seen=seen)
        self.arguments = ArgumentModel()
        self.calibration = LogOddsCalibration()

    def lessons(self, moment: Moment, right: Iterable[ToolCall | None]) -> list[Lesson]:
        """Return what the calls ``right`` at ``moment`` teach; ``None`` stands for a message to the user."""
        lessons: list[Lesson] = []
        for action in right:
            rows, outcome = self.calls.decision(moment, MESSAGE if action is None else action.name)
            lessons.append((self.calls.ranker, rows, outcome))
            if action is not None:
                lessons += [(self.arguments.ranker, *each) for each in self.arguments.decisions(moment, action)]
        return lessons

    def predict(self, moment: Moment, count: int) -> list[tuple[ToolCall, float]]:
        """Return at most ``count`` calls, most likely first, with their uncorrected probabilities."""
        tools = self.calls.probabilities(moment)
        tools.pop(MESSAGE)
        likely = sorted(tools.items(), key=lambda item: -item[1])[:_MAX_TOOLS]
        found: list[tuple[ToolCall, float]] = []
        for number, (tool, share) in enumerate(likely):
            if number >= _MIN_TOOLS and share < _MIN_SHARE:
                break
            best = sorted((p for _, p in found), reverse=True)
            least = best[count - 1] if len(best) >= count else _LEAST
            if share > least:
                completed = self.arguments.complete(moment, tool, least / share)
                found += [(ToolCall(tool, arguments), share * p) for arguments, p in completed]
        return sorted(found, key=lambda item: -item[1])[:count]

    def to_json(self) -> dict[str, Any]:
        """Return the weights as JSON data."""
        return {
            "calls": self.calls.ranker.to_json(),
            "arguments": self.arguments.ranker.to_json(),
            "curve": self.calibration.to_json(),
        }

    def load(self, data: dict[str, Any]) -> None:
        """Set the weights that ``to_json`` returned."""
        self.calls.ranker = Ranker.from_json(data["calls"])
        self.arguments.ranker = Ranker.from_json(data["arguments"])
        self.calibration = LogOddsCalibration.from_json(data["curve"])


def study(lessons: Sequence[Sequence[Lesson]], rounds: int, seed: int) -> None:
    """Learn groups of lessons in several rounds, each in another random order. Few groups get more rounds."""
    order = random.Random(seed)
    groups = list(lessons)
    few = min(_MAX_ROUNDS, _MIN_STEPS // max(1, len(groups)))
    for _ in range(max(rounds, few)):
        order.shuffle(groups)
        for group in groups:
            for ranker, rows, right in group:
                ranker.learn(rows, right)
