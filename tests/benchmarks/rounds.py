"""Rounds per second: ganflow against the usual hand-written loop, as ratios.

    python tests/benchmarks/rounds.py            # both games, eager and compiled, on one core
    python tests/benchmarks/rounds.py mlp        # 2×128 on points in the plane
    python tests/benchmarks/rounds.py dcgan      # DCGAN 32

Everything runs in one process, interleaved; the figures are medians of nine. The hand-written loop is what tutorials
do: DataLoader, one optimizer over a list of parameters, fakes detached, a clamp per parameter, `.item()` for the log.
Both train the same networks on the same data. Add --device cuda on a GPU machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from ganflow.contract.data import TensorData
from ganflow.engine.build import DTYPES, build_game, twin
from ganflow.engine.feed import feed
from ganflow.engine.round import Round
from ganflow.engine.trainer import Trainer
from ganflow.plugins import Composition
from ganflow.recipe import Recipe, read_recipe

GAMES = {
    "mlp": """
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 128, depth: 2}
critic: {use: mlp, width: 128, depth: 2}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-5}
modifiers: [{use: weight_clip, c: 0.01}]
train: {n_critic: 5, batch_size: 64, compile: never}
""",
    "dcgan": """
data: {use: digits, size: 32}
prior: {use: normal, dim: 100}
generator: {use: dcgan, width: 16}
critic: {use: dcgan, width: 16, norm: none}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-5}
modifiers: [{use: weight_clip, c: 0.01}]
train: {n_critic: 5, batch_size: 64, compile: never}
""",
}
WAYS = {
    "mlp": {"eager": [], "eager, one_pass": ["train.one_pass=true"], "step compiled": ["step"], "round compiled": ["round"],
            "round compiled, one_pass": ["round", "train.one_pass=true"]},
    "dcgan": {"eager": [], "eager, channels_last": ["train.channels_last=true"],
              "eager, channels_last, one_pass": ["train.channels_last=true", "train.one_pass=true"],
              "eager, channels_last, bf16": ["train.channels_last=true", "train.precision=bf16"],
              "step compiled, channels_last": ["step", "train.channels_last=true"],
              "step compiled, channels_last, bf16": ["step", "train.channels_last=true", "train.precision=bf16"],
              "step compiled, all of these": ["step", "train.channels_last=true", "train.precision=bf16", "train.one_pass=true"]},
}  # fmt: skip
Play = Callable[[int], None]


def recipe_of(game: str, changes: list[str], device: str) -> Recipe:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{game}.yaml"
        path.write_text(GAMES[game])
        return read_recipe(path, [f"train.device={device}", *changes])


def by_hand(game: str, device: str) -> Play:
    """The usual loop."""
    recipe = recipe_of(game, [], device)
    composition = Composition(recipe.slots(), [], [])
    data: TensorData = composition.build("data")
    played = build_game(recipe, composition, data, players=False)
    generator, critic, dim = played.generator, played.critic, recipe.prior.settings.dim
    of_critic = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    of_generator = torch.optim.RMSprop(generator.parameters(), lr=5e-5)
    loader = DataLoader(TensorDataset(data.train["real"]), batch_size=64, shuffle=True, drop_last=True)
    batches = iter(loader)

    def next_batch() -> torch.Tensor:
        nonlocal batches
        try:
            return next(batches)[0].to(device)
        except StopIteration:
            batches = iter(loader)
            return next(batches)[0].to(device)

    def play(rounds: int) -> None:
        for _ in range(rounds):
            for _ in range(5):
                real, z = next_batch(), torch.randn(64, dim, device=device)
                of_critic.zero_grad()
                loss = critic(generator(z).detach()).mean() - critic(real).mean()
                loss.backward()
                of_critic.step()
                for p in critic.parameters():
                    p.data.clamp_(-0.01, 0.01)
                loss.item()
            z = torch.randn(64, dim, device=device)
            of_generator.zero_grad()
            loss = -critic(generator(z)).mean()
            loss.backward()
            of_generator.step()
            loss.item()

    return play


def by_ganflow(game: str, changes: list[str], device: str) -> tuple[Play, float]:
    """A ganflow trainer, and the seconds that compiling it took."""
    mode = next((c for c in changes if "=" not in c), None)
    recipe = recipe_of(game, [c for c in changes if "=" in c], device)
    composition = Composition(recipe.slots(), recipe.modifiers, [])
    data = composition.build("data")
    train = recipe.train
    played = build_game(recipe, composition, data)
    draws = feed(data, train.batch_size, 0, played.device, DTYPES[train.precision], channels_last=train.channels_last)
    round = Round(played, train.n_critic, precision=train.precision, critic_stepped=composition.listeners("critic_stepped"))
    trainer = Trainer(played, draws, round, train.batch_size)
    started = time.perf_counter()
    if mode:
        trainer.compile(mode == "round", lambda: twin(recipe, played))
    return lambda rounds: trainer.advance(trainer.round + rounds), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", help="mlp, dcgan (default: both)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for game in args.games or list(GAMES):
        plays, compiling = {"by hand": by_hand(game, args.device)}, {}
        for name, changes in WAYS[game].items():
            plays[name], compiling[name] = by_ganflow(game, changes, args.device)
        counts = {}
        for name, play in plays.items():
            play(5)
            started = time.perf_counter()
            play(5)
            counts[name] = max(1, round(args.seconds * 5 / (time.perf_counter() - started)))
        seconds: dict[str, list[float]] = {name: [] for name in plays}
        for _ in range(9):
            for name, play in plays.items():
                started = time.perf_counter()
                play(counts[name])
                if args.device != "cpu":
                    torch.cuda.synchronize()
                seconds[name].append((time.perf_counter() - started) / counts[name])
        print(f"{game}: {args.device}, {args.threads} thread(s), torch {torch.__version__}")
        hand = statistics.median(seconds["by hand"])
        for name, values in seconds.items():
            ratios = sorted(h / v for h, v in zip(seconds["by hand"], values, strict=True))
            note = f"   compiled in {compiling[name]:.0f} s" if compiling.get(name, 0) > 0.1 else ""
            median = statistics.median(values)
            spread = f"({ratios[0]:.2f} … {ratios[-1]:.2f})"
            print(f"  {name:38} {median * 1e3:8.2f} ms/round   {hand / median:5.2f} ×   {spread}{note}")


if __name__ == "__main__":
    main()
