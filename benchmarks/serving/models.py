"""What a model server can be backed by: engines and scripted agents, which read what our policies and guessers send."""

import functools
import importlib
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.error import DependencyNotInstalled

from spec_envs.agents import BuiltinChessGuesser, ScriptedRetailPolicy, ScriptedSearchPolicy, StockfishGuesser
from spec_envs.agents.llm import ChatRequest, Completion, ToolRequest
from spec_envs.benchmarks.serving.wire import BadRequest, tokens_of
from spec_envs.calls import Call
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.opponents import BuiltinOpponent, StockfishOpponent
from spec_envs.chess.position import Position
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken

_GUESSES = re.compile(r"Name the (\d+) most likely ")
_START = re.compile(r"^The game began from \(FEN\): (.+)$", re.MULTILINE)
_MOVES = re.compile(r"^Moves since then \(UCI\): (.+)$", re.MULTILINE)
_TOOLS = re.compile(r"^Its tools \(JSON\):\n(.+)$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.+)$", re.MULTILINE)
_READ = re.compile(r"^Action: (.+)\nObservation: (.*?)(?: This is your last action: finish\.)?$", re.MULTILINE)
_EVENT = re.compile(r"^(User|Call|Result): (.+)$", re.MULTILINE)
_DIALOGUE = re.compile(r"^The dialogue so far \(JSON\):\n(.+)$", re.MULTILINE)


