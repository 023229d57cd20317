"""Components that are tried without a game: data, really loaded; text encoders; trackers and executors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ganflow.contract.data import Data, Field, StreamData, TensorData
from ganflow.contract.roles import Executor, TextEncoder, TrackedRun, Tracker
from ganflow.engine.feed import feed, keyed_generator
from ganflow.engine.state import flatten, unflatten
from ganflow.errors import GanflowError
from ganflow.plugins import Chosen, Component, Composition
from ganflow.scratch import scratch_folder
from ganflow.testing.trial import BATCH

LOADED = 8
"""Examples that are loaded one by one."""


def check_data(chosen: Chosen) -> None:
    """Fields, held-out examples, fingerprint and draws keep the contract of ganflow.Data."""
    composition, component = Composition({"data": chosen}), chosen.component
    data = composition.build("data")
    expect(component, isinstance(data, Data), f"hook 'data' gave {type(data).__name__}, not Data")
    expect(component, bool(data.fields), "it has no fields")
    expect(component, data.size is None or data.size > 0, "it has no training examples")
    parts = {"held_out": data.held_out} | ({"train": data.train} if isinstance(data, TensorData) else {})
    for part, tensors in parts.items():
        for name, tensor in tensors.items():
            expect(component, name in data.fields, f"{part} '{name}' is no field (fields: {', '.join(data.fields)})")
            expect_fit(component, f"{part} '{name}'", tensor[:], data.fields[name])
    lengths = {len(t) for t in data.held_out.values()}
    expect(component, not data.aligned or len(lengths) < 2, "held-out fields differ in length; say aligned = False, or cut them")
    again = composition.build("data")
    expect(component, data.fingerprint() == again.fingerprint(), "built twice, its fingerprints differ")
    if isinstance(data, StreamData):
        check_load(component, data)
    check_draws(component, data, again)


def expect_fit(component: Component, what: str, tensor: Tensor, field: Field) -> None:
    """A tensor of examples has its field's shape, type and range."""
    shape = tuple(tensor.shape[1:])
    expect(component, shape == field.shape, f"{what} has shape {shape}, its field {field.shape}")
    if field.classes:
        classes = tensor.dtype == torch.int64 and bool(((tensor >= 0) & (tensor < len(field.classes))).all())
        expect(component, classes, f"{what} must be int64 between 0 and {len(field.classes) - 1}, the classes' numbers")
        return
    expect(component, tensor.is_floating_point(), f"{what} is {tensor.dtype}; it must be of floats")
    low, high = (-math.inf if field.low is None else field.low), (math.inf if field.high is None else field.high)
    inside = bool(((tensor >= low) & (tensor <= high)).all())
    expect(component, inside, f"{what} leaves its range [{low}, {high}]")


def check_load(component: Component, data: StreamData) -> None:
    """Check that what `load` returns follows from the index and the random numbers alone, whichever thread calls it, and when."""
    indices = range(min(LOADED, data.size))

    def load(index: int) -> dict[str, Tensor] | None:
        return data.load(index, keyed_generator("conformance", index))

    first = [load(i) for i in indices]
    for i, item in zip(indices, first, strict=True):
        if item is None:
            continue
        missing = data.fields.keys() ^ item.keys()
        expect(component, not missing, f"load({i}, rng) has the fields {', '.join(item)}, not {', '.join(data.fields)}")
        for name, t in item.items():
            expect_fit(component, f"load({i}, rng)['{name}']", t[None], data.fields[name])
    advice = "what it returns must follow from index and rng alone"
    for i in reversed(indices):
        expect(component, equal(load(i), first[i]), f"load({i}, rng) gives something else the second time; {advice}")
    with ThreadPoolExecutor(4) as pool:
        for i, item in zip([*indices] * 2, pool.map(load, [*indices] * 2), strict=True):
            expect(component, equal(item, first[i]), f"load({i}, rng) gives something else while other threads load; {advice}")


def check_draws(component: Component, data: Data, again: Data) -> None:
    """Check that a run's draws fit the fields and go on from a checkpoint with the same examples: in this process, and in another
    one, for which `again` stands."""
    sources = [feed(each, BATCH, 0) for each in (data, again)]
    try:
        first, second = (source.draw(2) for source in sources)
        for name, t in first.items():
            expect_fit(component, f"a drawn '{name}'", t.flatten(0, 1), data.fields[name])
        expect(component, equal(first, second), "built twice, it draws other examples")
        tensors: dict[str, Tensor] = {}
        kept = json.dumps(flatten(sources[0].state(), "feed", tensors))
        tensors = {name: t.clone() for name, t in tensors.items()}
        wanted = sources[0].draw(3)
        for source, where in zip(sources, ("in the same process", "in another process"), strict=True):
            source.load_state(unflatten(json.loads(kept), tensors))
            expect(component, equal(source.draw(3), wanted), f"gone on with {where}, it draws other examples")
    except GanflowError as error:
        raise AssertionError(f"{component}: {error}") from error
    finally:
        for source in sources:
            source.close()


