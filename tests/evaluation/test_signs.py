"""Vital signs against closed forms, and when a sign becomes an alarm."""

import json
import math
from dataclasses import replace

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from ganflow.engine.game import evaluating
from ganflow.engine.player import Part
from ganflow.engine.state import random_state
from ganflow.evaluation.health import DISTANCE, FIRST, SIGNS, Health
from ganflow.evaluation.vitals import EXAMPLES, Vitals, distances, energy, gradient_size, measure, nearest, slope, spread
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

RECIPE = """
name: vitals
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.0}
train: {rounds: 4, batch_size: 64, threads: 1, compile: never}
track: {mlflow: false}
"""


@pytest.fixture
def parts(tmp_path):
    """parts(changes…) → a run's parts, a few rounds played."""

    def build(*changes, rounds=3):
        path = tmp_path / "vitals.yaml"
        path.write_text(RECIPE)
        made = Parts(read_recipe(path, [*changes]))
        made.composition.begin(made.game)
        made.trainer.advance(rounds)
        return made

    return build


def test_the_energy_distance_of_two_points_far_apart_and_of_one_distribution():
    one, other = torch.zeros(64, 2), torch.ones(64, 2)
    assert energy(distances(one, other), 64).item() == pytest.approx(1.0)  # 2·√2 − 0 − 0 over 2·√2
    # Two points, half of each in both batches: E|X − Y| = ½, E|X − X'| = ½ · n / (n − 1) without the pair of itself.
    n = 64
    both = torch.tensor([0.0, 1.0]).repeat(n // 2)[:, None]
    assert energy(distances(both, both), n).item() == pytest.approx(max(0.0, 1 - n / (n - 1)), abs=1e-6)
    # Normal distributions at distance d: E|X − Y| by the folded normal's mean, with σ² = 2.
    seed = torch.Generator().manual_seed(0)
    d, x, y = 3.0, torch.randn(3000, 1, generator=seed), torch.randn(3000, 1, generator=seed) + 3.0
    across = 2 / math.sqrt(math.pi) * math.exp(-d * d / 4) + d * math.erf(d / 2)
    assert energy(distances(x, y), 3000).item() == pytest.approx(1 - (2 / math.sqrt(math.pi)) / across, abs=0.02)


def test_real_examples_that_are_nearest():
    """Sixty-four points on a line, and generated ones beside a quarter of them; beside one of eight modes, wide or narrow."""
    x = torch.arange(64.0)[:, None]
    assert nearest(distances(x, x[::4].repeat(4, 1) + 0.3), 64).item() == 16 / 64
    seed = torch.Generator().manual_seed(0)
    angles = torch.arange(64) % 8 * math.pi / 4
    for std in (0.001, 0.1):
        real = torch.stack((angles.cos(), angles.sin()), 1) + std * torch.randn(64, 2, generator=seed)
        alike, one = (torch.stack((a.cos(), a.sin()), 1) + std * torch.randn(64, 2, generator=seed) for a in (angles, 0 * angles))
        assert 0.3 < nearest(distances(real, alike), 64).item() < 0.7
        assert nearest(distances(real, one), 64).item() <= 8 / 64


def test_the_spread_is_the_root_of_the_total_variance():
    x = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    assert spread(x).item() == pytest.approx(math.sqrt(2 + 8))


SURE = 2 * (1 - 1 / (1 + math.exp(-5)))  # 1 − σ(5) of real examples, σ(−5) of generated ones


@pytest.mark.parametrize(("name", "share"), [("non_saturating", SURE), ("wasserstein", 1.0), ("lsgan", 9.0), ("hinge", 0.0)])
def test_the_slope_of_a_loss_at_chance_and_of_a_sure_critic(parts, name, share):
    """Of scores ±5, as a share of that of scores 0. LSGAN with labels 1 and 0: |5 − 1| + |−5| over |0 − 1| + 0."""
    loss = parts(f"loss={{use: {name}}}", rounds=1).game.loss
    chance = slope(loss, torch.zeros(16), torch.zeros(16)).item()
    assert chance == pytest.approx({"non_saturating": 1.0, "wasserstein": 2.0}.get(name, chance))
    assert slope(loss, torch.full((16,), 5.0), torch.full((16,), -5.0)).item() / chance == pytest.approx(share, rel=1e-5)


@pytest.mark.parametrize("value", ["detached", "elsewhere"])
def test_a_loss_that_does_not_depend_on_the_scores_has_no_slope(parts, value):
    loss = parts("loss={use: wasserstein}", rounds=1).game.loss
    loss.critic_loss = lambda real, fake: torch.zeros((), requires_grad=value == "elsewhere") * 1
    assert slope(loss, torch.zeros(16), torch.zeros(16)) is None


def test_what_is_measured_of_a_game(parts):
    made = parts()
    game, draws = made.game, made.trainer.drawn
    vitals = measure(game, draws, 3)
    real, z = draws["real"][-1][:EXAMPLES], draws["z"][-1][:EXAMPLES]
    with torch.no_grad(), evaluating(game):
        fake = game.generator(z)
        r, f = game.critic(real).flatten(), game.critic(fake).flatten()
    fields, scores = vitals.fields["real"], vitals.scores["real"]
    assert fields["spread"] == pytest.approx(math.sqrt(fake.var(0).sum()), rel=1e-5)
    assert fields["spread_real"] == pytest.approx(math.sqrt(real.var(0).sum()), rel=1e-5)
    assert scores["size"] == pytest.approx(max(r.abs().max().item(), f.abs().max().item()), rel=1e-6)
    order = sum((a > b) + 0.5 * (a == b) for a in r.tolist() for b in f.tolist()) / len(r) / len(f)
    assert scores["order"] == pytest.approx(order, abs=1e-6)
    assert fields["nearest"] == len(set(cdist(real, fake).argmin(0))) / len(real)


def test_the_gradient_that_an_optimizer_remembers(parts):
    """With beta1 = 0 the mean of Adam's gradients is the last one."""
    made = parts(rounds=0)
    trainer, game = made.trainer, made.game
    draws = trainer.peek(1)[0]
    step = game.step("critic", {name: t[0] for name, t in draws.items()})
    leaves = [leaf for part in game.players["critic"].parts for leaf in part.leaves]
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(sum(game.terms_of(step).values()), leaves)])
    trainer.advance(1)
    assert gradient_size(game.players["critic"].parts[0]).item() == pytest.approx(exact.square().mean().sqrt().item(), rel=1e-4)


