"""Conditional networks: what a generator or a critic of this package becomes in a recipe with a condition.

They are called with the condition's fields by name: `generator(z, label=label)`, `critic(x, label=label)`. A class field has
labels (n,), int64; an embedding has numbers (n, d).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from ganflow_layers.blocks import Conditioned, through
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganflow import GanflowError

if TYPE_CHECKING:
    from ganflow import Data, Field

Condition = Mapping[str, Tensor]


class Embeddings(nn.Module):
    """Numbers (n, width) for each field of a condition: a learnt row for a class, a learnt linear map of an embedding. Classes
    may also be mixed: shares (n, classes) of the rows in place of labels, as between two classes."""

    def __init__(self, fields: Mapping[str, Field], width: int) -> None:
        super().__init__()
        self.names = tuple(fields)
        self.tables = nn.ModuleList(
            nn.Embedding(len(field.classes), width) if field.kind == "class" else nn.Linear(field.shape[0], width, bias=False)
            for field in fields.values()
        )

    def forward(self, condition: Condition) -> list[Tensor]:
        pairs = zip((condition[name] for name in self.names), self.tables, strict=True)
        return [
            t @ table.weight if isinstance(table, nn.Embedding) and t.is_floating_point() else table(t) for t, table in pairs
        ]

    def spread(self, std: float) -> Embeddings:
        """Itself, its weights drawn from N(0, std²)."""
        for weight in self.parameters():
            nn.init.normal_(weight, 0.0, std)
        return self


class ConditionalBatchNorm(Conditioned):
    """Batch norm whose scale and shift follow from the condition (de Vries et al. 2017, arXiv:1707.00683): a pair for each class.
    They start at 1 and 0."""

    def __init__(self, norm: _BatchNorm, fields: Mapping[str, Field]) -> None:
        super().__init__()
        self.norm = type(norm)(norm.num_features, affine=False)
        self.numbers = Embeddings(fields, 2 * norm.num_features).spread(0.0)

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        numbers = torch.stack(self.numbers(condition)).sum(0).to(x.dtype)
        scale, shift = numbers.view(*numbers.shape, *[1] * (x.dim() - 2)).chunk(2, 1)
        normalized: Tensor = self.norm(x)
        return normalized * (1 + scale) + shift


class ConditionalGenerator(nn.Module):
    """z (n, *prior.shape) and a condition to samples.

    Args:
        network: from z, flattened and with the embeddings beside it.
        beside: the embeddings; None where the condition enters by batch norm.
    """

    def __init__(self, network: nn.Module, beside: Embeddings | None) -> None:
        super().__init__()
        self.network, self.beside = network, beside

    def forward(self, z: Tensor, **condition: Tensor) -> Tensor:
        if self.beside is not None:
            z = torch.cat((z.flatten(1), *self.beside(condition)), 1)
        return through(self.network, z, condition)


class ConcatenationCritic(nn.Module):
    """Examples with the condition's embeddings beside them, as further numbers or as constant channels, to scores (n,)."""

    def __init__(self, network: nn.Module, beside: Embeddings, planes: bool) -> None:
        super().__init__()
        self.network, self.beside, self.planes = network, beside, planes

    def forward(self, x: Tensor, **condition: Tensor) -> Tensor:
        beside = self.beside(condition)
        if self.planes:
            beside = [numbers[:, :, None, None].expand(-1, -1, *x.shape[2:]) for numbers in beside]
        scores: Tensor = self.network(torch.cat((x if self.planes else x.flatten(1), *beside), 1))
        return scores


class ProjectionCritic(nn.Module):
    """ψ(h) + ⟨embedding of the condition, h⟩, shape (n,), with h the features before the last, linear layer ψ, flattened
    (Miyato & Koyama 2018, arXiv:1802.05637, equation 3). The embedding's weights start as large as ψ's."""

    def __init__(self, features: nn.Module, last: Any, fields: Mapping[str, Field]) -> None:
        super().__init__()
        self.features, self.last = features, last
        self.products = Embeddings(fields, last.weight[0].numel()).spread(_size(last))

    def forward(self, x: Tensor, **condition: Tensor) -> Tensor:
        h = self.features(x)
        embedded = torch.stack(self.products(condition)).sum(0)
        scores: Tensor = self.last(h).flatten() + (h.flatten(1) * embedded).sum(1)
        return scores


