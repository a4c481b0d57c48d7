"""PPO in one file, in the manner of CleanRL: an agent learns to mate a lone king, whose moves are random.

With ``--opponent-seconds 0.05`` the opponent takes its time for each move, and with ``--ahead 8`` that time is used:
the opponent's reply is guessed, and so is the agent's next move, by the network itself. The network draws its moves
with noise that depends on the game and the observation alone, so the guess of its own move is right whenever that of
the reply is. What is learned is the same, weight by weight. With ``--virtual`` the opponent's time passes on a virtual
clock, and the time of the network does not count.

Needs: pip install "spec-envs[sb3]"
"""

import argparse
import hashlib
import json
import time
from typing import Any

import gymnasium as gym
import numpy as np

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs import Call, Guess
from spec_envs.chess.opponents import RandomOpponent
from spec_envs.chess.position import Position
from spec_envs.extras import needed
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

with needed("this example", "sb3", script=True):
    import torch
    from torch import nn

START = "4k3/8/8/8/8/8/8/QR2K2R w - - 0 1"
ENVS, STEPS, EPOCHS, BATCH = 8, 64, 3, 128
GAMMA, LAMBDA, CLIP, ENTROPY, RATE = 0.97, 0.95, 0.2, 0.01, 2e-3
NOTHING = -1e9


class Network(nn.Module):
    """Logits of the 4672 moves, and the value, of the newest position among the planes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(20, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()
        )
        self.moves = nn.Conv2d(32, 73, 1)
        self.value = nn.Sequential(nn.Conv2d(32, 4, 1), nn.Flatten(), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, planes: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Planes of shape (n, 8, 8, 111) and masks of shape (n, 4672); the logits of illegal moves are very low."""
        body = self.body(planes[..., :20].float().permute(0, 3, 1, 2))
        logits = self.moves(body).flip(2).permute(0, 3, 2, 1).flatten(1)  # file, rank, plane
        return logits.masked_fill(~masks, NOTHING), self.value(body)[:, 0]

    def of(self, seen: list[dict[str, Any]]) -> tuple[Any, Any]:
        """Logits and values of some observations, as arrays."""
        with torch.no_grad():
            told = self(*(torch.from_numpy(np.stack([each[name] for each in seen])) for name in ("planes", "mask")))
        return told[0].numpy(), told[1].numpy()


class Player:
    """Draws moves. Equal positions of one game get equal noise, so a move can be drawn before its time has come."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self.seed, self.game = network, seed, 0

    def choose(self, seen: dict[str, Any], logits: Any) -> int:
        """A draw from the softmax of ``logits``: the legal move of the greatest sum of logit and Gumbel noise."""
        text = f"{self.seed}.{self.game}.".encode() + seen["planes"].tobytes()
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))
        legal = np.flatnonzero(seen["mask"])
        return int(legal[np.argmax(logits[legal] + rng.gumbel(size=len(legal)))])


class OwnMoves:
    """Guesses the agent's own move: the one that ``Player`` will choose, unless the network learns meanwhile."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def guess(self, call: Call, k: int) -> list[Guess]:
        """The one move."""
        logits, _ = self.player.network.of([call.query])
        return [Guess(self.player.choose(call.query, logits[0]), 0.98)]


class Replies:
    """Guesses the replies of an opponent that plays any legal move."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Some of the legal moves."""
        moves = [move.uci() for move in Position.of(call.query).board().legal_moves]
        return [Guess(move, 1 / len(moves)) for move in moves[:k]]


