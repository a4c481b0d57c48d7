"""How much less a customer waits when agent, customer and tools are predicted.

Each task is run twice: first by the plain loop without any delay, to know what happens, and then through
``SpeculativeWrapper`` with an agent that thinks, a customer who types and tools that take their time. Both must give
the same conversation. The customer waits for all of the time except that of typing, which nothing can save.
"""

import contextlib
import dataclasses
import functools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from spec_envs.agents import ChatGuesser, ChatModel, PatternGuesser, ReplyGuesser
from spec_envs.benchmarks.episodes import Episode, Speculated, figures_of, play, play_plainly, runtime_of
from spec_envs.benchmarks.guess.run import RANK_COLUMNS, RANKS, Trial, next_call, trials_of
from spec_envs.benchmarks.processes import in_order
from spec_envs.benchmarks.reports import config_of, mean_of_rows, percent, progress, table_of, tokens_text, watched
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.retail.cast import (
    PATTERN_S,
    REPLY_S,
    Frozen,
    agent_of,
    customer_of,
    folds_of,
    player_of,
    policy_of,
    tool_set_of,
    tools_of,
    typing_seconds,
)
from spec_envs.benchmarks.retail.foresight import api_correct_rate, dialogues, next_message
from spec_envs.calls import Call
from spec_envs.conversation import Trajectory, UserMessage, from_chat
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.queries import CustomerQuery
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Task
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.estimates import Estimates

#: How many workers a cluster is taken to have whose number is not given.
_MANY = 32


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun(Speculated):
    """The figures of one task. Typing is part of ``speculative_s`` and of ``sequential_s``.

    On the wall clock both are measured.
    """

    task: str  # name of the task
    steps: int  # actions of the agent
    reward: float  # reward of the episode
    wait_saved: float  # share of ``sequential_wait_s`` that the customer did not have to wait
    prefetched: int  # reads that were prefetched
    prefetch_used: int  # how many of them were used
    wait_s: float  # ``speculative_s`` without typing
    sequential_wait_s: float  # ``sequential_s`` without typing
    api_correct_rate: float | None  # see ``foresight.api_correct_rate``; ``None`` without tool calls or predictions


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    """A task run without delay and without speculation."""

    trajectory: Trajectory
    steps: int
    query: CustomerQuery  # the first one to the customer
    start: StoreSnapshot  # the data at the beginning of the episode


@dataclasses.dataclass(slots=True)
class Guessers:
    """The guessers that the settings name."""

    pattern: PatternGuesser | None = None
    replies: ReplyGuesser | None = None
    chat: ChatGuesser | None = None
    chat_seconds: float = 0.0

    def learn(self, runs: Sequence[Plain]) -> None:
        """Learn from conversations."""
        if self.pattern is not None:
            self.pattern.learn(run.trajectory for run in runs)
        if self.replies is not None:
            for run in runs:
                self.replies.learn(dialogues(run.trajectory))

    def frozen(self) -> dict[str, Frozen]:
        """The guesser of each handler's calls."""
        found = {}
        if self.chat is not None:
            found = {name: Frozen(self.chat, self.chat_seconds) for name in ("policy", "user")}
        if self.pattern is not None:
            found["policy"] = Frozen(self.pattern, PATTERN_S)
        if self.replies is not None:
            found["user"] = Frozen(self.replies, REPLY_S)
        return found


