"""A guesser that takes a declared time, for clocks on which computing takes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.adapting import as_guess

if TYPE_CHECKING:
    from spec_envs.calls import Call
    from spec_envs.guesses import Guess, Guesser
    from spec_envs.handling import CancelToken


class TimedGuesser:
    """A guesser whose every guess takes a declared time, for clocks on which computing takes none."""

    def __init__(self, inner: Guesser, seconds: float) -> None:
        self._inner: Any = inner
        self._seconds = seconds
        self._guess = as_guess(inner.guess)

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        """The inner guesses, after the declared time."""
        cancel.sleep(self._seconds)
        guesses: Sequence[Guess] = self._guess(call, k, cancel)
        return guesses

    def observe(self, call: Call, response: Any) -> None:
        """Have the inner guesser learn."""
        self._inner.observe(call, response)
