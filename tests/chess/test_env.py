"""``SpecChess-v0`` as a Gymnasium environment."""

import copy
import itertools
import pickle

import chess
import chess.pgn
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import spec_envs
from spec_envs import Effect
from spec_envs.call_env import Script
from spec_envs.chess.encoding import NUM_ACTIONS, encode_move
from spec_envs.chess.position import Position
from spec_envs.chess.start import OPENINGS
from spec_envs.errors import CallPending, EnvClosed, HandlerFailed, InvalidAction, InvalidConfiguration, ResetNeeded
from spec_envs.testing import check_fork
from tests.chess.games import FOOLS, can_draw, make, play_out, plays, seeded, text_of

FORMATS = list(itertools.product(("uci", "index"), ("text", "planes"), ("raise", "forfeit"), ("white", "black")))


def play(env, *actions, **reset):
    """Reset, play the actions, and return the last step."""
    env.reset(**{"seed": 0, **reset})
    return [env.step(action) for action in actions][-1]


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right


@pytest.mark.parametrize(("action_format", "observation", "illegal", "color"), FORMATS)
def test_check_env_is_clean(action_format, observation, illegal, color):
    env = make(action_format=action_format, observation=observation, illegal=illegal, color=color)
    check_env(env, skip_render_check=not can_draw())


@pytest.mark.parametrize("opponent", ["builtin", "random"])
def test_check_env_is_clean_with_the_opponents_that_need_nothing(opponent):
    for arguments in (
        {},
        {"color": "black", "opening": "random", "illegal": "forfeit"},
        {"opening": "sicilian", "max_plies": 30},
    ):
        check_env(make(opponent=opponent, **arguments), skip_render_check=True)


# How games end.


SHUFFLE = "g1f3 g8f6 f3g1 f6g8 "
KINGS_ROOK = "4k3/8/8/8/8/8/8/R3K3 w - - {} 90"


@pytest.mark.parametrize(
    ("moves", "arguments", "reward", "outcome", "winner"),
    [
        (FOOLS, {}, -1.0, "CHECKMATE", "black"),
        (FOOLS, {"color": "black"}, 1.0, "CHECKMATE", "black"),
        ("e2e4 e7e5 f1c4 b8c6 d1h5 g8f6 h5f7", {}, 1.0, "CHECKMATE", "white"),
        ("e2e4 e7e5 f1c4 b8c6 d1h5 g8f6 h5f7", {"color": "black"}, -1.0, "CHECKMATE", "white"),
        ("e7f7", {"fen": "7k/4Q3/6K1/8/8/8/8/8 w - - 0 1"}, 0.0, "STALEMATE", None),
        ("e3e2", {"fen": "8/8/4k3/8/8/4K3/4p3/8 w - - 0 1"}, 0.0, "INSUFFICIENT_MATERIAL", None),
        # After seven plies black's move would repeat the start for the third time, so black claims.
        ((SHUFFLE * 2).rsplit(maxsplit=1)[0], {}, 0.0, "THREEFOLD_REPETITION", None),
        (SHUFFLE * 4, {"claim_draw": False}, 0.0, "FIVEFOLD_REPETITION", None),
        ("a1a2", {"fen": KINGS_ROOK.format(98)}, 0.0, "FIFTY_MOVES", None),
        ("a1a2 e8e7", {"fen": KINGS_ROOK.format(148), "claim_draw": False}, 0.0, "SEVENTYFIVE_MOVES", None),
    ],
)
def test_known_endings(moves, arguments, reward, outcome, winner):
    env, (observation, last_reward, terminated, truncated, info) = play_out(moves, **arguments)
    assert (last_reward, terminated, truncated) == (reward, True, False)
    assert (info["outcome"], info["winner"]) == (outcome, winner)
    assert observation["history"] == moves.strip()
    assert observation["legal_moves"] == ""
    with pytest.raises(ResetNeeded, match=rf"the episode is over \({outcome}\); call reset"):
        env.step("e2e4")
    result = {"white": "1-0", "black": "0-1", None: "1/2-1/2"}[winner]
    assert f'[Result "{result}"]' in env.pgn()
    assert '[Termination "normal"]' in env.pgn()