def test_what_rmsprop_and_sgd_remember(parts):
    """RMSProp's momentum is one of steps, of which each is about 1, and no gradient: its mean of squares is. After one step
    that is (1 − α) g², SGD's momentum is g, and SGD without has nothing."""
    changes = {name: parts(f"optimizer={{use: {use}}}", rounds=1).game.players["generator"].parts[0] for name, use in (
        ("rmsprop", "rmsprop, momentum: 0.9"), ("sgd", "sgd, momentum: 0.9"))}  # fmt: skip
    exact = gradient_size(changes["sgd"]).item()
    assert 0 < exact < 0.1
    assert gradient_size(changes["rmsprop"]).item() == pytest.approx(math.sqrt(0.01) * exact, rel=0.2)
    assert gradient_size(parts("optimizer={use: sgd}", rounds=1).game.players["critic"].parts[0]) is None


@pytest.mark.slow  # they import torch._dynamo
@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.RMSprop])
def test_optimizers_of_torch_are_read_as_well(cls):
    module = nn.Linear(3, 2)
    part = Part("critic", module, lambda parameters: cls(parameters, lr=1e-3))
    for p in part.updated:
        p.grad = torch.full_like(p, 2.0)
    part.optimizer.step()
    kept = 0.1 * 2 if cls is torch.optim.Adam else math.sqrt(0.01) * 2  # (1 − β₁)·g, √(1 − α)·g
    assert gradient_size(part).item() == pytest.approx(kept, rel=1e-5)
    sgd = Part("critic", nn.Linear(3, 2), lambda parameters: torch.optim.SGD(parameters, lr=1e-3))
    assert gradient_size(sgd) is None


