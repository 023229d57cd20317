"""What a stranger wrote is shown on a terminal, and not obeyed by it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from safety_helpers import RECIPE, only_run

from ganflow.cli.main import main
from ganflow.errors import escaped
from ganflow.printing import Unread, say, say_json, say_text
from ganflow.recipe.yaml import to_flow, to_yaml
from ganflow.runs.progress import Progress
from ganflow.sweeps.display import Display
from ganflow.sweeps.records import TrialRecord

EVIL = "\x1b]0;pwned\x07\x9b2J\u202e\x08\r[red]\U000e0041\u2028"


def obeyed(text: str) -> set[str]:
    """Characters in a text that a terminal obeys, or that show another text than the one that is there."""
    return {c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


class TestEscaped:
    def test_what_is_escaped(self) -> None:
        assert escaped("a\x1b[31m\x9b\x7f\n\t\u202e\u2066\ufeff\udcff\U000e0001") == (
            "a\\u001b[31m\\u009b\\u007f\\n\\t\\u202e\\u2066\\ufeff\\udcff\\U000e0001"
        )

    def test_what_is_not(self) -> None:
        for text in ("", "Größe × −1 · 图 عربي é \u00a0 🐦", "\U0001fadf"):  # the last is of Unicode 16
            assert escaped(text) == text
        assert escaped("a\n\tb", keep="\n\t") == "a\n\tb"

    def test_every_character(self) -> None:
        for code in (*range(0x3000), *range(0xD7FF, 0xE010), *range(0xFE00, 0x10010), *range(0xE0000, 0xE0080)):
            assert not obeyed(escaped(chr(code)).replace(" ", "")), hex(code)


def test_a_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nganflow: all is well", "b")
    say_text("a\nb\x1b\n", err=True)
    assert capsys.readouterr() == ("a\\nganflow: all is well\nb\n", "a\nb\\u001b\n")


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    value = {EVIL: [EVIL, "é", "\udcff"]}
    say_json(value)
    out = capsys.readouterr().out
    assert not obeyed(out)
    assert json.loads(out) == value


@pytest.mark.parametrize("text", [EVIL, "a\x85b", "a\u2028b: c", "\u202e", " \x1b", "a\n\u202eb\t", "x\tb"])
def test_yaml_stays_yaml(text: str) -> None:
    for value in ({text: text}, {"a": [text]}, [{text: {text: None}}]):
        assert yaml.safe_load(to_yaml(value)) == value
        assert not obeyed(to_yaml(value))
    assert yaml.safe_load(f"[{to_flow(text)}]") == [text]
    assert not obeyed(to_flow(text))


def test_progress_and_sweeps() -> None:
    class Report:
        round, terms, estimates, rounds_per_second = 5, {f"critic/{EVIL}": 1.0}, {EVIL: 2.0}, 3.0

    trial = TrialRecord(0, {f"optimizer.{EVIL}": EVIL}, "failed", 1.0, 5, EVIL, place=EVIL, copied=[(1, 2)])
    plain, live = io.StringIO(), Terminal()
    for stream in (plain, live):
        with Progress(10, title=EVIL, stream=stream) as progress:
            progress.update(Report())
            progress.note(EVIL)
        with Display(EVIL, EVIL, "min", [f"optimizer.{EVIL}"], 2, stream=stream) as display:
            display.update([trial, TrialRecord(1, trial.config, "running", 2.0, place=EVIL)])
            display.note(EVIL)
    assert not obeyed(plain.getvalue())
    assert "pwned" in plain.getvalue()
    text = live.getvalue()
    assert "pwned" in text
    assert "[red]" in text  # no markup
    assert not obeyed(text) - {"\x1b", "\r"}  # rich's, which draws with them
    assert "\x1b]" not in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "small.yaml", "-q", "track.mlflow=false"]) == 0
    return folder


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in plain data there is a text, keys included: the path to it, and whether it is a key."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict):
            yield (*path, key, "key")
        if isinstance(inner, (dict, list)):
            yield from fields(inner, (*path, key))
        else:
            yield (*path, key, "value")


def with_evil(value: Any, path: tuple[Any, ...]) -> Any:
    made = json.loads(json.dumps(value))
    *above, key, what = path
    at = made
    for step in above:
        at = at[step]
    if what == "key":
        at[EVIL] = at.pop(key)
    else:
        at[key] = EVIL
    return made


def attempts(trained: Path) -> list[tuple[str, tuple[Any, ...], tuple[str, ...]]]:
    """(file, where in it, command)"""
    run = only_run(trained / "runs")
    shows = (("runs",), ("runs", "--json"), ("runs", "show", "latest"), ("sample", "latest", "-o", "x.png"),
             ("run", "--resume", "latest", "train.rounds=5", "-q"), ("animate", "latest"))  # fmt: skip
    recipes = (("check", "small.yaml"), ("show", "small.yaml"), ("show", "small.yaml", "--json"), ("run", "small.yaml"),
               ("tune", "small.yaml", "--dry-run"))  # fmt: skip
    entry = json.loads(run.journal.read_text().splitlines()[-1])
    every = [("run.json", path, command) for path in fields(run.read().raw) for command in shows]
    every += [("metrics.jsonl", path, command) for path in fields(entry) for command in shows]
    every += [("recipe.yaml", path, command) for path in fields(yaml.safe_load(run.recipe.read_text())) for command in shows[3:5]]
    return every + [("small.yaml", path, command) for path in fields(yaml.safe_load(RECIPE)) for command in recipes]


def printed(folder: Path, trained: Path, attempt: tuple[str, tuple[Any, ...], tuple[str, ...]], capsys: Any) -> str:
    """What a command prints where one text is a stranger's."""
    file, path, command = attempt
    shutil.copytree(trained, folder)
    at = folder / file if file == "small.yaml" else only_run(folder / "runs").path / file
    lines = at.read_text().splitlines()
    if file == "metrics.jsonl":
        at.write_text("\n".join([*lines[:-1], json.dumps(with_evil(json.loads(lines[-1]), path)), ""]))
    else:
        at.write_text(json.dumps(with_evil(yaml.safe_load(at.read_text()), path)))  # which is YAML, too
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        capsys.readouterr()
        try:
            main([*command, *(["train.rounds=1", "track.mlflow=false"] if command[0] == "run" and "-q" not in command else [])])
        except Exception as error:  # Python prints it by the hook of the command line
            say_text(f"{type(error).__name__}: {error}")
        out, err = capsys.readouterr()
    return str(out + err)


