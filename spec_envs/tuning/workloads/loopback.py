"""Messages over TCP between two processes: the workload of the ``sysctl`` backend."""

from __future__ import annotations

import dataclasses

from spec_envs.checks import integer
from spec_envs.tuning.knobs import Knob

#: The largest buffers of a connection: the third figures of ``net.ipv4.tcp_rmem`` and ``net.ipv4.tcp_wmem``.
_LIMITS = tuple(
    Knob(name, "int", 4096, 32 << 20, log=True, default=4096, steps=14, unit="B")
    for name in ("tcp_rmem_max", "tcp_wmem_max")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Loopback:
    """Sends messages over TCP to another process on the same core, which acknowledges each message.

    Attributes:
        message_kb: Size of a message in kB, at least 1.
    """

    message_kb: int = 256

    def __post_init__(self) -> None:
        integer("message_kb", self.message_kb, least=1)

    @property
    def name(self) -> str:
        """Such as "loopback, 256 kB messages"."""
        return f"loopback, {self.message_kb} kB messages"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The limits of the receiver's and the sender's buffers."""
        return _LIMITS
