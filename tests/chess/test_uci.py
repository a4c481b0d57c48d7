"""Engines that are not Stockfish: fakes that follow a script, and those that Debian has, where they are installed."""

from __future__ import annotations

import json
import shutil
import sys
import time

import chess
import chess.variant
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.chess.builtin import MATE
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.opponents import StockfishOpponent
from spec_envs.chess.position import Position
from spec_envs.errors import HandlerFailed, InvalidConfiguration

#: Offers options, writes down what it hears, and answers each search by the lines that it is told; None never answers.
FAKE = """
import json, sys
script = json.loads(sys.argv[1])
print("Fake 1.0, not a line of the protocol", file=sys.stderr)
for line in sys.stdin:
    with open(script["log"], "a") as log:
        log.write(line)
    word = line.split()[0]
    if word == "uci":
        offered = [f"option name {each}" for each in script["options"]]
        print("Fake by nobody", "id name Fake", *offered, "uciok", sep="\\n")
    elif word == "isready":
        print("readyok")
    elif word == "go":
        if script["answer"] == "die":
            sys.exit("nothing.net: No such file")  # exit code 1
        if script["answer"] == "by file":
            with open(script["log"] + ".answer", encoding="utf-8") as lines:
                script["lines"] = json.load(lines)
        print(*(["bestmove e2e4"] if "depth 99" in line else script.get("lines") or script["answer"]), sep="\\n")
    sys.stdout.flush()
"""


class Fake:
    """A fake engine: the command that starts it, and what it has heard."""

    def __init__(self, folder):
        self._program, self._log = folder / "engine.py", folder / "heard.txt"
        self._program.write_text(FAKE, encoding="utf-8")

    def pool(self, answer, options=(), **arguments):
        script = json.dumps({"answer": answer, "options": list(options), "log": str(self._log)})
        return EnginePool(f"{sys.executable} -I -S {self._program} '{script}'", max_engines=1, **arguments)

    def answers(self, lines):
        """What a pool whose answer is "by file" answers from now on."""
        self._log.with_name(f"{self._log.name}.answer").write_text(json.dumps(lines), encoding="utf-8")

    def heard(self):
        return self._log.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def fake(tmp_path):
    return Fake(tmp_path)


BEST = ["bestmove e2e4"]
FEN = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


@pytest.mark.parametrize(
    ("option", "hash_mb", "multipv", "told"),
    [
        pytest.param("Hash type spin default 16 min 4 max 1024", 1, 1, ["Hash value 4"], id="hash below the least"),
        pytest.param("Hash type spin default 16 min 2 max 8", 64, 1, ["Hash value 8"], id="hash above the greatest"),
        pytest.param("Hash type spin default 16 min 1 max 64", 7, 1, ["Hash value 7"], id="hash within"),
        pytest.param("Hash type spin default 16", 7, 1, ["Hash value 7"], id="hash without bounds"),
        pytest.param("hash type spin default 16 max 4 min 2", 1, 1, ["Hash value 2"], id="bounds in another order"),
        pytest.param("Hash  type spin  default 16 Min  4\tMax +8", 1, 1, ["Hash value 4"], id="capitals and blanks"),
        pytest.param("Hash type spin default 16.0 min 2.0 max 8.5", 64, 1, ["Hash value 8"], id="bounds with decimals"),
        pytest.param(
            "Threads type spin default 8 min 2 max 9", 1, 1, ["Threads value 2"], id="threads below the least"
        ),
        pytest.param("Threads type spin default 8 min 1 max 9", 1, 1, ["Threads value 1"], id="threads"),
        pytest.param(
            "Number of Threads type spin default 1 min 1 max 16",
            1,
            1,
            ["Number of Threads value 1"],
            id="toga's threads",
        ),
        pytest.param("OwnBook type check default true", 1, 1, ["OwnBook value false"], id="no book"),
        pytest.param("Ponder type check default true", 1, 1, ["Ponder value false"], id="no pondering"),
        pytest.param("UCI_AnalyseMode type check default false", 1, 1, ["UCI_AnalyseMode value true"], id="analysis"),
        pytest.param(
            "MultiPV type spin default 1 min 1 max 10", 1, 20, ["MultiPV value 10"], id="ranks above the most"
        ),
        pytest.param("MultiPV type spin default 1 min 1 max 500", 1, 99, ["MultiPV value 20"], id="ranks of all moves"),
        pytest.param("Hush type spin default 16 min 4 max 1024", 1, 1, [], id="only options that it offers"),
        pytest.param("Skill Level type spin default 20 min 0 max 20", 1, 1, [], id="nothing else"),
    ],
)
def test_options_lie_within_the_bounds_of_the_engine(fake, option, hash_mb, multipv, told):
    with fake.pool(BEST, [option], hash_mb=hash_mb) as pool:
        assert pool.analyse(Position(), depth=3, multipv=multipv)[0].move == "e2e4"
    assert [line for line in fake.heard() if line.startswith("setoption")] == [
        f"setoption name {each}" for each in told
    ]


