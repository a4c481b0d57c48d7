"""A Gymnasium environment, or a speculative wrapper, as an ``Environment`` of OpenEnv."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field

from spec_envs.errors import InvalidConfiguration, ResetNeeded
from spec_envs.extras import needed
from spec_envs.integrations.wire import fitted, plain

with needed("spec_envs.integrations.openenv", "openenv"):
    from openenv.core.env_server import Action, Environment, Observation, State
    from openenv.core.env_server.types import EnvironmentMetadata


class GymAction(Action):
    """An action of a Gymnasium environment as JSON data, in the field ``action``."""

    action: Any = Field(description="the action as JSON data")


class GymObservation(Observation):
    """The result of ``reset`` or ``step``, as JSON data; ``done`` is ``terminated or truncated``.

    Attributes:
        observation: The observation.
        terminated: Whether the episode has come to its end.
        truncated: Whether the episode was cut off.
        info: The info.
    """

    observation: Any
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = Field(default_factory=dict)


class GymState(State):
    """The number of steps so far, and the statistics of a speculative wrapper."""

    speculation: dict[str, Any] | None = None


class GymEnvironment(Environment[GymAction, GymObservation, GymState]):
    """One session of a server: an environment that is made with the first ``reset``, and closed with the session.

    Actions are decoded before the step. Data that cannot be decoded are passed on unchanged, and the environment itself
    refuses them. The result of a step is always sent: values that JSON does not have are sent as text. The message of
    an error begins with its class.

    Args:
        make: Makes the environment, with or without wrappers. A speculative wrapper runs ahead between two steps, while
            the client thinks: it needs guessers, and no policy.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make
        self._env: Any = None
        self._state = GymState()

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        *,
        options: dict[str, Any] | None = None,
        **unknown: Any,
    ) -> GymObservation:
        """Begin an episode; ``options`` are those of the environment.

        Raises:
            InvalidConfiguration: An argument is unknown.
            RuntimeError: The environment raised an error; the message begins with the class of the error.
        """
        with _named_errors():
            env = self._begun(episode_id, unknown)
            observation, info = env.reset(seed=seed, options=options)
        return GymObservation(observation=plain(observation), info=plain(info))

    def step(self, action: GymAction, timeout_s: float | None = None, **unknown: Any) -> GymObservation:
        """Make a step.

        Raises:
            InvalidConfiguration: ``timeout_s`` is given: a step that is abandoned halfway cannot be undone.
            RuntimeError: The environment raised an error; the message begins with the class of the error.
        """
        with _named_errors():
            env = self._stepping(timeout_s, unknown)
            result = env.step(fitted(env.action_space, action.action))
        return self._told(result)

    @property
    def state(self) -> GymState:
        """The episode's id, its steps, and the statistics of speculation in this session."""
        statistics = getattr(self._env, "statistics", None)
        told = None if statistics is None else {"summary": str(statistics), **plain(statistics)}
        return GymState(**{**self._state.model_dump(), "speculation": told})

    def get_metadata(self) -> EnvironmentMetadata:
        """The id of the environment, and the first line of its docstring."""
        env = self._env if self._env is not None else self._make()
        try:
            name, about = name_of(env), type(innermost(env)).__doc__ or ""
        finally:
            if self._env is None:
                close_unused(env)
        return EnvironmentMetadata(name=name, description=about.strip().partition("\n")[0])

    def close(self) -> None:
        """Close the environment, with everything that runs ahead. Idempotent."""
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def _begun(self, episode_id: str | None, unknown: Mapping[str, Any]) -> Any:
        _refuse(unknown, "reset takes seed, episode_id and options")
        if self._env is None:
            self._env = self._make()
        self._state = GymState(episode_id=episode_id or uuid.uuid4().hex)
        return self._env

    def _stepping(self, timeout_s: float | None, unknown: Mapping[str, Any]) -> Any:
        _refuse(dict(unknown) | ({} if timeout_s is None else {"timeout_s": timeout_s}), "step takes an action")
        if self._env is None:
            raise ResetNeeded("there is no episode: call reset first, over a WebSocket, in the same session")
        return self._env

    def _told(self, result: tuple[Any, Any, bool, bool, dict[str, Any]]) -> GymObservation:
        observation, reward, terminated, truncated, info = result
        self._state.step_count += 1
        return GymObservation(
            observation=plain(observation),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
            done=bool(terminated or truncated),
            info=plain(info),
        )


class AsyncGymEnvironment(GymEnvironment):
    """``GymEnvironment`` for wrappers whose ``reset`` and ``step`` are coroutine functions, on the server's loop."""

    async def reset_async(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        *,
        options: dict[str, Any] | None = None,
        **unknown: Any,
    ) -> GymObservation:
        """``reset``, awaited."""
        with _named_errors():
            self._loop = asyncio.get_running_loop()
            env = self._begun(episode_id, unknown)
            observation, info = await env.reset(seed=seed, options=options)
        return GymObservation(observation=plain(observation), info=plain(info))

    async def step_async(self, action: GymAction, timeout_s: float | None = None, **unknown: Any) -> GymObservation:
        """``step``, awaited."""
        with _named_errors():
            env = self._stepping(timeout_s, unknown)
            result = await env.step(fitted(env.action_space, action.action))
        return self._told(result)

    def close(self) -> None:
        """Close the wrapper on its own loop, and wait for the end, unless called on that loop. Idempotent."""
        env, self._env = self._env, None
        if env is None:
            return
        ending = asyncio.run_coroutine_threadsafe(env.close(), self._loop)
        with contextlib.suppress(RuntimeError):  # the thread has no loop, such as the thread of a session
            if asyncio.get_running_loop() is self._loop:
                return
        ending.result()


def innermost(env: Any) -> Any:
    """The environment inside all wrappers, among them ``AsyncSpeculativeWrapper``, which is not a ``gym.Wrapper``."""
    return getattr(env, "unwrapped", None) or env.env.unwrapped


def close_unused(env: Any) -> None:
    """Close an environment that was made only for its spaces or its name; without awaiting an async ``close``."""
    (innermost(env) if inspect.iscoroutinefunction(env.close) else env).close()


def name_of(env: Any) -> str:
    """The id under which an environment was made, or the name of its class."""
    inner = innermost(env)
    return inner.spec.id if inner.spec else type(inner).__name__  # the spec of a wrapper would copy handlers


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
    """Put the class of an error before its message, since a client gets the message alone."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _refuse(unknown: Mapping[str, Any], wanted: str) -> None:
    if unknown:
        raise InvalidConfiguration(f"{wanted}, and was given {', '.join(map(repr, unknown))}")
