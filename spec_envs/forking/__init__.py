"""``fork(env)``: an independent copy of an environment and of every wrapper around it.

Environments and wrappers that define ``fork`` themselves are forked by that method. The attributes of any other wrapper
are copied. Any other environment is copied as ``copy.deepcopy`` would copy it, and the copy is compared with the
original: when classes built on ``gymnasium.utils.EzPickle`` are copied, they run their constructor again and
silently lose their state. An environment that cannot be copied faithfully is refused with ``NotForkable``.
"""

import functools
import inspect
import itertools
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

import gymnasium as gym
from gymnasium.envs.toy_text import CliffWalkingEnv, FrozenLakeEnv, TaxiEnv

from spec_envs.errors import NotForkable, SpecEnvsError
from spec_envs.forking.comparing import compare, compare_parts
from spec_envs.forking.copying import Copier, layers_of
from spec_envs.forking.kinds import Uncopyable, refuse_unowned, refuse_watched, shared_by_wrappers, slot_names, unowned
from spec_envs.immutable import ATOMS

_Wrapper = gym.Wrapper[Any, Any, Any, Any]
EnvT = TypeVar("EnvT", bound=gym.Env[Any, Any])

#: Attributes that environments of Gymnasium never change once they are made (their code was read): large tables.
_CONSTANT: dict[type, tuple[str, ...]] = {
    TaxiEnv: ("P", "initial_state_distrib", "desc"),
    FrozenLakeEnv: ("P", "initial_state_distrib", "desc"),
    CliffWalkingEnv: ("P", "initial_state_distrib"),
}
_EFFECTS: dict[type, str] = {
    gym.wrappers.RecordVideo: "it writes video files",
    gym.wrappers.HumanRendering: "it shows the episode in a window",
}


def fork(env: EnvT) -> EnvT:
    """An independent environment in the same state, with the same stack of wrappers; ``env`` is not changed.

    The state of the random generators is copied too. If a wrapper holds a function that refers to the environment, or
    to anything else that can change, the function's copy refers to the copies. Global variables are not copied.

    Raises:
        NotForkable: A layer has effects outside the environment, or holds something that cannot be copied faithfully.
            The message names the layer, the part and the way out.
        EnvClosed: The environment was closed (``CallEnv`` and what is built on it).
    """
    return _fork(env, {})


def _fork(env: EnvT, forked: Mapping[int, Any]) -> EnvT:
    """Like ``fork``; ``forked`` has the copies of the layers that were forked already, by their ``id``."""
    if forked and id(env) in forked:
        return forked[id(env)]  # type: ignore[no-any-return]
    own = own_fork(type(env))  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
    if own is None:
        twin: Any = _fork_wrapper(env, forked) if isinstance(env, gym.Wrapper) else _fork_foreign(env)
        return twin  # type: ignore[no-any-return]
    if getattr(env, "render_mode", None) == "human":
        _refuse(env, "it shows the episode to a person")
    twin = own(env)
    if type(twin) is not type(env) or twin is env:
        _refuse(env, f"its fork() returned {twin!r}, not another {type(env).__name__}")
    return twin


@functools.lru_cache(maxsize=1024)
def own_fork(kind: Any) -> Any:
    """The method ``fork`` of a class; ``None`` where it has none, or means something else, which takes arguments."""
    own: Any = getattr(kind, "fork", None)
    try:
        inspect.signature(own).bind(None)  # what is not callable raises a TypeError, too
    except TypeError:
        return None
    return own


class _Kind(NamedTuple):
    """Facts about a class of wrappers: an effect that forbids a fork, attributes that forks share, and slots."""

    effect: str | None
    is_unowned: bool
    shared: frozenset[str]
    slots: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def _kind_of(kind: Any) -> _Kind:
    effect = next((why for effectful, why in _EFFECTS.items() if issubclass(kind, effectful)), None)
    return _Kind(effect, unowned(kind) is not None, shared_by_wrappers(kind) | {"env"}, tuple(slot_names(kind)))


def _fork_wrapper(env: _Wrapper, forked: Mapping[int, Any]) -> _Wrapper:
    kind: Any = type(env)
    effect, is_unowned, shared, slots = _kind_of(kind)
    if effect is not None:
        _refuse(env, effect)
    if is_unowned or weakref.getweakrefcount(env):
        try:
            refuse_watched(env)
            if is_unowned:
                refuse_unowned(env)
        except Exception as error:
            _refuse_for(env, error)
    inner = _fork(env.env, forked)
    twin: _Wrapper = object.__new__(kind)
    changing = share_attributes(env, twin, shared)
    twin.__dict__["env"] = inner
    if changing or slots:
        changing += [(name, getattr(env, name)) for name in slots if hasattr(env, name)]
        copy_attributes(env, twin, changing)
    return twin


