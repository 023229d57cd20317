"""StackGAN's loss: its keys."""

from __future__ import annotations

from typing import Any

from ganflow import build_part, hookimpl, key, part, settings


@settings
class StackGAN:
    """An adversarial loss whose critic also learns that a real picture with another one's sentence is wrong, and whose generator
    keeps its conditioning augmentation near N(0, 1) (Zhang et al. 2016, arXiv:1612.03242, eq. 3 to 6; Reed et al. 2016,
    arXiv:1605.05396).

    `match` adds the text encoder's own loss on generated pictures, whose gradient says at once what a sentence asks for (as
    DAMSM does in AttnGAN, Xu et al. 2017, arXiv:1711.10485); the paper has no such term.
    """

    adversarial: Any = part("loss", "non_saturating", "how scores are judged")
    mismatch: float = key(0.5, "share of the wrong pairs in the critic's loss; 0: none", ge=0, lt=1)
    kl: float = key(2.0, "weight of the conditioning augmentation's divergence from N(0, 1), a mean (the code's; paper: 1)", ge=0)
    match: float = key(0.0, "weight of the text encoder's loss on generated pictures; it needs encoder matched", ge=0)

    @hookimpl
    def loss(self, data, prior, condition):
        from ganflow_text.loss import StackGANLoss

        adversarial = build_part(self.adversarial, "loss", data=data, prior=prior, condition=condition)
        return StackGANLoss(adversarial, self.mismatch, self.kl, self.match, getattr(data, "encoder", None))


OFFERS = [("loss", "stackgan", StackGAN)]
