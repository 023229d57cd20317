"""ganflow.testing on generators and critics: good ones pass, and every rule has one that breaks it."""

import pytest
import torch
from conformance_helpers import part, passes, refused
from torch import nn

from ganflow import Signature
from ganflow.testing import check_component
from ganflow.testing.stand_ins import captioned, classed, images, pairs, points, two_domains


class Generator(nn.Module):
    """From z, and a class if there is one, to points or images."""

    def __init__(self, data, condition=()):
        super().__init__()
        self.shape, self.layer = data.shape, nn.Linear(8, data.held_out["real"][0].numel())
        self.table = nn.Embedding(3, 8) if condition else None

    def forward(self, z, label=None):
        return self.layer(z if label is None else z + self.table(label)).tanh().unflatten(1, self.shape)


class Unused(Generator):
    def __init__(self, data, condition=()):
        super().__init__(data)
        self.more = nn.Linear(2, 2)


class Root(Generator):
    def forward(self, z):
        return super().forward(z) + (0 * self.layer.weight.sum()).sqrt()


class Cut(Generator):
    def forward(self, z):
        return super().forward(z).detach()


class Wide(Generator):
    def forward(self, z):
        return 3 + super().forward(z)


class Constant(Generator):
    def forward(self, z):
        return super().forward(torch.zeros_like(z))


class Deaf(Generator):
    """Has a table of classes, and the first class's row for all."""

    def forward(self, z, label):
        return super().forward(z, 0 * label)


class Encoding(Generator):
    """With a signature for codes."""

    size = 8

    def __init__(self, data, condition=()):
        super().__init__(data)
        self.scale, inputs = nn.Parameter(torch.ones(())), {"x": "real"}
        self.signatures = {"sample": Signature({"z": "z"}, "real"), "encode": Signature(inputs, "z", "encode")}

    def encode(self, x):
        return self.scale * x.flatten(1)[:, : self.size]


class ShortCodes(Encoding):
    size = 6


class TwoCodes(Encoding):
    def encode(self, x):
        return super().encode(x), x


@pytest.mark.parametrize(
    ("generator", "fragment", "data"),
    [
        (lambda data, condition: "network", "hook 'generator' gave str, not Module", points),
        (lambda data, condition: nn.Linear(8, 3), "its signature 'sample' gives shape (8, 3), not (8, 2)", points),
        (Wide, "its signature 'sample' leaves the data's range [-1.0, 1.0]", images),
        (Unused, "the generator's parameter more.weight has no gradient", points),
        (Cut, "the generator's parameter layer.weight has no gradient", points),
        (Root, "has a gradient that is not finite", points),
        (Constant, "what its signature 'sample' gives does not depend on 'z'", points),
        (Deaf, "what its signature 'sample' gives does not depend on 'label'", classed),
        (Encoding, "no signature that makes real has 'label' as an input", classed),
        (ShortCodes, "its signature 'encode' gives shape (8, 6), not (8, 8)", images),
        (TwoCodes, "its signature 'encode' gives a tuple, not a tensor", images),
        (Generator, "'source' is what the generator makes, and cannot be its condition", pairs),
    ],
)
def test_generators_that_break_the_contract(generator, fragment, data):
    about = data() if data is not pairs else with_real(pairs())
    refused("generator", lambda self, data, condition: generator(data, condition), fragment, about)


def with_real(data):
    """Pairs whose first field a plain module makes."""
    data.held_out = {"real": data.held_out["source"], **data.held_out}
    return data


@pytest.mark.parametrize(("generator", "data"), [(Generator, points), (Generator, classed), (Encoding, images)])
def test_generators_pass(generator, data):
    passes("generator", lambda self, data, condition: generator(data, condition), data())


def test_the_parameters_that_a_loss_trains_have_a_gradient_beside_it():
    class Spread(Generator):
        def __init__(self, data, condition=()):
            super().__init__(data)
            self.log_sigma = nn.Parameter(torch.zeros(()))
            self.signatures = {"sample": Signature({"z": "z"}, "real"), "sigma": Signature({"x": "real"}, "sigma", "sigma")}

        def sigma(self, x):
            return self.log_sigma.exp().expand(len(x))

    passes("generator", lambda self, data: Spread(data))

    class Hidden(Spread):
        def __init__(self, data):
            super().__init__(data)
            del self.signatures["sigma"]

    refused("generator", lambda self, data: Hidden(data), "parameter log_sigma has no gradient: it is used by no signature")


class Translator(nn.Module):
    """Halves and doubles once; images in multiples of `multiple`."""

    def __init__(self, multiple=2, smallest=4, steps=1):
        super().__init__()
        down = [nn.Conv2d(3 if i == 0 else 4, 4, 2, 2) for i in range(steps)]
        up = [nn.ConvTranspose2d(4, 4 if i < steps - 1 else 3, 2, 2) for i in range(steps)]
        self.layers = nn.Sequential(*down, *up)
        names = {"to_target": ("source", "target")}
        self.signatures = {
            name: Signature({"x": origin}, to, multiple=multiple, smallest=smallest) for name, (origin, to) in names.items()
        }

    def forward(self, x):
        return self.layers(x).tanh()


class Cropping(Translator):
    """Of images that are not square it makes square ones."""

    def forward(self, x):
        side = min(x.shape[2:])
        return super().forward(x)[:, :, :side, :side]