@pytest.mark.parametrize(
    ("fen", "action", "placement"),
    [
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1g1", "4k3/8/8/8/8/8/8/R4RK1"),
        ("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1c1", "4k3/8/8/8/8/8/8/2KR3R"),
        ("r3k2r/8/8/8/8/8/8/4K3 b kq - 0 1", "e8c8", "2kr3r/8/8/8/8/8/8/4K3"),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6", "4k3/8/3P4/8/8/8/8/4K3"),
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7a8n", "N3k3/8/8/8/8/8/8/4K3"),
        ("4k3/8/8/8/8/8/p7/1N2K3 b - - 0 1", "a2b1q", "4k3/8/8/8/8/8/8/1q2K3"),
    ],
)
@pytest.mark.parametrize("action_format", ["uci", "index"])
def test_special_moves(fen, action, placement, action_format):
    color = "white" if " w " in fen else "black"
    env = make(fen=fen, color=color, action_format=action_format, max_plies=1)
    env.reset()
    index = encode_move(chess.Move.from_uci(action), env.color)
    observation, *_ = env.step(action if action_format == "uci" else index)
    assert observation["fen"].split()[0] == placement


def test_max_plies_counts_both_sides_and_only_this_episode():
    env = make(opening="ruy-lopez", color="black", max_plies=4)
    observation, info = env.reset(seed=0)
    assert observation["history"] == OPENINGS["ruy-lopez"]
    assert info["ply"] == 0
    assert play(env, "a7a6", seed=1)[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("h7h6")
    assert (terminated, truncated, info["ply"], info["outcome"]) == (False, True, 4, None)
    assert '[Result "*"]' in env.pgn()
    with pytest.raises(ResetNeeded, match="max_plies reached"):
        env.step("g7g6")


def test_a_move_that_ends_the_game_at_max_plies_terminates():
    _, (_, reward, terminated, truncated, _) = play_out(FOOLS, color="black", max_plies=4)
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_an_opponent_who_mates_in_reset_ends_the_next_step():
    env = make(opponent=plays("a1a8"), color="black", fen="6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1")
    observation, info = env.reset()
    assert (info["outcome"], info["winner"], observation["legal_moves"]) == ("CHECKMATE", "white", "")
    assert env.action_space.sample() in env.action_space
    _, reward, terminated, _, info = env.step("e2e4")
    assert (reward, terminated, info["ply"]) == (-1.0, True, 1)


# What the agent may not do, and what the opponent may not.


@pytest.mark.parametrize("action", ["e2e5", "e7e5", "castle", "", "0000", None, 12, np.zeros(3)], ids=str)
def test_illegal_and_unreadable_moves_raise_and_change_nothing(action):
    env = make()
    play(env, "e2e4")
    before = env.game, env.pgn()
    with pytest.raises(InvalidAction):
        env.step(action)
    assert (env.game, env.pgn()) == before
    env.step(env.action_space.sample())


@pytest.mark.parametrize("action", [-1, 0, NUM_ACTIONS, 10**9, True, 1.0, "e2e4", None])
def test_illegal_and_unreadable_indices_raise_and_change_nothing(action):
    env = make(action_format="index")
    env.reset(seed=0)
    before = env.game
    with pytest.raises(InvalidAction):
        env.step(action)
    assert env.game is before


@pytest.mark.parametrize("kind", [int, np.int64, np.int16, np.array], ids=lambda kind: kind.__name__)
def test_integers_of_every_kind_are_taken(kind):
    env = make(action_format="index", max_plies=kind(2))
    env.reset(seed=kind(0))
    index = encode_move(chess.Move.from_uci("e2e4"), env.color)
    *_, truncated, info = env.step(kind(index))
    assert (truncated, info["ply"], env.game.moves[0]) == (True, 2, "e2e4")


@pytest.mark.parametrize(("action_format", "action"), [("uci", "e2e5"), ("uci", "??"), ("index", 0), ("index", -5)])
@pytest.mark.parametrize("color", ["white", "black"])
def test_forfeit_loses_the_game(action_format, action, color):
    env = make(illegal="forfeit", action_format=action_format, color=color, render_mode="ansi")
    other = {"white": "black", "black": "white"}[color]
    env.reset(seed=0)
    before = env.game
    _, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated) == (-1.0, True, False)
    assert (info["outcome"], info["winner"], info["opponent_move"]) == ("FORFEIT", other, None)
    assert env.game is before
    assert '[Termination "rules infraction"]' in env.pgn()
    assert ('[Result "0-1"]' in env.pgn()) == (color == "white")
    assert text_of(env).startswith(f"{color} forfeits\n")
    with pytest.raises(ResetNeeded, match="FORFEIT"):
        env.step("e2e4")
    assert env.reset(seed=0)[1]["outcome"] is None


