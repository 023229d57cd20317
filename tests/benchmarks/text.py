"""What sentences ask for and what is drawn: the share of named regions of birds, drawn for held-out sentences, whose measured
colour is nearest, among all eight, to the one asked for; the birds' diversity at a sentence, and their detail.

    python tests/benchmarks/text.py                     # Stage I, Stage II, and Stage I with parts taken out
    python tests/benchmarks/text.py stage1 stage2       # or mean, paper, no_augmentation, no_mismatch
    python tests/benchmarks/text.py --threads 2 --runs DIR

Each line: training time by the clock on the wall and of all cores together (the first includes the text encoder's, unless that is
in the cache), rounds, the share over all named regions, the same with the sentences shuffled, which is what chance gives, and the
share for each region. Below it the spread over z at a sentence over that of birds in the same colours (metric z_diversity), the
distance of small patches at each scale and the sharpness against held-out birds (metric detail), each with its floor. Stage II's
detail stands beside that of the pictures of Stage I that it starts from, enlarged. `real` is what the measure of colours makes of
held-out birds themselves.

On one thread, 29 November 2026, CPU seconds of a machine that was shared, seed 0:

    stage1       193 s  colours .817 (by chance .139)  z_diversity .62  sharpness 1.11
    stage2       338 s  colours .855 (by chance .135)  z_diversity .61  sharpness 1.41, patches_64 .105 (floor .027)
    its Stage I, enlarged                                               sharpness  .48, patches_64 .400
    before       221 s  colours .887 (by chance .125)  z_diversity .21  sharpness 1.12: `mean`, 1,500 rounds
      stage2     160 s  colours .883 (by chance .132)  z_diversity .18  sharpness 1.28, patches_64 .138: 300 rounds of 600

With c drawn in that last run, z_diversity is .95 and the colours .72. With loss.kl=0.05 for .3 stage1 has .42 and .87: it
trades diversity for colours.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from ganflow_metrics import Detail, ZDiversity
from ganflow_text.birds.data import Birds
from ganflow_text.birds.measure import accuracy
from ganflow_text.birds.plumage import REGIONS
from torch import Tensor
from torch.nn.functional import interpolate

from ganflow.engine.game import Game
from ganflow.evaluation.scores import grouped
from ganflow.plugins import Composition
from ganflow.recipe import kept_recipe, read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import find_checkpoint, game_of
from ganflow.runs.start import start

STAGE1 = "stackgan_stage1_birds"
RUNS = {
    "stage1": (STAGE1, []),
    "stage2": ("stackgan_stage2_birds", []),
    "mean": (STAGE1, ["name=mean", "generator.noise=training", "prior.dim=16", "loss.kl=2", "loss.match=0.2"]),
    "no_augmentation": (STAGE1, ["name=no_augmentation", "generator.augment=false", "generator.noise=training"]),
    "no_mismatch": (STAGE1, ["name=no_mismatch", "loss.mismatch=0"]),
    "paper": (STAGE1, ["name=paper", "loss.match=0"]),
}
"""By name: the recipe and what is changed of it. In `mean` c is drawn in training alone, as it once was."""


def birds(folder: RunFolder) -> Birds:
    """The run's data."""
    recipe = read_recipe(folder.recipe)
    data = Composition(recipe.slots(), recipe.modifiers, recipe.metrics).build("data")
    assert isinstance(data, Birds)
    return data


def scores(pictures: Tensor, data: Birds, times: int) -> Tensor:
    """The share of each region, (regions,), of `times` pictures for each held-out sentence."""
    named = [said[0].named for said in data.held_out_captions]
    return accuracy(pictures, data.held_out_colours.repeat(times, 1), named * times)


def line(name: str, seconds: tuple[float, float], rounds: int, right: Tensor, shuffled: Tensor | None) -> None:
    regions = "  ".join(f"{region} {float(share):.2f}" for region, share in zip(REGIONS, right, strict=True))
    by_chance = f"{float(shuffled.mean()):8.3f}" if shuffled is not None else " " * 8
    spent = f"{seconds[0]:6.0f} s {seconds[1]:6.0f} s"
    print(f"{name:16} {spent} {rounds:6} {float(right.mean()):8.3f} {by_chance}   {regions}", flush=True)


def evaluated(name: str, folder: RunFolder, seconds: tuple[float, float], times: int) -> None:
    data = birds(folder)
    game = game_of(kept_recipe(folder.recipe), find_checkpoint(folder, "last"), data)
    text = data.held_out["text"]
    z = game.latents(times * len(text), seed=1)
    drawn = game.call("sample", z=z, text=text.repeat(times, 1))
    shuffled = game.call("sample", z=z, text=text.roll(1, 0).repeat(times, 1))
    line(name, seconds, folder.read().round, scores(drawn, data, times), scores(shuffled, data, times))
    detail = Detail().metric(data)
    more = ZDiversity().metric(data).evaluate(game) | detail.evaluate(game)
    print(f"{'':16} {', '.join(scores_in_words(more))}", flush=True)
    small = getattr(game.averaged, "earlier", None)
    if small is not None:
        print(f"{'its Stage I':16} {', '.join(scores_in_words(detail.evaluate(Enlarged(game, small))))}", flush=True)


def scores_in_words(values: dict[str, float]) -> list[str]:
    return [str(score) for score in grouped(values)]


class Enlarged:
    """A game that makes Stage I's pictures of the same z and sentences, enlarged to Stage II's size."""

    def __init__(self, game: Game, small: torch.nn.Module) -> None:
        self.game, self.small, self.signatures = game, small, game.signatures

    @torch.no_grad()
    def samples(self, n: int, seed: int) -> Tensor:
        pictures = self.small(self.game.latents(n, seed), text=self.game.conditions(n, seed)["text"])
        return interpolate(pictures, self.game.data.shape[1:], mode="bilinear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[[], *RUNS], help="default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", type=int, default=4, help="pictures for each of the 200 held-out sentences (default: 4)")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change for every run")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{'':16} {'time':>8} {'cores':>8} {'rounds':>6} {'share':>8} {'shuffled':>8}", flush=True)
    common = [f"train.threads={args.threads}", "track.mlflow=false", *args.set]
    for i, name in enumerate(args.which or list(RUNS)):
        recipe, changes = RUNS[name]
        source = [f"train.start_from={STAGE1}"] if name == "stage2" else []
        started = time.perf_counter(), time.process_time()
        outcome = start(read_recipe(recipe, [*changes, *source, *common]), args.runs, quiet=True)
        seconds = time.perf_counter() - started[0], time.process_time() - started[1]
        if i == 0:
            data = birds(outcome.folder)
            line("real", (0, 0), 0, scores(data.held_out["real"], data, 1), None)
        evaluated(name, outcome.folder, seconds, args.times)


if __name__ == "__main__":
    main()
