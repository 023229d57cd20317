"""A small set of components to name in recipes.

Apart from conftest.py: several modules have that name, and a settings class's annotations are looked up in its module.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

from ganflow import key, part, settings
from ganflow.errors import SettingsError

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
