"""Packed trials: each trial's trajectory is that of its own run."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from ganflow.engine.state import load_random_state
from ganflow.engine.trainer import Diverged
from ganflow.packed import Member, PackedTrainer, worth_packing
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

RECIPE = """
name: packed
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers: []
train: {rounds: 40, n_critic: 2, batch_size: 16, precision: fp64, compile: never}
track: {mlflow: false}
"""
ROUNDS = 40  # more than two passes over the examples


@pytest.fixture
def build(tmp_path):
    """build(what all trials change, [what each changes]) → members."""
    path = tmp_path / "packed.yaml"
    path.write_text(RECIPE)

    def member(changes):
        parts = Parts(read_recipe(path, changes))
        parts.composition.begin(parts.game)
        return Member(parts.recipe, parts.trainer)

    return lambda common, trials: [member([*common, *own]) for own in trials]


def snapshot(trainer):
    """Everything that a checkpoint keeps."""
    tensors, plain = trainer.state()
    return {name: t.clone() for name, t in tensors.items()}, copy.deepcopy(plain)


def alone(members, rounds=ROUNDS):
    """What each trial's own run reports, and where it leads."""
    found = []
    for member in members:
        load_random_state(member.trainer.game.device, *member.random)
        report = member.trainer.advance(rounds)
        found.append((report, *snapshot(member.trainer)))
    return found


def assert_trial(found, expected, label="", atol=1e-12):
    (tensors, plain), (own_tensors, own_plain) = found, expected
    assert plain == own_plain
    assert list(tensors) == list(own_tensors)
    for name, t in own_tensors.items():
        if name.startswith(("random.", "feed.")):
            assert torch.equal(tensors[name], t), name
        else:
            torch.testing.assert_close(
                tensors[name], t, rtol=1e-9, atol=atol, msg=lambda text, name=name: f"{label} {name}: {text}"
            )


def assert_all(packed, expected, atol=1e-12):
    for i, (_, *own) in enumerate(expected):
        with packed.member(i) as trainer:
            assert_trial(snapshot(trainer), own, f"trial {i}", atol)


def clip(c):
    return f"modifiers=[{{use: weight_clip, c: {c}}}]"


def penalties(a, b):
    return f"modifiers=[{{use: r1, weight: {a}}}, {{use: r2, weight: {b}}}]"


def optimizer(use, **numbers):
    return f"optimizer={{use: {use}, {', '.join(f'{k}: {v}' for k, v in numbers.items())}}}"


def gp(weight, target, seed):
    return [f"modifiers=[{{use: gradient_penalty, weight: {weight}, target: {target}}}]", f"train.seed={seed}"]


def players(lr, alpha):
    return [f"optimizer={{generator: {{use: adam, lr: 1e-3}}, critic: {{use: rmsprop, lr: {lr}, alpha: {alpha}}}}}"]


RATES = [["optimizer.lr=1e-3"], ["optimizer.lr=5e-4", "train.seed=2"]]
GAMES = {
    "clip, one seed": ([], [[clip(0.05)], [clip(0.1), "optimizer.lr=1e-3"], [clip(0.02), "optimizer.lr=2e-4"]]),
    "adam, some seeds": (
        ["loss=non_saturating"],
        [[optimizer("adam", lr=1e-3, beta2=0.9)], [optimizer("adam", lr=2e-3, beta1=0.9), "train.seed=1"], ["optimizer=adam"]],
    ),
    "an optimizer for each player": (["loss=hinge"], [players(1e-3, 0.9), players(2e-3, 0.99)]),
    "numbers that are zero": (
        ["loss=minimax"],
        [[optimizer("adamw", lr=1e-3, weight_decay=w), f"loss.label_smoothing={a}"] for w, a in [(0, 0), (0.1, 0.2)]],
    ),
    "momentum": (
        ["loss=lsgan"],
        [[optimizer("sgd", momentum=m, nesterov="true", weight_decay=w), f"loss.b={m}"] for m, w in [(0.5, 0), (0.9, 0.01)]],
    ),
    "rmsprop with all its numbers": (
        [],
        [[optimizer("rmsprop", momentum=m, weight_decay=m / 10, eps=m / 100)] for m in (0.5, 0.9)],
    ),
    "r1 and r2": (["loss=relativistic", "optimizer=adam"], [[penalties(1, 2)], [penalties(0.1, 0)]]),
    "random ε": (["train.n_critic=3"], [gp(1, 1, 0), gp(3, 0.5, 0), gp(1, 0, 5)]),
    "average": ([], [[f"modifiers=[{{use: ema, decay: {d}, warm_up: false}}]"] for d in (0.9, 0.99)]),
    "average that warms up": ([], [[f"modifiers=[{{use: ema, decay: {d}}}]"] for d in (0.5, 0.99)]),
    "spectral norm": (["modifiers=[{use: spectral_norm}]", "loss=hinge"], RATES),
    "batch norm": (["generator.batch_norm=true", clip(0.05)], RATES),
    "schedules": (
        [clip(0.05)],
        [["schedule={use: cosine}"], ["schedule={use: step, every: 7}", "optimizer.lr=1e-3"], []],
    ),
    "clipped gradients": ([], [["train.clip_grad=0.1"], ["train.clip_grad=0.5"]]),
    "micro-batches": (["train.accumulate=2", clip(0.05)], RATES),
    "data and priors of their own": (["prior=uniform"], [["prior.low=-2"], ["data.layout=grid"]]),
}


