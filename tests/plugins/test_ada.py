"""Adaptive augmentation: what is altered and how often, the course of p by hand, and its state in a run that resumes."""

import copy
import json
import math
from types import SimpleNamespace

import ganflow_regularize as regularize
import pytest
import torch
from ganflow_regularize import pipeline
from ganflow_regularize.adaptive import Adaptive, Altering
from ganflow_regularize.pipeline import Affine, Draws, alter, interpolated
from ganflow_vanilla.losses import HingeLoss, LeastSquaresLoss, NonSaturatingLoss, RelativisticLoss
from ganflow_vanilla.priors import NormalPrior
from torch import nn
from torch.nn import functional as F

from ganflow.contract.data import TensorData
from ganflow.engine.game import Game
from ganflow.errors import GanflowError
from ganflow.runs import finding

ALL = ["blit", "geometry", "color"]
ONE = torch.tensor(1.0)


def images(n=6, channels=3, height=12, width=16):
    return torch.randn(n, channels, height, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


# Alterations

@pytest.mark.parametrize("policy", [[name] for name in ALL] + [ALL])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_with_probability_zero_images_stay_as_they_are(policy, channels):
    x = images(channels=channels)
    made = alter(x, policy, torch.tensor(0.0))
    torch.testing.assert_close(made, x, rtol=0, atol=0 if channels == 1 or "color" not in policy else 1e-15)  # rounding, of grey


@pytest.mark.parametrize("policy", [[name] for name in ALL])
def test_about_a_share_p_is_altered_in_each_way(policy):
    """Mirrored is a half, a quarter turn three in four, a shift of up to two pixels 15 in 16 of those that are drawn."""
    x = images(400, 1, 16, 16).float()
    torch.manual_seed(0)
    changed = (alter(x, policy, torch.tensor(0.3)) != x).flatten(1).any(1).float().mean().item()
    blit = 1 - (1 - 0.15) * (1 - 0.225) * (1 - 0.3 * 15 / 16)
    ways = {"blit": blit, "geometry": 1 - 0.7**4, "color": 1 - 0.7**2 * 0.85}[policy[0]]
    assert changed == pytest.approx(ways, abs=0.08)


def warped(x, *changes):
    affine = Affine(x)
    for name, *numbers in changes:
        getattr(affine, name)(*(torch.full((len(x), 1, 1, 1), float(number), dtype=x.dtype) for number in numbers))
    return interpolated(x, affine)


def test_maps_against_torchs_operations():
    x = images(height=9, width=9)
    assert torch.equal(warped(x, ("times", -1, 0, 0, 1)), x.flip(3))
    assert torch.equal(warped(x, ("times", 0, -1, 1, 0)), x.rot90(1, (2, 3)))
    shifted = warped(x, ("shift", 2, -1))
    assert torch.equal(shifted[:, :, 1:, :-2], x[:, :, :-1, 2:])
    assert torch.equal(shifted[:, :, :, -1], warped(x, ("shift", 0, -1))[:, :, :, -3])  # mirrored at the border
    half = warped(x, ("shift", 0.5, 0))
    torch.testing.assert_close(half[:, :, :, :-1], (x[:, :, :, :-1] + x[:, :, :, 1:]) / 2)


def test_turns_and_scales_against_grid_sample():
    """torch's own sampling, whose second derivative there is not; inside, where the borders play no part."""
    x = images(2, 3, 17, 17)
    angle, scale = 0.4, 1.3
    made = warped(x, ("turn", angle), ("times", scale, 0, 0, 1 / scale))
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    matrix = matrix @ torch.diag(torch.tensor([scale, 1 / scale], dtype=torch.float64))
    theta = torch.cat((matrix, torch.zeros(2, 1, dtype=torch.float64)), 1).expand(2, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    expected = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    torch.testing.assert_close(made, expected)


def test_rectangles_are_altered_in_their_pixels():
    """A quarter turn of a rectangle shows its middle, turned, and mirrors what is missing."""
    x = images(1, 1, 8, 16)
    made = warped(x, ("times", 0, -1, 1, 0))
    assert torch.equal(made[0, 0, :, 4:12], x[0, 0, :, 4:12].rot90(1))


def test_colors_by_hand(monkeypatch):
    x = images(50)
    grey = x.mean(1, keepdim=True)

    class Only(Draws):
        def where(self, drawn, neutral, p=None):
            self.turn = getattr(self, "turn", -1) + 1
            return drawn if self.turn == self.which else torch.full_like(drawn, neutral)

    def changed(which):
        draws = Only(x, ONE)
        draws.which = which
        torch.manual_seed(0)
        return pipeline.color(x, draws)

    brighter = changed(0) - x
    torch.testing.assert_close(brighter, brighter[:, :1, :1, :1].expand_as(x))
    assert brighter[:, 0, 0, 0].std().item() == pytest.approx(0.2, rel=0.3)
    contrast = changed(1) / x
    torch.testing.assert_close(contrast, contrast[:, :1, :1, :1].expand_as(x))
    assert contrast[:, 0, 0, 0].log2().std().item() == pytest.approx(0.5, rel=0.3)
    inverted = changed(2)
    flipped = [torch.allclose(made, one - 2 * middle) for made, one, middle in zip(inverted, x, grey, strict=True)]
    kept = [torch.allclose(made, one) for made, one in zip(inverted, x, strict=True)]
    assert 10 < sum(flipped) < 40
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    hue = changed(3)
    torch.testing.assert_close(hue.mean(1, keepdim=True), grey)
    torch.testing.assert_close((hue - grey).norm(dim=1), (x - grey).norm(dim=1))  # turned about the grey axis
    assert not torch.allclose(hue, x)
    saturation = (changed(4) - grey) / (x - grey)
    torch.testing.assert_close(saturation, saturation[:, :1, :1, :1].expand_as(x))
    assert saturation[:, 0, 0, 0].log2().std().item() == pytest.approx(1.0, rel=0.3)


def test_it_is_differentiable_twice():
    x = images(1, 3, 3, 4).requires_grad_()

    def play(x):
        torch.manual_seed(0)
        return alter(x, ALL, ONE).square()

    assert torch.autograd.gradcheck(play, (x,))
    assert torch.autograd.gradgradcheck(play, (x,), fast_mode=True)


# The course of p

class Score(nn.Module):
    def __init__(self, shift=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))
        self.shift = shift
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return self.w * x.flatten(1).mean(1) + self.shift


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, z):
        return self.w * z[:, :, None, None].expand(-1, -1, 8, 8)


