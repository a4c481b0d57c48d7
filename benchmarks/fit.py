"""``spec-envs chess fit-moves`` and ``spec-envs search fit-actions``: the weights that two guessers begin with.

``fit_actions`` learns from the scripted agent on the train split of the embedded questions, and from nothing else. So
recorded episodes and the other splits are unknown to ``SearchGuesser`` when ``spec-envs bench search`` runs them.
"""

import contextlib
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import chess.pgn

from spec_envs.agents.chess import move_model
from spec_envs.agents.search.action_model import ActionModel, decide
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.agents.search.situation import Situation
from spec_envs.benchmarks.episodes import play
from spec_envs.benchmarks.reports import collected, write_text
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.games import RecordedGame
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.actions import Act, read_action
from spec_envs.search.env import SearchEnv

#: The position that a game starts from, and its moves (UCI).
Moves = tuple[str, Sequence[str]]


def fit_moves(games: Sequence[Path], out: Path, *, stockfish: bool, l2: float) -> None:
    """Fit the model of ``MoveModelGuesser`` to all moves of the games in the files, and write the weights.

    Raises:
        InvalidConfiguration: A file holds no game.
        DependencyNotInstalled: Stockfish is to rank the moves, and is not installed.
    """
    with EnginePool() if stockfish else contextlib.nullcontext() as pool:
        played = [game for file in games for game in _games_in(file)]
        ranked = (list(move_model.choices_in(*game, pool)) for game in played)
        choices = [choice for game in collected(ranked, "games", len(played)) for choice in game]
    write_text(json.dumps(dict(move_model.fit(choices, l2).weights), indent=1) + "\n", out)


def _games_in(file: Path) -> Iterator[Moves]:
    if file.suffix.lower() != ".pgn":
        record = RecordedGame.load(file)
        yield record.start_fen, record.moves
        return
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        while (game := chess.pgn.read_game(text)) is not None:
            if game.errors:
                raise InvalidConfiguration(f"{file}: {game.errors[0]}")
            yield game.board().fen(), [move.uci() for move in game.mainline_moves()]


_ROUNDS = 5
#: How many actions of the scripted agent are learned: with more, the weights fit this agent better and others worse.
_GENERATED = 200
#: How many digits of a weight are kept; weights below ``_LEAST`` are dropped.
_DIGITS = 2
_LEAST = 0.05

Decision = tuple[Mapping[str, Any], str]


def fitted(decisions: Iterable[Decision], *, rounds: int = _ROUNDS, seed: int = 0) -> ActionModel:
    """A model that has learned which action followed each observation, in ``rounds`` passes over all of them."""
    model, rng = ActionModel(), random.Random(seed)
    lessons = []
    for observation, action in decisions:
        act = read_action(action)
        lessons.append(model.lesson(decide(Situation(observation)), act if isinstance(act, Act) else None))
    for _ in range(rounds):
        rng.shuffle(lessons)
        for rows, right in lessons:
            model.ranker.learn(rows, right)
    return model


def generated_decisions(count: int, seed: int) -> list[Decision]:
    """``count`` actions of the scripted agent on the train split of the generated questions."""
    made: list[Decision] = []
    policy = ScriptedSearchPolicy()
    with SearchEnv(split="train") as env:
        for number in range(len(env.questions)):
            steps = play(env, policy, seed=number, options={"question": number}).steps
            made += [(before.observation, after.action) for before, after in itertools.pairwise(steps)]
    return random.Random(seed).sample(made, min(count, len(made)))


def compact(model: ActionModel) -> dict[str, Any]:
    """The model as JSON data, without features of hardly any weight."""
    data = model.ranker.to_json()
    return data | {"contexts": {name: _rounded(entry) for name, entry in data["contexts"].items()}}


def _rounded(entry: dict[str, list[Any]]) -> dict[str, list[Any]]:
    rows = [
        (feature, round(weight, _DIGITS), round(square, _DIGITS))
        for feature, weight, square in zip(entry["features"], entry["weights"], entry["squares"], strict=True)
        if abs(weight) >= _LEAST
    ]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return {name: list(column) for name, column in zip(("features", "weights", "squares"), columns, strict=True)}


def fit_actions(out: Path, seed: int) -> None:
    """Fit the weights of ``SearchGuesser`` to actions of the scripted agent, and write them."""
    weights = compact(fitted(generated_decisions(_GENERATED, seed), seed=seed))
    write_text(json.dumps(weights, separators=(",", ":")), out)