@pytest.mark.parametrize("game", GAMES)
def test_a_packed_trial_goes_where_its_own_run_goes(build, game):
    common, trials = GAMES[game]
    packed = PackedTrainer(build(common, trials))
    expected = alone(build(common, trials))
    reports = packed.advance(ROUNDS)
    assert_all(packed, expected)
    for report, (own, *_) in zip(reports, expected, strict=True):
        assert report.rates == own.rates
        assert report.terms == pytest.approx(own.terms, rel=1e-6)  # terms are read in single precision
        assert report.estimates == pytest.approx(own.estimates, rel=1e-6)


DROPOUT = '''
GANFLOW_CONTRACT = 2

from ganflow import hookimpl, settings


@settings
class Forgetful:
    """Draws in every forward pass."""

    @hookimpl
    def critic(self, data):
        from torch import nn

        return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


@hookimpl
def register(offer):
    offer("critic", "forgetful", Forgetful)
'''


def test_dropout(build, workshop):
    workshop.install("forget", DROPOUT)
    workshop.catalogue()
    game = ["critic=forgetful", clip(0.05)], [["train.seed=1"], ["optimizer.lr=1e-3"]]
    packed = PackedTrainer(build(*game))
    expected = alone(build(*game))
    packed.advance(ROUNDS)
    assert_all(packed, expected)


