"""The model card: inputs and outputs, how to load it, scores, data, recipe, versions."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from ganflow.contract.signature import Z
from ganflow.errors import escaped
from ganflow.evaluation.scores import Score, figure, grouped, protocol_difference
from ganflow.export.weights import recipe_text
from ganflow.printing import plural
from ganflow.runs import evaluations
from ganflow.runs.damage import Left
from ganflow.runs.journal import backwards
from ganflow.runs.kept import recipe_of_run

if TYPE_CHECKING:
    from ganflow.engine.game import Game
    from ganflow.export.tried import Exported, Port
    from ganflow.runs.checkpoints import Checkpoint
    from ganflow.runs.folders import RunFolder

LICENCE = "No licence was chosen: write here which one, and whose. Nobody may use the model without one."
_LOOKED_AT = 10_000  # entries of a journal


def card(folder: RunFolder, exported: Exported, checkpoint: Checkpoint, game: Game, pictured: bool) -> str:
    """The card's text, Markdown; for the hub with YAML before it.

    Args:
        pictured: there is a picture of samples beside it.

    Raises:
        GanflowError: the run's evaluations are damaged.
    """
    record = folder.read()
    name = _plain(record.name or folder.name)
    parts = [
        _front_matter(exported, game, record.name or folder.name) if exported.format == "hub" else "",
        f"# {name}\n\nThe generator of a run of ganflow, after {checkpoint.round} rounds"
        + (", weights averaged over training." if game.averaged is not game.generator else "."),
        "![Samples](samples.png)" if pictured else "",
        f"## What it takes and makes\n\n{_signatures(exported, _prior(folder))}",
        f"## Load it\n\nIn this folder:\n\n```python\n{loading(exported)}```\n\n{_beside(exported)}",
        f"## Scores\n\n{_scores(folder, checkpoint)}",
        f"## Data\n\n{_data(game, record.raw)}",
        f"## Recipe\n\n<details>\n\n{_fenced(recipe_text(folder))}\n\n</details>",
        f"## Versions\n\n{_versions(record)}",
        f"## Licence\n\n{LICENCE}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def loading(exported: Exported) -> str:
    """Five lines that load the generator and call its main signature."""
    name, called = next(iter(exported.called.items()))
    inputs = list(called.inputs)
    file = exported.files[name]
    if exported.format == "pt2":
        passed = ", ".join(f'examples["{name}.{argument}"]' for argument in inputs)
        return (f'import torch\nfrom safetensors.torch import load_file\nexamples = load_file("examples.safetensors")\n'
                f'program = torch.export.load("{file}").module()\noutput = program({passed})\n')  # fmt: skip
    if exported.format == "onnx":
        passed = ", ".join(f'"{argument}": examples["{name}.{argument}"]' for argument in inputs)
        return (f'import onnxruntime\nfrom safetensors.numpy import load_file\nexamples = load_file("examples.safetensors")\n'
                f'session = onnxruntime.InferenceSession("{file}")\n(output,) = session.run(None, {{{passed}}})\n')  # fmt: skip
    if exported.format == "mlflow":
        passed = ", ".join(f'"{argument}": examples["{name}.{argument}"]' for argument in inputs)
        passed = f"{{{passed}}}" if len(inputs) > 1 else f'examples["{name}.{inputs[0]}"]'
        return (f'import mlflow\nfrom safetensors.numpy import load_file\nexamples = load_file("examples.safetensors")\n'
                f'model = mlflow.pyfunc.load_model(".")\noutput = model.predict({passed})\n')  # fmt: skip
    passed = ", ".join(f'{argument}=examples["{name}.{argument}"]' for argument in inputs)
    return (f'from pathlib import Path; from ganflow import RunFolder, load_game\nfrom safetensors.torch import load_file\n'
            f'examples = load_file("examples.safetensors")\ngame = load_game(RunFolder(Path(".")))\n'
            f'output = game.call("{name}", {passed})\n')  # fmt: skip


def _beside(exported: Exported) -> str:
    """Notes on a format."""
    examples = ("`examples.safetensors` holds a few inputs of each signature, `NAME.INPUT`, and what the network makes of them, "
                "`NAME.output`.")  # fmt: skip
    name = exported.repository.rpartition("/")[2]
    how = {
        "pt2": "Needs `pip install torch safetensors`. A program is called with its inputs in the sequence of the table; it "
               "takes any number of examples.",
        "onnx": "Needs `pip install onnxruntime safetensors`. Inputs are called as in the table; a graph takes any number of "
                "examples.",
        "mlflow": "Needs `pip install -r requirements.txt safetensors`. `mlflow models serve -m . --env-manager local` serves "
                  "it: requests are JSON, `{\"inputs\": …}`, an array or, of several inputs, arrays by name. Neither ganflow "
                  "nor a plugin is needed.",
        "safetensors": "Needs `pip install ganflow`. The folder is read as a run: `ganflow sample .`, or "
                       "`train.start_from=model.safetensors` in a recipe.",
        "hub": f"Needs `pip install 'ganflow[hub]'`. `hf download {exported.repository} --local-dir {name}` fetches the "
               f"folder. It is read as a run: `ganflow sample {name}`.",
    }  # fmt: skip
    if any(called.random for called in exported.called.values()):
        examples += " The network draws random numbers by itself; torch.manual_seed(0) before the call gives that output."
    return f"{how[exported.format]} {examples}"


def _front_matter(exported: Exported, game: Game, name: str) -> str:
    """The part of a card that the hub reads, YAML."""
    sources = set(game.signatures[game.maker].inputs.values())
    fields = {game.data.fields[source].kind for source in sources if source in game.data.fields}
    task = None
    if game.data.fields[game.signatures[game.maker].output].is_image:
        task = ("image-to-image" if "image" in fields else "text-to-image" if "embedding" in fields
                else "unconditional-image-generation")  # fmt: skip
    about = {"library_name": "ganflow", "tags": ["gan", "ganflow", str(name)], **({"pipeline_tag": task} if task else {})}
    return f"---\n# license: yours to choose, as apache-2.0 or cc-by-4.0\n{yaml.safe_dump(about, allow_unicode=True)}---"


def _prior(folder: RunFolder) -> str:
    """The prior as the recipe has it, "{use: normal, dim: 8}"."""
    found = recipe_of_run(folder).resolved().get("prior")
    return "" if not found else _plain(yaml.safe_dump(found, default_flow_style=True, width=1000, sort_keys=False).strip())


def _signatures(exported: Exported, prior: str) -> str:
    rows = ["| Signature | In | Input or output | Type | Shape | Range |", "|---|---|---|---|---|---|"]
    for name, called in exported.called.items():
        file = exported.files[name]
        where = "this folder" if file in ("", ".") else f"`{file}`"
        for argument, port in called.inputs.items():
            rows.append(f"| `{name}` | {where} | `{argument}`: {_what(port, prior)} | {_columns(port)} |")
        rows.append(f"| | | → {_what(called.output, prior)} | {_columns(called.output)} |")
    return "\n".join(rows)


def _what(port: Port, prior: str) -> str:
    if port.source == Z:
        return f"draws from the prior {prior}"
    return {"class": "classes", "image": "images", "embedding": "embeddings", "points": "points"}.get(port.kind, "") + (
        f" `{_plain(port.source)}`"
    )


def _columns(port: Port) -> str:
    return f"{port.dtype} | {_shape(port)} | {_range(port)}"


def _shape(port: Port) -> str:
    sides = [str(side) if side is not None else letter for side, letter in zip(port.shape, ("", "height", "width"), strict=False)]
    sides = sides if None in port.shape else [str(side) for side in port.shape]
    least = f", {port.smallest} pixels or more" if port.smallest > 1 else ""
    return f"({', '.join(['n', *sides])}{',' if not sides else ''}){least}"


def _range(port: Port) -> str:
    if port.classes:
        few = port.classes[:12]
        named = few != tuple(str(i) for i in range(len(few)))
        names = f": {', '.join(map(_plain, few))}{', …' if len(port.classes) > len(few) else ''}" if named else ""
        return f"0 to {len(port.classes) - 1}{names}"
    if port.low is None and port.high is None:
        return "any"
    return f"{'−∞' if port.low is None else f'{port.low:g}'} to {'∞' if port.high is None else f'{port.high:g}'}"


def _scores(folder: RunFolder, checkpoint: Checkpoint) -> str:
    evaluated, protocols = evaluations.read(folder), folder.read().protocols
    again = {  # computed once more, as in training: the later one is enough
        (each["score"], int(each["round"])) for each in evaluated
        if each["digest"] == checkpoint.digest and not protocol_difference(protocols.get(each["score"], {}), each["protocol"])
    }  # fmt: skip
    trained = [(round, score) for round, score in _in_training(folder, checkpoint) if (score.name, round) not in again]
    rows = [(score.name, score.figure, score.floor_figure, round, "in training") for round, score in trained]
    for each in evaluated:
        at, value = int(each["round"]), figure(float(each["value"]), _number(each.get("error")))
        floor = _number(each.get("floor"))
        shown = "" if floor is None else figure(floor, _number(each.get("floor_error")))
        another = "" if each["digest"] == checkpoint.digest else ", another checkpoint"
        how = f"ganflow evaluate, {plural(each['seeds'], 'seed')}{another}"
        rows.append((each["score"], value, shown, at, how))
    if not rows:
        return "The run has none; `ganflow evaluate RUN` makes some."
    head = "| Score | Value | Real examples score | Round | How |\n|---|---|---|---|---|\n"
    return head + "\n".join(f"| {_plain(name)} | {value} | {floor} | {at} | {how} |" for name, value, floor, at, how in rows)


def _in_training(folder: RunFolder, checkpoint: Checkpoint) -> list[tuple[int, Score]]:
    """The newest scores until a checkpoint, with their round."""
    known = folder.read().protocols
    left = Left()
    scored = (e for e in backwards(folder.journal, damaged=left) if e.round <= checkpoint.round)
    entry = next((e for e in islice(scored, _LOOKED_AT) if not known.keys().isdisjoint(e.values)), None)
    left.warn(found=True)  # a card can do without scores
    return [(entry.round, score) for score in grouped(entry.values) if score.name in known] if entry else []


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _data(game: Game, raw: Any) -> str:
    data = game.data
    count = "" if data.size is None else f", {data.size} training examples"
    lines = [f"`{_plain(data.name)}`{count}, fingerprint `{_plain(raw['data']['fingerprint'])}`:", ""]
    for name, field in data.fields.items():
        classes = f", classes {', '.join(map(_plain, field.classes[:40]))}" if field.classes else ""
        lines.append(f"- `{_plain(name)}`: {field.kind}, shape {tuple(field.shape)}{classes}")
    return "\n".join(lines)


def _versions(record: Any) -> str:
    found = {**record.versions, **{plugin["distribution"]: plugin["version"] for plugin in record.plugins.values()}}
    lines = [f"- {_plain(name)} {_plain(number)}" for name, number in found.items()]
    trained = [f"- seed {record.seed}, run {_plain(record.id)}, begun {_plain(record.created)}"]
    return "\n".join(lines + trained)


def _fenced(text: str) -> str:
    """A text as it is, whatever backticks it has."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"


def _plain(text: object) -> str:
    """A text in which nothing is Markdown or HTML, on one line."""
    one = escaped(" ".join(str(text).split()))
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", one)
