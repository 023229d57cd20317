"""Sizes that do not go together: check --build and run refuse them in the same sentence, which says where, and what helps."""

import pytest

RECIPE = """
name: small
data: {use: digits, size: 8}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: hinge
optimizer: adam
train: {rounds: 1, batch_size: 4, compile: never}
track: {mlflow: false}
"""

PLUGIN = '''
"""Networks whose sizes are keys, whatever prior and data are."""
import math

from ganflow import AddedTerms, Signature, hookimpl, key, settings

GANFLOW_CONTRACT = 2


def made_of(data, inputs):
    from torch import nn

    return nn.Sequential(nn.Linear(inputs, math.prod(data.shape)), nn.Unflatten(1, tuple(data.shape)), nn.Tanh())


@settings
class Fixed:
    """Makes examples from so many numbers."""

    takes: int = key(8, "numbers")
    width: int = key(16, "of the second layer's inputs")

    @hookimpl
    def generator(self, data, prior):
        from torch import nn

        return nn.Sequential(nn.Linear(self.takes, 16), nn.ReLU(), made_of(data, self.width))


@settings
class Coder:
    """Encodes examples as so many numbers, and decodes draws of the prior."""

    code: int = key(8, "numbers")

    @hookimpl
    def generator(self, data, prior):
        from ganflow_autoencoder.networks import PlainAutoencoder
        from torch import nn

        encoder = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(data.shape), self.code))
        return PlainAutoencoder(encoder, made_of(data, prior.shape[0]))


@settings
class Shared:
    """Codes of two fields, and translations by way of them."""

    a: int = key(8, "numbers of a's code")
    b: int = key(8, "numbers of b's code")
    decoded: int = key(8, "numbers that decoders take")

    @hookimpl
    def generator(self, data):
        from torch import nn

        sizes, decoded = {"a": self.a, "b": self.b}, self.decoded

        class Network(nn.Module):
            signatures = {
                **{f"encode_{d}": Signature({"x": d}, "code", "encode", {"domain": d}) for d in "ab"},
                **{f"decode_{d}": Signature({"code": "code"}, d, "decode", {"domain": d}) for d in "ab"},
                **{f"to_{d}": Signature({"x": other}, d, "translate", {"to": d}) for d, other in ("ab", "ba")},
            }

            def __init__(self):
                super().__init__()
                self.encoders = nn.ModuleDict({d: nn.Linear(math.prod(data.shape), n) for d, n in sizes.items()})
                self.decoders = nn.ModuleDict({d: made_of(data, decoded) for d in "ab"})

            def encode(self, x, domain):
                return self.encoders[domain](x.flatten(1))

            def decode(self, code, domain):
                return self.decoders[domain](code)

            def translate(self, x, to):
                return self.decode(self.encode(x, "b" if to == "a" else "a"), to)

        return Network()


@settings
class Info:
    """Scores, and so many numbers of a code."""

    code: int = key(3, "numbers")

    @hookimpl
    def critic(self, data):
        from torch import nn

        code = self.code

        class Network(nn.Module):
            auxiliary = ("code",)

            def __init__(self):
                super().__init__()
                self.score, self.q = nn.Linear(math.prod(data.shape), 1), nn.Linear(math.prod(data.shape), code)

            def forward(self, x):
                return {"score": self.score(x.flatten(1))[:, 0], "code": self.q(x.flatten(1))}

        return Network()


class CodeTerms(AddedTerms):
    def critic_terms(self, step):
        return {}

    def generator_terms(self, step):
        return {"information": (step.auxiliary(step.fake(), "code") - step.batch["z"][:, -2:]).square().mean()}


@settings
class Information:
    """The distance of the critic's code from the last two numbers of z."""

    @hookimpl
    def terms(self):
        return CodeTerms()


@settings
class Small:
    """A first stage whose pictures have so many pixels a side."""

    side: int = key(8, "pixels")

    @hookimpl
    def generator(self, data, prior, condition):
        from torch import nn

        side = self.side

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.make = nn.Linear(prior.shape[0], data.shape[0] * side * side)

            def forward(self, z, text):
                return self.make(z).view(-1, data.shape[0], side, side)

        return Network()


@hookimpl
def register(offer):
    offer("critic", "info", Info)
    offer("modifier", "information", Information)
    for name, settings in {"fixed": Fixed, "coder": Coder, "shared": Shared, "small": Small}.items():
        offer("generator", name, settings)
'''
TWO = ("data={use: street, size: 16, train: 8, held_out: 4}", "prior=null", "critic={use: patch, receptive_field: 7, width: 4}",
       "loss=cycle")  # fmt: skip