def test_streamed_data(build, tmp_path):
    """Each trial's examples come in its own order, from its own threads."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), "uint8")):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    game = [f"data={{use: image_folder, path: {folder}, size: 8, in_memory: never}}"], [*RATES, ["train.seed=0"]]
    packed = PackedTrainer(build(*game))
    expected = alone(build(*game), 10)
    packed.advance(10)
    assert_all(packed, expected)


IMAGES = ["data={use: digits, size: 16}", "prior.dim=8", "train.n_critic=1", "optimizer=adam"]


@pytest.mark.rare
@pytest.mark.parametrize("network", ["dcgan", "resnet"])
def test_images(build, network):
    """Convolutions gain nothing on a CPU, and are right."""
    networks = [f"generator={{use: {network}, width: 2}}", f"critic={{use: {network}, width: 2, norm: layer}}"]
    game = [*IMAGES, *networks, "modifiers=[{use: diffaugment}, {use: ema}]", "train.channels_last=true"], RATES
    packed = PackedTrainer(build(*game))
    expected = alone(build(*game), 20)
    packed.advance(20)
    assert_all(packed, expected, atol=1e-10)  # a bias in front of a norm has no gradient but rounding


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions(build, precision):
    """The same but for rounding: what a packed trial is off is a small share of the way that its own run went."""
    game = [f"train.precision={precision}", "optimizer=adam"], RATES
    members = build(*game)
    start = [snapshot(m.trainer)[0] for m in members]
    packed = PackedTrainer(members)
    packed.advance(5)
    for i, (_, tensors, _) in enumerate(alone(build(*game), 5)):
        with packed.member(i) as trainer:
            found = snapshot(trainer)[0]
        names = [name for name in tensors if name.startswith("game.")]
        off = sum((found[name] - tensors[name]).square().sum() for name in names) ** 0.5
        way = sum((start[i][name] - tensors[name]).square().sum() for name in names) ** 0.5
        assert off < (0.25 if precision == "bf16" else 0.01) * way


def test_a_trial_comes_from_a_checkpoint_and_goes_back_to_its_own_run(build):
    """Packed in the middle of a run: begun alone, packed, and gone on with alone."""
    game = [optimizer("adam", lr=1e-3), "train.n_critic=1"], [gp(1, 1, 0), gp(3, 0.5, 1)]
    members = build(*game)
    for i, member in enumerate(members):
        load_random_state(member.trainer.game.device, *member.random)
        member.trainer.advance(7)
        members[i] = Member(member.recipe, member.trainer)
    packed = PackedTrainer(members)
    assert packed.round == 7
    packed.advance(18)
    for i, (again, (_, *own)) in enumerate(zip(build(*game), alone(build(*game), 30), strict=True)):
        with packed.member(i) as trainer:
            again.trainer.load_state(*snapshot(trainer))
        load_random_state(again.trainer.game.device, *packed.packed.randoms[i])
        again.trainer.advance(30)
        assert_trial(snapshot(again.trainer), own)


def test_what_is_done_in_a_trial_s_name_is_done_to_it_alone(build):
    """Random numbers that its metrics draw, weights that a listener changes: as in its own run."""
    game = [], [gp(1, 1, 0), gp(3, 1, 1)]

    def disturb(trainer):
        torch.rand(3)
        with torch.no_grad():
            trainer.game.critic[1].weight.mul_(1.1)

    packed = PackedTrainer(build(*game))
    packed.advance(5)
    with packed.member(1) as trainer:
        disturb(trainer)
    packed.advance(10)
    members = build(*game)
    expected = []
    for i, member in enumerate(members):
        load_random_state(member.trainer.game.device, *member.random)
        member.trainer.advance(5)
        if i == 1:
            disturb(member.trainer)
        member.trainer.advance(10)
        expected.append((None, *snapshot(member.trainer)))
    assert_all(packed, expected)


def test_one_trial_diverges_and_the_others_go_on(build):
    game = ["optimizer=sgd"], [["optimizer.lr=1e-3"], ["optimizer.lr=1e300"], ["optimizer.lr=2e-3"]]
    packed = PackedTrainer(build(*game))
    reports = [packed.advance(20), packed.advance(40)]
    lost = reports[0][1]
    assert isinstance(lost, Diverged)
    assert lost is reports[1][1] is packed.lost[1]
    members = build(*game)
    with pytest.raises(Diverged, match=str(lost).replace("(", ".")):
        members[1].trainer.advance(20)
    for i in (0, 2):
        with packed.member(i) as trainer:
            found = snapshot(trainer)
        assert_trial(found, alone([members[i]], 40)[0][1:])
        assert reports[1][i].round == 40


def test_whose_draws_were_shared_goes_on_with_them(build):
    """One seed, and the first trial, which draws for all, diverges."""
    game = ["optimizer=sgd"], [["optimizer.lr=1e300"], ["optimizer.lr=1e-3"], ["optimizer.lr=2e-3"]]
    packed = PackedTrainer(build(*game))
    packed.advance(20)
    assert list(packed.lost) == [0]
    packed.drop(0)
    packed.advance(40)
    members = build(*game)
    for i in (1, 2):
        with packed.member(i) as trainer:
            found = snapshot(trainer)
        assert_trial(found, alone([members[i]], 40)[0][1:])


def test_nothing_is_left_behind(build):
    """Packing draws nothing that training would miss, and changes neither the trials nor the process."""
    members = build([], [gp(1, 1, 0), gp(3, 1, 1)])
    torch.manual_seed(77)
    before = [snapshot(m.trainer) for m in members]
    PackedTrainer(members)
    assert torch.initial_seed() == 77
    for m, (tensors, plain) in zip(members, before, strict=True):
        found, found_plain = snapshot(m.trainer)
        assert found_plain == plain
        assert all(torch.equal(found[name], t) for name, t in tensors.items())


def test_it_stops_when_told(build):
    packed = PackedTrainer(build([], RATES))
    packed.advance(3)
    packed.stop = True
    assert [report.round for report in packed.advance(100)] == [3, 3]


@pytest.mark.slow
def test_compiled(build):
    common, trials = [optimizer("adam", lr=1e-3), "train.n_critic=1"], [gp(1, 1, 0), gp(3, 0.5, 1), gp(0.1, 0, 2)]
    packed = PackedTrainer(build(common, trials))
    packed.compile()
    packed.advance(ROUNDS)
    assert_all(packed, alone(build(common, trials)))


def test_when_it_pays(build):
    (small,) = build([], [[]])
    train = small.recipe.train
    assert worth_packing(small.trainer.game, 16, train, 100_000) == (True, "")
    assert worth_packing(small.trainer.game, 1, train, 100_000) == (False, "one trial is not a pack")
    pays, why = worth_packing(small.trainer.game, 16, train, 20)  # as asked, but it is said
    assert pays
    assert why.endswith("more than it saves of 20 rounds of its trials; tune.pack=1 may be faster")
    (images,) = build(["data={use: digits, size: 16}", "generator={use: dcgan, width: 2}", "critic={use: dcgan, width: 2}"], [[]])
    pays, why = worth_packing(images.trainer.game, 16, images.recipe.train, 100_000)
    assert not pays
    assert "convolutions of many trials at once" in why
