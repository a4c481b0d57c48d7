"""``rollouts``: many episodes, over processes or a cluster, as training and evaluation loops want them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, get_args

from spec_envs.checks import boolean, check_env_factory, check_seeds, choice, integer_or_none
from spec_envs.errors import EpisodeFailed, InvalidConfiguration
from spec_envs.guesses import Guesser
from spec_envs.wrappers.runtimes.blocking import check_made_anew
from spec_envs.wrappers.speculation.options import check_options
from spec_envs.wrappers.speculation.transitions import AnyEnv
from spec_envs.wrappers.workers.crew import Crew, Here
from spec_envs.wrappers.workers.permits import SharedLimit
from spec_envs.wrappers.workers.player import Learning, Plan, Played, Rollout, copied, tell
from spec_envs.wrappers.workers.processes import playing
from spec_envs.wrappers.workers.ray_workers import playing_on_ray


def rollouts(
    env_factory: Callable[[], AnyEnv],
    policy: Callable[..., Any],
    guessers: Mapping[str, Guesser],
    seeds: Iterable[int],
    *,
    jobs: int | None = None,
    ray: bool | str = False,
    shared_limits: Mapping[str, SharedLimit] | None = None,
    in_order: bool = False,
    keep_errors: bool = False,
    learning: Learning = "merged",
    max_steps: int | None = None,
    **options: Any,
) -> Generator[Rollout, None, None]:
    """Play one episode for each seed, with speculation, and yield each episode when it is done.

    Episodes are played ahead of the loop that takes them, but never more than two for each worker. So ``seeds`` may be
    endless. Closing the iterator, an error, and Ctrl-C end all workers.

    Args:
        env_factory: Makes a new environment for each episode.
        policy: ``policy(observation) -> action``, as for ``SpeculativeWrapper``. A policy with ``fork()`` is forked for
            every episode.
        guessers: By handler name, as for ``SpeculativeWrapper``; empty for the plain loop.
        seeds: The seeds of ``reset``, one for each episode.
        jobs: The number of processes that play. With 1 (default), this process plays. Otherwise processes are spawned,
            and their arguments are pickled, so ``env_factory`` and ``policy`` have to be functions or objects of a
            module.
        ray: Play on a Ray cluster, with ``jobs`` workers (default: one for each CPU). Give the address of the cluster,
            or ``True`` for the cluster that Ray finds, or else a new cluster on this machine. When a worker or a node
            dies, its episode is played again, up to three times. Needs the extra ``ray``.
        shared_limits: With ``ray``: limits for all workers together, by handler name, ``"policy"`` included.
        in_order: Yield the episodes in the order of their seeds.
        keep_errors: Yield a failed episode with its ``error``, and go on; otherwise raise ``EpisodeFailed``.
        learning: What guessers remember. ``"merged"``: guessers learn from all episodes, and each episode begins with
            everything learned so far; with several processes, the guessers are sent with each episode. ``"worker"``:
            each process has copies of the guessers, which learn from its own episodes. ``"episode"``: each episode
            begins with copies of ``guessers`` as given, so that it does not depend on other episodes.
        max_steps: The greatest number of steps of an episode; ``None``: until the episode ends.
        **options: For ``SpeculativeWrapper``: ``k``, ``limits``, ``runtime``, …. Give ``runtime`` by its name, or as a
            callable that makes a runtime, since every episode needs a new one.

    Yields:
        The episodes. Actions, observations, rewards, flags and infos (without ``info["speculation"]``) do not depend on
        ``jobs``. With ``learning="episode"`` and in simulation, the statistics do not depend on ``jobs`` either.

    Raises:
        EpisodeFailed: An episode failed. The message has the seed, and the error is the ``__cause__``.
        InvalidConfiguration: An argument is wrong, or cannot be pickled for other processes.
    """
    check_env_factory(env_factory)
    jobs = integer_or_none("jobs", jobs, least=1)
    choice("learning", learning, get_args(Learning))
    max_steps = integer_or_none("max_steps", max_steps, least=1)
    in_order, keep_errors = boolean("in_order", in_order), boolean("keep_errors", keep_errors)
    runtime = options.get("runtime", "threads")
    check_made_anew(runtime, "episode")
    check_options(policy, guessers, options, besides=("runtime",))
    seeds = check_seeds(seeds)
    _check_shared(shared_limits, ray, runtime)
    plan = Plan(env_factory, policy, guessers, learning, max_steps, options)
    if ray:
        address = None if ray is True else ray
        return _stream(
            playing_on_ray(plan, address, jobs, dict(shared_limits or {})), plan, seeds, in_order, keep_errors
        )
    if jobs in (None, 1):
        if learning == "worker":
            plan = Plan(env_factory, policy, copied(guessers), learning, max_steps, options)
        return _stream(contextlib.nullcontext(Here(plan)), plan, seeds, in_order, keep_errors)
    return _stream(playing(plan, jobs), plan, seeds, in_order, keep_errors)


def _check_shared(limits: Mapping[str, SharedLimit] | None, ray: bool | str, runtime: Any) -> None:
    if limits is None:
        return
    if not ray:
        raise InvalidConfiguration("shared_limits need ray=True, which also plays on this machine alone")
    if runtime == "simulation":
        raise InvalidConfiguration("shared_limits are on the wall clock, and runtime='simulation' is not")
    if not isinstance(limits, Mapping) or not all(isinstance(limit, SharedLimit) for limit in limits.values()):
        raise InvalidConfiguration(f"shared_limits must map names of handlers to a SharedLimit, not {limits!r:.200}")


def _stream(
    crew: contextlib.AbstractContextManager[Crew],
    plan: Plan,
    seeds: Iterable[int],
    in_order: bool,
    keep_errors: bool,
) -> Generator[Rollout, None, None]:
    """Give the crew its episodes, and yield what was played."""
    with crew as workers:
        sent = _Sent(plan, isinstance(workers, Here))
        for rollout in _ordered(workers, sent, seeds) if in_order else _as_done(workers, sent, seeds):
            if rollout.error is not None and not keep_errors:
                raise EpisodeFailed(rollout.seed, f"{type(rollout.error).__name__}: {rollout.error}") from rollout.error
            yield rollout


class _Sent:
    """The guessers that are sent with each episode."""

    def __init__(self, plan: Plan, is_here: bool) -> None:
        self._guessers = plan.guessers
        # Here they learn by themselves.
        self._is_sent = plan.learning == "merged" and bool(plan.guessers) and not is_here
        self._pickled: bytes | None = None

    def pickled(self) -> bytes | None:
        if self._is_sent and self._pickled is None:
            self._pickled = pickle.dumps(self._guessers)
        return self._pickled

    def learn(self, played: Played) -> Rollout:
        if played.observed:
            tell(self._guessers, played.observed)
            self._pickled = None
        return played.rollout


def _as_done(crew: Crew, sent: _Sent, seeds: Iterable[int]) -> Iterator[Rollout]:
    for _, rollout in _placed(crew, sent, seeds, lambda: 0):
        yield rollout


def _ordered(crew: Crew, sent: _Sent, seeds: Iterable[int]) -> Iterator[Rollout]:
    waiting: dict[int, Rollout] = {}
    due = 0
    for place, rollout in _placed(crew, sent, seeds, lambda: len(waiting)):
        waiting[place] = rollout
        while due in waiting:
            # Removed after it was taken, so that no more episodes are begun while it is not.
            yield waiting[due]
            del waiting[due]
            due += 1


def _placed(
    crew: Crew, sent: _Sent, seeds: Iterable[int], num_waiting: Callable[[], int]
) -> Iterator[tuple[int, Rollout]]:
    """Place and episode, as they are done; those that wait for earlier ones count as begun."""
    numbered, under_way, is_over = enumerate(seeds), 0, False
    while True:
        while not is_over and (under_way + num_waiting() < crew.most_begun or not under_way):
            found = next(numbered, None)
            if found is None:
                is_over = True
            else:
                crew.begin(*found, sent.pickled())
                under_way += 1
        if not under_way:
            return
        place, played = crew.next_played()
        under_way -= 1
        yield place, sent.learn(played)
