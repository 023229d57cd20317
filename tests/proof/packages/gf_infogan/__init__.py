"""InfoGAN: the generator is to show which of several codes it was called with (Chen et al. 2016, arXiv:1606.03657).

    prior: {use: coded, codes: 10, noise: 62}
    modifiers: [{use: information}]
    optimizer: {generator: …, critic: …, loss.q: {use: adam, lr: 1.0e-3}}
"""

import math

import torch
from ganflow_vanilla.priors import NormalPrior
from torch import nn
from torch.nn import functional as F

from ganflow import AddedTerms, GanflowError, Prior, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Coded(Prior):
    """A code, one of several as a one-hot vector, then normal noise: shape (codes + noise,)."""

    def __init__(self, codes, noise):
        self.codes, self.shape, self.noise = codes, (codes + noise,), NormalPrior(noise)

    def sample(self, *lead, generator=None, device="cpu"):
        drawn = torch.randint(self.codes, lead, generator=generator, device=device)
        noise = self.noise.sample(*lead, generator=generator, device=device)
        return torch.cat((F.one_hot(drawn, self.codes).to(noise.dtype), noise), -1)

    def between(self, a, b, t):
        noise = self.noise.between(a[self.codes :], b[self.codes :], t)
        codes = torch.where((t < 0.5)[:, None], a[: self.codes], b[: self.codes])  # no code lies between two
        return torch.cat((codes, noise), 1)


class Information(nn.Module, AddedTerms):
    """weight · −E log Q(c | G(z)): with H(c), a lower bound on the information about the code c in what is generated (eq. 5).
    The generator and Q descend it."""

    def __init__(self, size, codes, width, weight):
        super().__init__()
        self.codes, self.weight = codes, weight
        self.q = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, codes))

    def generator_terms(self, step):
        codes = step.batch["z"][:, : self.codes]
        return {"information": self.weight * F.cross_entropy(self.q(step.fake()), codes)}

    def estimates(self, means):
        return {"information_bound": math.log(self.codes) - means["generator/information"] / self.weight}


@settings
class CodedPrior:
    """Codes and noise."""

    codes: int = key(10, "how many codes", ge=2)
    noise: int = key(62, "normal numbers besides", ge=1)

    @hookimpl
    def prior(self):
        return Coded(self.codes, self.noise)


@settings
class InformationTerm:
    """Adds the bound on the information about the code; the network Q is trained by the recipe's optimizer `loss.q`."""

    width: int = key(64, "units of Q's hidden layer", ge=1)
    weight: float = key(1.0, "of the term: λ", gt=0)

    @hookimpl
    def terms(self, data, prior):
        if not isinstance(prior, Coded):
            raise GanflowError("modifier 'information' needs codes: set 'prior={use: coded}'")
        return Information(math.prod(data.shape), prior.codes, self.width, self.weight)


@hookimpl
def register(offer):
    offer("prior", "coded", CodedPrior)
    offer("modifier", "information", InformationTerm)
