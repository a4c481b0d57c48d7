"""``certify``: does the speculative loop return the same as the plain loop?"""

import inspect
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, cast

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.checks import check_env_factory
from spec_envs.errors import InvalidConfiguration, NotForkable
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.handling import answered, as_handler
from spec_envs.values import key_of
from spec_envs.wrappers.async_speculative import AsyncSpeculativeWrapper
from spec_envs.wrappers.certificate import Certificate, Difference, Verdict
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.blocking import make_runtime, run_blocking
from spec_envs.wrappers.speculation.awaiting import run_awaited
from spec_envs.wrappers.speculation.transitions import AnyEnv, plain_reward, resetting, stepping
from spec_envs.wrappers.speculative import SpeculativeWrapper

Policy = Callable[..., Any]
#: One entry for the reset and one for each step: field name -> value, or the value's key.
Record = list[dict[str, Any]]


def certify(
    env_factory: Callable[[], AnyEnv],
    policy: Policy,
    guessers: Mapping[str, Guesser],
    seeds: Iterable[int],
    *,
    max_steps: int = 10_000,
    **options: Any,
) -> Certificate:
    """Run the plain loop twice and the speculative loop once per seed, and compare the three step by step.

    Compared are actions, observations, rewards, flags and infos (less ``info["speculation"]``), and errors by type and
    text. The comparison stops at the first difference.

    Args:
        env_factory: Makes a new environment; called three times per seed.
        policy: ``policy(observation) -> action``. A policy with ``fork()`` is forked for every run.
        guessers: As for ``SpeculativeWrapper``.
        seeds: Seeds for ``reset``, one episode each.
        max_steps: The greatest number of steps compared in one episode.
        **options: For ``SpeculativeWrapper``: ``k``, ``max_inflight``, ``limits``, ``runtime``, …. Give ``runtime`` by
            its name, or as a callable that makes a runtime, since every run needs a new one. There is no guard, so that
            every step is made ahead of time.

    Returns:
        The certificate, which is true if the runs are equal.

    Raises:
        InvalidConfiguration: There are no seeds, or ``env_factory`` cannot be called.
    """
    check_env_factory(env_factory)

    def plain() -> PlainLoop:
        return PlainLoop(env_factory(), _fresh(policy), _new_runtime(options))

    def speculative() -> SpeculativeWrapper[Any, Any]:
        given = {"guard": False, **options, "runtime": _new_runtime(options)}
        return SpeculativeWrapper(env_factory(), _fresh(policy), guessers=guessers, **given)

    return run_blocking(_compare(plain, speculative, seeds, max_steps), "certify() awaits nothing; use certify_async()")


async def certify_async(
    env_factory: Callable[[], AnyEnv],
    policy: Policy,
    guessers: Mapping[str, Guesser | AsyncGuesser],
    seeds: Iterable[int],
    *,
    max_steps: int = 10_000,
    **options: Any,
) -> Certificate:
    """``certify`` for ``AsyncSpeculativeWrapper``, on the running event loop.

    The plain loop makes no fork and no guess: it awaits the policy, and each call of a step when the environment asks
    for it. An environment cannot wait on an event loop, so the step begins anew with every response.

    Args:
        env_factory: As for ``certify``.
        policy: A coroutine function or a plain function. A policy with ``fork()`` is forked for every run.
        guessers: As for ``AsyncSpeculativeWrapper``.
        seeds: As for ``certify``.
        max_steps: As for ``certify``.
        **options: For ``AsyncSpeculativeWrapper``: ``k``, ``max_inflight``, ``limits``, ….

    Returns:
        The certificate, which is true if the runs are equal.

    Raises:
        InvalidConfiguration: There are no seeds, or ``env_factory`` cannot be called.
    """
    check_env_factory(env_factory)

    def plain() -> PlainAsyncLoop:
        return PlainAsyncLoop(env_factory(), _fresh(policy))

    def speculative() -> AsyncSpeculativeWrapper[Any, Any]:
        return AsyncSpeculativeWrapper(env_factory(), _fresh(policy), guessers=guessers, **{"guard": False, **options})

    return await _compare(plain, speculative, seeds, max_steps)


class PlainLoop:
    """The plain loop: no wrapper, no fork, no guess. Its calls run on ``runtime``, so virtual time is no real time.

    ``reset``, ``step`` and ``close`` are those of ``env``; ``act`` calls the policy.
    """

    def __init__(self, env: AnyEnv, policy: Policy, runtime: Runtime) -> None:
        self.reset, self.step, self.close = env.reset, env.step, env.close
        handler, unwrapped = as_handler(policy), env.unwrapped
        self.act = lambda observation: runtime.run_here(lambda token: handler(observation, token), runtime.token())
        if isinstance(unwrapped, CallEnv):
            unwrapped.answer_with(
                lambda call: runtime.run_here(
                    lambda token: answered(unwrapped.handler(call.handler), call.query, token), runtime.token()
                )
            )


