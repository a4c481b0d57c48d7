"""Engines as they come: scripts around them, line ends, junk, protections, other protocols, and sudden ends."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from spec_envs import CancelToken
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, HandlerFailed

#: Answers "uci", "isready" and "go" by the three texts that follow; what begins with "exit" ends the engine.
ENGINE = r"""
import sys
texts = [each.encode().decode("unicode_escape") for each in sys.argv[1:5]]
answers = dict(zip(("uci", "isready", "go"), texts))
for line in sys.stdin:
    word = line.strip().partition(" ")[0]
    text = "info depth 99\nbestmove e2e4\n" if "depth 99" in line else answers.get(word, texts[3])
    if "exit" in text:
        text = text.partition("exit")[0]
        sys.stdout.write(text)
        sys.stdout.flush()
        sys.exit(3)
    sys.stdout.write(text)
    sys.stdout.flush()
"""
UCI, READY, MOVE = r"id name X\nuciok\n", r"readyok\n", r"info depth 1 score cp 5 pv e2e4\nbestmove e2e4\n"


@pytest.fixture
def engine(tmp_path):
    program = tmp_path / "engine.py"
    program.write_text(ENGINE, encoding="utf-8")

    def pool(uci=UCI, isready=READY, go=MOVE, other="", **options):
        texts = " ".join(f"'{each}'" for each in (uci, isready, go, other))
        return EnginePool(f"{sys.executable} -I -S {program} {texts}", max_engines=1, **options)

    return pool


ODD = {
    "lines that end in CRLF": {"uci": r"id name X\r\nuciok\r\n", "isready": r"readyok\r\n", "go": r"bestmove e2e4\r\n"},
    "blanks around": {"uci": r"  uciok \n", "isready": r"\treadyok\n", "go": r"   bestmove  e2e4  \n"},
    "a protection that fails": {"uci": r"uciok\ncopyprotection checking\ncopyprotection error\n"},
    "a registration that fails": {"uci": r"uciok\nregistration checking\nregistration error\n"},
    "options without types": {"uci": r"option\noption name\noption name X\noption name type spin\nuciok\n"},
    "options without values": {"uci": r"option name Hash type spin default\noption name Hash type\nuciok\n"},
    "options that are no numbers": {"uci": r"option name Hash type string default <empty>\nuciok\n"},
    "buttons and choices": {
        "uci": r"option name Clear Hash type button\noption name S type combo var a var b\nuciok\n"
    },
    "an option twice": {"uci": r"option name Hash type spin min 1 max 2\noption name Hash type spin min 4\nuciok\n"},
    "bounds in the wrong order": {"uci": r"option name Hash type spin min 9 max 2\nuciok\n"},
    "bytes that are no text": {"go": r"info string \xff\xfe\x00\nbestmove e2e4\n"},
    "two moves": {"go": r"bestmove e2e4\nbestmove d2d4\n"},
    "a move before the search": {"uci": r"uciok\nbestmove a2a3\n"},
    "an answer to what was not asked": {"other": r"what?\nno such command\n"},
    "capital letters": {"go": r"info depth 1 score cp 5 pv E2E4\nbestmove E2E4\n"},
    "talk before the protocol": {"uci": r"Chess 1.0\n\n> uci\nuciok\n"},
    "lines of analysis without scores": {"go": r"info depth 1 pv e2e4\ninfo nodes 7\ninfo\nbestmove e2e4\n"},
}


@pytest.mark.parametrize("texts", ODD.values(), ids=ODD)
def test_odd_engines_play(engine, texts, capfd):
    with engine(**texts) as pool:
        for _ in range(3):  # one engine, whose left-over lines are never read as the next answer
            assert pool.analyse(Position(), depth=3)[0].move == "e2e4"
    assert capfd.readouterr() == ("", "")


FAILING = {
    "XBoard": (
        {"uci": r"Error (unknown command): uci\n"},
        "another protocol, perhaps XBoard's; it printed 'Error .unk",
    ),
    "XBoard, as a move": ({"uci": r"Illegal move: uci\n"}, "perhaps XBoard's; it printed 'Illegal move: uci'"),
    "a prompt": ({"uci": r"White (1) : Invalid move: uci\n"}, "only with an argument, as in 'gnuchess --uci'"),
    "a shell": ({"uci": r"Unknown command: uci\n"}, "does not start as a UCI engine"),
    "no library": (
        {"uci": r"libx.so: not found\nexit"},
        "start as a UCI engine: exit code 3; it printed 'libx.so: not",
    ),
    "an end before the answer": ({"uci": "exit"}, "does not start as a UCI engine: exit code 3"),
    "an end behind the options": ({"uci": r"uciok\nexit"}, "failed 3 times on rnbq.*exit code 3"),
    "an end in a search": ({"go": r"no hash\nexit"}, "failed 3 times on rnbq.*exit code 3; it printed 'no hash'"),
    "a line that is cut": ({"go": "bestmove e2e4exit"}, "failed 3 times on rnbq.*exit code 3"),
    "a start that is cut": ({"uci": "uciokexit"}, "does not start as a UCI engine: exit code 3"),
    "no move": ({"go": r"bestmove (none)\n"}, "not a legal move"),
    "a null move": ({"go": r"bestmove 0000\n"}, "not a legal move"),
    "castling that is not there": ({"go": r"bestmove e1h1\n"}, "not a legal move"),
}


@pytest.mark.parametrize(("texts", "message"), FAILING.values(), ids=FAILING)
def test_what_an_engine_printed_last_is_told(engine, texts, message, capfd):
    with engine(**texts, timeout_s=600) as pool, pytest.raises(HandlerFailed, match=message):
        pool.analyse(Position(), depth=3)
    assert capfd.readouterr() == ("", "")


def test_an_engine_that_gives_no_answer_is_quoted(engine):
    with engine(uci=r"uciok\nregistration error\n", go="") as pool:
        pool.analyse(Position(), depth=99)  # starts the engine, which may take its time
        pool._engines._timeout_s = 0.1
        with pytest.raises(HandlerFailed, match="gave no answer .* it printed 'registration error / bestmove e2e4'"):
            pool.analyse(Position(), depth=3)


def test_an_engine_that_ignores_stop_is_killed(engine):
    with engine(go="") as pool:
        pool.analyse(Position(), depth=99)
        token = CancelToken()
        timer = threading.Timer(0.05, token.cancel)
        timer.start()
        with pytest.raises(CallCancelled):
            pool.analyse(Position(), depth=3, cancel=token)
        timer.join()
        assert pool.analyse(Position(), depth=99)[0].move == "e2e4"


def test_an_engine_behind_a_script_ends_with_it(tmp_path, engine):
    """Killing the script alone would leave an engine, which says a move when its input ends."""
    (tmp_path / "inner.py").write_text(
        f"import sys\nlives = open(sys.argv[5], 'w')\n{ENGINE}print('bestmove d2d4', flush=True)\nwhile True: pass\n"
    )
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    script = tmp_path / "engine.sh"
    script.write_text(f"#!/bin/sh\n{sys.executable} {tmp_path}/inner.py '{UCI}' '{READY}' '' '' {alive}\necho bye\n")
    script.chmod(0o755)
    ends = []
    reader = threading.Thread(target=lambda: ends.append(alive.read_text()), daemon=True)
    reader.start()
    with EnginePool(str(script), max_engines=1) as pool:
        assert pool.analyse(Position(), depth=99)[0].move == "e2e4"
        pool._engines._timeout_s = 0.1
        with pytest.raises(HandlerFailed, match="gave no answer"):
            pool.analyse(Position(), depth=3)
    reader.join()  # the engine holds the other end while it lives
    assert ends == [""]


@pytest.mark.parametrize("program", ["/usr/games/fairymax", "/usr/games/gnuchess"])
def test_programs_of_debian_that_do_not_speak_uci(program):
    if not os.access(program, os.X_OK):
        pytest.skip(f"{program} is not installed")
    with EnginePool(program, timeout_s=600) as pool, pytest.raises(HandlerFailed, match="perhaps XBoard's"):
        pool.analyse(Position(), depth=1)
