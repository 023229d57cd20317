"""torch's private and experimental parts do what ganflow uses them for: the tests that an upgrade of torch must pass first."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import nn

from ganflow.engine import compat

ROOT = Path(__file__).parents[2]


def test_private_parts_stand_in_one_file():
    """In the core. Not here: torch._foreach_*, which is documented, and the base class of batch norms in `contract.loss`."""
    private = re.compile(r"\btorch[\w.]*\._(?!_version__|foreach_)\w+|\btorch\.fx\.experimental|from torch[\w.]* import _\w+")
    found = {}
    for path in (ROOT / "ganflow").rglob("*.py"):
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text(encoding="utf-8"))
        if hits := [hit.group() for hit in private.finditer(code)]:
            found[path.relative_to(ROOT).as_posix()] = hits
    assert list(found) == ["ganflow/engine/compat.py"]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norms_have_one_base(norm):
    made = norm(3)
    assert isinstance(made, compat.BatchNorm)
    assert {name for name, _ in made.named_buffers()} == {"running_mean", "running_var", "num_batches_tracked"}
    assert (norm.forward is compat.BatchNorm.forward) == (norm is not nn.SyncBatchNorm)
    assert not isinstance(nn.InstanceNorm2d(3), compat.BatchNorm)
    assert not isinstance(nn.GroupNorm(1, 3), compat.BatchNorm)


def test_convolutions_have_one_base():
    assert all(isinstance(made(2, 3, 4), compat.Conv) for made in (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d))
    assert isinstance(nn.ConvTranspose2d(2, 3, 4), compat.ConvTranspose)
    assert not isinstance(nn.Conv2d(2, 3, 4), compat.ConvTranspose)
    assert not isinstance(nn.Linear(2, 3), compat.Conv)


def test_a_mode_sees_what_autograd_computes():
    class Names(compat.DispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func.name())
            return func(*args, **(kwargs or {}))

    seen, x = [], torch.ones(2, requires_grad=True)
    with Names():
        torch.autograd.grad(x.exp().sum(), x)
    assert seen.index("aten::exp") < seen.index("aten::mul.Tensor")  # the derivative of exp is a product with it


def test_trees_of_tensors():
    tree = ({"a": [1, 2]}, (3,), None)
    assert compat.tree_leaves(tree)[:3] == [1, 2, 3]
    assert compat.tree_map(lambda x: x and -x, tree) == ({"a": [-1, -2]}, (-3,), None)


def test_a_trace_has_gradients_of_gradients_and_knows_state_by_identity():
    state = torch.tensor(1.0)

    def function(x):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x)
        state.add_(1)
        return bend * state

    graph = compat.trace(function, [torch.zeros(1)])
    assert [getattr(graph, node.target) is state for node in graph.graph.find_nodes(op="get_attr")] == [True]
    state.fill_(1)
    assert graph(torch.tensor([2.0])).item() == 6 * 2 * 2
    assert state.item() == 2


def test_norms_are_taken_apart():
    from ganflow.packed.functional import NORMS

    graph = compat.trace(nn.LayerNorm(3), [torch.ones(2, 3)], compat.decompositions(NORMS))
    assert not any("norm" in str(node.target) for node in graph.graph.nodes if node.op == "call_function")
    assert {operation.overloadpacket for operation in compat.decompositions(NORMS)} == set(NORMS)


@pytest.mark.parametrize(
    "compiled",
    [
        pytest.param(lambda graph, x: compat.compile_graph(graph, cuda=False), marks=pytest.mark.slow),
        lambda graph, x: compat.compile_for(graph, [x]),
    ],
)
def test_a_program_draws_what_eager_mode_draws_and_leaves_the_compilers_settings(compiled):
    from torch._inductor import config

    before, x = config.get_config_copy(), torch.ones(64)
    graph = compat.trace(lambda x: nn.functional.dropout(x, 0.5) + torch.rand(64), [x])
    torch.manual_seed(0)
    expected, after = graph(x), torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(compiled(graph, x)(x), expected)
    assert torch.equal(torch.rand(1), after)
    assert config.fallback_random is False
    assert config.get_config_copy() == before


def test_cuda_graphs_are_those_of_the_mode():
    """A mode and options cannot be given together."""
    from torch._inductor import list_mode_options

    assert list_mode_options("reduce-overhead") == {"triton.cudagraphs": True}


def test_a_group_of_one_process():
    store = compat.c10d.TCPStore("127.0.0.1", 0, None, True, timedelta(seconds=5), wait_for_workers=False)
    group = compat.gloo_group(store, 0, 1, "127.0.0.1", timedelta(seconds=5))
    t = torch.tensor([3.0])
    group.allreduce([t]).wait()
    assert t.item() == 3


def test_kernels_of_plugins():
    """Lists of tensors at once (ganflow_regularize, ganflow_wgan, engine.player), and Adam at once (ganflow_optim)."""
    a, b = [torch.tensor([1.0, 5.0])], [torch.tensor([3.0, 3.0])]
    torch._foreach_lerp_(a, b, [torch.tensor(0.5)])
    assert a[0].tolist() == [2.0, 4.0]
    torch._foreach_clamp_max_(a, 3.0)
    torch._foreach_clamp_min_(a, 2.5)
    assert a[0].tolist() == [2.5, 3.0]
    torch._foreach_copy_(a, b)
    assert a[0].tolist() == [3.0, 3.0]
    for kernel in (torch._fused_adam_, torch._fused_adamw_):
        p, mean, square = [torch.ones(2)], [torch.zeros(2)], [torch.zeros(2)]
        kernel(p, [torch.tensor([1.0, -1.0])], mean, square, [], [torch.tensor(1.0)], lr=0.1, beta1=0.5, beta2=0.5, eps=0.0,
               weight_decay=0.0, amsgrad=False, maximize=False, grad_scale=None, found_inf=None)  # fmt: skip
        torch.testing.assert_close(p[0], torch.tensor([0.9, 1.1]))


def test_copies_have_one_name():
    class Names(compat.DispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    seen = []
    with Names():
        torch.ones(2).to(torch.float64)
    assert compat.TO_COPY in seen


def test_what_surely_holds_of_a_traced_size():
    found = []

    class Asks(nn.Module):
        def forward(self, x):
            found.extend([compat.surely(x.shape[0] >= 2), compat.surely(x.shape[0] >= 3)])
            return 2 * x

    torch.export.export(Asks(), (torch.ones(4, 1),), dynamic_shapes={"x": {0: torch.export.Dim("n", min=2, max=99)}})
    assert found[:2] == [True, False]
    assert compat.surely(True)
