"""The most likely next calls with all their arguments: a model of the next tool, and the model of arguments."""

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spec_envs.agents.log_linear import Ranker, Rows, softmax
from spec_envs.agents.log_odds import LogOddsCalibration
from spec_envs.agents.pattern import text as texts
from spec_envs.agents.pattern.argument_model import ArgumentModel
from spec_envs.agents.pattern.moment import Moment
from spec_envs.conversation import Tool, ToolCall

#: The outcome that the agent answers the user instead of calling a tool.
MESSAGE = "(message)"
#: Words that carry no information here. ``yes``, ``no`` and ``please`` are not among them.
_FILLERS = texts.COMMON - frozenset("yes no not please thank thanks sure ok okay great".split())


class ToolModel:
    """Estimates the probability of each tool, and of a message to the user."""

    def __init__(self, ranker: Ranker | None = None, *, seen: bool = True) -> None:
        self.ranker = ranker or Ranker()
        self._seen = seen

    def outcomes(self, moment: Moment) -> list[str]:
        """Return the possible outcomes."""
        return [MESSAGE, *moment.memory.tools]

    def decision(self, moment: Moment, outcome: str) -> tuple[Rows, int]:
        """Return what ``outcome`` at ``moment`` teaches: the rows, and the number of the right row."""
        outcomes = self.outcomes(moment)
        return self._rows(moment, outcomes, new=True), outcomes.index(outcome)

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """Return the probability of each outcome."""
        outcomes = self.outcomes(moment)
        shares = softmax(self.ranker.scores(self._rows(moment, outcomes)))
        return dict(zip(outcomes, shares.tolist(), strict=True))

    def _rows(self, moment: Moment, outcomes: list[str], *, new: bool = False) -> Rows:
        feature, context = self.ranker.feature, self.ranker.context
        shared = [number for name in self._situation(moment) if (number := feature(name, new=new))]
        features: list[int] = []
        starts, contexts = [], []
        for outcome in outcomes:
            starts.append(len(features))
            features += shared
            features += [feature(name, new=new) for name in self._match(moment, outcome)]
            family = outcome.partition("_")[0] if outcome != MESSAGE else ""
            contexts.append([context(name, new=new) for name in ("", outcome, f"{family}_*")])
        return Rows(np.array(contexts, np.int32), np.array(features, np.int32), np.array(starts, np.int32))

    def _situation(self, moment: Moment) -> list[str]:
        calls = moment.index.calls
        names = [MESSAGE if moment.after != "tool" else "", *(done.call.name for done in calls[-2:][::-1])]
        last, before = (names + ["-", "-"])[1:3]
        failed = bool(calls) and calls[-1].error
        features = ["any", f"after {moment.after}", f"last {last}", f"last {last}, after {moment.after}"]
        features += [f"last two {before}, {last}", f"before {before}", f"failed {failed}, after {moment.after}"]
        features.append(f"failed {failed}, last {last}, after {moment.after}")
        features.append(f"calls {min(4, len(calls))}, after {moment.after}")
        features.append(f"users {min(4, len(moment.index.users))}, after {moment.after}")
        since = sum(done.time > moment.user[0] for done in calls)
        features.append(f"since user {min(4, since)}")
        here = "" if moment.after != "tool" else "later "
        words = frozenset(moment.user[1].words) - _FILLERS
        features += [f"{here}said {word}" for word in sorted(words) if not word.isdigit()]
        features += [f"{here}said a {kind}" for kind in sorted({entity.kind for entity in moment.user[1].entities})]
        features.append(f"{here}said {min(5, len(moment.user[1].words) // 6)} long")
        if moment.after != "tool" or not self._seen:
            words = frozenset(moment.agent[1].words) - _FILLERS
            features += [f"written {word}" for word in sorted(words) if not word.isdigit()]
        return features

    def _match(self, moment: Moment, outcome: str) -> list[str]:
        """Return the features of an outcome. All tools share features of the same name."""
        if outcome == MESSAGE:
            return ["message", f"message after {moment.after}"]
        times = len(moment.index.of_tool.get(outcome, ()))
        features = ["tool", f"tool after {moment.after}", f"tool called {min(3, times)}"]
        wanted = _words_of_tool(outcome, moment.memory.schemas.get(outcome))
        said, written = moment.user[1].vocabulary, moment.agent[1].vocabulary
        features.append(f"tool said {min(2, len(wanted & said))}, after {moment.after}")
        features.append(f"tool written {min(2, len(wanted & written))}, after {moment.after}")
        done = moment.index.last_of(outcome)
        if done is not None:
            is_last = done is moment.index.calls[-1]
            result = "failed" if done.error else "done"
            features.append(f"tool {'last' if is_last else 'earlier'} {result}, after {moment.after}")
            features.append(f"tool has {_remaining(moment, done.arguments)} left, after {moment.after}")
        return features


def _words_of_tool(name: str, tool: Tool | None) -> frozenset[str]:
    described = "" if tool is None else tool.description.partition(".")[0]
    return frozenset(texts.words_of(f"{name.replace('_', ' ')} {described}")) - _FILLERS


def _remaining(moment: Moment, arguments: dict[str, str]) -> int:
    """Return the number of unused elements in the lists that the arguments of a call came from; 3 for more."""
    index, left = moment.index, 0
    for argument, key in arguments.items():
        value = index.values.get(key)
        lists = [] if value is None else [source for source, (_, _, length) in value.sources.items() if length > 1]
        for source in lists[-1:]:
            members = reversed(index.members.get(source, {}))
            unused = (k for k in members if not any(name == argument for _, name in index.uses.get(k, ())))
            left = max(left, len(list(itertools.islice(unused, 3))))
    return left


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
    """Predicts calls in one window: while the agent thinks (``seen``), or while the user types."""

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