CHANGES = [
    ["loss={use: non_saturating}", "+modifiers={use: spectral_norm}", "generator.batch_norm=true"],
    ["data={use: digits, size: 16}", "generator={use: dcgan, width: 4}", "critic={use: dcgan, width: 4, norm: batch}",
     "train.batch_size=8", "+modifiers={use: ema}", "+modifiers={use: diffaugment}"],
    ["data={use: digits, size: 16}", "generator={use: conv_autoencoder, width: 4}", "critic=null", "loss={use: elbo}"],
    ["data={use: facades, size: 16}", "prior=null", "generator={use: unet, width: 4, dropout: 0.5}",
     "critic={use: patch, receptive_field: 16, width: 4, norm: batch}", "loss={use: pix2pix}", "train.batch_size=8"],
]  # fmt: skip


@pytest.mark.parametrize("changes", CHANGES, ids=["points", "digits", "vae", "pix2pix"])
def test_nothing_is_changed_by_being_measured(parts, changes):
    made = parts(*changes)
    tensors, _ = made.trainer.state()
    before, random = {name: t.clone() for name, t in tensors.items()}, random_state(made.game.device)
    modes = [m.training for m in made.game.modules()]
    assert measure(made.game, made.trainer.drawn, 3).fields
    after, _ = made.trainer.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(t, after[name]) for name, t in before.items())
    assert random[1] == random_state(made.game.device)[1]
    assert modes == [m.training for m in made.game.modules()]


def of(round, **numbers):
    """Vital signs in which only spread and order matter."""
    fields = {"real": {"spread": 1.0, "spread_real": 1.0, "energy": 0.0, **numbers.get("fields", {})}}
    scores = {"real": {"real": 1.0, "fake": 0.0, "size": 1.0, "order": 0.7, "slope": 0.9, **numbers.get("scores", {})}}
    return Vitals(round, fields, scores, numbers.get("over_z", {}), numbers.get("gradients", {}), numbers.get("at_limit"), 0.01)


SICK = {
    "collapse": {"fields": {"spread": 0.0001}},
    "blank pictures": {"fields": {"picture": 0.001, "picture_real": 0.6}},
    "z ignored": {"over_z": {"fixed": 0.001, "fixed_real": 1.0}},
    "critic saturated": {"scores": {"order": 1.0, "slope": 0.001}},
    "critic under-trained": {"scores": {"order": 0.5}, "fields": {"energy": 0.6}},
    "clip saturation": {"at_limit": 0.99},
    "gradient vanished (critic)": {"gradients": {"critic": 1e-12}},
    "gradient exploded (generator)": {"gradients": {"generator": 1e7}},
    "scores exploded": {"scores": {"size": 2e7}},
}


FALL = {"generator": 1e-12, "critic": 1e-12}
FLAT = {"at_limit": 0.31, "gradients": FALL}


@pytest.mark.parametrize("sign", SICK)
def test_a_sign_is_an_alarm_when_it_was_seen_twice_and_only_once(sign):
    health = Health(rounds=1000)
    checks = range(500, 1500, 100)
    found = [[alarm.sign for alarm in health.judge(of(round, **SICK[sign]))] for round in checks]
    assert found == [[], [sign], *[[]] * (len(checks) - 2)]


def test_there_is_a_case_of_every_sign():
    assert {sign.name for sign in SIGNS} == {*(name.partition(" (")[0] for name in SICK), "modes dropped"}


