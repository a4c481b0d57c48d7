"""Whether the user has changed the environment between two steps, for example by ``env.unwrapped.level = 2``.

Branches have begun on forks of what the environment was before, so a change means that they have to begin anew.
"""

from typing import Any

from spec_envs.call_env import CallEnv
from spec_envs.errors import NotForkable
from spec_envs.forking import difference, fork
from spec_envs.wrappers.speculation.transitions import AnyEnv
from spec_envs.wrappers.speculation.trust.outside import attributes_of, layers_in


class Lending:
    """The environment as it was when the user last got it.

    Attributes:
        is_lent: Whether the user has got it, so that ``has_changed`` has something to look at.
    """

    def __init__(self) -> None:
        self.is_lent = False
        self._before: AnyEnv | dict[str, Any] | None = None

    def lend(self, env: AnyEnv) -> None:
        """Record that the user gets ``env``, and may change ``env`` until ``has_changed`` is called."""
        if not self.is_lent:
            self.is_lent = True
            try:
                self._before = _seen(env) if isinstance(env.unwrapped, CallEnv) else fork(env)
            except NotForkable:  # the next fork says so
                self._before = None

    def has_changed(self, env: AnyEnv) -> bool:
        """Whether the user has replaced or changed ``env`` since ``lend``; this ends the loan."""
        if not self.is_lent:
            return False
        before, self._before, self.is_lent = self._before, None, False
        if isinstance(before, dict):
            return before != _seen(env)
        return before is None or difference(before, env) is not None


def _seen(env: AnyEnv) -> dict[str, Any]:
    """A digest of an environment that asks for its calls: its ``fork()`` decides which attributes are compared."""
    return attributes_of(layers_in(env))