class Checking(Translator):
    def forward(self, x):
        if x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError("multiples of 4")
        return super().forward(x)


@pytest.mark.parametrize(
    ("translator", "fragment"),
    [
        (Checking, "its signature 'to_target' says multiple=2 and smallest=4, and refuses 4 × 6: multiples of 4"),
        (lambda: Translator(steps=2), "says multiple=2 and smallest=4, and makes (4, 4) of 4 × 6"),
        (Cropping, "says multiple=2 and smallest=4, and makes (4, 4) of 4 × 6"),
        (lambda: Translator(smallest=2, steps=2), "says multiple=2 and smallest=2"),
    ],
)
def test_limits_of_sizes_are_tried(translator, fragment):
    refused("generator", lambda self, condition: translator(), fragment, pairs())


def test_a_translator_passes():
    passes("generator", lambda self, condition: Translator(), pairs())


class Critic(nn.Module):
    """Scores by one layer; another one for each class."""

    def __init__(self, data, condition=()):
        super().__init__()
        self.layer = nn.Linear(next(iter(data.held_out.values()))[0].numel(), 3 if condition else 1)

    def forward(self, x, label=None):
        scores = self.layer(x.flatten(1))
        return scores[:, 0] if label is None else scores.gather(1, label[:, None])[:, 0]


class Averaging(Critic):
    def forward(self, x):
        return super().forward(x).mean(0, keepdim=True)


class Blind(Critic):
    def forward(self, x):
        return super().forward(torch.zeros_like(x))


class Loose(Critic):
    def forward(self, x):
        return super().forward(x).detach()


class Wordless(Critic):
    """The sum of the pixels: nothing is learnt."""

    def forward(self, x):
        return x.flatten(1).sum(1)


class DeafCritic(Critic):
    def forward(self, x, label):
        return self.layer(x.flatten(1)).sum(1)


class Tuple(Critic):
    def forward(self, x):
        return [super().forward(x)]


class Several(Critic):
    """A score, a second one, and classes."""

    auxiliary, score_weights = ("classes",), {"fine": 0.5}

    def __init__(self, data, condition=()):
        super().__init__(data)
        self.classes = nn.Linear(self.layer.in_features, 3)

    def forward(self, x, label=None):
        score = super().forward(x)
        return {"fine": score, "coarse": score.tanh(), "classes": self.classes(x.flatten(1))}


class NoHead(Several):
    def forward(self, x, label=None):
        made = super().forward(x)
        return {"fine": made["fine"] + made["classes"].sum(1), "coarse": made["coarse"]}


class HeadAlone(Several):
    auxiliary, score_weights = ("fine", "coarse", "classes"), {}


class Weighted(Several):
    score_weights = {"finest": 0.5}  # noqa: RUF012


class Idle(Several):
    def forward(self, x, label=None):
        made = super().forward(x)
        return {**made, "classes": made["classes"].detach() + made["fine"][:, None]}


class TwoFields(Critic):
    """Of two domains, by name."""

    def forward(self, x, domain):
        return super().forward(x) if domain == "a" else -super().forward(x)


@pytest.mark.parametrize(
    ("critic", "fragment", "data"),
    [
        (lambda data, condition: "network", "hook 'critic' gave str, not Module", points),
        (Averaging, "scores of 8 examples have shape (1,)", points),
        (Blind, "no gradient of the scores arrives at the examples", points),
        (Wordless, "the critic's parameter layer.weight has no gradient", points),
        (Loose, "no gradient of the scores arrives at the examples", points),
        (Tuple, "it gives a list; it must give a tensor, or a mapping", points),
        (DeafCritic, "its scores do not depend on 'label'", classed),
        (NoHead, "its attribute `auxiliary` names 'classes', and it gives fine, coarse", classed),
        (HeadAlone, "all that it gives is auxiliary", classed),
        (Weighted, "its attribute `score_weights` names 'finest', and its scores are fine, coarse", classed),
        (Idle, "the critic's parameter classes.weight has no gradient", classed),
        (Critic, "judges one field: its forward has no argument `domain`", two_domains),
    ],
)
def test_critics_that_break_the_contract(critic, fragment, data):
    refused("critic", lambda self, data, condition: critic(data, condition), fragment, data())


@pytest.mark.parametrize(
    ("critic", "data"), [(Critic, points), (Critic, classed), (Several, classed), (Several, images), (TwoFields, two_domains)]
)
def test_critics_pass(critic, data):
    passes("critic", lambda self, data, condition: critic(data, condition), data())


def test_a_network_that_takes_no_condition_is_tried_without_one():
    check_component(part("critic", lambda self, data: Critic(data)), classed())
    check_component(part("generator", lambda self, data: Generator(data)), captioned())


def test_modifiers_of_networks():
    def cut(self):
        network = yield
        return nn.Sequential(network, nn.Unflatten(0, (-1, 2)))

    refused("modifier", cut, "scores of 8 examples have shape (4, 2)", hook="critic", wrapper=True)

    def blow_up(self, game):
        with torch.no_grad():
            for p in game.parameters_of("critic"):
                p.fill_(float("inf"))

    refused("modifier", blow_up, "not finite", hook="critic_stepped")
