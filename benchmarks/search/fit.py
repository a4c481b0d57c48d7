"""``spec-envs search fit-actions``: fits the weights that ``SearchGuesser`` begins with (``weights.json``).

They are fitted to the actions of the scripted agent on the train split of the embedded questions, and to nothing else.
So recorded episodes and the other splits are unknown to the guesser when ``spec-envs bench search`` runs them.
"""

import itertools
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spec_envs.agents.search.action_model import ActionModel, decide
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.agents.search.situation import Situation
from spec_envs.benchmarks.episodes import play
from spec_envs.benchmarks.reports import write_text
from spec_envs.search.actions import Act, read_action
from spec_envs.search.env import SearchEnv

_ROUNDS = 5
#: How many actions of the scripted agent are learned: with more, the weights fit this agent better and others worse.
_GENERATED = 200
#: How many digits of a weight are kept; weights below ``_LEAST`` are dropped.
_DIGITS = 2
_LEAST = 0.05

Decision = tuple[Mapping[str, Any], str]


def fit(decisions: Iterable[Decision], *, rounds: int = _ROUNDS, seed: int = 0) -> ActionModel:
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


def run(out: Path, seed: int) -> None:
    """Fit weights to actions of the scripted agent, and write them."""
    weights = compact(fit(generated_decisions(_GENERATED, seed), seed=seed))
    write_text(json.dumps(weights, separators=(",", ":")), out)
