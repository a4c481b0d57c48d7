"""``CallableGuesser``: makes a guesser of a function that returns likely responses."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from spec_envs import Call, Guess
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.recent import Recent
from spec_envs.errors import InvalidConfiguration
from spec_envs.parameters import why_not_called
from spec_envs.values import key_of


class CallableGuesser:
    """Makes a guesser of a function that returns likely responses. The guesser learns how often each rank is right.

    Args:
        function: ``function(call, k)`` returns at most ``k`` responses, most likely first.
        calibration: The estimate of the probability of each rank. Default: a new one.
        capacity: The number of guessed calls that are remembered until their responses are observed.

    Raises:
        InvalidConfiguration: ``function`` cannot be called so.
    """

    def __init__(
        self,
        function: Callable[[Call, int], Sequence[Any]],
        *,
        calibration: RankCalibration | None = None,
        capacity: int = 1024,
    ) -> None:
        why = why_not_called(function, ("call", "number k")) if callable(function) else "it is no function"
        if why is not None:
            raise InvalidConfiguration(f"CallableGuesser calls function(call, k); {function!r:.80} does not fit: {why}")
        self.calibration = calibration or RankCalibration()
        self._function = function
        self._offered: Recent[list[Hashable]] = Recent(capacity)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses, most likely first. A response that the function returns twice counts once."""
        responses: dict[Hashable, Any] = {}
        for response in self._function(call, k)[:k]:
            responses.setdefault(key_of(response), response)
        self._offered.put(call.key, list(responses))
        probabilities = self.calibration.probabilities(len(responses))
        return [Guess(response, p) for response, p in zip(responses.values(), probabilities, strict=True)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right, if this call was guessed."""
        offered = self._offered.get(call.key)
        if offered is not None:
            key = key_of(response)
            self.calibration.observe(offered.index(key) if key in offered else None, len(offered))
