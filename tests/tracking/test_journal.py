"""The journal: cheap, readable whatever happens while it is written."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest

from ganflow.errors import GanflowError
from ganflow.runs import journal as module
from ganflow.runs.damage import Left
from ganflow.runs.journal import Journal, Reader, backwards, entries, read, rewind, sound


def rounds(path: Path) -> list[int]:
    return [entry.round for entry in entries(path)]


def filled(path: Path, n: int = 3) -> Path:
    journal = Journal(path)
    for i in range(1, n + 1):
        journal.append(i, {"a": i / 10})
    return path


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    before = time.time()
    path = filled(tmp_path / "metrics.jsonl")
    assert [(e.round, e.values) for e in entries(path)] == [(1, {"a": 0.1}), (2, {"a": 0.2}), (3, {"a": 0.3})]
    assert all(before <= e.time <= time.time() for e in entries(path))


def test_not_finite_numbers_stay_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    Journal(path).append(1, {"nan": math.nan, "up": math.inf, "down": -math.inf, "one": 1.0})
    line = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert line["values"]["one"] == 1.0
    (entry,) = entries(path)
    assert math.isnan(entry.values.pop("nan"))
    assert entry.values == {"up": math.inf, "down": -math.inf, "one": 1.0}


def test_no_file_is_no_entries(tmp_path: Path) -> None:
    assert rounds(tmp_path / "none") == []
    rewind(tmp_path / "none", 3)


@pytest.mark.parametrize("lost", [1, 2, 10, 30])
def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path: Path, lost: int) -> None:
    path = filled(tmp_path / "metrics.jsonl")
    os.truncate(path, path.stat().st_size - lost)
    assert rounds(path) == [1, 2]
    Journal(path).append(9, {"a": 1.0})
    assert rounds(path) == [1, 2, 9]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = filled(tmp_path / "metrics.jsonl")
    path.write_text(path.read_text().replace('"round": 2', '"rund": 2'))
    with pytest.raises(GanflowError, match=r"metrics\.jsonl:2 is damaged: no report: it has no 'round'; delete that line"):
        list(entries(path))


DAMAGES = {
    '{"round": 2, "time": 1, "values": {"a": oops}}': "no report, from column 41 on ('oops}}')",
    '{"round": 2, "time": 1, "val': """no report, from column 25 on ('"val')""",
    '{"round": 2, "time": 1': "the line ends too early",
    "": "the line is empty",
    "7": "no report ('7')",
    '{"round": 2, "time": 1, "values": {"critic/w": [1]}}': "no report: 'critic/w' is '[1]'",
    '{"round": -2, "time": 1, "values": {}}': "no report: 'round' is '-2'",
    '{"round": 2, "time": 1, "values": 3}': "no report: 'values' is '3'",
    "x" * 500: f"no report, from column 1 on ('{'x' * 30}' …)",
}


@pytest.mark.parametrize("line", DAMAGES)
@pytest.mark.parametrize("before", [2, 5000])
def test_every_reader_says_the_same_of_a_damaged_line_and_shows_what_is_wrong(tmp_path: Path, line: str, before: int) -> None:
    path = filled(tmp_path / "metrics.jsonl", before)
    sound_lines = path.read_text().splitlines()
    path.write_text("\n".join([*sound_lines[:1], line, *sound_lines[1:], ""]))
    found = set[str]()
    for reader in (entries, backwards):
        left = Left()
        assert sorted(entry.round for entry in reader(path, damaged=left)) == list(range(1, before + 1))
        found |= set(map(str, left.errors))
        with pytest.raises(GanflowError) as raised:
            list(reader(path))
        found.add(str(raised.value))
    with pytest.raises(GanflowError) as raised:
        Reader(path).new()
    assert found == {str(raised.value)} == {f"{path}:2 is damaged: {DAMAGES[line]}; delete that line and try again"}


def test_damaged_lines_that_are_left_out_are_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(tmp_path / "metrics.jsonl", 2)
    path.write_text("7\n8\n" + path.read_text() + "9\n")
    assert [entry.round for entry in sound(path)] == [entry.round for entry in sound(path)] == [1, 2]
    (warning,) = caplog.messages
    assert warning.startswith(f"{path}:1 is damaged: no report ('7'), and 2 lines more; ")
    path.write_text("7\n8\n")
    with pytest.raises(GanflowError, match=r":1 is damaged: no report \('7'\); delete that line and try again"):
        sound(path)


def test_rewind_drops_later_rounds_and_the_torn_tail(tmp_path: Path) -> None:
    path = filled(tmp_path / "metrics.jsonl", 5)
    path.write_text(path.read_text() + '{"round": 6, "ti')
    journal = Journal(path)
    journal.rewind(3)
    assert rounds(path) == [1, 2, 3]
    journal.append(4, {"a": 4.0})  # into the new file
    assert rounds(path) == [1, 2, 3, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_rewind_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "metrics.jsonl", 5)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        rewind(path, 3)
    assert rounds(path) == [1, 2, 3, 4, 5]


def test_a_rewound_journal_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is on the disk before its bytes are: after a power failure the journal would be empty."""
    path, done = filled(tmp_path / "metrics.jsonl", 5), list[tuple[str, int, int]]()
    fsync, replace = os.fsync, os.replace

    def on_disk(file: int) -> None:
        done.append(("fsync", os.fstat(file).st_ino, os.fstat(file).st_size))
        fsync(file)

    def named(source: Path, to: Path) -> None:
        done.append(("replace", source.stat().st_ino, source.stat().st_size))
        replace(source, to)

    monkeypatch.setattr(os, "fsync", on_disk)
    monkeypatch.setattr(os, "replace", named)
    rewind(path, 3)
    assert rounds(path) == [1, 2, 3]
    file = path.stat().st_ino, path.stat().st_size
    assert done[:2] == [("fsync", *file), ("replace", *file)]


