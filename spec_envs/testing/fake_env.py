"""``FakeEnv``: everything that speculation has to cope with, in one small environment."""

import hashlib
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect, check_effect
from spec_envs.checks import boolean, integer
from spec_envs.errors import InvalidAction, InvalidConfiguration, ResetNeeded
from spec_envs.spaces import PlainText


def pure_response(query: Any) -> int:
    """The default handler of ``FakeEnv``: one of 0, 1, 2, 3, by a hash of the query alone."""
    return hashlib.blake2b(repr(query).encode(), digest_size=1).digest()[0] % 4


class FakeEnv(CallEnv[str, int]):
    """A small environment for tests: its steps only ask handlers, and write the responses down.

    Call ``i`` of a step goes to handler ``i`` with effect ``i``, each modulo their number. The query is
    ``(observation, action, i, seed)``, so one wrong response changes every later query. ``step`` changes nothing before
    its last call was answered.

    Observation space: ``Text``: all actions and responses so far, ``action:response,response;`` for each step.
    Action space: ``Discrete(num_actions)``.
    Reward: the share of this step's responses that equal the action.
    Ends: ``terminated`` after ``length`` steps.
    Info: ``responses``, those of this step, in order.

    Args:
        handlers: The handlers by name. Default: ``pure_response``, called ``"world"``.
        calls_per_step: How many calls ``step`` makes.
        calls_in_reset: How many calls ``reset`` makes.
        effects: Effects of the calls of a step (and of ``reset``), in turn.
        num_actions: Number of actions.
        length: Number of steps of an episode.
        random: Whether queries hold a seed drawn from ``np_random``; if not, equal histories give equal queries.
        repeats: Whether a ``READ`` has the same query in every step: ``("", None, i, 0)``.
        owned: Names of handlers to close with the last fork.
    """

    metadata = {"render_modes": []}
    shared_on_fork = frozenset({"_history", "_names", "_effects"})

    def __init__(
        self,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
        *,
        calls_per_step: int = 1,
        calls_in_reset: int = 0,
        effects: Sequence[Effect] = (Effect.SAMPLE,),
        num_actions: int = 4,
        length: int = 10,
        random: bool = True,
        repeats: bool = False,
        owned: Iterable[str] = (),
    ) -> None:
        handlers = {"world": pure_response} if handlers is None else handlers
        self._calls_per_step = integer("calls_per_step", calls_per_step, least=0)
        self._calls_in_reset = integer("calls_in_reset", calls_in_reset, least=0)
        self._length = integer("length", length, least=1)
        for effect in effects:
            check_effect("each of the effects", effect)
        if (calls_per_step or calls_in_reset) and not (handlers and effects):
            raise InvalidConfiguration("an environment that calls needs at least one handler and one effect")
        super().__init__(handlers, owned=owned)
        self.action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(num_actions)
        self._num_actions = int(self.action_space.n)
        self.observation_space = PlainText(1_000_000, min_length=0, charset=string.printable)
        self._names = tuple(handlers)
        self._effects = tuple(effects)
        self._random = boolean("random", random)
        self._repeats = boolean("repeats", repeats)
        self._seed = 0
        self._steps = -1
        self._history = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode; ``options`` are ignored."""
        super().reset(seed=seed)
        first = self._draw()
        responses = self._ask("", None, self._calls_in_reset, first)
        self._seed = self._draw()
        self._steps = 0
        self._history = f"{_text(responses)};"
        return self._history, {"responses": responses}

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Make ``calls_per_step`` calls and write their responses down.

        Raises:
            ResetNeeded: Before ``reset``, and after the end of the episode.
            InvalidAction: ``action`` is not in the action space.
        """
        if not 0 <= self._steps < self._length:
            raise ResetNeeded(f"FakeEnv has done {self._steps} of {self._length} steps; call reset()")
        is_plain = type(action) is int and 0 <= action < self._num_actions  # asked first, since numpy takes longer
        if not is_plain and action not in self.action_space:
            raise InvalidAction(f"{action!r} is not in {self.action_space}")
        responses = self._ask(self._history, int(action), self._calls_per_step, self._seed)
        self._seed = self._draw()
        self._steps += 1
        self._history = f"{self._history}{action}:{_text(responses)};"
        reward = sum(response == action for response in responses) / max(1, len(responses))
        return self._history, float(reward), self._steps >= self._length, False, {"responses": responses}

    def fingerprint(self) -> str:
        """A hash of the full state, random generator included; equal for a fork and its parent."""
        state = (self._history, self._steps, self._seed, self.rng_state())
        return hashlib.blake2b(repr(state).encode(), digest_size=16).hexdigest()

    def _ask(self, history: str, action: int | None, count: int, seed: int) -> tuple[Any, ...]:
        responses = []
        for i in range(count):
            effect = self._effects[i % len(self._effects)]
            query = ("", None, i, 0) if self._repeats and effect is Effect.READ else (history, action, i, seed)
            responses.append(self.ask(Call(self._names[i % len(self._names)], query, effect)))
        return tuple(responses)

    def _draw(self) -> int:
        return int(self.np_random.integers(2**31)) if self._random else 0


def _text(responses: tuple[Any, ...]) -> str:
    return ",".join(map(ascii, responses))
