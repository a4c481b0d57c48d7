"""``certify``: does the speculative loop return the same as the plain loop?"""

import inspect
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from spec_envs.attributes import attribute_of
from spec_envs.brief import brief
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.checks import check_env_factory, check_seeds, integer, made, reset_parts, step_parts
from spec_envs.errors import InvalidConfiguration, NotCopyable, NotForkable
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.handling import answered, as_handler
from spec_envs.values import key_of, own_copy
from spec_envs.wrappers.async_speculative import AsyncSpeculativeWrapper
from spec_envs.wrappers.certificate import Certificate, Difference, Failure, Verdict
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.blocking import check_made_anew, make_runtime, run_blocking
from spec_envs.wrappers.speculation.awaiting import run_awaited
from spec_envs.wrappers.speculation.options import check_options
from spec_envs.wrappers.speculation.transitions import AnyEnv, plain_reward, resetting, stepping
from spec_envs.wrappers.speculative import SpeculativeWrapper

Policy = Callable[..., Any]
#: One entry for the reset and one for each step, by the names of what was seen of it.
Record = list[dict[str, "_Seen"]]


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

    Actions, observations, rewards, flags and infos (without ``info["speculation"]``) are compared, and errors by type
    and text. The comparison stops at the first difference.

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
        The certificate, which is true if the runs are equal, and no error has ended them.

    Raises:
        InvalidConfiguration: There are no seeds or something else is given for them, ``max_steps`` is below 1,
            ``env_factory`` does not make environments, or an option is unknown or has a wrong value.
    """
    check_env_factory(env_factory)
    seeds, max_steps = check_seeds(seeds), integer("max_steps", max_steps, least=1)
    check_made_anew(options.get("runtime", "threads"), "run")
    check_options(policy, guessers, options, besides=("runtime",))

    def plain() -> PlainLoop:
        return PlainLoop(made(env_factory), _fresh(policy), _new_runtime(options))

    def speculative() -> SpeculativeWrapper[Any, Any]:
        given = {"guard": False, **options, "runtime": _new_runtime(options)}
        return SpeculativeWrapper(made(env_factory), _fresh(policy), guessers=guessers, **given)

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
        The certificate, which is true if the runs are equal, and no error has ended them.

    Raises:
        InvalidConfiguration: There are no seeds or something else is given for them, ``max_steps`` is below 1,
            ``env_factory`` does not make environments, or an option is unknown or has a wrong value.
    """
    check_env_factory(env_factory)
    seeds, max_steps = check_seeds(seeds), integer("max_steps", max_steps, least=1)
    if "runtime" in options:
        raise InvalidConfiguration("certify_async() runs on the event loop, and has no option 'runtime'")
    check_options(policy, guessers, options)

    def plain() -> PlainAsyncLoop:
        return PlainAsyncLoop(made(env_factory), _fresh(policy))

    def speculative() -> AsyncSpeculativeWrapper[Any, Any]:
        return AsyncSpeculativeWrapper(
            made(env_factory), _fresh(policy), guessers=guessers, **{"guard": False, **options}
        )

    return await _compare(plain, speculative, seeds, max_steps)


class PlainLoop:
    """The plain loop: no wrapper, no fork, no guess. Its calls run on ``runtime``, so virtual time is no real time.

    ``reset``, ``step`` and ``close`` are those of ``env``; ``act`` calls the policy.
    """

    def __init__(self, env: AnyEnv, policy: Policy, runtime: Runtime) -> None:
        self._env, self.close = env, env.close
        handler, unwrapped = as_handler(policy), env.unwrapped
        self.act = lambda observation: runtime.run_here(lambda token: handler(observation, token), runtime.token())
        if isinstance(unwrapped, CallEnv):
            unwrapped.answer_with(
                lambda call: runtime.run_here(
                    lambda token: answered(unwrapped.handler(call.handler), call.query, token), runtime.token()
                )
            )

    def reset(self, **options: Any) -> Sequence[Any]:
        """Reset the environment."""
        return reset_parts(self._env, self._env.reset(**options))

    def step(self, action: Any) -> Sequence[Any]:
        """Step the environment."""
        return step_parts(self._env, self._env.step(action))


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
    count, num_steps, failures = 0, 0, list[Failure]()
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
        failed = first[-1].get(_ERROR)
        if failed is not None:
            failures.append(Failure(seed, len(first) - 1, failed.value))
        num_steps += len(first) - 1 - (failed is not None)
    if not count:
        raise InvalidConfiguration("seeds must hold at least one seed: nothing was compared, so nothing is known")
    if not failures:
        return Certificate(Verdict.LOSSLESS, count)
    verdict = Verdict.FAILED_ALIKE if num_steps > 0 else Verdict.NOTHING_COMPARED
    return Certificate(verdict, count, failed=len(failures), failure=failures[0])


def _first_difference(seed: int, first: Record, second: Record) -> Difference | None:
    for step, (one, other) in enumerate(itertools.zip_longest(first, second)):
        if one is None or other is None:
            return Difference(seed, step, "end", one is None, other is None)
        names = dict.fromkeys((*one, *other))
        for field in sorted(names, key=lambda name: name != _ERROR):  # what one run lacks, it lacks by its error
            mine, theirs = one.get(field, _MISSING), other.get(field, _MISSING)
            if mine.key != theirs.key:
                return Difference(seed, step, field, mine.value, theirs.value)
    return None


async def _run(loop: Any, seed: int, max_steps: int) -> Record:
    """Run one episode, close the loop, and return the record of the episode.

    Raises:
        NotForkable: The environment cannot be speculated on.
    """
    record: Record = [{}]
    try:
        observation, info = await _value(loop.reset(seed=seed))
        record[0] |= {"observation": _Seen.of(observation), "info": _Seen.of(_without_speculation(info))}
        for _ in range(max_steps):
            record.append(seen := {})
            action = await _value(loop.act(observation))
            seen["action"] = _Seen.of(action)  # before the step, which may change the action in place
            observation, reward, terminated, truncated, info = await _value(loop.step(action))
            seen["observation"], seen["reward"] = _Seen.of(observation), _Seen.of(plain_reward(reward))
            seen["terminated"], seen["truncated"] = _Seen.of(bool(terminated)), _Seen.of(bool(truncated))
            seen["info"] = _Seen.of(_without_speculation(info))
            if terminated or truncated:
                break
    except NotForkable:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        record[-1][_ERROR] = _Seen(text, text)
    finally:
        await _value(loop.close())
    return record


class _Seen(NamedTuple):
    """A value as it was when it was seen: what it is compared by, and a copy of it for people."""

    key: Hashable
    value: Any

    @classmethod
    def of(cls, value: Any) -> "_Seen":
        key = key_of(value)
        try:
            return cls(key, own_copy(value))
        except NotCopyable:
            return cls(key, brief(value))


#: The field of a step, or of the reset, that has raised.
_ERROR = "error"
_MISSING = _Seen(None, None)


async def _value(result: Any) -> Any:
    """Return what a method of a loop has returned, or the result of its coroutine."""
    return await result if inspect.iscoroutine(result) else result


def _without_speculation(info: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (info or {}).items() if name != "speculation"}


def _new_runtime(options: Mapping[str, Any]) -> Runtime:
    runtime: Any = options.get("runtime", "threads")
    return cast(Runtime, runtime()) if callable(runtime) else make_runtime(runtime)


def _fresh(policy: Policy) -> Policy:
    fork = attribute_of(policy, "fork")
    fresh: Policy = policy if fork is None else fork()
    return fresh