def test_a_rewind_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "metrics.jsonl", 5)
    monkeypatch.setattr(os, "replace", lambda *_: os.rmdir(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        rewind(path, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = filled(tmp_path / "metrics.jsonl")
    reader = Reader(path)
    with path.open("a") as file:
        file.write('{"round": 4, "time"')
        file.flush()
        assert [e.round for e in reader.new()] == [1, 2, 3]
        assert reader.new() == []
        file.write(': 0, "values": {}}\n')
    assert [e.round for e in reader.new()] == [4]


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    path = filled(tmp_path / "metrics.jsonl")
    first, offset = read(path)
    with path.open("a") as file:
        file.write('{"round": 4, "time"')
        file.flush()
        assert read(path, offset) == ([], offset)
        file.write(': 0, "values": {}}\n')
    assert len(first) == 3
    assert [e.round for e in read(path, offset)[0]] == [4]


@pytest.mark.parametrize("more", [0, 1, 4])
def test_a_follower_reads_a_rewound_journal_from_its_first_line(tmp_path: Path, more: int) -> None:
    """Shorter, as long, or longer than it was when it was last read."""
    path = filled(tmp_path / "metrics.jsonl")
    reader = Reader(path)
    assert [entry.round for entry in reader.new()] == [1, 2, 3]
    assert reader.new() == []
    journal = Journal(path)
    journal.append(4, {"a": 0.4})
    assert [entry.round for entry in reader.new()] == [4]
    journal.rewind(2)
    for round in range(3, 3 + more):
        journal.append(round, {"a": 9.9})
    journal.close()
    assert [entry.round for entry in reader.new()] == [*range(1, 3 + more)]
    assert reader.new() == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    os.dup2(os.open("/dev/full", os.O_WRONLY), journal._file)
    with pytest.raises(GanflowError, match="No space left on device"):
        journal.append(1, {"a": 1.0})


def test_an_append_takes_less_than_50_microseconds(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    values = {f"critic/term_{i}": i / 7 for i in range(8)}
    times = []
    for i in range(500):
        start = time.perf_counter()
        journal.append(i, values)
        times.append(time.perf_counter() - start)
    assert sorted(times)[250] < 50e-6  # the median: others work on this machine, too


@pytest.mark.parametrize("block", [1, 7, 60, 61, 62, 10_000])
@pytest.mark.parametrize("torn", ["", '{"round": 6, "ti', "x" * 200])
def test_a_journal_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, torn: str) -> None:
    monkeypatch.setattr(module, "TAIL", block)
    path = filled(tmp_path / "metrics.jsonl", 5)
    path.write_text(path.read_text() + torn)
    assert list(backwards(path)) == list(entries(path))[::-1]
    assert list(backwards(tmp_path / "none")) == []


def test_no_more_of_it_is_read_than_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged line further up does not matter to who needs the last, and is named to who comes to it."""
    path = filled(tmp_path / "metrics.jsonl", 50)
    path.write_text("nonsense\n" + path.read_text())
    monkeypatch.setattr(module, "TAIL", 100)
    assert next(backwards(path)).round == 50
    assert [entry.round for entry in backwards(path, 200)] == [50, 49, 48][: len(list(backwards(path, 200)))]
    assert 1 <= len(list(backwards(path, 200))) <= 3
    with pytest.raises(GanflowError, match="nonsense"):
        list(backwards(path))
