"""All that the engine uses of torch's private or experimental parts: the reason, and the public way that was tried.

tests/engine/test_torch_compat.py fails where an upgrade of torch breaks one. It also holds what plugins and `contract.loss` use:
the base class of batch norms, the kernels for lists of tensors, the fused optimizers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode as DispatchMode
from torch.utils._pytree import tree_leaves, tree_map

if TYPE_CHECKING:
    from torch import fx

__all__ = ["BatchNorm", "Conv", "ConvTranspose", "DispatchMode", "tree_leaves", "tree_map"]

# torch.overrides.TorchFunctionMode, the public sibling of DispatchMode, does not see what autograd computes. There is no public
# torch.utils.pytree; optree would be one more library.

BatchNorm = nn.modules.batchnorm._BatchNorm
"""Base of all batch norms. The public classes, listed, would miss a plugin's that derives from it, and none is a common base."""
Conv = nn.modules.conv._ConvNd
ConvTranspose = nn.modules.conv._ConvTransposeNd
"""Bases of all convolutions, and of the transposed ones; for the same reason."""

c10d: Any = torch.distributed  # whose types are incomplete


TO_COPY: Any = torch.ops.aten._to_copy.default
"""What `Tensor.to` is to a mode, where it copies."""


def surely(condition: Any) -> bool:
    """Return whether a condition on sizes that are traced holds for all of them, without narrowing them as `if` does. There is no
    public way to ask torch.export."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return statically_known_true(condition)


def trace(function: Callable[..., Any], inputs: Sequence[Any], rules: Any = None) -> fx.GraphModule:
    """The operations of function(*inputs), which are done on the way.

    By make_fx, which looks below autograd. torch.export and torch.compile know no gradients of gradients, and no optimizers.

    Args:
        rules: decompositions of operations.
    """
    from torch._guards import TracingContext, tracing
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    with tracing(TracingContext(FakeTensorMode())):  # or make_fx makes a new mode for every node, half of its time
        graph: fx.GraphModule = make_fx(function, rules)(*inputs)
    return graph


def decompositions(operations: Sequence[Any]) -> Any:
    """These operations as elementary ones. The public table, torch.export.default_decompositions, keeps some of them whole."""
    from torch._decomp import get_decompositions

    return get_decompositions(operations)


RANDOM_AS_EAGER = {"fallback_random": True}
"""Dropout, augmentation and ε are drawn as in eager mode, from torch's generator. Not set in torch._inductor.config, where it
would hold for whatever else this process compiles."""


def compile_graph(graph: fx.GraphModule, cuda: bool) -> Callable[..., Any]:
    """One program of a graph, by the public torch.compile; on a GPU with CUDA graphs, as its mode "reduce-overhead" has them."""
    # torch's pass that makes tensors of Python floats traces all twice, and then drops the last write to a 0-dim float64
    # tensor on the CPU (torch 2.13, remove_tensorify_specialized_graphargs). Read once, at the first compilation.
    os.environ.setdefault("TENSORIFY_PYTHON_SCALARS", "0")
    options: dict[str, Any] = {**RANDOM_AS_EAGER, **({"triton.cudagraphs": True} if cuda else {})}
    return torch.compile(graph, fullgraph=True, dynamic=False, options=options)


def compile_for(graph: fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
    """One program of a graph for inputs like these. torch.compile would check them in every call: a tenth of a small round."""
    from torch import _inductor

    program: Callable[..., Any] = _inductor.compile(graph, list(inputs), RANDOM_AS_EAGER)
    return program


def gloo_group(store: Any, rank: int, size: int, host: str, timeout: timedelta) -> Any:
    """A process group for tensors in main memory, which is found at `host`. `init_process_group` makes only one in a process, and
    chooses the address by itself."""
    options = c10d.ProcessGroupGloo._Options()
    options._devices = [c10d.ProcessGroupGloo.create_device(hostname=host)]
    options._timeout = timeout
    return c10d.ProcessGroupGloo(c10d.PrefixStore("gloo", store), rank, size, options)


def nccl_group(store: Any, rank: int, size: int) -> Any:
    """A process group between GPUs; for the same reason."""
    return c10d.ProcessGroupNCCL(c10d.PrefixStore("nccl", store), rank, size, c10d.ProcessGroupNCCL.Options())
