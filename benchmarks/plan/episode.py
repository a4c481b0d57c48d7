"""An episode made of planned calls, for ``SpeculativeWrapper``: nothing happens in it but calls.

The right response to every call is ``RIGHT``, and wrong guesses are other numbers. As long as all responses are right,
the episode makes the planned calls. Behind a wrong response calls go to the same handlers, and take and cost what the
workload says. Everything drawn depends on the seed and the place in the tree of episodes alone.
"""

import math
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym

from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Window, Workload
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken

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
        return PlannedPolicy(self, Effect.WRITE if Effect.WRITE in effects else Effect.SAMPLE)

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
