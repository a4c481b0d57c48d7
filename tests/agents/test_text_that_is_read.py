"""Text of models, read as actions: ReAct lines, moves of chess, JSON; what cannot be read is prompted for again."""

from __future__ import annotations

import json

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call
from spec_envs.agents import ChatGuesser, ChatPolicy, PatternGuesser, ReActPolicy
from spec_envs.agents.llm import Completion, ToolRequest
from spec_envs.agents.llm.prompts.base import bracketed, json_line
from spec_envs.chess.position import Position
from spec_envs.conversation import Conversation, UserMessage
from spec_envs.errors import HandlerFailed
from spec_envs.search.actions import Act, read_action
from tests.agents.scripted import Script
from tests.agents.test_chat_policy import CHESS, SHOP
from tests.agents.test_react import START

REACT = {
    "a reference behind": ("Action: finish[ANSWER] (see [2])", "finish[ANSWER]"),
    "two actions": ("Search[Tallow], Search[Mirk]", "search[Tallow]"),
    "two actions, labelled": ("Action: Search[Tallow], Search[Mirk]", "search[Tallow]"),
    "then": ("Action: search[Tallow] and then finish[Mirk]", "search[Tallow]"),
    "text behind": ("Action: lookup[born] because [1] says so", "lookup[born]"),
    "nested": ("Action: search[Salt [novel]]", "search[Salt [novel]]"),
    "nested, and text": ("Action: search[Salt [novel] (1990)] [3]", "search[Salt [novel] (1990)]"),
    "a full stop": ("Action: finish[yes].", "finish[yes]"),
    "bold": ("**Action: finish[yes]**", "finish[yes]"),
    "too many that close": ("Action: finish[yes]]", "finish[yes]"),
    "too few that close": ("Action: finish[[0, 1)]", "finish[[0, 1)]"),
    "the label counts": ("search[Tallow] would be one way.\nAction: search[Mirk]", "search[Mirk]"),
    "a later line": ("Action: search[Tallow]\nObservation: x [2]\nAction: finish[no]", "search[Tallow]"),
    "a space": ("Action: search [Tallow] [1]", "search[Tallow]"),
    "an empty answer": ("Action: finish[] [1]", "finish[]"),
    "windows": ("Action: search[Tallow] (x)\r\n", "search[Tallow]"),
    "a bold label": ("**Action**: search[Tallow]", "search[Tallow]"),
    "a bold label, and a thought with an action": (
        "**Thought**: I'd search[Mirk].\n**Action**: search[Tallow]",
        "search[Tallow]",
    ),
    "a bold label behind a bare action": ("search[Mirk] is one way.\n__Action__: search[Tallow]", "search[Tallow]"),
    "a number": ("Action 1: search[Tallow]", "search[Tallow]"),
    "a bold label with a number": ("**Action #12**: Search[Tallow]", "search[Tallow]"),
    "a number before it": ("1. Action: search[Tallow]", "search[Tallow]"),
    "another colon": ("Action： search[Tallow]", "search[Tallow]"),
    "a bold name": ("Action: **search**[Tallow]", "search[Tallow]"),
    "a tag": ("<action>search[Tallow]</action>", "search[Tallow]"),
    "all on one line": ("Thought: It is a novel. Action: search[Tallow]", "search[Tallow]"),
    "round brackets": ("Action: search(Tallow)", "search[Tallow]"),
    "round brackets and quotation marks": ('Action: search(entity="Tallow (novel)")', "search[Tallow (novel)]"),
    "an input": ("Action: Search\nAction Input: Tallow", "search[Tallow]"),
    "an input in quotation marks": ('**Action**: search\n**Action Input**: "Tallow"', "search[Tallow]"),
    "an input as JSON": ('Action: search\nAction Input: {"entity": "Tallow"}', "search[Tallow]"),
    "thoughts between backquotes": ("```thinking\nAction: finish[x]\n```\nAction: search[Tallow]", "search[Tallow]"),
    "thoughts in a comment": ("<!-- Action: finish[x] -->\nAction: search[Tallow]", "search[Tallow]"),
    "thoughts in brackets": ("[thinking]\nAction: finish[x]\n[/thinking]\nAction: search[Tallow]", "search[Tallow]"),
    "a plan in tags": ("<planning>Action: finish[x]</planning>Action: search[Tallow]", "search[Tallow]"),
    "JSON": ('Action: {"name": "search", "arguments": {"entity": "Tallow"}}', "search[Tallow]"),
    "JSON of LangChain": ('```json\n{"action": "search", "action_input": "Tallow"}\n```', "search[Tallow]"),
    "a tool call": ('<tool_call>{"name": "search", "arguments": {"entity": "Tallow"}}</tool_call>', "search[Tallow]"),
    "a tool call of Gemma": ("<start_function_call>call:search{entity:<escape>Tallow<escape>}", "search[Tallow]"),
}