def equal(a: Mapping[str, Tensor] | None, b: Mapping[str, Tensor] | None) -> bool:
    """Equality of two items or draws, to the last bit."""
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(torch.equal(t, b[name]) for name, t in a.items())


def check_encoder(chosen: Chosen) -> None:
    """Check that it learns the same each time and goes through its state, and that a sentence's vector depends on no other."""
    component, captions = chosen.component, [["a red bird", "red, with a grey back"], ["a blue bird"], ["this bird is green"]]
    pictures = torch.rand(len(captions), 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def learnt() -> TextEncoder:
        encoder = Composition({"encoder": chosen}).build("encoder")
        expect(component, isinstance(encoder, TextEncoder), f"hook 'encoder' gave {type(encoder).__name__}, not TextEncoder")
        encoder.learn(captions, lambda side: torch.nn.functional.adaptive_avg_pool2d(pictures, side))
        return encoder  # type: ignore[no-any-return]

    encoder, again = learnt(), Composition({"encoder": chosen}).build("encoder")
    sentences = [sentence for several in captions for sentence in several]
    vectors = encoder.encode(sentences)
    shape, wanted = tuple(vectors.shape), (len(sentences), encoder.dim)
    expect(component, shape == wanted, f"{len(sentences)} sentences have shape {shape}, not {wanted}")
    alone = torch.allclose(vectors[1:2], encoder.encode(sentences[1:2]), atol=1e-4)
    expect(component, alone, "a sentence's vector depends on those that are encoded with it")
    expect(component, torch.equal(vectors, learnt().encode(sentences)), "it learns something else each time")
    again.load_state(encoder.state())
    expect(component, torch.equal(vectors, again.encode(sentences)), "its state does not say all that it has learnt")
    expect(component, not encoder.unknown(sentences[0]), "it does not know the words that it has learnt from")
    expect(component, bool(encoder.about()), "it does not say what it is")
    if encoder.matches:
        shown, texts = pictures.clone().requires_grad_(), vectors[[0, 2, 3]]
        badly = encoder.match(shown, texts)
        expect(component, badly.dim() == 0 and bool(badly.isfinite()), "match does not give a finite scalar")
        expect(component, badly.requires_grad, "no gradient of match arrives at the pictures")


def check_tracker(chosen: Chosen) -> None:
    """It accepts a run's numbers, those that are none too, and its pictures, and begins again where the run goes on."""
    with scratch_folder("tracker-") as folder:
        run = TrackedRun("trial", "20260101-000000-0000", Path(folder), {"name": "trial", "train": {"rounds": 2}})
        picture = Path(folder) / "round-00000002.png"
        Image.new("RGB", (4, 4)).save(picture)
        for status in ("interrupted", "finished"):
            (tracker,) = Composition({}, trackers=[chosen]).build_trackers()
            expect(chosen.component, isinstance(tracker, Tracker), f"hook 'tracker' gave {type(tracker).__name__}, not Tracker")
            tracker.begin(run)
            for round, value in enumerate((0.5, math.nan, math.inf, -math.inf), 1):
                tracker.values(round, 1e9 + round, {"critic/wasserstein": value})
            tracker.picture(2, picture)
            tracker.end(status)


def check_executor(chosen: Chosen) -> None:
    """It is an executor; what it does with trials is seen in a sweep alone."""
    executor = Composition({"executor": chosen}).build("executor")
    expect(chosen.component, isinstance(executor, Executor), f"hook 'executor' gave {type(executor).__name__}, not Executor")
    fit = isinstance(executor.together, int) and executor.together >= 1
    expect(chosen.component, fit, f"'together' is a number of trials, not {executor.together!r}")


def expect(component: Component, true: Any, otherwise: str) -> None:
    if not true:
        raise AssertionError(f"{component}: {otherwise}")


ALONE: dict[str, Callable[[Chosen], None]] = {
    "data": check_data,
    "encoder": check_encoder,
    "tracker": check_tracker,
    "executor": check_executor,
}
"""Roles whose components are tried without a game."""
