"""VAE/GAN: the critic's features instead of pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganflow import Game, GanflowError, Loss, Step, Terms, check_inner, fork_rng
from ganflow_autoencoder.base import Gaussian
from ganflow_autoencoder.losses import check_variational


class VAEGANLoss(nn.Module, Loss):
    """With q = q(z|x), z ~ q, x̃ = D(z) and f the critic's features, ½‖f(x) − f(x̃)‖² is −log N(f(x); f(x̃), I) but for a constant.

    Encoder: β KL(q ‖ N(0, I)) + ½‖f(x) − f(x̃)‖². Decoder: γ ½‖f(x) − f(x̃)‖² and the adversarial loss of its images, which are
    D(z), z ~ N(0, I), in one half of a batch, and x̃ in the other. Both are one player and descend one sum: in it the gradient
    of γ ½‖…‖² is divided by γ on its way from x̃ into the encoder, and that of the adversarial loss ends there.

    Args:
        adversarial: by which critic and decoder play.
        gamma, beta: γ and β.
        layer: of the critic; see `Step.features`.
        augmented: compare what the critic sees of altered images (diffaugment), x and x̃ each altered in its own way.

    Raises:
        GanflowError: the adversarial loss generates examples in a way of its own.
    """

    def __init__(self, adversarial: Loss, gamma: float, beta: float, layer: str, augmented: bool = False) -> None:
        super().__init__()
        check_inner(adversarial, "loss.adversarial")
        self.adversarial, self.gamma, self.beta, self.layer, self.augmented = adversarial, gamma, beta, layer, augmented

    @property
    def whole_batch(self) -> dict[str, str]:
        why = "the critic sees draws from the prior in one half of a batch, and reconstructions in the other"
        return {getattr(self.adversarial, "name", "adversarial"): why}

    def check(self, game: Game) -> None:
        check_variational(game, "vae_gan")
        if game.critic is None:
            raise GanflowError("loss 'vae_gan' needs a critic, and the recipe has none; without one, use loss elbo")
        like = next(game.critic.parameters())
        x = torch.linspace(-1, 1, 2 * math.prod(game.data.shape)).view(2, *game.data.shape).to(like.device, like.dtype)
        if is_random(game, x, self.layer) and not self.augmented:
            raise GanflowError(
                "loss 'vae_gan' compares what the critic sees in x and in its reconstruction, and this critic sees the same x "
                "differently each time it looks: take dropout or noise out of it (in front of it, as diffaugment, they may stay)"
            )

    def generate(self, step: Step, domain: str) -> Tensor:
        """Half of them decoded draws from the prior, half reconstructions, whose graph ends at their codes."""
        z, code = step.batch["z"], self.code(step)[1].detach()
        half = len(z) // 2
        fake: Tensor = step.call("sample", z=torch.cat((z[:half], code[half:])))
        return fake

    def code(self, step: Step) -> tuple[Gaussian, Tensor]:
        """q(z|x) and a draw from it, once per step: the same codes are judged and compared."""

        def draw() -> tuple[Gaussian, Tensor]:
            q = step.call("posterior", x=step.real())
            return q, q.sample()

        return step.once("code", draw)

    def critic_terms(self, step: Step) -> Terms:
        return self.adversarial.critic_terms(step)

    def generator_terms(self, step: Step) -> Terms:
        q, z = self.code(step)
        return {
            **self.adversarial.generator_terms(step),
            "kl": self.beta * q.divergence().flatten(1).sum(1).mean(),
            "features": self.gamma * self.distance(step, step.real(), step.call("sample", z=slowed(z, self.gamma))),
        }

    def distance(self, step: Step, x: Tensor, reconstructed: Tensor) -> Tensor:
        """½‖f(x) − f(x̃)‖², the mean over examples."""
        with torch.no_grad():
            wanted = step.features(x, self.layer, augmented=self.augmented)
        found = step.features(reconstructed, self.layer, augmented=self.augmented)
        return (wanted - found).square().sum(1).mean() / 2

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """The adversarial loss's estimates."""
        return self.adversarial.estimates(means)


def is_random(game: Game, x: Tensor, layer: str) -> bool:
    """True where the critic's features of the same examples x (n, *shape) differ from one pass to the next in training, as under
    dropout. The critic and torch's random numbers are left as they were."""
    assert game.critic is not None
    buffers = [(b, b.clone()) for b in game.critic.buffers()]
    seen = []
    for seed in (0, 1):
        with torch.no_grad(), fork_rng(game.device, seed):
            step = game.step("critic", {game.domains[0]: x})
            seen.append(step.features(x, layer, augmented=False))
            for buffer, before in buffers:  # a power iteration, or running statistics
                buffer.copy_(before)
    return not torch.equal(*seen)


def slowed(z: Tensor, factor: float) -> Tensor:
    """z itself; gradients through it are divided by a factor."""
    return z.detach() + (z - z.detach()) / factor
