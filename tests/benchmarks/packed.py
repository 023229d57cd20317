"""Packed trials against the usual hand-written loop run trial by trial: seconds per trial and round, as ratios.

    python tests/benchmarks/packed.py              # all games, on one core
    python tests/benchmarks/packed.py 2x32         # some of them: 2x32, 2x128, dcgan
    python tests/benchmarks/packed.py --wall       # by the clock on the wall; otherwise by the process's time on the core
    python tests/benchmarks/packed.py --device cuda   # on a GPU, by the clock on the wall

Everything runs in one process, interleaved; the figures are medians of nine. The hand-written loop is that of rounds.py.
The packed trials differ in learning rate, clip bound and seed, so that each draws its own batches.
"""

from __future__ import annotations

import argparse
import statistics
import time

import rounds
import torch
from rounds import Play, by_ganflow, by_hand, recipe_of

from ganflow.packed import Member, PackedTrainer, worth_packing
from ganflow.runs.run import Parts

GAMES = {"2x32": ("mlp", "128", "32", (16, 32, 64)), "2x128": ("mlp", "128", "128", (16,)), "dcgan": ("dcgan", "16", "16", (4,))}
"""The game of rounds.py, its width and what stands in its place, and numbers of trials."""


def packed(game: str, trials: int, compiled: bool, device: str) -> tuple[Play, float]:
    """Packed trials, and the seconds that compiling took."""
    members = []
    for i in range(trials):
        own = [f"optimizer.lr={5e-5 * (1 + i / trials)}", f"modifiers=[{{use: weight_clip, c: {0.01 + i * 1e-4}}}]"]
        parts = Parts(recipe_of(game, [*own, f"train.seed={i}", "train.threads=1"], device))
        members.append(Member(parts.recipe, parts.trainer))
    trainer = PackedTrainer(members)
    started = time.perf_counter()
    if compiled:
        trainer.compile()
    return lambda n: trainer.advance(trainer.round + n), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", choices=[[], *GAMES], help="default: all")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wall = args.wall or args.device != "cpu"

    def clock() -> float:
        if args.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() if wall else time.process_time()

    for name in args.games or list(GAMES):
        game, width, instead, counts = GAMES[name]
        before, rounds.GAMES[game] = rounds.GAMES[game], rounds.GAMES[game].replace(f"width: {width}", f"width: {instead}")
        plays: dict[str, tuple[Play, int]] = {"by hand": (by_hand(game, args.device), 1)}
        plays["unpacked"] = by_ganflow(game, [], args.device)[0], 1
        notes = {}
        for k in counts:
            for compiled in (False, True) if game == "mlp" or args.device != "cpu" else (False,):
                label = f"{k} packed{', compiled' if compiled else ''}"
                play, seconds = packed(game, k, compiled, args.device)
                plays[label] = play, k
                notes[label] = f"   compiled in {seconds:.0f} s" if compiled else ""
        rounds.GAMES[game] = before
        times: dict[str, list[float]] = {label: [] for label in plays}
        number = {}
        for label, (play, _) in plays.items():
            play(8)
            started = clock()
            play(8)
            number[label] = max(8, round(args.seconds * 8 / (clock() - started)) // 8 * 8)
        for _ in range(9):
            for label, (play, k) in plays.items():
                started = clock()
                play(number[label])
                times[label].append((clock() - started) / number[label] / k)
        print(f"{name}: {args.device}, {'wall' if wall else 'process'} time, torch {torch.__version__}")
        for label, values in times.items():
            ratios = sorted(h / v for h, v in zip(times["by hand"], values, strict=True))
            median = statistics.median(values)
            spread = f"({ratios[0]:.2f} … {ratios[-1]:.2f}){notes.get(label, '')}"
            print(f"  {label:24} {median * 1e6:9.1f} µs   {statistics.median(ratios):6.2f} ×   {spread}", flush=True)
    parts = Parts(recipe_of("dcgan", [], args.device))
    print("worth packing a dcgan:", worth_packing(parts.game, 16, parts.recipe.train, 10000)[1])


if __name__ == "__main__":
    main()
