"""The served model: what it answers to what it cannot make anything of."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_helpers import trained
from port_helpers import free_ports
from test_programs import NoLoss, Normal
from torch import Tensor, nn

from ganflow.contract.data import TensorData
from ganflow.engine.game import Game
from ganflow.export.formats import export_run
from ganflow.export.programs import programs_of
from ganflow.export.served import requirements, save_program_model
from ganflow.runs.loading import load_game

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),
    pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"),  # of MLflow's cast of 1e308
]
DEEP = '{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}"
ONE = [0.5, -0.5, 0.25]
Z = "'z' holds NaN, infinity, or a number that is too large for float32"
RAGGED = "'z' is no array, for its lists differ in length; the generator takes [any number, 3]"
WRONG: list[tuple[str, Any, str]] = [
    ("json", DEEP, "the request's JSON is nested too deeply"),
    ("json", "{", "the request is no JSON: Expecting property name enclosed in double quotes"),
    ("json", b"\xff\xfe", "the request is no JSON: "),
    ("json", "[1, 2]", "Received a list."),
    ("json", {"z": [ONE]}, "a request has one of the input fields inputs, instances"),
    ("json", {}, "exactly one of the input fields"),
    ("json", {"inputs": [ONE], "instances": [ONE]}, "exactly one of the input fields"),
    ("json", {"inputs": {"z": [[float("nan"), 1, 1]], "label": [0]}}, Z),
    ("json", {"inputs": {"z": [[1e308, 1, 1]], "label": [0]}}, Z),
    ("json", {"inputs": {"z": [[1e38, 1e38, 1e38]], "label": [0]}}, "the generator makes no finite numbers of these inputs"),
    ("json", {"inputs": {"z": [[1, 2, 3, 4]], "label": [0]}}, "Shape of input (1, 4) does not match expected shape (-1, 3)."),
    ("json", {"inputs": {"z": [[1, 2], [3]], "label": [0]}}, RAGGED),
    ("json", {"inputs": {"z": [ONE, 3], "label": [0, 1]}}, RAGGED),
    ("json", {"instances": [{"z": ONE, "label": 0}, {"z": [1], "label": 0}]}, RAGGED),
    ("json", {"dataframe_split": {"columns": ["z", "label"], "data": [[ONE, 1], [[1], 1]]}}, RAGGED),
    ("json", {"inputs": {"z": [ONE], "label": [[0, 1], 2]}}, "'label' is no array, for its lists differ in length; the"),
    ("json", {"inputs": {"z": [ONE], "label": [10**30]}}, "'label' holds 1000000000000000000000000000000; classes are whole"),
    ("json", {"inputs": {"z": [[10**30, 0, 0]], "label": [0]}}, "'z' holds 1000000000000000000000000000000; the generator takes"),
    ("json", {"inputs": {"z": [[10**400, 0, 0]], "label": [0]}}, "'z' holds 10000"),
    ("json", {"inputs": {"z": [ONE]}}, "label"),
    ("json", {"inputs": {"z": [ONE], "label": [3]}}, "'label' holds 3; classes are whole numbers from 0 to 2: cat, dog, owl"),
    ("json", {"inputs": {"z": [ONE], "label": [-1]}}, "'label' holds -1; classes are whole numbers from 0 to 2"),
    ("json", {"inputs": {"z": [ONE], "label": ["cat"]}}, "'label' holds \"cat\"; classes are whole numbers from 0 to 2"),
    ("json", {"inputs": {"z": [ONE], "label": ["1"]}}, "'label' holds \"1\"; classes are whole numbers from 0 to 2"),
    ("json", {"inputs": {"z": [ONE], "label": [1.5]}}, "'label' holds 1.5; classes are whole numbers from 0 to 2"),
    ("json", {"inputs": {"z": [ONE], "label": [True]}}, "'label' holds true; classes are whole numbers from 0 to 2"),
    ("json", {"inputs": {"z": [ONE], "label": [None]}}, "'label' holds null; classes are whole numbers from 0 to 2"),
    ("json", {"inputs": {"z": [ONE], "label": [float("nan")]}}, "'label' holds NaN; classes are whole numbers from 0 to 2"),
    ("json", {"instances": [{"z": ONE, "label": 1.5}]}, "'label' holds 1.5; classes are whole numbers"),
    ("json", {"dataframe_split": {"columns": ["z", "label"], "data": [[ONE, 1.5]]}}, "'label' holds 1.5"),
    ("json", {"dataframe_records": [{"z": ONE, "label": 1.5}]}, "'label' holds 1.5; classes are whole numbers"),
    ("json", {"inputs": {"z": [["0.5", 0, 0]], "label": [0]}}, "'z' holds \"0.5\"; the generator takes numbers"),
    ("json", {"inputs": {"z": [[True, 0, 0]], "label": [0]}}, "'z' holds true; the generator takes numbers"),
    ("json", {"inputs": {"z": [ONE], "label": [0], "x": [3]}}, "there is no input x; the generator takes z and label"),
    ("json", {"instances": [{"z": ONE, "label": 0, "x": 3}]}, "there is no input x; the generator takes z and label"),
    ("json", {"inputs": {"z": [ONE], "label": [0]}, "params": {"heat": 1}}, "takes no params, and the request has heat"),
    ("json", {"inputs": {"z": [ONE], "label": [0]}, "x": 1}, "and not x"),
    ("json", {"inputs": {"z": [ONE, ONE], "label": [0]}}, "the inputs differ in number: 2 z, 1 label"),
    ("json", {"inputs": {"z": [], "label": []}}, ""),
    ("csv", "z,label\n1,0\n", "the generator takes arrays, which text/csv does not hold: send application/json"),
    ("csv", 'a,"b\n', "the generator takes arrays, which text/csv does not hold"),
]


class Conditional(nn.Module):
    """Linear in z, which overflows, and a class."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.classes = nn.Linear(3, 2), nn.Embedding(3, 2)
        nn.init.constant_(self.linear.weight, 4)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return self.linear(z) + self.classes(label)