def share_attributes(env: gym.Env[Any, Any], twin: Any, shared: frozenset[str]) -> list[tuple[str, Any]]:
    """Give ``twin``, a fork of ``env``, the attributes of ``env``, and return the attributes that have to be copied.

    All that are not in ``shared`` and that may change have to be copied.
    """
    state = env.__dict__.copy()  # a copy takes half as long as to update the dict that is there
    object.__setattr__(twin, "__dict__", state)
    own = [*itertools.filterfalse(shared.__contains__, state)]
    if ATOMS.issuperset(map(type, map(state.get, own))):  # asked first, and without a loop: most forks end here
        return []
    return [(name, state[name]) for name in own if type(state[name]) not in ATOMS]


def copy_attributes(env: gym.Env[Any, Any], twin: Any, attributes: list[tuple[str, Any]]) -> None:
    """Give ``twin``, a fork of ``env``, copies of some of its attributes; layers that they refer to become its own.

    Raises:
        NotForkable: One of them cannot be copied.
    """
    copier = Copier(layers_of(env, twin), _fork)
    name = type(env).__name__
    try:
        for attribute, value in attributes:
            object.__setattr__(twin, attribute, copier.part(value, "{0[0]}.{0[1]}", (name, attribute)))
        for original, copied in copier.hooked:
            compare(original, copied, copier.known, f"{name}: the {type(original).__name__} in it", copier.memo)
    except Exception as error:
        _refuse_for(env, error)


def _fork_foreign(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    if not isinstance(env, gym.Env):
        raise NotForkable(f"fork() takes a gymnasium.Env, not {env!r}")
    if getattr(env, "render_mode", None) == "human":
        _refuse(env, "it shows the episode to a person")
    copier = Copier(_constant_parts(env), _fork)
    try:
        try:
            twin = copier.instance(env)
        except Uncopyable as error:
            raise error.via("env") from error
        try:
            for original, copied in copier.hooked:
                compare(original, copied, copier.known, "env", copier.memo)
        except Uncopyable:
            compare(env, twin, copier.known, "env")  # finds the same difference, and the path to it
            raise
    except Exception as error:
        _refuse_for(env, error)
    return twin  # type: ignore[no-any-return]


def _refuse_for(env: gym.Env[Any, Any], error: Exception) -> NoReturn:
    """Refuse ``env`` because of an error while it was copied. A function, since a context manager takes more time."""
    if isinstance(error, Uncopyable):
        _refuse(env, f"{''.join(error.path)} {error}", error)
    if isinstance(error, SpecEnvsError):
        raise error
    _refuse(env, f"copying it raised {type(error).__name__}: {error}", error)


def _constant_parts(env: gym.Env[Any, Any]) -> dict[int, Any]:
    return {id(part): part for name in _CONSTANT.get(type(env), ()) if (part := env.__dict__.get(name)) is not None}


def difference(env: gym.Env[Any, Any], twin: gym.Env[Any, Any]) -> str | None:
    """The first difference between ``env`` and its fork ``twin``; ``None`` if ``twin`` is a faithful copy.

    All parts are compared, which takes several times as long as a fork. Layers with a ``fork`` of their own are left
    out, since they decide themselves how their state is kept.
    """
    layers = layers_of(env, twin)
    while True:
        known = {**layers, **_constant_parts(env)}
        left_out = shared_by_wrappers(type(env)) | {"env"} if isinstance(env, gym.Wrapper) else frozenset()
        if own_fork(type(env)) is None:  # type: ignore[arg-type]  # as above
            for name in (env.__dict__.keys() ^ twin.__dict__.keys()) - left_out:
                return f"{type(env).__name__}.{name} is only in one of the original and the copy"
            try:
                compare_parts(
                    (
                        (value, twin.__dict__.get(name), f"{type(env).__name__}.{name}")
                        for name, value in env.__dict__.items()
                        if name not in left_out
                    ),
                    known,
                )
            except Uncopyable as error:
                return f"{''.join(error.path)} {error}"
        if not isinstance(env, gym.Wrapper) or not isinstance(twin, gym.Wrapper):
            return None
        env, twin = env.env, twin.env


def _refuse(layer: gym.Env[Any, Any], why: str, cause: Exception | None = None) -> NoReturn:
    if isinstance(layer, gym.Wrapper):
        way_out = "put it outside SpeculativeWrapper, where it sees only what really happened, or give it a fork()"
    elif getattr(layer, "render_mode", None) == "human":
        way_out = "make it with another render_mode, and show the episode from outside SpeculativeWrapper"
    else:
        way_out = "give it a fork() of its own, or build it on spec_envs.CallEnv"
    raise NotForkable(f"{type(layer).__name__} in {layer} cannot be forked: {why}; {way_out}") from cause
