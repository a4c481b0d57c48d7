"""``AsyncSpeculativeWrapper``: the same episode in less time, on an event loop."""

import dataclasses
import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, Self, SupportsFloat, TypeVar

import gymnasium as gym

from spec_envs.calls import Call
from spec_envs.checks import check_env
from spec_envs.errors import NotForkable
from spec_envs.guesses import AsyncGuesser, Guesser, Prefetcher
from spec_envs.pickling import NotPicklable
from spec_envs.values import own_copy
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.speculation.asked_steps import expect_call, finish, recover
from spec_envs.wrappers.speculation.awaiting import Answered, run_awaited
from spec_envs.wrappers.speculation.episode import Acting, Checkpoint
from spec_envs.wrappers.speculation.failed_steps import after_failed_step
from spec_envs.wrappers.speculation.options import SessionOptions
from spec_envs.wrappers.speculation.session import Session
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.timing.guard import Mode
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.speculation.transitions import (
    Method,
    Transition,
    action_of,
    resetting,
    same_action,
    stepping,
)
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.trust.replays import Replay
from spec_envs.wrappers.telemetry import TracerProvider

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


@dataclasses.dataclass(frozen=True, slots=True)
class _Begun:
    """A step or a reset that has begun, with what is needed to continue it or to take it back."""

    request: tuple[Any, ...]  # the name of the method, and its arguments
    method: Method  # the method with its arguments, to run on the environment
    before: Checkpoint  # where the episode stood before
    answers: list[Answered] = dataclasses.field(default_factory=list)  # the calls that have been answered so far

    def replay(self, base: gym.Env[Any, Any], answers: list[Answered]) -> Replay:
        """This step or reset from ``base`` with the responses in ``answers``, for forks to make again."""
        responses = tuple(answered.response for answered in answers if answered.error is None)
        return Replay(base, self.method, responses, self.request[0] == "reset")


