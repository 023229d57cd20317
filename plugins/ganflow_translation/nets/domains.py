"""The two domains of the data, which networks are built between; and modules with a network for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganflow import GanflowError, Signature
from ganflow_translation.ways import PAIRED, ways_of

if TYPE_CHECKING:
    from ganflow import Data, Field


@dataclass(frozen=True)
class Domains:
    """Two domains of images.

    Attributes:
        data: their name, for messages.
        ways: which can be made from which: see ganflow_translation.ways.
        channels: of each domain.
        height, width: in pixels, the same for both.
    """

    data: str
    ways: Mapping[str, str]
    channels: Mapping[str, int]
    height: int
    width: int

    @property
    def size(self) -> str:
        return f"{self.height} × {self.width}"

    @property
    def paired(self) -> bool:
        return self.ways == PAIRED


def domains_of(data: Data, generator: str) -> Domains:
    """The domains that a generator translates between.

    Raises:
        GanflowError: the data are neither paired nor unpaired images in [−1, 1] of one size.
    """
    fields = _shown(data)
    ways = ways_of(fields)
    who = f"generator '{generator}' translates between two domains of images (fields source and target, or a and b); "
    if ways is None:
        raise GanflowError(f"{who}data '{data.name}' has {_names(data)}: use data facades, street, horses or a folder of pairs")
    for name, field in fields.items():
        if not field.is_image:
            raise GanflowError(f"{who}data '{data.name}' has '{name}' of shape {field.shape}: use images")
        if (field.low, field.high) != (-1, 1):
            raise GanflowError(f"{who}in data '{data.name}' values of '{name}' are not between −1 and 1: scale them")
    sizes = {name: f"{field.shape[1]} × {field.shape[2]}" for name, field in fields.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"'{name}' {size}" for name, size in sizes.items())
        raise GanflowError(f"{who}those of data '{data.name}' differ in size ({listed}): give them the same")
    height, width = data.shape[1:]
    return Domains(data.name, ways, {name: field.shape[0] for name, field in fields.items()}, height, width)


def _shown(data: Data) -> dict[str, Field]:
    """The fields but for the classes, which neither end of a translation is."""
    return {name: field for name, field in data.fields.items() if field.kind != "class"}


def _names(data: Data) -> str:
    names = [f"'{name}'" for name in data.fields]
    return f"only {names[0]}" if len(names) == 1 else f"the fields {', '.join(names)}"


def check_size(domains: Domains, generator: str, downs: int, multiple: int, smallest: int) -> None:
    """Check that the images suit a generator with `downs` halvings.

    Raises:
        GanflowError: they are too small, or cannot be halved that often.
    """
    if domains.height % multiple or domains.width % multiple or min(domains.height, domains.width) < smallest:
        raise GanflowError(
            f"generator '{generator}' with downs {downs} takes images of {smallest} pixels a side or more, in multiples of "
            f"{multiple}; data '{domains.data}' has {domains.size}: change the data's size, or take fewer downs"
        )


def translations(ways: Mapping[str, str], multiple: int, smallest: int) -> dict[str, Signature]:
    """The signatures of a module that is called `module(x, to=DOMAIN)`: to_b and to_a, or to_target."""
    return {
        f"to_{to}": Signature({"x": origin}, to, constants={"to": to}, multiple=multiple, smallest=smallest)
        for to, origin in ways.items()
    }


class NetworkEachWay(nn.Module):
    """A separate network for every way.

    Args:
        domains: between which.
        build: makes a network from its numbers of input and output channels.
        multiple, smallest: the sizes that it takes, see ganflow.Signature.
    """

    def __init__(self, domains: Domains, build: Callable[[int, int], nn.Module], multiple: int, smallest: int) -> None:
        super().__init__()
        self.signatures, channels = translations(domains.ways, multiple, smallest), domains.channels
        self.networks = nn.ModuleDict({to: build(channels[origin], channels[to]) for to, origin in domains.ways.items()})

    def forward(self, x: Tensor, to: str) -> Tensor:
        made: Tensor = self.networks[to](x)
        return made


class CriticEachDomain(nn.Module):
    """A separate critic for every domain.

    Attributes:
        receptive_field: of each, in pixels a side.
        score_weights: of each; see the hook `critic`.
    """

    receptive_field: int

    def __init__(self, critics: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.critics = nn.ModuleDict(critics)
        one = next(iter(critics.values()))
        self.receptive_field = one.receptive_field  # type: ignore[assignment]
        self.score_weights = getattr(one, "score_weights", {})

    def forward(self, x: Tensor, domain: str) -> Any:
        """Scores of images x by the domain's critic."""
        return self.critics[domain](x)


def critic_of(data: Data, condition: Sequence[str], critic: str, build: Callable[[int, int, int], nn.Module]) -> nn.Module:
    """The critic that the data ask for: of images, their channels after those of the images that it is conditioned on; of
    unpaired data one for each domain.

    Args:
        data: images.
        condition: fields of images of the same size.
        critic: its name, for messages.
        build: makes a critic from channels, height and width; it is called `critic(x, **condition)`.

    Raises:
        GanflowError: the data are none of these.
    """
    who = f"critic '{critic}' scores images (fields real, or source and target, or a and b); "
    ways = ways_of(data.fields)
    judged = [name for name in (ways or list(data.fields)[:1]) if name not in condition]
    for name in (*judged, *condition):
        field = data.fields[name]
        if not field.is_image:
            if name in condition:
                raise GanflowError(f"condition: {who}and '{name}' of data '{data.name}', which it is conditioned on, is of kind "
                                   f"{field.kind}: use another critic (dcgan, mlp), or 'condition=[]'")  # fmt: skip
            raise GanflowError(f"{who}data '{data.name}' has '{name}' of shape {field.shape}: use critic mlp")
    shapes = {name: data.fields[name].shape for name in (*judged, *condition)}
    if len(judged) > 1:
        return CriticEachDomain({name: build(*shapes[name]) for name in data.fields if name in judged})
    if len({shape[1:] for shape in shapes.values()}) > 1:
        listed = " and ".join(shapes)
        raise GanflowError(f"{who}{listed} of data '{data.name}' differ in size: give them the same")
    return build(sum(shape[0] for shape in shapes.values()), *shapes[judged[0]][1:])


def beside(x: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
    """Images x after those that they are judged with, channel by channel: (n, channels of all, height, width)."""
    return torch.cat((*condition.values(), x), 1) if condition else x
