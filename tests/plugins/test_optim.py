"""The elementwise optimizers against torch.optim, and the schedules against their formulas."""

import math

import pytest
import torch
from ganflow_optim import SGD, Adam, AdamW, Constant, Cosine, LinearDecay, RMSProp, Step
from torch import nn

from ganflow.engine.player import Part, Player

CASES = {
    "adam": (Adam(lr=1e-2), lambda ps: torch.optim.Adam(ps, lr=1e-2, betas=(0.5, 0.999), foreach=False)),
    "adam, decay": (
        Adam(lr=1e-2, beta1=0.9, weight_decay=0.1),
        lambda ps: torch.optim.Adam(ps, lr=1e-2, betas=(0.9, 0.999), weight_decay=0.1, foreach=False),
    ),
    "adam, eps": (
        Adam(lr=1e-2, eps=0.3), lambda ps: torch.optim.Adam(ps, lr=1e-2, betas=(0.5, 0.999), eps=0.3, foreach=False)
    ),
    "adamw, eps": (
        AdamW(lr=1e-2, beta2=0.9, eps=0.3, weight_decay=0.2),
        lambda ps: torch.optim.AdamW(ps, lr=1e-2, betas=(0.5, 0.9), eps=0.3, weight_decay=0.2, foreach=False),
    ),
    "rmsprop, eps": (RMSProp(lr=1e-2, eps=0.3), lambda ps: torch.optim.RMSprop(ps, lr=1e-2, eps=0.3, foreach=False)),
    "adamw": (AdamW(lr=1e-2), lambda ps: torch.optim.AdamW(ps, lr=1e-2, betas=(0.5, 0.999), weight_decay=0.01, foreach=False)),
    "rmsprop": (RMSProp(lr=1e-2), lambda ps: torch.optim.RMSprop(ps, lr=1e-2, foreach=False)),
    "rmsprop, momentum": (
        RMSProp(lr=1e-2, alpha=0.9, momentum=0.5, weight_decay=0.1),
        lambda ps: torch.optim.RMSprop(ps, lr=1e-2, alpha=0.9, momentum=0.5, weight_decay=0.1, foreach=False),
    ),
    "sgd": (SGD(lr=0.1), lambda ps: torch.optim.SGD(ps, lr=0.1, foreach=False)),
    "sgd, momentum": (SGD(lr=0.1, momentum=0.9), lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, foreach=False)),
    "sgd, nesterov": (
        SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1, foreach=False),
    ),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 17), nn.Tanh(), nn.Linear(17, 1))


def objective(net, i):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(i))
    return (net(x) - x.sum(1, keepdim=True)).square().mean()


def player(settings, *, traceable=False):
    net = network()
    made = Player("critic", [Part("critic", net, lambda ps: settings.optimizer(ps, "critic"), elementwise=True)])
    if traceable:
        made.parts[0].optimizer.traceable()
    return net, made


@pytest.mark.parametrize("case", CASES)
def test_same_bits_as_torch(case):
    settings, make = CASES[case]
    theirs = network()
    optimizer = make(list(theirs.parameters()))
    ours, mine = player(settings)
    for i in range(25):
        optimizer.zero_grad()
        objective(theirs, i).backward()
        optimizer.step()
        mine.descend(objective(ours, i))
    for p, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, expected)


