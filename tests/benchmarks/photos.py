"""What recipe `photos` makes of 200 house fronts, drawn by the scenes of pix2pix_facades, after a minute and after ten.

    python tests/benchmarks/photos.py [--folder build/photos] [--rounds 480 …] [-- key=value …]

The Fréchet distance is of the features of a small network that was trained to tell which part of a house covers how much of each
8 × 8 piece of a front, as the label maps know it: walls, windows, cornice, doors and so on. The floor is the distance between two
sets of as many real fronts. Each score is the median of its run's samples with three seeds; CPU seconds are those of the process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import torch
from ganflow_layers.drawing.tensors import drawn, signed
from ganflow_metrics.frechet import frechet
from ganflow_translation.scenes.facades import CLASSES, draw, label_map, picture
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, one_hot

from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game

SIZE, PHOTOS, FURTHER, SEED = 64, 200, 3000, 0
PIECES = 8  # pieces of a front along a side whose parts the network tells
FEATURES = 64
SAMPLES = 1000


def fronts(count: int, part: int) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, 64, 64) in [−1, 1], and the share of each class in their pieces, (n, classes, 8, 8)."""
    classes, pictures = drawn(draw, (label_map, picture), count, SIZE, SEED, part)
    shares = adaptive_avg_pool2d(one_hot(classes.long(), len(CLASSES)).permute(0, 3, 1, 2).float(), PIECES)
    return signed(pictures), shares


class Teller(nn.Module):
    """Convolutions from a front to the classes of its pieces by way of 64 features."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 48), (48, 64)):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.seen = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * PIECES**2, FEATURES), nn.ReLU())
        self.told = nn.Sequential(nn.Linear(FEATURES, len(CLASSES) * PIECES**2), nn.Unflatten(1, (len(CLASSES), PIECES, PIECES)))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.told(self.seen(x))
        return logits

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        return torch.cat([self.eval().seen(piece) for piece in x.split(200)]).double()


def trained(file: Path) -> Teller:
    """The network, trained once on fronts of which no run has seen any."""
    torch.manual_seed(0)
    teller = Teller()
    if file.exists():
        teller.load_state_dict(torch.load(file, weights_only=True))
        return teller
    pictures, shares = fronts(FURTHER, part=5)
    optimizer = torch.optim.Adam(teller.parameters(), 2e-3)
    for _ in range(15):
        for i in torch.randperm(FURTHER).split(50):
            loss = cross_entropy(teller.train()(pictures[i]), shares[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    held_out, truth = fronts(300, part=6)
    right = (teller.eval()(held_out).argmax(1) == truth.argmax(1)).float().mean()
    print(f"the network tells the largest part of {float(right):.3f} of the pieces of fronts it has not seen")
    torch.save(teller.state_dict(), file)
    return teller


def score(teller: Teller, made: Tensor, real: Tensor) -> float:
    return frechet(teller.features(made), teller.features(real))


def train(folder: Path, rounds: int, changes: list[str]) -> tuple[RunFolder, float]:
    """Run the recipe by its command; its folder, and the CPU seconds that it took."""
    runs = folder / f"rounds-{rounds}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["-m", "ganflow", "run", "photos", f"data.path={folder / 'fronts'}", f"train.rounds={rounds}", "track.mlflow=false"]
    subprocess.run([sys.executable, *command, *changes, "--runs", str(runs), "-q"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    newest = max(runs.glob("*/*/run.json"), key=lambda file: file.stat().st_mtime)
    return RunFolder(newest.parent), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/photos"))
    parser.add_argument("--rounds", type=int, nargs="+", default=[480, 2400], help="of a training each")
    parser.add_argument("changes", nargs="*", help="key=value, of the recipe")
    args = parser.parse_args()
    (args.folder / "fronts").mkdir(parents=True, exist_ok=True)
    for i, front in enumerate(drawn(draw, (picture,), PHOTOS, SIZE, SEED, 0)[0]):
        Image.fromarray(front.numpy()).save(args.folder / "fronts" / f"{i:03}.png")
    teller = trained(args.folder / "teller.pt")
    real, others = fronts(SAMPLES, part=3)[0], fronts(SAMPLES, part=4)[0]
    floor = score(teller, others, real)
    seen = score(teller, fronts(PHOTOS, part=0)[0], real)
    print(f"floor {floor:.3f}; the {PHOTOS} photos themselves {seen:.3f} ({seen / floor:.2f} × the floor)")
    for rounds in args.rounds:
        folder, seconds = train(args.folder, rounds, args.changes)
        game = load_game(folder)
        scores = sorted(score(teller, game.samples(SAMPLES, seed=seed), real) / floor for seed in range(3))
        print(f"{rounds} rounds, {seconds:.0f} CPU s: {scores[1]:.2f} × the floor; {folder.path}", flush=True)


if __name__ == "__main__":
    main()