@pytest.mark.parametrize(
    "said",
    ["a1a1", "e2e5", "e7e5", "e1g1", "e2e4q", "zzzz", "0000", "(none)", "NULL", "e9e4", "Nf3", "e2", "", "e2-e4"],
)
def test_a_move_that_cannot_be_played_fails_at_once_and_is_named(fake, said, capfd):
    began = time.monotonic()
    with fake.pool(["info depth 1 multipv 1 score cp 20 pv d2d4", f"bestmove {said}"], timeout_s=600) as pool:
        with pytest.raises(HandlerFailed) as caught:
            pool.analyse(Position(), depth=1)
        with pytest.raises(HandlerFailed):  # the engine lives on
            pool.analyse(Position(), depth=1)
    assert repr(f"bestmove {said}".strip()) in str(caught.value) and FEN in str(caught.value)
    assert "is not a legal move; the legal moves are a2a3 a2a4" in str(caught.value)
    assert time.monotonic() - began < 300 and fake.heard().count("uci") == 1
    assert capfd.readouterr() == ("", "")


def info(move, score, rank=None, bound=""):
    return f"info depth 9 {f'multipv {rank} ' if rank else ''}score {score}{bound} nodes 7 pv {move} e7e5".replace(
        "  ", " "
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([info("e2e4", "cp 31")], [("e2e4", 31)], id="its own line"),
        pytest.param([info("d2d4", "cp 31")], [("e2e4", 31), ("d2d4", 31)], id="another move's line"),
        pytest.param(
            [info("e2e4", "cp 31"), info("d2d4", "cp 9", bound=" upperbound")],
            [("e2e4", 31)],
            id="an upper bound later",
        ),
        pytest.param(
            [info("d2d4", "cp 9", bound=" lowerbound"), info("e2e4", "cp 31")],
            [("e2e4", 31)],
            id="a lower bound before",
        ),
        pytest.param([info("e2e4", "cp 5", bound=" upperbound")], [("e2e4", 5)], id="nothing but a bound"),
        pytest.param([], [("e2e4", 0)], id="no line"),
        pytest.param(["info string score cp 77 pv d2d4"], [("e2e4", 0)], id="a comment"),
        pytest.param([info("d2d4", "cp 31"), info("e2e4", "cp 8")], [("e2e4", 8)], id="the last iteration"),
        pytest.param(
            [info("d2d4", "cp 31", 1), info("e2e4", "cp 20", 2), info("g1f3", "cp 10", 3)],
            [("e2e4", 20), ("d2d4", 31), ("g1f3", 10)],
            id="another rank's line",
        ),
        pytest.param(
            [info("e2e4", "cp 31", 1), info("a2a3", "cp -20", 2), info("g1f3", "cp 10", 3)],
            [("e2e4", 31), ("g1f3", 10), ("a2a3", -20)],
            id="ranks in disorder",
        ),
        pytest.param([info("e2e4", "mate 3")], [("e2e4", MATE - 3)], id="mate"),
        pytest.param([info("e2e4", "mate -2")], [("e2e4", 2 - MATE)], id="mated"),
        pytest.param([info("e2e4", "cp +31")], [("e2e4", 31)], id="a sign"),
        pytest.param([info("e2e4", "mate +3")], [("e2e4", MATE - 3)], id="mate with a sign"),
        pytest.param([info("E2E4", "cp 31").replace(" ", "\t")], [("e2e4", 31)], id="tabs and capitals"),
        pytest.param(
            [info("e2e4", "cp 31").replace(" ", "  ") + "\r"], [("e2e4", 31)], id="blanks and a line end of DOS"
        ),
        pytest.param(
            [info("e2e4", "cp 31"), "info depth 9 string score cp 7 pv d2d4"], [("e2e4", 31)], id="a late comment"
        ),
        pytest.param(
            [info("e2e4", "cp 31"), "info score upperbound cp 9 pv e2e4"], [("e2e4", 31)], id="a bound before its score"
        ),
        pytest.param(
            [info("e2e4", "cp 31"), info("e2e4", "cp 9", bound=" wdl 1 2 997 upperbound")],
            [("e2e4", 31)],
            id="a bound behind chances",
        ),
        pytest.param([info("a1a1", "cp 900")], [("e2e4", 0)], id="an illegal line"),
        pytest.param([info("0000", "cp 900", 1), info("e2e4", "cp 8", 2)], [("e2e4", 8)], id="a null move"),
        pytest.param(
            [info(move, "cp 8", rank) for rank, move in enumerate(("e2e4", "d2d4", "c2c4", "b2b4", "a2a4"), 1)],
            [("e2e4", 8), ("d2d4", 8), ("c2c4", 8)],
            id="more than were asked for",
        ),
        pytest.param(["info depth 1", "info", "", "info pv", "info score cp", "what?"], [("e2e4", 0)], id="noise"),
    ],
)
def test_the_best_move_wins_over_the_lines(fake, lines, expected):
    with fake.pool([*lines, "bestmove e2e4 ponder e7e5"], ["MultiPV type spin default 1 min 1 max 9"]) as pool:
        assert [(line.move, line.score) for line in pool.analyse(Position(), depth=9, multipv=3)] == expected


