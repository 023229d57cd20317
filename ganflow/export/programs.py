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
from torch.nn.functional import instance_norm, pad
from torch.overrides import TorchFunctionMode

from ganflow.contract.signature import Signature
from ganflow.engine.compat import BatchNorm, surely, tree_leaves
from ganflow.engine.game import Game, fork_rng
from ganflow.errors import GanflowError, first_line, innermost
from ganflow.export.tried import NUMBER, Called, signatures_called

if TYPE_CHECKING:
    from torch.export import ExportedProgram

TRACED, CHECKED = 2, (1, NUMBER)
"""Examples in the batch with which a network is traced, and in those with which its program is checked."""
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
FROM_LENGTH = "a network that asks for x.shape[0], not len(x), and decides nothing by it, can be exported"


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


def alone(network: nn.Module) -> nn.Module:
    """A copy in which no example's result depends on the others of its batch: batch norm without statistics has those of each
    example, as in `Game.call`."""
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
    multiple that it takes, results cropped and in float32.

    Args:
        dtype: of the network.
        cropped: what is made is as large as the images, and not a code.
    """

    def __init__(self, network: nn.Module, signature: Signature, dtype: torch.dtype, cropped: bool) -> None:
        super().__init__()
        self.network, self.signature, self.dtype, self.cropped = network, signature, dtype, cropped

    def called(self, *first: Tensor) -> Tensor:
        """The network's output for the signature's inputs."""
        inputs, multiple = self.signature.arguments(first, {}), self.signature.multiple
        inputs = {name: t.to(self.dtype) if t.is_floating_point() else t for name, t in inputs.items()}
        sizes = [t.shape[2:] for t in inputs.values() if t.dim() == 4] if multiple > 1 else []
        for height, width in sizes[:1]:
            spare = (0, -width % multiple, 0, -height % multiple)
            inputs = {name: pad(t, spare, mode="replicate") if t.dim() == 4 else t for name, t in inputs.items()}
        made: Tensor = self.signature(self.network, inputs).float()
        for height, width in sizes[:1] if self.cropped else []:  # slices would be traced for this size alone
            rows, columns = (torch.arange(side, device=made.device) for side in (height, width))
            made = made.index_select(2, rows).index_select(3, columns)
        return made


def _behind(network: nn.Module, signature: Signature, dtype: torch.dtype, cropped: bool) -> nn.Module:
    """The module of a signature, whose `forward` has the signature's arguments: the program's inputs are called like them."""

    def forward(self: _Behind, *inputs: Tensor) -> Tensor:
        return self.called(*inputs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = [inspect.Parameter(name, kind) for name in ("self", *signature.inputs)]
    forward.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    module: nn.Module = type("Called", (_Behind,), {"forward": forward})(network, signature, dtype, cropped)
    return module


def _of_one_size(called: Called) -> Called:
    """The same signature for images of the size that they have in the data alone."""
    shapes = {name: tuple(t.shape[1:]) for name, t in called.examples.items()}
    inputs = {name: replace(port, shape=shapes[name], smallest=1) for name, port in called.inputs.items()}
    return replace(called, inputs=inputs, output=replace(called.output, shape=tuple(called.made.shape[1:])), larger=None)


def _program(game: Game, network: nn.Module, called: Called) -> Program:
    name, examples, larger = called.name, called.examples, called.larger
    signature, exported = game.signatures[name], None
    sizes = [t.shape[2:] for t in examples.values() if t.dim() == 4]
    cropped = called.made.dim() == 4 and called.made.shape[2:] in sizes
    dtype = next(network.parameters()).dtype
    module = _behind(network, signature, dtype, cropped).eval()
    with _used(module, larger or examples):
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


def _export(game: Game, module: nn.Module, name: str, examples: Mapping[str, Tensor]) -> ExportedProgram:
    """Trace a network for any number of examples and, where the examples have images, for any height and width.

    Raises:
        GanflowError: that cannot be done.
    """
    from torch.export import Dim, export

    batch, smallest = Dim("batch", min=1), game.signatures[name].smallest
    sized = {2: Dim.AUTO(min=smallest), 3: Dim.AUTO(min=smallest)}
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
        expected = game.call(name, *few.values())
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


class _Used(TorchFunctionMode):
    """Notes the tensors that functions of torch get."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen |= {id(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        return func(*args, **(kwargs or {}))


@contextmanager
def _used(behind: nn.Module, examples: Mapping[str, Tensor]) -> Iterator[None]:
    """While this lasts, a network has none of the weights that a signature does not use (the other way's of a translator), so
    that no program keeps them."""
    with torch.no_grad(), fork_rng(torch.device("cpu")), _Used() as used:
        behind(*examples.values())
    taken: list[tuple[Any, str, Tensor]] = []
    for module in behind.modules():
        both: tuple[Any, ...] = (module._parameters, module._buffers)
        for tensors in both:
            for name, t in list(tensors.items()):
                if t is not None and id(t) not in used.seen:
                    taken.append((tensors, name, t))
                    tensors[name] = None
    try:
        yield
    finally:
        for tensors, name, t in taken:
            tensors[name] = t


# What a network does that no program can.


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from writing on stderr what an error's sentence has."""
    loggers = [logging.getLogger(f"torch.{name}") for name in ("export", "fx", "_export", "onnx", "_dynamo")]
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
        return isinstance(n, int) or surely(n < 2**40) or surely(n >= TRACED + 1)

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
