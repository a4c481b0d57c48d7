"""``RecordedChessGuesser``: the guesses that were made while a game was recorded."""

from __future__ import annotations

from typing import Any

from spec_envs import Call, CancelToken, Guess, InvalidConfiguration
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.chess.moves import ActionFormat, as_response, checked_format, position_of
from spec_envs.chess.games import RecordedGame, RecordedGuesses
from spec_envs.chess.position import Position
from spec_envs.values import key_of


class RecordedChessGuesser:
    """Repeats the guesses of a recorded game, after the recorded seconds and for the recorded tokens.

    Positions that the record does not hold get no guess, at once. Probabilities are learned by rank.

    Args:
        game: The record.
        k_recorded: Repeat the guesses that were recorded when this number of guesses was requested.
        speed: The number of recorded seconds that pass in one second (> 0).
        action_format: The form of guesses of the agent's own move (calls to ``"policy"``).
        calibration: Probabilities learned before. Default: new ones.

    Raises:
        InvalidConfiguration: The record has no guesses for ``k_recorded``, or ``speed`` is not above 0.
    """

    def __init__(
        self,
        game: RecordedGame,
        k_recorded: int = 3,
        *,
        speed: float = 1.0,
        action_format: ActionFormat = "uci",
        calibration: RankCalibration | None = None,
    ) -> None:
        known = sorted({k for ply in game.plies for k in ply.guesses})
        if k_recorded not in known:
            raise InvalidConfiguration(f"k_recorded must be one of {known} for {game.name}, not {k_recorded!r}")
        if not speed > 0:
            raise InvalidConfiguration(f"speed must be above 0, not {speed!r}")
        self.game = game
        self.k_recorded = k_recorded
        self.speed = speed
        self.action_format: ActionFormat = checked_format(action_format)
        self.calibration = calibration or RankCalibration()

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Return the first ``k`` recorded guesses.

        Raises:
            CallCancelled: The token was cancelled meanwhile.
        """
        recorded = self._recorded(call)
        if recorded is None:
            return []
        (cancel or CancelToken()).sleep(recorded.seconds / self.speed, spending=recorded.usage)
        responses = self._responses(call, recorded)
        probabilities = self.calibration.probabilities(len(responses))
        return [Guess(response, p) for response, p in zip(responses[:k], probabilities, strict=False)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right, if the record holds guesses for this call."""
        recorded = self._recorded(call)
        if recorded is None:
            return
        played = key_of(response)
        keys = [key_of(each) for each in self._responses(call, recorded)]
        self.calibration.observe(keys.index(played) if played in keys else None, len(keys))

    def _recorded(self, call: Call) -> RecordedGuesses | None:
        position = position_of(call)
        number = None if position is None else self.game.ply_of(position)
        return None if number is None else self.game.plies[number].guesses.get(self.k_recorded)

    def _responses(self, call: Call, recorded: RecordedGuesses) -> list[str | int]:
        """Return the recorded moves, each once, as responses to ``call``."""
        position = Position.of(call.query)
        return [as_response(call, move, position, self.action_format) for move in dict.fromkeys(recorded.moves)]