@pytest.mark.parametrize("said, action", REACT.values(), ids=REACT)
def test_an_action_ends_at_the_bracket_that_closes(said, action):
    assert ReActPolicy(Script(said))(START) == action
    if said.startswith(("Action: search[", "Search[")) and "\n" not in said:
        (guess,) = ChatGuesser(Script(said), "search").guess(Call("policy", START), 3)
        assert guess.response == action


NO_ACTION = {
    "options": "1. search[Tallow]\n2. search[Mirk]",
    "an action in a sentence": "I could search[Tallow] or finish.",
    "words in brackets": "Search (as I did before)",
    "two labels on a line": "Action Input: Tallow",
    "another argument": 'Action: search\nAction Input: {"keyword": "Tallow"}',
    "another action": 'Action: {"name": "open", "arguments": {"entity": "Tallow"}}',
    "two arguments": 'Action: search("Tallow", "Mirk")',
    "a second argument by name": "Action: search(entity='Tallow', limit=3)",
    "thoughts between backquotes alone": "```thoughts\nAction: finish[x]",
    "a comment that does not end": "<!--\nAction: finish[x]",
    "deep": '{"action": ' * 5000,
}


@pytest.mark.parametrize("said", NO_ACTION.values(), ids=NO_ACTION)
def test_what_is_no_action_is_prompted_for_again(said):
    script = Script(said, "Action: finish[Ada]")
    assert ReActPolicy(script)(START) == "finish[Ada]" and len(script.asked) == 2


@pytest.mark.parametrize("said", ["search[Tallow", "Action: search[Ta[llow], Search[Mirk", "Action: finish[a\n]"])
def test_a_bracket_that_does_not_close_is_told(said):
    script = Script(said, "Action: finish[Ada]")
    assert ReActPolicy(script)(START) == "finish[Ada]"
    assert "is not closed" in script.asked[1].messages[-1]["content"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["Action: ", "search", "finish", "[", "]", "Tallow", " ", "\n", "(see [2])", "*", "é", "Thought: "]
        )
        | st.text(max_size=3),
        max_size=12,
    ).map("".join)
)
def test_any_text_is_an_action_or_is_refused(said):
    try:
        action = ReActPolicy(Script(said))(START)
    except HandlerFailed:
        return
    act = read_action(action)
    assert isinstance(act, Act) and str(act) == action and act.argument.replace(" ", "") in "".join(said.split())


@given(st.text(alphabet="[]ab ", max_size=10))
def test_brackets(text):
    try:
        inside = bracketed(f"[{text}", 0)
    except ValueError:
        return
    assert f"[{text}".startswith(f"[{inside}]")


MOVES = {
    "long, with a piece": ("Move: Ng1-f3", "g1f3"),
    "a figure": ("Move: ♘f3", "g1f3"),
    "a black figure": ("Move: ♞f3", "g1f3"),
    "an arrow": ("Move: g1->f3", "g1f3"),
    "another arrow": ("Move: g1 → f3", "g1f3"),
    "a dash": ("Move: g1–f3", "g1f3"),
    "words": ("Move: Knight to f3", "g1f3"),
    "more words": ("Move: the knight from g1 to f3", "g1f3"),
    "a pawn in words": ("Move: pawn to e4", "e2e4"),
    "from and to": ("Move: e2 to e4", "e2e4"),
    "a plan behind": ("Move: Nf3, planning e4 next", "g1f3"),
    "a comparison": ("e2e4 (stronger than d2d4)", "e2e4"),
    "a comparison, labelled": ("Move: e2e4 (stronger than d2d4)", "e2e4"),
    "a reason on the next line": ("Move: e2e4\nNot d2d4, which is weaker.", "e2e4"),
    "bold": ("**Move:** **Nf3**", "g1f3"),
    "a number": ("Move: 1. Nf3", "g1f3"),
    "praise": ("Move: Nf3!!", "g1f3"),
    "lower case": ("my move: e2e4", "e2e4"),
    "actually": ("Move: Nf3. This is actually best.", "g1f3"),
    "no better one": ("Move: Nf3, no other move comes close", "g1f3"),
    "one move in the text": ("Developing is good, so Nf3 it is.", "g1f3"),
    "the last line": ("Both e4 and d4 are good.\nNf3", "g1f3"),
}


@pytest.mark.parametrize("said, move", MOVES.values(), ids=MOVES)
def test_the_move_that_stands_there_is_read(said, move):
    assert ChatPolicy(Script(said), "chess")(CHESS) == move


UNREADABLE = {
    "a letter of another language": "Move: Sf3",
    "the same, with another move": "Move: Sf3, rather than e4",
    "another piece": "Move: Bg1-f3",
    "a pawn's square for a piece": "Move: Be4",
    "lower case for a piece": "Move: nf3",
    "several moves": "I like e4 and d4 and Nf3",
    "an illegal move, and a legal one": "Move: e2e5, or else d2d4",
    "a move that is taken back": "Move: e4 - no wait, d4",
    "a move that is replaced": "Move: e4. Actually, Nf3 is better.",
    "a bad move": "e4 is a blunder",
    "a move and no": "e4? No.",
    "a move that loses": "Move: e4 loses a pawn",
    "a letter apart": "Move: N f3",
    "a letter in brackets": "Move: (N)f3",
    "a letter in bold": "Move: **N**f3",
    "a letter and a word": "Move: N to f3",
    "a letter and a comma": "Move: N, f3",
    "a letter of a piece that cannot go there": "Move: B e4",
    "a piece in another language": "Move: Springer f3",
    "a piece by another name": "Move: horse f3",
    "two squares": "Move: e2 e4",
    "a word with a square in it": "Move: xe4y",
    "nothing": "Move: ",
    "a piece alone": "Move: knight",
    "a longer move": "Move: e2e4e5",
}


