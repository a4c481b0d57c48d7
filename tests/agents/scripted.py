"""Models for tests: a function that says what it is told to, and a server of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spec_envs import CancelToken
from spec_envs.agents.llm import ChatRequest, Completion


class Script:
    """A model that gives these answers, one after the other, the last one for ever; keeps what it was asked."""

    def __init__(self, *answers: Completion | str) -> None:
        self.asked: list[ChatRequest] = []
        self.answers = list(answers)
        self.on_request: Callable[[CancelToken], Any] = lambda cancel: None

    def __call__(self, request: ChatRequest, cancel: CancelToken) -> Completion:
        self.asked.append(request)
        self.on_request(cancel)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Completion(text=answer) if isinstance(answer, str) else answer


class Counting(CancelToken):
    """A token that does something when its clock is read for the n-th time.

    ``ChatModel`` reads it when the request leaves, and then for each chunk, the first of which holds no token.
    """

    def __init__(self, at: int, action: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self._left = at
        self._action = action or self.cancel

    def now(self) -> float:
        self._left -= 1
        if self._left == 0:
            self._action()
        return super().now()


def asking(text: str = "Hello?", **options: Any) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": text}], **options)