def test_a_flat_critic_is_blamed_on_its_clipping_and_on_nothing_else():
    """A share of weights that is far from all, and a generator's gradient of nothing; without either, other signs or none."""
    health = Health(rounds=1000)
    scores = {"real": 1e-9, "fake": -1e-9}
    (alarm,) = [alarm for n in (20, 40, 60) for alarm in health.judge(of(n, scores=scores, **FLAT))]
    assert (alarm.sign, alarm.round, alarm.value) == ("clip saturation", 40, 0.31)
    assert "31% of the critic's weights are at ±0.01, and its scores are flat: " in alarm.text
    assert " differ by 2e-09;" in alarm.text

    def signs(**numbers):
        one = Health(rounds=1000)
        return {alarm.sign for n in (20, 40, 60) for alarm in one.judge(of(n, **numbers))}

    assert signs(at_limit=0.31, gradients={"generator": 1e-6}) == set()  # as the paper's critic, which learns
    assert signs(at_limit=0.01, gradients=FALL) == {"gradient vanished (generator)", "gradient vanished (critic)"}
    assert signs(at_limit=0.31, scores=scores) == {"clip saturation"}  # of an optimizer that remembers no gradient
    assert signs(at_limit=0.31) == set()


@pytest.mark.parametrize("clipping", [{}, {"at_limit": 0.99}, FLAT], ids=["none", "almost all", "flat"])
def test_a_critic_no_better_than_chance_is_blamed_on_its_clipping_where_that_is_seen(clipping):
    far = {"fields": {"energy": 0.6}, "scores": {"order": 0.5, "real": 0.0, "fake": 0.0}}
    health = Health(rounds=1000)
    found = [alarm.sign for n in range(100, 1000, 100) for alarm in health.judge(of(n, **far, **clipping))]
    assert found == (["clip saturation"] if clipping else ["critic under-trained"])


def few(round, energy, near=0.05):
    return of(round, fields={"nearest": near, "energy": energy})


@pytest.mark.parametrize(
    ("energies", "rounds"),
    [
        ([0.5, 0.4, 0.3, 0.33, 0.35, 0.4, 0.4], [600]),  # it rose by more than a quarter, at 600 rounds
        ([0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12], []),  # slow, but it comes nearer
        ([0.5, 0.4, 0.08, 0.09, 0.09, 0.09, 0.09], []),  # near
        ([0.3, 0.05, 0.3, 0.05, 0.3, 0.05, 0.3], []),  # never long far
    ],
)
def test_modes_are_missing_where_few_real_examples_are_near_and_it_grows_worse(energies, rounds):
    health = Health(rounds=1000)
    found = [alarm for n, energy in enumerate(energies, 1) for alarm in health.judge(few(100 * n, energy))]
    assert [alarm.round for alarm in found if alarm.sign == "modes dropped"] == rounds
    short = Health(rounds=50)
    assert not [alarm for n in (20, 40, 50) for alarm in short.judge(few(n, 0.01 * n))]
    alone = Health(rounds=1000)  # without a critic: an autoencoder that blurs
    assert not [alarm for n, e in enumerate(energies, 1) for alarm in alone.judge(replace(few(100 * n, e), scores={}))]
    many = Health(rounds=1000)
    assert not [alarm for n, energy in enumerate(energies, 1) for alarm in many.judge(few(100 * n, energy, near=0.4))]


def test_a_sign_that_went_away_and_came_back_is_an_alarm_again():
    health, sick = Health(rounds=1000), SICK["scores exploded"]
    course = [1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1]
    found = [len(health.judge(of(100 * n, **(sick if seen else {})))) for n, seen in enumerate(course)]
    assert found == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_an_untrained_generator_is_no_collapse_and_one_that_fell_is():
    new, fallen = Health(rounds=1000), Health(rounds=1000)
    small = {"fields": {"spread": 0.008}}
    assert not [alarm for n in range(100, 1000, 100) for alarm in new.judge(of(n, **small))]
    fallen.judge(of(100))
    assert len([alarm for n in range(200, 1000, 100) for alarm in fallen.judge(of(n, **small))]) == 1


