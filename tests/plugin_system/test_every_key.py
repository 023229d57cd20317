"""Every key of every component that comes with ganflow does something: at a second value the component builds, computes or
refuses something else."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch
from built_ins import CATALOGUE, COMPONENTS, DATA, FEW, MATCHED, PARTNERS, STAGE1, VALUES, made, write_files
from PIL import Image
from safetensors.torch import save_file

from ganflow.contract.roles import TrackedRun
from ganflow.contract.settings import check, keys
from ganflow.engine.feed import feed
from ganflow.errors import GanflowError
from ganflow.plugins import Composition
from ganflow.testing.checks import authors, choose
from ganflow.testing.stand_ins import examples
from ganflow.testing.trial import Trial


@dataclass
class At:
    """A second value of a key, and what other values and partners it is tried with."""

    value: typing.Any
    beside: dict[str, typing.Any] = field(default_factory=dict)
    partners: dict[str, typing.Any] = field(default_factory=dict)
    data: tuple[str, dict[str, typing.Any]] | None = None


NORMED = {"critic": ("dcgan", {"width": 4})}
PLANE = {"prior": ("normal", {"dim": 2})}
WIDE, TWO = {"path": "paired"}, {"path": "two", "layout": "two_folders", "a": "left", "b": "right"}
PLAIN, CONCAT = {"crop": "centre", "flip": False}, {"conditioning": "concat"}
SECOND: dict[str, typing.Any] = {
    "loss vae_gan.adversarial": made("loss", "lsgan"),
    "loss vae_gan.layer": "hidden",
    "loss vae_gan.augmented": At(True, partners={"modifier": ("diffaugment", {})}),
    "metric iwae.examples": 8,
    "data digits.classes": [[0, 1]],
    "data gaussians.layout": "grid",
    "data gaussians.modes": 3,
    "data gaussians.spacing": At(3.0, {"layout": "grid"}),
    "data gaussians.std": 0.3,
    "data gaussians.centres": At([[0.0, 0.0], [2.0, 1.0]], {"layout": "custom", "centres": [[0.0, 0.0], [1.0, 1.0]]}),
    "data gaussians.weights": [[1.0] * 7 + [5.0]],
    "data gaussians_1d.centres": At([0.0, 2.0]),
    "data gaussians_1d.std": At([0.5]),
    "data gaussians_1d.weights": At([1.0, 3.0], {"centres": [0.0, 2.0]}),
    "data lines.at": At([0.0, 1.0]),
    "data linear_gaussian.matrix": At([[1.0], [1.0]]),
    "data linear_gaussian.bias": At([1.0, 0.0]),
    "generator affine.matrix": At([[2.0, 0.0], [0.0, 1.0]], partners=PLANE, data=("linear_gaussian", {"samples": 64})),
    "generator affine.bias": At([1.0, 0.0], partners=PLANE, data=("linear_gaussian", {"samples": 64})),
    "data image_folder.path": "paired",
    "data image_folder.resize": 24,
    "data image_folder.crop": [At("random", WIDE), At("none", WIDE)],
    "data image_folder.extensions": [[".jpg"]],
    "data image_folder.range": [[0.0, 100.0]],
    "data image_folder.background": At("black", {"path": "clear"}),
    "data image_folder.frames": At("all", {"path": "pages"}),
    "data image_folder.labels": ["none", "labels.csv"],
    "data image_folder.on_error": At("skip", {"path": "broken"}),
    "data image_folder.in_memory": [At("always", {"flip": False}), At("auto", {"flip": False})],
    "data image_folder.budget": At(0, {"in_memory": "auto", "flip": False}),
    "data shards.path": "shards again",
    "data shards.image": "other.png",
    "data shards.label": "kind",
    "data shards.classes": [["no", "yes"]],
    "data shards.resize": 24,
    "data shards.shuffle": 0,
    "data shards.range": [[0.0, 100.0]],
    "data shards.background": At("black", {"path": "clear shards"}),
    "data shards.on_error": At("refuse", {"path": "broken shards"}),
    "data tensor_file.budget": 0,
    "data captioned_folder.budget": At(0, {"crop": "centre", "flip": False}),
    "data paired_folder.budget": At(0, {"in_memory": "auto", **PLAIN}),
    "data unpaired_folder.budget": At(0, {"in_memory": "auto", **PLAIN}),
    "data tensor_file.path": "floats.npy",
    "data tensor_file.fields": At({"real": "b"}, {"path": "several.safetensors", "labels": None}),
    "data tensor_file.labels": None,
    "data tensor_file.classes": [["no", "yes"]],
    "data tensor_file.layout": [At("nchw", {"path": "nhwc.npy"}), "nhwc", "nhw", "nd"],
    "data tensor_file.range": [At("signed", {"path": "floats.npy"}), At("unit", {"path": "floats.npy", "range": "signed"})],
    "metric modes.samples": 64,
    "metric modes.within": 60.0,
    "metric sliced_wasserstein.samples": 8,
    "metric emd.samples": 4,
    "metric mmd.samples": 4,
    "metric mmd.bandwidth": 0.5,
    "metric jsd.samples": 16,
    "metric kl.samples": 16,
    "metric kernel_distance.subset": 20,
    "metric kernel_distance.subsets": At(1, {"subset": 20}),
    "metric precision_recall.samples": 31,
    "metric detail.samples": 10,
    "metric nearest_neighbours.training": 20,
    "metric class_frechet.pixels": At(4, {"features": "values"}),
    "metric class_frechet.samples": 30,
    "generator mlp_autoencoder.widths": [[5]],
    "generator mlp.widths": [[5]],
    "critic mlp.widths": [[5]],
    "generator dcgan.embedding": At(17, CONCAT),
    "generator style.base": 8,
    "generator style.mixing": 0.0,
    "critic style.base": 8,
    "generator r3gan.group": 4,
    "critic r3gan.group": 4,
    "critic r3gan.embedding": At(17, CONCAT),
    "critic style.embedding": At(17, CONCAT),
    "critic r3gan.classifier": "label",
    "critic style.classifier": "label",
    "modifier ada.start": 0.5,
    "modifier ada.target": At(-0.9, {"start": 0.5}),
    "modifier ada.steps": At(2, {"start": 0.5}),
    "modifier ada.highest": At(0.6, {"start": 0.5, "steps": 1, "target": -0.99}),
    "modifier ada.policy": [At(["blit"], {"start": 0.5}), At(["geometry", "color"], {"start": 0.5})],
    "data image_folder.size": [24, At([16, 24])],
    "data paired_folder.size": [24, At([16, 24])],
    "data unpaired_folder.size": [24, At([16, 24])],
    "data shards.size": [24, At([16, 24])],
    "data captioned_folder.size": [24, At([16, 24])],
    "generator resnet.embedding": At(17, CONCAT),
    "critic mlp.embedding": At(17, CONCAT),
    "critic dcgan.embedding": At(17, CONCAT),
    "critic resnet.embedding": At(17, CONCAT),
    "critic mlp.classifier": "label",
    "critic dcgan.classifier": "label",
    "critic resnet.classifier": "label",
    "optimizer sgd.nesterov": At(True, {"momentum": 0.5}),
    "schedule step.every": 3,
    "schedule step.factor": At(0.25, {"every": 3}),
    "modifier auxiliary_classifier.field": "kind",
    "modifier r1.allow_batch_norm": At(True, partners=NORMED),
    "modifier r2.allow_batch_norm": At(True, partners=NORMED),
    "critic mlp.wavelengths": At([1.0, 2.0], {"fourier": 4}),
    "modifier r1.final": At(0.1, {"final": 1.0, "rounds": 1}),
    "modifier r1.rounds": At(100, {"final": 0.1, "rounds": 1}),
    "modifier r2.final": At(0.1, {"final": 1.0, "rounds": 1}),
    "modifier r2.rounds": At(100, {"final": 0.1, "rounds": 1}),
    "modifier gradient_penalty.allow_batch_norm": At(True, partners=NORMED),
    "modifier ema.decay": 0.01,
    "modifier ema.batches": At(0, partners={"generator": ("mlp", {"width": 8, "batch_norm": True})}),
    "modifier diffaugment.policy": [["color", "translation"], ["color", "cutout"], ["translation", "cutout"]],
    "data birds.size": 24,
    "data birds.encoder": MATCHED,
    "data captioned_folder.path": "captioned again",
    "data captioned_folder.captions": "texts",
    "data captioned_folder.resize": 24,
    "data captioned_folder.range": [[0.0, 100.0]],
    "data captioned_folder.background": At("black", {"path": "captioned clear"}),
    "data captioned_folder.frames": At("all", {"path": "captioned pages"}),
    "data captioned_folder.extensions": [[".jpg"]],
    "data captioned_folder.encoder": MATCHED,
    "encoder matched.batch": 2,
    "encoder matched.least": 2,
    "encoder bag_of_words.words": 2,
    "encoder bag_of_words.least": 2,
    "generator stackgan_stage2.stage1": made("generator", "stackgan_stage1", **{**STAGE1, "width": 8}),
    "generator stackgan_stage1.noise": At("prior", partners={"prior": ("normal", {"dim": 8})}),
    "generator stackgan_stage2.noise": At("prior", partners={"prior": ("normal", {"dim": 8})}),
    "loss stackgan.match": At(0.1, data=("birds", {**FEW, "size": 32, "encoder": MATCHED})),
    "loss stackgan.adversarial": made("loss", "lsgan"),
    "tracker jsonl.file": "other.jsonl",
    "data facades.size": 32,
    "data street.lamp": 2.0,
    "data street.size": 32,
    "data street.to": At("day", {"paired": True}),
    "data horses.size": 32,
    "data horses.to": At("horse", {"paired": True}),
    "data paired_folder.path": "paired again",
    "data paired_folder.layout": [At("side_by_side", {"path": "unpaired"}), "two_folders"],
    "data paired_folder.a": At("right", TWO),
    "data paired_folder.b": At("left", TWO),
    "data paired_folder.source_classes": 4,
    "data paired_folder.resize": 24,
    "data paired_folder.range": [[0.0, 100.0]],
    "data paired_folder.background": At("black", {"path": "clear"}),
    "data paired_folder.frames": At("all", {"path": "pages"}),
    "data paired_folder.extensions": [[".jpg"]],
    "data paired_folder.on_error": At("skip", {"path": "broken pairs"}),
    "data paired_folder.in_memory": [At("always", PLAIN), At("auto", PLAIN)],
    "data unpaired_folder.path": "unpaired again",
    "data unpaired_folder.resize": 24,
    "data unpaired_folder.range": [[0.0, 100.0]],
    "data unpaired_folder.background": At("black", {"path": "unpaired clear"}),
    "data unpaired_folder.frames": At("all", {"path": "unpaired pages"}),
    "data unpaired_folder.extensions": [[".jpg"]],
    "data unpaired_folder.on_error": At("skip", {"path": "broken domains"}),
    "data unpaired_folder.in_memory": [At("always", PLAIN), At("auto", PLAIN)],
    "critic patch.receptive_field": [7, "full"],
    "critic patch.layers": 2,
    "loss pix2pix.adversarial": made("loss", "lsgan"),
    "loss cycle.adversarial": made("loss", "hinge"),
    "loss cycle.pool": 2,
    "loss unit.adversarial": made("loss", "lsgan"),
    "metric pairs.examples": 8,
}
"""Second values that do not follow from a key's type, first value and range, or need other values beside them; a list is
several."""
HUB, WANDB = CATALOGUE.find("data", "hub").settings, CATALOGUE.find("tracker", "wandb").settings
OF_FEATURES = ("frechet", "kernel_distance", "precision_recall", "diversity", "nearest_neighbours", "class_frechet")
NOT_TRIED = {
    **{f"metric {name}.{key}": "needs a run: plugins/test_extractors.py" for name in OF_FEATURES for key in ("run", "layer")},
    **{
        f"metric {name}.weights": "needs the published file: tests/plugins/test_inception.py"
        for name in (*OF_FEATURES, "inception_score", "class_balance")
    },
    "encoder sentence_transformer.path": "needs a model and an extra's package: tests/plugins/text/test_encoders.py",
    **{f"tracker wandb.{key.name}": "needs an extra's package: tests/runs/test_wandb.py" for key in keys(WANDB)},
    **{f"data hub.{key.name}": "needs an extra's package: tests/plugins/test_hub.py" for key in keys(HUB)},
    "metric class_accuracy.samples": "trains a classifier for seconds: tests/plugins/test_class_accuracy.py",
    "metric class_accuracy.seed": "likewise",
    "metric bird_colours.seed": "needs a generator of birds: tests/plugins/text/test_asked_colours.py",
}


def derived(key, first):
    """Second values that follow from a key's type, first value and range."""
    if typing.get_origin(key.type) is typing.Literal:
        return [choice for choice in typing.get_args(key.type) if choice != first]
    if isinstance(first, bool):
        return [not first]
    if not isinstance(first, (int, float)):
        return [At(MISSING)]
    possible = [first + 1, first - 1] if isinstance(first, int) else [2 * first + 0.1, first / 2]
    return [value for value in possible if not list(check(key, value))][:1]


