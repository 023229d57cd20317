"""Generators that translate, and critics of patches: their keys."""

from __future__ import annotations

from typing import ClassVar, Literal

from ganflow import SettingsError, hookimpl, key, settings

FIELDS = [1, *(9 * 2**layers - 2 for layers in range(7))]  # 1, then with 0, 1, 2, … layers of stride 2


@settings
class UNet:
    """An encoder and a decoder with connections between layers of the same size: pix2pix (Isola et al. 2016,
    arXiv:1611.07004), for images whose sides can be halved a few times.

    At 256 pixels, with width 64 and batch norm, it is the paper's network: 54.41 million parameters. In the paper dropout
    stays on when an image is translated, which makes results random; here only with `dropout_at_translation: true`. Both
    ways between unpaired domains get a network each.
    """

    needs = (("data", "domains", "use data facades, street, horses or a folder of pairs"),)
    tried_with: ClassVar = {"width": 8}

    width: int = key(64, "channels of the first layer; twice as many at each further one, at most eight times", ge=1, le=4096)
    depth: int = key(0, "halvings; 0: as many as the images allow, until the shorter side is one pixel", ge=0, le=12)
    norm: Literal["batch", "instance"] = key("batch", "in every layer but the first, the innermost and the last")
    batch_statistics: bool = key(
        True, "batch norm uses the batch's statistics outside of training too, as in the paper; false: running averages"
    )
    dropout: float = key(0.5, "the share of values left out in the decoder's first three layers", ge=0, lt=1)
    dropout_at_translation: bool = key(False, "dropout outside of training too, as in the paper")
    upsample: Literal["deconv", "resize"] = key(
        "deconv", "transposed convolutions (the paper), or nearest neighbours and a convolution, against checkerboards"
    )

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_translation.nets.unet import generator

        return generator(
            data, self.width, self.depth, self.norm, self.batch_statistics, self.dropout, self.dropout_at_translation,
            self.upsample,
        )  # fmt: skip


@settings
class ResNetTranslator:
    """Residual blocks between two halvings and two doublings: CycleGAN (Zhu et al. 2017, arXiv:1703.10593).

    At 256 pixels it is the paper's network: 9 blocks, 11.37 million parameters (the authors' code has 5248 more: biases that
    the instance norm after them takes away). For images of 32 pixels, `downs: 1` keeps more of where things are. Both ways
    between unpaired domains get a network each.
    """

    needs = (("data", "domains", "use data facades, street, horses or a folder of pairs"),)
    tried_with: ClassVar = {"width": 8, "blocks": 1}

    width: int = key(64, "channels at full size; twice as many after each halving", ge=1, le=4096)
    blocks: int = key(0, "residual blocks; 0: 6 for images up to 128 pixels a side, 9 above", ge=0, le=100)
    downs: int = key(2, "halvings before the blocks, and doublings after them", ge=0, le=8)
    norm: Literal["instance", "batch"] = key("instance", "after every convolution but the last; instance has no scale or shift")
    dropout: float = key(0.0, "the share of values left out in the middle of each block", ge=0, lt=1)
    upsample: Literal["deconv", "resize"] = key(
        "deconv", "transposed convolutions (the paper), or nearest neighbours and a convolution, against checkerboards"
    )

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_translation.nets.resnet import generator

        return generator(data, self.width, self.blocks, self.downs, self.norm, self.dropout, self.upsample)


