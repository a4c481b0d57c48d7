"""What all environments check in the same way: arguments, options of ``reset``, and whether an episode is under way.

In an environment:

* ``__init__``: ``choice("color", color, ("white", "black"))`` and ``integer("max_steps", max_steps, least=1)``, or
  ``integer_or_none``, return the argument or raise ``InvalidConfiguration``; so does
  ``render_mode_of(self, render_mode)``. ``chosen`` and ``index_in`` find a task by its name or its index.
* ``reset``: ``self._check_open()``; then ``given = read_options(options, ("task",))``, and check the values in
  ``given``; then ``super().reset(seed=seed)``. So nothing has changed when an option is refused.
* ``step``: ``self._check_open()``; then ``episode = begun(self.episode)`` and ``check_under_way(episode.outcome)``.
* ``render``: ``if not can_render(self): return None``.

An integer is whatever has ``__index__`` and is not a bool: ``np.int64(3)`` and ``np.array(3)`` as well as ``3``.
"""

import math
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

import gymnasium as gym
import numpy as np

from spec_envs.errors import InvalidConfiguration, ResetNeeded, UnknownHandler

EpisodeType = TypeVar("EpisodeType")
ItemType = TypeVar("ItemType")


def as_integer(value: object) -> int | None:
    """``value`` as an ``int``; ``None`` if it is not an integer. A bool is not one, and neither is ``2.0``."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that is what is tried
    except TypeError:
        return None


def integer(name: str, value: object, *, least: int) -> int:
    """The argument ``name`` as an ``int``; ``InvalidConfiguration`` if it is no integer, or below ``least``."""
    return _integer(name, value, least, "an integer")


def integer_or_none(name: str, value: object, *, least: int) -> int | None:
    """The argument ``name`` as an ``int`` of at least ``least``, or ``None``; or ``InvalidConfiguration``."""
    return None if value is None else _integer(name, value, least, "None or an integer")


def _integer(name: str, value: object, least: int, expected: str) -> int:
    number = as_integer(value)
    if number is None or number < least:
        raise InvalidConfiguration(f"{name} must be {expected} of at least {least}, not {value!r}")
    return number


def as_number(value: Any) -> float:
    """``value`` as a ``float``; NaN, which lies within no bounds, if it is not a number. Text and bools are none."""
    if type(value) not in (float, int):
        is_number = isinstance(value, SupportsFloat | SupportsIndex) and np.ndim(value) == 0  # type: ignore[arg-type]
        if not is_number or isinstance(value, bool | np.bool_ | str | bytes | bytearray):
            return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def number(name: str, value: Any, *, least: float, most: float = math.inf) -> float:
    """The argument ``name`` as a ``float``, no NaN, from ``least`` to ``most``; or ``InvalidConfiguration``."""
    if least <= (found := as_number(value)) <= most:
        return found
    expected = f"of at least {least}" if most == math.inf else f"in [{least}, {most}]"
    raise InvalidConfiguration(f"{name} must be a number {expected}, not {value!r:.80}")


def positive(name: str, value: Any, *, finite: bool = False) -> float:
    """The argument ``name`` as a ``float`` above 0, and ``finite`` if that is wanted; or ``InvalidConfiguration``."""
    found = as_number(value)
    if found > 0 and not (finite and found == math.inf):
        return found
    raise InvalidConfiguration(f"{name} must be above 0{' and finite' * finite}, not {value!r:.80}")


def not_negative(name: str, value: Any) -> float:
    """The argument ``name`` as a finite ``float`` of at least 0; or ``InvalidConfiguration``."""
    if 0 <= (found := as_number(value)) < math.inf:
        return found
    raise InvalidConfiguration(f"{name} must be finite and at least 0, not {value!r:.80}")


def keep_integers(settings: object, **least: int) -> None:
    """Replace the fields of a frozen dataclass by the ``int`` that they mean, each at least so great.

    A field that was only checked would stay ``np.uint8(200)``, say, whose double is 144.

    Raises:
        InvalidConfiguration: A field is no integer, or below its bound.
    """
    for name, bound in least.items():
        object.__setattr__(settings, name, integer(name, getattr(settings, name), least=bound))


def keep_numbers(settings: object, *names: str, least: float = 0.0, most: float = math.inf) -> None:
    """Replace the fields of a frozen dataclass by the ``float`` or ``int`` that they mean, from ``least`` to ``most``.

    A field that was only checked would stay ``Decimal("0.5")``, say, which cannot be added to a ``float``.

    Raises:
        InvalidConfiguration: A field is no number, NaN, or out of range.
    """
    for name in names:
        value = getattr(settings, name)
        kept = number(name, value, least=least, most=most)
        object.__setattr__(settings, name, value if type(value) is int else kept)


def boolean(name: str, value: Any) -> bool:
    """The argument ``name`` as a ``bool``; ``InvalidConfiguration`` if it is neither ``True`` nor ``False``."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise InvalidConfiguration(f"{name} must be True or False, not {value!r:.80}")