@pytest.mark.parametrize("blank", ["", " "])
def test_a_line_that_is_very_long_is_no_answer(fake, blank):
    fake.answers(["x" * (2_000_000 - len(blank)) + f"{blank}bestmove d2d4", "pv " * 500_000, *BEST])
    with fake.pool("by file") as pool:
        assert [line.move for line in pool.analyse(Position(), depth=9)] == ["e2e4"]


@pytest.mark.parametrize("limit", [{"nodes": 7}, {"nodes": 1}, {"depth": 3}, {"depth": 2, "nodes": 5}])
def test_a_limit_that_is_never_reached_is_named(fake, limit, capfd):
    with fake.pool([]) as pool:
        pool.analyse(Position(), depth=99)  # starts the engine, which may take its time
        pool._engines._timeout_s = 0.1
        with pytest.raises(HandlerFailed) as caught:
            pool.analyse(Position(), **limit)
    told = " ".join(f"{name} {value}" for name, value in limit.items())
    assert f"gave no answer on {FEN} in 0.1 s and was killed; it was told 'go {told}'" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_engine_that_always_dies_is_an_error(fake, capfd):
    told = "failed 3 times on rnbq.*: exit code 1; it printed .*nothing.net: No such file"
    with fake.pool("die") as pool, pytest.raises(HandlerFailed, match=told):
        pool.analyse(Position(), depth=1)
    assert capfd.readouterr() == ("", "")


CASTLING = "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1"


@pytest.mark.parametrize(
    ("fen", "chess960", "said", "move"),
    [
        (CASTLING, False, "e1h1", "e1g1"),
        (CASTLING, False, "E1C1", "e1c1"),
        (CASTLING, True, "e1g1", "e1h1"),
        (CASTLING, True, "e1h1", "e1h1"),
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", False, "a7a8Q", "a7a8q"),
    ],
)
def test_castling_and_promotions_in_every_form(fake, fen, chess960, said, move):
    board = chess.Board(fen, chess960=chess960)
    for options in ([], ["UCI_Chess960 type check default false"]):
        with fake.pool([f"bestmove {said} ponder (none)"], options) as pool:
            assert pool.analyse(board, depth=1)[0].move == move
    if chess960:  # the engine that does not know Chess960 gets the castling rights of usual chess
        assert [line.split()[4] for line in fake.heard() if line.startswith("position")] == ["KQ", "HA"]


def test_an_engine_without_chess960_is_not_asked_for_its_castling(fake):
    board = chess.Board("bqnb1rkr/8/8/8/8/8/8/BQNB1RKR w HFhf - 2 9", chess960=True)
    with fake.pool(["bestmove a1d4"]) as pool:
        with pytest.raises(InvalidConfiguration, match="does not offer the option UCI_Chess960, so it cannot castle"):
            pool.analyse(board, depth=1)


def test_an_engine_that_died_between_two_queries_is_replaced(fake):
    with fake.pool(BEST) as pool:
        for _ in range(3):
            assert pool.analyse(Position(), depth=1)[0].move == "e2e4"
            (engine,) = pool._engines._by_slot.values()
            engine._process.kill()
            engine._process.wait()
            assert pool.pids() == []
    assert fake.heard().count("uci") == 3


