"""Fits the weights that ``SearchGuesser`` begins with, and says how well it does on episodes that they do not know.

``python -m spec_envs.benchmarks.search_fit FILE`` divides the recorded episodes of FILE into folds. For each of them it
fits weights to the actions in all the others (and to those of the scripted agent on the train split of the generated
questions), runs the fold with them as ``spec-envs bench search`` does, and prints the figures over all folds.
``--out weights.json`` writes the weights that are fitted to all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from spec_envs.agents.pattern.ranker import Ranker
from spec_envs.agents.search import SearchPolicy
from spec_envs.agents.search_guessers import SearchGuesser
from spec_envs.agents.search_guessers.model import ActionModel, decide
from spec_envs.agents.search_guessers.situation import Situation
from spec_envs.benchmarks import options
from spec_envs.benchmarks.search import SearchBench, SearchRun
from spec_envs.benchmarks.search_cases import Case
from spec_envs.benchmarks.search_report import mean
from spec_envs.benchmarks.search_settings import SearchSettings
from spec_envs.search.actions import Act, read_action
from spec_envs.search.env import SearchEnv
from spec_envs.search.recorded import RecordedEpisode, load_episodes

_ROUNDS = 5
#: Actions of the scripted agent that are learned beside the recorded ones: about as many.
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


def decisions_of(episodes: Iterable[RecordedEpisode]) -> Iterator[Decision]:
    """What the recorded agents did, and on what."""
    for episode in episodes:
        yield from zip(episode.observations, (step.action for step in episode.steps), strict=False)


def generated_decisions(count: int, seed: int) -> list[Decision]:
    """``count`` of the actions of the scripted agent on the train split of the generated questions."""
    made: list[Decision] = []
    policy = SearchPolicy()
    with SearchEnv(split="train") as env:
        for number in range(len(env.questions)):
            observation, _ = env.reset(options={"question": number})
            done = False
            while not done:
                made.append((observation, policy(observation)))
                observation, _, terminated, truncated, _ = env.step(made[-1][1])
                done = terminated or truncated
    return random.Random(seed).sample(made, min(count, len(made)))


def cross_validated(
    episodes: Sequence[RecordedEpisode], others: Sequence[Decision], settings: SearchSettings, folds: int
) -> list[SearchRun]:
    """The episodes, each run with weights that were fitted without it, in the order of the folds."""
    order = random.Random(settings.seed).sample(range(len(episodes)), len(episodes))
    runs: list[SearchRun] = []
    for fold in range(folds):
        held_out = set(order[fold::folds])
        known = [episode for number, episode in enumerate(episodes) if number not in held_out]
        weights = compact(fit([*decisions_of(known), *others], seed=settings.seed))
        free = SearchGuesser(model=ActionModel(Ranker.from_json(weights)))
        cases = [Case.recorded(episodes, settings)[number] for number in sorted(held_out)]
        bench = SearchBench(cases, settings, free)
        runs.extend(bench.run(case) for case in cases)
    return runs


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
@click.argument("episodes", type=options.FILE)
@click.option("--folds", type=click.IntRange(min=2), default=7, show_default=True)
@click.option("--out", type=options.OutputFile(), help="Write the weights that are fitted to all episodes here.")
@options.seed
def main(episodes: Path, folds: int, out: Path | None, seed: int) -> None:
    """Fit weights to recorded EPISODES, and cross-validate them."""
    records = load_episodes(episodes)
    others = generated_decisions(_GENERATED, seed)
    if out is not None:
        model = fit([*decisions_of(records), *others], seed=seed)
        out.write_text(json.dumps(compact(model), separators=(",", ":")) + "\n", encoding="utf-8")
    for guesses in ("free", "union"):
        settings = SearchSettings(guesses=guesses, seed=seed)
        figures = mean(cross_validated(records, others, settings, folds))
        shown = (f"{name} {figures[name]:.1%}" for name in ("saved", "first_top1", "first_top3", "top1", "top3"))
        click.echo(f"{guesses}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
