"""``spec-envs bench retail``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SECONDS = click.FloatRange(min=0)


@click.command()
@click.option(
    "--tasks",
    type=click.Choice(["embedded", "tau-bench"]),
    default="embedded",
    show_default=True,
    help="embedded: the generated shop, a scripted agent and customer. tau-bench: its tasks, their gold actions as the "
    "agent, and a customer who says all of the instruction at once.",
)
@click.option("--data", type=_FOLDER, help="With --tasks tau-bench: the folder with its data.")
@click.option("--task-file", type=options.FILE, help="tau-bench's tasks.  [default: tasks*.json in --data]")
@click.option("--split", default="test", show_default=True, help="Which tasks.")
@click.option("--num-tasks", type=click.IntRange(min=1), help="How many of them.  [default: all]")
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Learn from the split's tasks of other customers, in so many parts.  [default: learn from the split train; "
    "for tau-bench 5]",
)
@click.option("--learn", type=click.IntRange(min=1), help="Learn from so many tasks at most.  [default: all]")
@click.option(
    "--guesses",
    type=click.Choice(["pattern", "llm", "user-model", "union"]),
    default="union",
    show_default=True,
    help="pattern: PatternGuesser, of the agent's calls, which also prefetches. user-model: ReplyGuesser, of the "
    "customer's messages. union: both. llm: a chat model, of both. On the virtual clock a guess is charged 5 ms, 1 ms, "
    "or --guess-seconds.",
)
@click.option("--model", help="With llm: the model's name.")
@click.option(
    "--base-url", help="With --guesses llm: an OpenAI-compatible server.  [default: OPENAI_BASE_URL, or OpenAI's]"
)
@click.option(
    "--guess-seconds", type=_SECONDS, default=1.0, show_default=True, help="With llm: how long a guess takes."
)
@options.k
@options.max_inflight("4")
@click.option("--actor-seconds", type=_SECONDS, default=5.0, show_default=True, help="How long the agent thinks.")
@click.option(
    "--typing-wpm",
    type=click.FloatRange(min=0, min_open=True),
    default=40.0,
    show_default=True,
    help="Words a minute that the customer types.",
)
@click.option("--tool-seconds", type=_SECONDS, default=0.5, show_default=True, help="How long a tool takes.")
@click.option(
    "--turn-calls",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="For api_correct_rate: calls predicted for a turn.",
)
@options.clock
@options.speed(100.0)
@options.seed
@click.option(
    "--min-probability",
    type=click.FloatRange(min=0, max=1),
    default=0.1,
    show_default=True,
    help="Branches less probable than this are not followed. Smaller costs many more tokens for little time.",
)
@options.json_file
def retail(json_file: Path | None, **settings: Any) -> None:
    """Serve customers through SpeculativeWrapper: how much less they wait, and what could be foreseen."""
    from spec_envs.benchmarks.retail.report import run

    run(settings, json_file)
