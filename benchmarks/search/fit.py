"""Fits the weights that ``SearchGuesser`` begins with.

``python -m spec_envs.benchmarks.search.fit --out agents/search/weights.json`` fits them to what the scripted
agent does on the train split of the generated questions, and to nothing else: on recorded episodes, and on the other
splits, ``spec-envs bench search`` shows how they do on what they do not know.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from spec_envs.agents.search.action_model import ActionModel, decide
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.agents.search.situation import Situation
from spec_envs.benchmarks import options
from spec_envs.search.actions import Act, read_action
from spec_envs.search.env import SearchEnv

_ROUNDS = 5
#: Actions of the scripted agent that are learned: more of them make the weights fit this agent, and others less.
_GENERATED = 200
#: Digits of a weight that are kept, and the least weight that is.
_DIGITS = 2
_LEAST = 0.05

Decision = tuple[Mapping[str, Any], str]


def fit(decisions: Iterable[Decision], *, rounds: int = _ROUNDS, seed: int = 0) -> ActionModel:
    """A model that has learned what was done on each observation, going over all of it ``rounds`` times."""
    model, rng = ActionModel(), random.Random(seed)
    lessons = []
    for observation, action in decisions:
        act = read_action(action)
        lessons.append(model.lesson(decide(Situation(observation)), act if isinstance(act, Act) else None))
    for _ in range(rounds):
        rng.shuffle(lessons)
        for ranker, rows, right in lessons:
            ranker.learn(rows, right)
    return model


def generated_decisions(count: int, seed: int) -> list[Decision]:
    """``count`` of the actions of the scripted agent on the train split of the generated questions."""
    made: list[Decision] = []
    policy = ScriptedSearchPolicy()
    with SearchEnv(split="train") as env:
        for number in range(len(env.questions)):
            observation, _ = env.reset(options={"question": number})
            done = False
            while not done:
                made.append((observation, policy(observation)))
                observation, _, terminated, truncated, _ = env.step(made[-1][1])
                done = terminated or truncated
    return random.Random(seed).sample(made, min(count, len(made)))


def compact(model: ActionModel) -> dict[str, Any]:
    """The model as JSON data, without what hardly counts."""
    data = model.to_json()
    return data | {"contexts": {name: _rounded(entry) for name, entry in data["contexts"].items()}}


def _rounded(entry: dict[str, list[Any]]) -> dict[str, list[Any]]:
    rows = [
        (feature, round(weight, _DIGITS), round(square, _DIGITS))
        for feature, weight, square in zip(entry["features"], entry["weights"], entry["squares"], strict=True)
        if abs(weight) >= _LEAST
    ]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return {name: list(column) for name, column in zip(("features", "weights", "squares"), columns, strict=True)}


@click.command()
@click.option("--out", type=options.OutputFile(), default="-", show_default=True, help="Where to write the weights.")
@options.seed
def main(out: Path, seed: int) -> None:
    """Fit weights to actions of the scripted agent."""
    text = json.dumps(compact(fit(generated_decisions(_GENERATED, seed), seed=seed)), separators=(",", ":"))
    if str(out) == "-":
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
