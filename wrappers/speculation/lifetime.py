"""Whether a wrapper may be used: it is open, and it belongs to this process."""

import os

from spec_envs.errors import EnvClosed
from spec_envs.wrappers.speculation.ledger import Ledger

#: How many times this process, and those before it, came from another one by ``os.fork()``. To ask for the number of
#: the process instead would take half a microsecond in every step.
_num_forks = 0


def _forked() -> None:
    global _num_forks
    _num_forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Lifetime:
    """The life of one wrapper.

    Args:
        owner: The name of the wrapper, for error messages.
        ledger: Knows which guessers have failed.

    Attributes:
        closed: Whether the wrapper was closed.
    """

    def __init__(self, owner: str, ledger: Ledger) -> None:
        self.closed = False
        self._process = os.getpid()
        self._num_forks = _num_forks
        self._owner = owner
        self._ledger = ledger

    def check_open(self) -> None:
        """See that the wrapper may be used, and tell the user what has failed since the last use.

        Raises:
            EnvClosed: The wrapper was closed.
        """
        if self.closed or self._ledger.has_news or self._num_forks != _num_forks:
            self.check_process()
            if self.closed:
                raise EnvClosed(f"<{self._owner}> was closed; make a new one")
            self.tell()

    def tell(self) -> None:
        """Warn of each guesser that has failed, once."""
        self._ledger.tell()

    @property
    def is_inherited(self) -> bool:
        """Whether this process got the wrapper by ``os.fork()``: threads and calls belong to the process before."""
        return self._num_forks != _num_forks

    def check_process(self) -> None:
        """Raise ``EnvClosed`` in a process that got the wrapper by ``os.fork()``."""
        if self.is_inherited:
            raise EnvClosed(
                f"<{self._owner}> belongs to process {self._process}, which os.fork() has copied here without "
                f"its threads and calls; make a new wrapper in this process"
            )
