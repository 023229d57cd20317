"""Programs of torch.export: every signature of a trained generator as a graph that needs neither ganflow nor a plugin."""

from __future__ import annotations

import copy
import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn.functional import instance_norm, pad
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ganflow.contract.signature import Signature, Z
from ganflow.engine.compat import BatchNorm
from ganflow.engine.game import Game, fork_rng
from ganflow.errors import GanflowError, first_line, innermost

if TYPE_CHECKING:
    from torch.export import ExportedProgram

TRACED, CHECKED = 2, (1, 3)
"""Examples in the batch with which a network is traced, and in those with which its program is checked."""
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
FROM_LENGTH = "a network that asks for x.shape[0], not len(x), and decides nothing by it, can be exported"


@dataclass(frozen=True)
class Port:
    """An input, or the output, of a signature, without the batch dimension.

    Attributes:
        source: the prior ("z"), a field of the data, or what another signature makes.
        kind: as of ganflow.Field; "z", or "tensor" where it is of no field.
        shape: None stands for a height or width that is free.
        low, high: the range of values, None where unbounded.
        classes: names of the classes 0, 1, …
        smallest: the smallest free height and width.
    """

    source: str
    kind: str
    dtype: str
    shape: tuple[int | None, ...]
    low: float | None = None
    high: float | None = None
    classes: tuple[str, ...] = ()
    smallest: int = 1

    @property
    def about(self) -> dict[str, Any]:
        """Plain data, for config.json."""
        return {**self.__dict__, "shape": list(self.shape), "classes": list(self.classes)}


@dataclass(frozen=True)
class Called:
    """A signature as it was tried.

    Attributes:
        inputs: by argument, in the signature's sequence.
        examples: inputs that were tried, and what the network makes of them.
        larger: the same with images of another size; None where there are none, or the network takes no other size.
        random: the network draws random numbers by itself, so that two calls differ.
    """

    name: str
    inputs: Mapping[str, Port]
    output: Port
    examples: Mapping[str, Tensor]
    made: Tensor
    larger: Mapping[str, Tensor] | None = None
    random: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """Plain data, for config.json."""
        inputs = {name: port.about for name, port in self.inputs.items()}
        return {"inputs": inputs, "output": self.output.about, "random": self.random}


@dataclass(frozen=True)
class Program:
    """A signature's graph."""

    called: Called
    exported: ExportedProgram


def programs_of(game: Game, only: str | None = None) -> dict[str, Program]:
    """The programs of a trained game's signatures, the main one first: averaged weights, evaluation mode, any number of examples,
    images of any size where the network takes such.

    Args:
        only: the signature that is wanted; all by default.

    Raises:
        GanflowError: a network cannot be exported; the message names the module.
    """
    network = alone(game.averaged)
    return {name: _program(game, network, called) for name, called in signatures_called(game, only).items()}


def save_program(program: Program, path: Path) -> None:
    """Write a program as a .pt2 file."""
    with _quiet():
        torch.export.save(program.exported, path)


def signatures_called(game: Game, only: str | None = None) -> dict[str, Called]:
    """The signatures of a trained game, the main one first, tried. One that makes no tensor of as many examples is left out.

    Args:
        only: as of `programs_of`.
    """
    names = [game.maker, *(name for name in game.signatures if name != game.maker)]
    found: dict[str, Called] = {}
    made: dict[str, Tensor] = {}
    waiting = [name for name in names if only in (None, name)]
    while waiting:  # what a signature takes, another may have to make first
        ready = [n for n in waiting if all(_known(game, source, made) for source in game.signatures[n].inputs.values())]
        if not ready:
            break
        for name in ready:
            waiting.remove(name)
            examples = {argument: _example(game, source, made) for argument, source in game.signatures[name].inputs.items()}
            images = _made(game, name, examples)
            if images is None:
                continue
            made.setdefault(game.signatures[name].output, images)
            found[name] = _called_with(game, name, examples, images)
    return {name: found[name] for name in names if name in found}


