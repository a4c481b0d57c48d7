"""The episodes of a workload, played by ``SpeculativeWrapper`` on the virtual clock."""

import dataclasses
import itertools
import math
import random
import statistics
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, ClassVar

import gymnasium as gym

from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Window, Workload
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.wrappers import Limits, SpeculativeWrapper, Statistics, ThreadRuntime
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime

POLICY = "policy"
RIGHT = 0
#: The number of the call that is next, and a hash of all responses before it (``_ON_PATH`` while all were right).
Place = tuple[int, int]
_ON_PATH = 0
_LARGEST = 2**61


class PlannedEnv(CallEnv[Place, int]):
    """Asks for the planned calls one after the other; a step begins at each call of the policy.

    Observation: the place in the episode. Without any call of the policy, ``reset`` is the whole episode.

    Args:
        episode: The calls.
        players: Makes the calls.
    """

    observation_space: gym.spaces.Space[Any] = gym.spaces.Tuple(
        (gym.spaces.Discrete(2**31), gym.spaces.Discrete(2**62))
    )
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2**31)
    shared_on_fork: ClassVar[frozenset[str]] = frozenset({"handlers", "_episode"})

    def __init__(self, episode: Sequence[PlannedCall], players: "Players") -> None:
        super().__init__({call.handler: players.answer for call in episode if call.handler != POLICY})
        self._episode = tuple(episode)
        self._place: Place = (0, _ON_PATH)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Place, dict[str, Any]]:
        """Begin the episode, and make the calls before the first one of the policy."""
        super().reset(seed=seed)
        self._place = self._ask_until_decision((0, _ON_PATH))
        return self._place, {}

    def step(self, action: int) -> tuple[Place, float, bool, bool, dict[str, Any]]:
        """Make the calls up to the next one of the policy."""
        self._place = self._ask_until_decision(after(self._place, int(action)))
        return self._place, 0.0, self._place[0] >= len(self._episode), False, {}

    def _ask_until_decision(self, place: Place) -> Place:
        while place[0] < len(self._episode) and self._episode[place[0]].handler != POLICY:
            planned = self._episode[place[0]]
            place = after(place, self.ask(Call(planned.handler, place, planned.effect)))
        return place


def after(place: Place, response: int) -> Place:
    """The place that ``response`` leads to."""
    number, path = place
    if path == _ON_PATH and response == RIGHT:
        return number + 1, _ON_PATH
    return number + 1, 1 + hash((path, response)) % _LARGEST


class Players:
    """Makes and guesses the calls of one episode.

    Args:
        episode: The calls.
        workload: The calls and guesses from which those behind a wrong guess are drawn.
        seed: Seed of the draws.
    """

    def __init__(self, episode: Sequence[PlannedCall], workload: Workload, seed: int) -> None:
        self._episode = episode
        self._guessing = workload.guessing
        self._spread = workload.spread
        self._seed = seed
        self._others = {
            name: [call for call in workload.calls if call.handler == name]
            for name in {call.handler for call in episode}
        }

    def answer(self, query: Place, cancel: CancelToken) -> int:
        """Respond, after the planned or drawn time."""
        number, path = query
        call = self._episode[number]
        seconds = call.seconds
        if path != _ON_PATH:
            rng = self._rng(query, "call")
            if self._spread is None:
                call = rng.choice(self._others[call.handler])
                seconds = call.seconds
            else:
                seconds *= math.exp(rng.gauss(0.0, self._spread))
        cancel.sleep(seconds, call.usage)
        return RIGHT

    def policy(self) -> "PlannedPolicy":
        """The policy."""
        effects = {call.effect for call in self._episode if call.handler == POLICY}
        # An episode that is over with the reset has no call of the policy, so none is to begin ahead of time.
        is_write = not effects or Effect.WRITE in effects
        return PlannedPolicy(self, Effect.WRITE if is_write else Effect.SAMPLE)

    def guesser(self, handler: str) -> "PlannedGuesser | None":
        """The guesser for ``handler``."""
        guessing = self._guessing.get(handler)
        return None if guessing is None else PlannedGuesser(self, guessing)

    def window(self, place: Place, guessing: Guessing) -> Window:
        """The guesses of the call at a place."""
        number, path = place
        known = self._episode[number].window if path == _ON_PATH else None
        return guessing.draw(self._rng(place, "window")) if known is None else known

    def _rng(self, place: Place, purpose: str) -> random.Random:
        return random.Random(f"{self._seed} {place} {purpose}")


class PlannedPolicy:
    """The policy of a planned episode.

    Args:
        players: Knows how long each call of the policy takes.
        effect: Whether the policy may be called ahead of time.
    """

    def __init__(self, players: Players, effect: Effect) -> None:
        self.effect = effect
        self._players = players

    def __call__(self, observation: Place, cancel: CancelToken) -> int:
        """The action."""
        return self._players.answer(observation, cancel)


class PlannedGuesser:
    """Guesses as often right as planned, and claims the planned probabilities.

    Args:
        players: Knows which guess is right.
        guessing: How often the guesser is right, and what guessing costs.
    """

    def __init__(self, players: Players, guessing: Guessing) -> None:
        self._players = players
        self._guessing = guessing

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        """At most ``k`` guesses, the likeliest first."""
        cancel.sleep(self._guessing.seconds, self._guessing.usage)
        window = self._players.window(call.query, self._guessing)
        return [
            Guess(RIGHT if rank == window.rank else RIGHT + 1 + rank, claim)
            for rank, claim in enumerate(window.claims[:k])
        ]


_CALLS, _CALL_S = 60, 0.005


def measured(k: int, max_inflight: int) -> float:
    """Seconds of each call for which speculation's own work holds an episode up, in the mean.

    Args:
        k: Guesses for one call, for each of which a fork is made.
        max_inflight: Speculative calls in flight at once.
    """
    wrong = Window(tuple(0.5 / k for _ in range(k)), None)
    episode = [PlannedCall(POLICY, _CALL_S, window=wrong)] * _CALLS
    workload = Workload([episode], {POLICY: Guessing(wrong.claims, windows=[wrong])}, num_known=1)
    limits = Limits(max_inflight=max_inflight, selectivity=0.0, calibrate=False)
    played = [play(episode, Players(episode, workload, seed=0), k, limits, ThreadRuntime()) for _ in range(2)]
    return min(each.machinery_s for each in played) / _CALLS  # the first episode warms up


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
        tokens_full: Tokens relative to the plain loop, cancelled calls charged in full; ``None`` if unknown.
        tokens_partial: The same, cancelled calls charged for the part that ran.
        calls: Calls made relative to the plain loop, cancelled ones counted in full, calls of guessers left out.
        money: Money relative to the plain loop, cancelled calls charged in full; ``None`` if no call costs money.
        hit_rate: Share of the guessed calls whose response was guessed in time.
    """

    saved: Interval
    tokens_full: Interval | None
    tokens_partial: Interval | None
    calls: Interval
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
        tokens_full=interval([each.tokens_full for each in played]) if workload.has_tokens else None,
        tokens_partial=interval([each.tokens_partial for each in played]) if workload.has_tokens else None,
        calls=interval([sum(each.calls.values()) / each.commits for each in played]),
        money=interval([_money_of(each) for each in played]) if workload.costs_money else None,
        hit_rate=sum(each.hits for each in played) / windows if windows else 0.0,
    )


def _money_of(each: Statistics) -> float:
    extra = each.wasted_full + each.guessing_full
    return 1 + extra.money / each.committed.money if each.committed.money else 1.0