@pytest.fixture(scope="module")
def game() -> Game:
    labels = torch.tensor([0, 1, 2, 0])
    data = TensorData("points", {"real": torch.zeros(4, 2), "label": labels}, classes={"label": ("cat", "dog", "owl")})
    return Game(data, Normal(), Conditional(), None, NoLoss(), condition=["label"]).eval()


@pytest.fixture(scope="module")
def model(game: Game, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("served") / "model"
    save_program_model(programs_of(game)["sample"], to)
    return to


@pytest.fixture
def ask(model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], tuple[int, Any]]:
    """A request to MLflow's server, which loads the model as `mlflow models serve` has it."""
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    monkeypatch.setattr(scoring_server, "invocations", scoring_server.invocations)  # put back afterwards
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc.scoring_server.app", scoring_server)
    loaded = mlflow.pyfunc.load_model(str(model))

    def asked(kind: str, body: Any) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        content = {"json": "application/json", "csv": "text/csv"}[kind]
        try:
            found = scoring_server.invocations(raw, content, loaded, loaded.metadata.get_input_schema())
        except MlflowException as error:
            pytest.fail(f"MLflow answers by itself: {error}")
        return found.status, json.loads(found.response)

    return asked


def test_what_is_asked_wrongly_gets_a_sentence(ask: Callable[[str, Any], tuple[int, Any]], game: Game) -> None:
    z, label = torch.tensor([ONE, ONE]), torch.tensor([2, 0])
    status, found = ask("json", {"inputs": {"z": z.tolist(), "label": label.tolist()}})
    assert status == 200
    np.testing.assert_allclose(found["predictions"], game.call("sample", z=z, label=label).numpy(), rtol=1e-6)
    rows = [{"z": ONE, "label": 2}, {"z": ONE, "label": 0}]
    whole = {"inputs": {"z": [ONE, ONE], "label": [2.0, 0]}, "params": {}}
    for body in (whole, {"instances": rows}, {"dataframe_records": rows}):
        assert ask("json", body) == (200, found), body
    for kind, body, reason in WRONG:
        status, found = ask(kind, body)
        assert (status, set(found)) == (400, {"error_code", "message"}), (body, found)
        assert reason in found["message"], (body, found)
        assert 0 < len(found["message"]) <= 500
        assert "\n" not in found["message"]
        assert "Traceback" not in found["message"]