@pytest.mark.parametrize("reply", ["e2e4", "nonsense", "0000", None, 7])
def test_an_illegal_reply_is_the_handlers_failure(reply):
    env = make(opponent=lambda position: reply)
    env.reset(seed=0)
    before = env.game
    with pytest.raises(HandlerFailed, match=rf"the opponent's move cannot be played: .*{reply!r}") as failure:
        env.step("e2e4")
    if isinstance(reply, str):
        assert "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1" in str(failure.value)
    assert env.game is before


@pytest.mark.parametrize("color", ["white", "black"])
def test_a_failing_opponent_leaves_the_game_as_it_was(color):
    fails = True

    def opponent(position):
        if fails and len(position.moves) > 2:
            raise OSError("the line is dead")
        return seeded(position)

    env, twin = make(opponent=opponent, color=color), make(color=color)
    (first, _), _ = env.reset(seed=3), twin.reset(seed=3)
    for action in (first["legal_moves"].split()[0], None):
        if action is None:
            action = env.game.legal_moves[0]
            before = env.game
            with pytest.raises(OSError, match="the line is dead"):
                env.step(action)
            assert env.game is before
            fails = False
        assert same(env.step(action), twin.step(action))


def test_a_failing_opponent_in_reset_leaves_the_old_game():
    env = make(color="black", opponent=plays("e2e4", "nonsense", "d2d4"))
    env.reset(seed=0)
    before = env.game
    with pytest.raises(HandlerFailed):
        env.reset(seed=1)
    assert env.game is before
    assert env.reset(seed=1)[0]["history"] == "d2d4"


# Arguments, start positions, seeds.


def test_steps_need_a_reset_first():
    env = make()
    for use in (lambda: env.step("e2e4"), env.pgn, lambda: env.position):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            use()


