"""Plays whole episodes, one after the other, as every worker does."""

from __future__ import annotations

import dataclasses
import pickle
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

from spec_envs.attributes import attribute_of
from spec_envs.calls import Call
from spec_envs.checks import check_names, made
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.guesses import Guesser
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.transitions import POLICY, AnyEnv
from spec_envs.wrappers.speculative import SpeculativeWrapper

#: What guessers remember of earlier episodes; see ``rollouts``.
Learning = Literal["merged", "worker", "episode"]

#: What a guesser was told: the name of its handler, the call and the response.
Observed = tuple[str, Call, Any]


class RolloutStep(NamedTuple):
    """A step of an episode: the action, and what ``step`` returned for it."""

    action: Any
    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """An episode that was played.

    Attributes:
        seed: The seed of its ``reset``.
        observation: What ``reset`` returned.
        info: The info of ``reset``.
        steps: The steps, in order; those before the error, if there was one.
        statistics: What speculation did and saved in this episode.
        error: What ended the episode before its end; ``None`` if nothing did. Only with ``keep_errors``.
    """

    seed: int
    observation: Any
    info: dict[str, Any]
    steps: tuple[RolloutStep, ...]
    statistics: Statistics
    error: Exception | None = None

    @property
    def total_reward(self) -> float:
        """The sum of the rewards."""
        return sum(step.reward for step in self.steps)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The plan of all episodes. It is pickled once for each worker.

    Attributes:
        env_factory: Makes a new environment for each episode.
        policy: The policy, as for ``SpeculativeWrapper``.
        guessers: By handler name, as for ``SpeculativeWrapper``.
        learning: What guessers remember of earlier episodes.
        max_steps: The greatest number of steps of an episode; ``None``: any number.
        options: The other options of ``SpeculativeWrapper``.
    """

    env_factory: Callable[[], AnyEnv]
    policy: Callable[..., Any]
    guessers: Mapping[str, Guesser]
    learning: Learning
    max_steps: int | None
    options: Mapping[str, Any]

    def pickled(self) -> bytes:
        """The plan for another process.

        Raises:
            InvalidConfiguration: A part of it cannot be pickled; the message names the part.
        """
        for field in dataclasses.fields(self):
            try:
                pickle.dumps(getattr(self, field.name))
            except Exception as error:
                raise InvalidConfiguration(
                    f"{field.name} must be pickled for other processes, and cannot be: {error}; give functions and "
                    f"classes of a module, and make what belongs to a process inside them"
                ) from error
        return pickle.dumps(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """An episode, as a worker sends it."""

    rollout: Rollout
    observed: tuple[Observed, ...] = ()  # what guessers were told, where those of another process are to learn it

    def packed(self) -> bytes:
        """The episode for another process; the error is put into words if it cannot be pickled."""
        error, rollout = self.rollout.error, self.rollout
        if error is not None:
            error.add_note("".join(traceback.format_exception(error)))
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                rollout = dataclasses.replace(rollout, error=HandlerFailed(f"{type(error).__name__}: {error}"))
        try:
            return pickle.dumps(dataclasses.replace(self, rollout=rollout))
        except Exception as refused:
            wrong = HandlerFailed(f"the episode cannot be sent to another process: {refused}")
            return pickle.dumps(Played(Rollout(rollout.seed, None, {}, (), rollout.statistics, wrong)))


class Player:
    """Plays episodes of a plan.

    Args:
        plan: The plan. Its policy and guessers are used as they are: in the process in which they were made, they are
            the user's own.
        around: Decorates handlers and the policy: ``around(name, handler) -> handler``.
        limited: The names of those that have a shared limit.
    """

    def __init__(
        self, plan: Plan, around: Callable[[str, Any], Any] | None = None, limited: Collection[str] = ()
    ) -> None:
        self._plan = plan
        self._limited = limited
        self._around = around or (lambda name, handler: handler)
        self._wrapper: SpeculativeWrapper[Any, Any] | None = None

    def play(self, seed: int, guessers: Mapping[str, Guesser] | None = None) -> Played:
        """Play the episode of ``seed``, and close its environment.

        Args:
            seed: The seed of ``reset``.
            guessers: Guessers for this episode alone; what they are told is returned. ``None``: those of the plan.
        """
        plan, noted = self._plan, list[Observed]()
        if guessers is None:
            guessers = copied(plan.guessers) if plan.learning == "episode" else plan.guessers
        else:
            guessers = {name: _Noting(name, guesser, noted) for name, guesser in guessers.items()}
        try:
            self._wrapper = wrapper = self._wrapped(guessers)
        except Exception as error:
            return Played(Rollout(seed, None, {}, (), Statistics(), error))
        try:
            rollout = _played(wrapper, seed, plan.max_steps)
        finally:
            wrapper.close()
            self._wrapper = None
        return Played(dataclasses.replace(rollout, statistics=wrapper.statistics), tuple(noted))

    def leave(self) -> None:
        """Cancel the calls of the episode under way, from another thread."""
        if self._wrapper is not None:
            self._wrapper.close()

    def _wrapped(self, guessers: Mapping[str, Guesser]) -> SpeculativeWrapper[Any, Any]:
        plan = self._plan
        env = made(plan.env_factory)
        handlers: dict[str, Any] = getattr(env.unwrapped, "handlers", {})
        check_names("shared_limits", self._limited, {POLICY, *handlers})
        for name, handler in list(handlers.items()):
            if (decorated := self._around(name, handler)) is not handler:
                handlers[name] = decorated
        fork = attribute_of(plan.policy, "fork")  # a policy with state begins each episode anew
        policy = self._around(POLICY, plan.policy if fork is None else fork())
        options = {**plan.options, "runtime": _new_runtime(plan.options)}
        try:
            return SpeculativeWrapper(env, policy, guessers=guessers, **options)
        except BaseException:
            env.close()
            raise


def copied(guessers: Mapping[str, Guesser]) -> Mapping[str, Guesser]:
    """Copies of guessers, as another process gets them."""
    copies: Mapping[str, Guesser] = pickle.loads(pickle.dumps(guessers))
    return copies


def _new_runtime(options: Mapping[str, Any]) -> Any:
    runtime: Any = options.get("runtime", "threads")
    return runtime() if callable(runtime) else runtime


def _played(wrapper: SpeculativeWrapper[Any, Any], seed: int, max_steps: int | None) -> Rollout:
    begin: Any = None
    begin_info: dict[str, Any] = {}
    steps: list[RolloutStep] = []
    error: Exception | None = None
    try:
        begin, begin_info = wrapper.reset(seed=seed)
        observation = begin
        while max_steps is None or len(steps) < max_steps:
            action = wrapper.act(observation)
            observation, reward, terminated, truncated, info = wrapper.step(action)
            steps.append(RolloutStep(action, observation, float(reward), terminated, truncated, info))
            if terminated or truncated:
                break
    except Exception as raised:
        error = raised
    return Rollout(seed, begin, begin_info, tuple(steps), wrapper.statistics, error)


class _Noting:
    """A guesser that notes what it is told, for a guesser in another process that is to learn the same."""

    def __init__(self, name: str, guesser: Any, noted: list[Observed]) -> None:
        self._name, self._guesser, self._noted = name, guesser, noted
        self.guess = guesser.guess  # the method itself, since the wrapper looks at its parameters

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guesser, name)

    def observe(self, call: Call, response: Any) -> None:
        observe = getattr(self._guesser, "observe", None)
        if observe is not None:
            observe(call, response)
            self._noted.append((self._name, call, response))


def tell(guessers: Mapping[str, Any], observed: tuple[Observed, ...]) -> None:
    """Have guessers learn what those of another process were told."""
    for name, call, response in observed:
        guessers[name].observe(call, response)
