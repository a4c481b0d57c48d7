"""A rehearsal tries out, before forks are used, whether the forks of an environment really are independent.

A fork of a fork is stepped, the fork is stepped in the same way, and the two must agree. Nothing else may have changed:
neither the environment, nor the global random generators, nor its classes and modules. The environment itself is never
stepped.
"""

import time
import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from spec_envs.actions import allowed_action, sampling_copy
from spec_envs.errors import NotForkable
from spec_envs.forking import difference, fork
from spec_envs.values import key_of, own_copy
from spec_envs.wrappers.speculation.transitions import AnyEnv, Transition
from spec_envs.wrappers.speculation.trust.contexts import run_apart
from spec_envs.wrappers.speculation.trust.outside import Outside

#: How many seconds the steps of a rehearsal may take, and after how many steps it ends.
BUDGET_S = 0.2
NUM_STEPS = 5

#: What an outcome is compared by, field by field; where a step fails, by the class of the error.
_Outcome = dict[str, Hashable]


def rehearse(env: AnyEnv, begun: Transition, budget_s: float | None = None) -> bool:
    """Rehearse on forks of ``env``.

    Args:
        env: The environment, just reset.
        begun: What the reset has returned.
        budget_s: The time to spend on steps, in seconds; ``None``: ``BUDGET_S``.

    Returns:
        Whether the rehearsal came to its end. If not, the environment is too slow for it.

    Raises:
        NotForkable: A fork is no faithful copy, or is not independent; the message names the part and the way out.
    """
    outside = Outside(env)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are the user's to see when the episode makes that step
            limit_s = BUDGET_S if budget_s is None else budget_s
            (reason, complete), variable = run_apart(lambda: _tried(env, begun, limit_s))
        reason = outside.change() or reason
        if variable is not None:
            reason = f"its steps set the context variable {variable!r}; keep it in the environment"
    finally:
        outside.restore()
    if reason is not None:
        mend = "Mend it, or give it a fork() of its own; if its steps act on the outside world, set its attribute "
        raise refusal(env, reason, f"{mend}step_effect to Effect.WRITE")
    return complete


def is_quick(parts: Iterable[Callable[[], object]]) -> bool:
    """Run ``parts`` in order while the time allows one more, and return whether there was time for all."""
    began = time.perf_counter()
    for part in parts:
        part()
        if time.perf_counter() - began > BUDGET_S / 2:
            return False
    return True


def refusal(env: AnyEnv, reason: str, way_out: str) -> NotForkable:
    """The error for an environment whose forks cannot be relied on, for ``reason``."""
    found = "Found by stepping forks of it"
    return NotForkable(
        f"{env} cannot be speculated on: {reason}. {found}. {way_out}; "
        f"or pass rehearse=False, prove_every=0 if you know better"
    )


def _tried(env: AnyEnv, begun: Transition, budget_s: float) -> tuple[str | None, bool]:
    """The reason, if any, not to rely on forks of ``env``, and whether there was time for the whole rehearsal."""
    control, first = fork(env), fork(env)
    second = fork(first)
    reason = difference(env, first) or difference(first, second)
    if reason is not None:
        return f"in a fork, {reason}", True
    space = sampling_copy(env.action_space)
    played: list[tuple[Any, _Outcome]] = []
    observation, info = begun.observation, begun.info
    spent_s = 0.0  # on steps alone: on a busy machine the rest takes long for quick environments, too
    for _ in range(NUM_STEPS):
        action = allowed_action(space, observation, info)
        began = time.perf_counter()
        outcome, transition = _stepped(second, action)
        spent_s += time.perf_counter() - began
        played.append((action, outcome))
        if transition is None or transition.done or spent_s > budget_s / 2:  # the same steps are made again
            break
        observation, info = transition.observation, transition.info
        second = fork(second)  # it can still be forked after the step, and its fork goes on as it would have
    slow = spent_s > budget_s
    for number, (action, outcome) in enumerate(played[: 0 if slow else None], 1):
        again, _ = _stepped(first, action)
        differing = [name for name in outcome if again.get(name) != outcome[name]]
        if differing:
            return f"after {number} equal steps of a fork and of a fork of it, {differing[0]} is not the same", True
    reason = difference(control, env)
    return (None if reason is None else f"when a fork was stepped, the original changed: {reason}"), not slow


def _stepped(env: AnyEnv, action: Any) -> tuple[_Outcome, Transition | None]:
    try:
        transition = Transition(*env.step(own_copy(action)))
    except Exception as error:  # an action that is not allowed here: that must be so on the other fork, too
        return {"the error": type(error).__name__}, None
    return outcome_of(transition), transition


def outcome_of(transition: Transition) -> dict[str, Hashable]:
    """The fields of ``transition`` as keys, without the info and without values that have no key."""
    fields = {"the observation": transition.observation, "the reward": transition.reward}
    outcome: dict[str, Hashable] = {"the flags": (bool(transition.terminated), bool(transition.truncated))}
    for name, value in fields.items():
        try:
            outcome[name] = key_of(value)
        except Exception:  # it has no key, or holds itself
            continue
    return outcome
