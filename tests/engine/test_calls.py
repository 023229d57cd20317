"""What a generator can be called for, what it is conditioned on, and what is said where that does not fit."""

import pytest
import torch
from ganflow_vanilla.priors import NormalPrior
from torch import nn
from torch.nn import functional as F

from ganflow import GanflowError, ScoreLoss, Signature, TensorData
from ganflow.engine.game import Game


class Scores(ScoreLoss):
    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


class Convolves(nn.Module):
    """Images to images of the same size, by a convolution that wraps around the edges; with dropout that stays on."""

    def __init__(self, p=0.0):
        super().__init__()
        self.signatures = {"to_b": Signature({"x": "a"}, "b", multiple=4, smallest=5)}
        self.layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
        self.p = p

    def forward(self, x):
        return F.dropout(self.layer(x), self.p, training=True) if self.p else self.layer(x)


def images(generator, n=3):
    data = TensorData("images", {name: torch.rand(n, 1, 8, 8) for name in "ab"})
    return Game(data, None, generator, None, Scores())


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 8), (7, 9), (12, 6)])
def test_images_are_padded_to_a_multiple_and_what_is_made_is_cropped(height, width):
    torch.manual_seed(0)
    game = images(Convolves())
    x = torch.rand(3, 1, height, width)
    rows, columns = ([*range(side), *[side - 1] * (-side % 4)] for side in (height, width))  # the last one again and again
    with torch.no_grad():
        expected = game.generator.layer(x[:, :, rows][..., columns])[:, :, :height, :width]
    assert torch.equal(game.call("to_b", x=x), expected)


def test_images_that_are_too_small_and_signatures_that_are_not_there_are_refused():
    game = images(Convolves())
    with pytest.raises(ValueError, match=r"images of 4 × 8 are too small: the generator takes 5 pixels or more"):
        game.call("to_b", x=torch.rand(1, 1, 4, 8))
    with pytest.raises(ValueError, match=r"no signature 'to_c' \(there are: to_b\)"):
        game.call("to_c", x=torch.rand(1, 1, 8, 8))


def test_a_call_leaves_random_numbers_modes_and_devices_alone():
    game = images(Convolves(0.5)).double()
    x, before = torch.rand(4, 1, 8, 8), torch.get_rng_state()
    made = game.call("to_b", x=x, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (made.dtype, made.requires_grad, game.generator.training) == (torch.float32, False, True)
    assert torch.equal(made, game.call("to_b", x=x, seed=3))
    assert not torch.equal(made, game.call("to_b", x=x, seed=4))


def test_calls_are_of_the_average_and_of_any_number_at_a_time():
    torch.manual_seed(0)
    game = images(Convolves())
    x = torch.rand(7, 1, 8, 8)
    own = game.call("to_b", x=x)
    torch.testing.assert_close(game.call("to_b", x=x, batch=2), own, rtol=0, atol=1e-6)
    game.extras["average"] = Convolves()
    expected = game.extras["average"](x).detach()
    assert torch.equal(game.call("to_b", x=x), expected)
    assert not torch.equal(expected, own)


def test_where_batch_norm_keeps_no_statistics_every_example_is_alone():
    class Normalizes(Convolves):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1, track_running_stats=False)

        def forward(self, x):
            return self.norm(self.layer(x))

    game = images(Normalizes())
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        each = torch.cat([game.generator(one) for one in x.split(1)])
    torch.testing.assert_close(game.call("to_b", x=x), each, rtol=0, atol=1e-6)


class Maps(nn.Module):
    def __init__(self, **signatures):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        if signatures:
            self.signatures = signatures


PAIRS = TensorData("pairs", {"source": torch.rand(4, 2), "target": torch.rand(4, 2)})


@pytest.mark.parametrize(
    ("generator", "prior", "text"),
    [
        (Maps(to=Signature({"x": "sorce"}, "target")), None,
         r"^the generator's signature 'to' takes 'sorce', which is no field of data pairs; did you mean 'source'\?"),
        (Maps(to=Signature({"x": "source", "z": "z"}, "target")), None,
         r"^the generator's signature 'to' takes z, and the recipe has no prior: add prior: \{use: normal\}$"),
        (Maps(), None, r"^the recipe has no prior, and its generator no signatures .*: add prior: \{use: normal\}$"),
        (Maps(to=Signature({"x": "source"}, "codes")), None,
         r"^the generator makes no field of data pairs \(source, target\) from what a batch holds"),
        (Maps(to=Signature({"code": "codes"}, "target"), code=Signature({"x": "source"}, "codes")), None,
         r"^the generator makes no field of data pairs"),
    ],
)  # fmt: skip
def test_signatures_that_do_not_fit_the_data(generator, prior, text):
    with pytest.raises(GanflowError, match=text):
        Game(PAIRS, prior, generator, None, Scores())


def test_a_signature_takes_what_another_one_makes():
    signatures = {"code": Signature({"x": "source"}, "codes"), "decode": Signature({"code": "codes"}, "target"),
                  "to": Signature({"x": "source"}, "target")}  # fmt: skip
    game = Game(PAIRS, NormalPrior(2), Maps(**signatures), None, Scores())
    assert game.makers == {"target": "to"}  # the only one that makes it from what a batch holds
    assert game.domains == ("target",)


UNCONDITIONAL = '''
from torch import nn

from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2


@settings
class Flat:
    """A critic of whatever it is given, and of nothing besides."""

    @hookimpl
    def critic(self, data):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(1))


@hookimpl
def register(offer):
    offer("critic", "flat", Flat)
'''


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["condition=lable"], r"^condition: data 'digits' has no field 'lable'; did you mean 'label'\?"),
        (["condition=text"], r"^condition: data 'digits' has no field 'text'.*fields: real"),
        (["data={use: gaussians}", "generator={use: mlp}", "critic={use: mlp}", "condition=label"],
         r"^condition: data 'gaussians .*' has no field 'label'.*classes come with data digits, an image_folder with a folder"),
        (["critic=flat", "condition=label"],
         r"^condition: critic 'flat' takes none, and the recipe's is label; use another critic, or 'condition=\[\]'$"),
    ],
)  # fmt: skip
def test_conditions_that_do_not_fit(changes, text, building):
    build = building("flat", UNCONDITIONAL)
    with pytest.raises(GanflowError, match=text):
        build(*changes)
