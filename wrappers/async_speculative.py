"""``AsyncSpeculativeWrapper``: the same episode, sooner, on an event loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, SupportsFloat, TypeVar

import gymnasium as gym

from spec_envs.forking import fork
from spec_envs.values import own_copy
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.speculation.awaiting import Answered, awaited
from spec_envs.wrappers.speculation.episode import Acting, Agent, AnyEnv, Deciding, Transition, action_of, attempt
from spec_envs.wrappers.speculation.session import Speculation, resetting, same_action, stepping

if TYPE_CHECKING:
    from types import TracebackType

    from spec_envs.calls import Call
    from spec_envs.guesses import AsyncGuesser, Guesser
    from spec_envs.prefetch import Prefetcher
    from spec_envs.wrappers.speculation.tree.limits import Limits

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


@dataclasses.dataclass(slots=True)
class _UnderWay:
    """A step, or a reset, that has begun, with what is needed to go on with it or to take it back."""

    what: tuple[Any, ...]
    method: Callable[[AnyEnv], Transition]
    agent: Agent
    back: Deciding | None = None
    acted: Any = None
    answers: list[Answered] = dataclasses.field(default_factory=list)


class AsyncSpeculativeWrapper(Speculation, Generic[ObsType, ActType]):
    """``SpeculativeWrapper`` for async handlers, policies and guessers: the same loop, awaited.

    Every call of a coroutine function is a task of its own on the running event loop; the tasks of a discarded branch
    are cancelled. A plain function runs on a worker thread, as with ``SpeculativeWrapper``. It is not a
    ``gymnasium.Env``, since what an environment returns, this one has awaited.

    The local code of a step runs on the loop. It cannot wait there, so its calls are awaited first, each found by
    running the step on a fork; then the environment makes the step once, with their responses.

    When the task that awaits ``reset``, ``step`` or ``act`` is cancelled, the call that it waits for goes on, and the
    same method with the same arguments goes on with it: no draw is lost, and none is made twice. Any other method takes
    the begun step back, and drops the call.

    Args:
        env: As for ``SpeculativeWrapper``. The step of an environment that does not ask (no ``CallEnv``) is a plain
            function, so it runs on a worker thread; its ``reset`` runs on the loop.
        policy: ``async def policy(observation)``, or ``(observation, cancel)``; or a plain function.
        guessers: By handler. One whose ``guess`` is a coroutine function lives on the loop, ``observe`` included.
        k: Guesses to ask for, for one call.
        prefetchers: By handler, plain functions: actions whose reads are made ahead while that handler's call is under
            way.
        max_inflight: Speculative calls in flight at once. With 0 and no guessers, this is the plain loop.
        limits: All the limits at once, instead of ``max_inflight``.
        canonical: Looser matching, by handler. **Lossy**; see ``SpeculativeWrapper``.
        shadow_every: See ``canonical``.
        max_trace_events: Events kept in ``trace``.

    Raises:
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
        max_trace_events: int = 100_000,
    ) -> None:
        self.env = env
        self.action_space, self.observation_space = env.action_space, env.observation_space
        self._runtime = AsyncioRuntime()
        self._under_way: _UnderWay | None = None
        self._prepare(
            policy,
            guessers or {},
            prefetchers or {},
            k,
            max_inflight,
            limits,
            self._runtime,
            canonical,
            shadow_every,
            max_trace_events,
        )

    # -- the loop ------------------------------------------------------------------------------------------------

    async def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode, as the environment does."""
        self._check_open()
        async with self._runtime.turn():
            method = resetting(seed, options)
            if self._goes_on(("reset", seed, options)):
                transition = await self._really()
            else:
                self._under_way = self._acted = None
                self._driver.rebase(None)
                if self._asks:
                    _ = self.env.unwrapped.np_random  # as in SpeculativeWrapper.reset
                    self._base = fork(self.env)
                    self._expect(lambda: attempt(self._base, self._agent, method))
                    self._under_way = _UnderWay(("reset", seed, options), method, self._agent)
                    transition = await self._really()
                else:
                    transition = self._go_on_from(method(self.env))
            return transition.observation, self._with_figures(transition.info)

    async def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Make the step, as the environment does; at once where the action was foreseen and its calls are done."""
        self._check_open()
        async with self._runtime.turn():
            if not self._goes_on(("step", action)):
                self._take_back()
                root = self._driver.root
                if not isinstance(root, Deciding) or root.transition.done:
                    # Before reset, after a failed one, or after the end: the environment says so itself.
                    self._driver.rebase(None)
                    return self._results(self._go_on_from(await self._plainly(stepping(action))))
                what = ("step", action)
                self._under_way = _UnderWay(what, stepping(action), self._agent, root, self._acted)
                self._base = root.env
                self._decide(root, action)
            return self._results(await (self._really() if self._asks else self._adopt_step()))

    async def act(self, observation: ObsType) -> ActType:
        """The policy's action: at once when it was foreseen, else as soon as the policy has it.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            InvalidConfiguration: The wrapper was made without a policy.
            Exception: Whatever the policy raises; calling again asks it again.
        """
        self._check_open()
        async with self._runtime.turn():
            begun = self._under_way
            if begun is not None and begun.back is not None and begun.acted is not None:
                if same_action(observation, begun.back.transition.observation):
                    decided: ActType = own_copy(action_of(begun.acted))  # the step that was interrupted goes on with it
                    return decided
            self._take_back()
            self._at(observation)
            self._acted = await self._obtain()
            action: ActType = own_copy(action_of(self._acted))
            return action

    async def close(self) -> None:
        """Cancel every call in flight, wait until all tasks and threads have ended, and close the environment.

        Idempotent. A call that does not end within ten seconds is left behind with a warning.
        """
        if not self._closed:
            self._closed = True
            self._driver.close()
        try:
            await self._runtime.ended()
        finally:
            self.env.close()

    async def __aenter__(self) -> Self:
        """The wrapper itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncSpeculativeWrapper{self.env}>"

    # -- waiting -------------------------------------------------------------------------------------------------

    async def _obtain(self) -> Any:
        return await self._driver.obtain_async(self._runtime.changed)

    async def _really(self) -> Transition:
        """Run the method that is under way on the real environment, once what it waits for is there.

        It stays under way when this task is cancelled (which is no ``Exception``).
        """
        assert self._under_way is not None
        method, answers = self._under_way.method, self._under_way.answers
        try:
            await self._foresee(answers)
            transition = await awaited(self.env, method, self._unforeseen, answers)
        except Exception:
            self._under_way = None
            self._resume()
            raise
        self._under_way = None
        return self._arrived(transition)

    async def _foresee(self, answers: list[Answered]) -> None:
        """Await the calls that the real environment will ask for; a failed one is its own business."""
        while isinstance(root := self._driver.root, Acting):
            try:
                response = await self._obtain()
            except Exception as error:
                self._check_open()
                answers.append(Answered(root.call, error=error))
                return
            self._driver.commit(response)
            answers.append(Answered(root.call, response))

    async def _unforeseen(self, call: Call, answers: list[Answered]) -> Any:
        """The response to a call that the real environment asks for, and no fork did."""
        assert self._under_way is not None
        responses = tuple(answer.response for answer in answers if answer.error is None)
        self._driver.diverged()
        self._driver.rebase(Acting(self._base, self._agent, self._under_way.method, responses, call))
        response = await self._obtain()
        self._driver.commit(response)
        return response

    async def _adopt_step(self) -> Transition:
        """Step an environment that does not ask: a fork has made the step, or makes it now, and takes its place."""
        begun = self._under_way
        assert begun is not None and begun.back is not None
        try:
            stepped = await self._obtain()
        except Exception:
            self._under_way = None
            if not self._closed:
                self._driver.rebase(dataclasses.replace(begun.back, agent=self._agent))
            raise
        self._under_way = None
        return self._adopt(stepped)

    async def _plainly(self, method: Callable[[AnyEnv], Transition]) -> Transition:
        """Run ``method`` where there is no episode to speculate on."""
        return await awaited(
            self.env,
            method,
            lambda call, _: self._runtime.call(call.handler, self._handler(call.handler), call.query),
        )

    # -- what was interrupted ------------------------------------------------------------------------------------

    def _goes_on(self, what: tuple[Any, ...]) -> bool:
        """Whether this is what was begun, and interrupted."""
        begun = self._under_way
        return begun is not None and all(map(same_action, begun.what, what)) and len(begun.what) == len(what)

    def _take_back(self) -> None:
        begun, self._under_way = self._under_way, None
        if begun is not None:
            self._agent, self._acted = begun.agent, begun.acted
            self._driver.rebase(begun.back)