def alone(network: nn.Module) -> nn.Module:
    """A copy in which no example's result depends on the others of its batch: where batch norm keeps no statistics, it takes
    those of each example, as in `Game.call`."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, BatchNorm) and child.running_mean is None:
                setattr(module, name, _EachExample(child))
    return copied


class _EachExample(nn.Module):
    """Batch norm with the statistics of each example."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


class _Behind(nn.Module):
    """A network behind one of its signatures, as `Game.call` calls it: inputs in the network's type, images padded to the
    multiple that it takes, results cropped and in float32."""

    def __init__(self, network: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.network, self.signature = network, signature
        self.dtype = next(network.parameters()).dtype

    def called(self, *first: Tensor) -> Tensor:
        """What the network makes of the signature's inputs."""
        inputs, multiple = self.signature.arguments(first, {}), self.signature.multiple
        inputs = {name: t.to(self.dtype) if t.is_floating_point() else t for name, t in inputs.items()}
        sizes = [t.shape[2:] for t in inputs.values() if t.dim() == 4] if multiple > 1 else []
        for height, width in sizes[:1]:
            spare = (0, -width % multiple, 0, -height % multiple)
            inputs = {name: pad(t, spare, mode="replicate") if t.dim() == 4 else t for name, t in inputs.items()}
        made: Tensor = self.signature(self.network, inputs).float()
        for height, width in sizes[:1] if made.dim() == 4 else []:  # slices would be traced for this size alone
            rows, columns = (torch.arange(side, device=made.device) for side in (height, width))
            made = made.index_select(2, rows).index_select(3, columns)
        return made


def _behind(network: nn.Module, signature: Signature) -> nn.Module:
    """The module of a signature, whose `forward` has the signature's arguments: the program's inputs are called like them."""

    def forward(self: _Behind, *inputs: Tensor) -> Tensor:
        return self.called(*inputs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = [inspect.Parameter(name, kind) for name in ("self", *signature.inputs)]
    forward.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    module: nn.Module = type("Called", (_Behind,), {"forward": forward})(network, signature)
    return module


def _known(game: Game, source: str, made: Mapping[str, Tensor]) -> bool:
    return source in made or source in game.data.fields or (source == Z and game.prior is not None)


def _example(game: Game, source: str, made: Mapping[str, Tensor]) -> Tensor:
    """Inputs from one source: draws from the prior, classes in turn, values spread over the field's range."""
    n = max(CHECKED)
    if source == Z and game.prior is not None:
        return game.latents(n)
    if source not in game.data.fields:
        return made[source]
    field = game.data.fields[source]
    if field.classes:
        return torch.arange(n) % len(field.classes)
    low, high = -1.0 if field.low is None else field.low, 1.0 if field.high is None else field.high
    return low + (high - low) * torch.rand(n, *field.shape, generator=torch.Generator().manual_seed(0))


def _made(game: Game, name: str, examples: Mapping[str, Tensor]) -> Tensor | None:
    """What a signature makes, None where that is no tensor of as many examples."""
    signature, network = game.signatures[name], game.averaged
    tried = {argument: _prepared(t, network) for argument, t in examples.items()}
    with torch.no_grad(), fork_rng(game.device, 0):
        if not isinstance(signature(network, tried), Tensor):
            return None
    try:
        return game.call(name, **examples)
    except RuntimeError:  # one number for all of a batch: a term of a loss
        return None


def _prepared(t: Tensor, network: nn.Module) -> Tensor:
    return t.to(next(network.parameters()).dtype) if t.is_floating_point() else t


def _called_with(game: Game, name: str, examples: Mapping[str, Tensor], made: Tensor) -> Called:
    signature, larger = game.signatures[name], _larger(game, name, examples)
    inputs = {argument: _port(game, source, examples[argument], larger is not None, signature.smallest)
              for argument, source in signature.inputs.items()}  # fmt: skip
    output = _port(game, signature.output, made, larger is not None, 1)
    random = not torch.equal(made, game.call(name, **examples, seed=1))
    return Called(name, inputs, output, examples, made, larger, random)


def _of_one_size(called: Called) -> Called:
    """The same signature for images of the size that they have in the data alone."""
    inputs = {name: replace(port, shape=tuple(called.examples[name].shape[1:]), smallest=1) for name, port in called.inputs.items()}
    return replace(called, inputs=inputs, output=replace(called.output, shape=tuple(called.made.shape[1:])), larger=None)


def _program(game: Game, network: nn.Module, called: Called) -> Program:
    name, examples, larger = called.name, called.examples, called.larger
    signature, exported = game.signatures[name], None
    with _used(network, signature, larger or examples) as needed:
        module = _behind(needed, signature).eval()
        if larger is not None:
            try:
                exported = _export(game, module, name, larger)
                odd = {argument: t[:, :, :-1, :-3] if t.dim() == 4 else t for argument, t in larger.items()}
                for sized in (examples, larger, odd):
                    _check(game, exported, name, sized)
            except GanflowError:  # then it is made for images of one size
                exported, called = None, _of_one_size(called)
        if exported is None:
            exported = _export(game, module, name, examples)
            _check(game, exported, name, examples)
    exported.example_inputs = None  # pt2 would keep them
    return Program(called, exported)


def _larger(game: Game, name: str, examples: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Inputs with images of another size; None where there are no images, or the network takes no other size."""
    signature = game.signatures[name]
    if not any(t.dim() == 4 for t in examples.values()):
        return None
    more, least = signature.multiple, max(signature.smallest, 4)

    def enlarged(t: Tensor) -> Tensor:
        if t.dim() != 4:
            return t
        height, width = (max(side, least) + 2 * more for side in t.shape[2:])
        spare = (0, width + 2 * more + 5 - t.shape[3], 0, height + 5 - t.shape[2])
        return pad(t, spare, mode="replicate")

    larger = {argument: enlarged(t) for argument, t in examples.items()}
    try:
        made = game.call(name, **larger)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    return larger if made.dim() != 4 or made.shape[2:] != game.call(name, **examples).shape[2:] else None


def _export(game: Game, module: nn.Module, name: str, examples: Mapping[str, Tensor]) -> ExportedProgram:
    """Trace a network for any number of examples and, where the examples have images, for any height and width.

    Raises:
        GanflowError: that cannot be done.
    """
    from torch.export import Dim, export

    batch, smallest = Dim("batch", min=1), game.signatures[name].smallest
    sized = {2: Dim.AUTO(min=smallest), 3: Dim.AUTO(min=smallest)}  # type: ignore[operator]
    fixed = all(t.shape[1:] == game.data.fields[s].shape for t, s in
                zip(examples.values(), game.signatures[name].inputs.values(), strict=True) if s in game.data.fields)  # fmt: skip
    shapes = tuple({0: batch, **(sized if t.dim() == 4 and not fixed else {})} for t in examples.values())
    with _quiet(), _watched(module) as narrowing:
        try:
            return export(module, tuple(t[:TRACED] for t in examples.values()), dynamic_shapes=shapes)
        except Exception as error:
            where, why = _cause(error, module, narrowing)
            raise GanflowError(f"{_who(game, name)} cannot be exported: {where}{why}") from error


def _check(game: Game, exported: ExportedProgram, name: str, examples: Mapping[str, Tensor]) -> None:
    """Compare a program with the network.

    Raises:
        GanflowError: it makes something else.
    """
    program = exported.module()
    for n in CHECKED:
        few = {argument: t[:n] for argument, t in examples.items()}
        expected = game.call(name, **few)
        try:
            with torch.no_grad(), fork_rng(game.device, 0):
                found = program(*few.values())
        except (RuntimeError, AssertionError, ValueError) as error:
            raise GanflowError(f"{_who(game, name)} cannot be exported: its program fails for {n} examples "
                               f"({_reason(error)}); {FROM_LENGTH}") from error  # fmt: skip
        if not torch.allclose(found, expected, **CLOSE, equal_nan=True):
            apart = f"{(found - expected).abs().max():.1g}" if found.shape == expected.shape else f"{tuple(found.shape)}"
            raise GanflowError(f"{_who(game, name)} cannot be exported: its program makes other numbers than the network of "
                               f"{n} examples ({apart} apart): they follow from more than inputs and weights")  # fmt: skip


def _port(game: Game, source: str, example: Tensor, free: bool, smallest: int) -> Port:
    shape: tuple[int | None, ...] = tuple(example.shape[1:])
    free = free and example.dim() == 4
    shape = (shape[0], None, None) if free else shape
    dtype = str(example.dtype).removeprefix("torch.")
    port = Port(source, Z if source == Z else "tensor", dtype, shape, smallest=smallest if free else 1)
    if source == Z and game.prior is not None:
        low, high = game.prior.support or (None, None)
        return replace(port, low=low, high=high)
    if source in game.data.fields:
        field = game.data.fields[source]
        return replace(port, kind=field.kind, low=field.low, high=field.high, classes=field.classes)
    return port


class _Used(TorchFunctionMode):
    """Notes the tensors that functions of torch get."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen |= {id(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        return func(*args, **(kwargs or {}))


@contextmanager
def _used(network: nn.Module, signature: Signature, examples: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """A network without the weights that a signature does not use (the other way's of a translator), so that no program keeps
    them. They are back afterwards."""
    behind = _Behind(network, signature)
    with torch.no_grad(), fork_rng(torch.device("cpu")), _Used() as used:
        behind.called(*examples.values())
    taken: list[tuple[dict[str, Any], str, Tensor]] = []
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, t in list(tensors.items()):
                if t is not None and id(t) not in used.seen:
                    taken.append((tensors, name, t))
                    tensors[name] = None
    try:
        yield network
    finally:
        for tensors, name, t in taken:
            tensors[name] = t


# What a network does that no program can.


@contextmanager
def _quiet() -> Iterator[None]:
    """torch tells on stderr what is said in one sentence here."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.fx", "torch._export", "torch.onnx", "torch._dynamo")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[nn.Module]]:
    """While a module is traced: the first of its modules within which the number of examples ceased to be any."""
    narrowing: list[nn.Module] = []
    batch: list[Any] = []
    begun: list[bool] = []

    def narrowed() -> bool:
        n = batch[0]
        return isinstance(n, int) or statically_known_true(n < 2**40) or statically_known_true(n >= TRACED + 1)

    def before(within: nn.Module, args: Any) -> None:
        if within is module:
            batch[:] = [args[0].shape[0]]
        begun.append(narrowed())

    def after(within: nn.Module, args: Any, made: Any) -> None:
        if not begun.pop() and not narrowing and narrowed():
            narrowing.append(within)

    hooks = [hook for m in module.modules() for hook in (m.register_forward_pre_hook(before), m.register_forward_hook(after))]
    try:
        yield narrowing
    finally:
        for hook in hooks:
            hook.remove()


def _cause(error: BaseException, module: Any, narrowing: list[nn.Module]) -> tuple[str, str]:
    """The module in which a network cannot be traced, for a message, and torch's reason."""
    names = {id(m): name for name, m in module.network.named_modules()}
    found = innermost(error, lambda name: not name.startswith("torch."))
    within = narrowing[-1] if narrowing else None
    trace = error.__traceback__
    while trace is not None and found is not None:  # the innermost frame that runs a method of one of the network's modules
        running = trace.tb_frame.f_locals.get("self")
        if isinstance(running, nn.Module) and id(running) in names:
            within = running
        trace = trace.tb_next
    where = ""
    if within is not None and id(within) in names:
        name = ".".join(filter(None, ("generator", names[id(within)])))
        where = f"{name} ({type(within).__name__}) "
    if narrowing:
        return where or "it ", f"is traced for some numbers of examples only ({_reason(error)}); {FROM_LENGTH}"
    return where, f"cannot be traced: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """torch's reason, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    listed = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    text = (listed or [first_line(error)])[0]
    return re.split(r"(?<=[^.])\. |\(unhinted|\. If you're", text.rstrip("."), maxsplit=1)[0].strip()


def _who(game: Game, name: str) -> str:
    return f"the generator's signature '{name}' ({type(game.averaged).__name__})"