class MaskSeen(gym.Wrapper[Any, Any, Any, Any]):
    """Puts the mask of the legal moves into the observation, so that a move follows from the observation."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        mask = gym.spaces.MultiBinary(4672)
        self.observation_space = gym.spaces.Dict({"planes": env.observation_space, "mask": mask})

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment."""
        planes, info = self.env.reset(**options)
        return {"planes": planes, "mask": self.get_wrapper_attr("action_masks")()}, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment."""
        planes, reward, terminated, truncated, info = self.env.step(action)
        seen = {"planes": planes, "mask": self.get_wrapper_attr("action_masks")()}
        return seen, reward, terminated, truncated, info


def make(player: Player, opponent_seconds: float, ahead: int, virtual: bool) -> gym.Env[Any, Any]:
    """The environment; where the opponent takes time, with a wrapper that asks for ``ahead`` replies ahead of time."""
    opponent = with_latency(RandomOpponent(), opponent_seconds) if opponent_seconds else RandomOpponent()
    shape: dict[str, Any] = {"observation": "planes", "action_format": "index", "fen": START, "max_plies": 60}
    env = MaskSeen(gym.make("SpecChess-v0", opponent=opponent, disable_env_checker=True, **shape))
    if not opponent_seconds:
        return env
    guessers: dict[str, Any] = {"opponent": Replies(), "policy": OwnMoves(player)}
    limits = Limits(max_inflight=ahead, selectivity=0.02)
    return SpeculativeWrapper(
        env, guessers=guessers, k=5, limits=limits, runtime="simulation" if virtual else "threads"
    )


class Rollouts:
    """Plays some games side by side, one step in each at a time."""

    def __init__(self, players: list[Player], envs: list[gym.Env[Any, Any]], seed: int) -> None:
        self.players, self.envs = players, envs
        self.seen = [env.reset(seed=seed * 1000 + number)[0] for number, env in enumerate(envs)]
        self.results: list[float] = []

    def collect(self, network: Network) -> dict[str, torch.Tensor]:
        """The next ``STEPS`` moves in each game, and the advantages and returns that follow from them."""
        shape = (STEPS, len(self.envs))
        rewards, ends, values = (np.zeros(shape, np.float32) for _ in range(3))
        kept: dict[str, list[Any]] = {"planes": [], "mask": [], "move": [], "odds": []}
        for step in range(STEPS):
            logits, values[step] = network.of(self.seen)
            for number, env in enumerate(self.envs):
                seen, row = self.seen[number], logits[number]
                move = self.players[number].choose(seen, row)
                odds = row[move] - np.log(np.exp(row - row.max()).sum()) - row.max()
                for name, value in {**seen, "move": move, "odds": odds}.items():
                    kept[name].append(value)
                self.seen[number], rewards[step, number], terminated, truncated, _ = env.step(move)
                if terminated or truncated:
                    self.begin_next(number, rewards[step, number])
                    ends[step, number] = 1.0
        gained = advantages(rewards, ends, values, network.of(self.seen)[1])
        kept |= {"advantage": gained.ravel(), "return": (gained + values).ravel()}
        return {name: torch.from_numpy(np.asarray(values)) for name, values in kept.items()}

    def begin_next(self, number: int, result: float) -> None:
        """Begin the next of the games in one place; its player has other noise."""
        self.results.append(float(result))
        self.players[number].game += 1
        self.seen[number], _ = self.envs[number].reset()


def advantages(rewards: Any, ends: Any, values: Any, follow: Any) -> Any:
    """Generalised advantages; a game that was cut off counts as a draw."""
    found, carried = np.zeros_like(rewards), np.zeros_like(follow)
    for step in reversed(range(len(rewards))):
        goes_on = 1 - ends[step]
        change = rewards[step] + GAMMA * follow * goes_on - values[step]
        found[step] = carried = change + GAMMA * LAMBDA * goes_on * carried
        follow = values[step]
    return found


def learn(network: Network, optimizer: torch.optim.Optimizer, data: dict[str, torch.Tensor], seed: int) -> None:
    """PPO's clipped update on what was collected."""
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for chosen in torch.from_numpy(rng.permutation(len(data["move"]))).split(BATCH):
            part = {name: values[chosen] for name, values in data.items()}
            logits, values = network(part["planes"], part["mask"])
            logs = logits.log_softmax(1)
            ratio = (logs.gather(1, part["move"][:, None])[:, 0] - part["odds"]).exp()
            gain = part["advantage"]
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
            actor = -torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            critic = (values - part["return"]).square().mean()
            entropy = -(logs.exp() * logs.clamp(min=-50)).sum(1).mean()
            optimizer.zero_grad()
            (actor + 0.5 * critic - ENTROPY * entropy).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()


def train(
    steps: int, seed: int, opponent_seconds: float = 0.0, ahead: int = 0, envs: int = ENVS, virtual: bool = False
) -> dict[str, Any]:
    """Train for so many steps; the curve, how long it took, and a digest of all weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    players = [Player(network, seed * 1000 + number) for number in range(envs)]
    made = [make(player, opponent_seconds, ahead, virtual) for player in players]
    rollouts, curve, start, computed = Rollouts(players, made, seed), [], time.perf_counter(), time.process_time()
    for done in range(0, steps, STEPS * envs):
        learn(network, optimizer, rollouts.collect(network), seed * 1000 + done)
        last = rollouts.results[-200:]
        curve.append((done + STEPS * envs, sum(result > 0 for result in last) / max(1, len(last))))
        if len(curve) % 10 == 0:
            print(f"{curve[-1][0]:7d} steps, {time.perf_counter() - start:6.1f} s, {curve[-1][1]:.0%} won", flush=True)
    seconds, computed = time.perf_counter() - start, time.process_time() - computed
    waited = sum(env.get_wrapper_attr("statistics").waited_s for env in made) if opponent_seconds else 0.0
    for env in made:
        env.close()
    weights = hashlib.blake2b(b"".join(each.detach().numpy().tobytes() for each in network.parameters()), digest_size=8)
    told = {"curve": curve, "seconds": seconds, "cpu_seconds": computed, "waited_s": waited, "seed": seed}
    return told | {"won": curve[-1][1], "weights": weights.hexdigest()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="the agent's moves in all games together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--envs", type=int, default=ENVS, help="games that are played side by side")
    parser.add_argument("--opponent-seconds", type=float, default=0.0, help="how long the opponent thinks")
    parser.add_argument("--ahead", type=int, default=0, help="how many of its moves to ask for ahead of time")
    parser.add_argument("--virtual", action="store_true", help="the opponent's time passes on a virtual clock")
    parser.add_argument("--json", help="a file for the curve")
    given = parser.parse_args()
    told = train(given.steps, given.seed, given.opponent_seconds, given.ahead, given.envs, given.virtual)
    print(f"{told['won']:.0%} of the last 200 games won; {given.steps / told['seconds']:.1f} steps a second")
    print(f"{told['seconds']:.0f} s, of which {told['cpu_seconds']:.0f} s on a CPU; weights {told['weights']}")
    if given.opponent_seconds:
        print(f"{told['waited_s']:.1f} s waited for the opponent: {given.steps / told['waited_s']:.1f} steps a second")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(told, file)