@pytest.mark.parametrize("case", CASES)
def test_traceable_is_the_same_formula(case):
    settings, _ = CASES[case]
    plain, a = player(settings)
    tensors, b = player(settings, traceable=True)
    for i in range(10):
        a.descend(objective(plain, i))
        b.descend(objective(tensors, i))
    for p, expected in zip(tensors.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_numbers_may_be_tensors(case):
    """As in packed trials, which differ in them."""
    settings, _ = CASES[case]
    plain, a = player(settings)
    tensors, b = player(settings, traceable=True)
    group = b.parts[0].optimizer.param_groups[0]
    group.update({name: torch.tensor(value) for name, value in group.items() if isinstance(value, float) and value})
    if "betas" in group:
        group["betas"] = tuple(map(torch.tensor, group["betas"]))
    for i in range(10):
        a.descend(objective(plain, i))
        b.descend(objective(tensors, i))
    for p, expected in zip(tensors.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_state_goes_on(case):
    settings, _ = CASES[case]
    whole, a = player(settings)
    for i in range(6):
        a.descend(objective(whole, i))
    first, b = player(settings)
    for i in range(3):
        b.descend(objective(first, i))
    second, c = player(settings)
    second.load_state_dict(first.state_dict())
    c.parts[0].optimizer.load_state_dict(b.parts[0].optimizer.state_dict())
    for i in range(3, 6):
        c.descend(objective(second, i))
    for p, expected in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(p, expected)


def test_gradient_clipping_is_by_the_whole_norm():
    net, made = player(SGD(lr=1.0))
    made.clip_norm = 0.5
    before = [p.clone() for p in net.parameters()]
    made.descend(1000 * objective(net, 0))
    moved = math.sqrt(sum((p - b).square().sum().item() for p, b in zip(net.parameters(), before, strict=True)))
    assert moved == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("norm", [0.5, 2.0])
def test_a_gradient_that_is_short_enough_is_left_alone(norm):
    _, made = player(SGD(lr=1.0))
    made.clip_norm = 1.0
    gradient = torch.zeros_like(made.updated[0])
    gradient[3] = norm
    before = made.updated[0].detach().clone()
    made.update([gradient.clone()])
    torch.testing.assert_close(before - made.updated[0], gradient.clamp(max=1.0), rtol=1e-5, atol=1e-6)


def test_a_player_of_two_parts_is_clipped_as_a_whole_and_both_make_their_step():
    net = network()
    parts = [Part(name, layer, lambda ps: SGD(lr=1.0).optimizer(ps, "critic"), elementwise=True)
             for name, layer in (("critic.first", net[0]), ("critic", net[2]))]  # fmt: skip
    made = Player("critic", parts, clip_norm=1.0)
    before = [p.detach().clone() for p in made.updated]
    gradients = [torch.zeros_like(p) for p in before]
    gradients[0][0], gradients[1][0] = 3.0, 4.0
    made.update([g.clone() for g in gradients])
    for p, old, g in zip(made.updated, before, gradients, strict=True):
        torch.testing.assert_close(old - p, g / 5, rtol=1e-5, atol=1e-6)
        assert p.grad is not None
    made.forget()
    assert all(p.grad is None for p in made.updated)


def test_a_schedule_multiplies_the_rate_each_round():
    net = network()
    made = Part("critic", net, lambda ps: SGD(lr=2.0).optimizer(ps, "critic"), schedule=lambda round: 1 / (1 + round))
    rates = []
    for round in range(3):
        made.start_round(round)
        rates.append(made.learning_rate)
    assert rates == pytest.approx([2.0, 1.0, 2 / 3])


def test_schedules():
    assert [Constant().schedule(100)(r) for r in (0, 99)] == [1, 1]
    linear = LinearDecay(start=0.5).schedule(200)  # pix2pix: constant for 100, then to zero over 100
    assert [linear(r) for r in (0, 100, 150, 199)] == pytest.approx([1, 1, 0.5, 0.01])
    part_of_it = LinearDecay(start=0.2, final=0.4).schedule(100)
    assert [part_of_it(r) for r in (0, 20, 60, 100)] == pytest.approx([1, 1, 0.7, 0.4])
    cosine = Cosine(final=0.1).schedule(100)
    assert [cosine(r) for r in (0, 50, 100)] == pytest.approx([1, 0.55, 0.1])
    warm = Cosine(warmup=0.1).schedule(100)
    assert [warm(r) for r in (0, 4, 10)] == pytest.approx([1 / 11, 5 / 11, 1])
    halving = Step(every=50, factor=0.5).schedule(100)
    assert [halving(r) for r in (0, 49, 50, 100, 150)] == [1, 1, 0.5, 0.25, 0.125]


def test_constructing_one_does_not_import_dynamo():
    """An optimizer of torch's costs a second at every start for that."""
    import subprocess
    import sys

    code = (
        "import sys, torch; from ganflow_optim import Adam; p = torch.nn.Parameter(torch.ones(3)); "
        "o = Adam().optimizer([p], 'critic'); p.grad = torch.ones(3); o.step(); o.load_state_dict(o.state_dict()); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("case", CASES)
def test_large_networks_are_updated_in_pieces(case, monkeypatch):
    """The same bits, or for Adam, whose kernel is torch's fused one, the same formula."""
    monkeypatch.setattr("ganflow.contract.optim.PIECE", 8)
    settings, make = CASES[case]
    theirs = network()
    optimizer = make(list(theirs.parameters()))
    ours, mine = player(settings)
    assert mine.parts[0].flat.tensor.numel() > 8 * 10
    for i in range(25):
        optimizer.zero_grad()
        objective(theirs, i).backward()
        optimizer.step()
        mine.descend(objective(ours, i))
    for p, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        if "adam" in case:
            torch.testing.assert_close(p, expected, rtol=0, atol=2e-6)
        else:
            assert torch.equal(p, expected)
