"""Loads exported folders in a process that cannot import ganflow: `python stranger.py FOLDER…` prints, as JSON, how far what each
makes is from what the run's network made, by what was asked. The card's lines are run as they are printed."""

import json
import os
import re
import sys
import warnings

import numpy as np


class NoGanflow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("ganflow"):
            raise ImportError(f"{name} cannot be imported here")


def calls_of(about, signature):
    """A function of a signature's inputs by name."""
    file, inputs = about["signatures"][signature]["file"], about["signatures"][signature]["inputs"]
    if about["format"] == "pt2":
        import torch

        program = torch.export.load(file).module()

        def call(**given):
            torch.manual_seed(0)
            return program(*(torch.from_numpy(given[name]) for name in inputs)).detach().numpy()
    elif about["format"] == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file)

        def call(**given):
            return session.run(None, given)[0]
    else:
        import mlflow

        model = mlflow.pyfunc.load_model(file)

        def call(**given):
            return model.predict(given if len(given) > 1 else next(iter(given.values())))

    return call


def main(folders):
    from safetensors.numpy import load_file

    found = {}
    for folder in folders:
        os.chdir(folder)
        with open("config.json") as file:
            about = json.load(file)
        with open("README.md") as file:
            lines = re.search(r"```python\n(.*?)```", file.read(), re.S)[1]
        assert len(lines.splitlines()) == 5
        names = {}
        exec(lines, names)
        first, examples = next(iter(about["signatures"])), load_file("examples.safetensors")
        apart = {"the card's lines": np.abs(np.asarray(names["output"]) - examples[f"{first}.output"]).max()}
        for name, signature in about["signatures"].items():
            call = calls_of(about, name)
            given = {argument: examples[f"{name}.{argument}"] for argument in signature["inputs"]}
            made = examples[f"{name}.output"]
            for n in (1, 2, 3, 7):
                rows = np.arange(n) % len(made)
                apart[f"{name} of {n}"] = np.abs(call(**{a: t[rows] for a, t in given.items()}) - made[rows]).max()
            if os.path.exists(f"{name}.larger.safetensors"):  # images of another size
                larger = load_file(f"{name}.larger.safetensors")
                made = larger.pop("output")
                apart[f"{name}, another size"] = np.abs(call(**larger) - made).max()
        found[folder] = {name: float(value) for name, value in apart.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.meta_path.insert(0, NoGanflow())
    main(sys.argv[1:])
