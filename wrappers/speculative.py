"""``SpeculativeWrapper``: the same episode, sooner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, SupportsFloat, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from spec_envs.adapting import is_async
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration, NotForkable
from spec_envs.forking import fork
from spec_envs.guesses import Guesser
from spec_envs.values import own_copy
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime
from spec_envs.wrappers.speculation.episode import (
    Acting,
    AnyEnv,
    Deciding,
    Transition,
    action_of,
    attempt,
)
from spec_envs.wrappers.speculation.session import Speculation, resetting, stepping

if TYPE_CHECKING:
    from spec_envs.prefetch import Prefetcher
    from spec_envs.wrappers.runtimes.base import Runtime
    from spec_envs.wrappers.speculation.tree.limits import Limits

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class SpeculativeWrapper(
    Speculation, gym.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs, Generic[ObsType, ActType]
):
    """Makes an agent faster without changing what it does.

    While a real call (the policy, an opponent, a user, a page, a measurement) is under way, its response is guessed,
    the episode runs ahead on forks, and the next calls are started there. When the real response comes, the fork that
    guessed it is kept, with its calls, and the others are dropped. What ``reset``, ``step`` and ``act`` return is what
    they would have returned without the wrapper: it never comes from a guess.

    The idea is from "Speculative Actions: A Lossless Framework for Faster AI Agents" (arXiv 2510.04371).

    Args:
        env: Any environment that can be forked. One that asks for its calls (``CallEnv``) has those guessed too; of any
            other, the policy's actions are guessed, and its steps run ahead on copies.
        policy: ``policy(observation) -> action``, with a second parameter named ``cancel`` if it wants to know when its
            answer is no longer needed. It is called from several threads at once, and may depend on the observation
            alone; one with state of its own has ``fork()``. Its attribute ``effect`` says whether it may be called
            ahead of time; default ``Effect.SAMPLE``. Without a policy, actions come from outside, through ``step``.
        guessers: By handler: ``"policy"``, and the names in ``env.unwrapped.handlers``.
        prefetchers: By handler, as ``guessers``: while a call of that handler is under way, reads that are likely
            whatever its response is are made ahead, and what they return is shared with equal calls.
        k: Guesses to ask for, for one call; and actions of a prefetcher at once.
        max_inflight: Speculative calls in flight at once (the authoritative one has its own place).
        limits: All the limits at once, instead of ``max_inflight``. A handler whose attribute ``max_inflight`` says how
            many of its calls it can take at once is held to that, unless ``limits.per_handler`` has a limit for it.
        runtime: ``"threads"`` (the wall clock), ``"simulation"`` (a virtual clock), or a runtime of your own.
        canonical: Looser matching, by handler: responses with the same canonical form count as equal. **Lossy**: the
            next call may then have been made with a slightly different query. Every ``shadow_every``-th such call is
            made again with the true one, and ``statistics`` say how often the response was another.
        shadow_every: See ``canonical``.
        max_trace_events: Events kept in ``trace``.

    Info:
        ``info["speculation"]`` is a ``StepFigures``: what was guessed in this step, the policy's decision included.

    Raises:
        NotForkable: ``env`` cannot be copied faithfully; the message names the layer and the way out.
        UnknownHandler: A guesser is for a handler that neither the wrapper nor the environment has.
    """

    def __init__(
        self,
        env: gym.Env[ObsType, ActType],
        policy: Callable[..., ActType] | None = None,
        *,
        guessers: Mapping[str, Guesser] | None = None,
        prefetchers: Mapping[str, Prefetcher] | None = None,
        k: int = 3,
        max_inflight: int | None = None,
        limits: Limits | None = None,
        runtime: Literal["threads", "simulation"] | Runtime = "threads",
        canonical: Mapping[str, Callable[[Any], Hashable]] | None = None,
        shadow_every: int = 10,
        max_trace_events: int = 100_000,
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,  # policies and guessers are shared, not copied: they hold locks, engines, models
            policy=policy,
            guessers=guessers,
            prefetchers=prefetchers,
            k=k,
            max_inflight=max_inflight,
            limits=limits,
            runtime=runtime,
            canonical=canonical,
            shadow_every=shadow_every,
            max_trace_events=max_trace_events,
        )
        gym.Wrapper.__init__(self, env)
        self._prepare(
            policy,
            guessers or {},
            prefetchers or {},
            k,
            max_inflight,
            limits,
            make_runtime(runtime),
            canonical,
            shadow_every,
            max_trace_events,
        )
        _refuse_async(env, policy, guessers or {})
        if not self._asks:  # an adopted fork has spaces of its own; sampling goes on with those that the user knows
            self.action_space, self.observation_space = env.action_space, env.observation_space
        self._method: Callable[[AnyEnv], Transition] | None = None
        self._responses: list[Any] = []

    # -- Gymnasium -----------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode, as the environment does."""
        self._check_open()
        self._driver.rebase(None)
        self._acted = None
        method = resetting(seed, options)
        if not self._asks:
            transition = self._go_on_from(method(self.env))
        else:
            _ = self.env.unwrapped.np_random  # drawn from entropy now, so that a fork without a seed resets alike
            self._base = fork(self.env)
            self._expect(lambda: attempt(self._base, self._agent, method))
            transition = self._really(method)
        return transition.observation, self._with_figures(transition.info)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Make the step, as the environment does; at once where the action was foreseen and its calls are done."""
        self._check_open()
        root = self._driver.root
        if not isinstance(root, Deciding):
            # Before reset, or after a failed one: the environment says so itself.
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._go_on_from(Transition(observation, reward, terminated, truncated, info))
            return observation, reward, terminated, truncated, info
        self._base = root.env
        if root.transition.done:
            self._driver.rebase(None)
            transition = self._go_on_from(Transition(*self.env.step(action)))
        elif self._asks:
            self._decide(root, action)
            transition = self._really(stepping(action))
        else:
            transition = self._adopt_step(root, action)
        return self._results(transition)

    def close(self) -> None:
        """Cancel every call in flight, end all threads and close the environment. Idempotent."""
        if not self._closed:
            self._closed = True
            try:
                self._driver.close()
            finally:
                self.env.close()

    # -- the agent -----------------------------------------------------------------------------------------------

    def act(self, observation: ObsType) -> ActType:
        """The policy's action: at once when it was foreseen, else as soon as the policy has it.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            InvalidConfiguration: The wrapper was made without a policy.
            Exception: Whatever the policy raises; calling again asks it again.
        """
        self._check_open()
        self._at(observation)
        self._acted = self._driver.obtain()
        action: ActType = own_copy(action_of(self._acted))
        return action

    @property
    def policy(self) -> BoundPolicy:
        """The policy in the shape that evaluation loops expect: ``policy(observation)`` and ``policy.predict(...)``."""
        return BoundPolicy(self)

    def fork(self) -> NoReturn:
        """Refuses: the wrapper itself lives on forks.

        Raises:
            NotForkable: Always.
        """
        raise NotForkable("SpeculativeWrapper cannot be forked; fork the environment inside it: fork(wrapper.env)")

    # -- the real environment ------------------------------------------------------------------------------------

    def _really(self, method: Callable[[AnyEnv], Transition]) -> Transition:
        """Run ``method`` on the real environment; its calls are answered through the tree."""
        unwrapped = self.env.unwrapped
        assert isinstance(unwrapped, CallEnv)
        self._method, self._responses = method, []
        unwrapped.answer_with(self._answer)
        try:
            transition = method(self.env)
        except BaseException:
            self._resume()
            raise
        finally:
            unwrapped.answer_with(None)
        return self._arrived(transition)

    def _answer(self, call: Call) -> Any:
        """The response to a call that the real environment asks for."""
        root = self._driver.root
        if not isinstance(root, Acting) or root.call != call:
            assert self._method is not None
            self._driver.diverged()
            self._driver.rebase(Acting(self._base, self._agent, self._method, tuple(self._responses), call))
        response = self._driver.obtain()
        self._driver.commit(response)
        self._responses.append(response)
        return own_copy(response)

    def _adopt_step(self, root: Deciding, action: ActType) -> Transition:
        """Step an environment that does not ask: a fork has made the step, or makes it now, and takes its place."""
        self._decide(root, action)
        try:
            stepped = self._driver.obtain()
        except BaseException:
            self._driver.rebase(dataclasses.replace(root, agent=self._agent))
            raise
        return self._adopt(stepped)


class BoundPolicy:
    """A wrapper's policy for evaluation loops that own the loop.

    Its observations must be those of its wrapper's episode; others are answered too, but were not foreseen.
    """

    def __init__(self, wrapper: SpeculativeWrapper[Any, Any]) -> None:
        self._wrapper = wrapper

    def __call__(self, observation: Any) -> Any:
        """``wrapper.act(observation)``."""
        return self._wrapper.act(observation)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """The action in the form of stable-baselines3: for one observation, or for a batch of one.

        Args:
            observation: An observation, or a batch of one (an array with a first axis of length 1, or a mapping of
                such).
            state: Returned as it is; a policy here has no recurrent state outside the observation.
            episode_start: Ignored, as by non-recurrent policies of stable-baselines3.
            deterministic: Ignored: the policy decides.

        Returns:
            The action (in an array of length 1 for a batch) and ``state``.

        Raises:
            InvalidConfiguration: The batch holds more than one observation; a wrapper is one episode.
        """
        if self._wrapper.observation_space.contains(observation):
            return self._wrapper.act(observation), state
        return np.asarray([self._wrapper.act(_only_one(observation))]), state


def _only_one(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return {name: _only_one(value) for name, value in batch.items()}
    if len(batch) != 1:
        raise InvalidConfiguration(
            f"predict() was given {len(batch)} observations; a SpeculativeWrapper is one episode"
        )
    return batch[0]


def _refuse_async(env: AnyEnv, policy: Any, guessers: Mapping[str, Guesser]) -> None:
    unwrapped = env.unwrapped
    handlers = unwrapped.handlers if isinstance(unwrapped, CallEnv) else {}
    waits: dict[str, Any] = {f"handler {name!r}": handler for name, handler in handlers.items()}
    waits |= {f"guesser for {name!r}": getattr(guesser, "guess", None) for name, guesser in guessers.items()}
    for name, function in {"policy": policy, **waits}.items():
        if is_async(function):
            raise InvalidConfiguration(f"the {name} is a coroutine function, which AsyncSpeculativeWrapper awaits")


def make_runtime(runtime: str | Runtime) -> Runtime:
    """The runtime of that name, or ``runtime`` itself."""
    if not isinstance(runtime, str):
        return runtime
    if runtime == "threads":
        return ThreadRuntime()
    if runtime == "simulation":
        return SimulationRuntime()
    hint = "; AsyncSpeculativeWrapper is for asyncio" if runtime == "asyncio" else ""
    raise InvalidConfiguration(f"runtime must be 'threads', 'simulation' or a runtime object, not {runtime!r}{hint}")
