"""What environments hold of well-known libraries: copied faithfully, or refused by name."""

from __future__ import annotations

import chess
import numpy as np
import pytest

from spec_envs import fork
from spec_envs.errors import NotForkable
from spec_envs.forking import difference
from tests.foreign_envs import foreign


def test_boards_of_python_chess():
    board = chess.Board()
    for move in ("e2e4", "e7e5", "g1f3"):
        board.push_uci(move)
    env = foreign(board=board)
    twin = fork(env)
    assert difference(env, twin) is None
    twin.board.pop()
    twin.board.push_uci("d2d4")
    assert board.peek().uci() == "g1f3" and len(board.move_stack) == 3
    board.pop()
    board.pop()
    assert twin.board.fen().startswith("rnbqkbnr/pppp1ppp/8/4p3/3PP3/8/PPP2PPP")


@pytest.mark.parametrize("make", [np.random.RandomState, lambda seed: np.random.Generator(np.random.MT19937(seed))])
def test_forks_of_forks_of_old_generators_are_like_the_original(make):
    env = foreign(rng=make(3))
    env.rng.standard_normal()
    twin = fork(fork(env))
    assert difference(env, twin) is None and difference(twin, env) is None
    assert env.rng.standard_normal() == twin.rng.standard_normal()


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"price": [1.0, 2.0], "name": ["a", "b"]}, index=[5, 6])
    env = foreign(frame=frame, column=frame["price"].copy(), index=frame.index)
    twin = fork(env)
    assert difference(env, twin) is None
    twin.frame.loc[5, "price"] = 9.0
    twin.frame.loc[7] = [3.0, "c"]
    twin.column.iloc[0] = 8.0
    assert frame["price"].tolist() == [1.0, 2.0] and len(frame) == 2 and env.column.iloc[0] == 1.0


def test_a_class_without_a_module_is_refused_by_name():
    """As SwigPyObject, in which Box2D keeps the address of an object."""

    class NoModule(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            raise AttributeError("__module__")

    class Address(metaclass=NoModule):
        __slots__ = ()

        def __reduce_ex__(self, protocol):
            raise TypeError("cannot pickle 'Address' object")

    with pytest.raises(NotForkable, match=r"env\.this is a .*Address, which cannot be copied"):
        fork(foreign(this=Address()))
