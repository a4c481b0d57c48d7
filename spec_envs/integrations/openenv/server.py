"""The application that serves an environment to clients of OpenEnv."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema, create_model

from spec_envs.checks import integer
from spec_envs.extras import needed
from spec_envs.integrations.openenv.environment import (
    AsyncGymEnvironment,
    GymAction,
    GymEnvironment,
    GymObservation,
    close_unused,
    name_of,
)
from spec_envs.integrations.wire import schema_of

with needed("spec_envs.integrations.openenv", "openenv"):
    from openenv.core.env_server import create_app


def openenv_app(make: Callable[[], Any], *, max_sessions: int = 64) -> Any:
    """An ASGI application that serves ``make()`` by OpenEnv's protocol; run the application with ``uvicorn``.

    Each client that connects has a session with an environment of its own. When the client disconnects, the session
    ends, with everything that runs ahead in it.

    Args:
        make: Makes an environment of Gymnasium, a ``SpeculativeWrapper`` or an ``AsyncSpeculativeWrapper`` around one.
            Also called once here, to read the spaces.
        max_sessions: The greatest number of sessions at once; further clients are refused.

    Raises:
        InvalidConfiguration: The values of a space cannot be written as JSON.
    """
    max_sessions = integer("max_sessions", max_sessions, least=1)
    env = make()
    kind = AsyncGymEnvironment if inspect.iscoroutinefunction(env.reset) else GymEnvironment
    try:
        name = name_of(env).partition("-")[0]
        action = Annotated[Any, WithJsonSchema(schema_of(env.action_space))]
        observation = Annotated[Any, WithJsonSchema(schema_of(env.observation_space))]
    finally:
        close_unused(env)
    return create_app(
        functools.partial(kind, make),
        create_model(f"{name}Action", __base__=GymAction, action=(action, Field(description="the action"))),
        create_model(f"{name}Observation", __base__=GymObservation, observation=(observation, ...)),
        env_name=name,
        max_concurrent_envs=max_sessions,
    )
