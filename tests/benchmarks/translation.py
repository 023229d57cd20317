"""Translation on held-out scenes, with floors beside the figures; and rounds per second against hand-written loops.

    python tests/benchmarks/translation.py facades        # pix2pix, 90 s of one core, against L1 alone and the mean image
    python tests/benchmarks/translation.py cyclegan_street unit_street
    python tests/benchmarks/translation.py speed          # the same networks by hand, interleaved, medians of nine

Recipes are those that come along, trained on one core; `--share 0.1` plays a tenth of their rounds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from ganflow_translation.measures import compare, translate
from lamps import Lamps
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from ganflow.contract.data import TensorData
from ganflow.engine.build import build_game, build_round, twin
from ganflow.engine.compile import NotCompilable
from ganflow.engine.feed import feed
from ganflow.engine.trainer import Trainer
from ganflow.plugins import Composition
from ganflow.recipe import Recipe, read_recipe

Play = Callable[[int], None]


def trainer_of(recipe: Recipe) -> Trainer:
    composition = Composition(recipe.slots(), recipe.modifiers, [])
    data = composition.build("data")
    game = build_game(recipe, composition, data)
    composition.begin(game)
    train = recipe.train
    draws = feed(data, train.batch_size, train.seed, channels_last=train.channels_last)
    return Trainer(game, draws, build_round(recipe, composition, game), train.batch_size, train.seed)


def trained(name: str, share: float, *changes: str) -> tuple[Trainer, float]:
    """A recipe's game, and the CPU seconds that its rounds took."""
    recipe = read_recipe(name, ["train.device=cpu", *changes])
    trainer = trainer_of(recipe)
    started = time.process_time()
    trainer.advance(max(1, round(share * recipe.train.rounds)))
    return trainer, time.process_time() - started


def line(name: str, scores: dict[str, float], note: str = "") -> None:
    print(f"  {name:34}" + "".join(f"  {key} {value:7.3f}" for key, value in scores.items()) + f"   {note}", flush=True)


def facades(share: float) -> None:
    print("facades, 32 px: label map to picture (wanted: psnr ≥ 22.5, ssim ≥ 0.88, sharpness 0.9 … 1.2, above L1 alone's)")
    recipe = read_recipe("pix2pix_facades")
    data: TensorData = Composition(recipe.slots(), [], []).build("data")
    source, true = data.held_out["source"], data.held_out["target"]
    line("mean image", compare(data.train["target"].mean(0, keepdim=True).expand_as(true), true))
    for what, changes in {"L1 alone": ["critic=null"], "pix2pix": []}.items():
        trainer, seconds = trained("pix2pix_facades", share, *changes)
        line(what, compare(translate(trainer.game, source, "target"), true), f"{seconds:.0f} s of one core")


def street(name: str, share: float, seed: int) -> None:
    print(f"{name}, 32 px, seed {seed} (wanted: 99 % called the target domain, cycle L1 ≤ 0.06, psnr ≥ 17 from night to day)")
    trainer, seconds = trained(name, share, f"train.seed={seed}")
    game, data = trainer.game, trainer.game.data
    assert isinstance(data, TensorData)
    lamps = Lamps(size=data.shape[1], held_out=len(data.held_out["a"]), lamp=read_recipe(name).data.settings.lamp)
    line("true nights", lamps.scores(data.held_out["b"]))
    called_a, right = classifier(data)
    print(f"  a classifier of day and night is right about {right:.1%} of real held-out images")
    for to, origin in (("b", "a"), ("a", "b")):
        x, true = data.held_out[origin], data.held_out[to]
        line(f"{origin} to {to}: input itself", compare(x, true))
        line(f"{origin} to {to}: mean image", compare(data.train[to].mean(0, keepdim=True).expand_as(true), true))
        made = translate(game, x, to)
        as_a = called_a(made).float().mean().item()
        scores = {"called it": as_a if to == "a" else 1 - as_a}
        scores["cycle L1"] = (translate(game, made, origin) - x).abs().mean().item() / 2
        line(f"{origin} to {to}: {name}", {**compare(made, true), **scores}, f"{seconds:.0f} s of one core")
        if to == "b":
            line(f"{origin} to {to}: lamps", lamps.scores(made))


