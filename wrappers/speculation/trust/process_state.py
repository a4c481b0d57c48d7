"""Settings of the process that steps of an environment may change, and that all of the program shares."""

import decimal
import gc
import locale
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class _Setting(NamedTuple):
    get: Callable[[], Any]
    put: Callable[[Any], object]


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _put_environ(held: dict[str, str]) -> None:
    for name in os.environ.keys() - held.keys():
        del os.environ[name]
    os.environ.update(held)


def _put_directory(held: str | None) -> None:
    if held is not None:
        os.chdir(held)


def _put_decimal(held: decimal.Context) -> None:
    context = decimal.getcontext()  # other contexts of the code that runs have the very object, too
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp"):
        setattr(context, name, getattr(held, name))
    context.traps.update(held.traps)


#: By the name for messages.
_SETTINGS: dict[str, _Setting] = {
    "os.environ": _Setting(lambda: dict(os.environ), _put_environ),
    "the working directory": _Setting(_directory, _put_directory),
    "the locale": _Setting(lambda: locale.setlocale(locale.LC_ALL), lambda held: locale.setlocale(locale.LC_ALL, held)),
    "the context of decimal": _Setting(lambda: decimal.getcontext().copy(), _put_decimal),
    "the limit of recursion": _Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "whether the garbage collector runs": _Setting(gc.isenabled, lambda held: gc.enable() if held else gc.disable()),
}


class ProcessState:
    """The present settings of the process."""

    def __init__(self) -> None:
        self._held = {name: setting.get() for name, setting in _SETTINGS.items()}

    def change(self) -> str | None:
        """The name of a setting that has changed; ``None`` if no setting has."""
        return next((name for name, held in self._held.items() if not _same(held, _SETTINGS[name].get())), None)

    def restore(self) -> None:
        """Set back what has changed."""
        for name, held in self._held.items():
            if not _same(held, _SETTINGS[name].get()):
                _SETTINGS[name].put(held)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, decimal.Context):  # its flags only tell what has happened
        return repr(one).partition("flags=")[0] == repr(other).partition("flags=")[0]
    return bool(one == other)