def test_ranking_needs_an_engine_that_can_rank(fake, capfd):
    with fake.pool(BEST) as pool:
        with pytest.raises(InvalidConfiguration, match="does not offer the option MultiPV, so it cannot rank 4 moves"):
            pool.analyse(Position(), depth=1, multipv=4)
        with pytest.raises(InvalidConfiguration, match="opponent of full strength .skill=20., which needs one move"):
            StockfishOpponent(skill=3, pool=pool)(Position())
        assert StockfishOpponent(pool=pool)(Position()) == "e2e4"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["", "'", "/no such/engine", "/bin/true --uci", "/no/such/engine --uci"])
def test_a_command_that_starts_no_engine_is_named(command):
    with EnginePool(command or " ") as pool, pytest.raises(HandlerFailed, match="does not start as a UCI engine"):
        pool.analyse(Position(), depth=1)


@pytest.mark.parametrize("path", [b"stockfish", 7, ["gnuchess", "--uci"], "a\0b"], ids=repr)
def test_what_is_no_command_is_refused(path):
    with pytest.raises(InvalidConfiguration, match="path must be a command such as 'gnuchess --uci', not "):
        EnginePool(path)


def test_a_path_may_be_a_path_object(tmp_path):
    with EnginePool(tmp_path / "engine") as pool, pytest.raises(HandlerFailed, match="engine does not start"):
        pool.analyse(Position(), depth=1)


@pytest.mark.parametrize("board", [each for each in chess.variant.VARIANTS if each.uci_variant != "chess"])
def test_variants_are_refused(fake, board):
    with fake.pool(BEST) as pool, pytest.raises(InvalidConfiguration, match=f"not the variant '{board.uci_variant}'"):
        pool.analyse(board(), depth=1)


ENGINES = ("toga2", "glaurung", "ethereal-chess", "gnuchess --uci", "stockfish")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("moves", ["", "e2e4 e7e5", "f2f3 e7e5 g2g4", "d2d4 d7d5 c2c4 d5c4 g1f3"])
def test_engines_of_debian_play(engine, moves, capfd):
    program, _, rest = engine.partition(" ")
    path = shutil.which(program) or shutil.which(f"/usr/games/{program}")
    if path is None:
        pytest.skip(f"{program} is not installed")
    position = Position(moves=tuple(moves.split()))
    with EnginePool(f"{path} {rest}".strip(), max_engines=1) as pool:
        answers = [pool.analyse(position, depth=3) for _ in range(2)]
    assert answers[0] == answers[1] and position.board().parse_uci(answers[0][0].move)
    assert capfd.readouterr() == ("", "")


NUMBERS = st.integers(-40000, 40000).map(str) | st.sampled_from(["", "x", "9" * 30, "9" * 5000, "-", "+3", "³", "1.5"])
INFO = st.lists(
    st.sampled_from(
        ["info", "depth", "score", "cp", "mate", "pv", "multipv", "string", "lowerbound", "upperbound", "nodes"]
    )
    | st.sampled_from(["e2e4", "d2d4", "g1f3", "e2e5", "0000", "(none)", "Nf3"])
    | NUMBERS,
    max_size=12,
).map(" ".join)
LAST = st.sampled_from(
    ["bestmove e2e4", "bestmove d2d4 ponder e7e5", "bestmove", "bestmove  g1f3\t", "bestmove (none)"]
)


@pytest.fixture(scope="module")
def babbling(tmp_path_factory):
    fake = Fake(tmp_path_factory.mktemp("engine"))
    options = ["MultiPV type spin default 1 min 1 max 500", f"Hash type spin min {'9' * 5000} max 1", "Odd type \0 min"]
    with fake.pool("by file", options) as pool:
        yield fake, pool


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(INFO | st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40), max_size=6),
    last=LAST,
)
def test_whatever_an_engine_prints_is_ranked_moves_or_an_error(babbling, lines, last):
    fake, pool = babbling
    fake.answers([*(line for line in lines if not line.startswith("bestmove")), last])
    try:
        ranked = pool.analyse(Position(), depth=1, multipv=3)
    except HandlerFailed as error:
        assert "which is not a legal move" in str(error)
        return
    legal = {move.uci() for move in Position().board().legal_moves}
    assert ranked[0].move == last.split()[1]
    assert {line.move for line in ranked} <= legal and len({line.move for line in ranked}) == len(ranked)
    assert all(isinstance(line.score, int) for line in ranked)
