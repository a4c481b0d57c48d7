"""``LastWriteWins``: a slow tuner and a fast guesser set the same live system. **Lossy**, unlike speculation."""

import collections
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.checks import check_env, integer, number
from spec_envs.errors import EnvClosed, InvalidAction, InvalidConfiguration, NotForkable, ResetNeeded
from spec_envs.guesses import Guess, Guesser, check_guesser, owned_guesses
from spec_envs.handling import CancelToken, answered, as_guess, as_handler, is_async
from spec_envs.pickling import NotPicklable
from spec_envs.values import key_of
from spec_envs.wrappers.live import LiveStatistics, LiveWindow, Writer
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.blocking import Pending, PendingJobs, make_runtime
from spec_envs.wrappers.speculation.transitions import Method, Transition, resetting, run_answered, stepping

__all__ = ["LastWriteWins"]

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


@dataclasses.dataclass(slots=True)
class _Episode:
    """An episode under way."""

    last: Transition  # what the last step or the reset returned
    action: Any  # the last action that was set
    guessed: Hashable = None  # the key of the last guess that was set since the tuner's last answer
    guessing: Pending | None = None  # the guess under way that a window waits for
    reward: float = 0.0  # the sum of the rewards since the wrapper's last step
    writers: list[Writer] = dataclasses.field(default_factory=list)  # who set the windows since the wrapper's last step