def classifier(data: TensorData) -> tuple[Callable[[Tensor], Tensor], float]:
    """Tells images of a from images of b, having seen the training images; and how often it is right about held-out ones."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
                            nn.LazyLinear(1))  # fmt: skip
    network(data.train["a"][:2])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(200):
        parts = [data.train[name][torch.randint(len(data.train[name]), (64,))] for name in ("a", "b")]
        labels = torch.cat((torch.ones(64, 1), torch.zeros(64, 1)))
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(torch.cat(parts)), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def called_a(x: Tensor) -> Tensor:
        return network(x)[:, 0] > 0

    right = torch.cat((called_a(data.held_out["a"]), ~called_a(data.held_out["b"]))).float().mean().item()
    return called_a, right


def pix2pix_by_hand(recipe: Recipe) -> Play:
    """The usual loop: DataLoader, detach, .item() for the log."""
    game = trainer_of(recipe).game
    G, D, data = game.generator, game.critic, game.data
    assert D is not None
    assert isinstance(data, TensorData)
    of_G, of_D = (torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999)) for net in (G, D))
    batches = endless(DataLoader(TensorDataset(data.train["source"], data.train["target"]), 4, shuffle=True, drop_last=True))
    bce = nn.BCEWithLogitsLoss()

    def play(rounds: int) -> None:
        for _ in range(rounds):
            x, y = next(batches)
            fake = G(x, "target")
            of_D.zero_grad()
            real, made = D(torch.cat((x, y), 1)), D(torch.cat((x, fake.detach()), 1))
            loss = 0.5 * (bce(real, torch.ones_like(real)) + bce(made, torch.zeros_like(made)))
            loss.backward()
            of_D.step()
            loss.item()
            of_G.zero_grad()
            made = D(torch.cat((x, fake), 1))
            loss = bce(made, torch.ones_like(made)) + 100 * F.l1_loss(fake, y)
            loss.backward()
            of_G.step()
            loss.item()

    return play


def cyclegan_by_hand(recipe: Recipe) -> Play:
    """The usual loop of the authors' order: both generators, then both critics, with pools in Python lists; as in the recipe
    without identities."""
    game = trainer_of(recipe).game
    G, D, data = game.generator, game.critic, game.data
    assert D is not None
    assert isinstance(data, TensorData)
    of_G, of_D = (torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999)) for net in (G, D))
    loaders = [endless(DataLoader(TensorDataset(data.train[name]), 4, shuffle=True, drop_last=True)) for name in "ab"]
    mse, pools = nn.MSELoss(), {"a": [], "b": []}  # type: ignore[var-annotated]

    def pooled(fakes: Tensor, pool: list[Tensor]) -> Tensor:
        given = []
        for fake in fakes.detach():
            if len(pool) < 50:
                pool.append(fake.clone())
                given.append(fake)
            elif torch.rand(()) < 0.5:
                i = int(torch.randint(50, ()))
                given.append(pool[i])
                pool[i] = fake.clone()
            else:
                given.append(fake)
        return torch.stack(given)

    def play(rounds: int) -> None:
        for _ in range(rounds):
            (a,), (b,) = next(loaders[0]), next(loaders[1])
            of_G.zero_grad()
            fake_b, fake_a = G(a, "b"), G(b, "a")
            loss = 10 * (F.l1_loss(G(fake_b, "a"), a) + F.l1_loss(G(fake_a, "b"), b))
            for fake, domain in ((fake_b, "b"), (fake_a, "a")):
                scores = D(fake, domain)
                loss = loss + mse(scores, torch.ones_like(scores))
            loss.backward()
            of_G.step()
            loss.item()
            of_D.zero_grad()
            for real, fake, domain in ((b, fake_b, "b"), (a, fake_a, "a")):
                scores, made = D(real, domain), D(pooled(fake, pools[domain]), domain)
                part = 0.5 * (mse(scores, torch.ones_like(scores)) + mse(made, torch.zeros_like(made)))
                part.backward()
                part.item()
            of_D.step()

    return play


def endless(loader: DataLoader) -> itertools.chain:  # type: ignore[type-arg]
    return itertools.chain.from_iterable(itertools.repeat(loader))


WAYS = {
    "eager": [],
    "one_pass": ["train.one_pass=true"],
    "channels_last": ["train.channels_last=true"],
    "channels_last, bf16": ["train.channels_last=true", "train.precision=bf16"],
    "step compiled": ["step"],
    "step compiled, channels_last": ["step", "train.channels_last=true"],
    "step compiled, channels_last, bf16": ["step", "train.channels_last=true", "train.precision=bf16"],
}


def speed(seconds: float, compiled: bool) -> None:
    """Rounds of the same networks, in turn."""
    for name, hand in {"pix2pix_facades": pix2pix_by_hand, "cyclegan_street": cyclegan_by_hand}.items():
        same = ["train.device=cpu", "modifiers=[]"]  # nobody keeps an average by hand
        recipe = read_recipe(name, same)
        plays: dict[str, Play] = {"by hand": hand(recipe)}
        for what, changes in WAYS.items():
            other = read_recipe(name, [*same, *(change for change in changes if "=" in change)])
            ours = trainer_of(other)
            if "step" in changes:
                if not compiled:
                    continue
                try:
                    ours.compile(False, partial(twin, other, ours.game))
                except NotCompilable as error:
                    print(f"  {what}: {error}", flush=True)
                    continue
            plays[what] = lambda rounds, ours=ours: ours.advance(ours.round + rounds)  # type: ignore[misc]
        for play in plays.values():
            play(2)
        started = time.perf_counter()
        plays["by hand"](3)
        count = max(1, round(seconds * 3 / (time.perf_counter() - started)))
        took: dict[str, list[float]] = {what: [] for what in plays}
        for _ in range(9):
            for what, play in plays.items():
                started = time.process_time()
                play(count)
                took[what].append((time.process_time() - started) / count)
        hand_written = statistics.median(took["by hand"])
        print(f"{name}: CPU time of one thread, {count} rounds at a time, torch {torch.__version__}")
        for what, values in took.items():
            ratios = sorted(h / v for h, v in zip(took["by hand"], values, strict=True))
            median = statistics.median(values)
            spread = f"({ratios[0]:.2f} … {ratios[-1]:.2f})"
            print(f"  {what:36} {median * 1e3:8.1f} ms/round   {hand_written / median:5.2f} ×   {spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="facades, cyclegan_street, unit_street, speed (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the recipes' rounds")
    parser.add_argument("--seed", type=int, default=0, help="of the streets' training")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement of speed")
    parser.add_argument("--compiled", action="store_true", help="speed: compiled steps, too (minutes to compile)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for what in args.what or ["facades", "cyclegan_street", "unit_street", "speed"]:
        if what == "speed":
            speed(args.seconds, args.compiled)
        elif what == "facades":
            facades(args.share)
        else:
            street(what, args.share, args.seed)


if __name__ == "__main__":
    main()
