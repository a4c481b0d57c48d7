"""``SpeculativeWrapper``: the same episode in less time, for code that blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, Literal, NoReturn, SupportsFloat, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.checks import check_env
from spec_envs.errors import InvalidConfiguration, NotForkable
from spec_envs.guesses import Guesser, Prefetcher
from spec_envs.handling import is_async
from spec_envs.pickling import NotPicklable
from spec_envs.values import own_copy
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.speculation.asked_steps import expect_call, finish, recover
from spec_envs.wrappers.speculation.episode import Deciding
from spec_envs.wrappers.speculation.failed_steps import after_failed_step
from spec_envs.wrappers.speculation.options import SessionOptions
from spec_envs.wrappers.speculation.session import Session
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.speculation.transitions import Method, Transition, resetting, stepping
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.trust.replays import Replay
from spec_envs.wrappers.telemetry import TracerProvider

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class SpeculativeWrapper(
    NotPicklable, gym.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs, Generic[ObsType, ActType]
):
    """Makes an agent faster without changing what the agent does.

    While a real call (the policy, an opponent, a user, a page, a measurement) is in flight, its response is guessed,
    the episode runs ahead on forks, and the next calls are started there. When the real response arrives, the fork with
    the right guess is committed together with its calls, and the other forks are discarded. ``reset``, ``step`` and
    ``act`` return what they would have returned without the wrapper. Nothing that they return ever comes from a guess.

    The idea is from "Speculative Actions: A Lossless Framework for Faster AI Agents" (arXiv 2510.04371).

    Args:
        env: Any environment that can be forked. The responses to the calls of a ``CallEnv`` are guessed too. In any
            other environment only the policy's actions are guessed, and steps run ahead on copies.
        policy: ``policy(observation) -> action``. It may have a second parameter named ``cancel`` to learn when its
            answer is no longer needed. It is called from several threads at once, and may depend on the observation
            alone; a policy with state of its own has ``fork()``. Its attribute ``effect`` says whether it may be called
            ahead of time; default ``Effect.SAMPLE``. Its attribute ``max_inflight`` is like a handler's (see
            ``limits``). A model of stable-baselines3, or its ``predict``, is a policy too. Without a policy, actions
            come from outside, through ``step``.
        guessers: A mapping from names of handlers to guessers. The names are ``"policy"`` and those in
            ``env.unwrapped.handlers``.
        prefetchers: A mapping like ``guessers``. While a call of the handler is in flight, its prefetcher names reads
            that are likely to be needed, whatever the response is. These are made ahead of time, and equal calls share
            their results.
        k: The number of guesses to request for one call, and of actions to request from a prefetcher at once.
        max_inflight: The greatest number of speculative calls in flight at once. The authoritative call has a slot of
            its own beside them.
        limits: All limits at once, instead of ``max_inflight``. A handler may say by its attribute ``max_inflight`` how
            many calls it can take at once; this number counts, unless ``limits.per_handler`` has a limit for the
            handler.
        runtime: ``"threads"`` (the wall clock), ``"simulation"`` (a virtual clock), or a runtime of your own.
        canonical: Looser matching, by handler name: responses with the same canonical form count as equal. **Lossy**:
            the next call may then have been made with a slightly different query. Every ``shadow_every``-th such call
            is made again with the true query, and ``statistics`` say how often the response was different.
        shadow_every: See ``canonical``.
        rehearse: Before the first episode, step forks of the environment, to see whether they are independent of it. No
            call of a ``CallEnv`` is made for this. Any other environment is rehearsed only where there is a guesser for
            the policy.
        prove_every: Every ``prove_every``-th committed step is made again on another fork, and the results are
            compared; before the first of these, steps 1, 2, 4, 8 and so on. Such a step costs about twice as much, so
            the default costs less than 1 % of the time after the first hundred steps. 0: no step.
        max_trace_events: The number of events kept in ``trace``.
        guard: Run ahead only where this is measured to be faster than plain steps. The aim: no run is slower than the
            plain loop by more than 5 %, or 0.1 ms a step. Default: yes on the wall clock, no in virtual time.
            ``False``: run ahead from the first step on, and always.
        estimates: What is known of handlers and guessers, for several wrappers to share; or the path of a file that
            keeps this knowledge: the file is read here, if it exists, and written by ``close``. By default, a later
            wrapper of the same policy in this process knows what this wrapper has measured of handlers.
        otel: Send episodes, calls, commits and discards to OpenTelemetry, as ``spec_envs.wrappers.telemetry`` says:
            ``True``: through the program's tracer provider; or another provider. Needs the extra ``otel``.

    Info:
        ``info["speculation"]`` is a dict with what speculation did in this step, the policy's decision included:
        ``commits`` (responses that became final), ``windows`` (commits for which a guesser was called) and ``hits``
        (windows in which the response was guessed in time). The last two depend on timing, so they take no part when
        two infos are compared (``TimedCount``).

    Raises:
        InvalidConfiguration: An option has the wrong kind of value or is out of range.
        NotForkable: ``env`` cannot be copied faithfully; the message names the layer and the way out. ``reset`` may
            raise it, too: see ``rehearse``.
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
        rehearse: bool = True,
        prove_every: int = 100,
        max_trace_events: int = 100_000,
        guard: bool | None = None,
        estimates: Estimates | str | os.PathLike[str] | None = None,
        otel: bool | TracerProvider = False,
    ) -> None:
        options = SessionOptions(
            policy=policy,
            guessers=guessers,
            prefetchers=prefetchers,
            k=k,
            max_inflight=max_inflight,
            limits=limits,
            runtime=runtime,
            canonical=canonical,
            shadow_every=shadow_every,
            rehearse=rehearse,
            prove_every=prove_every,
            max_trace_events=max_trace_events,
            guard=guard,
            estimates=estimates,
            otel=otel,
        )
        check_env(env)
        # Policies and guessers are shared, not copied: they hold locks, engines and models.
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, **options.as_arguments())
        gym.Wrapper.__init__(self, env)
        _refuse_async(env, options)
        self._session = Session(env, options, type(self).__name__)
        if not self._session.asks:  # the spaces that the user knows stay, also when a fork with its own takes over
            self.action_space, self.observation_space = env.action_space, env.observation_space

    @property
    def env(self) -> gym.Env[ObsType, ActType]:
        """The real environment. If it is no ``CallEnv``, a step may put another object in its place."""
        session = getattr(self, "_session", None)  # there is none yet while the wrapper is made
        return self._made_of if session is None else session.lend()

    @env.setter
    def env(self, env: gym.Env[ObsType, ActType]) -> None:
        self._made_of = env

    @property
    def statistics(self) -> Statistics:
        """What was saved and what it cost, over the life of the wrapper."""
        return self._session.statistics()

    @property
    def trace(self) -> Trace:
        """What happened, event by event."""
        return self._session.trace

    # -- Gymnasium -----------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode, as the environment does."""
        session, method = self._session, resetting(seed, options)
        session.check_open()
        with session.pacing:
            session.discard_episode()
            if session.asks and not session.is_plain:
                session.begin_reset(method)
                transition = self._run(method, is_reset=True)
            else:
                transition = session.begin(session.run(method, session.answer_plainly))
            return session.reset_result(transition)

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Make the step, as the environment does; at once where the action was guessed and its calls are done."""
        session = self._session
        session.check_ready()
        with session.pacing:
            root, action = session.root, own_copy(action)
            if root is None:  # before reset, after a failed one, or after the end: the environment says so itself
                session.driver.rebase(None)
                transition = session.restart(session.apart(stepping(action))(session.env))
            else:
                session.begin_step(root, action)
                if session.is_plain:
                    transition = session.step_plainly(root, action)
                else:
                    transition = self._run(stepping(action)) if session.asks else self._adopt_step(root, action)
            return session.step_result(transition)

    def close(self) -> None:
        """Cancel every call in flight, end all threads and close the environment. Idempotent."""
        if not self._session.closed:
            self._session.closed = True
            if self._session.is_inherited:
                return
            try:
                self._session.plain.close()
                self._session.driver.close()
                self._session.keep()
                self.trace.tell_end(self._session.driver.now(), "closed")
            finally:
                self._session.env.close()
            self._session.tell()

    # -- the agent -----------------------------------------------------------------------------------------------

    def act(self, observation: ObsType) -> ActType:
        """The policy's action: at once when it was guessed, else as soon as the policy has it.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            InvalidConfiguration: The wrapper was made without a policy.
            Exception: Whatever the policy raises; calling ``act`` again calls the policy again.
        """
        session = self._session
        session.check_ready()
        with session.pacing:
            session.observe(observation)
            decision = session.plain.decide(observation) if session.is_plain else session.driver.obtain()
            action: ActType = session.take_decision(decision)
        return action

    @property
    def policy(self) -> BoundPolicy:
        """The policy for evaluation loops: ``policy(observation)`` and ``policy.predict(...)`` call ``act``."""
        return BoundPolicy(self)

    def fork(self) -> NoReturn:
        """Refuse to be forked: the wrapper itself works with forks of its environment.

        Raises:
            NotForkable: Always.
        """
        raise NotForkable("SpeculativeWrapper cannot be forked; fork the environment inside it: fork(wrapper.env)")

    # -- the real environment ------------------------------------------------------------------------------------

    def _run(self, method: Method, *, is_reset: bool = False) -> Transition:
        """Run ``method`` on the real environment; the tree gives the responses to its calls."""
        session, responses = self._session, list[Any]()

        def replay() -> Replay:
            return Replay(session.base, method, tuple(responses), is_reset)

        def answer(call: Call) -> Any:
            expect_call(session, call, replay)
            response = session.driver.obtain()
            session.driver.commit(response)
            responses.append(response)
            return own_copy(response)

        try:
            transition = session.run(method, session.pacing.asking(answer))
        except BaseException as error:
            recover(session, error, replay())
            raise
        return finish(session, transition, replay())

    def _adopt_step(self, root: Deciding, action: ActType) -> Transition:
        """Step an environment that does not ask: a fork has made the step, or makes it now, and takes its place."""
        session = self._session
        try:
            stepped = session.driver.obtain()
        except NotForkable as error:
            session.stop_speculating(str(error), failed=True)
            return session.step_plainly(root, action)
        except Exception as error:
            return after_failed_step(session, root, action, error)
        except BaseException:
            session.step_again_from(root)
            raise
        return session.adopt(stepped)


class BoundPolicy:
    """A wrapper's policy for evaluation loops that call ``policy`` and ``env.step`` themselves.

    Its observations should be those of the wrapper's episode. Other observations get an action too, without guesses.
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
        """Return the action in the form of stable-baselines3, for one observation or for a batch of one.

        Args:
            observation: An observation, or a batch of one: an array with a first axis of length 1, or a mapping of
                such arrays.
            state: Returned unchanged; a policy here has no recurrent state outside the observation.
            episode_start: Ignored, as by non-recurrent policies of stable-baselines3.
            deterministic: Ignored: the policy decides.

        Returns:
            The action (in an array of length 1 for a batch) and ``state``.

        Raises:
            InvalidConfiguration: The batch does not hold exactly one observation; a wrapper runs one episode.
        """
        if self._wrapper.observation_space.contains(observation):
            return self._wrapper.act(observation), state
        return np.asarray([self._wrapper.act(_only_one(observation))]), state


def _only_one(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return {name: _only_one(value) for name, value in batch.items()}
    if len(batch) != 1:
        raise InvalidConfiguration(
            f"predict() was given {len(batch)} observations; a SpeculativeWrapper runs one episode"
        )
    return batch[0]


def _refuse_async(env: gym.Env[Any, Any], options: SessionOptions) -> None:
    handlers = env.unwrapped.handlers if isinstance(env.unwrapped, CallEnv) else {}
    waits: dict[str, Any] = {"policy": options.policy}
    waits |= {f"handler {name!r}": handler for name, handler in handlers.items()}
    waits |= {f"guesser for {name!r}": guesser.guess for name, guesser in (options.guessers or {}).items()}
    for name, function in waits.items():
        if is_async(function):
            raise InvalidConfiguration(f"the {name} is a coroutine function, which only AsyncSpeculativeWrapper awaits")
