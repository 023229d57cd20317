"""Autoencoders: plain, variational, and the VAE/GAN whose reconstructions a critic judges."""

from __future__ import annotations

from typing import Any, Literal

from ganflow import build_part, hookimpl, key, part, settings

GANFLOW_CONTRACT = 2

VARIATIONAL = "the encoder gives each number of the code a mean and a variance (for losses elbo and vae_gan), not a value"
LEARN_SIGMA = "learn the standard deviation of examples around their reconstructions, one number for all values (see loss elbo)"
CODES = (("generator", "codes", "use generator conv_autoencoder or mlp_autoencoder"),)


def check_sigma(settings: Any) -> None:
    if settings.learn_sigma and not settings.variational:
        raise ValueError("learn_sigma: a plain autoencoder has no likelihood; set variational: true, or leave it out")


@settings
class MLPAutoencoder:
    """Linear layers from examples of any shape to codes as large as the prior's draws, and the same layers in reverse order
    back. Images too; the output is squashed by tanh to the data's range, or linear where the data are unbounded.

    The usual VAE of MNIST is widths [400] with a prior of 20 dimensions (Kingma & Welling 2013, arXiv:1312.6114). `ganflow
    sample` decodes draws from the prior, which is what a VAE learns to do; a plain autoencoder has seen only its own codes.
    """

    gives = ("codes",)
    requires = ("prior",)

    width: int = key(400, "units of each hidden layer", ge=1, le=65536)
    depth: int = key(1, "hidden layers of the encoder, and of the decoder; 0: linear", ge=0, le=100)
    widths: list[int] = key([], "units of the encoder's hidden layers one by one, in place of width and depth", ge=1, le=65536)
    activation: Literal["relu", "leaky_relu", "elu", "silu", "gelu", "tanh"] = key("relu", "after each hidden layer")
    variational: bool = key(True, VARIATIONAL)
    learn_sigma: bool = key(False, LEARN_SIGMA)

    def __post_init__(self) -> None:
        check_sigma(self)

    @hookimpl
    def generator(self, data, prior):
        from ganflow_autoencoder.networks import mlp

        widths = self.widths or [self.width] * self.depth
        return mlp(data, prior, widths, self.activation, self.variational, self.learn_sigma)


@settings
class ConvAutoencoder:
    """Autoencoder of DCGAN's networks: the critic, with a code instead of a score, encodes, and the generator decodes images of
    16 to 128 pixels a side (Radford et al. 2015, arXiv:1511.06434; as in Larsen et al. 2015, arXiv:1512.09300).

    `ganflow sample` decodes draws from the prior, which is what a VAE learns to do; a plain autoencoder has seen only its own
    codes.
    """

    gives = ("codes",)
    needs = (("data", "images", "use generator mlp_autoencoder"),)
    requires = ("prior",)

    width: int = key(32, "channels at half the images' size; twice as many at each coarser one", ge=1, le=4096)
    norm: Literal["batch", "instance", "layer", "none"] = key("batch", "after every layer but the first and the last ones")
    variational: bool = key(True, VARIATIONAL)
    learn_sigma: bool = key(False, LEARN_SIGMA)

    def __post_init__(self) -> None:
        check_sigma(self)

    @hookimpl
    def generator(self, data, prior):
        from ganflow_autoencoder.networks import conv

        return conv(data, prior, self.width, self.norm, self.variational, self.learn_sigma)


@settings
class Reconstruction:
    """The plain autoencoder's: how far examples are from what their codes are decoded to, the mean over values and examples.

    No prior enters: where the codes lie is up to the network.
    """

    needs = CODES

    distance: Literal["squared", "absolute", "cross_entropy"] = key(
        "squared", "of values; cross_entropy: with the data's range as [0, 1], in nats"
    )

    @hookimpl
    def loss(self):
        from ganflow_autoencoder.losses import ReconstructionLoss

        return ReconstructionLoss(self.distance)


