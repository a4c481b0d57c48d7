"""The steps and resets of an environment that asks for its calls: compared with what its branch predicted."""

from collections.abc import Callable

from spec_envs.calls import Call
from spec_envs.errors import NotForkable
from spec_envs.wrappers.speculation.episode import Acting, Deciding
from spec_envs.wrappers.speculation.session import Session
from spec_envs.wrappers.speculation.transitions import Transition
from spec_envs.wrappers.speculation.trust.replays import Replay


def expect_call(session: Session, call: Call, replay_of: Callable[[], Replay]) -> None:
    """The real environment asks for ``call`` in the step that ``replay_of`` gives: have the root wait for it.

    If the root waits for something else, the fork has diverged, and the tree is built anew from this call.
    """
    root = session.driver.root
    if not isinstance(root, Acting) or root.call != call:
        session.verifying.diverged(call)
        replay = replay_of()
        session.driver.rebase(Acting(replay.env, session.agent, replay.method, replay.responses, call))


def finish(session: Session, transition: Transition, replay: Replay) -> Transition:
    """Compare the real ``transition`` with the transition that the branch predicted; go on from the real transition.

    Raises:
        NotForkable: After a reset: see ``Trust.begin``.
    """
    expected = session.driver.root
    if isinstance(expected, Deciding) and expected.transition.agrees_with(transition):
        session.last = expected.transition
    else:
        session.verifying.diverged(transition)
        session.restart(transition)
    try:
        reason = _looked_into(session, transition, replay)
    except NotForkable:
        session.driver.rebase(None)
        raise
    if reason is not None:
        session.stop_speculating(reason, failed=False)
    return transition


def _looked_into(session: Session, transition: Transition, replay: Replay) -> str | None:
    """The reason why speculation has to end after this step, if there is one; after a reset, ``NotForkable``."""
    verifying = session.verifying
    with session.driver.still:
        reason = verifying.reason(replay, session.env)
        if replay.is_reset:
            session.trust.begin(session.env, transition, replay, reason)
        elif verifying.is_plausible:
            reason = session.trust.change_by(replay)
    return reason


def recover(session: Session, error: BaseException, replay: Replay) -> None:
    """Go on after a step that failed with ``error``; the environment stays as the failed step has left it."""
    if session.closed or session.driver.interrupted:  # this is why the step failed
        return
    if session.driver.root is not None and not session.driver.has_failed and isinstance(error, Exception):
        session.verifying.diverged(error)
    with session.driver.still:
        reason = None if isinstance(error, NotForkable) else session.verifying.reason(replay, session.env)
    session.driver.rebase(None)
    if session.last is not None:
        session.restart(session.last)
    if reason is not None:
        session.stop_speculating(reason, failed=False)
