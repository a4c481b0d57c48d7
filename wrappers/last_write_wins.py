"""``LastWriteWins``: a slow tuner and a fast guesser set the same live system. Lossy, and says so."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from spec_envs.adapting import as_guess, as_handler, is_async
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.errors import EnvClosed, InvalidAction, InvalidConfiguration, NotForkable, ResetNeeded
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.values import key_of
from spec_envs.wrappers.live import LiveStatistics, LiveWindow, Writer
from spec_envs.wrappers.runtimes.base import Job
from spec_envs.wrappers.runtimes.choice import make_runtime

if TYPE_CHECKING:
    from spec_envs.guesses import Guesser
    from spec_envs.wrappers.runtimes.base import Runtime

__all__ = ["LastWriteWins"]

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


@dataclasses.dataclass(slots=True, eq=False)
class _Pending:
    """A job under way, and what became of it."""

    token: CancelToken
    done: bool = False
    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


@dataclasses.dataclass(slots=True)
class _Episode:
    """An episode under way.

    Attributes:
        observation: The latest.
        action: The last that was set.
        guessed: The key of what the guesser has set since the tuner's last answer.
        guessing: Its guess under way, that a window waits for.
        last: What the last step returned.
        ended: Whether that was the end.
        reward: Of the windows that no step of the wrapper has returned yet; ``passed`` says who set them.
        passed: See ``reward``.
    """

    observation: Any
    action: Any
    guessed: Hashable = None
    guessing: _Pending | None = None
    last: Any = None
    ended: bool = False
    reward: float = 0.0
    passed: list[Writer] = dataclasses.field(default_factory=list)


class LastWriteWins(gym.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs, Generic[ObsType, ActType]):
    """**Lossy**: while the tuner thinks, a guesser sets the live system; the tuner's answers overwrite that.

    This is the extension that "Speculative Actions" (arXiv 2510.04371) describes for a system that goes on while its
    tuner thinks, and where trying is allowed. ``act`` starts the tuner and, until it has answered, makes one step of
    the environment after the other: with what the guesser says to the latest observation, or with ``idle`` where there
    is no guesser. ``step`` then applies the answer. All of that is in what ``step`` returns: the observation's history
    has the windows, the reward is their sum. So episodes are *not* those of the tuner alone, other than with
    ``SpeculativeWrapper``; ``statistics``, ``trace`` and ``info`` say what the guesser has set.

    Args:
        env: A live system: its steps take time. Those of ``CallEnv`` take it on the runtime's clock, of any other
            environment on the wall clock. Its observations should hold as many windows as pass while the tuner thinks.
        policy: The tuner, ``policy(observation) -> action``, with a second parameter named ``cancel`` if it wants to
            know when nobody waits for it any more.
        guesser: A guesser of "policy". It is given ``patience_s`` for each window; what comes later is set in the next
            one, unless the tuner has answered meanwhile. It is asked one thing at a time. If it fails, or guesses what
            the environment calls an ``InvalidAction``, the setting stays as it is. ``None``: the tuner alone.
        idle: The action that changes nothing; default: ``{}``, with which all knobs of ``SpecTuning-v0`` stay.
        patience_s: How long a window waits for its guess; without a guesser, the first one for the tuner.
        runtime: ``"threads"`` (the wall clock), ``"simulation"`` (a virtual clock), or a runtime of your own.
        max_trace_events: Windows kept in ``trace``.

    Info:
        ``info["last_write_wins"]`` is a mapping: ``windows`` since the step before, this one included, ``guesses``
        among them, and ``lossy``, whether there were any.

    Raises:
        InvalidConfiguration: The policy or the guesser is a coroutine function, or ``patience_s`` is negative.
    """

    def __init__(
        self,
        env: gym.Env[ObsType, ActType],
        policy: Callable[..., ActType],
        *,
        guesser: Guesser | None = None,
        idle: Any = None,
        patience_s: float = 0.1,
        runtime: Literal["threads", "simulation"] | Runtime = "threads",
        max_trace_events: int = 100_000,
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            policy=policy,
            guesser=guesser,
            idle=idle,
            patience_s=patience_s,
            runtime=runtime,
            max_trace_events=max_trace_events,
        )
        gym.Wrapper.__init__(self, env)
        if is_async(policy) or (guesser is not None and is_async(guesser.guess)):
            raise InvalidConfiguration(
                "LastWriteWins awaits nothing: the policy and the guesser must be plain functions"
            )
        if not patience_s >= 0:
            raise InvalidConfiguration(f"patience_s must be at least 0, not {patience_s!r}")
        self._policy = as_handler(policy)
        self._guesser: Any = guesser
        self._idle = {} if idle is None else idle
        self._patience_s = patience_s
        self._runtime = make_runtime(runtime)
        self._windows: collections.deque[LiveWindow] = collections.deque(maxlen=max_trace_events)
        self._statistics = LiveStatistics()
        self._closed = False
        self._delivered = 0
        self._episode: _Episode | None = None
        self._dropped: _Pending | None = None  # a guess that nobody waits for, and that may not have noticed

    @property
    def statistics(self) -> LiveStatistics:
        """Counts so far."""
        return self._statistics

    @property
    def trace(self) -> tuple[LiveWindow, ...]:
        """The last windows, oldest first."""
        return tuple(self._windows)

    def to_jsonl(self, path: str | Path) -> None:
        """Write the trace, one JSON object a line; actions that are no JSON data as text."""
        lines = [json.dumps(window.as_dict(), default=repr) + "\n" for window in self._windows]
        Path(path).write_text("".join(lines), encoding="utf-8")

    # -- Gymnasium -----------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode, as the environment does."""
        self._check_open()
        self._episode = None
        observation, info = self._live(lambda: self.env.reset(seed=seed, options=options))
        self._episode = _Episode(observation, self._idle)
        return observation, info

    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Apply the tuner's action for one window; the reward is that of all windows since the step before.

        If the episode has ended while the tuner was thinking, nothing is applied, and this returns its end.

        Raises:
            ResetNeeded: There is no episode, or its end was returned.
            Exception: Whatever the environment raises.
        """
        episode = self._under_way()
        if not episode.ended:
            agreed = episode.guessed == key_of(action)
            self._window(episode, action, "tuner")
            self._count(answers=1, agreed=int(agreed))
            episode.guessed = None
        observation, _, terminated, truncated, info = episode.last
        guesses = episode.passed.count("guesser")
        figures = {"windows": len(episode.passed), "guesses": guesses, "lossy": guesses > 0}
        reward, episode.reward, episode.passed = episode.reward, 0.0, []
        if episode.ended:
            self._episode = None
        return observation, reward, terminated, truncated, {**info, "last_write_wins": figures}

    def close(self) -> None:
        """End all threads and close the environment. Idempotent."""
        if not self._closed:
            self._closed = True
            try:
                self._runtime.close()
            finally:
                self.env.close()

    def fork(self) -> NoReturn:
        """Refuses: a live system cannot be copied.

        Raises:
            NotForkable: Always.
        """
        raise NotForkable("LastWriteWins cannot be forked: its system is live; fork the environment inside it")

    # -- the tuner -----------------------------------------------------------------------------------------------

    def act(self, observation: ObsType) -> ActType:
        """The tuner's answer to ``observation``; until it is there, the live system goes on.

        If the episode ends first, the tuner is told that nobody waits for it, and this returns the last action.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            EnvClosed: The wrapper was closed, also meanwhile.
            InvalidConfiguration: A window took no time, so that the tuner would never answer.
            Exception: Whatever the tuner or the environment raises.
        """
        episode = self._under_way()
        if episode.ended:
            raise ResetNeeded("the episode has ended while the tuner was thinking; step() returns its end")
        thought = self._spawn("policy", lambda token: self._policy(observation, token))
        try:
            # With a guesser, it is the guess that the first window waits for.
            self._arrived(thought, self._runtime.now() + (self._patience_s if self._guesser is None else 0.0))
            while not self._arrived(thought, self._runtime.now()):
                self._meanwhile(episode, thought)
                if episode.ended:
                    return episode.action
            answer: ActType = thought.result()
        finally:
            _give_up(thought)
            if episode.guessing is not None:
                _give_up(episode.guessing)
                self._dropped, episode.guessing = episode.guessing, None
        if hasattr(self._guesser, "observe"):
            self._runtime.learn(lambda: self._teach(observation, answer))
        return answer

    def _meanwhile(self, episode: _Episode, thought: _Pending) -> None:
        """One window, as guessed or as things are; none if the tuner answers while the guess is waited for."""
        guess = self._guessed_in_time(episode, thought)
        if thought.done:
            return
        start = self._runtime.now()
        if guess is None or not self._set(episode, guess.response):
            self._window(episode, self._idle, "nobody")
        if self._runtime.now() <= start:
            raise InvalidConfiguration(
                "a step of the environment took no time while the tuner was thinking; LastWriteWins is for live "
                "systems: on the simulator use SimulatedBackend(paced=True)"
            )

    def _guessed_in_time(self, episode: _Episode, thought: _Pending) -> Guess | None:
        if self._guesser is None:
            return None
        until = self._runtime.now() + self._patience_s
        late = episode.guessing is not None
        if not late and self._dropped is not None and not self._arrived(self._dropped, until, thought):
            return None
        episode.guessing = pending = episode.guessing or self._spawn(
            "guess", functools.partial(self._guess, episode.observation)
        )
        if not self._arrived(pending, until, thought):
            return None
        episode.guessing = None
        if pending.error is not None:
            self._count(failed=1)
            return None
        self._count(late=int(late))
        return pending.value  # type: ignore[no-any-return]

    def _guess(self, observation: Any, token: CancelToken) -> Guess:
        guesses: list[Guess] = list(as_guess(self._guesser.guess)(Call("policy", observation), 1, token))
        return max(guesses, key=lambda guess: guess.probability)  # without any guess an error: it has failed

    def _set(self, episode: _Episode, guessed: Any) -> bool:
        """A window as guessed; whether the environment could do so."""
        try:
            self._window(episode, guessed, "guesser")
        except InvalidAction:  # which has changed nothing
            self._count(failed=1)
            return False
        return True

    def _teach(self, observation: Any, answer: Any) -> None:
        with contextlib.suppress(Exception):  # a guesser that cannot learn still guesses; the user must not notice
            self._guesser.observe(Call("policy", observation), answer)

    # -- the live system -----------------------------------------------------------------------------------------

    def _window(self, episode: _Episode, action: Any, writer: Writer) -> None:
        start = self._runtime.now()
        observation, reward, terminated, truncated, info = self._live(lambda: self.env.step(action))
        self._windows.append(LiveWindow(start, self._runtime.now() - start, writer, action, float(reward)))
        self._count(windows=1, guesses=int(writer == "guesser"))
        episode.last = observation, reward, terminated, truncated, info
        episode.observation, episode.ended = observation, terminated or truncated
        episode.reward += float(reward)
        episode.passed.append(writer)
        if writer != "nobody":
            episode.action = action
        if writer == "guesser":
            episode.guessed = key_of(action)

    def _live(self, method: Callable[[], Any]) -> Any:
        """Run a method of the environment, whose calls take their time on the runtime's clock."""
        unwrapped = self.env.unwrapped
        if not isinstance(unwrapped, CallEnv):
            return method()
        asking = unwrapped
        unwrapped.answer_with(lambda call: self._answer(asking, call))
        try:
            return method()
        finally:
            unwrapped.answer_with(None)

    def _answer(self, env: CallEnv[Any, Any], call: Call) -> Any:
        handler = env.handler(call.handler)
        pending, job = self._job(call.handler, lambda token: handler(call.query, token))
        self._runtime.run(job)
        self._arrived(pending, None)
        return pending.result()

    def _spawn(self, name: str, function: Callable[[CancelToken], Any]) -> _Pending:
        self._check_open()
        pending, job = self._job(name, function)
        self._runtime.spawn(job)
        return pending

    def _job(self, name: str, function: Callable[[CancelToken], Any]) -> tuple[_Pending, Job]:
        pending = _Pending(self._runtime.token())

        def deliver(value: Any, error: BaseException | None) -> None:
            with self._runtime.lock:
                pending.done, pending.value, pending.error = True, value, error
                self._delivered += 1
                self._runtime.wake()

        return pending, Job(name, function, deliver, pending.token)

    def _arrived(self, pending: _Pending, until: float | None, other: _Pending | None = None) -> bool:
        """Wait for a job, till then, or till the other one is done: is it done?"""
        with self._runtime.lock:
            while not pending.done and not (other is not None and other.done):
                before, expired = self._delivered, until is not None and self._runtime.now() >= until
                self._runtime.wait(until)  # also when expired: what is due now is delivered
                if expired and self._delivered == before:
                    break
            return pending.done

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._statistics, name) + count for name, count in more.items()}
        self._statistics = dataclasses.replace(self._statistics, **counts)

    def _under_way(self) -> _Episode:
        self._check_open()
        if self._episode is None:
            raise ResetNeeded("LastWriteWins has no episode under way; call reset()")
        return self._episode

    def _check_open(self) -> None:
        if self._closed:
            raise EnvClosed("LastWriteWins was closed; make a new one")


def _give_up(pending: _Pending) -> None:
    if not pending.done:
        pending.token.cancel()