def test_a_request_for_too_much_is_refused(ask: Callable[[str, Any], tuple[int, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    many = {"z": np.zeros((10_000_001, 3), np.float32), "label": np.zeros(10_000_001, np.int64)}
    import mlflow.pyfunc.scoring_server as server

    monkeypatch.setattr(server, "infer_and_parse_data", lambda data, schema: many)  # a quarter of a gigabyte of JSON
    status, found = ask("json", {"inputs": {}})
    assert (status, found["message"]) == (400, "10000001 examples; ask for 1 to 10000000 in a request")


def test_requirements_are_such_as_an_index_has(monkeypatch: pytest.MonkeyPatch) -> None:
    import ganflow.export.served as served

    monkeypatch.setattr(served, "version", lambda name: {"torch": "2.13.0+cpu", "mlflow": "3.17.2"}[name])
    assert requirements(["torch", "mlflow"], {"my-plugin": "3.1+local"}) == ["torch==2.13.0", "mlflow==3.17.2", "my-plugin==3.1"]


class Serving:
    """`mlflow models serve` in a process of its own."""

    def __init__(self, python: Path, model: Path, port: int) -> None:
        serve = [str(python), "-m", "mlflow", "models", "serve", "-m", str(model)]
        command = [*serve, "--env-manager", "local", "--port", str(port)]
        path = {"PATH": f"{python.parent}:{os.environ['PATH']}"}  # of uvicorn
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MLFLOW"))} | path
        self.port, self.process = port, subprocess.Popen(command, start_new_session=True, env=environment, cwd=model.parent)

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST" if body else "GET", path, body, {"Content-Type": kind})
            found = connection.getresponse()
            raw = found.read().decode()
            return found.status, json.loads(raw) if raw.strip() else None
        finally:
            connection.close()

    def __enter__(self) -> Serving:
        for _ in range(600):
            try:
                if self.ask("/ping")[0] == 200:
                    return self
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                time.sleep(0.2)
        pytest.fail("the server does not begin")

    def __exit__(self, *error: object) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


@pytest.mark.slow
def test_it_is_served_in_a_fresh_environment(tmp_path: Path) -> None:
    """Of its requirements alone: no ganflow, no plugin."""
    folder = trained("cgan_digits", tmp_path / "runs")
    model = export_run(folder, "mlflow", tmp_path / "model").path
    environment = tmp_path / "fresh"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "-r", str(model / "requirements.txt")]
    constraints = Path(__file__).parents[2] / "constraints.txt"
    subprocess.run([*install, "-c", str(constraints)], check=True)
    assert subprocess.run([str(python), "-c", "import ganflow"], capture_output=True).returncode == 1
    game = load_game(folder)
    z, label = game.latents(5), torch.tensor([0, 9, 9, 4, 1])
    with Serving(python, model, free_ports(1)[0]) as served:
        asked = {"inputs": {"z": z.tolist(), "label": label.tolist()}}
        status, found = served.ask("/invocations", json.dumps(asked).encode())
        assert status == 200
        np.testing.assert_allclose(found["predictions"], game.call("sample", z=z, label=label).numpy(), atol=1e-5)
        assert served.ask("/invocations", DEEP.encode()) == (
            400, {"error_code": "BAD_REQUEST", "message": "the request's JSON is nested too deeply"}
        )  # fmt: skip
        status, found = served.ask("/invocations", b"a,b\n1,2\n", "text/csv")
        assert (status, set(found)) == (400, {"error_code", "message"})
        asked["inputs"]["label"][0] = 10
        status, found = served.ask("/invocations", json.dumps(asked).encode())
        assert (status, found["message"]) == (400, "'label' holds 10; classes are whole numbers from 0 to 9")