class ClassifyingCritic(nn.Module):
    """Scores (n,), and beside them logits of the classes (n, k) from the same features (Odena et al. 2017, arXiv:1610.09585).
    A condition that it is called with is left aside: it says itself which class it sees."""

    auxiliary = ("classes",)

    def __init__(self, features: nn.Module, last: Any, classes: int) -> None:
        super().__init__()
        self.features, self.last, self.classes = features, last, nn.Linear(last.weight[0].numel(), classes)
        nn.init.normal_(self.classes.weight, 0.0, _size(last))
        nn.init.zeros_(self.classes.bias)

    def forward(self, x: Tensor, **condition: Tensor) -> dict[str, Tensor]:
        h = self.features(x)
        return {"score": self.last(h).flatten(), "classes": self.classes(h.flatten(1))}


def _size(layer: nn.Linear | nn.Conv2d) -> float:
    """Root mean square of a layer's weights, as they are used: an equalized layer multiplies them by its `gain` first."""
    return float(layer.weight.detach().square().mean().sqrt()) * float(getattr(layer, "gain", 1.0))


def generator(
    name: str,
    conditioning: str,
    embedding: int,
    plain: Callable[[int], nn.Module],
    data: Data,
    condition: tuple[str, ...],
) -> nn.Module:
    """The generator for a condition; without one, the plain network.

    Args:
        name: of the component, for messages.
        conditioning, embedding: the component's keys.
        plain: makes the network for so many numbers besides z.

    Raises:
        GanflowError: it accepts no such condition, or has no batch norm that could follow from it.
    """
    if not condition:
        return plain(0)
    fields = fields_of(data, condition, f"generator '{name}'")
    if conditioning == "concat":
        return ConditionalGenerator(plain(embedding * len(fields)), Embeddings(fields, embedding))
    network = plain(0)
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        remedy = "generator.batch_norm=true" if name == "mlp" else "generator.norm=batch"
        raise GanflowError(
            f"generator '{name}' has no batch norm for conditioning: batch_norm; set {remedy}, or generator.conditioning=concat"
        )
    for module in list(network.modules()):
        for key, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, key, ConditionalBatchNorm(child, fields))
    return ConditionalGenerator(network, None)


def critic(
    name: str,
    conditioning: str,
    embedding: int,
    classifier: str,
    plain: Callable[[int], nn.Sequential],
    data: Data,
    condition: tuple[str, ...],
    planes: bool,
) -> nn.Module:
    """The critic for a condition, or with a head for classes; without either, the plain network.

    Args:
        name: of the component, for messages.
        conditioning, embedding, classifier: the component's keys.
        plain: makes the network for so many numbers (or channels, with `planes`) besides an example's; its last two layers are
            the one that scores and a flattening one.

    Raises:
        GanflowError: it accepts no such condition, or there are no such classes.
    """
    who = f"critic '{name}'"
    if classifier:
        there = [field for field, about in data.fields.items() if about.kind == "class"]
        if classifier not in there:
            known = f"classes are in: {', '.join(there)}" if there else "it has no classes: leave critic.classifier out"
            raise GanflowError(f"{who}: classifier: data '{data.name}' has no classes '{classifier}'; {known}")
        if others := [field for field in condition if field != classifier]:
            raise GanflowError(f"{who} with classifier: {classifier} has no condition, and cannot know '{others[0]}': leave "
                               f"critic.classifier out, or set condition={classifier}")  # fmt: skip
        whole = plain(0)
        return ClassifyingCritic(whole[:-2], whole[-2], len(data.fields[classifier].classes))
    if not condition:
        return plain(0)
    fields = fields_of(data, condition, who)
    if conditioning == "concat":
        return ConcatenationCritic(plain(embedding * len(fields)), Embeddings(fields, embedding), planes)
    whole = plain(0)
    return ProjectionCritic(whole[:-2], whole[-2], fields)


def fields_of(data: Data, condition: tuple[str, ...], who: str) -> dict[str, Field]:
    """The fields of a condition, by name.

    Raises:
        GanflowError: the data have no such field, or it is neither of classes nor an embedding.
    """
    for name in condition:
        if name not in data.fields:
            raise GanflowError(f"condition: data '{data.name}' has no field '{name}'; it has {', '.join(data.fields)}")
        field = data.fields[name]
        if field.kind == "class" and len(field.classes) < 2:
            raise GanflowError(f"condition: '{name}' of data '{data.name}' has one class only, {field.classes[0]}; "
                               "set 'condition=[]'")  # fmt: skip
        if field.kind != "class" and not field.shape:
            advice = f"let the data name them, TensorData(…, classes={{'{name}': [names]}})"
            raise GanflowError(f"condition: '{name}' of data '{data.name}' is a number that has no classes: {advice}")
        if field.kind != "class" and len(field.shape) != 1:
            raise GanflowError(
                f"{who} accepts classes or embeddings as a condition, and '{name}' of data '{data.name}' is of kind "
                f"{field.kind}, shape {field.shape}: use networks for such, as unet and patch for images"
            )
    return {name: data.fields[name] for name in condition}
