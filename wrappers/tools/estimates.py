"""``ToolEstimates``: what proxies measure about servers and agents; it outlives them."""

import dataclasses
import math
from typing import Any

from spec_envs.checks import integer_or_none
from spec_envs.wrappers.tools.sharing import Sharing
from spec_envs.wrappers.tools.thoughts import Thoughts


@dataclasses.dataclass
class ToolEstimates:
    """What proxies measure about servers and agents, for later proxies: how many calls a server answers at once.

    Args:
        at_first: How many calls a server gets at once until it has answered some beside others as quickly as alone
            (>= 1); ``None``: any number.

    Attributes:
        servers: What is known of each server, by its name; "" for tools without a server.
        thoughts: How long agents think.

    Raises:
        InvalidConfiguration: ``at_first`` is out of range.
    """

    at_first: int | None = None
    servers: dict[str, Sharing] = dataclasses.field(default_factory=dict, init=False)
    thoughts: Thoughts = dataclasses.field(default_factory=Thoughts, init=False)

    def __post_init__(self) -> None:
        self.at_first = integer_or_none("at_first", self.at_first, least=1)

    def of(self, server: str) -> Sharing:
        """What is known of ``server``, which may be nothing yet."""
        if server not in self.servers:
            self.servers[server] = Sharing(self.at_first)
        return self.servers[server]

    def as_dict(self) -> dict[str, Any]:
        """The estimates as values that JSON can hold; ``restore`` takes them."""
        servers = {name: each.as_dict() for name, each in list(self.servers.items())}
        return {"servers": servers, "thoughts": self.thoughts.as_list()}

    def restore(self, held: Any) -> None:
        """Take over what ``as_dict`` has returned.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: The values are not those of ``as_dict``.
        """
        servers = {str(name): each for name, each in held["servers"].items()}
        for each in servers.values():
            Sharing().restore(each)  # raises before anything is taken over
        thoughts = [float(each) for each in held["thoughts"]]
        if not all(0 <= each < math.inf for each in thoughts):
            raise ValueError(f"{thoughts} are no durations")
        for name, each in servers.items():
            self.of(name).restore(each)
        self.thoughts = Thoughts(thoughts)

    def join(self, others: "ToolEstimates") -> None:
        """Take over what ``others`` know about servers that are not known here yet."""
        for name, each in others.servers.items():
            if each.is_known and not self.of(name).is_known:
                self.of(name).restore(each.as_dict())