def keep_booleans(settings: object, *names: str) -> None:
    """Replace the fields of a frozen dataclass by the ``bool`` that they mean; or ``InvalidConfiguration``."""
    for name in names:
        object.__setattr__(settings, name, boolean(name, getattr(settings, name)))


#: The greatest size of a generated world: a hundred times the embedded one.
LARGEST_WORLD = 100


def seed_and_size(source: object, seed: object, size: object, *, name: str) -> tuple[int, int] | None:
    """The seed and the size of the world that ``source`` means, if it is "generated"; otherwise ``None``.

    Args:
        source: What the world is made from: "generated", "embedded", a file, ….
        seed: The seed, at least 0; ``None`` for 0.
        size: The size, from 1 to ``LARGEST_WORLD``; ``None`` for 1.
        name: What the user calls the seed.

    Raises:
        InvalidConfiguration: Seed or size are out of range, or were given for something that is not generated.
    """
    if not (isinstance(source, str) and source == "generated"):
        for argument, value in ((name, seed), ("size", size)):
            if value is not None:
                raise InvalidConfiguration(f'{argument}={value!r} is only for "generated", not for {source!r:.200}')
        return None
    found = integer(name, 0 if seed is None else seed, least=0), integer("size", 1 if size is None else size, least=1)
    if found[1] > LARGEST_WORLD:
        raise InvalidConfiguration(f"size must be at most {LARGEST_WORLD}, not {found[1]}; use several seeds instead")
    return found


