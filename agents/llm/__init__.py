"""Chat models as handlers, and the policies and guessers that prompt them, for any domain.

A model is a handler (``spec_envs.Handler``) of ``ChatRequest`` that returns a ``Completion``. So every decorator of
handlers (latency, recording, replay, retry, rate limits, metering) is a decorator of models, and a function is a model.
"""

from spec_envs.agents.llm.chat_guesser import ChatGuesser
from spec_envs.agents.llm.chat_model import ChatModel
from spec_envs.agents.llm.chat_policy import ChatPolicy
from spec_envs.agents.llm.messages import ChatRequest, Completion, Model, ToolRequest
from spec_envs.agents.llm.prices import Price
from spec_envs.agents.llm.prompts.base import GuessPrompt, PolicyPrompt

__all__ = [
    "ChatGuesser",
    "ChatModel",
    "ChatPolicy",
    "ChatRequest",
    "Completion",
    "GuessPrompt",
    "Model",
    "PolicyPrompt",
    "Price",
    "ToolRequest",
]
