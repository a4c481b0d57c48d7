"""Goes on with an episode after a step on a fork has raised an error, if the environment does not ask for calls.

The error may be the environment's own, for example because an action is not allowed. Then the episode goes on from the
state in which the step has left the environment, as in the plain loop. Or the fork was not a faithful copy. Then the
environment itself makes the same step without an error.
"""

import dataclasses
from typing import Any

from spec_envs.wrappers.speculation.episode import Deciding
from spec_envs.wrappers.speculation.session import Session
from spec_envs.wrappers.speculation.transitions import Transition, stepping


def after_failed_step(session: Session, root: Deciding, action: Any, error: Exception) -> Transition:
    """Go on after the step with ``action`` at ``root`` has raised ``error`` on a fork.

    Returns:
        The transition of the environment itself, if it can make this step. Then speculation on it has ended.

    Raises:
        Exception: The error of the environment itself, or ``error`` if a fork has taken its place before.
    """
    if session.closed or session.driver.interrupted:
        raise error
    if session.env is not root.env:  # the environment has not made this step, and no fork has taken its place
        return _made_by_itself(session, root, action, error)
    left = None if session.trust.steps is None else session.trust.steps.left_by(error)
    if left is not None:
        session.env, root = left, dataclasses.replace(root, env=left)
    session.step_again_from(root)
    raise error


def _made_by_itself(session: Session, root: Deciding, action: Any, error: Exception) -> Transition:
    try:
        transition = session.run(stepping(action), session.answer_plainly)
    except Exception:
        session.step_again_from(dataclasses.replace(root, env=session.snapshot(may_refuse=False)))
        raise
    reason = f"a fork of it has raised {error!r:.80} in a step that the environment itself can make"
    session.stop_speculating(reason, failed=True)
    return session.restart(transition)
