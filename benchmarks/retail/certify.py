"""``spec-envs retail certify``: are the episodes of every seed the same with speculation and without?"""

from __future__ import annotations

from collections.abc import Iterable

from spec_envs.agents import PatternGuesser, ReplyGuesser
from spec_envs.agents.retail.scripted_policy import ScriptedRetailPolicy
from spec_envs.benchmarks.retail.cast import Agent, customer_of, tools_of
from spec_envs.benchmarks.retail.folds import tasks_of
from spec_envs.benchmarks.retail.run import Guessers, run_plainly
from spec_envs.benchmarks.retail.settings import RetailSettings
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.tools.table import READS
from spec_envs.wrappers import Certificate, certify


def certify_retail(seeds: Iterable[int], learn: int = 40) -> Certificate:
    """Compare episodes of the generated shop; each seed draws a task.

    Args:
        seeds: Seeds of the episodes.
        learn: How many tasks of the split "train" the guessers learn from beforehand; they go on learning.
    """
    settings = RetailSettings(learn=learn)
    guessers = Guessers(PatternGuesser(reads=READS), ReplyGuesser())
    guessers.learn([run_plainly(task, settings) for task in tasks_of(settings, "train")[:learn]])
    assert guessers.pattern is not None and guessers.replies is not None
    return certify(
        lambda: RetailEnv(split=None, customer=customer_of(settings), tools=tools_of(settings)),
        Agent(ScriptedRetailPolicy(error_rate=0.1), settings.actor_seconds),
        {"policy": guessers.pattern, "user": guessers.replies},
        seeds,
        prefetchers={"user": guessers.pattern},
        k=settings.k,
        limits=settings.limits,
        runtime="simulation",
    )
