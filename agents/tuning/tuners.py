"""What makes a policy, and a guesser, of a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from spec_envs.agents.callable import CallableGuesser
from spec_envs.calls import Call, Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess
from spec_envs.tuning.report import Report

if TYPE_CHECKING:
    from spec_envs.tuning.knobs import Knob, Setting, Value
    from spec_envs.tuning.report import Trial


Knobs = tuple["Knob", ...]
Trials = tuple["Trial", ...]


class Strategy(Protocol):
    """Chooses the next setting from the windows so far, and from nothing else: no state, no chance of its own."""

    def propose(self, trials: Trials, knobs: Knobs, k: int) -> Sequence[Setting]:
        """At least one setting and at most ``k``, best first, on the knobs' grids; ``trials`` holds one at least."""


class TuningPolicy:
    """A strategy as the agent: ``policy(observation)`` is a mapping of all knobs to values.

    Args:
        strategy: What chooses.
        knobs: Those of the environment: ``env.unwrapped.knobs``.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, strategy: Strategy, knobs: Knobs) -> None:
        self._strategy = strategy
        self._knobs = _checked(knobs)

    def __call__(self, observation: Any) -> dict[str, Value]:
        """The setting for the next window."""
        report = Report.of(observation, self._knobs)
        return dict(self._strategy.propose(report.trials, self._knobs, 1)[0])


class TuningGuesser:
    """A strategy that says what another tuner will set: guesses of ``"policy"``, as mappings of knobs to values.

    Settings are compared by the query that they lead to, on the knobs' own grids: it does not matter in which of its
    formats the tuner writes its action. How often each rank is right is learned.

    Args:
        strategy: What chooses.
        knobs: Those of the environment: ``env.unwrapped.knobs``.
    """

    def __init__(self, strategy: Strategy, knobs: Knobs) -> None:
        self._strategy = strategy
        self._knobs = _checked(knobs)
        self._inner = CallableGuesser(self._propose)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses, most likely first; none for a call that is not the policy's."""
        return self._inner.guess(call, k) if call.handler == "policy" else []

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right, if this call was guessed."""
        self._inner.observe(call, response)

    def _propose(self, call: Call, k: int) -> list[dict[str, Value]]:
        report = Report.of(call.query, self._knobs)
        return [dict(setting) for setting in self._strategy.propose(report.trials, self._knobs, k)]


def _checked(knobs: Knobs) -> Knobs:
    if not knobs:
        raise InvalidConfiguration("a tuner needs the knobs of its environment: env.unwrapped.knobs")
    return tuple(knobs)
