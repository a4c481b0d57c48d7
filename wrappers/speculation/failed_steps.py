"""What becomes of an episode when a step on a fork has raised an error; of environments that do not ask for calls.

The error may be the environment's own, as for an action that is not allowed: then the episode goes on from what the
step has left, as it would in the plain loop. Or the fork was no faithful copy, which shows when the environment itself,
stepped in the same way, raises no error.
"""

import dataclasses
from typing import Any

from spec_envs.wrappers.speculation.episode import Deciding
from spec_envs.wrappers.speculation.session import Session
from spec_envs.wrappers.speculation.transitions import Transition, stepping


def after_failed_step(session: Session, root: Deciding, action: Any, error: Exception) -> Transition:
    """Go on after the step with ``action`` at ``root`` has raised ``error`` on a fork.

    Returns:
        What the environment itself has returned, where it can make this step; speculation on it has ended then.

    Raises:
        Exception: What the environment itself has raised, or ``error`` where a fork has taken its place before.
    """
    if session.closed or session.driver.interrupted:
        raise error
    if session.env is not root.env:  # it has not made this step, and no fork has taken its place
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
