"""Warnings that name the line of the user's program, whichever way the program has come into the wrapper."""

import logging
import sys
import warnings

_log = logging.getLogger(__name__)

#: The packages whose lines say nothing to the user: this one, and wrappers of Gymnasium around an environment of ours.
_PASSED_THROUGH = frozenset({"spec_envs", "gymnasium"})


def warn_user(message: str) -> None:
    """Warn with a ``RuntimeWarning`` of the line that has called into these packages.

    Raises:
        RuntimeWarning: The user has made warnings errors.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _package_of(frame.f_globals) in _PASSED_THROUGH:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def tell_user(message: str) -> None:
    """Like ``warn_user``; where the user has made warnings errors the message is logged, and the episode goes on."""
    try:
        warn_user(message)
    except RuntimeWarning:
        _log.warning(message)


def _package_of(variables: dict[str, object]) -> str:
    return str(variables.get("__name__")).partition(".")[0]