class LastWriteWins(
    NotPicklable,
    gym.Wrapper[ObsType, ActType, ObsType, ActType],
    RecordConstructorArgs,
    Generic[ObsType, ActType],
):
    """**Lossy**: while the tuner thinks, a guesser sets the live system; then the tuner's answer overwrites the guess.

    This is the extension that "Speculative Actions" (arXiv 2510.04371) describes for a system that keeps running while
    its tuner thinks, and on which trying settings is allowed. ``act`` starts the tuner. Until the tuner has answered,
    ``act`` makes one step of the environment after the other: with the guess for the latest observation, or with
    ``idle`` if there is no guesser. ``step`` then applies the tuner's answer, and returns all of these windows: they
    are in the observation's history, and the reward is the sum of their rewards. So, unlike with
    ``SpeculativeWrapper``, episodes are *not* those of the tuner alone; ``statistics``, ``trace`` and ``info`` say
    what the guesser has set.

    Args:
        env: A live system, whose steps take time: on the runtime's clock if it is a ``CallEnv``, else on the wall
            clock. Its observations should hold as many windows as pass while the tuner thinks.
        policy: The tuner, ``policy(observation) -> action``. It may have a second parameter named ``cancel`` to learn
            when its answer is no longer needed.
        guesser: A guesser of "policy". It gets ``patience_s`` for each window; a later guess is set in the next window,
            unless the tuner has answered meanwhile. It makes one guess at a time. If it fails, or if the environment
            refuses the guess (``InvalidAction``), the setting stays. ``None``: the tuner alone.
        idle: The action that changes nothing; default: ``{}``, which keeps all settings of ``SpecTuning-v0``.
        patience_s: How many seconds a window waits for its guess (>= 0). Without a guesser: how many seconds the first
            window waits for the tuner.
        runtime: ``"threads"`` (the wall clock), ``"simulation"`` (a virtual clock), or a runtime of your own.
        max_trace_events: The number of windows kept in ``trace``.

    Info:
        ``info["last_write_wins"]`` is a dict: ``windows``, the number of windows since the step before, including this
        one; ``guesses``, how many of them the guesser has set; and ``lossy``, whether there were any such windows.

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
        check_env(env)
        if guesser is not None:
            check_guesser("guesser", guesser)
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
        self._policy = as_handler(policy)
        self._guesser: Any = guesser
        self._idle = {} if idle is None else idle
        self._patience_s = number("patience_s", patience_s, least=0)
        self._runtime = make_runtime(runtime)
        self._jobs = PendingJobs(self._runtime)
        max_trace_events = integer("max_trace_events", max_trace_events, least=0)
        self._windows: collections.deque[LiveWindow] = collections.deque(maxlen=max_trace_events)
        self._counts: collections.Counter[str] = collections.Counter()
        self._closed = False
        self._episode: _Episode | None = None
        self._dropped: Pending | None = None  # a guess that nobody waits for, which may still be under way

    @property
    def statistics(self) -> LiveStatistics:
        """A snapshot of the counts."""
        return LiveStatistics(**self._counts)

    @property
    def trace(self) -> tuple[LiveWindow, ...]:
        """The last windows, oldest first."""
        return tuple(self._windows)

    def to_jsonl(self, path: str | Path) -> None:
        """Write the trace to the file ``path``, one JSON object a line; actions that are not JSON data as text."""
        lines = [json.dumps(window.as_dict(), default=repr) + "\n" for window in self._windows]
        Path(path).write_text("".join(lines), encoding="utf-8")

    # -- Gymnasium -----------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode, as the environment does."""
        self._check_open()
        self._episode = None
        transition = self._run(resetting(seed, options))
        self._episode = _Episode(transition, self._idle)
        return transition.observation, transition.info

    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Apply the tuner's action for one window; the reward is that of all windows since the step before.

        If the episode has ended while the tuner was thinking, nothing is applied, and the end of the episode is
        returned.

        Raises:
            ResetNeeded: There is no episode, or its end was returned before.
            Exception: Whatever the environment raises.
        """
        episode = self._under_way()
        if not episode.last.done:
            agreed = episode.guessed == key_of(action)
            self._make_window(episode, action, "tuner")
            self._counts["answers"] += 1
            self._counts["agreed"] += agreed
            episode.guessed = None
        last, guesses = episode.last, episode.writers.count("guesser")
        figures = {"windows": len(episode.writers), "guesses": guesses, "lossy": guesses > 0}
        reward, episode.reward, episode.writers = episode.reward, 0.0, []
        if last.done:
            self._episode = None
        return last.observation, reward, last.terminated, last.truncated, {**last.info, "last_write_wins": figures}

    def close(self) -> None:
        """End all threads and close the environment. Idempotent."""
        if not self._closed:
            self._closed = True
            try:
                self._runtime.close()
            finally:
                self.env.close()

    def fork(self) -> NoReturn:
        """Refuse to be forked: a live system cannot be copied.

        Raises:
            NotForkable: Always.
        """
        raise NotForkable("LastWriteWins cannot be forked: its system is live; fork the environment inside it")

    # -- the tuner and the guesser -------------------------------------------------------------------------------

    def act(self, observation: ObsType) -> ActType:
        """Return the tuner's answer to ``observation``; until it is there, the live system keeps running.

        If the episode ends first, the tuner's call is cancelled, and the last action is returned.

        Raises:
            ResetNeeded: There is no episode, or it has ended.
            EnvClosed: The wrapper was closed, before or meanwhile.
            InvalidConfiguration: A window took no time, so that the tuner would never answer.
            Exception: Whatever the tuner or the environment raises.
        """
        episode = self._under_way()
        if episode.last.done:
            raise ResetNeeded("the episode has ended while the tuner was thinking; step() returns its end")
        thinking = self._jobs.spawn("policy", lambda token: answered(self._policy, observation, token))
        try:
            # With a guesser, the first window waits for the guess instead.
            patience_s = self._patience_s if self._guesser is None else 0.0
            self._jobs.wait_for(thinking, self._runtime.now() + patience_s)
            while not self._jobs.wait_for(thinking, self._runtime.now()):
                self._meanwhile(episode, thinking)
                if episode.last.done:
                    last_action: ActType = episode.action
                    return last_action
            answer: ActType = thinking.result()
        finally:
            thinking.give_up()
            if episode.guessing is not None:
                episode.guessing.give_up()
                self._dropped, episode.guessing = episode.guessing, None
        if hasattr(self._guesser, "observe"):
            self._runtime.learn(lambda: self._teach(observation, answer))
        return answer

    def _meanwhile(self, episode: _Episode, thinking: Pending) -> None:
        """Make one window, as guessed or idle; none if the tuner answers while the window waits for the guess."""
        guess = self._guess_in_time(episode, thinking)
        if thinking.done:
            return
        start = self._runtime.now()
        if guess is not None:
            try:
                self._make_window(episode, guess.response, "guesser")
            except InvalidAction:  # which has changed nothing
                self._counts["failed"] += 1
                guess = None
        if guess is None:
            self._make_window(episode, self._idle, "nobody")
        if self._runtime.now() <= start:
            raise InvalidConfiguration(
                "a step of the environment took no time while the tuner was thinking; LastWriteWins is for live "
                "systems: on the simulator use SimulatedBackend(paced=True)"
            )

    def _guess_in_time(self, episode: _Episode, thinking: Pending) -> Guess | None:
        """Return the guess for the next window; ``None`` if there is none in time."""
        if self._guesser is None:
            return None
        until = self._runtime.now() + self._patience_s
        is_late = episode.guessing is not None
        if not is_late and self._dropped is not None and not self._jobs.wait_for(self._dropped, until, thinking):
            return None
        if episode.guessing is None:
            self._check_open()
            guess = functools.partial(self._guess, episode.last.observation)
            episode.guessing = self._jobs.spawn("guess", guess)
        pending = episode.guessing
        if not self._jobs.wait_for(pending, until, thinking):
            return None
        episode.guessing = None
        if pending.error is not None:
            self._counts["failed"] += 1
            return None
        self._counts["late"] += is_late
        return pending.value  # type: ignore[no-any-return]

    def _guess(self, observation: Any, token: CancelToken) -> Guess:
        """Return the most probable guess. No guess at all is an error, and counts as a failure."""
        call = Call("policy", observation).owned()
        guesses = owned_guesses(self._guesser, as_guess(self._guesser.guess)(call, 1, token), 1)
        return max(guesses, key=lambda guess: guess.probability)

    def _teach(self, observation: Any, answer: Any) -> None:
        with contextlib.suppress(Exception):  # a guesser that cannot learn still guesses; the user must not notice
            self._guesser.observe(Call("policy", observation), answer)

    # -- the live system -----------------------------------------------------------------------------------------

    def _make_window(self, episode: _Episode, action: Any, writer: Writer) -> None:
        """Step the live system with the ``action`` of ``writer``, and record the window."""
        start = self._runtime.now()
        episode.last = self._run(stepping(action))
        reward = float(episode.last.reward)
        self._windows.append(LiveWindow(start, self._runtime.now() - start, writer, action, reward))
        self._counts["windows"] += 1
        self._counts["guesses"] += writer == "guesser"
        episode.reward += reward
        episode.writers.append(writer)
        if writer != "nobody":
            episode.action = action
        if writer == "guesser":
            episode.guessed = key_of(action)

    def _run(self, method: Method) -> Transition:
        """Run ``method`` on the environment, whose calls take their time on the runtime's clock."""
        return run_answered(self.env, method, self._answer)

    def _answer(self, call: Call) -> Any:
        unwrapped = self.env.unwrapped
        assert isinstance(unwrapped, CallEnv)
        handler = unwrapped.handler(call.handler)
        return self._jobs.run(call.handler, lambda token: answered(handler, call.query, token))

    def _under_way(self) -> _Episode:
        self._check_open()
        if self._episode is None:
            raise ResetNeeded("LastWriteWins has no episode under way; call reset()")
        return self._episode

    def _check_open(self) -> None:
        if self._closed:
            raise EnvClosed("LastWriteWins was closed; make a new one")
