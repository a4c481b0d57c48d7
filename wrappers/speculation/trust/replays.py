"""Steps and resets of an environment that asks for its calls, made again on forks, with the responses that they got.

No call is made for that. It shows what the steps of forks change that the episode uses, too, and whether a step is a
function of its state and its responses.
"""

import contextvars
import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from spec_envs.actions import allowed_action, sampling_copy
from spec_envs.brief import brief, quoted
from spec_envs.call_env import CallEnv, Script
from spec_envs.calls import Call
from spec_envs.errors import CallPending
from spec_envs.forking import fork
from spec_envs.values import key_or_itself, same
from spec_envs.wrappers.differences import first_difference
from spec_envs.wrappers.speculation.transitions import AnyEnv, Method, Transition, stepping
from spec_envs.wrappers.speculation.trust import rehearsal
from spec_envs.wrappers.speculation.trust.outside import Outside

#: How often a change has to be seen until the step is blamed, and not another thread.
_TIMES = 3


class Replay(NamedTuple):
    """A step or a reset that forks can make again.

    Attributes:
        env: The snapshot in which it begins.
        method: The step or the reset.
        responses: Those to its calls, in order.
        is_reset: Whether it is a reset.
    """

    env: AnyEnv
    method: Method
    responses: tuple[Any, ...] = ()
    is_reset: bool = False

    def make(self) -> "Outcome":
        """Make the step or reset on a fork, up to its end or to the first call without a response."""
        twin = fork(self.env)
        unwrapped, script = twin.unwrapped, Script(self.responses)
        assert isinstance(unwrapped, CallEnv)
        unwrapped.answer_with(script)
        outcome: Outcome
        try:
            outcome = Outcome.of(contextvars.copy_context().run(self.method, twin))
        except (Exception, CallPending) as error:
            outcome = Outcome.of(error)
        return outcome if script.pending is None else Outcome.of(script.pending)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a step or a reset goes on.

    Attributes:
        what: Says what it is, for messages.
        key: Two outcomes with equal keys are equal.
        parts: The values that a step or a reset returned, by name.
    """

    what: str
    key: Hashable
    parts: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, result: "Transition | Call | BaseException | None") -> "Outcome":
        """The outcome of ``result``: its end, the call that it asks for, its error, or unknown."""
        if isinstance(result, Transition):
            seen = (result.observation, result.reward, bool(result.terminated), bool(result.truncated))
            parts = {"observation": result.observation, "reward": result.reward}
            return cls(f"returned {brief(result):.120}", ("end", key_or_itself(seen)), parts)
        if isinstance(result, Call):
            return cls(f"asked for {quoted(result, 120)}", ("call", result))
        if result is None:
            return cls("raised an error", "error")
        return cls(f"raised {quoted(result, 120)}", "error")

    def beside(self, other: "Outcome") -> tuple[str, str]:
        """Say what this outcome and another one are; where both read alike, with the first part that differs."""
        if self.what == other.what:
            for name, part in self.parts.items():
                if name in other.parts and not same(part, other.parts[name]):
                    path, mine, theirs = first_difference(name, part, other.parts[name])
                    return f"{self.what} ({path} {mine})", f"{other.what} ({path} {theirs})"
        return self.what, other.what


def change_by(env: AnyEnv, run: Callable[[], object]) -> str | None:
    """What ``run`` changes outside of the forks of ``env`` that it steps, and what to do; ``None`` if nothing.

    Other threads may change something while it runs: a change counts that is there each time, and not without it.
    Global generators and settings of the process are then set back.
    """
    reason, first, took_s = None, None, 0.0
    for _ in range(_TIMES):
        outside = Outside(env)
        first, began = first or outside, time.perf_counter()
        run()
        took_s = max(took_s, time.perf_counter() - began)
        reason = outside.change()
        if reason is None:
            return None
    if any(_changed_meanwhile(env, took_s) == reason for _ in range(_TIMES)):
        return None
    assert first is not None
    if first.can_be_restored:
        first.restore()
    return reason


def _changed_meanwhile(env: AnyEnv, seconds: float) -> str | None:
    """What other threads change outside of ``env`` within ``seconds``."""
    outside = Outside(env)
    time.sleep(seconds)
    return outside.change()


def rehearse_asking(env: AnyEnv, begun: Transition, replay: Replay | None, reason: str | None) -> bool:
    """Rehearse on forks of an environment that asks for its calls, up to the first call of each step: none is made.

    Args:
        env: The environment, just reset.
        begun: What the reset has returned.
        replay: The reset with the responses to its calls, if they are known.
        reason: Why a branch has predicted the reset wrongly, if so.

    Returns:
        Whether there was time for it.

    Raises:
        NotForkable: The steps of forks change what others use, too; the message names the part and the way out.
    """
    space = sampling_copy(env.action_space)
    actions = [allowed_action(space, begun.observation, begun.info) for _ in range(rehearsal.NUM_STEPS)]
    replays = [Replay(env, stepping(action)) for action in actions] + ([] if replay is None else [replay])

    def run() -> None:
        for each in replays:
            each.make()

    in_time = rehearsal.is_quick(each.make for each in replays)
    reason = reason or (change_by(env, run) if in_time else None)
    if reason is not None:
        raise rehearsal.refusal(env, reason, "Mend it")
    return in_time
