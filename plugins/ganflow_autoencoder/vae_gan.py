"""VAE/GAN: the critic's features in place of pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow import Batch, GanflowError, Gaussian, Loss, ScoreLoss, Terms
from ganflow_autoencoder.features import find_layer, inner_features, is_random
from ganflow_autoencoder.losses import reconstructions, vae_of

if TYPE_CHECKING:
    from ganflow import Game


class VAEGANLoss(nn.Module, ScoreLoss):
    """With q = q(z|x), z ~ q, x̃ = D(z) and f the critic's features, ½‖f(x) − f(x̃)‖² is −log N(f(x); f(x̃), I) but for a constant.

    Encoder: β KL(q ‖ N(0, I)) + ½‖f(x) − f(x̃)‖². Decoder: γ ½‖f(x) − f(x̃)‖² and the adversarial loss of its images, which are
    D(z), z ~ N(0, I), in one half of a batch, and x̃ in the other. Both are one player and descend one sum: in it the gradient
    of γ ½‖…‖² is divided by γ on its way from x̃ into the encoder, and that of the adversarial loss ends there.

    Args:
        adversarial: from whose formulas critic and decoder play.
        gamma, beta: γ and β.
        layer: of the critic; see `features`.
        augmented: compare what the critic sees of altered images (diffaugment), x and x̃ each altered in its own way.

    Raises:
        GanflowError: the adversarial loss is not a plain loss from scores.
    """

    generator_needs_data = True
    mean_over_examples = True

    def __init__(self, adversarial: Loss, gamma: float, beta: float, layer: str, augmented: bool = False) -> None:
        super().__init__()
        if not isinstance(adversarial, ScoreLoss) or type(adversarial).generator_terms is not ScoreLoss.generator_terms:
            raise GanflowError(
                f"loss.adversarial: {type(adversarial).__name__} does not follow from scores of real and generated examples "
                "alone: take non_saturating, hinge, wasserstein or another such loss"
            )
        self.adversarial, self.gamma, self.beta, self.layer, self.augmented = adversarial, gamma, beta, layer, augmented

    @property
    def name(self) -> str:
        return self.adversarial.name

    @property
    def whole_batch(self) -> dict[str, str]:
        return {self.name: "the critic sees draws from the prior in one half of a batch, and reconstructions in the other"}

    def check(self, game: Game) -> None:
        vae_of(game, "vae_gan")
        if game.critic is None:
            raise GanflowError("loss 'vae_gan' needs a critic, and the recipe has none; without one, use loss elbo")
        find_layer(game.critic, self.layer)
        like = next(game.critic.parameters())
        x = torch.linspace(-1, 1, 2 * math.prod(game.data.shape)).view(2, *game.data.shape).to(like.device, like.dtype)
        if not self.augmented and is_random(game.critic, x, self.layer):
            raise GanflowError(
                "loss 'vae_gan' compares what the critic sees in x and in its reconstruction, and this critic sees the same x "
                "differently each time it looks: take dropout or noise out of it (in front of it, as diffaugment, they may stay)"
            )

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.adversarial.critic_loss(real, fake)

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.adversarial.generator_loss(fake, real)

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        """Half of them decoded draws from the prior, half reconstructions, whose graph ends at their codes."""
        z, code = batch["z"], self.code(game, batch)[1].detach()
        half = len(z) // 2
        fake: Tensor = game.generator(torch.cat((z[:half], code[half:])))
        return fake

    def code(self, game: Game, batch: Batch) -> tuple[Gaussian, Tensor]:
        """q(z|x) and a draw from it, once per batch: the same codes are judged and compared."""
        if "code" not in batch:
            q = vae_of(game, "vae_gan").posterior(batch["real"])
            batch["code_mean"], batch["code_log_variance"], batch["code"] = q.mean, q.log_variance, q.sample()
        return Gaussian(batch["code_mean"], batch["code_log_variance"]), batch["code"]

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        q, z = self.code(game, batch)
        fake, real = self.score(game, self.generated(game, batch), batch), None
        if self.adversarial.generator_needs_data:
            real = self.score(game, batch["real"], batch).detach()
        return {
            self.name: self.over_scales(game, self.generator_loss, fake, real),
            "kl": self.beta * q.divergence().flatten(1).sum(1).mean(),
            "features": self.gamma * self.distance(game, batch["real"], game.generator(slowed(z, self.gamma))),
        }

    def distance(self, game: Game, x: Tensor, reconstructed: Tensor) -> Tensor:
        """½‖f(x) − f(x̃)‖², the mean over examples."""
        assert game.critic is not None
        with torch.no_grad():
            wanted = inner_features(game.critic, x, self.layer, self.augmented)
        found = inner_features(game.critic, reconstructed, self.layer, self.augmented)
        return (wanted - found).square().sum(1).mean() / 2

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """The adversarial loss's own."""
        return self.adversarial.estimates(means)

    def sheet(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        return reconstructions(game, batch)


def slowed(z: Tensor, factor: float) -> Tensor:
    """z itself; gradients through it are divided by a factor."""
    return z.detach() + (z - z.detach()) / factor