def test_a_closed_environment_says_so():
    env = make()
    env.reset()
    env.close()
    env.close()
    for use in (lambda: env.step("e2e4"), env.reset, env.fork):
        with pytest.raises(EnvClosed, match="make a new one"):
            use()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"color": "red"}, "color must be 'white' or 'black', not 'red'"),
        ({"action_format": "san"}, "action_format must be 'uci' or 'index', not 'san'"),
        ({"observation": []}, r"observation must be 'text' or 'planes', not \[\]"),
        ({"illegal": "ignore"}, "illegal must be 'raise' or 'forfeit', not 'ignore'"),
        ({"claim_draw": "no"}, "claim_draw must be True or False, not 'no'"),
        ({"max_plies": 0}, "max_plies must be None or an integer of at least 1, not 0"),
        ({"max_plies": 1.5}, "max_plies must be None or an integer of at least 1, not 1.5"),
        ({"opponent": 3}, "opponent must be a callable or one of .*, not 3"),
        ({"opening": "none"}, "unknown opening 'none'"),
        ({"pgn": "1. e4 -- 2. d4"}, "the PGN's main line has a null move"),
        ({"pgn": "1. Z0 e5 2. d4"}, "the PGN's main line has a null move"),
        ({"fen": f"4k3/8/8/8/8/8/4P3/4K3 w - - 0 {'9' * 150}"}, "counts more moves than a game can have"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(InvalidConfiguration, match=message):
        make(**arguments)


def test_options_of_reset_are_for_one_game():
    env = make()
    fen = "4k3/8/8/8/8/8/8/R3K3 b - - 0 1"
    observation, info = env.reset(seed=0, options={"fen": fen, "color": "black"})
    assert (observation["fen"], observation["turn"], info["color"], info["ply"]) == (fen, "black", "black", 0)
    observation, info = env.reset(seed=0, options={"fen": fen})
    assert (info["color"], info["ply"], info["opponent_move"]) == ("white", 1, observation["history"])
    assert env.reset(options={"pgn": "1. e4 e5"})[0]["history"] == "e2e4 e7e5"
    assert env.reset(options={"opening": "reti", "color": "black"})[0]["history"] == "g1f3 d7d5 c2c4"
    assert env.reset()[0]["fen"] == chess.STARTING_FEN
    for options, message in (({"elo": 3}, r"reset\(\) may hold .*, not 'elo'"), ({"color": 1}, "color must be")):
        with pytest.raises(InvalidConfiguration, match=message):
            env.reset(options=options)


def test_random_openings_are_drawn_anew_and_repeat_with_the_seed():
    env = make(opening="random", illegal="forfeit")
    env.reset(seed=0)
    drawn = [env.reset()[0]["history"] for _ in range(20)]
    assert len(set(drawn)) > 5
    env.reset(seed=0)
    assert [env.reset()[0]["history"] for _ in range(20)] == drawn


@pytest.mark.parametrize(("action_format", "observation", "illegal", "color"), FORMATS)
def test_seeds_repeat_whole_episodes(action_format, observation, illegal, color):
    def episode(env):
        start = env.reset(seed=11)
        env.action_space.seed(5)
        return start, [env.step(env.action_space.sample()) for _ in range(12)]

    arguments = {"action_format": action_format, "observation": observation, "illegal": illegal, "color": color}
    assert same(episode(make(**arguments)), episode(make(**arguments)))


def test_other_seeds_ask_other_questions():
    asked = []
    env = make(opponent=lambda position: asked.append(position) or seeded(position))
    for seed in (0, 1, None, None):
        play(env, "e2e4", seed=seed)
        env.step(env.action_space.sample())
    assert len({position.seed for position in asked}) == 8
    play(env, "e2e4", seed=0)
    assert asked[-1] == asked[0]
    assert asked[0] == Position(chess.STARTING_FEN, ("e2e4",), asked[0].seed)


# Calls, forks.


def test_the_call_carries_the_opponents_effect():
    class Opponent:
        effect: object

        def __call__(self, position):
            return seeded(position)

    opponent = Opponent()
    for effect in (None, Effect.READ, Effect.WRITE):
        if effect is not None:
            opponent.effect = effect
        env = make(opponent=opponent)
        env.reset(seed=0)
        fork = env.fork()
        fork.answer_with(Script())
        with pytest.raises(CallPending) as pending:
            fork.step("e2e4")
        call = pending.value.call
        assert (call.handler, call.effect, call.touches) == (
            "opponent",
            effect or Effect.SAMPLE,
            frozenset({"opponent"}),
        )
        assert call.query.moves == ("e2e4",)
    opponent.effect = "read"
    with pytest.raises(InvalidConfiguration, match="effect of the handler Opponent must be Effect.READ, .* not 'read'"):
        make(opponent=opponent)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**31), st.integers(0, 12), st.sampled_from(["white", "black"]), st.sampled_from(["uci", "index"])
)
def test_a_fork_goes_on_like_its_parent_and_neither_sees_the_other(seed, steps, color, action_format):
    env = make(color=color, action_format=action_format, observation="planes", illegal="forfeit")
    env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(steps):
        if env.step(env.action_space.sample())[2]:
            return
    fork, other = env.fork(), env.fork()
    before, pgn = env.game, env.pgn()
    assert other.action_space is not env.action_space
    while not other._is_over and len(other.game.moves) < 40:
        other.step(other.action_space.sample())
    assert (env.game, env.pgn()) == (before, pgn)
    for _ in range(5):
        action = env.action_space.sample()
        mine, theirs = env.step(action), fork.step(action)
        assert same(mine, theirs)
        if mine[2]:
            break
    assert same(env.reset(), fork.reset())