@settings
class Unit:
    """An encoder and a decoder for each of two unpaired domains, with one space of codes: UNIT (Liu et al. 2017,
    arXiv:1703.00848).

    The encoders' last residual blocks, and the decoders' first, are the same for both domains. In training a code is noisy,
    with variance 1; an image is translated by the code's mean.
    """

    needs = (("data", "domains", "use data facades, street, horses or a folder of pairs"),)
    tried_with: ClassVar = {"width": 8, "blocks": 1}

    width: int = key(64, "channels at full size; twice as many after each halving", ge=1, le=4096)
    blocks: int = key(3, "residual blocks of each encoder and decoder, besides the shared ones", ge=0, le=100)
    shared: int = key(1, "residual blocks shared by the encoders, and by the decoders; 0: none, against the paper", ge=0, le=100)
    downs: int = key(2, "halvings between an image and its code", ge=0, le=8)
    upsample: Literal["deconv", "resize"] = key(
        "deconv", "transposed convolutions (the paper), or nearest neighbours and a convolution, against checkerboards"
    )

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_translation.nets.unit import generator

        return generator(data, self.width, self.blocks, self.shared, self.downs, self.upsample)


@settings
class Patch:
    """A map of scores, each of which sees a patch of the image: PatchGAN (Isola et al. 2016, arXiv:1611.07004).

    With a receptive field of 70 pixels it is pix2pix's critic, with 6 channels 2.77 million parameters (the paper's norm is
    batch), and CycleGAN's (instance). Layers of stride 2 come before two of stride 1, all of kernel 4: 1 such layer makes
    16 pixels, 2 make 34, 3 make 70, 4 make 142, 5 make 286 (the paper's ImageGAN). 1 is the paper's PixelGAN; `full` goes on
    halving until one score is left of the whole image. Paired data are scored together, source and target; unpaired domains
    get a critic each.
    """

    tried_with: ClassVar = {"width": 8}

    receptive_field: int | Literal["full"] = key(70, "pixels a side that a score sees: 1, 7, 16, 34, 70, 142, 286, … or full")
    layers: int = key(0, "layers of stride 2, in place of receptive_field; 0: as that says", ge=0, le=12)
    width: int = key(64, "channels of the first layer; twice as many at each further one, at most eight times", ge=1, le=4096)
    norm: Literal["instance", "batch", "none"] = key("instance", "in every layer but the first and the last")

    def __post_init__(self) -> None:
        if isinstance(self.receptive_field, int) and self.receptive_field not in FIELDS:
            listed = ", ".join(map(str, FIELDS))
            raise SettingsError([("receptive_field", f"no layers have {self.receptive_field}: take {listed} or full")])

    @hookimpl
    def critic(self, data, condition):
        from ganflow_translation.nets.patch import critic

        return critic(data, condition, self.width, self.norm, self.receptive_field, self.layers)


@settings
class Multiscale:
    """A map of scores from the image, one from its half, one from its quarter, by a critic each: UNIT's code (Liu et al. 2017,
    arXiv:1703.00848) and pix2pixHD (Wang et al. 2017, arXiv:1711.11585).

    Every critic is layers of kernel 4 and stride 2, then a 1 × 1 convolution: with 4 of them a score sees 46, 92 and 184
    pixels of the image. Paired data are scored together, source and target; unpaired domains get such critics each.

    Both papers' objectives sum the scales' losses: beside a loss's other terms, three scales then weigh three times one's.
    """

    tried_with: ClassVar = {"width": 8}

    scales: int = key(0, "sizes of the image; 0: three, or as many as it is large enough for", ge=0, le=8)
    layers: int = key(4, "layers of stride 2 of each critic", ge=1, le=12)
    width: int = key(64, "channels of the first layer; twice as many at each further one", ge=1, le=4096)
    norm: Literal["none", "instance", "batch"] = key("none", "in every layer but the first and the last")
    reduction: Literal["sum", "mean"] = key("sum", "of the scales' losses", before={2: "mean"})

    @hookimpl
    def critic(self, data, condition):
        from ganflow_translation.nets.multiscale import critic

        return critic(data, condition, self.width, self.norm, self.scales, self.layers, self.reduction == "sum")


OFFERS = [
    ("generator", "unet", UNet),
    ("generator", "resnet_translator", ResNetTranslator),
    ("generator", "unit", Unit),
    ("critic", "patch", Patch),
    ("critic", "multiscale", Multiscale),
]
