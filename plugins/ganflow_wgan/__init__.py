"""Wasserstein GANs: the loss, and the two ways to keep the critic Lipschitz, which work with any loss and network."""

from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2


@settings
class Wasserstein:
    """The critic estimates the earth mover's distance, the generator shortens it (Arjovsky et al. 2017, arXiv:1701.07875).

    The critic must be kept Lipschitz: by `weight_clip` (the paper's Algorithm 1), `gradient_penalty` or `spectral_norm`.
    """

    requires = ("critic",)

    @hookimpl
    def loss(self):
        from ganflow_wgan.losses import WassersteinLoss

        return WassersteinLoss()


@settings
class WeightClip:
    """Clamps every parameter of the critic to [−c, c] after each critic update (Arjovsky et al. 2017, arXiv:1701.07875,
    Algorithm 1, line 7; the authors' code clamps before the update instead)."""

    requires = ("critic",)

    c: float = key(0.01, "largest absolute value of a parameter", gt=0)

    @hookimpl
    def critic_stepped(self, game):
        from ganflow_wgan.clip import clip

        clip(game.parameters_of("critic"), self.c)


@settings
class GradientPenalty:
    """WGAN-GP: keeps the norm of the critic's gradient near 1 between real and generated examples (Gulrajani et al. 2017,
    arXiv:1704.00028, eq. 3). Adds weight · E(‖∇f(x̂)‖₂ − target)², x̂ = x + ε (G(z) − x), ε ~ U[0, 1] for each example.

    Gradients are per example, so a critic that mixes them by batch norm is refused; the paper takes layer norm in its place
    (`norm: layer`), instance norm or none serve as well. The score of an example that has many (patches) is their mean.
    """

    requires = ("critic",)
    once = True
    instead_of = ("wgan/weight_clip",)

    weight: float = key(10.0, "λ; the paper takes 10 for images and 0.1 for points in the plane", ge=0)
    target: float = key(1.0, "the norm that costs nothing", ge=0)
    one_sided: bool = key(False, "only norms above the target cost (the paper's section 4)")
    allow_batch_norm: bool = key(
        False, "accept a critic with batch norm, in which the slope at one example depends on the rest of its batch",
        before={2: True},
    )

    @hookimpl
    def terms(self):
        from ganflow_wgan import losses

        return losses.GradientPenalty(self.weight, self.target, self.one_sided, self.allow_batch_norm)


@hookimpl
def register(offer):
    offer("loss", "wasserstein", Wasserstein)
    offer("modifier", "weight_clip", WeightClip)
    offer("modifier", "gradient_penalty", GradientPenalty)
