"""Generators and critics for points and images of any size: plain, convolutional and residual."""

from functools import partial
from typing import Literal

from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2

GENERATORS = "how a condition enters: batch_norm (a scale and shift per class), or concat (an embedding beside z)"
CRITICS = "how a condition enters: projection (on the features), or concat (an embedding beside the example)"
EMBEDDING = "with conditioning: concat, numbers that each field of the condition becomes"
CLASSIFIER = "a class field, as label: the critic also says which class it sees, and has no condition (ACGAN); empty: it does not"
CLASSES = property(lambda critic: ("classes",) if critic.classifier else ())
IMAGES_TO_MAKE = (("data", "images", "use generator mlp"),)
IMAGES_TO_SEE = (("data", "images", "use critic mlp"),)


@settings
class MLPGenerator:
    """Linear layers from z to samples of any shape, images too. The output is squashed by tanh to the data's range, or
    linear where the data are unbounded.

    The plane's toy problems are usually played with width 512, depth 3 (Gulrajani et al. 2017, arXiv:1704.00028).
    """

    requires = ("prior",)
    gives = ()

    width: int = key(128, "units of each hidden layer", ge=1, le=65536)
    depth: int = key(2, "hidden layers", ge=0, le=100)
    widths: list[int] = key([], "units of the hidden layers one by one, in place of width and depth", ge=1, le=65536)
    activation: Literal["relu", "leaky_relu", "elu", "silu", "gelu", "tanh"] = key("relu", "after each hidden layer")
    batch_norm: bool = key(False, "batch norm after each hidden layer")
    conditioning: Literal["batch_norm", "concat"] = key("concat", GENERATORS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_networks import conditional
        from ganflow_networks.mlp import generator

        plain = partial(generator, data, prior, self.widths or [self.width] * self.depth, self.activation, self.batch_norm)
        return conditional.generator("mlp", self.conditioning, self.embedding, plain, data, condition)


@settings
class MLPCritic:
    """Linear layers from samples of any shape, images too, to one score (Goodfellow et al. 2014, arXiv:1406.2661)."""

    width: int = key(128, "units of each hidden layer", ge=1, le=65536)
    depth: int = key(2, "hidden layers", ge=0, le=100)
    widths: list[int] = key([], "units of the hidden layers one by one, in place of width and depth", ge=1, le=65536)
    activation: Literal["relu", "leaky_relu", "elu", "silu", "gelu", "tanh"] = key(
        "leaky_relu", "after each hidden layer; leaky_relu has slope 0.2"
    )
    fourier: int = key(0, "sines and cosines of the example, so many each, that the first layer gets beside it", ge=0, le=65536)
    wavelengths: list[float] = key([0.1, 10.0], "of these: the shortest and the longest, in the data's units", gt=0)
    conditioning: Literal["projection", "concat"] = key("projection", CRITICS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)
    classifier: str = key("", CLASSIFIER)

    def __post_init__(self) -> None:
        if len(self.wavelengths) != 2 or self.wavelengths[0] > self.wavelengths[1]:
            raise ValueError("wavelengths are two numbers, [shortest, longest]")

    gives = CLASSES

    @hookimpl
    def critic(self, data, condition):
        from ganflow_networks import conditional
        from ganflow_networks.mlp import critic

        plain = partial(critic, data, self.widths or [self.width] * self.depth, self.activation, self.fourier, self.wavelengths)
        how = (self.conditioning, self.embedding, self.classifier)
        return conditional.critic("mlp", *how, plain, data, condition, planes=False)


@settings
class DCGANGenerator:
    """Transposed convolutions from z to an image: DCGAN (Radford et al. 2015, arXiv:1511.06434), for any size from 16 to
    512 pixels a side, up to 16 times `width` channels.

    With width 64 and 64 pixels it is the paper's network: 512-256-128-64 channels at 4, 8, 16 and 32 pixels. Weights
    start from N(0, 0.02²), batch norm's from N(1, 0.02²).
    """

    requires = ("prior",)
    gives = ()
    needs = IMAGES_TO_MAKE

    width: int = key(64, "channels of the last hidden layer; twice as many at each coarser one", ge=1, le=4096)
    norm: Literal["batch", "instance", "layer", "none"] = key("batch", "after every layer but the last")
    conditioning: Literal["batch_norm", "concat"] = key("batch_norm", GENERATORS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_networks import conditional
        from ganflow_networks.dcgan import generator

        plain = partial(generator, data, prior, self.width, self.norm)
        return conditional.generator("dcgan", self.conditioning, self.embedding, plain, data, condition)


@settings
class DCGANCritic:
    """Strided convolutions from an image to one score: DCGAN (Radford et al. 2015, arXiv:1511.06434), for any size from
    16 to 512 pixels a side, up to 16 times `width` channels.

    With width 64 and 64 pixels it is the paper's network: 64-128-256-512 channels, LeakyReLU of slope 0.2. With a
    gradient penalty take `norm: layer` or `none`: batch norm mixes examples.
    """

    needs = IMAGES_TO_SEE

    width: int = key(64, "channels of the first layer; twice as many at each further one", ge=1, le=4096)
    norm: Literal["batch", "instance", "layer", "none"] = key("batch", "after every layer but the first and the last")
    conditioning: Literal["projection", "concat"] = key("projection", CRITICS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)
    classifier: str = key("", CLASSIFIER)

    gives = CLASSES

    @hookimpl
    def critic(self, data, condition):
        from ganflow_networks import conditional
        from ganflow_networks.dcgan import critic

        plain = partial(critic, data, self.width, self.norm)
        how = (self.conditioning, self.embedding, self.classifier)
        return conditional.critic("dcgan", *how, plain, data, condition, planes=True)


@settings
class ResNetGenerator:
    """Residual blocks from z to an image: WGAN-GP and SNGAN (Gulrajani et al. 2017, arXiv:1704.00028; Miyato et al. 2018,
    arXiv:1802.05957), for any size from 16 to 512 pixels a side.

    Width 128 with growth 1 at 32 pixels is WGAN-GP's network for CIFAR-10 (SNGAN: width 256); width 64 with growth 2 at
    64 pixels is their network for larger images. Beyond that take a smaller width, with growth 2: memory is what it has at
    full size.
    """

    requires = ("prior",)
    gives = ()
    needs = IMAGES_TO_MAKE

    width: int = key(128, "channels at full size", ge=1, le=4096)
    growth: int = key(1, "factor on the channels at each coarser size", ge=1, le=2)
    norm: Literal["batch", "instance", "layer", "none"] = key("batch", "before every activation")
    conditioning: Literal["batch_norm", "concat"] = key("batch_norm", GENERATORS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_networks import conditional
        from ganflow_networks.resnet import generator

        plain = partial(generator, data, prior, self.width, self.growth, self.norm)
        return conditional.generator("resnet", self.conditioning, self.embedding, plain, data, condition)


@settings
class ResNetCritic:
    """Residual blocks from an image to one score, for any size from 16 to 512 pixels a side: WGAN-GP's (Gulrajani et al. 2017,
    arXiv:1704.00028), and with `pool: sum` SNGAN's (Miyato et al. 2018, arXiv:1802.05957), which needs `spectral_norm` beside it.

    Halves the image until its side is 8 to 15, then two more blocks, the mean or sum over pixels and a linear layer. Width 128 at
    32 pixels is their network for CIFAR-10: of WGAN-GP with the mean over pixels, as its code has it; of SNGAN with the sum, as
    BigGAN has it too. The sum of 8 × 8 pixels is 64 times their mean, and so are scores and their slopes.
    """

    needs = IMAGES_TO_SEE

    width: int = key(128, "channels at full size", ge=1, le=4096)
    growth: int = key(1, "factor on the channels at each coarser size", ge=1, le=2)
    norm: Literal["batch", "instance", "layer", "none"] = key("none", "before every activation but the first block's")
    pool: Literal["mean", "sum"] = key("mean", "over the pixels of the last block: mean (WGAN-GP's code) or sum (SNGAN, BigGAN)")
    conditioning: Literal["projection", "concat"] = key("projection", CRITICS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)
    classifier: str = key("", CLASSIFIER)

    gives = CLASSES

    @hookimpl
    def critic(self, data, condition):
        from ganflow_networks import conditional
        from ganflow_networks.resnet import critic

        plain = partial(critic, data, self.width, self.growth, self.norm, self.pool)
        how = (self.conditioning, self.embedding, self.classifier)
        return conditional.critic("resnet", *how, plain, data, condition, planes=True)


BLOCKS = "residual blocks at each size"
EXPANSION = "times as many channels within a block"
GROUP = "channels of each group of a block's 3 × 3 convolution"
MOST = "channels of the coarsest four sizes; half as many at each finer one"


@settings
class R3GANGenerator:
    """Residual blocks of grouped convolutions from z to an image, without norms: R3GAN (Huang et al. 2024, arXiv:2501.05441), for
    any size from 16 to 512 pixels a side.

    The defaults are the paper's networks for CIFAR-10 and FFHQ, with a prior of 64 numbers: 20.7 million weights at 32 pixels,
    23.1 at 256. A condition enters beside z. Ends with tanh, by which samples are in the data's range; the paper's is linear.
    """

    requires = ("prior",)
    gives = ()
    needs = IMAGES_TO_MAKE

    width: int = key(768, MOST, ge=1, le=4096)
    blocks: int = key(2, BLOCKS, ge=1, le=100)
    expansion: int = key(2, EXPANSION, ge=1, le=16)
    group: int = key(16, GROUP, ge=1, le=4096)
    embedding: int = key(16, "numbers beside z that each field of a condition becomes", ge=1, le=4096)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_networks import conditional
        from ganflow_networks.r3gan import generator

        plain = partial(generator, data, prior, self.width, self.blocks, self.expansion, self.group)
        return conditional.generator("r3gan", "concat", self.embedding, plain, data, condition)


@settings
class R3GANCritic:
    """The mirror image of generator `r3gan`, from an image to one score: R3GAN (Huang et al. 2024, arXiv:2501.05441), for any
    size from 16 to 512 pixels a side. With the loss `relativistic` and the modifiers `r1` and `r2` it needs no other trick."""

    needs = IMAGES_TO_SEE

    width: int = key(768, MOST, ge=1, le=4096)
    blocks: int = key(2, BLOCKS, ge=1, le=100)
    expansion: int = key(2, EXPANSION, ge=1, le=16)
    group: int = key(16, GROUP, ge=1, le=4096)
    conditioning: Literal["projection", "concat"] = key("projection", CRITICS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)
    classifier: str = key("", CLASSIFIER)

    gives = CLASSES

    @hookimpl
    def critic(self, data, condition):
        from ganflow_networks import conditional
        from ganflow_networks.r3gan import critic

        plain = partial(critic, data, self.width, self.blocks, self.expansion, self.group)
        how = (self.conditioning, self.embedding, self.classifier)
        return conditional.critic("r3gan", *how, plain, data, condition, planes=True)


BASE = "channels at a size are this divided by its pixels a side, at most `width`"


@settings
class StyleGenerator:
    """A mapping network from z to styles, and modulated convolutions that draw an image by them: StyleGAN2 (Karras et al. 2019,
    arXiv:1912.04958) without kernels of its own, for any size from 16 to 512 pixels a side.

    The defaults are the paper's at 256 pixels with a prior of 512 numbers, 24.8 million weights (30.3 million at 512 pixels
    with base 32768). Ends with tanh, by which samples are in the data's range; the paper's is linear. `path_length` smooths
    the way from styles to images.
    """

    requires = ("prior",)
    gives = ()
    needs = IMAGES_TO_MAKE

    width: int = key(512, "most channels at any size", ge=1, le=4096)
    base: int = key(16384, BASE, ge=1, le=2**20)
    code: int = key(512, "numbers of a style", ge=1, le=4096)
    mapping: int = key(8, "layers of the mapping network; in later work 2", ge=1, le=100)
    mapping_rate: float = key(0.01, "learning rate of the mapping network, to that of the rest", gt=0, le=1)
    mixing: float = key(0.9, "share of images in training that get two styles", ge=0, le=1)
    noise: bool = key(True, "random detail after each layer; in evaluation always the same")
    embedding: int = key(16, "numbers beside z that each field of a condition becomes", ge=1, le=4096)

    @hookimpl
    def generator(self, data, prior, condition):
        from ganflow_networks.style import generator

        return generator(
            data, prior, condition, width=self.width, base=self.base, code=self.code, depth=self.mapping, rate=self.mapping_rate,
            mixing=self.mixing, noise=self.noise, embedding=self.embedding,
        )  # fmt: skip


@settings
class StyleCritic:
    """Residual blocks from an image to one score, with the deviation among few examples as a channel: StyleGAN2's critic (Karras
    et al. 2019, arXiv:1912.04958), for any size from 16 to 512 pixels a side. The paper has it with `r1`, every 16 rounds.

    The defaults are the paper's at 256 pixels, 24.0 million weights.
    """

    needs = IMAGES_TO_SEE

    width: int = key(512, "most channels at any size", ge=1, le=4096)
    base: int = key(16384, BASE, ge=1, le=2**20)
    group: int = key(4, "examples whose deviation it sees; 1: none", ge=1, le=1024)
    conditioning: Literal["projection", "concat"] = key("projection", CRITICS)
    embedding: int = key(16, EMBEDDING, ge=1, le=4096)
    classifier: str = key("", CLASSIFIER)

    gives = CLASSES

    @hookimpl
    def critic(self, data, condition):
        from ganflow_networks import conditional
        from ganflow_networks.style import critic

        plain = partial(critic, data, self.width, self.base, self.group)
        how = (self.conditioning, self.embedding, self.classifier)
        return conditional.critic("style", *how, plain, data, condition, planes=True)


@hookimpl
def register(offer):
    offer("generator", "mlp", MLPGenerator)
    offer("generator", "dcgan", DCGANGenerator)
    offer("generator", "resnet", ResNetGenerator)
    offer("generator", "r3gan", R3GANGenerator)
    offer("generator", "style", StyleGenerator)
    offer("critic", "mlp", MLPCritic)
    offer("critic", "dcgan", DCGANCritic)
    offer("critic", "resnet", ResNetCritic)
    offer("critic", "r3gan", R3GANCritic)
    offer("critic", "style", StyleCritic)
