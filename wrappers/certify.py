"""``certify``: does the speculative loop give what the plain loop gives?"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from spec_envs.call_env import CallEnv
from spec_envs.calls import Guesser, as_handler, key_of
from spec_envs.wrappers.speculative import SpeculativeWrapper, make_runtime

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.runtime import Runtime

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
    """
    count = 0
    for count, seed in enumerate(seeds, start=1):
        first = _plain(env_factory, policy, seed, max_steps, _runtime_of(options))
        second = _plain(env_factory, policy, seed, max_steps, _runtime_of(options))
        if (difference := _first_difference(seed, first, second)) is not None:
            return Certificate(Verdict.NONDETERMINISTIC_CONTROL, count, difference)
        speculative = _speculative(env_factory, policy, guessers, seed, max_steps, options)
        if (difference := _first_difference(seed, first, speculative)) is not None:
            return Certificate(Verdict.DIVERGED, count, difference)
    return Certificate(Verdict.LOSSLESS, count)


Record = list[dict[str, Any]]


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
    try:
        observation, info = env.reset(seed=seed)
        record.append({"observation": key_of(observation), "info": _key_of_info(info)})
        for _ in range(max_steps):
            action = act(observation)
            observation, reward, terminated, truncated, info = env.step(action)
            record.append(
                {
                    "action": key_of(action),
                    "observation": key_of(observation),
                    "reward": float(reward),
                    "terminated": bool(terminated),
                    "truncated": bool(truncated),
                    "info": _key_of_info(info),
                }
            )
            if terminated or truncated:
                break
    except Exception as error:
        record.append({"error": (type(error).__name__, str(error))})
    return record


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
