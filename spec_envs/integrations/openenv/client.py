"""``RemoteEnv``: an OpenEnv server as a Gymnasium environment, for existing loops and policies."""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import gymnasium as gym
import httpx2

from spec_envs import errors
from spec_envs.checks import begun
from spec_envs.extras import needed
from spec_envs.integrations.wire import fitted, plain, space_of
from spec_envs.pickling import NotPicklable

with needed("spec_envs.integrations.openenv", "openenv"):
    from openenv.core import GenericEnvClient


class RemoteEnv(NotPicklable, gym.Env[Any, Any]):
    """An environment that runs in a server of ``openenv_app``, in a session of its own.

    Observations, rewards and flags are equal to those of the environment in the server; infos are JSON data (arrays
    become lists). Errors of the environment are raised again by the client: those of ``spec_envs.errors`` with their
    own class.

    Args:
        base_url: The server's address, such as ``"http://127.0.0.1:8000"``.
        timeout_s: How long to wait for a connection, or for the result of a step, in seconds.

    Raises:
        InvalidConfiguration: There is no server of ``openenv_app`` at this address.

    Forking:
        Not possible, since a session of a server cannot be copied. To run ahead, use a ``SpeculativeWrapper`` in the
        server.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 60.0) -> None:
        schemas = _schemas(base_url.rstrip("/"), timeout_s)
        self.action_space = space_of(schemas["action"]["properties"].get("action", {}))
        self.observation_space = space_of(schemas["observation"]["properties"].get("observation", {}))
        self._client: Any = GenericEnvClient(
            base_url=base_url, connect_timeout_s=timeout_s, message_timeout_s=timeout_s
        ).sync()
        self._episode: str | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in the server."""
        super().reset(seed=seed)
        given = {"seed": seed, "options": plain(options)}
        told = self._ask(self._client.reset, **{name: value for name, value in given.items() if value is not None})
        self._episode = "begun"
        return self._observation(told), told.observation["info"]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a step in the server."""
        begun(self._episode)
        told = self._ask(self._client.step, {"action": plain(action)})
        reward = math.nan if told.reward is None else float(told.reward)
        flags = told.observation["terminated"], told.observation["truncated"]
        return self._observation(told), reward, *flags, told.observation["info"]

    @property
    def statistics(self) -> dict[str, Any] | None:
        """The statistics of the speculative wrapper in the server for this session; ``None`` without a wrapper."""
        told: dict[str, Any] | None = self._ask(self._client.state)["speculation"]
        return told

    def close(self) -> None:
        """End the session."""
        self._client.close()

    def fork(self) -> NoReturn:
        """Refuse to be forked.

        Raises:
            NotForkable: Always.
        """
        raise errors.NotForkable("a session of a server cannot be copied; put SpeculativeWrapper into the server")

    def _observation(self, told: Any) -> Any:
        return fitted(self.observation_space, told.observation["observation"])

    def _ask(self, function: Any, *args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except RuntimeError as error:
            raise _original(error) from None


def _schemas(base_url: str, timeout_s: float) -> Any:
    try:
        answer = httpx2.get(f"{base_url}/schema", timeout=timeout_s).raise_for_status().json()
        return {name: answer[name] for name in ("action", "observation")}
    except (httpx2.HTTPError, ValueError, LookupError) as error:
        raise errors.InvalidConfiguration(f"{base_url} is no server of openenv_app: {error!r}") from None


def _original(error: RuntimeError) -> Exception:
    """The error that the environment raised, recovered from the text of OpenEnv's error."""
    found = re.search(r"\b([A-Z]\w+): (.*?)(?: \(code: \w+\))?$", str(error), re.DOTALL)
    kind = getattr(errors, found[1], None) if found else None
    if found and isinstance(kind, type) and issubclass(kind, errors.SpecEnvsError):
        return kind(found[2])
    return error
