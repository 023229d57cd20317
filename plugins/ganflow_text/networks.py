"""Generators and the critic of StackGAN: their keys."""

from __future__ import annotations

from typing import Any, Literal

from ganflow import SettingsError, build_part, hookimpl, key, part, settings

DIM = "numbers of c, what the generator is told of a sentence"
AUGMENT = "draw c from N(μ(e), σ(e)²), as in the paper; false: c = μ(e)"
NOISE = "what c is drawn with: torch's random numbers in training, and outside c = μ(e); or always the last `dim` numbers of z"


def check_noise(augment: bool, noise: str) -> None:
    if noise == "prior" and not augment:
        raise SettingsError([("noise", "nothing is drawn with augment: false; leave it out")])


@settings
class Stage1:
    """From a sentence and z to a small picture: StackGAN's Stage I (Zhang et al. 2016, arXiv:1612.03242), for square pictures of
    16, 32, 64, … pixels.

    Conditioning augmentation, a linear layer to 4 × 4, and as many doublings as the size needs, by nearest neighbours and a
    convolution. At 64 pixels with width 96 it is the authors' network.

    The authors draw c when they sample, too: `noise: prior` with a prior of as many more numbers as c has. Otherwise what a
    generator learnt to vary by c's noise, it does not vary outside of training.
    """

    width: int = key(96, "channels at full size; twice as many at each coarser one", ge=1, le=4096)
    dim: int = key(128, DIM, ge=1, le=4096)
    augment: bool = key(True, AUGMENT)
    noise: Literal["training", "prior"] = key("training", NOISE)

    def __post_init__(self) -> None:
        check_noise(self.augment, self.noise)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_text.nets.stage1 import Stage1 as Network

        return Network(data, prior, self.width, self.dim, self.augment, self.noise == "prior")


@settings
class Stage2:
    """From Stage I's picture and the sentence to a larger one: StackGAN's Stage II (Zhang et al. 2016, arXiv:1612.03242).

    `stage1` has the keys of an earlier run's generator, whose weights `train.start_from` brings in; it trains no more. At 256
    pixels with factor 4, width 128 and 4 blocks it is the authors' network for birds (2 blocks for COCO).
    """

    stage1: Any = part("generator", "stackgan_stage1", "Stage I, as it was trained")
    factor: Literal[2, 4] = key(4, "the picture's side is so many times Stage I's")
    onto: bool = key(False, "paint on top of Stage I's picture, enlarged; the paper paints anew from what is seen of it")
    skips: bool = key(False, "set what was seen on the way down beside what is doubled (a U-Net); the paper does not")
    width: int = key(128, "channels after the first layer; four times as many where the picture is smallest", ge=4, le=4096)
    blocks: int = key(4, "residual blocks", ge=0, le=100)
    dim: int = key(128, DIM, ge=1, le=4096)
    augment: bool = key(True, AUGMENT)
    noise: Literal["training", "prior"] = key("training", NOISE)

    def __post_init__(self) -> None:
        check_noise(self.augment, self.noise)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_text.nets.stage2 import Stage2 as Network

        def earlier(smaller):
            return build_part(self.stage1, "generator", data=smaller, prior=prior, condition=condition)

        drawn = prior if self.noise == "prior" else None
        return Network(data, earlier, self.factor, self.width, self.blocks, self.dim, self.augment, self.onto, self.skips, drawn)


@settings
class Critic:
    """Scores a picture and a sentence together: the matching-aware critic (Reed et al. 2016, arXiv:1605.05396; Zhang et al. 2016,
    arXiv:1612.03242, section 3.3).

    At 64 pixels with width 64 it is the authors', with the paper's 1 × 1 convolution over picture and sentence.
    """

    width: int = key(64, "channels of the first layer; twice as many at each further one, at most eight times", ge=1, le=4096)
    dim: int = key(128, "numbers that the sentence's vector is compressed to", ge=1, le=4096)
    norm: Literal["batch", "instance", "layer", "none"] = key("batch", "after every layer but the first and the last")
    projection: bool = key(False, "add the product of picture and sentence (Miyato & Koyama 2018, arXiv:1802.05637)")

    @hookimpl
    def critic(self, data, condition):
        from ganflow_text.nets.critic import Critic as Network

        return Network(data, self.width, self.dim, self.norm, self.projection)


OFFERS = [
    ("generator", "stackgan_stage1", Stage1),
    ("generator", "stackgan_stage2", Stage2),
    ("critic", "stackgan", Critic),
]