def test_no_text_of_a_stranger_is_obeyed(tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = attempts(trained)
    wrong = {}
    for number, attempt in enumerate(random.Random(1).sample(every, 15)):
        if found := obeyed(printed(tmp_path / str(number), trained, attempt, capsys)):
            wrong[attempt] = found
    assert not wrong


class TestPaths:
    """Of files and folders."""

    def test_names_of_pictures(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        pictures = tmp_path / "photos"
        pictures.mkdir()
        for i in range(8):
            Image.new("RGB", (32, 32), (i, 0, 0)).save(pictures / f"{i}.png")
        (pictures / f"{EVIL}.png").write_bytes(b"junk")
        (pictures / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"junk")
        data = "data={use: image_folder, path: photos, size: 32, on_error: skip}"
        networks = ["generator={use: dcgan, width: 4}", "critic={use: dcgan, width: 4, norm: none}"]
        (tmp_path / "small.yaml").write_text(RECIPE)
        main(["run", "small.yaml", data, *networks, "track.mlflow=false", "train.rounds=1"])
        out, err = capsys.readouterr()
        assert "pwned" in err
        assert not obeyed(out + err)

    def test_of_what_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        for command in (["run", EVIL], ["check", f"{EVIL}.yaml"], ["sample", EVIL], ["runs", "--runs", EVIL], ["tune", EVIL],
                        [EVIL], ["run", f"--{EVIL}"], ["sync", EVIL], ["sweeps", "show", EVIL], ["plugins", "show", EVIL],
                        ["recipes", "copy", EVIL], ["run", "wgan", f"train.{EVIL}=1"]):  # fmt: skip
            main(command)
            out, err = capsys.readouterr()
            assert out + err
            assert not obeyed(out + err), command

    @pytest.mark.parametrize("name", ["new\nline\u2028 escape\x1b[31m\u202e", "x y#z?a=b%20&c;é'\""])
    def test_a_runs_folder_of_any_name(self, name: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "small.yaml").write_text(RECIPE)
        assert main(["run", "small.yaml", "--runs", name, "track.mlflow=false"]) == 0
        assert main(["sample", "latest", "--runs", name, "-o", "x.npz"]) == 0
        assert main(["run", "--resume", "latest", "--runs", name, "train.rounds=5"]) == 0
        assert main(["runs", "show", "latest", "--runs", name]) == 0
        out, err = capsys.readouterr()
        assert not obeyed(out + err)
        run = only_run(tmp_path / name)
        assert not obeyed(run.recipe.read_text())
        assert yaml.safe_load(run.recipe.read_text())["train"]["rounds"] == 5


class TestUnread:
    def test_what_nobody_reads(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        stream = Unread(os.fdopen(writer, "w"))
        for _ in range(3):
            stream.write("x" * 10_000)
            stream.flush()
        assert isinstance(stream.error, BrokenPipeError)
        assert not stream.isatty()
        with contextlib.suppress(BrokenPipeError):
            stream.stream.close()

    def test_none(self) -> None:
        stream = Unread(None)
        stream.write("x")
        stream.flush()
        assert isinstance(stream.error, OSError)

    def test_a_copy_for_another_process(self) -> None:
        copy = pickle.loads(pickle.dumps(Unread(sys.stdout)))
        assert copy.write("x") == 1
        assert copy.error is not None

    def test_an_encoding_that_has_few_characters(self) -> None:
        raw = io.BytesIO()
        stream = Unread(io.TextIOWrapper(raw, encoding="ascii"))
        stream.write("é\udcff")
        stream.flush()
        assert raw.getvalue() == b"\\xe9\\udcff"
        assert stream.error is None