MISSING = object()


def cases():
    for component in COMPONENTS:
        for key in keys(component.settings):
            name = f"{component.role} {component.name}.{key.name}"
            if name in NOT_TRIED:
                continue
            second = SECOND.get(name, derived(key, usual(component)[0].get(key.name, key.default)))
            for number, value in enumerate(second if isinstance(second, list) else [second]):
                at = value if isinstance(value, At) else At(value)
                plain = isinstance(at.value, (str, int, float))
                yield pytest.param(component, key.name, at, id=f"{name} {at.value if plain else number}")


Found = Iterator[dict[str, typing.Any]]
REFUSED = [{"refused": True}]


def outcome(component, values, partners, here) -> Found:
    """What a component builds and computes, in stages, by name; or that it refuses."""
    torch.manual_seed(0)
    try:
        chosen, parts = choose(component, values)
        if component.role in ALONE:
            yield from ALONE[component.role](chosen)
            return
        beside = {}
        for role, (name, theirs) in partners.items():
            beside[role], inside = choose(CATALOGUE.find(role, name), dict(theirs))
            parts = parts + inside
        yield from in_a_game(Trial(chosen, parts, beside, here))
    except GanflowError:
        yield from REFUSED


def in_a_game(trial) -> Found:
    game = trial.game
    if trial.component.role == "schedule":
        schedule = trial.composition.build("schedule", "schedule.critic", rounds=10)
        yield {"factors": [schedule(round) for round in range(11)]}
        return
    if trial.component.role == "metric":
        (metric,) = trial.composition.build_metrics(trial.data)
        yield {"scores": list(metric.evaluate(game).values())}
        return
    yield {name: t.clone() for name, t in game.state_dict().items()}
    if trial.component.role == "prior":
        yield {"prior": game.prior.sample(4, generator=torch.Generator().manual_seed(0))}
    trial.prepare()
    trial.composition.begin(game)
    play = trial.round()
    for number in range(2):
        play.begin(number)
        values = [float(t) for t in play(trial.draws(number))]
        yield dict(zip(play.names, values, strict=True))
    yield {name: t.clone() for name, t in game.state_dict().items()}
    game.settle(lambda count: [trial.batch(i) for i in range(count)])
    batch = trial.batch()
    for name in game.makers.values():
        inputs = {argument: batch[source] for argument, source in game.signatures[name].inputs.items()}
        yield {name: game.call(name, **inputs)}