class AsyncSpeculativeWrapper(NotPicklable, Generic[ObsType, ActType]):
    """``SpeculativeWrapper`` for async handlers, policies and guessers: the same loop, awaited.

    Every call of a coroutine function is a task of its own on the running event loop; the tasks of a discarded branch
    are cancelled. A plain function runs on a worker thread, as with ``SpeculativeWrapper``. The wrapper is not a
    ``gymnasium.Env``: its ``reset`` and ``step`` are coroutine functions.

    The local code of a step runs on the loop and cannot wait there. So the calls of the step are found by running the
    step on a fork, and are awaited first; then the environment makes the step once, with their responses.

    When the task that awaits ``reset``, ``step`` or ``act`` is cancelled, the call that the task waits for goes on.
    Calling the same method with the same arguments continues with that call: no draw is lost, and none is made twice.
    Calling any other method takes the begun step back, and drops the call.

    Args:
        env: As for ``SpeculativeWrapper``. The step of an environment that does not ask (no ``CallEnv``) is a plain
            function, so it runs on a worker thread; its ``reset`` runs on the loop.
        policy: ``async def policy(observation)``, or ``(observation, cancel)``; or a plain function.
        guessers: A mapping from names of handlers to guessers. A guesser whose ``guess`` is a coroutine function runs
            on the loop, and so does its ``observe``.

    All other options mean what they mean for ``SpeculativeWrapper``; prefetchers are plain functions. With
    ``max_inflight=0`` and no guessers, this is the plain loop. The guard also returns to plain steps where the event
    loop is late. Plain steps of a ``CallEnv`` make no forks. Those of any other environment are made on the loop where
    they are quick (2 ms), and otherwise on a fork, beside the loop. Where a handler has a limit of its own, plain steps
    go through the tree, which then starts and guesses nothing.

    Info:
        ``info["speculation"]``: as for ``SpeculativeWrapper``.

    Raises:
        InvalidConfiguration: An option has the wrong kind of value or is out of range.
        NotForkable: ``env`` cannot be copied faithfully; the message names the layer and the way out.
        UnknownHandler: A guesser is for a handler that neither the wrapper nor the environment has.
    """

    def __init__(
        self,
        env: gym.Env[ObsType, ActType],
        policy: Callable[..., Any] | None = None,
        *,
        guessers: Mapping[str, Guesser | AsyncGuesser] | None = None,
        prefetchers: Mapping[str, Prefetcher] | None = None,
        k: int = 3,
        max_inflight: int | None = None,
        limits: Limits | None = None,
        canonical: Mapping[str, Callable[[Any], Hashable]] | None = None,
        shadow_every: int = 10,
        rehearse: bool = True,
        prove_every: int = 100,
        max_trace_events: int = 100_000,
        guard: bool | None = None,
        estimates: Estimates | str | os.PathLike[str] | None = None,
        otel: bool | TracerProvider = False,
    ) -> None:
        check_env(env)
        self._runtime = AsyncioRuntime()
        options = SessionOptions(
            policy=policy,
            guessers=guessers,
            prefetchers=prefetchers,
            k=k,
            max_inflight=max_inflight,
            limits=limits,
            runtime=self._runtime,
            canonical=canonical,
            shadow_every=shadow_every,
            rehearse=rehearse,
            prove_every=prove_every,
            max_trace_events=max_trace_events,
            guard=guard,
            estimates=estimates,
            otel=otel,
        )
        self._session = Session(env, options, type(self).__name__, on_forks=True)
        self.action_space, self.observation_space = env.action_space, env.observation_space
        self._begun: _Begun | None = None

    @property
    def env(self) -> gym.Env[ObsType, ActType]:
        """The real environment. If it is no ``CallEnv``, a step may put another object in its place."""
        return self._session.lend()

    @property
    def statistics(self) -> Statistics:
        """What was saved and what it cost, over the life of the wrapper."""
        return self._session.statistics()

    @property
    def trace(self) -> Trace:
        """What happened, event by event."""
        return self._session.trace

    # -- the loop ------------------------------------------------------------------------------------------------

    async def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode, as the environment does."""
        session, request = self._session, ("reset", seed, own_copy(options))
        session.check_open()
        async with self._runtime.turn():
            with session.pacing:
                method = resetting(seed, options)
                begun = None if session.driver.interrupted else self._interrupted(request)
                if begun is None:
                    self._begun = None
                    session.discard_episode()
                    if not session.asks or (session.trust.is_plain and not session.is_plain):
                        transition = session.begin(
                            await run_awaited(self._session.env, session.apart(method), self._call)
                        )
                        return session.reset_result(transition)
                    before = session.checkpoint()
                    if not session.is_plain:
                        session.begin_reset(method)
                    begun = self._begun = _Begun(request, method, before)
                transition = await self._run(begun)
                return session.reset_result(transition)

    async def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Make the step, as the environment does; at once where the action was guessed and its calls are done."""
        session, action = self._session, own_copy(action)
        request = ("step", action)
        session.check_ready()
        async with self._runtime.turn():
            with session.pacing:
                begun = self._interrupted(request)
                if begun is None:
                    self._take_back()
                    root = session.root
                    if (
                        root is None
                    ):  # before reset, after a failed one, or after the end: the environment says so itself
                        session.driver.rebase(None)
                        transition = await run_awaited(self._session.env, session.apart(stepping(action)), self._call)
                        return session.step_result(session.restart(transition))
                    if session.is_plain:
                        session.plain.drop()
                        if not session.asks:
                            session.begin_step(root, action)
                            return session.step_result(session.step_plainly(root, action))
                    begun = self._begun = _Begun(request, stepping(action), session.checkpoint())
                    session.begin_step(root, action)
                if session.trust.is_plain and not session.is_plain:
                    return session.step_result(await self._step_plainly(begun))
                return session.step_result(await (self._run(begun) if session.asks else self._adopt_step(begun)))

    async def act(self, observation: ObsType) -> ActType:
        """The policy's action: at once when it was guessed, else as soon as the policy has it.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            InvalidConfiguration: The wrapper was made without a policy.
            Exception: Whatever the policy raises; calling ``act`` again calls the policy again.
        """
        session = self._session
        session.check_ready()
        async with self._runtime.turn():
            with session.pacing:
                begun = self._begun
                if begun is not None and begun.before.root is not None and begun.before.acted is not None:
                    if same_action(observation, begun.before.root.transition.observation):
                        decided: ActType = own_copy(
                            action_of(begun.before.acted)
                        )  # the interrupted step goes on with it
                        return decided
                self._take_back()
                session.observe(observation)
                if session.is_plain:
                    decision = await session.plain.decide_awaited(observation, self._runtime.changed)
                else:
                    decision = await self._obtain()
                action: ActType = session.take_decision(decision)
                return action

    async def close(self) -> None:
        """Cancel every call in flight, wait until all tasks and threads have ended, and close the environment.

        Idempotent. A call that does not end within ten seconds is left behind with a warning.
        """
        if self._session.is_inherited:
            return
        try:
            if not self._session.closed:
                self._session.closed = True
                self._session.plain.close()
                self._session.driver.close()
                self._session.keep()
                self.trace.tell_end(self._session.driver.now(), "closed")
            await self._runtime.ended()
        finally:
            self._session.env.close()
        self._session.tell()

    async def __aenter__(self) -> Self:
        """The wrapper itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncSpeculativeWrapper{self._session.env}>"

    # -- waiting -------------------------------------------------------------------------------------------------

    async def _obtain(self) -> Any:
        self._give_way()
        return await self._session.driver.obtain_async(self._changed)

    async def _changed(self, until: float | None) -> None:
        await self._runtime.changed(until)
        self._give_way()

    def _give_way(self) -> None:
        """Start nothing ahead of time as long as the loop is late, where the guard decides on that."""
        session, guard = self._session, self._session.pacing.guard
        if guard is not None and guard.mode is Mode.AHEAD and not session.trust.is_plain:
            session.driver.pause(self._runtime.is_late)

    async def _call(self, call: Call, answers: list[Answered]) -> Any:
        """Return the response to ``call`` where there is no episode to speculate on."""
        return await self._runtime.call(call.handler, self._session.handler(call.handler), call.query)

    async def _run(self, begun: _Begun) -> Transition:
        """Run the begun method on the real environment, once the responses to its calls are there.

        The method stays begun if this task is cancelled, which raises no ``Exception``.
        """
        session = self._session
        if session.is_plain:
            return await self._run_plainly(begun)

        async def answer(call: Call, answers: list[Answered]) -> Any:
            """The real environment asks for a call that no fork has asked for."""
            expect_call(session, call, lambda: begun.replay(session.base, answers))
            response = await self._obtain()
            session.driver.commit(response)
            return response

        try:
            await self._await_calls(begun.answers)
            transition = await run_awaited(self._session.env, begun.method, answer, begun.answers)
        except Exception as error:
            self._begun = None
            recover(session, error, begun.replay(session.base, begun.answers))
            raise
        self._begun = None
        return finish(session, transition, begun.replay(session.base, begun.answers))

    async def _run_plainly(self, begun: _Begun) -> Transition:
        """Run the begun method on the real environment, and await each call when the environment comes to it."""
        session, changed = self._session, self._runtime.changed

        async def answer(call: Call, answers: list[Answered]) -> Any:
            return await session.plain.answer_awaited(call, changed)

        try:
            transition = await run_awaited(session.env, session.pacing.timed(begun.method), answer, begun.answers)
        except Exception:
            self._begun = None
            if begun.before.root is not None:
                session.step_again_from(begun.before.root)
            raise
        self._begun = None
        return session.restart(transition)

    async def _await_calls(self, answers: list[Answered]) -> None:
        """Await the calls that the real environment will ask for; the environment itself meets a call that fails."""
        driver = self._session.driver
        while isinstance(root := driver.root, Acting):
            try:
                response = await self._obtain()
            except Exception as error:
                self._session.check_open()
                answers.append(Answered(root.call, error=error))
                return
            driver.commit(response)
            answers.append(Answered(root.call, response))

    async def _adopt_step(self, begun: _Begun) -> Transition:
        """Step an environment that does not ask: a fork has made the step, or makes it now, and takes its place."""
        try:
            stepped = await self._obtain()
        except NotForkable as error:
            self._session.stop_speculating(str(error), failed=True)
            return await self._step_plainly(begun)
        except Exception as error:
            self._begun = None
            assert begun.before.root is not None
            return after_failed_step(self._session, begun.before.root, begun.request[1], error)
        self._begun = None
        return self._session.adopt(stepped)

    async def _step_plainly(self, begun: _Begun) -> Transition:
        """Step the environment itself, without a fork."""
        self._begun = None
        try:
            return self._session.restart(
                await run_awaited(self._session.env, self._session.apart(begun.method), self._call)
            )
        except BaseException:
            assert begun.before.root is not None
            self._session.step_again_from(begun.before.root)
            raise

    # -- what was interrupted ------------------------------------------------------------------------------------

    def _interrupted(self, request: tuple[Any, ...]) -> _Begun | None:
        """Return what has begun and was interrupted, if ``request`` is the same request."""
        begun = self._begun
        if begun is None or len(begun.request) != len(request):
            return None
        return begun if all(map(same_action, begun.request, request)) else None

    def _take_back(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            self._session.take_back(begun.before)
