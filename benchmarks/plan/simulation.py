"""The episodes of a workload, played by ``SpeculativeWrapper`` on the virtual clock."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from spec_envs.benchmarks.plan.episode import POLICY, PlannedEnv, Players
from spec_envs.benchmarks.plan.workload import PlannedCall, Workload
from spec_envs.wrappers import Limits, SpeculativeWrapper, Statistics
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime

_WITHIN = NormalDist().inv_cdf(0.975)


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and the half width of its 95 % interval."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float], num_known: float) -> "Interval":
        """The mean of a figure of simulated episodes, with its interval.

        The interval allows for two samples: the simulated episodes, and the ``num_known`` episodes from which the
        workload was learned.
        """
        error = statistics.stdev(values) * math.sqrt(1 / len(values) + 1 / num_known)
        return cls(statistics.fmean(values), _WITHIN * error)


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted saving and cost of one setting.

    Attributes:
        saved: Share of the time of the plain loop that is saved.
        tokens_full: Tokens relative to the plain loop, cancelled calls charged in full.
        tokens_partial: The same, cancelled calls charged for the part that ran.
        money: Money relative to the plain loop, cancelled calls charged in full; ``None`` if no call costs money.
        hit_rate: Share of the guessed calls whose response was guessed in time.
    """

    saved: Interval
    tokens_full: Interval
    tokens_partial: Interval
    money: Interval | None
    hit_rate: float


def simulate(
    workload: Workload, k: int, limits: Limits, *, episodes: int = 20, seed: int = 0, machinery_s: float = 0.0
) -> Prediction:
    """Play episodes with speculation; what is learned of handlers and guessers is kept from each to the next.

    Args:
        workload: Its episodes are played in turn, each at least once.
        k: Guesses for one call.
        limits: Limits of the speculation.
        episodes: How many to play at least.
        seed: Seed of what is drawn.
        machinery_s: Seconds for which speculation's own work holds the episode up at each call.
    """
    estimates = Estimates()
    played = []
    count = max(episodes, len(workload.episodes))
    for number, planned in enumerate(itertools.islice(itertools.cycle(workload.episodes), count)):
        players = Players(planned, workload, seed + number)
        played.append(play(planned, players, k, limits, SimulationRuntime(), estimates))
    return _prediction(played, workload, machinery_s)


def play(
    planned: Sequence[PlannedCall],
    players: Players,
    k: int,
    limits: Limits,
    runtime: Runtime,
    estimates: Estimates | None = None,
) -> Statistics:
    """Play one episode, and return the statistics of the wrapper."""
    guessers = {name: players.guesser(name) for name in {call.handler for call in planned}}
    env = SpeculativeWrapper(
        PlannedEnv(planned, players),
        players.policy(),
        guessers={name: guesser for name, guesser in guessers.items() if guesser is not None},
        k=k,
        limits=limits,
        runtime=runtime,
        guard=False,  # always run ahead; where that does not pay, the plan says so
        estimates=estimates,
    )
    with env:
        place, _ = env.reset(seed=0)
        done = all(call.handler != POLICY for call in planned)
        while not done:
            place, _, done, _, _ = env.step(env.act(place))
    return env.statistics


def _prediction(played: Sequence[Statistics], workload: Workload, machinery_s: float) -> Prediction:
    def interval(values: Sequence[float]) -> Interval:
        return Interval.of(values, workload.num_known)

    windows = sum(each.windows for each in played)
    return Prediction(
        saved=interval([each.saved - machinery_s * each.commits / each.sequential_s for each in played]),
        tokens_full=interval([each.tokens_full for each in played]),
        tokens_partial=interval([each.tokens_partial for each in played]),
        money=interval([_money_of(each) for each in played]) if workload.costs_money else None,
        hit_rate=sum(each.hits for each in played) / windows if windows else 0.0,
    )


def _money_of(each: Statistics) -> float:
    extra = each.wasted_full + each.guessing_full
    return 1 + extra.money / each.committed.money if each.committed.money else 1.0