class RetailBench:
    """Runs tasks with the same settings; guessers learn nothing from one to the next.

    Attributes:
        trials: Predictions of the agent's next call at every act of the plain runs so far.
        message_ranks: Rank of every customer's message among the guesses; ``None`` if the message was not among them.

    Raises:
        InvalidConfiguration: There are no such tasks.
    """

    def __init__(self, settings: RetailSettings) -> None:
        self.settings = settings
        self.folds = folds_of(settings)
        self.trials: list[Trial] = []
        self.message_ranks: list[int | None] = []
        self._estimates = settings.kept()

    def run(self) -> Iterator[TaskRun]:
        """Run the tasks, fold after fold, and show how far this is."""
        for part, (known, tasks) in enumerate(self.folds, 1):
            where = f" part {part} of {len(self.folds)}" if len(self.folds) > 1 else ""
            with self.learned(known) as guessers:
                runs = (
                    (self.serve(task, guessers) for task in tasks)
                    if self.settings.workers.is_one
                    else self._serve_beside(tasks, guessers)
                )
                yield from watched(runs, f"serving{where}", len(tasks))

    def _serve_beside(self, tasks: Sequence[Task], guessers: Guessers) -> Iterator[TaskRun]:
        """Run tasks over processes, each of which gets some tasks and a copy of the guessers."""
        workers = self.settings.workers
        size = math.ceil(len(tasks) / (2 * (workers.jobs or _MANY)))
        parts = [tasks[first : first + size] for first in range(0, len(tasks), size)]
        serve = functools.partial(_serve_alone, self.settings, guessers)
        for runs, trials, ranks in in_order(serve, parts, workers):
            self.trials += trials
            self.message_ranks += ranks
            yield from runs

    @contextlib.contextmanager
    def learned(self, known: Sequence[Task]) -> Iterator[Guessers]:
        """The guessers, which have learned from plain runs of the tasks ``known``."""
        wanted, settings = self.settings.guesses, self.settings
        if settings.model is not None:
            with ChatModel(settings.model, base_url=settings.base_url) as model:
                guesser = ChatGuesser(model, "retail")
                # A model that gives no answer is told now: on the way, a guess that fails is only counted.
                guesser.guess(Call("user", CustomerQuery(("Hello!",), self.folds[0][1][0], 0)), 1)
                yield Guessers(chat=guesser, chat_seconds=settings.guess_seconds)
            return
        pattern = (
            PatternGuesser(seed=settings.seed, reads=tool_set_of(settings).reads) if wanted != "user-model" else None
        )
        guessers = Guessers(pattern, ReplyGuesser() if wanted != "pattern" else None)
        with progress(f"learning from {len(known)} tasks", 1):
            guessers.learn([run_plainly(task, settings) for task in known])
        yield guessers

    def serve(self, task: Task, guessers: Guessers) -> TaskRun:
        """Run one task."""
        plain = run_plainly(task, self.settings)
        rate = None
        if guessers.pattern is not None:
            self.trials += trials_of(guessers.pattern, plain.trajectory)
            rate = api_correct_rate(guessers.pattern, plain.trajectory, plain.start, self.settings.turn_calls)
        if guessers.replies is not None:
            self.message_ranks += next_message(guessers.replies, plain.trajectory, plain.query)
        frozen = guessers.frozen()
        if self.settings.clock == "wall":  # make all guesses beforehand, in virtual time; see ``Frozen``
            run_speculatively(task, dataclasses.replace(self.settings, clock="virtual"), frozen, plain)
        return run_speculatively(task, self.settings, frozen, plain, rate, self._estimates)


def _serve_alone(
    settings: RetailSettings, guessers: Guessers, tasks: Sequence[Task]
) -> tuple[list[TaskRun], list[Trial], list[int | None]]:
    """Run tasks in a process of their own; also returns what ``RetailBench`` notes."""
    bench = RetailBench(settings)
    return [bench.serve(task, guessers) for task in tasks], bench.trials, bench.message_ranks


def run_plainly(task: Task, settings: RetailSettings) -> Plain:
    """Run a task by the plain loop and without delay, to know what happens."""
    with RetailEnv(data=settings.source, tasks=[task], customer=player_of(settings)) as env:
        played = play(env, policy_of(task, settings), seed=settings.seed)
        assert env.episode is not None
        episode = env.episode
        trajectory = Trajectory(
            from_chat(env.dialogue, tool_set_of(settings).schemas), task.name, played.steps[-1].reward
        )
    query = CustomerQuery(episode.said[:1], task, episode.seed)
    return Plain(trajectory, len(played.actions), query, episode.start)


def run_speculatively(
    task: Task,
    settings: RetailSettings,
    guessers: Mapping[str, Frozen],
    plain: Plain,
    rate: float | None = None,
    estimates: Estimates | None = None,
) -> TaskRun:
    """Run a task with delays through ``SpeculativeWrapper``, and compare with the plain run."""
    env = timed_env(task, settings)
    runtime = runtime_of(settings.clock, priced=settings.money_per_s is not None)
    guessers = {name: each.faster(settings.time_scale) for name, each in guessers.items()}
    wrapper: SpeculativeWrapper[Any, Any] = SpeculativeWrapper(
        env,
        agent_of(policy_of(task, settings), settings),
        guessers=guessers,
        prefetchers={"user": guessers["policy"]} if settings.guesses in ("pattern", "union") and guessers else {},
        k=settings.k,
        limits=settings.limits,
        runtime=runtime,
        estimates=estimates,
        guard=False,
    )
    with wrapper:
        played = play(wrapper, wrapper.act, seed=settings.seed, now=runtime.now)
    seconds, steps, reward = played.seconds * settings.time_scale, len(played.actions), played.steps[-1].reward
    conversation, before, statistics = (
        from_chat(env.dialogue, tool_set_of(settings).schemas),
        plain.trajectory,
        wrapper.statistics,
    )
    control = timed_plainly(task, settings)
    typing = typing_of(plain.trajectory, settings)
    waits = control.seconds * settings.time_scale - typing
    return TaskRun(
        task=task.name,
        steps=steps,
        reward=reward,
        wait_saved=1 - (seconds - typing) / waits if waits else 0.0,
        prefetched=statistics.prefetched,
        prefetch_used=statistics.prefetch_used,
        wait_s=seconds - typing,
        sequential_wait_s=waits,
        api_correct_rate=rate,
        **figures_of(
            statistics,
            speculative_s=seconds,
            sequential_s=typing + waits,
            lossless=played.is_as(control)
            and (conversation, reward, steps) == (before.conversation, before.reward, plain.steps),
        ),
    )


