"""What the digits recipes cost and make: python tests/benchmarks/digits_recipes.py [--seeds 3] [--recipes wgan gan …] [CHANGE …]

Every recipe is trained by `ganflow run` on one thread, in a process of its own, without MLflow; changes (train.rounds=1000) go to
all of them. Printed are the seconds of one core from start to end, evaluations and pictures included; the Fréchet distance in
the features of the digits classifier over its floor (1: as good as real), and the legible share (real ones: 0.93), after the last
round of each seed's run; and the first evaluated round in which half of the samples were legible. `--pictures FOLDER` keeps the
last sheets.

Measured on a core that others used as well, which costs a fifth to a third (before: the recipes until then, seed 0):

    recipe             seconds   Fréchet / floor     legible              before
    wgan                  50 s   1.48  1.36  1.65    0.72  0.71  0.71      92 s   1.57  0.69
    wgan_gp               56 s   1.24  1.36  1.24    0.73  0.73  0.73     100 s   1.38  0.68
    gan                   46 s   1.09  1.16  1.51    0.74  0.73  0.73      51 s   2.74  0.67
    gan_minimax           43 s   1.25  1.03  1.49    0.74  0.75  0.73      50 s   3.91  0.64
    r3gan                110 s   1.26  1.18  1.12    0.71  0.72  0.69      51 s   1.68  0.65
    vae_digits            35 s   4.21  3.72  3.83    0.83  0.82  0.80      29 s   6.46  0.65
    vae_gan_digits        48 s   2.62                0.64
    inpainting_digits     84 s   1.20                0.71

Half of the samples are legible from the first evaluation on (wgan: 0.63 in round 200; the sheet of round 220 is there after 9 s).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RECIPES = ("wgan", "wgan_gp", "gan", "gan_minimax", "r3gan", "vae_digits", "vae_gan_digits", "inpainting_digits")


def cpu() -> float:
    """Seconds that the processes started from here have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train(recipe: str, seed: int, changes: list[str], folder: Path) -> tuple[float, dict[int, dict[str, float]], Path]:
    """Seconds of one core, the scores by round, and the last sheet."""
    command = [sys.executable, "-m", "ganflow", "run", recipe, f"train.seed={seed}", "track.mlflow=false", *changes]
    began = cpu()
    subprocess.run([*command, "--runs", str(folder), "-q"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    took = cpu() - began
    run = max(folder.glob("*/*/metrics.jsonl"), key=lambda path: path.stat().st_mtime).parent
    scores = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "frechet_digits_ratio" in entry["values"]:
            scores[entry["round"]] = entry["values"]
    return took, scores, max((run / "samples").glob("*.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", help="train.rounds=1000 …")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_intermixed_args()
    print(f"{'recipe':18} {'seconds':>8}   {'Fréchet / floor':22} {'legible':20} half legible after")
    for recipe in args.recipes:
        took, ratios, legible, half = [], [], [], []
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as scratch:
                seconds, scores, sheet = train(recipe, seed, args.changes, Path(scratch))
                if args.pictures:
                    args.pictures.mkdir(parents=True, exist_ok=True)
                    shutil.copy(sheet, args.pictures / f"{recipe}-{seed}.png")
            last = max(scores)
            took.append(seconds)
            ratios.append(scores[last]["frechet_digits_ratio"])
            legible.append(scores[last]["legible"])
            half.append(next((round for round in sorted(scores) if scores[round]["legible"] >= 0.5), None))
        row = ("  ".join(f"{value:.2f}" for value in column) for column in (ratios, legible))
        print(f"{recipe:18} {min(took):6.0f} s   {next(row):22} {next(row):20} round {half} of {last}", flush=True)


if __name__ == "__main__":
    main()