def of_data(chosen) -> Found:
    data = Composition({"data": chosen}).build("data")
    yield {"class": type(data).__name__, "fields": str(data.fields), **{k: t[:] for k, t in data.held_out.items()}}
    source = feed(data, 8, 0)
    try:
        yield {"size": data.size, "memory": data.resident_bytes, **source.draw(2)}
    finally:
        source.close()


def of_encoder(chosen) -> Found:
    encoder = Composition({"encoder": chosen}).build("encoder")
    captions = [["a red bird", "red, with a grey back"], ["a blue bird"], ["this bird is green"]]
    pictures = torch.rand(len(captions), 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    encoder.learn(captions, lambda side: torch.nn.functional.adaptive_avg_pool2d(pictures, side))
    yield {"vectors": encoder.encode([sentence for several in captions for sentence in several])}


def of_tracker(chosen) -> Found:
    folder = Path("tracked")
    for old in folder.rglob("*") if folder.exists() else ():
        if old.is_file():
            old.unlink()
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save("picture.png")
    (tracker,) = Composition({}, trackers=[chosen]).build_trackers()
    tracker.begin(TrackedRun("trial", "20260101-000000-0000", folder, {"name": "trial", "train": {"rounds": 2}}))
    tracker.values(1, 1e9, {"critic/wasserstein": 0.5})
    tracker.picture(2, Path("picture.png"))
    tracker.end("finished")
    written = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(path.name for path in written if path.suffix == ".jsonl")
    yield {"files": names, "bytes": sum(path.stat().st_size for path in written)}


ALONE = {"data": of_data, "encoder": of_encoder, "tracker": of_tracker}


def alike(a, b):
    """Equality of two stages, to the last bit."""
    return a.keys() == b.keys() and all(
        torch.equal(value, b[name]) if isinstance(value, torch.Tensor) else value == b[name] for name, value in a.items()
    )


EXAMPLES = examples()
FIRST: dict[str, list[dict[str, typing.Any]]] = {}


def first_outcome(component, values, partners, here):
    """The outcome at the usual values, worked out once."""
    key = str((component, values, partners, here and here.data.name))
    if key not in FIRST:
        FIRST[key] = list(outcome(component, values, partners, here))
    return FIRST[key]


def tried_on(component, data=None):
    """Data that a component is tried with: None where it needs none."""
    if component.role in ALONE:
        return [None]
    name, values = data or DATA.get(f"{component.role} {component.name}", ("", {}))
    return [authors(component, made("data", name, **values).data())] if name else EXAMPLES


def usual(component):
    """Values and partners that a component is tried with."""
    name = f"{component.role} {component.name}"
    return VALUES.get(name, {}), PARTNERS.get(name, {})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root, numbers = tmp_path_factory.mktemp("files"), np.random.default_rng(1)
    write_files(root)

    def picture(name, width=20):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 255, (20, width, 3), dtype=np.uint8)).save(root / name)

    for i in range(8):
        for folder in ("broken", *(f"{root}/train{side}" for root in ("unpaired again", "broken domains") for side in "AB")):
            picture(f"{folder}/{i}.png")
        for folder in ("paired again", "broken pairs"):
            picture(f"{folder}/{i}.png", 40)
        for side in ("left", "right"):
            picture(f"two/{side}/{i}.png")
        picture(f"captioned again/{i}.png")
        (root / f"captioned again/{i}.txt").write_text("a green bird\n")
    (root / "texts").mkdir()
    for i in range(12):
        (root / f"texts/{i}.txt").write_text("a yellow bird\n")
    for folder in ("broken", "broken pairs", "broken domains/trainA"):
        (root / f"{folder}/damaged.png").write_bytes(b"no picture")
    np.save(root / "floats.npy", numbers.random((20, 1, 16, 16), dtype=np.float32))
    np.save(root / "nhwc.npy", numbers.random((20, 5, 16, 3), dtype=np.float32))
    save_file({name: torch.rand(20, 2) for name in ("a", "b")}, root / "several.safetensors")
    return root


