"""``certify``: does the speculative loop give what the plain loop gives?"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from spec_envs.adapting import as_handler
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.values import key_of
from spec_envs.wrappers.async_speculative import AsyncSpeculativeWrapper
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.choice import make_runtime
from spec_envs.wrappers.speculation.awaiting import run_awaited
from spec_envs.wrappers.speculation.transitions import resetting, stepping
from spec_envs.wrappers.speculative import SpeculativeWrapper

if TYPE_CHECKING:
    from spec_envs.wrappers.runtimes.base import Runtime

AnyEnv = gym.Env[Any, Any]
Policy = Callable[..., Any]


class Verdict(enum.Enum):
    """What the comparison showed."""

    LOSSLESS = "lossless"
    NONDETERMINISTIC_CONTROL = "nondeterministic control"
    DIVERGED = "diverged"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between two runs.

    Args:
        seed: Of the episode.
        step: 0 is the reset, 1 the first step.
        field: ``action``, ``observation``, ``reward``, ``terminated``, ``truncated``, ``info``, ``error``, or ``end``
            where one run has ended and the other goes on.
        first: The value in the first run; ``second`` in the other.
    """

    seed: int
    step: int
    field: str
    first: Any
    second: Any

    def __str__(self) -> str:
        where = f"seed {self.seed}, step {self.step}"
        return f"{where}: {self.field} is {self.first!r} in one run and {self.second!r} in the other"


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """The result of ``certify``.

    Args:
        verdict: ``LOSSLESS`` if no seed showed a difference; ``NONDETERMINISTIC_CONTROL`` if two plain runs of a seed
            already differ, so that nothing can be said; ``DIVERGED`` if they agree and the speculative one differs.
        seeds: How many were compared, up to and with the one that decided.
        difference: The first one found, if any.
    """

    verdict: Verdict
    seeds: int
    difference: Difference | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.LOSSLESS

    def __str__(self) -> str:
        where = "" if self.difference is None else f" ({self.difference})"
        return f"{self.verdict.value} on {self.seeds} seed(s){where}"