def choice(name: str, value: Any, choices: Sequence[str | None]) -> Any:
    """The argument ``name``; ``InvalidConfiguration``, which lists the ``choices``, if ``value`` is not among them."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        *others, last = map(repr, choices)
        known = f"{', '.join(others)} or {last}" if others else last
        raise InvalidConfiguration(f"{name} must be {known}, not {value!r}")
    return value


def check_env_factory(env_factory: object) -> None:
    """Raise ``InvalidConfiguration`` unless ``env_factory`` can be called."""
    if not callable(env_factory):
        raise InvalidConfiguration(
            f"env_factory must be a callable that makes an environment, such as lambda: gym.make('SpecChess-v0'), not "
            f"{env_factory!r:.80}"
        )


def check_env(env: object) -> None:
    """Raise ``InvalidConfiguration`` unless ``env`` is an environment: no id of one, no class, no vector of them."""
    if isinstance(env, gym.Env):
        return
    if isinstance(env, str):
        way = f"; make it first: gym.make({env!r})"
    elif isinstance(env, type):
        way = f"; make one first: {env.__name__}(…)"
    else:
        way = "; wrap each of its environments" if isinstance(env, gym.vector.VectorEnv) else ""
    raise InvalidConfiguration(f"env must be an environment (gymnasium.Env), not {env!r:.80}{way}")


def made(env_factory: Callable[[], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    """What ``env_factory`` makes; ``InvalidConfiguration`` if that is no environment."""
    env = env_factory()
    if not isinstance(env, gym.Env):
        raise InvalidConfiguration(f"env_factory must return an environment (gymnasium.Env), not {env!r:.80}")
    return env


def check_names(what: str, given: Iterable[object], known: Collection[str]) -> None:
    """Raise ``UnknownHandler``, which lists the ``known`` names, if the argument ``what`` is given for another one."""
    for name in given:
        if name not in known:
            raise UnknownHandler(f"{what} has {name!r}, but the calls here are: {', '.join(sorted(known))}")


def check_seeds(seeds: Iterable[int]) -> Iterator[int]:
    """The seeds, each an integer of at least 0; ``InvalidConfiguration`` at the first that is none.

    What is at hand is looked at now; of what is made one by one, each seed when it is taken.
    """
    if isinstance(seeds, str | bytes | Mapping) or not isinstance(seeds, Iterable):
        raise InvalidConfiguration(f"seeds must be an iterable of integers, such as range(100), not {seeds!r:.80}")
    if isinstance(seeds, list | tuple | set | frozenset):
        seeds = [integer("each of the seeds", seed, least=0) for seed in seeds]
    return (integer("each of the seeds", seed, least=0) for seed in seeds)


def index_in(items: Sequence[object], index: object, *, noun: str) -> int:
    """The index of one of ``items``, each of which is a ``noun``, as an ``int``; or ``InvalidConfiguration``."""
    number = as_integer(index)
    if number is None or not 0 <= number < len(items):
        raise InvalidConfiguration(f"a {noun}'s index is an integer from 0 to {len(items) - 1}, not {index!r}")
    return number


def chosen(items: Sequence[ItemType], wanted: object, *, noun: str, name: str) -> ItemType:
    """The item whose attribute ``name`` is the text ``wanted``, or whose index is it; or ``InvalidConfiguration``."""
    if not isinstance(wanted, str):
        return items[index_in(items, wanted, noun=noun)]
    names = [getattr(item, name) for item in items]
    if wanted not in names:
        raise InvalidConfiguration(f"there is no {noun} {wanted!r}; the {name}s are {names[0]!r} and so on")
    return items[names.index(wanted)]


def read_options(options: Mapping[str, Any] | None, known: Sequence[str]) -> dict[str, Any]:
    """The options of ``reset`` that are given; ``None`` as a value means that the option is not given.

    Raises:
        InvalidConfiguration: ``options`` is not a mapping, or holds a name that is not in ``known``.
    """
    names = ", ".join(map(repr, known))
    if options is not None and not isinstance(options, Mapping):
        raise InvalidConfiguration(f"options of reset() must be a mapping with {names}, not {options!r:.200}")
    if unknown := sorted(map(repr, set(options or ()) - set(known))):
        raise InvalidConfiguration(f"options of reset() may hold {names}, not {', '.join(unknown)}")
    return {name: value for name, value in (options or {}).items() if value is not None}


def step_parts(env: object, result: Any) -> Sequence[Any]:
    """What ``step`` of ``env`` has returned, if that has its five parts; or ``InvalidConfiguration``."""
    return _parts(env, "step", result, ("observation", "reward", "terminated", "truncated", "info"))


def reset_parts(env: object, result: Any) -> Sequence[Any]:
    """What ``reset`` of ``env`` has returned, if that has its two parts; or ``InvalidConfiguration``."""
    return _parts(env, "reset", result, ("observation", "info"))


def _parts(env: object, method: str, result: Any, parts: Sequence[str]) -> Sequence[Any]:
    if isinstance(result, tuple | list) and len(result) == len(parts):
        return result
    found = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
    raise InvalidConfiguration(f"{method}() of {env} must return ({', '.join(parts)}), not {found}: {result!r:.80}")


def begun(episode: EpisodeType | None) -> EpisodeType:
    """``episode``, which an environment has from its first ``reset`` on; ``ResetNeeded`` before."""
    if episode is None:
        raise ResetNeeded("no episode has begun yet; call reset() first")
    return episode


def check_under_way(outcome: str | None) -> None:
    """Raise ``ResetNeeded`` if the episode has ended, by ``outcome``, which is ``None`` as long as it goes on."""
    if outcome is not None:
        raise ResetNeeded(f"the episode is over ({outcome}); call reset() for a new one")


def render_mode_of(env: gym.Env[Any, Any], render_mode: str | None) -> str | None:
    """``render_mode``, or ``InvalidConfiguration`` if it is neither ``None`` nor in the environment's ``metadata``."""
    known: str | None = choice("render_mode", render_mode, (None, *env.metadata["render_modes"]))
    return known


def can_render(env: gym.Env[Any, Any]) -> bool:
    """Whether the environment was made with a render mode; warns if it was not, as Gymnasium's environments do."""
    if env.render_mode is None:
        modes = " or ".join(f'render_mode="{mode}"' for mode in env.metadata["render_modes"])
        gym.logger.warn(f"{type(env).__name__} was made without a render_mode; give {modes}")
    return env.render_mode is not None
