"""``make conformance`` in small: what is installed for the tests, a few episodes each."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import signal
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.conformance import examining, report
from tests.conformance.catalog import FAMILIES, Family, Subject, subjects
from tests.conformance.examining import Outcome, examine
from tests.conformance.progress import Progress

INSTALLED = [each for each in subjects() if not each.of.modules]


@pytest.mark.parametrize("number", range(len(INSTALLED)), ids=[each.name for each in INSTALLED])
def test_an_environment_of_others_forks_faithfully(number: int) -> None:
    outcome = examine(INSTALLED[number], 3, number)
    assert report.unexpected(outcome) == []
    assert (outcome.verdict, outcome.episodes, outcome.on_threads) == ("forks", 3, 1)


@dataclasses.dataclass(frozen=True)
class Alone:
    """A subject that is not in the catalog."""

    make: Any
    name: str = "alone"
    of: Family = Family("alone", (), dict, 4, 20)


class Counts(gym.Env[Any, Any]):
    observation_space, action_space = gym.spaces.Box(-1e9, 1e9, (2,)), gym.spaces.Discrete(3)

    def __init__(self) -> None:
        self.held: list[int] = [0]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.held = 0, [0]
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.count(int(action))
        return self.look(), float(self.held[0]), self.t >= 20, False, {}

    def count(self, action: int) -> None:
        self.held[0] += action

    def look(self) -> Any:
        return np.array([self.held[0], self.t], np.float64)


class SharesLate(Counts):
    """Its forks share the count, which shows only after the rehearsal."""

    shared: dict[int, int] = {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.shared.clear()
        return super().reset(seed=seed)

    def count(self, action: int) -> None:
        if self.t > 6:
            self.shared[self.t] = self.shared.get(self.t, 0) + 1
            self.held[0] += self.shared[self.t]


class Loses(list):
    """Empties the original where it is to be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        self.clear()
        raise TypeError("no copies")


class Harmed(Counts):
    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed)
        self.held = Loses(self.held)
        return result

    def look(self) -> Any:
        return np.array([sum(self.held), self.t], np.float64)

    def count(self, action: int) -> None:
        self.held.append(action)


def test_a_difference_is_reported() -> None:
    subject: Any = Alone(SharesLate)
    assert any("diverged" in each for each in report.unexpected(examine(subject, 4, 0)))


def test_harm_is_reported() -> None:
    subject: Any = Alone(Harmed)
    outcome = examine(subject, 4, 0)
    assert outcome.verdict == "refused"
    assert any("harmed" in each for each in report.unexpected(outcome))
    assert any("refused, and should fork" in each for each in report.unexpected(outcome))


class HarmedNowAndThen(Harmed):
    """Its results differ in the last bit sometimes, whatever is done to it, as those of some C libraries do."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.is_odd = type(self).made in _ODD

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        result = Counts.reset(self, seed=seed, options=options)
        self.held = Refuses(self.held)
        return result

    def look(self) -> Any:
        return np.nextafter(super().look(), 1e9) if self.is_odd else super().look()


class Refuses(list):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("no copies")


#: The fifth environment is the first whose fork is tried: one is played alone, one is wrapped, two are plain.
_ODD = (5,)


def test_a_difference_that_comes_without_any_attempt_is_no_harm() -> None:
    subject: Any = Alone(HarmedNowAndThen)
    outcome = examine(subject, 1, 0)
    assert (outcome.verdict, HarmedNowAndThen.made) == (
        "refused",
        7,
    )  # two more were played, because the fifth differed
    assert not any("harmed" in each for each in report.unexpected(outcome))


def test_what_fails_by_itself_is_left_out() -> None:
    class Raises(Counts):
        def count(self, action: int) -> None:
            if self.t == 10:
                raise RuntimeError("a fault of its own")

    subject: Any = Alone(Raises)
    outcome = examine(subject, 4, 0)
    assert (outcome.verdict, outcome.reason) == ("left out", "RuntimeError: a fault of its own")


def test_what_cannot_be_made_is_left_out_with_the_reason() -> None:
    def fails() -> gym.Env[Any, Any]:
        raise LookupError("needs\nwords")

    subject: Any = Alone(fails)
    outcome = examine(subject, 4, 0)
    assert (outcome.verdict, outcome.reason, report.unexpected(outcome)) == ("left out", "LookupError: needs words", [])


def test_the_tables_have_every_environment() -> None:
    subject = Subject(0, "FrozenLake-v1")
    outcome = examine(subject, 1, 0)
    assert "| Gymnasium toy text | 1 | 1 | 0 | 0 |" in report.summary([outcome])
    assert "| FrozenLake-v1 | forks faithfully | 0." in report.details([outcome])
    assert all(family.name in report.summary([outcome]) for family in FAMILIES if family.missing())


class Endless(Counts):
    """Never begins, and catches what it can."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        while True:
            with contextlib.suppress(Exception):
                self.look()


def test_what_never_begins_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)  # pytest's limit, which would be the one that holds
    monkeypatch.setattr(examining, "_PLAIN_S", 0.05)
    subject: Any = Alone(Endless)
    outcome = examine(subject, 4, 0)
    assert (outcome.verdict, outcome.reason) == ("left out", "TooLong: no end within 0 s")


class EndlessLater(Counts):
    """Only the first environment, which is played alone, begins; the time of the others is over at once.

    A limit that raised anywhere, as that of a clock does, could leave an event loop half made.
    """

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.begins = type(self).made == 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if not self.begins:
            signal.raise_signal(signal.SIGALRM)
        return super().reset(seed=seed, options=options)


def test_an_examination_without_end_is_reported() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)  # pytest's limit, which would be the one that holds
    subject: Any = Alone(EndlessLater)
    outcome = examine(subject, 1, 0)
    assert EndlessLater.made > 1
    assert any("TooLong" in each for each in report.unexpected(outcome))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_told(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 4.0, 10.0, 11.0, 25.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    progress = Progress(4, stream)
    done = Outcome(Subject(0, "FrozenLake-v1"), episodes=1999, on_threads=1)
    for number in range(4):
        progress.tell([done] * number)
    progress.clear()
    if is_terminal:
        assert (
            "[##########..............................] 1 of 4 environments, 2,000 episodes, 10 s" in stream.getvalue()
        )
    else:
        assert stream.getvalue().splitlines() == [
            "1 of 4 environments, 2,000 episodes, 10 s",
            "3 of 4 environments, 6,000 episodes, 25 s",
        ]
