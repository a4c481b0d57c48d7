"""Estimates that outlive a wrapper: for the next wrapper of the same policy in this process, and in a file.

In this process a later wrapper starts from copies, since wrappers may run at the same time.
"""

import dataclasses
import json
import warnings
import weakref
from pathlib import Path
from typing import Any, get_args

from spec_envs.attributes import attribute_of
from spec_envs.errors import InvalidConfiguration
from spec_envs.usage import Usage
from spec_envs.whole_files import write_whole
from spec_envs.wrappers.calibration import Calibration
from spec_envs.wrappers.estimates import Account, CallEstimate, Estimates, Unit
from spec_envs.wrappers.speculation.timing.guard import Record

_FORMAT = 1
#: The number of guessers whose reliability is kept: those that were used last.
_CALIBRATIONS = 16
_known: weakref.WeakKeyDictionary[Any, dict[str, Estimates]] = weakref.WeakKeyDictionary()


def remember(owner: Any, key: str, estimates: Estimates) -> None:
    """Keep the estimates of the handlers with which ``owner`` is used, as long as ``owner`` lives.

    Args:
        owner: A policy, or a method of one.
        key: The environment and the guessers with which ``owner`` is used.
        estimates: The estimates; all but the quality of guesses is kept.
    """
    try:
        known = _known.setdefault(attribute_of(owner, "__self__", owner), {})
    except Exception:  # the owner has no hash, or no weak references
        return
    known[key] = _of_handlers(estimates)


def recall(owner: Any, key: str) -> Estimates:
    """Return what was kept by ``remember``, or new estimates."""
    try:
        known = _known.get(attribute_of(owner, "__self__", owner), {}).get(key)
    except Exception:
        known = None
    return Estimates() if known is None else _of_handlers(known)


def _of_handlers(estimates: Estimates) -> Estimates:
    copied = Estimates(guard=estimates.guard)
    copied.calls.update((name, each.copied()) for name, each in tuple(estimates.calls.items()))
    copied.crowds.update((name, each.copied()) for name, each in tuple(estimates.crowds.items()))
    return copied


def load(path: Path) -> Estimates:
    """Read the estimates in a file; new ones where there is no such file yet.

    Raises:
        InvalidConfiguration: The file holds no estimates, or ``path`` is that of a folder, or in no folder.
    """
    if path.is_dir():
        raise InvalidConfiguration(f"estimates must be the path of a file, not of the folder {str(path)!r}")
    if not path.parent.is_dir():  # rather than to make the folders of a path that is misspelt
        raise InvalidConfiguration(f"estimates={str(path)!r}: there is no folder {str(path.parent)!r}; make it")
    if not path.exists():
        return Estimates()
    try:
        return _from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfiguration(
            f"{path} holds no estimates of this version ({error!r}); remove the file, and it is made anew"
        ) from error


def save(estimates: Estimates, path: Path) -> None:
    """Write the estimates of handlers and guessers, and what calls have cost, to a file; warn where that fails."""
    try:
        write_whole(path, json.dumps(_as_json(estimates)))
    except OSError as error:  # the wrapper that is being closed has still other things to close
        message = f"estimates={str(path)!r} cannot be written, so later wrappers do not know them: {error.strerror}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _as_json(estimates: Estimates) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "calls": {
            name: {
                "seconds": list(each.seconds),
                "tokens": list(each.tokens),
                "money": list(each.money),
                "most": dataclasses.astuple(each.most),
            }
            for name, each in estimates.calls.items()
        },
        "crowds": {name: each.as_dict() for name, each in estimates.crowds.items()},
        "accounts": {unit: dataclasses.asdict(each) for unit, each in estimates.accounts.items()},
        "calibrations": {name: each.to_json() for name, each in [*estimates.calibrations.items()][-_CALIBRATIONS:]},
        "guard": None if estimates.guard is None else dataclasses.asdict(estimates.guard),
    }


def _from_json(held: dict[str, Any]) -> Estimates:
    if held["format"] != _FORMAT:
        raise ValueError(f"its format is {held['format']!r}")
    estimates = Estimates(guard=None if held["guard"] is None else Record(**held["guard"]))
    for name, values in held["calls"].items():
        call = estimates.calls[name] = CallEstimate()
        for kind in ("seconds", "tokens", "money"):
            for value in values[kind]:
                getattr(call, kind).add(float(value))
        call.most = Usage(*values["most"])
    for name, values in held["crowds"].items():
        estimates.crowds[name].restore(values)
    for name, values in held.get("calibrations", {}).items():
        estimates.calibrations[name] = Calibration.from_json(values)
    for unit in get_args(Unit):
        if unit in held["accounts"]:
            estimates.accounts[unit] = Account(**held["accounts"][unit])
    return estimates
