"""Steps as the engine plays them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from ganflow.contract.step import Step
from ganflow.errors import GanflowError, StepError, did_you_mean


def find_layer(critic: nn.Module, name: str) -> nn.Module:
    """The critic's module of this name; for '' the innermost one with weights that was made last.

    Raises:
        GanflowError: there is none.
    """
    modules: dict[str, nn.Module] = {
        key: module for key, module in critic.named_modules() if key and "parametrizations" not in key.split(".")
    }
    if name:
        if name not in modules:
            there = ", ".join(modules)
            raise GanflowError(f"loss.layer: the critic has no module '{name}'{did_you_mean(name, modules)} (modules: {there})")
        return modules[name]
    weighted = [  # a parametrization, as of spectral norm, is no part
        module for module in modules.values()
        if all(part == "parametrizations" for part, _ in module.named_children()) and any(True for _ in module.parameters())
    ]  # fmt: skip
    if not weighted:
        raise GanflowError("loss.layer: the critic has no modules with weights; name one whose output is to be compared")
    return weighted[-1]


T = TypeVar("T")
HALF = (torch.bfloat16, torch.float16)


class Fields(Mapping[str, Tensor]):
    """A batch that notes which of its tensors were asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.read = tensors, set[str]()

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        try:
            return self.tensors[name]
        except KeyError:
            there = ", ".join(self.tensors) or "nothing"
            hint = did_you_mean(name, self.tensors) or ": choose other data"
            raise StepError(f"reads '{name}' of every example; the batch has only {there}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


class PlayedStep(Step):
    """A player's turn in a game.

    Args:
        game: ganflow.engine.game.Game.
        fakes: examples that were generated for this batch already, by field.
        pending: changes of state that earlier micro-batches of the same step made; see `write`.

    Attributes:
        logged: numbers by name.
        weights: of all named scores together, each time that a term was computed over such.
        layers: of the critic, whose features were asked for.
    """

    def __init__(
        self,
        game: Any,
        player: Literal["critic", "generator"],
        batch: Mapping[str, Tensor],
        fakes: Mapping[str, Tensor] | None = None,
        pending: dict[int, tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self.game, self.player, self.round, self.data = game, player, game.round, game.data
        self.batch = self.fields = Fields(batch)
        self.domains, self.condition, self.signatures, self.makers = game.domains, game.condition, game.signatures, game.makers
        self.together, self.judged = game.together, game.critic is not None
        self.logged: dict[str, Tensor] = {}
        self.weights: list[float] = []
        self.layers: set[str] = set()
        self._pending = {} if pending is None else pending
        self._generated: dict[str, Tensor] = dict(fakes or {})
        self._shown: dict[str, Tensor] = {}
        self._made: dict[str, Any] = {}
        # (x, domain) → x and what the critic gave for it: the tensor is kept, so that no other gets its id
        self._passes: dict[tuple[int, str], tuple[Tensor, Any, dict[str, Tensor]]] = {}

    def real(self, domain: str | None = None) -> Tensor:
        return self.batch[domain or self.domains[0]]

    def generated(self, domain: str) -> Tensor:
        """Generated examples of a field, with graph in the generator's step alone."""
        if domain not in self._generated:
            with torch.set_grad_enabled(self.player == "generator" and torch.is_grad_enabled()), self._of_loss():
                self._generated[domain] = self.game.loss.generate(self, domain)
        return self._generated[domain]

    def fake(self, domain: str | None = None) -> Tensor:
        domain = domain or self.domains[0]
        if self.player == "generator":
            return self.generated(domain)
        if domain not in self._shown:
            with torch.no_grad(), self._of_loss():
                self._shown[domain] = self.game.loss.shown(self, domain, self.generated(domain))
        return self._shown[domain]

    def call(self, signature: str, *first: Any, **inputs: Any) -> Any:
        if signature not in self.signatures:
            there = ", ".join(self.signatures)
            hint = did_you_mean(signature, self.signatures) or ": use another generator"
            raise StepError(f"calls the generator's signature '{signature}', and it has {there}{hint}")
        played = self.signatures[signature]
        return played(self.game.generator, played.arguments(first, inputs))

    def score(self, x: Tensor, domain: str | None = None, **condition: Tensor) -> Any:
        return self._scores_in(self._pass(x, domain or self.domains[0], condition)[0])

    def scores(self, domain: str | None = None) -> tuple[Any, Any]:
        domain = domain or self.domains[0]
        real, fake = self.real(domain), self.fake(domain)
        if self.game.one_pass and (id(real), domain) not in self._passes:
            outputs, features = self._pass(torch.cat((real, fake)), domain, {})
            for i, x in enumerate((real, fake)):
                self._passes[id(x), domain] = x, _half(outputs, i), _half(features, i)
        return self.score(real, domain), self.score(fake, domain)

    def auxiliary(self, x: Tensor, name: str, domain: str | None = None) -> Tensor:
        outputs = self._pass(x, domain or self.domains[0], {})[0]
        names = tuple(outputs) if isinstance(outputs, Mapping) else ()
        if name not in names:
            there, hint = ", ".join(names) or "scores alone", did_you_mean(name, names) or "; use one that gives it"
            raise StepError(f"reads the critic's output '{name}', and this critic gives {there}{hint}")
        return _single(outputs[name])

    def features(self, x: Tensor, layer: str = "", domain: str | None = None, augmented: bool = True) -> Tensor:
        domain = domain or self.domains[0]
        if augmented and layer in self.game.layers:
            return self._pass(x, domain, {})[1][layer]
        if augmented:  # the first time that anybody asks, on a blank batch: from now on every pass keeps them
            self.layers.add(layer)
        critic = self._critic()
        with watched(critic, {layer}) as seen:
            (critic if augmented else critic.forward)(x, **self._besides(x, domain, {}))
        return seen[layer]

    def over(self, formula: Callable[..., Tensor], *scores: Any) -> Tensor:
        named = next((s for s in scores if isinstance(s, Mapping)), None)
        if named is None:
            return formula(*scores)
        weights = {name: self.game.score_weights.get(name, 1.0) for name in named}
        self.weights.append(sum(weights.values()))
        each = [weight * formula(*(s if s is None else s[name] for s in scores)) for name, weight in weights.items()]
        return torch.stack(each).sum(0)

    def log(self, name: str, value: Tensor) -> None:
        if value.dim():
            raise GanflowError(f"the logged number '{name}' has shape {tuple(value.shape)}; it must be a scalar")
        self.logged[name] = value.detach()

    def once(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._made:
            self._made[name] = make()
        made: T = self._made[name]
        return made

    def state(self, buffer: Tensor) -> Tensor:
        return self._pending[id(buffer)][1] if id(buffer) in self._pending else buffer

    def change(self, buffer: Tensor, value: Tensor) -> None:
        self._pending[id(buffer)] = buffer, value.detach()

    @torch.no_grad()
    def write(self) -> None:
        """Write the values that `change` got into their buffers."""
        for buffer, value in self._pending.values():
            buffer.copy_(value)
        self._pending.clear()

    @contextmanager
    def _of_loss(self) -> Iterator[None]:
        """Attribute StepErrors in this block to the loss."""
        try:
            yield
        except StepError as error:
            raise GanflowError(f"the {self.game.called[0]} {error}") from error

    def _critic(self) -> nn.Module:
        if self.game.critic is None:
            raise StepError("scores examples with a critic, and the recipe has none")
        critic: nn.Module = self.game.critic
        return critic

    def _besides(self, x: Tensor, domain: str, condition: Mapping[str, Tensor]) -> dict[str, Any]:
        """The critic's inputs besides x: the condition of as many examples, and the domain where there are several."""
        inputs: dict[str, Any] = {name: condition.get(name) for name in self.condition if name != domain}
        for name, value in inputs.items():
            value = self.batch[name] if value is None else value
            copies = len(x) // len(value)
            inputs[name] = torch.cat([value] * copies) if copies > 1 else value
        return {**inputs, "domain": domain} if len(self.domains) > 1 else inputs

    def _pass(self, x: Tensor, domain: str, condition: Mapping[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
        """The critic's outputs for x, and the features that the game's terms ask for, of one pass."""
        key = (id(x), domain)
        if key in self._passes and not condition:
            return self._passes[key][1:]
        if unknown := condition.keys() - set(self.condition):
            other, there = min(unknown), ", ".join(self.condition) or "none"
            hint = did_you_mean(other, self.condition) or f": add condition: {other}"
            what = f"scores examples under another '{other}', which is no condition of this recipe"
            raise StepError(f"{what} (it has {there}){hint}")
        critic, seen = self._critic(), {}
        if not self.game.layers:
            outputs = critic(x, **self._besides(x, domain, condition))
        else:
            with watched(critic, self.game.layers) as seen:
                outputs = critic(x, **self._besides(x, domain, condition))
        if not condition:
            self._passes[key] = x, outputs, seen
        return outputs, seen

    def _scores_in(self, outputs: Any) -> Any:
        if isinstance(outputs, Tensor):
            return _single(outputs)
        scores = {name: _single(t) for name, t in outputs.items() if name not in self.game.auxiliary}
        return next(iter(scores.values())) if len(scores) == 1 and not self.game.score_weights else scores


def _single(t: Tensor) -> Tensor:
    return t.float() if t.dtype in HALF else t


def _half(outputs: Any, i: int) -> Any:
    """The first or the second half of a critic's outputs for two batches together."""
    return outputs.chunk(2)[i] if isinstance(outputs, Tensor) else {name: t.chunk(2)[i] for name, t in outputs.items()}


@contextmanager
def watched(critic: nn.Module, layers: set[str]) -> Iterator[dict[str, Tensor]]:
    """Features (n, …) by layer, of the critic's passes while this lasts; in single precision where it runs in half."""
    seen: dict[str, Tensor] = {}

    def note(layer: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any = None) -> None:
            seen[layer] = _single((inputs[0] if layer == "" else output).flatten(1))

        return hook

    handles = []
    for layer in layers:
        module = find_layer(critic, layer)
        handles.append(module.register_forward_hook(note(layer)) if layer else module.register_forward_pre_hook(note(layer)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