def certify(
    env_factory: Callable[[], AnyEnv],
    policy: Policy,
    guessers: Mapping[str, Guesser],
    seeds: Iterable[int],
    *,
    max_steps: int = 10_000,
    **options: Any,
) -> Certificate:
    """Run the plain loop twice and the speculative loop once per seed, and compare them step by step.

    Compared are actions, observations, rewards, flags and infos (less ``info["speculation"]``), and errors by type and
    text. Stops at the first difference.

    Args:
        env_factory: Makes a fresh environment; called three times a seed.
        policy: ``policy(observation) -> action``. One with ``fork()`` is forked for every run.
        guessers: As for ``SpeculativeWrapper``.
        seeds: Seeds for ``reset``, one episode each.
        max_steps: An episode is compared up to here.
        **options: For ``SpeculativeWrapper``: ``k``, ``max_inflight``, ``limits``, ``runtime``, …. A runtime goes by
            its name or, since each seed needs a fresh one, as a callable that makes it.

    Raises:
        InvalidConfiguration: There are no seeds.
    """
    comparison = _Comparison()
    for seed in seeds:
        for _ in range(2):
            comparison.add(seed, _plain(env_factory, policy, seed, max_steps, _runtime_of(options)))
        if not comparison.decided:
            comparison.add(seed, _speculative(env_factory, policy, guessers, seed, max_steps, options))
        if comparison.decided:
            break
    return comparison.result()


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

    The plain loop makes no fork and no guess: it awaits the policy, and each call of a step as the environment asks
    for it. An environment cannot wait on an event loop, so a step is begun anew with every response.

    Args:
        env_factory: Makes a fresh environment; called three times a seed.
        policy: A coroutine function or a plain one. One with ``fork()`` is forked for every run.
        guessers: As for ``AsyncSpeculativeWrapper``.
        seeds: Seeds for ``reset``, one episode each.
        max_steps: An episode is compared up to here.
        **options: For ``AsyncSpeculativeWrapper``: ``k``, ``max_inflight``, ``limits``, ….

    Raises:
        InvalidConfiguration: There are no seeds.
    """
    comparison = _Comparison()
    for seed in seeds:
        for _ in range(2):
            comparison.add(seed, await _plain_async(env_factory, policy, seed, max_steps))
        if not comparison.decided:
            env = AsyncSpeculativeWrapper(env_factory(), _fresh(policy), guessers=guessers, **options)
            async with env:
                run = _run_async(lambda seed: env.reset(seed=seed), env.act, env.step, seed, max_steps)  # noqa: B023
                comparison.add(seed, await run)
        if comparison.decided:
            break
    return comparison.result()


Record = list[dict[str, Any]]


class _Comparison:
    """Compares the runs of one seed after the other: plain, plain, speculative."""

    def __init__(self) -> None:
        self._certificate = Certificate(Verdict.LOSSLESS, 0)
        self._runs: list[Record] = []

    @property
    def decided(self) -> bool:
        """Whether a difference was found."""
        return not self._certificate

    def result(self) -> Certificate:
        """What was found.

        Raises:
            InvalidConfiguration: Nothing was compared.
        """
        if not self._certificate.seeds:
            raise InvalidConfiguration("seeds must hold at least one seed: nothing was compared, so nothing is known")
        return self._certificate

    def add(self, seed: int, run: Record) -> None:
        """The next run."""
        if len(self._runs) == 3:
            self._runs.clear()
        self._runs.append(run)
        count = self._certificate.seeds + (len(self._runs) == 1)
        difference = _first_difference(seed, self._runs[0], run)
        if difference is None:
            self._certificate = Certificate(Verdict.LOSSLESS, count)
        else:
            verdict = Verdict.NONDETERMINISTIC_CONTROL if len(self._runs) == 2 else Verdict.DIVERGED
            self._certificate = Certificate(verdict, count, difference)


def _runtime_of(options: Mapping[str, Any]) -> Runtime:
    runtime = options.get("runtime", "threads")
    return runtime() if callable(runtime) else make_runtime(runtime)


def _plain(env_factory: Callable[[], AnyEnv], policy: Policy, seed: int, max_steps: int, runtime: Runtime) -> Record:
    """The plain loop. Its calls get tokens of the runtime, so that in virtual time they do not really sleep."""
    env = env_factory()
    unwrapped, handler = env.unwrapped, as_handler(_fresh(policy))
    if isinstance(unwrapped, CallEnv):
        call_env = unwrapped
        call_env.answer_with(lambda call: call_env.handler(call.handler)(call.query, runtime.token()))
    try:
        return _run(env, lambda observation: handler(observation, runtime.token()), seed, max_steps)
    finally:
        env.close()


async def _plain_async(env_factory: Callable[[], AnyEnv], policy: Policy, seed: int, max_steps: int) -> Record:
    """The plain loop on an event loop."""
    env, handler, runtime = env_factory(), as_handler(_fresh(policy)), AsyncioRuntime()
    unwrapped = env.unwrapped

    async def answer(call: Call, answers: Any = None) -> Any:
        assert isinstance(unwrapped, CallEnv)
        return await runtime.call(call.handler, unwrapped.handler(call.handler), call.query)

    async def reset(seed: int) -> Any:
        transition = await run_awaited(env, resetting(seed, None), answer)
        return transition.observation, transition.info

    async def step(action: Any) -> Any:
        transition = await run_awaited(env, stepping(action), answer)
        return tuple(getattr(transition, field.name) for field in dataclasses.fields(transition))

    try:
        return await _run_async(reset, lambda seen: runtime.call("policy", handler, seen), step, seed, max_steps)
    finally:
        runtime.close()
        await runtime.ended()
        env.close()


def _speculative(
    env_factory: Callable[[], AnyEnv],
    policy: Policy,
    guessers: Mapping[str, Guesser],
    seed: int,
    max_steps: int,
    options: Mapping[str, Any],
) -> Record:
    options = {**options, "runtime": _runtime_of(options)}
    env = SpeculativeWrapper(env_factory(), _fresh(policy), guessers=guessers, **options)
    try:
        return _run(env, env.act, seed, max_steps)
    finally:
        env.close()


def _fresh(policy: Policy) -> Policy:
    fork = getattr(policy, "fork", None)
    fresh: Policy = policy if fork is None else fork()
    return fresh


def _run(env: AnyEnv, act: Callable[[Any], Any], seed: int, max_steps: int) -> Record:
    record: Record = []
    episode = _episode(record, seed, max_steps)
    try:
        method, argument = next(episode)
        result: Any
        while True:
            match method:
                case "reset":
                    result = env.reset(seed=argument)
                case "act":
                    result = act(argument)
                case _:
                    result = env.step(argument)
            method, argument = episode.send(result)
    except StopIteration:
        return record
    except Exception as error:
        return [*record, _of_error(error)]


async def _run_async(
    reset: Callable[[int], Awaitable[Any]],
    act: Callable[[Any], Awaitable[Any]],
    step: Callable[[Any], Awaitable[Any]],
    seed: int,
    max_steps: int,
) -> Record:
    record: Record = []
    episode = _episode(record, seed, max_steps)
    methods = {"reset": reset, "act": act, "step": step}
    try:
        method, argument = next(episode)
        while True:
            method, argument = episode.send(await methods[method](argument))
    except StopIteration:
        return record
    except Exception as error:
        return [*record, _of_error(error)]


def _episode(record: Record, seed: int, max_steps: int) -> Generator[tuple[str, Any], Any, None]:
    """Yields what to do next, with its argument; is sent the result, and writes it down."""
    observation, info = yield "reset", seed
    record.append({"observation": key_of(observation), "info": _key_of_info(info)})
    for _ in range(max_steps):
        action = yield "act", observation
        chosen = key_of(action)  # before the step, which may change it in place
        observation, reward, terminated, truncated, info = yield "step", action
        record.append(
            {
                "action": chosen,
                "observation": key_of(observation),
                "reward": float(reward),
                "terminated": bool(terminated),
                "truncated": bool(truncated),
                "info": _key_of_info(info),
            }
        )
        if terminated or truncated:
            break


def _of_error(error: Exception) -> dict[str, Any]:
    return {"error": (type(error).__name__, str(error))}


def _key_of_info(info: Mapping[str, Any]) -> Hashable:
    return key_of({name: value for name, value in info.items() if name != "speculation"})


def _first_difference(seed: int, first: Record, second: Record) -> Difference | None:
    for step, (one, other) in enumerate(itertools.zip_longest(first, second)):
        if one is None or other is None:
            return Difference(seed, step, "end", one is None, other is None)
        for field in dict.fromkeys((*one, *other)):
            if one.get(field) != other.get(field):
                return Difference(seed, step, field, one.get(field), other.get(field))
    return None
