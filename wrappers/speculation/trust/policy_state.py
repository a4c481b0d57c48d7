"""Whether a policy without ``fork()`` changes when it is called: an agent that keeps its conversation does.

Such a policy is also called ahead of time, on guesses, and these calls may change its later actions. Only the author of
the policy knows whether they do, so a warning tells the author.
"""

import functools
import types
from collections.abc import Iterator
from typing import Any

from spec_envs.attributes import attribute_of, attributes_in, is_a
from spec_envs.functions import contents_of
from spec_envs.wrappers.handlers import DecoratedHandler
from spec_envs.wrappers.speculation.trust.digests import Digest, differs
from spec_envs.wrappers.speculation.trust.records import is_only_recorded
from spec_envs.wrappers.speculation.warned import tell_user

#: After how many decisions to look at a policy.
LOOK_AFTER = frozenset({1, 2, 4, 8, 16, 32, 64})


class PolicyState:
    """What a policy keeps between its calls, in attributes or in variables that it closes over.

    Numbers, texts, arrays and containers of them are looked at; other objects (clients, locks, random generators) are
    not. A dictionary or set that grows is taken for a cache. A count that the policy never reads is a record.

    Args:
        policy: The policy; ``None``: nothing is watched.
    """

    def __init__(self, policy: Any) -> None:
        self._holder, self._method = _holder(policy)
        self._before = _kept(self._holder)

    def look(self) -> None:
        """Warn, once, if the policy has changed."""
        if not self._before:
            return
        now, kind = _kept(self._holder), type(self._holder)
        all_changed = [name for name, held in self._before.items() if differs(held, now.get(name))]
        changed = next((name for name in all_changed if not is_only_recorded(kind, self._method, name)), None)
        if changed is None:
            self._before = {name: held for name, held in self._before.items() if name not in all_changed}
            return
        self._before = {}
        named = getattr(self._holder, "__qualname__", type(self._holder).__name__)
        tell_user(
            f"the policy {named} changes {changed!r} when it is called, and has no fork(): calls that are made ahead "
            f"of time, on guesses, change {changed!r} as well. If the policy's actions depend on {changed!r}, they may "
            f"differ from those without speculation: give the policy fork(), which returns a copy, or have it decide "
            f"by the observation alone. Otherwise, ignore this warning"
        )


def _holder(policy: Any) -> tuple[Any, str]:
    """The object or function behind ``policy``, and the method called; ``None`` for policies of this package."""
    method = "predict" if attribute_of(policy, "predict") is not None else "__call__"
    while True:
        if isinstance(policy, DecoratedHandler):
            policy = policy.inner
        elif isinstance(policy, types.MethodType):
            policy, method = policy.__self__, policy.__name__
        elif isinstance(policy, functools.partial):
            policy = policy.func
        else:
            break
    module = getattr(policy if isinstance(policy, types.FunctionType) else type(policy), "__module__", None)
    return None if str(module).partition(".")[0] == "spec_envs" else policy, method


def _kept(holder: Any) -> dict[str, Any]:
    """A digest of each attribute, or of each variable that a function closes over, by name."""
    digest = Digest(of_objects=False)
    try:
        return {name: digest.of(value) for name, value in _variables(holder)}
    except RuntimeError:  # a call ahead of time changes it at this moment: it is looked at again later
        return {}


def _variables(holder: Any) -> Iterator[tuple[str, Any]]:
    if is_a(holder, types.FunctionType):
        for name, cell in zip(holder.__code__.co_freevars, holder.__closure__ or (), strict=True):
            for content in contents_of(cell):
                yield name, content
    yield from attributes_in(holder).items()