class PlainAsyncLoop:
    """The plain loop on the running event loop: as ``PlainLoop``, with methods that are awaited."""

    def __init__(self, env: AnyEnv, policy: Policy) -> None:
        self._env, self._policy, self._runtime = env, as_handler(policy), AsyncioRuntime()

    async def reset(self, *, seed: int) -> tuple[Any, Mapping[str, Any]]:
        """Reset the environment; its calls are awaited."""
        transition = await run_awaited(self._env, resetting(seed, None), self._answer)
        return transition.observation, transition.info

    async def act(self, observation: Any) -> Any:
        """Call the policy."""
        return await self._runtime.call("policy", self._policy, observation)

    async def step(self, action: Any) -> tuple[Any, ...]:
        """Step the environment; its calls are awaited."""
        return await run_awaited(self._env, stepping(action), self._answer)

    async def close(self) -> None:
        """End what runs, and close the environment."""
        self._runtime.close()
        await self._runtime.ended()
        self._env.close()

    async def _answer(self, call: Call, answers: Any) -> Any:
        unwrapped = self._env.unwrapped
        assert isinstance(unwrapped, CallEnv)
        return await self._runtime.call(call.handler, unwrapped.handler(call.handler), call.query)


#: Makes a loop: an object with ``reset``, ``act``, ``step`` and ``close``, blocking or to be awaited.
MakeLoop = Callable[[], PlainLoop | PlainAsyncLoop | SpeculativeWrapper[Any, Any] | AsyncSpeculativeWrapper[Any, Any]]


async def _compare(plain: MakeLoop, speculative: MakeLoop, seeds: Iterable[int], max_steps: int) -> Certificate:
    count = 0
    for count, seed in enumerate(seeds, 1):
        first = await _run(plain(), seed, max_steps)
        for make, verdict in ((plain, Verdict.NONDETERMINISTIC_CONTROL), (speculative, Verdict.DIVERGED)):
            try:
                second = await _run(make(), seed, max_steps)
            except NotForkable as error:
                return Certificate(Verdict.NOT_FORKABLE, count, reason=str(error))
            difference = _first_difference(seed, first, second)
            if difference is not None:
                return Certificate(verdict, count, difference)
    if not count:
        raise InvalidConfiguration("seeds must hold at least one seed: nothing was compared, so nothing is known")
    return Certificate(Verdict.LOSSLESS, count)


def _first_difference(seed: int, first: Record, second: Record) -> Difference | None:
    for step, (one, other) in enumerate(itertools.zip_longest(first, second)):
        if one is None or other is None:
            return Difference(seed, step, "end", one is None, other is None)
        for field in dict.fromkeys((*one, *other)):
            if one.get(field) != other.get(field):
                return Difference(seed, step, field, one.get(field), other.get(field))
    return None


async def _run(loop: Any, seed: int, max_steps: int) -> Record:
    """Run one episode, close the loop, and return the record of the episode.

    Raises:
        NotForkable: The environment cannot be speculated on.
    """
    record: Record = []
    try:
        observation, info = await _value(loop.reset(seed=seed))
        record.append({"observation": key_of(observation), "info": _key_of_info(info)})
        for _ in range(max_steps):
            action = await _value(loop.act(observation))
            chosen = key_of(action)  # before the step, which may change the action in place
            observation, reward, terminated, truncated, info = await _value(loop.step(action))
            record.append(
                {
                    "action": chosen,
                    "observation": key_of(observation),
                    "reward": key_of(plain_reward(reward)),
                    "terminated": bool(terminated),
                    "truncated": bool(truncated),
                    "info": _key_of_info(info),
                }
            )
            if terminated or truncated:
                break
    except NotForkable:
        raise
    except Exception as error:
        record.append({"error": (type(error).__name__, str(error))})
    finally:
        await _value(loop.close())
    return record


async def _value(result: Any) -> Any:
    """Return what a method of a loop has returned, or the result of its coroutine."""
    return await result if inspect.iscoroutine(result) else result


def _key_of_info(info: Mapping[str, Any] | None) -> Hashable:
    return key_of({name: value for name, value in (info or {}).items() if name != "speculation"})


def _new_runtime(options: Mapping[str, Any]) -> Runtime:
    runtime: Any = options.get("runtime", "threads")
    return cast(Runtime, runtime()) if callable(runtime) else make_runtime(runtime)


def _fresh(policy: Policy) -> Policy:
    fork = getattr(policy, "fork", None)
    fresh: Policy = policy if fork is None else fork()
    return fresh
