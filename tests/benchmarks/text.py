"""What sentences ask for and what is drawn, of runs of the birds' recipes: beside the scores that the gallery has, how right each
region of the birds is, what chance gives, and what Stage II adds to the pictures of Stage I that it starts from.

    python tests/benchmarks/text.py RUN … [--picture FILE]    # paths, such as build/gallery/stackgan_stage2_birds/…/0/…/…

Of each run: the share of named regions of birds, drawn for held-out sentences, whose measured colour is nearest, among all eight,
to the one asked for; the same with the sentences shuffled, which is what chance gives; and the share for each region. For Stage
II the distances of small patches and the sharpness (metric detail) of its pictures, and of those of Stage I, enlarged. `real` is
what the measure of colours makes of held-out birds themselves.

Changes of Stage I to compare with: `generator.noise=training prior.dim=16 loss.kl=2`, c drawn in training alone (z_diversity .21;
with c drawn outside, too, .95, but colours .72); `generator.noise=training generator.augment=false`; `loss.mismatch=0`;
`loss.match=0`; `loss.kl=0.05` (z_diversity .42, colours .87: it trades diversity for colours).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from ganflow_metrics import Detail
from ganflow_text.birds.data import Birds
from ganflow_text.birds.measure import accuracy
from ganflow_text.birds.plumage import REGIONS
from torch import Tensor
from torch.nn.functional import interpolate

from ganflow import image_sheet
from ganflow.engine.game import Game
from ganflow.evaluation.scores import grouped
from ganflow.plugins import Composition
from ganflow.recipe import kept_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import find_checkpoint, game_of


def birds(folder: RunFolder) -> Birds:
    """The run's data."""
    recipe = kept_recipe(folder.recipe)
    data = Composition(recipe.slots(), recipe.modifiers, recipe.metrics).build("data")
    assert isinstance(data, Birds)
    return data


def right(pictures: Tensor, data: Birds, times: int) -> Tensor:
    """The share of each region, (regions,), of `times` pictures for each held-out sentence."""
    named = [said[0].named for said in data.held_out_captions]
    return accuracy(pictures, data.held_out_colours.repeat(times, 1), named * times)


def line(name: str, shares: Tensor, shuffled: Tensor | None = None) -> None:
    by_chance = f"{float(shuffled.mean()):8.3f}" if shuffled is not None else " " * 8
    regions = "  ".join(f"{region} {float(share):.2f}" for region, share in zip(REGIONS, shares, strict=True))
    print(f"{name:32} {float(shares.mean()):8.3f} {by_chance}   {regions}", flush=True)


def evaluated(name: str, folder: RunFolder, data: Birds, times: int) -> dict[str, Tensor]:
    """Print the scores of a run; returns its pictures, (held-out sentences, 3, side, side), under its name, and those it starts
    from."""
    game = game_of(kept_recipe(folder.recipe), find_checkpoint(folder, "last"), data)
    text = data.held_out["text"]
    z = game.latents(times * len(text), seed=1)
    drawn = game.call("sample", z=z, text=text.repeat(times, 1))
    shuffled = game.call("sample", z=z, text=text.roll(1, 0).repeat(times, 1))
    line(name, right(drawn, data, times), right(shuffled, data, times))
    small = getattr(game.averaged, "earlier", None)
    if small is None:
        return {name: drawn[: len(text)]}
    detail = Detail().metric(data)
    for what, made in (("its detail", game), ("its Stage I, enlarged", Enlarged(game, small))):
        print(f"{what:32} {', '.join(str(score) for score in grouped(detail.evaluate(made)))}", flush=True)
    with torch.no_grad():
        first = interpolate(small(z[: len(text)], text=text), data.shape[1:])
    return {"Stage I": first, name: drawn[: len(text)]}


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
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="paths of runs")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="real birds, and those of each run for the same sentences")
    parser.add_argument("--times", type=int, default=4, help="pictures for each of the 200 held-out sentences (default: 4)")
    args = parser.parse_args()
    print(f"{'':32} {'share':>8} {'shuffled':>8}", flush=True)
    rows: dict[str, Tensor] = {}
    for i, path in enumerate(args.runs):
        folder = RunFolder(path)
        data = birds(folder)
        if i == 0:
            rows["real"] = data.held_out["real"]
            line("real", right(rows["real"], data, 1))
        rows |= evaluated(f"run {i + 1}", folder, data, args.times)
    if args.picture:
        image_sheet({what: pictures[:8] for what, pictures in rows.items()}).save(args.picture)


if __name__ == "__main__":
    main()
