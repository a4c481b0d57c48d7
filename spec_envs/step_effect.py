"""``step_effect``: what an environment, or a layer around it, says of its steps."""

from typing import Any

import gymnasium as gym

from spec_envs.calls import Effect, check_effect


def acts_outside(env: gym.Env[Any, Any]) -> bool:
    """Whether a layer of ``env`` says that its steps act on the outside world: ``step_effect = Effect.WRITE``.

    Raises:
        InvalidConfiguration: The ``step_effect`` of a layer is no ``Effect``, such as the text "write".
    """
    layer: Any = env
    found = False
    while layer is not None:
        effect = vars(layer).get("step_effect", getattr(type(layer), "step_effect", None))
        if effect is not None:
            check_effect(f"step_effect of {type(layer).__name__}", effect)
            found = found or effect is Effect.WRITE
        layer = layer.env if isinstance(layer, gym.Wrapper) else None
    return found
