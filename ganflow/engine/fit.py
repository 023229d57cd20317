"""Tries of a game's parts on two blank examples: sizes that do not go together are a sentence before anything is trained."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.contract.hooks import hooks_of
from ganflow.contract.loss import Loss, mixes_examples
from ganflow.contract.signature import Signature, Z
from ganflow.engine.game import Game, evaluating, fork_rng
from ganflow.engine.losses import losses_in
from ganflow.engine.step import PlayedStep
from ganflow.errors import GanflowError, first_line
from ganflow.plugins import culprit
from ganflow.recipe import Recipe

SIZES = (RuntimeError, ValueError, IndexError)
"""Errors by which torch says that shapes do not go together."""
CALLS = (TypeError, KeyError, AttributeError)
"""Errors of a network that is called with other inputs than it takes."""
BOTH = SIZES + CALLS


def check_fit(recipe: Recipe, game: Game) -> None:
    """Send two examples through the networks, and play each player's step on them.

    Raises:
        GanflowError: parts do not fit each other.
    """
    if game.one_pass and game.critic is not None and mixes_examples(game.critic):
        remedy = "give the critic another norm (critic.norm=layer, instance or none), or set train.one_pass=false"
        raise GanflowError(f"train.one_pass: the critic has batch norm, which would mix real and fake examples; {remedy}")
    if game.one_pass and (size := group_size(game.critic)) > 1:
        raise GanflowError(f"train.one_pass: the critic compares {size} examples with each other, which would mix real and fake "
                           "ones; set train.one_pass=false")  # fmt: skip
    if game.critic is None:
        for chosen in recipe.modifiers:
            if {hook.name for hook in hooks_of(type(chosen.settings))} <= {"critic", "critic_stepped"}:
                raise GanflowError(f"modifier '{chosen.component.name}' works on a critic, and the recipe has none; take it out")
    for part in losses_in(game.parts):
        part.check(game)
    fit = _Fit(recipe, game)
    with torch.no_grad(), fork_rng(torch.device("cpu")), evaluating(game):
        step = fit.check_signatures()
        for domain in game.domains:
            fit.check_generator(step, domain)
            fit.check_critic(step, domain)
    fit.check_terms()


def group_size(critic: nn.Module | None) -> int:
    """The number of examples in a row that a critic compares with each other: an attribute of one of its modules."""
    return max((int(getattr(m, "group_size", 1)) for m in (critic.modules() if critic is not None else ())), default=1)


class _Fit:
    def __init__(self, recipe: Recipe, game: Game) -> None:
        self.recipe, self.game, self.data = recipe, game, f"data '{recipe.data.component.name}'"
        self.generator = f"generator '{recipe.generator.component.name}'"
        self.critic = f"critic '{recipe.critic.component.name}'" if recipe.critic else ""
        self.prior = f"prior '{recipe.prior.component.name}'" if recipe.prior else ""

    def check_signatures(self) -> PlayedStep:
        """Call each signature of the generator whose inputs there are: what is z, a field of the data, or an input of another
        signature must have one shape, whichever of them makes it.

        Returns:
            the generator's step, with what was generated.
        """
        game, batch = self.game, self.game.blank(2)
        step, there, makers = game.step("generator", batch), dict(batch), dict.fromkeys(batch, "")
        wanted = {source for signature in game.signatures.values() for source in signature.inputs.values()}
        waiting, fakes = dict(game.signatures), dict[str, Tensor]()
        while name := next((n for n, s in waiting.items() if set(s.inputs.values()) <= there.keys()), None):
            signature = waiting.pop(name)
            inputs = {argument: there[source] for argument, source in signature.inputs.items()}
            if not _suits(signature, inputs.values()):
                continue
            of = {source: (tuple(there[source].shape[1:]), makers[source]) for source in signature.inputs.values()}
            with self._trying(self._refusal(name, of), game.generator, partial(self._advice, signature, inputs)):
                made = step.call(name, **inputs)
            if not isinstance(made, Tensor):  # a distribution, say
                continue
            kept = signature.output
            if kept not in there:
                there[kept], makers[kept] = made, name
            elif kept in wanted | {Z} and kept not in game.data.fields and made.shape != there[kept].shape:
                raise GanflowError(self._unequal(name, kept, tuple(made.shape[1:]), tuple(there[kept].shape[1:]), makers[kept]))
            if game.makers.get(kept) == name and type(game.loss).generate is Loss.generate:
                fakes[kept] = made
        return game.step("generator", batch, fakes=fakes)

    def check_generator(self, step: Any, domain: str) -> None:
        wanted = (2, *self.game.data.fields[domain].shape)
        name = self.game.makers[domain]
        inputs: Mapping[str, str] = self.game.signatures[name].inputs
        of = {source: (tuple(step.batch[source].shape[1:]), "") for source in inputs.values()}
        with self._trying(self._refusal(name, of), self.game.generator, partial(self._keys, "generator", "data")):
            fake = step.fake(domain)
        if tuple(fake.shape) != wanted:
            made = tuple(fake.shape[1:])
            raise GanflowError(f"{self.generator} makes examples of shape {made}; {self.data} has shape {wanted[1:]}")

    def check_critic(self, step: Any, domain: str) -> None:
        if self.game.critic is None:
            return
        x = step.real(domain)
        besides = f" with {_listed(self.game.condition)}" if self.game.condition else ""
        refusal = f"{self.critic} does not take examples of shape {tuple(x.shape[1:])}{besides}, which {self.data} has"
        with self._trying(refusal, self.game.critic, partial(self._keys, "data", "critic")):
            scores = step.score(x, domain)
        for one in scores.values() if isinstance(scores, Mapping) else [scores]:
            if one.shape[:1] != (2,):
                raise GanflowError(
                    f"{self.critic} gives scores of shape {tuple(one.shape)} for a batch of 2; "
                    "the first dimension must be the batch"
                )

    def check_terms(self) -> None:
        """Play each player's step, and find out what it reads; where that fails, which part's terms are at fault."""
        try:
            self.game.discover()
        except SIZES as error:
            with fork_rng(self.game.device), evaluating(self.game), torch.enable_grad():
                for called, part in zip(self.game.called, self.game.parts, strict=True):
                    besides = ", ".join(filter(None, (self.generator, self.critic, self.prior)))
                    refusal = f"the {called} cannot be computed for {besides} and {self.data}"
                    with self._trying(refusal, self.game, lambda: "use another, or networks that it is made for", SIZES):
                        for player in self.game.stepping:
                            self.game.terms_of(self.game.step(player, self.game.blank(2)), [part])
            raise error

    @contextmanager
    def _trying(
        self, refusal: str, network: nn.Module, advice: Callable[[], str], errors: tuple[type[Exception], ...] = BOTH
    ) -> Iterator[None]:
        """Raise what goes wrong inside as a sentence, with the layer that it goes wrong in."""
        try:
            yield
        except GanflowError:
            raise
        except errors as error:
            if isinstance(error, TypeError) and (calls := self._called(network)):
                raise GanflowError(f"{refusal}: {calls}") from error
            what, debug = f"{first_line(error).rstrip('.')}{_layer(error, network)}", ""
            if (found := culprit(error)) and not found.plugin.built_in:  # whose author wants to know where
                what = f"{type(error).__name__}: {what}, in {found.plugin}, {found.line}"
                debug = "; --debug shows the traceback"
            raise GanflowError(f"{refusal}: {what}; {advice()}{debug}") from error

    def _keys(self, *roles: str) -> str:
        """Advice for components that differ in a size."""
        chosen = {role: getattr(self.recipe, role) for role in roles}
        names = [f"{role}/{part.component.name}" for role, part in chosen.items() if part is not None]
        where = "keys of either" if len(names) > 1 else "its keys"
        return f"make the sizes equal, by {where} (ganflow plugins show {' '.join(names)}), or use another"

    def _refusal(self, name: str, of: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
        """The beginning of a sentence on a signature that refuses its inputs, whose shapes and makers these are."""
        if set(of) == {Z} and not of[Z][1]:
            what = f"latents of shape {of[Z][0]} from {self.prior}"
        else:
            what = " and ".join(f"'{source}' of shape {shape}" + (f", as its signature '{by}' makes it" if by else "")
                                for source, (shape, by) in of.items())  # fmt: skip
        signature = f": its signature '{name}'" if len(self.game.signatures) > 1 else ""
        return f"{self.generator}{signature} does not take {what}"

    def _unequal(self, name: str, kept: str, made: tuple[int, ...], there: tuple[int, ...], by: str) -> str:
        who = f"{self.generator}: its signature '{name}' makes '{kept}' of shape {made}, and"
        if by:
            return f"{who} its signature '{by}' makes it of shape {there}: give both the same size"
        remedy = f"set prior.dim={made[0]}" if self._sized and len(made) == 1 else "give both the same shape"
        return f"{who} {self.prior} draws it of shape {there}: {remedy}, or change the generator's code"

    @property
    def _sized(self) -> bool:
        """True where the prior's size is its key `dim`."""
        return self.recipe.prior is not None and hasattr(self.recipe.prior.settings, "dim")

    def _advice(self, signature: Signature, inputs: Mapping[str, Tensor]) -> str:
        """Advice for a signature: the size of z with which it can be called, of those that layers want; each is tried."""
        z = next((t for argument, t in inputs.items() if signature.inputs[argument] == Z), None)
        sizes = [getattr(m, "in_features", getattr(m, "in_channels", 0)) for m in self.game.generator.modules()]
        for wanted in dict.fromkeys(sizes):
            if z is None or z.dim() != 2 or not self._sized or not isinstance(wanted, int) or wanted in (0, z.shape[1]):
                continue
            others = {a: z.new_zeros(2, wanted) if t is z else t for a, t in inputs.items()}
            try:
                signature(self.game.generator, others)
            except BOTH:
                continue
            return f"set prior.dim={wanted}, or use another generator"
        sources = set(signature.inputs.values())
        besides = ["prior"] if sources == {Z} else ["data"] if sources & self.game.data.fields.keys() else []
        return self._keys("generator", *besides)

    def _called(self, network: nn.Module) -> str | None:
        """The end of a sentence on a critic that wants other arguments than it is called with; None for any other."""
        if network is not self.game.critic:
            return None
        domains = {"domain": ""} if len(self.game.domains) > 1 else {}
        besides = {**dict.fromkeys(self.game.condition, ""), **domains}
        try:
            inspect.signature(network.forward).bind("", **besides)
        except TypeError:
            made, inputs = _listed(self.game.domains), _listed(("x", *besides))
            advice = "one of several fields (patch, multiscale)" if domains else "one that takes no more (dcgan, resnet, mlp)"
            return f"it is called with {inputs}, for the recipe generates {made}, and takes other arguments: use {advice}"
        return None


def _suits(signature: Signature, inputs: Iterable[Tensor]) -> bool:
    """True where a signature needs no padding of the images among its inputs, which only calls outside of training have."""
    sides = [side for t in inputs if t.dim() == 4 for side in t.shape[2:]]
    return all(side >= signature.smallest and side % signature.multiple == 0 for side in sides)


def _layer(error: BaseException, network: nn.Module) -> str:
    """The layer of a network in which an error was raised, with its input, for a sentence; nothing where that is not known."""
    names, found = {module: name for name, module in network.named_modules() if name}, ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        arguments = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        if frame.f_code.co_name != "forward" or len(arguments) < 2:
            continue
        module, got = (frame.f_locals.get(argument) for argument in arguments[:2])
        if isinstance(module, nn.Module) and module in names and isinstance(got, Tensor):
            about = str(module) if "\n" not in str(module) else type(module).__name__
            found = f", in its layer {names[module]}, {about}, which gets {tuple(got.shape[1:])}"
    return found


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)
