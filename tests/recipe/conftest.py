"""A small set of installed components, and a way to read recipes and see what is wrong with them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from ganflow import key, part, settings
from ganflow.errors import GanflowError, RecipeError, SettingsError
from ganflow.plugins import Catalogue, Component, Plugin
from ganflow.recipe import Recipe, read_recipe

Edge = Enum("Edge", ["zero", "wrap"])


@settings
class Digits:
    size: int = key(16, "pixels", ge=8, le=128)
    mean: float = 0.0


@settings
class Folder:
    path: str = key(doc="folder of images")
    crop: tuple[int, int] | None = None


@settings
class Normal:
    dim: int = key(100, ge=1)


@settings
class Mlp:
    width: int = key(64, ge=1)
    widths: list[int] | int = 128
    slope: float | list[float] = 0.2
    norm: Literal["batch", "none", "on"] = "none"
    bias: bool = True
    dropout: float | None = None


@settings
class Dcgan:
    width: int = key(64, ge=1)
    edge: Edge = Edge.zero
    title: str = ""


@settings
class Patch:
    layers: int = 3


@settings
class Loss:
    weight: float = 1.0


@settings
class Cycle:
    """A loss within which there is another."""

    adversarial: Any = part("loss", "hinge")
    extra: Any = part("loss")
    cycle: float = key(10.0, ge=0)


@settings
class Hinge:
    margin: float = key(1.0, gt=0)


@settings
class Adam:
    lr: float = key(2e-4, "learning rate", gt=0)
    betas: tuple[float, float] = (0.5, 0.999)


@settings
class Sgd:
    lr: float = key(0.1, gt=0)
    momentum: float = 0.0


@settings
class Linear:
    start: float = key(0.5, ge=0, le=1)


@settings
class Clip:
    c: float = key(0.01, gt=0)


@settings
class Ema:
    decay: float = key(0.999, gt=0, lt=1)
    tags: dict[str, int] = key({})


@settings
class Frechet:
    n: int = key(2048, ge=2)
    even: bool = False

    def __post_init__(self) -> None:
        if self.even and self.n % 2:
            raise SettingsError([("n", f"{self.n} is odd")])
        if self.n == 13:
            raise ValueError("thirteen brings bad luck")
        if self.n == 666:
            raise RuntimeError("broken")


OFFERS = {
    "std": [
        ("data", "digits", Digits), ("data", "folder", Folder), ("prior", "normal", Normal),
        ("generator", "dcgan", Dcgan), ("generator", "mlp", Mlp), ("critic", "dcgan", Dcgan), ("critic", "mlp", Mlp),
        ("critic", "patch", Patch), ("loss", "wasserstein", Loss), ("loss", "hinge", Hinge), ("loss", "cycle", Cycle),
        ("optimizer", "adam", Adam), ("optimizer", "sgd", Sgd), ("schedule", "linear", Linear),
        ("modifier", "clip", Clip), ("modifier", "ema", Ema), ("metric", "frechet", Frechet),
    ],
    "acme": [("metric", "twice", Linear), ("critic", "vast", Mlp)],
    "other": [("metric", "twice", Linear)],
}  # fmt: skip

GOOD = """\
# ganflow run recipes/good.yaml
# Something good.
name: good
data: {use: digits, size: 32}
prior: {use: normal, dim: 100}
generator: {use: dcgan, width: 32}
critic: {use: dcgan, width: 32}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 5.0e-5}
modifiers:
  - {use: clip, c: 0.01}
  - ema
train: {rounds: 1000, n_critic: 5, batch_size: 64, seed: 0}
metrics: [{use: frechet, n: 512}]
"""


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue(
        [
            Plugin(plugin, f"gf_{plugin}", f"gf-{plugin}", "1.0", None, tuple(Component(r, n, plugin, c) for r, n, c in offers))
            for plugin, offers in OFFERS.items()
        ]
    )


class Reader:
    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self.folder, self.catalogue = folder, catalogue

    def __call__(self, text: str | bytes = GOOD, *overrides: str, file: str = "r.yaml") -> Recipe:
        """The recipe that this text is."""
        (self.folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
        return read_recipe(file, overrides, self.catalogue)

    def problems(self, text: str | bytes, *overrides: str, file: str = "r.yaml") -> list[str]:
        """Everything that is wrong with it, as it is printed; never empty."""
        with pytest.raises(RecipeError) as caught:
            self(text, *overrides, file=file)
        printed = str(caught.value).split("\n")
        assert len(printed) == len(caught.value.problems) >= 1
        return printed

    def problem(self, text: str | bytes, *overrides: str) -> str:
        """The only thing that is wrong with it."""
        (only,) = self.problems(text, *overrides)
        return only

    def refused(self, text: str | bytes, *overrides: str) -> str:
        with pytest.raises(GanflowError) as caught:
            self(text, *overrides)
        return str(caught.value)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path, catalogue)


@pytest.fixture
def good() -> str:
    return GOOD
