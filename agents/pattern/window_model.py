"""The most likely next calls with all their arguments, from a model of the next tool and the model of arguments."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from spec_envs.agents.log_linear import Ranker, Rows, softmax
from spec_envs.agents.log_odds import LogOddsCalibration
from spec_envs.agents.pattern import text as texts
from spec_envs.agents.pattern.argument_model import ArgumentModel
from spec_envs.agents.pattern.index import Index
from spec_envs.agents.pattern.moment import Moment
from spec_envs.conversation import ToolCall

#: The outcome that the agent answers the user instead of calling a tool.
MESSAGE = "(message)"
#: Words that carry no information here; words such as ``yes``, ``no`` and ``please`` do.
_FILLERS = texts.COMMON - frozenset("yes no not please thank thanks sure ok okay great".split())


class ToolModel:
    """Estimates the probability of each tool, and of a message to the user."""

    def __init__(self, ranker: Ranker | None = None, *, seen: bool = True) -> None:
        self.ranker = ranker or Ranker()
        self._seen = seen
        #: Numbers from the ranker, cached: of the features of outcomes in a state, and of an outcome's contexts.
        self._known_states: dict[_State, list[int]] = {}
        self._known_contexts: dict[str, list[int]] = {}
        #: The outcomes of the last decision, and rows with their contexts, if all of these have numbers.
        self._last: tuple[list[str], Rows | None] = ([], None)

    def outcomes(self, moment: Moment) -> list[str]:
        """Return the possible outcomes."""
        return [MESSAGE, *moment.memory.tools]

    def decision(self, moment: Moment, outcome: str) -> tuple[Rows, int]:
        """Return the decision for ``outcome`` at ``moment``: the rows, and the number of the right row."""
        outcomes = self.outcomes(moment)
        return self._rows(moment, outcomes, new=True), outcomes.index(outcome)

    def probabilities(self, moment: Moment) -> dict[str, float]:
        """Return the probability of each outcome."""
        outcomes = self.outcomes(moment)
        shares = softmax(self.ranker.scores(self._rows(moment, outcomes)))
        return dict(zip(outcomes, shares.tolist(), strict=True))

    def _rows(self, moment: Moment, outcomes: list[str], *, new: bool = False) -> Rows:
        feature = self.ranker.feature
        shared = [number for name in self._situation(moment) if (number := feature(name, new=new))]
        features: list[int] = []
        starts = []
        for outcome in outcomes:
            starts.append(len(features))
            state = moment.states.get(outcome)
            if state is None:
                state = moment.states[outcome] = _state(moment, outcome)
            features += self._known_states.get(state) or self._of_state(state, new)
        rows = self._with_contexts(outcomes, new)
        return rows.with_features(*(np.array(part, np.int32) for part in (features, starts, shared)))

    def _of_state(self, state: _State, new: bool) -> list[int]:
        numbers = [self.ranker.feature(name, new=new) for name in _features(state)]
        if all(numbers):  # numbers do not change any more
            self._known_states[state] = numbers
        return numbers

    def _with_contexts(self, outcomes: list[str], new: bool) -> Rows:
        known, rows = self._last
        if rows is None or known != outcomes:
            contexts = np.array([self._contexts(outcome, new) for outcome in outcomes], np.int32)
            rows = Rows(contexts, *[np.zeros(0, np.int32)] * 3)
            if contexts.min() >= 0:
                self._last = outcomes, rows
        return rows

    def _contexts(self, outcome: str, new: bool) -> list[int]:
        numbers = self._known_contexts.get(outcome)
        if numbers is None:
            family = outcome.partition("_")[0] if outcome != MESSAGE else ""
            numbers = [self.ranker.context(name, new=new) for name in ("", outcome, f"{family}_*")]
            if min(numbers) >= 0:
                self._known_contexts[outcome] = numbers
        return numbers

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


class _State(NamedTuple):
    """The state of an outcome at a moment, from which its features follow; many tools are in the same state."""

    after: str
    called: int = -1  # -1: a message to the user
    said: int = 0  # words of the tool that the user said
    written: int = 0  # words of the tool that the agent wrote
    result: str = ""  # of its last call, if there is one
    left: int = 0  # unused elements of the lists from which the last call's arguments came


def _state(moment: Moment, outcome: str) -> _State:
    if outcome == MESSAGE:
        return _State(moment.after)
    index, tool = moment.index, moment.memory.schemas.get(outcome)
    wanted = _words_of_tool(outcome, "" if tool is None else tool.description)
    heard = index.heard.get(wanted)
    if heard is None:
        said, written = (min(2, len(wanted & text.vocabulary)) for _, text in (moment.user, moment.agent))
        heard = index.heard[wanted] = said, written
    said, written = heard
    done = index.last_of(outcome)
    if done is None:
        return _State(moment.after, 0, said, written)
    result = f"{'last' if done is index.calls[-1] else 'earlier'} {'failed' if done.error else 'done'}"
    called = min(3, len(index.of_tool[outcome]))
    return _State(moment.after, called, said, written, result, _remaining(moment, done.arguments))


def _features(state: _State) -> list[str]:
    """Return the features of an outcome. All tools share features of the same name."""
    after = f"after {state.after}"
    if state.called < 0:
        return ["message", f"message {after}"]
    features = ["tool", f"tool {after}", f"tool called {state.called}"]
    features += [f"tool said {state.said}, {after}", f"tool written {state.written}, {after}"]
    if state.result:
        features += [f"tool {state.result}, {after}", f"tool has {state.left} left, {after}"]
    return features


@functools.lru_cache(maxsize=4096)
def _words_of_tool(name: str, description: str) -> frozenset[str]:
    described = description.partition(".")[0]
    return frozenset(texts.words_of(f"{name.replace('_', ' ')} {described}")) - _FILLERS


def _remaining(moment: Moment, arguments: dict[str, str]) -> int:
    """Return the number of unused elements in the lists that the arguments of a call came from; 3 for more."""
    left = 0
    for argument, key in arguments.items():
        value = moment.index.values.get(key)
        lists = () if value is None else value.traced().lists
        if lists:
            place = (lists[-1][0], argument)
            if place not in moment.unused:
                moment.unused[place] = _unused(moment.index, *place)
            left = max(left, moment.unused[place])
    return left


def _unused(index: Index, source: str, argument: str) -> int:
    """Return how many elements of a list were not given to ``argument``; 3 for more."""
    members = reversed(index.members.get(source, {}))
    unused = (key for key in members if argument not in index.uses.get(key, ()))
    return len(list(itertools.islice(unused, 3)))


#: Arguments are chosen only for tools that are at least this likely, but for at least ``_MIN_TOOLS`` tools.
_MIN_SHARE = 0.02
_MIN_TOOLS, _MAX_TOOLS = 2, 6
#: Calls that are less likely than this are dropped.
_LEAST = 1e-5
#: A model learns for at least ``_MIN_STEPS`` steps, in at most ``_MAX_ROUNDS`` rounds.
_MIN_STEPS, _MAX_ROUNDS = 2000, 40

#: A ranker, rows, and the number of the right row.
Lesson = tuple[Ranker, Rows, int]


class WindowModel:
    """Predicts calls in one window: while the agent thinks (``seen``), or while the user types."""

    def __init__(self, seen: bool, max_weights: int = 2_000_000) -> None:
        self.seen = seen
        self.max_weights = max_weights
        self.calls = ToolModel(Ranker(max_weights=max_weights), seen=seen)
        self.arguments = ArgumentModel(Ranker(max_weights=max_weights))
        self.calibration = LogOddsCalibration()

    def lessons(self, moment: Moment, right: Iterable[ToolCall | None]) -> list[Lesson]:
        """Return the lessons of the calls ``right`` at ``moment``; ``None`` stands for a message to the user."""
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
        self.calls = ToolModel(Ranker.from_json(data["calls"], self.max_weights), seen=self.seen)
        self.arguments = ArgumentModel(Ranker.from_json(data["arguments"], self.max_weights))
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
