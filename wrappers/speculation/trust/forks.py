"""Whether forks of an environment can be relied on.

Forks are tried out before the first episode (``rehearsal``). Later, some of the first steps and then every n-th step
are made again on another fork (a proof). Where the two results differ, and where the environment can no longer be
forked, speculation on this environment ends.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from spec_envs.call_env import CallEnv
from spec_envs.errors import InvalidConfiguration, NotForkable
from spec_envs.forking import fork
from spec_envs.step_effect import acts_outside
from spec_envs.wrappers.speculation.transitions import POLICY, AnyEnv, Transition, check_copyable
from spec_envs.wrappers.speculation.trust.fork_steps import ForkSteps
from spec_envs.wrappers.speculation.trust.outside import is_ours
from spec_envs.wrappers.speculation.trust.rehearsal import outcome_of, rehearse
from spec_envs.wrappers.speculation.trust.replays import Replay, change_by, rehearse_asking

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.episode import Stepped, Stepping
    from spec_envs.wrappers.speculation.options import SessionOptions
    from spec_envs.wrappers.speculation.statistics import Statistics


class Trust:
    """Whether the forks of one environment can be relied on.

    Args:
        env: The environment.
        options: The user's options.
        on_forks: Whether steps are made on forks even if no actions are guessed, since nobody can wait for them here.

    Attributes:
        is_plain: Whether the environment makes its steps itself, without forks.
        is_withdrawn: Whether speculation on the environment has ended for ever.
        steps: Makes the steps of forks; ``None`` where forks make no steps.

    Raises:
        NotForkable: Forks are needed, and cannot be made.
        InvalidConfiguration: ``step_effect`` is no ``Effect``, or its steps act outside and would be begun anew.
    """

    def __init__(self, env: AnyEnv, options: SessionOptions, *, on_forks: bool) -> None:
        foreign = not isinstance(env.unwrapped, CallEnv)
        guesses = POLICY in (options.guessers or {}) and options.own_limits.max_inflight > 0
        acts = acts_outside(env)
        if acts and on_forks and not foreign:
            raise InvalidConfiguration(
                f"{env} declares step_effect = Effect.WRITE, and on an event loop a step begins anew with each "
                f"response to its calls, which would repeat its effects; act in a call instead: Call(…, Effect.WRITE)"
            )
        self.is_withdrawn = False
        self._stopped: str | None = None
        self.is_plain = acts or (foreign and not guesses and not on_forks)
        self.steps = ForkSteps() if foreign and not self.is_plain else None
        if not acts:
            fork(env)  # refused here, not in the middle of an episode; not closed, for it may share what it would close
        asks = not foreign and options.own_limits.max_inflight > 0 and not acts and not is_ours(env)
        self._must_rehearse = (foreign or asks) and options.rehearse and not self.is_plain
        self._prove_every = options.prove_every if foreign or asks else 0
        self._proves_asked = asks and options.prove_every > 0
        self._is_watched = False
        self._rehearsal = "due" if self._must_rehearse else "none"
        self._num_steps = self._proofs = self._differences = self._failures = 0

    def begin(self, env: AnyEnv, begun: Transition, replay: Replay | None = None, reason: str | None = None) -> None:
        """Record that an episode of ``env`` has begun with ``begun``; rehearse before the first episode.

        Args:
            env: The environment.
            begun: What its reset has returned.
            replay: The reset, for forks to make again, if the environment asks for its calls.
            reason: Why a branch has predicted the reset wrongly, if so.

        Raises:
            NotForkable: See ``rehearse``; or the observation can change and cannot be copied.
        """
        if self.is_plain:
            return
        check_copyable(env, begun)
        if self._must_rehearse and not begun.done:
            if isinstance(env.unwrapped, CallEnv):
                complete = rehearse_asking(env, begun, replay, reason)
            else:
                complete = rehearse(env, begun)
            self._rehearsal = "passed" if complete else "too slow"
            self._must_rehearse = False
        if self.steps is not None and self._prove_every and not self._is_watched:
            self._is_watched = True
            if not is_ours(env):
                self.steps.watch(env)

    def change_by(self, replay: Replay) -> str | None:
        """What the step changes outside of the environment, if this step is to be proven; ``None`` if nothing.

        The step of an environment that asks for its calls was compared already with what its branch predicted.
        """
        if not self._proves_asked:
            return None
        self._num_steps += 1
        if not self._is_to_be_proven:
            return None
        self._proofs += 1
        try:
            reason = change_by(replay.env, replay.make)
        except NotForkable:  # the next fork says so
            reason = None
        self._differences += reason is not None
        return reason

    def agrees(self, step: Stepping, stepped: Stepped) -> bool:
        """Make ``step`` again, if it is to be proven, and return whether the result equals that of ``stepped``."""
        self._num_steps += 1
        if not self._is_to_be_proven:
            return True
        self._proofs += 1
        try:
            _, again = step.steps.step(step.env, step.action)
            # An integer may have been guessed as Python's that is numpy's; then rewards may be of two types, too.
            if again.agrees_with(stepped.transition) or outcome_of(again) == outcome_of(stepped.transition):
                return True
        except NotForkable:
            return True  # as another step has shown, or this one: the next step says so
        except Exception:
            pass  # the committed step raised none, so that is another outcome
        self._differences += 1
        return False

    @property
    def _is_to_be_proven(self) -> bool:
        """Often at first, then less often: an environment may use state outside of itself only after a while."""
        step, every = self._num_steps, self._prove_every
        if step < every:
            return step & (step - 1) == 0  # 1, 2, 4, 8, …
        return every > 0 and step % every == 0

    def withdraw(self, reason: str, *, failed: bool) -> str | None:
        """End speculation on this environment.

        Args:
            reason: What was found.
            failed: Whether a fork could not be made.

        Returns:
            The warning for the user; ``None`` if the user was warned before.
        """
        self._failures += failed
        if self.is_plain:
            return None
        self.is_plain = self.is_withdrawn = True
        self._stopped = reason
        return f"speculation on this environment ends here, and the episode goes on without it: {reason}"

    def add_to(self, statistics: Statistics) -> Statistics:
        """``statistics`` with the counts of this object."""
        return dataclasses.replace(
            statistics,
            rehearsal=self._rehearsal,
            proofs=self._proofs,
            proof_differences=self._differences,
            fork_failures=self._failures,
            stopped=self._stopped,
        )
