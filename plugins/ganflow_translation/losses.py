"""Losses of translators and their critics: the keys of pix2pix, CycleGAN and UNIT."""

from __future__ import annotations

from typing import Any, Literal

from ganflow import build_part, hookimpl, key, part, settings

ADVERSARIAL = "how critic and generator play: any loss from scores, also a third party's"
PLAIN_SQUARES = {"vanilla/lsgan": {"half": False}}
"""Beside other terms least squares has no ½: CycleGAN's paper and code, and the code of pix2pix and of UNIT's successor."""


@settings
class Pix2Pix:
    """Paired translation (Isola et al. 2016, arXiv:1611.07004, eq. 4): an adversarial loss whose critic sees source and target
    together, plus weight · E|y − G(x)|.

    In the paper the critic's loss counts half, so that it learns more slowly. The paper plays both steps on one batch: that
    is `train.one_batch`.
    """

    adversarial: Any = part("loss", "non_saturating", ADVERSARIAL, within=PLAIN_SQUARES)
    weight: float = key(100.0, "λ of the distance between output and truth; 0 leaves it out", ge=0)
    distance: Literal["l1", "l2"] = key("l1", "absolute or squared")
    critic_weight: float = key(0.5, "factor on the critic's loss", gt=0)

    @hookimpl
    def loss(self, data, prior, condition):
        from ganflow_translation.systems.pix2pix import Pix2PixLoss

        adversarial = build_part(self.adversarial, "loss", data=data, prior=prior, condition=condition)
        return Pix2PixLoss(adversarial, self.weight, self.distance, self.critic_weight)


@settings
class Cycle:
    """CycleGAN (Zhu et al. 2017, arXiv:1703.10593, eq. 3): an adversarial loss in each domain, cycle · E|x − back(there(x))| both
    ways, and identity · cycle · E|y − G(y)| for images that are in the target domain already.

    By default a critic descends ½ E (D(y) − 1)² + ½ E D(G(x))², and the generators E (D(G(x)) − 1)² in each domain, 10 times the
    cycles and 5 times the identities, as in the paper and its code.

    The critics see fakes out of a pool of earlier ones: with probability ½ a fake is exchanged for one in the pool. The pool's
    contents are part of every checkpoint.
    """

    adversarial: Any = part("loss", "lsgan", ADVERSARIAL, within=PLAIN_SQUARES)
    cycle: float = key(10.0, "λ of the way there and back", ge=0)
    identity: float = key(0.5, "share of λ for images of the target domain; 0 leaves it out, as unequal channels ask for", ge=0)
    pool: int = key(50, "earlier fakes that are kept for the critic, in each domain; 0: none", ge=0, le=100_000)
    critic_weight: float = key(0.5, "factor on the critic's loss", gt=0)

    @hookimpl
    def loss(self, data, prior, condition):
        from ganflow_translation.systems.cycle import CycleLoss

        adversarial = build_part(self.adversarial, "loss", data=data, prior=prior, condition=condition)
        shapes = {name: field.shape for name, field in data.fields.items()}
        return CycleLoss(adversarial, self.cycle, self.identity, self.critic_weight, self.pool, shapes)


@settings
class UNIT:
    """Two domains with one space of codes (Liu et al. 2017, arXiv:1703.00848, eq. 2), for the generator `unit`: variational
    autoencoders of both domains, an adversarial loss for each translation, and cycles there and back.

    Likelihoods are Laplace, so reconstructions cost E|x − x̂|; codes have variance 1, so their KL divergence to N(0, I) is
    half their mean square. The weights are the authors' code's, which takes the mean square itself and means over pixels.
    """

    adversarial: Any = part("loss", "non_saturating", ADVERSARIAL, within=PLAIN_SQUARES)
    gan: float = key(10.0, "weight of the adversarial terms of the generator", ge=0)
    kl: float = key(0.1, "weight of the codes' mean square, of both an image and its translation", ge=0)
    reconstruction: float = key(100.0, "weight of the distance to an image's own reconstruction", ge=0)
    cycle: float = key(100.0, "weight of the distance to what came there and back", ge=0)
    critic_weight: float = key(1.0, "factor on the critic's loss", gt=0)

    @hookimpl
    def loss(self, data, prior, condition):
        from ganflow_translation.systems.unit import UNITLoss

        adversarial = build_part(self.adversarial, "loss", data=data, prior=prior, condition=condition)
        return UNITLoss(adversarial, self.gan, self.kl, self.reconstruction, self.cycle, self.critic_weight)


OFFERS = [
    ("loss", "pix2pix", Pix2Pix),
    ("loss", "cycle", Cycle),
    ("loss", "unit", UNIT),
]