def game_of(loss, critic=None, real=1.0, **keys):
    data = TensorData("toy", {"real": torch.full((4, 1, 8, 8), real)})
    settings = regularize.ADA(**{"steps": 10, **keys})
    term = settings.terms()
    game = Game(data, NormalPrior(1), Generator(), critic or Score(), loss, [term])
    term.check(game)
    settings.game_built(game)
    return game, term


def stepped(game, real):
    """One step of the critic on such examples, and what it logs."""
    step = game.step("critic", {"real": torch.full((4, 1, 8, 8), real), "z": torch.tensor([[-2.0], [-3.0], [5.0], [6.0]])})
    terms = game.terms_of(step)
    for part in game.terms:
        part.critic_stepped({**{name: t.detach() for name, t in terms.items()}, **step.logged})
    return {name: t.item() for name, t in step.logged.items()}


def test_p_goes_up_while_the_critic_knows_real_images_and_down_again():
    game, term = game_of(NonSaturatingLoss(), policy=["blit"], highest=0.2)  # blit leaves constant images as they are
    seen = [stepped(game, 1.0) for _ in range(8)]
    assert [one["ada_sign"] for one in seen] == [1.0] * 8
    signs = [1 - 0.75**n for n in range(1, 9)]  # a running mean over about four steps
    assert term.sign.item() == pytest.approx(signs[-1])
    assert [sign > 0.6 for sign in signs] == [False] * 3 + [True] * 5
    assert [round(one["ada_p"], 6) for one in seen] == [0, 0, 0, 0, 0.1, 0.2, 0.2, 0.2]  # in steps of 1/10, up to the highest
    for _ in range(4):
        stepped(game, -1.0)
    assert term.p.item() == 0.0


