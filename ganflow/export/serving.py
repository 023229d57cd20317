"""The code of an exported MLflow model: MLflow keeps this file in the model and runs it to load it ("models from code"). Beside
it are a program of torch.export and config.json, so that it needs MLflow, NumPy and torch, and nothing else. A generator that
could not be exported comes as a run's folder instead, which ganflow and the run's plugins load."""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

CONFIG, PROGRAM, BATCH = "config.json", "program.pt2", 256
FORMATS = ("inputs", "instances", "dataframe_split", "dataframe_records")
NO_ARRAYS = ("text/csv", "application/vnd.apache.parquet")
MOST = 20_000_000  # numbers in a request's answer: a gigabyte of memory, 400 MB of JSON


def generator_of(folder: Path) -> tuple[dict[str, Any], Callable[..., Any]]:
    """A generator's config.json, and a function of its inputs, in their sequence."""
    about = json.loads((folder / CONFIG).read_text())
    if (folder / PROGRAM).exists():
        return about, torch.export.load(folder / PROGRAM).module()
    from ganflow import RunFolder, load_game

    game = load_game(RunFolder(folder))
    return about, lambda *inputs: game.call(game.maker, *inputs)


def tensors_of(values: Any, about: dict[str, Any]) -> list[torch.Tensor]:
    """A request's inputs, in the generator's sequence.

    Raises:
        MlflowException: they cannot be its inputs.
    """
    inputs, arrays = about["inputs"], {}
    named = values if len(inputs) > 1 or isinstance(values, dict) else {next(iter(inputs)): values}
    for name, port in inputs.items():
        if not hasattr(named, "keys") or name not in named.keys():  # noqa: SIM118  (a DataFrame's are its columns)
            raise refused(f"the input '{name}' is missing; the generator takes {' and '.join(inputs)}")
        arrays[name] = shaped(name, named[name], port)
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise refused(f"the inputs differ in number: {', '.join(f'{n} {name}' for name, n in sizes.items())}")
    n, shape = next(iter(sizes.values())), about["output"]["shape"]
    pixels = max(array[0].size for array in arrays.values()) if n and None in shape else 1
    most = max(1, MOST // max(pixels, int(np.prod([side for side in shape if side is not None]))))
    if not 1 <= n <= most:
        raise refused(f"{n} examples; ask for 1 to {most} in a request")
    return [torch.from_numpy(checked(name, array, inputs[name])) for name, array in arrays.items()]


def shaped(name: str, values: Any, port: dict[str, Any]) -> Any:
    """One input as an array of its shape.

    Raises:
        MlflowException: it cannot be one.
    """
    shape = port["shape"]
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype.kind not in "iufb" else array
    except (ValueError, TypeError, OverflowError):
        raise refused(f"'{name}' is no array of numbers of the shape {shown(shape)}") from None
    if array.ndim != len(shape) + 1 or any(b not in (None, a) for a, b in zip(array.shape[1:], shape, strict=True)):
        raise refused(f"'{name}' has the shape {list(array.shape)}; the generator takes {shown(shape)}")
    if any(side < port["smallest"] for side, wanted in zip(array.shape[1:], shape, strict=True) if wanted is None):
        raise refused(f"'{name}' has the shape {list(array.shape)}; the generator takes {port['smallest']} pixels a side or more")
    return array


def checked(name: str, array: Any, port: dict[str, Any]) -> Any:
    """One input's numbers, in its type.

    Raises:
        MlflowException: they are none that the generator can take.
    """
    if not np.isfinite(array).all() or np.abs(array.astype(np.float64)).max(initial=0) > np.finfo(np.float32).max:
        raise refused(f"'{name}' holds NaN, infinity, or a number that is too large for {port['dtype']}")
    if port["dtype"] != "int64":
        return array.astype(np.float32)
    low, high = (0, len(port["classes"]) - 1) if port["classes"] else (-np.inf, np.inf)
    wrong = array[(array != np.floor(array)) | (array < low) | (array > high)]
    if wrong.size:
        raise refused(f"'{name}' holds {wrong.flat[0]:g}; {classes(port)}")
    return array.astype(np.int64)


def classes(port: dict[str, Any]) -> str:
    """The values of an input of whole numbers, for a message."""
    names = port["classes"]
    if not names:
        return "the generator takes whole numbers"
    known = f": {', '.join(names)}" if names != [str(i) for i in range(len(names))] and len(names) <= 20 else ""
    return f"classes are whole numbers from 0 to {len(names) - 1}{known}"


def shown(shape: list[int | None]) -> str:
    """A shape for a message, "[any number, 3, any, any]"."""
    return f"[{', '.join(['any number', *('any' if side is None else str(side) for side in shape)])}]"


def refused(sentence: str) -> MlflowException:
    """The error that MLflow's server answers with 400 and a sentence."""
    return MlflowException(sentence, INVALID_PARAMETER_VALUE)


def read(data: Any, about: dict[str, Any]) -> Any:
    """A request, checked as it was written: MLflow makes 7 of 7.5, of "7" and of true, and leaves out what it does not know. What
    is no JSON object is returned as it is, for MLflow to refuse.

    Raises:
        MlflowException: it holds what the generator does not take.
    """
    try:
        request = json.loads(data)
    except ValueError:
        return data
    if not isinstance(request, dict):
        return data
    if params := request.get("params"):
        raise refused(f"the generator takes no params, and the request has {listed(params)}")
    if unknown := [key for key in request if key not in (*FORMATS, "params")]:
        raise refused(f"a request has one of the input fields {', '.join(FORMATS)}, and not {listed(unknown)}")
    inputs, shapes = about["inputs"], dict[str, tuple[int, ...]]()
    for name, values in columns(request, list(inputs)):
        if name not in inputs:
            raise refused(f"there is no input {listed([name])}; the generator takes {' and '.join(inputs)}")
        whole, shape = inputs[name]["dtype"] == "int64", shape_of(values)
        if wrong := not_numbers(values, whole):
            wanted = classes(inputs[name]) if whole else "the generator takes numbers, whole ones below 2^63"
            raise refused(f"'{name}' holds {json.dumps(wrong[0])[:50]}; {wanted}")
        if shape is None or shapes.setdefault(name, shape) != shape:  # a table has a value for each row
            wanted = f"the generator takes {shown(inputs[name]['shape'])}"
            raise refused(f"'{name}' is no array, for its lists differ in length; {wanted}")
    return request


def columns(request: dict[str, Any], inputs: list[str]) -> Iterator[tuple[str, Any]]:
    """A request's inputs by name, in any of MLflow's forms. A single one has no name; a table's columns are its numbers."""
    for form in [form for form in FORMATS if form in request]:
        values, alone = request[form], inputs[0] if form.startswith("dataframe") and len(inputs) == 1 else None
        if form == "dataframe_split":
            names = values.get("columns") or inputs
            values = [dict(zip(map(str, names), row, strict=False)) for row in values["data"]]
        for each in values if isinstance(values, list) and values and isinstance(values[0], dict) else [values]:
            yield from ((alone or name, value) for name, value in (each if isinstance(each, dict) else {inputs[0]: each}).items())


def not_numbers(values: Any, whole: bool) -> list[Any]:
    """The first that is no number, no whole one, or one that int64 does not hold, in nested lists; empty where all are."""
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, list):
            if found := not_numbers(value, whole):
                return found
        elif type(value) not in (int, float) or (whole and value != value // 1) or (type(value) is int and abs(value) >= 2**63):
            return [value]
    return []


def shape_of(values: Any) -> tuple[int, ...] | None:
    """The shape of nested lists; None where lists that lie side by side differ in length."""
    if not isinstance(values, list):
        return ()
    shapes = set(map(shape_of, values))
    inner = () if not values else shapes.pop()
    return None if shapes or inner is None else (len(values), *inner)


def listed(names: Any) -> str:
    """Names for a message."""
    return ", ".join(str(name)[:50] for name in list(names)[:5]) if isinstance(names, (dict, list)) else str(names)[:50]


def answer_in_sentences(server: Any, about: dict[str, Any]) -> None:
    """Have MLflow's server answer what it cannot read with 400 and a sentence. By itself (3.17) it answers JSON that is nested
    too deeply with 500, has tracebacks and the whole request in what it says of others, and passes over what it does not know;
    no setting changes that.

    Args:
        about: the generator's config.json.
    """
    answered = server.invocations

    @functools.wraps(answered)
    def invocations(data: Any, content_type: str | None, model: Any, input_schema: Any) -> Any:
        kind = (content_type or "application/json").partition(";")[0].strip()
        try:
            if kind in NO_ARRAYS:
                raise refused(f"the generator takes arrays, which {kind} does not hold: send application/json, {{\"inputs\": …}}")
            request = read(data, about) if kind == "application/json" else data
            return answered(request, content_type or kind, model, input_schema)
        except MlflowException as error:
            if error.get_http_status_code() >= 500:  # type: ignore[no-untyped-call]
                raise
            if not str(error.message).strip() or "unexpected error" in str(error.message):
                logging.getLogger("mlflow").exception("a request failed")
            reason = sentence(str(error.message))
        except RecursionError:
            reason = "the request's JSON is nested too deeply"
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            reason = f"the request cannot be read: {sentence(str(error))}"
        text = json.dumps({"error_code": "BAD_REQUEST", "message": reason}, ensure_ascii=False)
        return server.InvocationsResponse(response=text, status=400, mimetype="application/json")

    server.invocations = invocations


def sentence(message: str) -> str:
    """The reason in a message of MLflow's, without the request and without what went before it."""
    if broken := re.search(r"DecodeError\((['\"])(.*?)\1[,)]", message):
        return f"the request is no JSON: {broken[2]}"
    text = message.partition("\nInput:")[0].partition(" IMPORTANT:")[0].rpartition("Error: ")[2] or message
    return " ".join(text.removeprefix("Invalid input. ").split())[:500]


# MLflow warns of a predict without type hints, from which it would make up another signature. It does so under a filter of its
# own, so that nothing but a record of warnings silences it.
with warnings.catch_warnings(record=True):

    class Generator(PythonModel):
        """Inputs of one of the generator's signatures in, what it makes out: arrays as config.json has them, one by itself or
        several by name."""

        def load_context(self, context: Any) -> None:
            self.about, self.call = generator_of(Path(context.artifacts["generator"]))
            if "mlflow.pyfunc.scoring_server.app" in sys.modules:
                answer_in_sentences(sys.modules["mlflow.pyfunc.scoring_server"], self.about)

        def predict(self, context: Any, model_input, params=None):  # type: ignore[no-untyped-def]
            """Generate samples."""
            inputs = tensors_of(model_input, self.about)
            with torch.no_grad(), torch.random.fork_rng([], enabled=self.about["random"]):
                if self.about["random"]:
                    torch.manual_seed(0)
                pieces = [self.call(*few) for few in zip(*(t.split(BATCH) for t in inputs), strict=True)]
            made = torch.cat(pieces).numpy()
            if not np.isfinite(made).all():
                raise refused("the generator makes no finite numbers of these inputs; they are too large")
            return made


mlflow.models.set_model(Generator())
