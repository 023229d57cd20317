"""Signatures: what a generator can be called for, as a SavedModel or an MLflow model has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ganflow.contract.data import Data
from ganflow.errors import GanflowError, did_you_mean

Z = "z"
"""The prior's draw, as an input or an output of a signature."""


@dataclass(frozen=True)
class Signature:
    """One way to call a generator.

    A generator's attribute `signatures` maps names to them. A plain module needs none: `sample`, from z and the condition to the
    data's first field, is the default. Of several that make one field from what a batch holds, the first is the one that is
    played.

    Attributes:
        inputs: argument → where it comes from: "z" (the prior), a field of the data, or the output of another signature. The
            first is passed by position, others by name.
        output: a field of the data, "z" (an encoder), or a name of its own, which other signatures may have as an input.
        method: of the module.
        constants: further arguments, the same in every call: {"to": "b"}.
        multiple: heights and widths of images have to be multiples of this; `Game.call` pads, and crops what is made.
        smallest: the smallest height and width.
    """

    inputs: Mapping[str, str]
    output: str
    method: str = "forward"
    constants: Mapping[str, Any] = field(default_factory=dict)
    multiple: int = 1
    smallest: int = 1

    def arguments(self, first: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name; the first few are positional.

        Raises:
            TypeError: one is missing, or is not among the inputs.
        """
        passed = {**dict(zip(self.inputs, first, strict=False)), **named}
        if passed.keys() != self.inputs.keys() or len(first) + len(named) != len(passed):
            wanted = ", ".join(self.inputs)
            raise TypeError(f"a signature with the inputs {wanted} is called with {', '.join(passed) or 'nothing'}")
        return {name: passed[name] for name in self.inputs}

    def __call__(self, module: Any, inputs: Mapping[str, Any]) -> Any:
        """The module's output for these arguments."""
        function = module if self.method == "forward" else getattr(module, self.method)
        first, *others = (inputs[name] for name in self.inputs)
        named = dict(zip(list(self.inputs)[1:], others, strict=True))
        return function(first, **named, **self.constants)


def signatures_of(generator: Any, data: Data, prior: Any, condition: Sequence[str]) -> dict[str, Signature]:
    """The signatures of a generator, in its order.

    Raises:
        GanflowError: it has none and there is no prior, or one names what there is not.
    """
    found: Mapping[str, Any] | None = getattr(generator, "signatures", None)
    if found is None:
        if prior is None:
            raise GanflowError("the recipe has no prior, and its generator no signatures that say what it makes examples from: "
                               "add prior: {use: normal}")  # fmt: skip
        return {"sample": Signature({Z: Z, **{name: name for name in condition}}, next(iter(data.fields)))}
    for name, signature in found.items():
        if not isinstance(signature, Signature):
            kind = type(signature).__name__
            raise GanflowError(f"the generator's signature '{name}' is a {kind}; write it as ganflow.Signature(inputs, output)")
        if not callable(getattr(generator, signature.method, None)):
            methods = [m for m in dir(type(generator)) if not m.startswith("_") and not hasattr(nn.Module, m)]
            hint = did_you_mean(signature.method, methods)
            raise GanflowError(f"the generator's signature '{name}' calls the method '{signature.method}', which "
                               f"{type(generator).__name__} does not have{hint}")  # fmt: skip
    known = {Z, *data.fields, *(signature.output for signature in found.values())}
    for name, signature in found.items():
        for source in signature.inputs.values():
            if source not in known:
                raise GanflowError(f"the generator's signature '{name}' takes '{source}', which is no field of data {data.name}"
                                   f"{did_you_mean(source, known)} (there are: {', '.join(sorted(known))})")  # fmt: skip
            if source == Z and prior is None and signature.output in data.fields:
                raise GanflowError(f"the generator's signature '{name}' takes z, and the recipe has no prior: "
                                   "add prior: {use: normal}")  # fmt: skip
    return dict(found)


def played(signatures: Mapping[str, Signature], data: Data, prior: Any) -> dict[str, str]:
    """Field → the signature by which it is generated in training: the first that makes it from z or other fields. Where there is
    none, that which makes a field from itself (an autoencoder without a prior)."""
    there = {*data.fields, *([Z] if prior is not None else [])}
    possible = {name: s for name, s in signatures.items() if s.output in data.fields and set(s.inputs.values()) <= there}
    from_others = {name: s for name, s in possible.items() if s.output not in s.inputs.values()}
    made: dict[str, str] = {}
    for name, signature in (from_others or possible).items():
        made.setdefault(signature.output, name)
    return made