def test_what_is_followed_depends_on_where_the_loss_has_its_zero():
    """Scores of a relativistic critic mean nothing by themselves: they are compared with those of generated images."""
    for loss in (NonSaturatingLoss(), HingeLoss()):
        assert stepped(game_of(loss, Score(-7.0), policy=["blit"])[0], 1.0)["ada_sign"] == -1.0
    for loss in (RelativisticLoss(), LeastSquaresLoss(0.0, 1.0, 1.0)):
        assert stepped(game_of(loss, Score(-7.0), policy=["blit"])[0], 1.0)["ada_sign"] == 0.0  # above two of four
        assert stepped(game_of(loss, Score(-7.0), policy=["blit"])[0], 7.0)["ada_sign"] == 1.0


def test_the_critic_sees_altered_images_in_training_alone_and_as_often_as_p_says():
    game, term = game_of(NonSaturatingLoss(), policy=["color"], start=0.0)
    x = images(8, 1, 8, 8).float()
    game.critic(x)
    assert torch.equal(game.critic.seen[-1], x)
    term.p.fill_(1.0)
    game.critic(x)
    assert not torch.equal(game.critic.seen[-1], x)
    game.eval()
    game.critic(x)
    assert torch.equal(game.critic.seen[-1], x)


def test_a_copy_of_the_game_alters_by_its_own_p():
    game, term = game_of(NonSaturatingLoss(), policy=["color"])
    other = copy.deepcopy(game, {id(game.data): game.data, id(game.prior): game.prior})
    (hook,) = other.critic._forward_pre_hooks.values()
    assert isinstance(hook, Altering)
    assert hook.adaptive is other.terms[0]
    assert hook.adaptive is not term


def test_what_it_does_not_fit_is_refused():
    term = Adaptive(0.6, 10, 0.8, 0.0, ALL)
    ring = TensorData("ring", {"real": torch.zeros(4, 2)})
    game = Game(ring, NormalPrior(2), nn.Sequential(nn.Linear(2, 2)), Score(), NonSaturatingLoss(), [term])
    with pytest.raises(GanflowError, match=r"modifier 'ada' alters images .* data 'ring' has shape \(2,\)"):
        term.check(game)
    pairs = SimpleNamespace(fields={"source": ring.fields["real"], "target": None}, name="pairs", shape=())
    pairs.fields = dict.fromkeys(("source", "target"), SimpleNamespace(is_image=True))
    conditional = SimpleNamespace(critic=Score(), domains=("target",), condition=("source",), data=pairs, parts=[term], loss=None)
    with pytest.raises(GanflowError, match="would move an image and not 'source'"):
        term.check(conditional)
    conditional.parts = [term, Adaptive(0.6, 10, 0.8, 0.0, ALL)]
    with pytest.raises(GanflowError, match="has it twice"):
        term.check(conditional)
    conditional.critic = None
    with pytest.raises(GanflowError, match="works on a critic"):
        term.check(conditional)
    with pytest.raises(ValueError, match=r"start: 0\.9 is above highest"):
        regularize.ADA(start=0.9)


RECIPE = """
name: adaptive
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: {use: non_saturating}
optimizer: {use: adam, lr: 1.0e-2}
modifiers: [{use: ada, steps: 20, target: -0.99}]
train: {rounds: 6, batch_size: 8, report_every: 1, checkpoint_every: 6, sample_every: 1000, compile: never, threads: 1, seed: 4}
track: {mlflow: false}
"""


def test_p_survives_a_resume(command, tmp_path):
    (tmp_path / "adaptive.yaml").write_text(RECIPE)
    assert command("run", "adaptive.yaml", "-q")[0] == 0
    assert command("run", "--resume", "latest", "-q", "train.rounds=12")[0] == 0
    (run,) = finding.all_runs(tmp_path / "runs")
    followed = [json.loads(line)["values"]["critic/ada_p"] for line in run.journal.read_text().splitlines()]
    assert followed == pytest.approx([0.05 * step for step in range(12)])  # whatever the scores, p rises
