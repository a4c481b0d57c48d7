"""``ChatJudge``: a chat model that judges what an agent of ``SpecRetail-v0`` did, for tasks of τ³-bench."""

import json
import re

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompting import Prompting, Steps
from spec_envs.agents.llm.prompts.base import corrected, user_message
from spec_envs.errors import HandlerFailed
from spec_envs.retail.queries import JudgeQuery

_TASK = """\
You judge how the service agent of an online shop dealt with a customer. You read the whole conversation, with the \
agent's tool calls and their results, and then numbered statements about it.

Decide for each statement by itself whether the conversation makes it true. What it does not show is false.

Answer with one line for each statement, in their order, and nothing else: its number, a short reason, and as the last \
word true or false. For example:
1: the agent named the total, $12.50, in its third message: true
"""
_VERDICT = re.compile(r"^\W*(\d+)\b.*\b(true|false)\W*$", re.IGNORECASE | re.MULTILINE)


class ChatJudge(Prompting[tuple[bool, ...]]):
    """A handler of ``"judge"``: a chat model decides which assertions are true of the dialogue of an episode.

    If an answer lacks a verdict, the model is prompted once more, with the reason.

    Args:
        model: ``ChatModel``, or any handler of ``ChatRequest`` that returns a ``Completion``; for ``acall`` also a
            coroutine function. The caller closes the model.
    """

    def _steps(self, query: JudgeQuery) -> Steps[tuple[bool, ...]]:
        spoken = "\n".join(map(_line, query.messages))
        listed = "\n".join(f"{number}: {each}" for number, each in enumerate(query.assertions, start=1))
        asked = f"The conversation:\n\n{spoken}\n\nThe statements:\n\n{listed}"
        request = ChatRequest(messages=[{"role": "system", "content": _TASK}, user_message(asked)])
        completion = yield request
        try:
            return _verdicts(completion.text, len(query.assertions))
        except ValueError as error:
            completion = yield corrected(request, completion, str(error))
        try:
            return _verdicts(completion.text, len(query.assertions))
        except ValueError as error:
            raise HandlerFailed(
                f"the judge answered {completion.text!r:.500}, which cannot be used: {error}"
            ) from error


def _line(text: str) -> str:
    message = json.loads(text)
    for call in message.get("tool_calls", ()):
        return f"agent calls {call['function']['name']}({call['function']['arguments']})"
    speaker = {"assistant": "agent", "user": "customer", "tool": "result"}[message["role"]]
    return f"{speaker}: {message['content']}"


def _verdicts(answer: str, count: int) -> tuple[bool, ...]:
    """Return the verdicts in an answer on ``count`` statements; ``ValueError`` if one is missing, or if two differ."""
    found: dict[int, bool] = {}
    for number, verdict in _VERDICT.findall(answer):
        if found.setdefault(int(number), is_true := verdict.lower() == "true") != is_true:
            raise ValueError(f"statement {number} is said to be true and to be false")
    if lacking := [number for number in range(1, count + 1) if number not in found]:
        raise ValueError(
            f"there is no line for statement {lacking[0]} that begins with its number and ends in true or false"
        )
    return tuple(found[number] for number in range(1, count + 1))