@pytest.mark.parametrize("said", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_move_is_never_read_as_another(said):
    script = Script(said, "Move: a2a3")
    assert ChatPolicy(script, "chess")(CHESS) == "a2a3"
    assert len(script.asked) == 2
    assert ChatGuesser(Script(said), "chess").guess(Call("policy", CHESS), 3) == []


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 30), st.integers(0, 10**6), st.sampled_from(["{}", "Move: {}", "1. {}", "Move: **{}**, not e4"]))
def test_every_legal_move_in_every_notation(plies, seed, form):
    board, moves = chess.Board(), []
    for ply in range(plies):
        legal = sorted(move.uci() for move in board.legal_moves)
        if not legal:
            return
        moves.append(legal[(seed >> ply) % len(legal)])
        board.push_uci(moves[-1])
    if board.is_game_over():
        return
    for move in board.legal_moves:
        for written in (move.uci(), board.san(move), board.lan(move)):
            script = Script(form.format(written))
            assert ChatPolicy(script, "chess")(Position(moves=tuple(moves))) == move.uci(), written


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=30) | st.lists(st.sampled_from(["Move:", " ", "e4", "N", "♘", "->", "f3", "x", "\n"])).map("".join)
)
def test_any_text_is_a_legal_move_or_is_refused(said):
    try:
        move = ChatPolicy(Script(said), "chess")(CHESS)
    except HandlerFailed:
        return
    assert chess.Move.from_uci(move) in chess.Board().legal_moves


CALL = '{"name": "find", "arguments": {"first": "A"}}'
LINES = {
    "an object": (CALL, json.loads(CALL)),
    "text behind it": (f"{CALL} (as was asked)", json.loads(CALL)),
    "a second one behind it": (f"{CALL}{CALL}", json.loads(CALL)),
    "a list": ("[1, [2]] and so on", [1, [2]]),
    "a text": ('"Hi."', "Hi."),
    "a number": ("3.5", 3.5),
    "white space": ("  [1]  ", [1]),
    "null": ("null", None),
    "a bracket in a text": ('{"a": "}"} x', {"a": "}"}),
    "characters": ('"é\\n\\u00e9"', "é\né"),
}


@pytest.mark.parametrize("line, value", LINES.values(), ids=LINES)
def test_json_at_the_start_of_a_line(line, value):
    assert json_line(line) == value


NO_JSON = [
    "3.5 apples",
    '"Tallow" is the answer',
    "true story",
    "1st",
    '{"a": NaN}',
    "[Infinity]",
    '"\\ud800"',
    "[1e999]",
]
NO_JSON += ["", "  ", "{", "9" * 5000, "[" * 100_000, "find {}"]


@pytest.mark.parametrize("line", NO_JSON, ids=[line[:20] for line in NO_JSON])
def test_a_part_is_not_read_as_the_whole(line):
    with pytest.raises(ValueError, match="is not JSON"):
        json_line(line)


@pytest.mark.parametrize(
    "arguments", ['{"first": "A"}{"last": "B"}', '{"first": "A"} x', '{"first": NaN}', '{"a": "\\ud800"}']
)
def test_arguments_of_tools_are_whole_json(arguments):
    script = Script(Completion(tool_calls=(ToolRequest("find", arguments),)), "Sorry.")
    assert ChatPolicy(script, "retail")(SHOP) == "Sorry."
    assert "is not JSON" in script.asked[1].messages[-1]["content"]


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=20)
    | st.lists(st.sampled_from(['{"first"', ":", '"A"', "}", "{", "[", "]", ",", "1", "NaN", "\\u", " "])).map("".join)
)
def test_any_arguments_are_an_action_or_are_refused(arguments):
    try:
        action = ChatPolicy(Script(Completion(tool_calls=(ToolRequest("find", arguments),))), "retail")(SHOP)
    except HandlerFailed:
        return
    assert action == {"name": "find", "arguments": json.loads(arguments or "{}")}
    json.dumps(action, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("text", ["{", "{" * 100_000, '{"a":' * 100_000, f'{{"a": {"9" * 5000}}}', '{"a": NaN', "{}"])
def test_a_message_that_only_looks_like_json_is_a_message(text):
    guesser = PatternGuesser()
    guesser.observe(Call("policy", Conversation((UserMessage("Hi"),))), text)
    assert guesser.guess(Call("policy", Conversation((UserMessage("Hi"),))), 3) == []
