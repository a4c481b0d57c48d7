"""``check_fork(env)``: plays an environment and its forks side by side, and names the first difference."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from spec_envs.actions import allowed_action, sampling_copy
from spec_envs.call_env import Answer, CallEnv
from spec_envs.calls import Call
from spec_envs.checks import check_env, integer, reset_parts, step_parts
from spec_envs.errors import ForkCheckFailed, HandlerFailed, InvalidConfiguration, SpecEnvsError
from spec_envs.forking import fork
from spec_envs.forking.kinds import is_atomic
from spec_envs.global_generators import GlobalGenerators
from spec_envs.handling import CancelToken
from spec_envs.parameters import why_not_called
from spec_envs.step_effect import acts_outside
from spec_envs.values import key_of, same

AnyEnv = gym.Env[Any, Any]
#: Wrappers that a step that fails leaves as they were.
_LEFT_AS_THEY_ARE = (
    gym.wrappers.OrderEnforcing,
    gym.wrappers.PassiveEnvChecker,
    gym.wrappers.RecordEpisodeStatistics,
    gym.wrappers.TimeLimit,
)
Chooser = Callable[[Any, dict[str, Any], np.random.Generator], Any]


def check_fork(env: AnyEnv, *, steps: int = 20, seed: int = 0, actions: Chooser | None = None) -> None:
    """Check that forks of ``env`` are faithful and independent, random generators and wrappers included.

    Plays ``env`` and its forks side by side, one after the other, and closed in different orders. Draws of ``env`` from
    ``random`` and ``np.random`` are found, and what the steps of a ``CallEnv`` change before their last ``ask``: each
    call is let fail once, and the step must then be as if it had not. (Not under wrappers other than those of
    ``gym.make``: they may change, too.) ``env`` is reset, played and closed. The handlers of a ``CallEnv`` are really
    called, but only once for each query, so they may be slow or random; do not check with handlers that have effects.

    Args:
        env: The environment, with all its wrappers; best fresh from ``gym.make``, so that forks before the first
            ``reset`` are checked as well.
        steps: How many steps each comparison takes. When an episode ends, the next one begins.
        seed: Seeds the environment and the choice of actions.
        actions: Chooses the action for an observation, an info and a random generator. Default: a random action among
            those that ``action_mask`` or ``legal_moves`` allow, if the observation or the info has one of these.

    Raises:
        ForkCheckFailed: The first difference, with what was done and where it appeared.
        InvalidConfiguration: ``env`` is no environment, or declares that its steps act on the outside world.
    """
    check_env(env)
    steps, seed = integer("steps", steps, least=1), integer("seed", seed, least=0)
    if actions is not None and (why := why_not_called(actions, ("observation", "info", "generator"))) is not None:
        raise InvalidConfiguration(f"actions is called as actions(observation, info, rng), not {actions!r:.80}: {why}")
    if acts_outside(env):
        raise InvalidConfiguration(
            f"{env} declares step_effect = Effect.WRITE: its steps act on the outside world, so neither it nor a fork "
            f"of it is stepped to check it. Its steps never run ahead either. To check it, replace what it acts on"
        )
    _Check(env, steps, seed, actions).run()


class _Event(NamedTuple):
    """One ``step`` or ``reset``, and its outcome."""

    action: Any  # None: a reset
    outcome: dict[str, Any]


class _Player:
    """Plays one environment; remembers what a policy would see."""

    def __init__(self, env: AnyEnv, calls: list[Hashable], observation: Any, info: dict[str, Any]) -> None:
        self.env = env
        self.observation, self.info, self.done = observation, info, False
        self._calls = calls

    def fork(self) -> _Player:
        twin = copy.copy(self)
        twin.env = _fork(self.env)
        return twin

    def do(self, action: Any) -> _Event:
        """Take ``action``; ``None`` begins the next episode."""
        self._calls.clear()
        if action is None:
            self.observation, self.info = reset_parts(self.env, self.env.reset())
            self.done = False
            outcome = {"observation": self.observation, "info": _timeless(self.info)}
        else:
            result = step_parts(self.env, self.env.step(action))
            self.observation, reward, terminated, truncated, self.info = result
            self.done = bool(terminated or truncated)
            outcome = {"observation": self.observation, "reward": reward, "terminated": terminated}
            outcome |= {"truncated": truncated, "info": _timeless(self.info)}
        # A copy: some wrappers hand out arrays that they write to again.
        return _Event(action, copy.deepcopy(outcome) | {"calls made": list(self._calls)})


class _Drawn:
    """Which global generator the environment itself draws from; its handlers may draw from any."""

    def begin(self) -> None:
        """From here on."""
        self._before = GlobalGenerators()
        self._found: str | None = None

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """What is drawn in the ``with`` does not count."""
        self._found = self._found or self._before.moved()
        yield
        self._before = GlobalGenerators()

    def check(self, what: str) -> None:
        """Raise ``ForkCheckFailed`` if the environment has drawn in ``what``."""
        moved = self._found or self._before.moved()
        if moved is not None:
            raise ForkCheckFailed(
                f"{what} draws from the global generator {moved}, which forks share; use self.np_random"
            )


class _Check:
    def __init__(self, env: AnyEnv, steps: int, seed: int, actions: Chooser | None) -> None:
        self.env = env
        self.steps = steps
        self.seed = seed
        self.calls: list[Hashable] = []
        self.opened: list[AnyEnv] = []  # forks to close later, when it shows whether that disturbs other environments
        self.answer: Answer | None = None
        self.drawn = _Drawn()
        self.rng = np.random.default_rng(seed)
        space = sampling_copy(env.action_space, seed)
        self.choose = actions or (lambda observation, info, rng: allowed_action(space, observation, info, rng))

    def run(self) -> None:
        self.try_fork("before reset()")
        base = self.env.unwrapped
        before = base._answer if isinstance(base, CallEnv) else None
        if isinstance(base, CallEnv):
            self.answer = self.answers(base)
            base.answer_with(self.answer)
        try:
            self.drawn.begin()
            observation, info = reset_parts(self.env, self.env.reset(seed=self.seed))
            self.check_draws("reset()", is_reset=True)
            player = _Player(self.env, self.calls, observation, info)
            self.check_layers(player)
            self.check_lockstep(player)
            self.check_independence(player)
            self.check_closing(player)
        finally:
            if isinstance(base, CallEnv):
                base.answer_with(before)
        self.try_fork("after close()")
        self.close_forks()

    def answers(self, env: CallEnv[Any, Any]) -> Callable[[Call], Any]:
        """A function that answers each query once by the handler and then from memory, and notes the calls."""
        known: dict[Call, Any] = {}

        def answer(call: Call) -> Any:
            self.calls.append(call.key)
            if call not in known:
                with self.drawn.apart():
                    known[call] = env.handler(call.handler)(call.query, CancelToken())
            return known[call]

        return answer

    def failing_after(self, count: int) -> Answer:
        """A function that answers so many calls, and fails at the next one."""
        answer, left = self.answer, iter(range(count))

        def answer_or_fail(call: Call) -> Any:
            if next(left, None) is None:
                raise HandlerFailed("check_fork lets this call fail, to see whether the environment is then as it was")
            assert answer is not None
            return answer(call)

        return answer_or_fail

    def try_fork(self, when: str) -> None:
        """Fork without an episode under way: this works, or says why not; it never changes the original."""
        before = _states(self.env)
        try:
            self.opened.append(fork(self.env))
        except SpecEnvsError:
            pass
        except Exception as error:
            text = f"fork() {when} raised {type(error).__name__}: {error}; it must work, or raise a SpecEnvsError"
            raise ForkCheckFailed(text) from error
        _expect_equal(before, _states(self.env), f"fork() {when} changed the original")

    def check_layers(self, player: _Player) -> None:
        before = _states(self.env)
        twin: AnyEnv = player.fork().env
        _expect_equal(before, _states(self.env), "fork() changed the original")
        mine, other = _layers(self.env), _layers(twin)
        if list(map(type, mine)) != list(map(type, other)):
            raise ForkCheckFailed(f"the fork of {self.env} has other layers: {twin}")
        for layer, copied in zip(mine, other, strict=True):
            if layer is copied:
                raise ForkCheckFailed(f"the original and the fork share the layer {type(layer).__name__}")
        _expect_equal(before, _states(twin), "the fork has another state than the original")
        self.opened.append(twin)

    def check_lockstep(self, player: _Player) -> None:
        twin, unlucky = player.fork(), player.fork()
        for number in range(self.steps):
            event = self.next(player)
            _expect_same(event, self.do(twin, event.action), f"in lockstep, step {number}")
            if event.action is not None:
                unlucky = self.let_calls_fail(unlucky, event)
            where = f"in step {number}, after each of its calls had failed once (a step must change the state, and draw"
            _expect_same(
                event, self.do(unlucky, event.action), f"{where} from self.np_random, only after its last ask)"
            )
        self.opened += [twin.env, unlucky.env]

    def let_calls_fail(self, player: _Player, event: _Event) -> _Player:
        """Have the step of ``event`` fail at each of its calls, one after the other; the player after that."""
        base = player.env.unwrapped
        if not all(type(layer) in _LEFT_AS_THEY_ARE for layer in _layers(player.env)[:-1]):
            return player  # such as one that draws before the step
        for number in range(len(event.outcome["calls made"])):
            spare = player.fork()
            assert isinstance(base, CallEnv)
            base.answer_with(self.failing_after(number))
            try:
                player.do(event.action)
            except Exception:
                base.answer_with(self.answer)
                continue
            self.opened.append(player.env)
            player, base = spare, spare.env.unwrapped  # it makes something of the error, and has gone on
        return player

    def check_independence(self, player: _Player) -> None:
        twin = player.fork()
        self.replay(self.play(twin), player, "after the fork was stepped, the original")
        other = player.fork()
        self.replay(self.play(player), other, "after the original was stepped, the fork")
        third = player.fork()
        grandchild = third.fork()
        events = self.play(grandchild)
        self.replay(events, third, "after a fork of the fork was stepped, the fork")
        self.replay(events, player, "after the fork and its fork were stepped, the original")
        self.opened += [each.env for each in (twin, other, third, grandchild)]

    def check_closing(self, player: _Player) -> None:
        for parent_first in (True, False):
            control, twin = player.fork(), player.fork()
            grandchild = twin.fork()
            closed, left = (twin, grandchild) if parent_first else (grandchild, twin)
            events = self.play(control)
            closed.env.close()
            self.replay(events, left, f"after its {'parent' if parent_first else 'fork'} was closed, the fork")
            self.opened += [control.env, left.env]
            self.close_forks()
            self.replay(events, player, "after its forks were closed, the original")
        control, twin = player.fork(), player.fork()
        events = self.play(control)
        player.env.close()
        self.replay(events, twin, "after the original was closed, the fork")
        self.opened += [control.env, twin.env]

    def close_forks(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def play(self, player: _Player) -> list[_Event]:
        return [self.next(player) for _ in range(self.steps)]

    def replay(self, events: list[_Event], player: _Player, where: str) -> None:
        for number, event in enumerate(events):
            _expect_same(event, self.do(player, event.action), f"{where} differs in step {number}")

    def next(self, player: _Player) -> _Event:
        action = None if player.done else self.choose(player.observation, player.info, self.rng)
        return self.do(player, action)

    def do(self, player: _Player, action: Any) -> _Event:
        what = "reset()" if action is None else f"step({action!r})"
        self.drawn.begin()
        try:
            event = player.do(action)
        except Exception as error:
            hint = (
                "; if the action is not allowed there, give check_fork a function `actions` that chooses those that are"
            )
            hint = "" if action is None or isinstance(error, InvalidConfiguration) else hint
            raise ForkCheckFailed(f"{what} raised {type(error).__name__}: {error}{hint}") from error
        self.check_draws(what, is_reset=action is None)
        return event

    def check_draws(self, what: str, *, is_reset: bool) -> None:
        """Check from where the environment has drawn; of one that asks for no calls, no fork makes the reset."""
        if not is_reset or isinstance(self.env.unwrapped, CallEnv):
            self.drawn.check(what)


def _fork(env: AnyEnv) -> AnyEnv:
    try:
        return fork(env)
    except Exception as error:
        raise ForkCheckFailed(f"fork() raised {type(error).__name__}: {error}") from error


def _expect_same(expected: _Event, found: _Event, where: str) -> None:
    what = "reset()" if expected.action is None else f"step({expected.action!r})"
    for part, value in expected.outcome.items():
        if not same(value, found.outcome[part]):
            raise ForkCheckFailed(f"{where}: {what}: {part} is {found.outcome[part]!r:.200}, expected {value!r:.200}")


def _expect_equal(expected: dict[str, Hashable], found: dict[str, Hashable], what: str) -> None:
    for name in expected.keys() | found.keys():
        if expected.get(name, "missing") != found.get(name, "missing"):
            raise ForkCheckFailed(f"{what}: {name}")


def _timeless(info: dict[str, Any]) -> dict[str, Any]:
    """``info`` without what RecordEpisodeStatistics and SB3's Monitor read from the clock."""
    episode = info.get("episode")
    if isinstance(episode, dict) and "t" in episode:
        return {**info, "episode": {key: value for key, value in episode.items() if key != "t"}}
    return info


def _layers(env: AnyEnv) -> list[AnyEnv]:
    layers = [env]
    while isinstance(env, gym.Wrapper):
        env = env.env
        layers.append(env)
    return layers


def _states(env: AnyEnv) -> dict[str, Hashable]:
    """What can be compared of each layer's state without changing it (reading ``np_random`` could create it)."""
    states: dict[str, Hashable] = {}
    for depth, layer in enumerate(_layers(env)):
        name = f"{type(layer).__name__} (layer {depth})"
        fingerprint = getattr(type(layer), "fingerprint", None)
        if fingerprint is not None:
            states[f"fingerprint of {name}"] = fingerprint(layer)
        if not hasattr(type(layer), "fork"):  # a layer with a fork() of its own may keep its state as it likes
            for attribute, value in layer.__dict__.items():
                if _is_plain(value):
                    states[f"{attribute} of {name}"] = key_of(value)
        elif isinstance(layer, CallEnv):
            states[f"random generator of {name}"] = key_of(layer.rng_state())
    return states


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return isinstance(value, (str, bytes, int, float, complex, type(None), np.generic)) and is_atomic(value)
