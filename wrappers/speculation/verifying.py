"""Verifying: compares what an environment that asks for its calls has done with what its branch predicted.

The environment makes each step itself, with the real responses, so a wrong prediction alone changes no result. But a
wrong prediction shows that the steps of forks are not faithful, and such steps may change something that the episode
uses. So speculation ends, and forks make the same step again to find the reason.
"""

from spec_envs.calls import Call
from spec_envs.errors import NotForkable
from spec_envs.forking import fork
from spec_envs.wrappers.speculation.driver import Driver
from spec_envs.wrappers.speculation.episode import Deciding
from spec_envs.wrappers.speculation.transitions import AnyEnv, Transition
from spec_envs.wrappers.speculation.trust.outside import left_out
from spec_envs.wrappers.speculation.trust.replays import Outcome, Replay, change_by


class Verifying:
    """Compares the step or reset under way with what its branch predicted.

    Args:
        driver: Has the branch, and counts wrong predictions.

    Attributes:
        is_wary: Whether a prediction was wrong and no reason was found. Then the user may have changed the environment
            between two steps, and from now on each step begins with a look for such a change.
    """

    def __init__(self, driver: Driver) -> None:
        self.is_wary = False
        self._driver = driver
        self._wrong: tuple[Outcome, Outcome] | None = None
        self._is_excused = False

    def begin(self) -> None:
        """Record that a step or a reset begins."""
        self._wrong, self._is_excused = None, False

    @property
    def is_plausible(self) -> bool:
        """Whether the step has gone as predicted so far."""
        return self._wrong is None and not self._is_excused

    def diverged(self, did: Transition | Call | Exception) -> None:
        """Record that the environment did not do what its branch predicted. The first difference of a step counts.

        If a call has failed and the environment goes on without a response, no branch could predict this.
        """
        root = self._driver.root
        self._driver.diverged()
        self._is_excused = self._is_excused or self._driver.has_failed
        if self._wrong is None:
            predicted = root.transition if isinstance(root, Deciding) else None if root is None else root.call
            self._wrong = Outcome.of(predicted), Outcome.of(did)

    def reason(self, replay: Replay, env: AnyEnv) -> str | None:
        """Why the prediction for ``env`` was wrong; ``None`` if the prediction was right, or no cause was found."""
        if self._wrong is None or self._is_excused:
            return None
        try:
            return self._reason(replay, env, *self._wrong)
        except NotForkable:  # the next fork raises this error, too
            return None

    def _reason(self, replay: Replay, env: AnyEnv, predicted: Outcome, did: Outcome) -> str | None:
        reason = change_by(replay.env, replay.make)
        if reason is not None:
            return reason
        method = "reset" if replay.is_reset else "step"
        one, other = replay.make(), replay.make()
        if one.key != other.key:
            # A reset without a seed may draw from entropy, and then differs without any fault.
            first, then = one.beside(other)
            text = f"made twice in one state and with the same responses, a {method} {first}, and then {then}"
            return None if replay.is_reset else f"{text}; a {method} has to be a function of these"
        if not self.is_wary and left_out(env, fork(env)) is None:
            self.is_wary = True
            return None
        real, on_a_fork = did.beside(predicted)
        return (
            f"a {method} {real} where a fork of it, with the same responses, {on_a_fork}. Either the fork() of the "
            f"environment leaves something out; or the {method} depends on something outside of the environment (a "
            f"handler that changes it, a thread, a clock, a file); or your program has changed the environment between "
            f"two steps, in a way that is not seen"
        )
