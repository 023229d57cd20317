"""How well, and how fast, a run fills the middle of digits that it never saw.

    python tests/benchmarks/inpainting.py                          # trains recipes/inpainting_digits.yaml first
    python tests/benchmarks/inpainting.py --run latest [--runs DIR] [starts=4 iterations=300 …]
    python tests/benchmarks/inpainting.py --recipe recipes/wgan.yaml

Held-out digits, a hole of half the side in the middle, the best result by the search's own loss, blended. Prints the mean
squared error in the hole as a ratio to that of filling with the training mean (wanted: ≤ 0.5); the share of cases better than
the hole of the training example that is nearest on the known pixels (wanted: ≥ 0.5); and the time of 64 images one by one
as a ratio to that as one batch, on one thread (wanted: ≥ 10). Words like starts=4 are fields of ganflow_inpainting.search.Search.

Measured on a shared core: inpainting_digits with the defaults (4 starts) 0.488, 50.6 %, 5.4 ×; with starts=1 weight=0.1
0.491, 52.8 %, 16 ×. vae_digits with the defaults 0.383, 66.7 %; with starts=1 0.407, 67.2 %. A few starts of one image keep a
core busy already, so that with more of them a batch gains less: with 2 of the GAN's 8 ×.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import torch
from ganflow_inpainting.blend import blend, paste
from ganflow_inpainting.command import defaults
from ganflow_inpainting.masks import make_mask
from ganflow_inpainting.search import Found, Search, search

from ganflow.api.drawing import data_of_run
from ganflow.cli.main import main as ganflow
from ganflow.contract.data import TensorData
from ganflow.engine.game import Game
from ganflow.pictures import image_sheet, save_png
from ganflow.runs.finding import find_run
from ganflow.runs.loading import load_game


def fill(game: Game, images: torch.Tensor, known: torch.Tensor, how: Search) -> tuple[Found, torch.Tensor]:
    """What was found, and the best results as the command would write them."""
    found = search(game, images, known, how)
    best = blend(found.made[:, 0].float(), images, known)
    return found, paste(best.clamp(-1, 1), images, known)


def quality(data: TensorData, known: torch.Tensor, images: torch.Tensor, results: torch.Tensor) -> dict[str, float]:
    def errors(made: torch.Tensor) -> torch.Tensor:
        return ((made - images)[..., ~known] ** 2).flatten(1).mean(1)

    train = data.train["real"]
    seen = torch.cdist((images * known).flatten(1), (train * known).flatten(1))
    nearest, mean, ours = errors(train[seen.argmin(1)]), errors(train.mean(0).expand_as(images)), errors(results)
    return {
        "error": float(ours.mean() / mean.mean()),
        "nearest": float(nearest.mean() / mean.mean()),
        "better": float((ours < nearest).double().mean()),
    }


def speed(game: Game, images: torch.Tensor, known: torch.Tensor, how: Search, times: int) -> list[float]:
    """Seconds one by one over seconds as a batch, each time anew: CPU time of one thread, which neighbours change little."""
    ratios = []
    for _ in range(times):
        began = time.process_time()
        fill(game, images, known, how)
        batch = time.process_time() - began
        began = time.process_time()
        for image in images:
            fill(game, image[None], known, how)
        single = time.process_time() - began
        print(f"  {len(images)} images: {batch:.2f} s as one batch, {single:.2f} s one by one")
        ratios.append(single / batch)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", help="starts=4 …")
    parser.add_argument("--run", help="a finished run")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--recipe", default="inpainting_digits")
    parser.add_argument("--mask", default="centre")
    parser.add_argument("--images", type=int, default=180, help="held-out digits")
    parser.add_argument("--times", type=int, default=3, help="that the speed is measured; 0: not at all")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    scratch = tempfile.TemporaryDirectory()
    if args.run is None:
        args.runs, args.run = Path(scratch.name), "latest"
        began = time.perf_counter()
        if ganflow(["run", args.recipe, "track.mlflow=false", "--runs", scratch.name, "-q"]):
            return
        print(f"trained {args.recipe} in {time.perf_counter() - began:.0f} s")
    folder = find_run(args.run, args.runs)
    game, data = load_game(folder), data_of_run(folder)
    assert isinstance(data, TensorData)
    how = defaults(game)
    for name, value in (change.split("=") for change in args.changes):
        kind = type(getattr(how, name))
        how = dataclasses.replace(how, **{name: kind(value)})
    images = data.held_out["real"][: args.images]
    known = make_mask(args.mask, *data.shape[1:], how.seed)
    print(f"{folder.name} {folder.id}: {how}")
    began = time.perf_counter()
    found, results = fill(game, images, known, how)
    took = time.perf_counter() - began
    for what, made in (("as generated", found.made[:, 0].float()), ("blended", results)):
        told = quality(data, known, images, made)
        print(f"  {what}: error {told['error']:.3f} of the mean's (nearest neighbour's: {told['nearest']:.3f}); "
              f"better than the nearest neighbour in {told['better']:.1%} of {len(images)} cases")  # fmt: skip
    print(f"  context loss {found.context[:, 0].mean():.4f}, prior loss {found.prior[:, 0].mean():.4f}, {took:.1f} s")
    if args.picture:
        rows = {"hole": torch.where(known, images, 0.0), "generated": found.made[:, 0], "blended": results, "truth": images}
        save_png(image_sheet({name: t[:16] for name, t in rows.items()}), args.picture)
    if args.times:
        ratios = speed(game, images[:64], known, how, args.times)
        print(f"  one batch is faster {statistics.median(ratios):.1f} × ({min(ratios):.1f} … {max(ratios):.1f})")


if __name__ == "__main__":
    main()