def timed_plainly(task: Task, settings: RetailSettings) -> Episode:
    """The task by the plain loop with delays, on the clock of the settings."""
    agent, runtime = agent_of(policy_of(task, settings), settings), runtime_of(settings.clock)
    return play_plainly(timed_env(task, settings), agent, runtime, seed=settings.seed)


def timed_env(task: Task, settings: RetailSettings) -> RetailEnv:
    """The environment of one task, with a customer who types and tools that take their time."""
    return RetailEnv(data=settings.source, tasks=[task], customer=customer_of(settings), tools=tools_of(settings))


def typing_of(trajectory: Trajectory, settings: RetailSettings) -> float:
    """How long the customer types."""
    events = trajectory.conversation.events
    return sum(typing_seconds(event.text, settings) for event in events if isinstance(event, UserMessage))


_COLUMNS = {
    "task": "{task}",
    "wait saved": "{wait_saved:.1%}",
    "saved": "{saved:.1%}",
    "hit rate": "{hit_rate:.1%}",
    "tokens partial": "x{tokens_partial:.2f}",
    "full": "x{tokens_full:.2f}",
    "calls": "{calls[committed]:.3g}/{calls[wasted]:.2g}/{calls[cancelled]:.2g}",
    "prefetch": "{prefetch_used:.2g}/{prefetched:.2g}",
    "API rate": "{api_correct_rate:.1%}",
    "reward": "{reward:.3g}",
}


def run(settings: RetailSettings) -> dict[str, Any]:
    """The report of the tasks; ``InvalidConfiguration`` if there are no such tasks."""
    settings.check_jobs()
    bench = RetailBench(settings)
    return report_of(bench, list(bench.run()))


def report_of(bench: RetailBench, runs: Sequence[TaskRun]) -> dict[str, Any]:
    """All figures in the form of JSON. All shares are between 0 and 1."""
    rows = [dataclasses.asdict(each) for each in runs]
    rates = [each.api_correct_rate for each in runs if each.api_correct_rate is not None]
    ranks = bench.message_ranks
    return {
        "config": config_of(bench.settings),
        "tasks": rows,
        "mean": mean_of_rows(rows),
        "next_call": next_call(bench.trials, tool_set_of(bench.settings).reads.__contains__) if bench.trials else None,
        "next_message": {f"top{k}": statistics.fmean(r is not None and r < k for r in ranks) for k in RANKS}
        if ranks
        else None,
        "api_correct_rate": statistics.fmean(rates) if rates else None,
    }


def show(report: dict[str, Any], settings: RetailSettings) -> Iterator[RenderableType]:
    """The table of tasks, how long customers wait, and how much could be predicted."""
    title = (
        f"{settings.tasks}, split {settings.split}, guesses: {settings.guesses}, {settings.title}, "
        f"clock: {settings.clock}"
    )
    mean = report["mean"]
    yield table_of(title, _COLUMNS, report["tasks"], {"task": "mean", **mean})
    yield (
        f"The customer waits {mean['wait_s']:,.1f} s instead of {mean['sequential_wait_s']:,.1f} s in the "
        f"mean; with typing, a conversation takes {mean['speculative_s']:,.1f} s instead of "
        f"{mean['sequential_s']:,.1f} s. {tokens_text(mean)} "
        '"calls": committed, wasted and cancelled ones. "prefetch": prefetched reads that were used, of those that '
        "were made.\n"
        f"Everything except time was the same with and without speculation in {percent(mean['lossless'])} of the tasks."
    )
    if failed := mean["guesses"].get("failed"):
        total = sum(mean["guesses"].values())
        yield Text(f"{failed:.3g} of {total:.3g} guesses of a task failed (mean).", style="bold")
    lines = [
        ("the agent's next call", report["next_call"]),
        ("of these, reads", report["next_call"] and report["next_call"]["reads"]),
        ("of these, writes", report["next_call"] and report["next_call"]["writes"]),
        ("the customer's next message", report["next_message"]),
    ]
    shown = [{"what": name, **found} for name, found in lines if found]
    if shown:
        yield table_of("Share that is among the first guesses", {"what": "{what}", **RANK_COLUMNS}, shown)
    if report["api_correct_rate"] is not None:
        yield (
            f"{percent(report['api_correct_rate'])} of the calls of a conversation were predicted before the "
            f"customer's message, with {settings.turn_calls} predictions for a turn."
        )
