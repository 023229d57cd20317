"""Whether a loss, or what a modifier adds to it, is written as the contract says; see ganflow.loss."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ganflow.errors import GanflowError
from ganflow.game.held import losses_in
from ganflow.loss import AddedTerms, Loss

METHODS = {
    "critic_terms": "step",
    "generator_terms": "step",
    "critic_stepped": "values",
    "generator_stepped": "values",
}
"""What the engine calls in every round, and the one argument of each."""


def check_parts(parts: Sequence[Any], called: Sequence[str]) -> None:
    """See that a loss and added terms keep the contract, as far as can be told before they are played.

    Args:
        parts: the loss first.
        called: what messages call each, "loss 'hinge'".

    Raises:
        GanflowError: one does not.
    """
    for i, (part, name) in enumerate(zip(parts, called, strict=True)):
        wanted = AddedTerms if i else Loss
        if not isinstance(part, wanted):
            form = "return AddedTerms from `terms`" if i else "derive it from ganflow.Loss or ScoreLoss"
            kind = f"{type(part).__name__}, which is no {wanted.__name__}"
            raise GanflowError(f"the {name} gave an object of type {kind}: {form} (docs/porting.md)")
        for inner in losses_in([part]):
            _check_methods(inner, name)
        if i:
            if text := wrong_span(part):
                raise GanflowError(f"the {name}: {text}")
            if not any(gives(part, method) for method in (*METHODS, "check", "estimates")):
                raise GanflowError(f"the {name} adds nothing: {type(part).__name__} has none of {', '.join(METHODS)}")


def _check_methods(part: AddedTerms, name: str) -> None:
    """The methods are called as they are written: none is misspelt, and each takes what it gets."""
    cls = type(part)
    missing = [method for method in METHODS if not gives(part, method)]
    for written in dir(cls):
        if written in METHODS or written.startswith("_") or hasattr(Loss, written) or not callable(getattr(cls, written)):
            continue
        if close := difflib.get_close_matches(written, missing, n=1, cutoff=0.87):
            raise GanflowError(f"the {name} has a method '{written}', which nobody calls; did you mean '{close[0]}'? "
                               f"(another method of this name may begin with _)")  # fmt: skip
    for method, argument in METHODS.items():
        try:
            inspect.signature(getattr(part, method)).bind(None)
        except TypeError:
            taken = ", ".join(inspect.signature(getattr(cls, method)).parameters)
            now = f"since contract 2 it is {method}(self, {argument}): docs/porting.md says how to port it"
            raise GanflowError(f"the {name} has {cls.__name__}.{method}({taken}); {now}") from None


def wrong_span(part: AddedTerms) -> str | None:
    """What is wrong with the rounds in which terms take part: that they are no numbers of rounds, or none; None if nothing."""
    whole = {"every": part.every, "begin": part.begin} | ({} if part.end is None else {"end": part.end})
    for name, number in whole.items():
        least = int(name == "every")
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            return f"`{name}` is {number!r}; it must be a whole number, {least} or more"
    if part.end is not None and part.end <= part.begin:
        return f"its terms begin with round {part.begin} and end with {part.end}; they would never take part"
    return None


def gives(part: AddedTerms, method: str) -> bool:
    """Whether a method is not the empty one of AddedTerms: of the class, or of this object alone."""
    return method in vars(part) or getattr(type(part), method) is not getattr(AddedTerms, method)


def check_terms(found: Any, name: str, player: str) -> Mapping[str, Tensor]:
    """What `critic_terms` or `generator_terms` gave.

    Raises:
        GanflowError: it is no mapping from names to scalar tensors.
    """
    if not isinstance(found, Mapping):
        raise GanflowError(f"{player}_terms of the {name} gives a {type(found).__name__}; it must be a dict of named scalars")
    for term, value in found.items():
        if not isinstance(value, Tensor):
            raise GanflowError(f"the term '{term}' of the {name} is a {type(value).__name__}; it must be a scalar tensor")
        if value.dim():
            raise GanflowError(f"the term '{term}' of the {name} has shape {tuple(value.shape)}; a term must be a scalar")
    return found