BIRDS = ("data={use: birds, size: 32, train: 4, held_out: 8, encoder: bag_of_words}", "loss=stackgan",
         "critic={use: stackgan, width: 4}")  # fmt: skip


@pytest.fixture
def recipe(tmp_path, workshop, monkeypatch):
    workshop.install("sizes", PLUGIN)
    workshop.catalogue()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE)
    return "small.yaml"


CASES = {
    "prior": (
        ["generator=fixed"],
        ["generator 'fixed' does not take latents of shape (4,) from prior 'normal'", "in its layer 0, Linear", "which gets (4,)",
         "set prior.dim=8, or"],
        "prior.dim=8",
    ),
    "layers": (
        ["generator={use: fixed, takes: 4, width: 9}"],
        ["generator 'fixed' does not take latents", "in its layer 2.0, Linear", "plugins show generator/fixed prior/normal"],
        "generator.width=16",
    ),
    "autoencoder": (
        ["generator=coder", "loss=reconstruction", "critic=null"],
        ["generator 'coder': its signature 'encode' makes 'z' of shape (8,), and prior 'normal' draws it of shape (4,): set "
         "prior.dim=8, or change"],
        "prior.dim=8",
    ),
    "shared codes": (
        [*TWO, "generator={use: shared, b: 6}"],
        ["signature 'encode_b' makes 'code' of shape (6,), and its signature 'encode_a' makes it of shape (8,)"],
        "generator.b=8",
    ),
    "decoders": (
        [*TWO, "generator={use: shared, decoded: 5}"],
        ["signature 'decode_a' does not take 'code' of shape (8,), as its signature 'encode_a' makes it", "layer decoders.a.0",
         "by its keys (ganflow plugins show generator/shared)"],
        "generator.decoded=8",
    ),
    "a critic's code": (
        ["critic=info", "modifiers=[information]"],
        ["the modifier 'information' cannot be computed for generator 'mlp', critic 'info', prior 'normal' and data 'digits': "],
        "critic.code=2",
    ),
    "stages": (
        [*BIRDS, "generator={use: stackgan_stage2, width: 4, factor: 2, skips: true, stage1: {use: small, side: 15}}"],
        ["generator 'stackgan_stage2'", "does not take 'z' of shape (4,) and 'text' of shape"],
        "generator.stage1.side=16",
    ),
    "a critic of one field": (
        [*TWO, "generator={use: resnet_translator, width: 4, blocks: 1}", "critic={use: mlp, width: 4}"],
        ["critic 'mlp' does not take examples", "is called with 'x' and 'domain', for the recipe generates 'b' and 'a'"],
        "critic={use: patch, receptive_field: 7, width: 4}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "says", "mended"), CASES.values(), ids=CASES)
def test_sizes_that_differ_are_one_sentence_that_helps(recipe, command, tmp_path, changes, says, mended):
    assert command("check", recipe, *changes)[0] == 0  # quick, and says that there is more
    refused = command("check", "--build", recipe, *changes)
    assert (refused[0], refused[1], refused[2].count("\n")) == (2, "", 1)
    for text in says:
        assert text in refused[2]
    assert command.refused("run", recipe, *changes) == f"ganflow: {refused[2].strip()}"
    assert not (tmp_path / "runs").exists()
    code, _, err = command("check", "--build", recipe, *changes, mended)
    assert (code, err) == (0, "") or "stands on an earlier run's generator, and the recipe names no such run" in err


def test_stages_that_do_not_follow_each_other(recipe, command, tmp_path):
    """The first would be trained for nothing."""
    first = RECIPE.replace("name: small", "name: first").replace("\n", "\n    ").rstrip()
    alike = first.replace("name: first", "name: second")
    other = alike.replace("generator: {use: mlp, width: 8", "generator: {use: mlp, width: 9")
    stages = "name: both\nstages:\n  - {}\n  - {}\n"
    for name, last, wanted in (("alike", alike, 0), ("other", other, 2)):
        (tmp_path / f"{name}.yaml").write_text(stages.format(first.strip(), last.strip()))
        assert command("check", f"{name}.yaml")[0] == 0
        code, _, err = command("check", "--build", f"{name}.yaml")
        assert code == wanted
    assert err == ("train.start_from: the generator of run 'first' is not this recipe's network: 1.weight, 1.bias, 3.weight "
                   "differ; give both the same keys\n")  # fmt: skip
    assert command.refused("run", "other.yaml") == f"ganflow: {err.strip()}"
    assert not (tmp_path / "runs").exists()


def test_what_it_starts_from_is_looked_at(recipe, command):
    assert "no runs in" in command("check", "--build", recipe, "train.start_from=latest")[2]