@pytest.mark.parametrize(("component", "key", "at"), list(cases()))
def test_a_second_value_makes_a_difference(component, key, at, files, monkeypatch):
    assert at.value is not MISSING, f"SECOND names no second value of {component} {key}"
    monkeypatch.chdir(files)
    values, partners = usual(component)
    values, partners = {**values, **at.beside}, {**partners, **at.partners}
    tried = [(first_outcome(component, values, partners, here), here) for here in tried_on(component, at.data)]
    for first, here in sorted(tried, key=lambda pair: pair[0] == REFUSED):
        second = outcome(component, {**values, key: at.value}, partners, here)
        if not all(alike(a, b) for a, b in zip_longest(first, second, fillvalue={"missing": True})):
            return
    raise AssertionError(f"{component}: {key} = {at.value} makes no difference")


@pytest.mark.parametrize("component", COMPONENTS, ids=str)
def test_the_same_values_make_none(component, files, monkeypatch):
    """Without this the other test could not fail."""
    if component.name in ("sentence_transformer", "class_accuracy", "hub", "wandb"):
        pytest.skip("see NOT_TRIED")
    monkeypatch.chdir(files)
    for here in tried_on(component):
        first = first_outcome(component, *usual(component), here)
        again = list(outcome(component, *usual(component), here))
        assert len(again) == len(first)
        assert all(alike(a, b) for a, b in zip(first, again, strict=True))
        if first != REFUSED:
            return
    raise AssertionError(f"{component} refuses all data")


def test_the_tables_name_keys_that_there_are():
    there = {f"{c.role} {c.name}.{key.name}" for c in COMPONENTS for key in keys(c.settings)}
    assert {*SECOND, *NOT_TRIED} <= there