def served_model(name: str) -> Callable[..., Any]:
    """The model of that name: "chess", "retail", "search", "tools", or "MODULE:NAME": any handler of ``ChatRequest``.

    Raises:
        InvalidConfiguration: There is no such model.
    """
    known: dict[str, Callable[[], Callable[..., Any]]] = {
        "chess": ChessModel,
        "retail": RetailModel,
        "search": SearchModel,
        "tools": lambda: tools_model,
    }
    if name in known:
        return known[name]()
    module, _, attribute = name.partition(":")
    if not attribute:
        raise InvalidConfiguration(
            f"--policy must be {', '.join(known)}, or a function of yours as MODULE:NAME, not {name!r}"
        )
    try:
        found = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    except Exception as error:  # the module is the user's, and may raise anything
        raise InvalidConfiguration(f"--policy {name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found) or isinstance(found, type):
        raise InvalidConfiguration(f"{name!r} must be a handler of ChatRequest, such as a function, not {found!r:.200}")
    return found


class ChessModel:
    """Plays as Stockfish does, or as the built-in engine without one, and guesses what an engine ranks first."""

    def __init__(self) -> None:
        self._pool: EnginePool | None = EnginePool()
        try:
            self._pool.analyse(Position(), depth=1)
        except DependencyNotInstalled:
            self._pool = None
        self._play = BuiltinOpponent(2) if self._pool is None else StockfishOpponent(depth=8, pool=self._pool)
        self._guesser = BuiltinChessGuesser() if self._pool is None else StockfishGuesser(pool=self._pool)

    def __call__(self, request: ChatRequest, cancel: CancelToken) -> Completion:
        """A move, or guesses of it."""
        position, k = _position(request), _guesses_asked(request)
        if k is None:
            return Completion(text=f"Move: {self._play(position, cancel)}")
        return _ranked(self._guesser.guess(Call("opponent", position), k, cancel))

    def close(self) -> None:
        """Stop the engines. Idempotent."""
        if self._pool is not None:
            self._pool.close()


class RetailModel:
    """Serves customers as ``ScriptedRetailPolicy`` does, and guesses its next action, or the customer's reply."""

    def __init__(self) -> None:
        self._policy = ScriptedRetailPolicy()

    def __call__(self, request: ChatRequest) -> Completion:
        """A tool call or a message, or guesses."""
        k = _guesses_asked(request)
        if k is None:
            system, *dialogue = request.messages
            action = self._act(dialogue, request.tools, system["content"])
            if isinstance(action, str):
                return Completion(text=action)
            call = ToolRequest(action["name"], json.dumps(action["arguments"]))
            return Completion(tool_calls=(call,), finish_reason="tool_calls")
        text = _all_text(request)
        tools, dialogue_text = _TOOLS.search(text), _DIALOGUE.search(text)
        if tools is None or dialogue_text is None:
            return _replies(text, k)
        action = self._act(json.loads(dialogue_text[1]), json.loads(tools[1]), "")
        return _ranked([Guess(json.dumps(action), 0.95)])

    def _act(self, dialogue: Sequence[Any], tools: Sequence[Any], policy: str) -> Any:
        if not dialogue or dialogue[0]["role"] != "user":
            raise BadRequest("this model serves a customer: after the system's message comes the customer's first")
        observation = {"dialogue": json.dumps(dialogue), "tools": json.dumps(tools), "policy": policy}
        return self._policy(observation)


class SearchModel:
    """Answers questions as ``ScriptedSearchPolicy`` does, in ReAct's form, and guesses that policy's next action."""

    def __init__(self) -> None:
        self._policy = ScriptedSearchPolicy()

    def __call__(self, request: ChatRequest) -> Completion:
        """A thought and an action, or a guess of the action."""
        # The conversation of ReActPolicy and the one message of ChatGuesser hold the same lines.
        text = "\n".join(str(message["content"]) for message in request.messages)
        question, steps = _QUESTION.search(text), _READ.findall(text)
        if question is None:
            raise BadRequest("this model answers questions, and found no line 'Question: …' in the messages")
        action = self._policy(
            {
                "question": question[1],
                "transcript": json.dumps([{"action": action, "observation": read} for action, read in steps]),
                "observation": steps[-1][1] if steps else "",
                "steps_left": 1,
            }
        )
        if _guesses_asked(request) is None:
            return Completion(text=f"Thought: I go on with what I know.\nAction: {action}")
        return _ranked([Guess(action, 0.95)])


def tools_model(request: ChatRequest) -> Completion:
    """Calls each offered tool once, as soon as the arguments are known, and then tells the last result.

    Arguments are the fields of earlier results, by their names, or before any result the last word of the user's
    message. Guesses of an agent's next call are made in the same way.
    """
    if _guesses_asked(request) is None:
        said = [str(message["content"]) for message in request.messages if message["role"] == "user"]
        read = [_plain(message["content"]) for message in request.messages if message["role"] == "tool"]
        offered = [tool["function"] for tool in request.tools]
        requests = [call["function"] for message in request.messages for call in message.get("tool_calls") or ()]
        call = _next_call(offered, said, [each["name"] for each in requests], read)
        if call is None:
            last = read[-1] if read else "There is nothing that I could do."
            return Completion(text=last if isinstance(last, str) else json.dumps(last))
        asked = ToolRequest(call["name"], json.dumps(call["arguments"]))
        return Completion(tool_calls=(asked,), finish_reason="tool_calls")
    text = _all_text(request)
    found = _TOOLS.search(text)
    if found is None:
        raise BadRequest("this model calls tools, and found no line 'Its tools (JSON):' in what it was asked to guess")
    events = [(kind, json.loads(line)) for kind, line in _EVENT.findall(text)]
    said, called, read = ([value for kind, value in events if kind == name] for name in ("User", "Call", "Result"))
    call = _next_call(json.loads(found[1]), said, [each["name"] for each in called], read)
    return _ranked([] if call is None else [Guess(json.dumps(call), 0.95)])


def _next_call(
    tools: Sequence[Any], said: Sequence[str], called: Sequence[str], read: Sequence[Any]
) -> dict[str, Any] | None:
    known = {name: value for result in read if isinstance(result, dict) for name, value in result.items()}
    words = said[-1].split() if said else []
    for tool in tools:
        if tool["name"] not in called:
            names = tool.get("parameters", {}).get("required", ())
            values = dict.fromkeys(names, words[-1].strip(".,;!?")) if words and not read else known
            if set(names) <= set(values):
                return {"name": tool["name"], "arguments": {name: values[name] for name in names}}
    return None


def _plain(content: str) -> Any:
    """The data in a tool's message, or else its text."""
    try:
        return json.loads(content)
    except ValueError:
        return content


def _replies(text: str, k: int) -> Completion:
    """What customers say when they are asked to confirm, or whether there is anything else."""
    asked = text.rpartition("Agent:")[2]
    if "confirm" in asked:
        replies = ["Yes.", "Yes, please.", "Yes, please do that.", "Yes, I confirm."]
    elif "anything else" in asked:
        replies = ["That is all, thank you. ###STOP###", "No, that was everything. ###STOP###"]
    else:
        return Completion(text="I cannot tell.")
    return _ranked([Guess(json.dumps(reply), 0.9 / len(replies)) for reply in replies[:k]])


def _ranked(guesses: Sequence[Guess]) -> Completion:
    """Guesses, a line each, with log-probabilities that say how likely each is if none before it is right."""
    logprobs: list[tuple[str, float]] = []
    left = 1.0
    for guess in guesses:
        if logprobs:
            logprobs.append(("\n", 0.0))
        first, *rest = tokens_of(guess.response)
        conditional = min(1.0, max(1e-6, guess.probability / left))
        logprobs += [(first, math.log(conditional)), *((token, 0.0) for token in rest)]
        left = max(1e-6, left - guess.probability)
    return Completion(text="".join(token for token, _ in logprobs), logprobs=tuple(logprobs))


def _position(request: ChatRequest) -> Position:
    text = _all_text(request)
    start, moves = _START.search(text), _MOVES.search(text)
    if start is None or moves is None:
        raise BadRequest(
            "this model plays chess, and found no position of ChatPolicy's or ChatGuesser's in the messages"
        )
    return Position(start[1], tuple(move for move in moves[1].split() if move != "-"))


def _guesses_asked(request: ChatRequest) -> int | None:
    """The number of guesses that the request wants; ``None`` if it wants a decision."""
    found = _GUESSES.findall(_all_text(request))
    return int(found[-1]) if found else None


def _all_text(request: ChatRequest) -> str:
    return "\n".join(str(message["content"]) for message in request.messages if message.get("role") != "assistant")
