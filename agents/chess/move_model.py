"""``MoveModel``: the probability that a player chooses each legal move. Fitted offline to games of such players."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import chess
import numpy as np

from spec_envs import CancelToken
from spec_envs.agents.chess.move_features import Features, move_features
from spec_envs.agents.log_linear import softmax
from spec_envs.chess.engine import EnginePool
from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import read_json

_ROUNDS = 100
#: The fit ends when no weight changes by more than this; features are in units of their standard deviations.
_SETTLED = 1e-6
_DIGITS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """A move (UCI) that was chosen, and the features of all the legal moves that it was chosen from."""

    features: Mapping[str, Features]
    move: str


@dataclasses.dataclass(frozen=True)
class MoveModel:
    """A conditional logit: ``P(move)`` is proportional to ``exp(sum of weight * feature)`` over the legal moves.

    Args:
        weights: The weight of each feature, by name; see ``move_features``.
    """

    weights: Mapping[str, float]

    @classmethod
    def shipped(cls, *, stockfish: bool) -> MoveModel:
        """Return the model that comes with the package, with or without the features from Stockfish."""
        name = f"moves_{'stockfish' if stockfish else 'builtin'}.json"
        text = resources.files("spec_envs.agents.chess").joinpath(name).read_text(encoding="utf-8")
        return cls.of(json.loads(text), name)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MoveModel:
        """Return the model in a file that ``spec-envs chess fit-moves`` has written.

        Raises:
            InvalidConfiguration: The file holds no such model; the message says what is wrong.
            FileNotFoundError: There is no such file.
        """
        return cls.of(read_json(path), os.fspath(path))

    @classmethod
    def of(cls, data: Any, source: str) -> MoveModel:
        """Return the model in JSON data; ``source`` names the data in errors.

        Raises:
            InvalidConfiguration: ``data`` is not the weight of each feature that a move has.
        """
        numbers = isinstance(data, Mapping) and all(type(each) in (int, float) for each in data.values())
        if not numbers or not np.isfinite(list(data.values())).all():
            raise InvalidConfiguration(f"{source} must hold an object with a number for each feature, not {data!r:.80}")
        model = cls({name: float(weight) for name, weight in data.items()})
        known = {*next(iter(move_features(chess.Board()).values()))}
        if model.uses_stockfish:
            known |= {name.replace("builtin:", "stockfish:") for name in known}
        if known != model.weights.keys():
            names = [sorted(known - model.weights.keys()), sorted(model.weights.keys() - known)]
            raise InvalidConfiguration(
                f"{source} does not fit the features of moves: it lacks {names[0]}, and has {names[1]} beyond them; "
                "fit it again with `spec-envs chess fit-moves`"
            )
        return model

    @property
    def uses_stockfish(self) -> bool:
        """Whether the features include Stockfish's ranking."""
        return any(name.startswith("stockfish:") for name in self.weights)

    def probabilities(self, features: Mapping[str, Features]) -> dict[str, float]:
        """Return the probability of each move, given the features of all legal moves; the most likely move first."""
        scores = [sum(weight * row[name] for name, weight in self.weights.items()) for row in features.values()]
        if not scores:
            return {}
        pairs = zip(features, softmax(np.array(scores)).tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))


def choices_in(
    start_fen: str, moves: Sequence[str], stockfish: EnginePool | None = None, cancel: CancelToken | None = None
) -> list[Choice]:
    """Return the choices of both players of a game: its moves (UCI) from the position ``start_fen`` on."""
    board = chess.Board(start_fen)
    choices = []
    for move in moves:
        choices.append(Choice(move_features(board, stockfish, cancel), move))
        board.push_uci(move)
    return choices


def fit(choices: Iterable[Choice], l2: float = 30.0) -> MoveModel:
    """Return the model that maximises the log-likelihood of the choices, less a penalty on large weights.

    Args:
        choices: What the players chose. All moves have features of the same names.
        l2: The penalty is ``l2 / 2`` times the sum of squares of the weights, with every feature in units of its
            standard deviation over all moves.

    Raises:
        InvalidConfiguration: There are no choices.
    """
    chosen = list(choices)
    if not chosen:
        raise InvalidConfiguration("a model of moves needs at least one move to be fitted to")
    names = list(chosen[0].features[chosen[0].move])
    tables = [np.array([[row[name] for name in names] for row in each.features.values()]) for each in chosen]
    right = [list(each.features).index(each.move) for each in chosen]
    spread = np.concatenate(tables).std(axis=0)
    spread[spread == 0] = 1.0
    weights = _most_likely([table / spread for table in tables], right, l2) / spread
    return MoveModel({name: round(float(weight), _DIGITS) for name, weight in zip(names, weights, strict=True)})


def _most_likely(tables: Sequence[Any], right: Sequence[int], l2: float) -> Any:
    """Return the weights with the greatest penalised likelihood, by Newton's method with halved steps."""

    def likelihood(weights: Any) -> float:
        scores = [table @ weights for table in tables]
        hits = sum(each[row] - np.logaddexp.reduce(each) for each, row in zip(scores, right, strict=True))
        return float(hits - l2 / 2 * weights @ weights)

    weights = np.zeros(tables[0].shape[1])
    for _ in range(_ROUNDS):
        slope, curvature = -l2 * weights, l2 * np.eye(len(weights))
        for table, row in zip(tables, right, strict=True):
            p = softmax(table @ weights)
            mean = p @ table
            slope += table[row] - mean
            curvature += (table * p[:, None]).T @ table - np.outer(mean, mean)
        step, now = np.linalg.solve(curvature, slope), likelihood(weights)
        while np.abs(step).max() > _SETTLED and likelihood(weights + step) < now:
            step /= 2
        weights = weights + step
        if np.abs(step).max() <= _SETTLED:
            break
    return weights
