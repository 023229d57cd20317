"""Priors, and the adversarial losses that read a critic's scores: the first GAN and its descendants.

Scores: high means real; D(x) = sigmoid(f(x)) is the probability that x is real.
"""

from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2


@settings
class Normal:
    """z ~ N(0, 1) in every coordinate. Interpolation follows a great circle (White 2016, arXiv:1609.04468)."""

    dim: int = key(100, "coordinates of z", ge=1, le=65536)

    @hookimpl
    def prior(self):
        from ganflow_vanilla.priors import NormalPrior

        return NormalPrior(self.dim)


@settings
class Uniform:
    """z ~ U(low, high) in every coordinate, as in DCGAN (Radford et al. 2015, arXiv:1511.06434). Interpolation is straight."""

    dim: int = key(100, "coordinates of z", ge=1, le=65536)
    low: float = key(-1.0, "lowest value of a coordinate")
    high: float = key(1.0, "highest value of a coordinate")

    def __post_init__(self):
        if not self.low < self.high:
            from ganflow import SettingsError

            raise SettingsError([("high", f"{self.high:g} is not above low ({self.low:g})")])

    @hookimpl
    def prior(self):
        from ganflow_vanilla.priors import UniformPrior

        return UniformPrior(self.dim, self.low, self.high)


@settings
class Minimax:
    """The first GAN's zero-sum game: the generator descends E log(1 − D(G(z))) (Goodfellow et al. 2014,
    arXiv:1406.2661, eq. 1)."""

    requires = ("critic",)

    label_smoothing: float = key(0.0, "one-sided: real examples get the label 1 − this (Salimans et al. 2016)", ge=0, lt=1)

    @hookimpl
    def loss(self):
        from ganflow_vanilla.losses import MinimaxLoss

        return MinimaxLoss(self.label_smoothing)


@settings
class NonSaturating:
    """The critic of `minimax`; the generator descends −E log D(G(z)), whose gradient does not vanish while the critic
    wins (Goodfellow et al. 2014, arXiv:1406.2661, section 3)."""

    requires = ("critic",)

    label_smoothing: float = key(0.0, "one-sided: real examples get the label 1 − this (Salimans et al. 2016)", ge=0, lt=1)

    @hookimpl
    def loss(self):
        from ganflow_vanilla.losses import NonSaturatingLoss

        return NonSaturatingLoss(self.label_smoothing)


@settings
class LeastSquares:
    """LSGAN: squared distances of scores to targets, with the paper's factors ½ (Mao et al. 2017, arXiv:1611.04076, eq. 2).

    The defaults are the paper's 0-1 coding (eq. 9); a: -1, b: 1, c: 0 makes the generator descend a Pearson χ² (eq. 8).
    Beside other terms the ½ matters: CycleGAN's paper and the code of pix2pix have none, so losses `cycle`, `pix2pix` and
    `unit` leave it out unless their recipe says half: true.
    """

    requires = ("critic",)

    a: float = key(0.0, "the critic's target for generated examples")
    b: float = key(1.0, "the critic's target for real examples")
    c: float = key(1.0, "the generator's target for generated examples")
    half: bool = key(
        True, "LSGAN's factor ½; false, and by default in translation losses: none, as in CycleGAN's paper", before={2: True}
    )

    @hookimpl
    def loss(self):
        from ganflow_vanilla.losses import LeastSquaresLoss

        return LeastSquaresLoss(self.a, self.b, self.c, self.half)


@settings
class Hinge:
    """The critic is pushed only within the margin ±1; the generator descends −E f(G(z)) (Lim & Ye 2017,
    arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, eq. 16 and 17)."""

    requires = ("critic",)

    @hookimpl
    def loss(self):
        from ganflow_vanilla.losses import HingeLoss

        return HingeLoss()


@settings
class Relativistic:
    """Relativistic loss: the critic scores how much more real a real example is than a generated one, pair by pair (RpGAN;
    Jolicoeur-Martineau 2018, arXiv:1807.00734). With `r1` and `r2` it is the loss of R3GAN (Huang et al. 2024,
    arXiv:2501.05441, eq. 2)."""

    requires = ("critic",)

    average: bool = key(False, "compare with the average score of the other kind instead of pair by pair (RaGAN)")

    @hookimpl
    def loss(self):
        from ganflow_vanilla.losses import RelativisticAverageLoss, RelativisticLoss

        return RelativisticAverageLoss() if self.average else RelativisticLoss()


@hookimpl
def register(offer):
    offer("prior", "normal", Normal)
    offer("prior", "uniform", Uniform)
    offer("loss", "minimax", Minimax)
    offer("loss", "non_saturating", NonSaturating)
    offer("loss", "lsgan", LeastSquares)
    offer("loss", "hinge", Hinge)
    offer("loss", "relativistic", Relativistic)
