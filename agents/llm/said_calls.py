"""``SaidCalls``: prefetches the reads in a chat model's answer while the model still writes the answer."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from spec_envs.agents.llm.messages import Completion, ToolRequest
from spec_envs.guesses import Guess, Situation
from spec_envs.handling import CancelToken
from spec_envs.values import key_of, same

#: The number of observations whose answers are remembered.
_MEMORY = 16
#: How long the prefetcher waits for the policy's call to begin, in seconds.
_BEGINS_S = 5.0


class SaidCalls:
    """A prefetcher of the policy's tool calls, made by ``ChatPolicy.prefetcher``.

    While the answer of a chat model arrives, the prefetcher returns each complete tool call as an action. If the whole
    answer turns out to be unusable, the policy may decide otherwise; then these reads were made in vain.

    Args:
        read: Reads an action from an answer, as ``PolicyPrompt.read`` does.
    """

    def __init__(self, read: Callable[[Completion, Any], Any]) -> None:
        self._read = read
        self._answers: collections.OrderedDict[Hashable, _Answer] = collections.OrderedDict()
        self._changed = threading.Condition()

    def __reduce__(self) -> tuple[Any, ...]:
        return SaidCalls, (self._read,)  # answers of this process are of no use in another one

    @contextlib.contextmanager
    def heard(self, query: Any, cancel: CancelToken) -> Iterator[None]:
        """Collect the tool calls in the answer to the policy's call with ``query`` and the token ``cancel``."""
        key = key_of(query)
        with self._changed:
            answer = self._answer_to(key)
            answer.has_begun = True

        def listener(part: Any) -> None:
            if isinstance(part, ToolRequest):
                with self._changed, contextlib.suppress(ValueError):  # the policy will raise the error
                    answer.actions.append(self._read(Completion(tool_calls=(part,)), query))
                    self._changed.notify_all()

        cancel.tell = listener
        try:
            yield
        finally:
            with self._changed:
                answer.has_ended = True
                if self._answers.get(key) is answer:
                    del self._answers[key]  # a later answer to the same observation is a new one
                self._changed.notify_all()

    def prefetch(
        self, situation: Situation, k: int, cancel: CancelToken, early: Callable[[Sequence[Guess]], None]
    ) -> list[Guess]:
        """Return at most ``k`` calls of the answer to ``situation``, each ``early``, as soon as it is complete."""
        if k < 1 or not same(situation.now, situation.before):
            return []  # the branch continues after a read, and all calls were returned before that read
        with self._changed:
            answer = self._answer_to(key_of(situation.call.query))
            cancel.on_cancel(self._wake)
            self._changed.wait_for(lambda: answer.has_begun or cancel.cancelled, _BEGINS_S)
        named: list[Guess] = []
        while answer.has_begun and len(named) < k:
            new = self._new_actions(answer, len(named), cancel)[: k - len(named)]
            if not new:
                break
            named += [Guess(action, 1.0) for action in new]
            early(named)
        return named

    def _new_actions(self, answer: _Answer, num_known: int, cancel: CancelToken) -> list[Any]:
        """Wait for actions beyond the first ``num_known``; empty if the answer has ended."""
        with self._changed:
            self._changed.wait_for(lambda: len(answer.actions) > num_known or answer.has_ended or cancel.cancelled)
            return answer.actions[num_known:]

    def _answer_to(self, key: Hashable) -> _Answer:
        answer = self._answers.setdefault(key, _Answer())
        if len(self._answers) > _MEMORY:
            self._answers.popitem(last=False)
        return answer

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Answer:
    """The actions in one answer of the model, so far."""

    def __init__(self) -> None:
        self.actions: list[Any] = []
        self.has_begun = self.has_ended = False