@settings
class ELBO:
    """The variational autoencoder's: minus the evidence lower bound E log p(x|z) − KL(q(z|x) ‖ N(0, I)) (Kingma & Welling
    2013, arXiv:1312.6114, eq. 10), in nats per example: sums over values and over the code's numbers.

    The KL divergence is exact, the likelihood's expectation a mean over draws from q. With beta 1 and free_bits 0 the terms'
    sum is −ELBO, and `elbo` is reported; otherwise something else is descended, and nothing is claimed.
    """

    needs = CODES

    likelihood: Literal["gaussian", "bernoulli"] = key(
        "gaussian", "of a value given the code: normal around the decoder's output; or of a coin whose odds that is (the data's "
        "range is taken as [0, 1]: exact for black and white, the usual stand-in for greys)"
    )  # fmt: skip
    sigma: float = key(1.0, "gaussian: the standard deviation, where the generator does not learn it (learn_sigma)", gt=0)
    beta: float = key(1.0, "weight of the KL divergence (β-VAE, Higgins et al. 2017)", ge=0)
    free_bits: float = key(0.0, "nats free for each number of the code (Kingma et al. 2016, arXiv:1606.04934)", ge=0)
    samples: int = key(1, "draws from q(z|x) for each example", ge=1, le=10_000)

    @hookimpl
    def loss(self):
        from ganflow_autoencoder.losses import ELBOLoss

        return ELBOLoss(self.likelihood, self.sigma, self.beta, self.free_bits, self.samples)


@settings
class VAEGAN:
    """VAE whose reconstructions are measured by the critic's features instead of pixel by pixel, and judged by the critic
    besides (Larsen et al. 2015, arXiv:1512.09300, algorithm 1).

    As in the paper, the encoder learns from the features' distance and the KL divergence alone, the decoder from γ times the
    distance and from the critic's judgement of both kinds of its images: decoded draws from the prior, and reconstructions. Each
    kind is half of the batch that the critic sees; in the paper each is a batch of its own, which counts twice as much.
    """

    needs = CODES
    requires = ("critic",)

    adversarial: Any = part("loss", "non_saturating", "how critic and decoder play: any loss from scores, also a third party's")
    gamma: float = key(0.01, "γ: weight of the features' distance for the decoder, beside the critic's judgement", gt=0)
    beta: float = key(1.0, "weight of the KL divergence for the encoder, beside the features' distance", ge=0)
    layer: str = key("", "the critic's module whose output is compared; '': what the critic's last layer with weights is given")
    augmented: bool = key(
        False, "under diffaugment: compare altered images, x and its reconstruction each altered in its own way", before={2: True}
    )

    @hookimpl
    def loss(self, data, prior, condition):
        from ganflow_autoencoder.vae_gan import VAEGANLoss

        adversarial = build_part(self.adversarial, "loss", data=data, prior=prior, condition=condition)
        return VAEGANLoss(adversarial, self.gamma, self.beta, self.layer, self.augmented)


@settings
class ImportanceWeighted:
    """The log-likelihood of held-out examples in nats, from below: the importance-weighted bound (IWAE, Burda et al. 2015,
    arXiv:1509.00519, eq. 8), which grows towards log p(x) with the number of draws, and the ELBO, which is its value at one
    draw. For loss elbo; higher is better."""

    samples: int = key(50, "draws from q(z|x) for each example (the paper's k)", ge=1, le=100_000)
    examples: int = key(1000, "held-out examples at most", ge=1)
    seed: int = key(0, "of the draws, the same at every evaluation", ge=0)

    @hookimpl
    def metric(self, data):
        from ganflow_autoencoder.bounds import ImportanceWeightedMetric

        return ImportanceWeightedMetric(data, self.samples, self.examples, self.seed)


@hookimpl
def register(offer):
    offer("generator", "mlp_autoencoder", MLPAutoencoder)
    offer("generator", "conv_autoencoder", ConvAutoencoder)
    offer("loss", "reconstruction", Reconstruction)
    offer("loss", "elbo", ELBO)
    offer("loss", "vae_gan", VAEGAN)
    offer("metric", "iwae", ImportanceWeighted)