@pytest.mark.parametrize(("action_format", "observation", "illegal", "color"), FORMATS)
def test_forks_under_gym_make_keep_the_contract(action_format, observation, illegal, color):
    env = gym.make(
        "SpecChess-v0",
        opponent=seeded,
        opening="random",
        max_plies=24,
        action_format=action_format,
        observation=observation,
        illegal=illegal,
        color=color,
    )
    check_fork(env, steps=8)


def test_a_users_opponent_is_the_users_to_close():
    class Opponent:
        closed = False

        def __call__(self, position):
            return seeded(position)

        def close(self):
            self.closed = True

    opponent = Opponent()
    make(opponent=opponent).close()
    assert not opponent.closed


# Spaces.


def test_the_spaces_hold_whole_games():
    env = make(opponent="random", max_plies=200)
    for seed in range(3):
        env.action_space.seed(seed)
        observation, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            assert observation in env.observation_space
            assert set(observation["legal_moves"].split()) == {
                m.uci() for m in chess.Board(observation["fen"]).legal_moves
            }
            action = env.action_space.sample()
            assert action in env.action_space
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated


@pytest.mark.parametrize("action_format", ["uci", "index"])
def test_copies_of_the_action_space_sample_moves_of_the_space(action_format):
    env = make(action_format=action_format)
    env.reset()
    space = env.action_space
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert all(twin.sample() in space for _ in range(50))
    if action_format == "index":
        mask = np.zeros(NUM_ACTIONS, np.int8)
        mask[7] = 1
        assert space.sample(mask) == 7
    else:
        assert space.sample((4, None)) in space


def test_samples_of_the_observation_space_belong_to_it():
    env = make()
    assert env.observation_space.sample() in env.observation_space


# Gymnasium's machinery.


@pytest.mark.parametrize("observation", ["text", "planes"])
def test_vectors_of_environments_play(observation):
    arguments = {"opponent": seeded, "observation": observation, "max_plies": 4}
    vector = gym.vector.SyncVectorEnv([lambda: gym.make("SpecChess-v0", **arguments)] * 2)
    vector.reset(seed=0)
    for _ in range(5):
        actions = tuple(env.get_wrapper_attr("game").legal_moves[0] for env in vector.envs)
        observations, rewards, _, _, infos = vector.step(actions)
    assert rewards.shape == (2,)
    assert list(infos["color"]) == ["white", "white"]
    assert len(observations["fen"] if observation == "text" else observations) == 2
    vector.close()


def test_the_spec_makes_the_same_environment_again():
    env = gym.make("SpecChess-v0", opponent="random", color="black", opening="dutch", max_plies=9, observation="planes")
    assert env.spec is not None
    for spec in (env.spec, EnvSpec.from_json(env.spec.to_json())):
        twin = gym.make(spec)
        assert same(env.reset(seed=4), twin.reset(seed=4))
        assert twin.get_wrapper_attr("color") == chess.BLACK
        assert env.get_wrapper_attr("game").moves == twin.get_wrapper_attr("game").moves


def test_it_is_registered_and_forks_under_gym_make():
    env = gym.make("spec_envs:SpecChess-v0", opponent=seeded)
    env.reset(seed=0)
    fork = spec_envs.fork(env)
    assert same(env.step("e2e4"), fork.step("e2e4"))


def test_action_masks_are_those_of_the_info():
    env = gym.make("SpecChess-v0", action_format="index", color="black")
    _, info = env.reset(seed=0)
    masks = env.get_wrapper_attr("action_masks")
    for _ in range(5):
        assert masks().dtype == np.bool_ and np.array_equal(masks(), info["action_mask"])
        *_, info = env.step(env.action_space.sample())
    with pytest.raises(InvalidConfiguration, match='action_format="index"'):
        gym.make("SpecChess-v0").get_wrapper_attr("action_masks")()
