"""Images per second out of a folder: ganflow's readers against torch's DataLoader with as many processes, in turn.

    python tests/benchmarks/image_reading.py [--images 1200] [--side 256] [--size 128] [--rounds 7]
    python tests/benchmarks/image_reading.py --frames 200

Both decode, crop and mirror by the same function, and end in batches of 64 on the CPU. The start is left out, a DataLoader's
processes take seconds to begin, and so are each turn's first batches, which were made during the other's turn. Prints the median
of each, and their ratio. With --frames: the time for all frames of a GIF of so many, the file opened for each, against
that of ganflow's reader, in sequence and drawn at random.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ganflow_data import ImageFolder
from ganflow_layers.frames import opened
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ganflow.engine.feed import StreamFeed
from ganflow.machine import readers

BATCH = 64


class Items(Dataset):
    """The same examples for a DataLoader."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return self.data.size

    def __getitem__(self, index):
        return self.data.load(index, torch.Generator().manual_seed(index))["real"]


def written(folder: Path, count: int, side: int) -> None:
    """Photographs, as far as a JPEG decoder can tell: blurred noise."""
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:05}.jpg", quality=90)


def frames(count: int) -> None:
    rng = np.random.default_rng(0)
    made = [Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.gif")
        made[0].save(file, save_all=True, append_images=made[1:])

        def anew(frame):
            with Image.open(file) as image:
                image.seek(frame)
                image.load()

        def kept(frame):
            with opened(file, frame) as image:
                image.load()

        for name, sequence in (("in sequence", range(count)), ("at random", rng.permutation(count).tolist())):
            took = []
            for read in (anew, kept):
                began = time.perf_counter()
                for frame in sequence:
                    read(frame)
                took.append(time.perf_counter() - began)
            ratio = took[0] / took[1]
            print(f"{count} frames {name}: {took[0]:.1f} s opened for each, {took[1]:.2f} s kept open, ratio {ratio:.0f}")


def endless(loader):
    while True:
        yield from loader


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in (("images", 1200), ("side", 256), ("size", 128), ("rounds", 7), ("batches", 12)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--frames", type=int, default=0)
    args = parser.parse_args()
    if args.frames:
        frames(args.frames)
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder), args.images, args.side)
        data = ImageFolder(path=folder, size=args.size, crop="random", flip=True, held_out=0).data()
        source = StreamFeed(data, BATCH, 0)
        loader = DataLoader(Items(data), BATCH, shuffle=True, drop_last=True, num_workers=readers(), persistent_workers=True)
        batches = endless(loader)
        ways = {"ganflow": lambda: source.draw(1), "DataLoader": lambda: next(batches)}
        for draw in ways.values():
            draw()
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, draw in ways.items():
                for _ in range(2 * readers() + 1):  # what a DataLoader has in advance
                    draw()
                began = time.perf_counter()
                for _ in range(args.batches):
                    draw()
                speeds[name].append(args.batches * BATCH / (time.perf_counter() - began))
        source.close()
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    ratios = [a / b for a, b in zip(speeds["ganflow"], speeds["DataLoader"], strict=True)]
    for name, median in medians.items():
        print(f"{name:12} {median:8.0f} images/s, {readers()} readers")
    print(f"ratio {statistics.median(ratios):.2f} (of {len(ratios)} rounds: {min(ratios):.2f} … {max(ratios):.2f})")


if __name__ == "__main__":
    main()