def test_two_checks_close_together_are_one():
    """The last check of a run that was to be shorter, and the next one of the run that goes on."""
    health = Health(rounds=1000)
    rounds = [6, 6 + DISTANCE - 1, 6 + DISTANCE, 26]
    assert [len(health.judge(of(n, **SICK["scores exploded"]))) for n in rounds] == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("slopes", "alarms"),
    [
        ([0.5, 1e-4, 1e-5, 1e-7], [60]),
        ([7e-4, 1e-4, 1e-5, 1e-7], [40]),
        ([1e-4, 2e-4, 3e-4, 4e-4], []),  # it recovers
        ([9e-3, 8e-3, 7e-3, 6e-3], []),  # not beyond doubt: for that it must last
        ([1e-4, 0.5, 1e-5, 0.5], []),
    ],
)
def test_a_critic_that_is_saturated_beyond_doubt_need_not_be_so_for_long(slopes, alarms):
    health = Health(rounds=100_000)
    sick = [of(20 * n, scores={"order": 1.0, "slope": slope}) for n, slope in enumerate(slopes, 1)]
    assert [alarm.round for vitals in sick for alarm in health.judge(vitals)] == alarms


SURELY = {"order": 1.0, "slope": 0.005}


def test_signs_of_the_beginning_are_left_alone():
    health = Health(rounds=100_000)
    assert not [alarm for n in range(100, 4000, 100) for alarm in health.judge(of(n, **SICK["collapse"]))]
    saturated = [alarm.round for n in range(1000, 20_000, 1000) for alarm in health.judge(of(n, scores=SURELY))]
    assert saturated == [11_000]  # a tenth of the rounds after it was first seen


COURSES = {
    "collapse": [of(n, **SICK["collapse"]) for n in range(100, 1000, 100)],
    "modes dropped": [few(100 * n, energy) for n, energy in enumerate([0.5, 0.4, 0.3, 0.3, 0.4, 0.4], 1)],
    "critic saturated": [of(20 * n, scores={"order": 1.0, "slope": 10.0 ** -n}) for n in range(3, 8)],
}


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("sign", COURSES)
def test_a_run_that_goes_on_is_judged_as_if_it_had_not_stopped(sign, cut):
    whole, first, second = (Health(rounds=1000) for _ in range(3))
    expected = [[a.text for a in whole.judge(vitals)] for vitals in COURSES[sign]]
    assert any(text.startswith(sign) for texts in expected for text in texts)
    found = [[a.text for a in first.judge(vitals)] for vitals in COURSES[sign][:cut]]
    second.load_state(json.loads(json.dumps(first.state())), COURSES[sign][cut - 1].round)
    assert found + [[a.text for a in second.judge(vitals)] for vitals in COURSES[sign][cut:]] == expected


def test_the_state_of_an_older_checkpoint_is_loaded():
    """Before there were courses with six numbers, and missing modes: a sign that was warned of is not warned of again."""
    old = {"courses": {"collapse": [100, 2, 0, True], "scores exploded": [100, 1, 0, False]}, "most": {"real": 0.9}}
    health = Health(rounds=1000)
    health.load_state(json.loads(json.dumps(old)), 200)
    sick = {"fields": SICK["collapse"]["fields"], "scores": SICK["scores exploded"]["scores"]}
    assert [alarm.sign for alarm in health.judge(of(300, **sick))] == ["scores exploded"]
    assert (health.checked, health.most) == (200, {"real": 0.9})


def test_checks_are_due_by_the_rounds_alone():
    def checks(rounds, reports):
        health, found = Health(rounds), []
        for round in reports:
            if health.due(round):
                found.append(round)
            health.checked = round
        return found

    assert checks(50, range(1, 51)) == [FIRST, 2 * FIRST, 50]
    assert checks(450, range(5, 451, 5)) == [20, 40, 60, 80, 100, 200, 300, 400, 450]
    assert checks(50_000, range(100, 50_001, 100))[:3] == [100, 500, 1000]
    assert checks(1000, [300, 500, 700, 1000]) == [300, 500, 700, 1000]
