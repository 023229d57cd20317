"""Networks that become programs, and what is said of those that cannot."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from ganflow.contract.data import Prior, TensorData
from ganflow.contract.loss import Loss
from ganflow.contract.signature import Signature
from ganflow.engine.game import Game
from ganflow.errors import GanflowError
from ganflow.export.programs import Program, programs_of


class Normal(Prior):
    shape = (3,)

    def sample(self, *lead: int, generator: Any = None, device: Any = "cpu") -> Tensor:
        return torch.randn((*lead, 3), generator=generator, device=device)

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        return torch.lerp(a, b, t[:, None])


class NoLoss(Loss):
    def generator_terms(self, step: Any) -> Any:
        return {}

    def critic_terms(self, step: Any) -> Any:
        return {}


def game_of(generator: nn.Module, size: tuple[int, ...] = (2,), **fields: Tensor) -> Game:
    """A game in which a generator makes examples of this size."""
    data = TensorData("points", {"real": torch.zeros(4, *size), **fields})
    return Game(data, Normal(), generator, None, NoLoss()).eval()


class Bent(nn.Module):
    """A linear layer, and something that a test adds."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z)


class ByLength(Bent):
    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z) + torch.zeros(len(z), 2)


class ByNumber(Bent):
    def forward(self, z: Tensor) -> Tensor:
        made = self.linear(z)
        return made * 2 if z.shape[0] > 16 else made


class ByValue(Bent):
    def forward(self, z: Tensor) -> Tensor:
        made = self.linear(z)
        return made if made.mean() > 0 else -made


class Drawing(Bent):
    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z) + random.random()


class Outer(nn.Module):
    """A network with another one inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), inner)

    def forward(self, z: Tensor) -> Tensor:
        return self.body(z)


@pytest.mark.parametrize(
    ("inner", "module", "reason"),
    [
        (ByLength(), "generator.body.1 (ByLength) is traced for some numbers of examples only", "x.shape[0], not len(x)"),
        (ByNumber(), "generator.body.1 (ByNumber) is traced for some numbers of examples only", "<= 16"),
        (ByValue(), "generator.body.1 (ByValue) cannot be traced", "data-dependent"),
    ],
)
def test_the_module_that_no_program_can_be_is_named(inner: nn.Module, module: str, reason: str) -> None:
    with pytest.raises(GanflowError) as raised:
        programs_of(game_of(Outer(inner)))
    text = str(raised.value)
    assert text.startswith("the generator's signature 'sample' (Outer) cannot be exported: ")
    assert module in text
    assert reason in text
    assert "\n" not in text
    assert "Traceback" not in text


def test_a_program_that_makes_something_else_is_refused() -> None:
    with pytest.raises(GanflowError, match="makes other numbers than the network"):
        programs_of(game_of(Drawing()))


def called(program: Program, *inputs: Tensor) -> Tensor:
    torch.manual_seed(0)
    made: Tensor = program.exported.module()(*inputs)
    return made.detach()


class ManyWays(nn.Module):
    """Several signatures: one of what another makes, one that makes no tensor, one whose number is the whole batch's."""

    signatures: ClassVar = {
        "code": Signature({"x": "real"}, "code", method="coded"),
        "sample": Signature({"z": "z"}, "real"),
        "decode": Signature({"code": "code"}, "real", method="decoded"),
        "told": Signature({"x": "real"}, "told", method="told"),
        "mean": Signature({"x": "real"}, "mean", method="mean"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, z: Tensor) -> Tensor:
        return self.out(z)

    def coded(self, x: Tensor) -> Tensor:
        return self.into(x)

    def decoded(self, code: Tensor) -> Tensor:
        return self.out(code)

    def told(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": x}

    def mean(self, x: Tensor) -> Tensor:
        return x.mean()


def test_every_signature_that_makes_tensors_is_a_program_with_its_own_weights() -> None:
    game = game_of(ManyWays())
    programs = programs_of(game)
    assert list(programs) == ["sample", "code", "decode"]
    assert {name: sum(t.numel() for t in p.exported.state_dict.values()) for name, p in programs.items()} == {
        "sample": 8, "code": 9, "decode": 8,
    }  # fmt: skip
    x, z = torch.randn(5, 2), torch.randn(6, 3)
    torch.testing.assert_close(called(programs["code"], x), game.call("code", x))
    torch.testing.assert_close(called(programs["decode"], z), game.call("decode", z))
    assert game.generator.out.weight is not None  # nothing is taken from the network itself


class Noisy(Bent):
    def forward(self, z: Tensor) -> Tensor:
        return nn.functional.dropout(self.linear(z), 0.5, training=True)


def test_a_network_that_draws_makes_the_same_after_the_same_seed() -> None:
    game = game_of(Noisy())
    program = programs_of(game)["sample"]
    assert program.called.random
    z = torch.randn(50, 3)
    torch.testing.assert_close(called(program, z), game.call("sample", z))


class Statistics(nn.Module):
    """Batch norm with the statistics of what it sees: an example by itself, in evaluation."""

    signatures: ClassVar = {"to_target": Signature({"x": "source"}, "target", multiple=4, smallest=4)}

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1, stride=2), nn.BatchNorm2d(channels, track_running_stats=False), nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_an_image_does_not_depend_on_those_beside_it_and_may_have_any_size() -> None:
    data = TensorData("pairs", {"target": torch.zeros(4, 1, 8, 8), "source": torch.zeros(4, 1, 8, 8)})
    game = Game(data, None, Statistics(), None, NoLoss()).eval()
    program = programs_of(game)["to_target"]
    assert program.called.inputs["x"].shape == (1, None, None)
    for x in (torch.randn(3, 1, 8, 8), torch.randn(2, 1, 13, 30), torch.randn(1, 1, 64, 9)):
        made = called(program, x)
        assert made.shape == x.shape
        torch.testing.assert_close(made, game.call("to_target", x), atol=1e-5, rtol=1e-4)


class Flat(nn.Module):
    signatures: ClassVar = {"reconstruct": Signature({"x": "real"}, "real")}

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_a_network_for_one_size_says_so(tmp_path: Path) -> None:
    program = programs_of(game_of(Flat(), (1, 8, 8)))["reconstruct"]
    assert program.called.inputs["x"].shape == program.called.output.shape == (1, 8, 8)
