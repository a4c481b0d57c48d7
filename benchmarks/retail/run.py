"""``spec-envs bench retail``: how much sooner a customer gets answers when agent, customer and tools are predicted.

Each task is run twice: plainly, without any delay, to know what happens, and through ``SpeculativeWrapper`` with an
agent that thinks, a customer who types and tools that take their time. Both must give the same conversation. What the
customer waits is all the time but that of typing, which nothing can save.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.agents import ChatGuesser, ChatModel, PatternGuesser, ReplyGuesser
from spec_envs.benchmarks.guess.run import Trial, trials_of
from spec_envs.benchmarks.retail.cast import (
    PATTERN_S,
    REPLY_S,
    Frozen,
    agent_of,
    customer_of,
    player_of,
    policy_of,
    tools_of,
    typing_seconds,
)
from spec_envs.benchmarks.retail.foresight import api_correct_rate, dialogues, next_message
from spec_envs.benchmarks.retail.settings import folds_of
from spec_envs.benchmarks.speculated import Speculated, figures_of
from spec_envs.conversation import ToolCall, Trajectory, UserMessage, from_chat
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.queries import CustomerQuery
from spec_envs.retail.tools.table import READS, SCHEMAS
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper, ThreadRuntime

if TYPE_CHECKING:
    from spec_envs.benchmarks.retail.settings import RetailSettings
    from spec_envs.retail.store.snapshot import StoreSnapshot
    from spec_envs.retail.tasks import Task
    from spec_envs.wrappers.runtimes.base import Runtime

#: Told how many of the tasks are done.
Show = Callable[[int], None]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun(Speculated):
    """What became of one task. Typing is part of ``seconds``, and of ``sequential_seconds``.

    On the wall clock both are measured.

    Args:
        task: Name of the task.
        steps: Actions of the agent.
        reward: Of the episode.
        wait_saved: Share of ``sequential_wait_seconds`` that the customer did not have to wait.
        prefetched, prefetch_used: Reads that were prefetched, and how many of them were used.
        wait_seconds: ``seconds`` without typing.
        sequential_wait_seconds: ``sequential_seconds`` without typing.
        api_correct_rate: See ``retail_foresight``; ``None`` where no tool was called, or nothing predicts calls.
    """

    task: str
    steps: int
    reward: float
    wait_saved: float
    prefetched: int
    prefetch_used: int
    wait_seconds: float
    sequential_wait_seconds: float
    api_correct_rate: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    """A task run without delay and without speculation.

    Attributes:
        trajectory: What happened.
        steps: Actions of the agent.
        reward: At the end.
        query: The customer's first query.
        start: The data at the beginning.
    """

    trajectory: Trajectory
    steps: int
    reward: float
    query: CustomerQuery
    start: StoreSnapshot


@dataclasses.dataclass(slots=True)
class Guessers:
    """Who guesses, as far as the settings want them."""

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
        """What guesses the calls of each handler."""
        found = {}
        if self.chat is not None:
            found = {name: Frozen(self.chat, self.chat_seconds) for name in ("policy", "user")}
        if self.pattern is not None:
            found["policy"] = Frozen(self.pattern, PATTERN_S)
        if self.replies is not None:
            found["user"] = Frozen(self.replies, REPLY_S)
        return found


class RetailBench:
    """Runs tasks with the same settings; nothing is learned from one to the next.

    Attributes:
        trials: Predictions of the agent's next call at every act of the plain runs so far.
        message_ranks: For every message of the customers the rank among the guesses, ``None`` if it was not there.

    Args:
        settings: How.

    Raises:
        InvalidConfiguration: There are no such tasks.
    """

    def __init__(self, settings: RetailSettings) -> None:
        self.settings = settings
        self.folds = folds_of(settings)
        self.trials: list[Trial] = []
        self.message_ranks: list[int | None] = []

    @property
    def num_tasks(self) -> int:
        """How many tasks are run."""
        return sum(len(tasks) for _, tasks in self.folds)

    def run(self) -> Iterator[TaskRun]:
        """Run the tasks, fold after fold."""
        for known, tasks in self.folds:
            with contextlib.ExitStack() as stack:
                guessers = self._guessers(stack)
                guessers.learn([run_plainly(task, self.settings) for task in known])
                for task in tasks:
                    yield self._run(task, guessers)

    def _guessers(self, stack: contextlib.ExitStack) -> Guessers:
        wanted, settings = self.settings.guesses, self.settings
        if settings.model is not None:
            model = ChatModel(settings.model, base_url=settings.base_url)
            stack.callback(model.close)
            return Guessers(chat=ChatGuesser(model, "retail"), chat_seconds=settings.guess_seconds)
        pattern = PatternGuesser(seed=self.settings.seed, reads=READS) if wanted != "user-model" else None
        return Guessers(pattern, ReplyGuesser() if wanted != "pattern" else None)

    def _run(self, task: Task, guessers: Guessers) -> TaskRun:
        plain = run_plainly(task, self.settings)
        rate = None
        if guessers.pattern is not None:
            self.trials += trials_of(guessers.pattern, plain.trajectory)
            rate = api_correct_rate(guessers.pattern, plain.trajectory, plain.start, self.settings.turn_calls)
        if guessers.replies is not None:
            self.message_ranks += next_message(guessers.replies, plain.trajectory, plain.query)
        frozen = guessers.frozen()
        if self.settings.clock == "wall":  # have guessed, in virtual time, what will be asked
            run_speculatively(task, dataclasses.replace(self.settings, clock="virtual"), frozen, plain)
        return run_speculatively(task, self.settings, frozen, plain, rate)


def run_plainly(task: Task, settings: RetailSettings) -> Plain:
    """Run a task without delay: what happens."""
    env = RetailEnv(data=settings.source, tasks=[task], customer=player_of(settings))
    policy = policy_of(task, settings)
    reward, steps = _play(env, policy, settings.seed)
    assert env.episode is not None
    episode = env.episode
    trajectory = Trajectory(from_chat(env.dialogue, SCHEMAS), task.name, reward)
    env.close()
    return Plain(trajectory, steps, reward, CustomerQuery(episode.said[:1], task, episode.seed), episode.start)


def run_speculatively(
    task: Task, settings: RetailSettings, guessers: Mapping[str, Frozen], plain: Plain, rate: float | None = None
) -> TaskRun:
    """Run a task with delays through ``SpeculativeWrapper``, and compare with the plain run."""
    env = timed_env(task, settings)
    runtime: Runtime = SimulationRuntime() if settings.clock == "virtual" else ThreadRuntime()
    guessers = {name: each.faster(settings.time_scale) for name, each in guessers.items()}
    wrapper: SpeculativeWrapper[Any, Any] = SpeculativeWrapper(
        env,
        agent_of(task, settings),
        guessers=guessers,
        prefetchers={"user": guessers["policy"]} if settings.guesses in ("pattern", "union") and guessers else {},
        k=settings.k,
        limits=settings.limits,
        runtime=runtime,
    )
    with wrapper:
        start = runtime.now()
        reward, steps = _play(wrapper, wrapper.act, settings.seed)
        seconds = (runtime.now() - start) * settings.time_scale
    conversation = from_chat(env.dialogue, SCHEMAS)
    statistics = wrapper.statistics  # after close: only then has every cancelled call ended, and is charged
    typing, waits = sequential_times(plain.trajectory, settings)
    if settings.clock == "wall":
        waits = timed_plainly(task, settings) - typing
    return TaskRun(
        task=task.name,
        steps=steps,
        reward=reward,
        wait_saved=1 - (seconds - typing) / waits if waits else 0.0,
        prefetched=statistics.prefetched,
        prefetch_used=statistics.prefetch_used,
        wait_seconds=seconds - typing,
        sequential_wait_seconds=waits,
        api_correct_rate=rate,
        **figures_of(
            statistics,
            seconds=seconds,
            sequential_seconds=typing + waits,
            lossless=(conversation, reward, steps) == (plain.trajectory.conversation, plain.reward, plain.steps),
        ),
    )


def timed_plainly(task: Task, settings: RetailSettings) -> float:
    """How long the plain loop takes on the wall clock, in seconds of the experiment."""
    env, agent, runtime = timed_env(task, settings), agent_of(task, settings), ThreadRuntime()
    start = runtime.now()
    _play(env, lambda observation: agent(observation, runtime.token()), settings.seed)
    seconds = runtime.now() - start
    runtime.close()
    env.close()
    return seconds * settings.time_scale


def timed_env(task: Task, settings: RetailSettings) -> RetailEnv:
    """The environment of one task, with a customer who types and tools that take their time."""
    return RetailEnv(data=settings.source, tasks=[task], customer=customer_of(settings), tools=tools_of(settings))


def sequential_times(trajectory: Trajectory, settings: RetailSettings) -> tuple[float, float]:
    """How long the customer types, and how long the customer waits when one thing is done after the other."""
    events = trajectory.conversation.events
    typing = sum(typing_seconds(event.text, settings) for event in events if isinstance(event, UserMessage))
    calls = sum(isinstance(event, ToolCall) for event in events)
    messages = sum(isinstance(event, UserMessage) for event in events) - 1  # the first one comes without being asked
    return typing, (calls + messages) * settings.actor_seconds + calls * settings.tool_seconds


def _play(env: Any, act: Callable[[Any], Any], seed: int) -> tuple[float, int]:
    """An episode to its end: the reward, and the number of steps."""
    observation, _ = env.reset(seed=seed)
    steps, done, reward = 0, False, 0.0
    while not done:
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        steps, done = steps + 1, terminated or truncated
    return float(reward), steps
