"""Pictures on a terminal, which is a real one: a pseudo-terminal that answers as terminals do."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios

import pytest
from PIL import Image

CODE = "import sys; from pathlib import Path; from ganflow.pictures.terminal import show_picture; " \
       "print('shown:', show_picture(Path(sys.argv[1]), always=sys.argv[2] == 'always'))"  # fmt: skip


def on_terminal(path, how, answers):
    """What is written to a terminal that gives these answers to questions."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
    process = subprocess.Popen([sys.executable, "-c", CODE, path, how], stdin=there, stdout=there, stderr=there,
                               env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"})  # fmt: skip
    os.close(there)
    written, asked = b"", set()
    while select.select([here], [], [], 60)[0]:
        try:
            piece = os.read(here, 65536)
        except OSError:
            break
        written += piece
        for question, answer in answers.items():
            if question in written and question not in asked:
                asked.add(question)
                os.write(here, answer)
    os.close(here)
    process.wait(30)
    return written.decode(errors="replace")


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (60, 40), (255, 0, 0)).save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def test_a_terminal_with_sixels_shows_them(picture):
    answers = {b"\x1b[c": b"\x1b[?62;4c", b"\x1b[16t": b"\x1b[6;20;10t"}
    written = on_terminal(picture, "able", answers)
    assert "shown: True" in written
    assert "\x1bPq" in written or "\x1bP" in written


def test_one_without_shows_blocks_where_it_is_asked_to(picture):
    answers = {b"\x1b[c": b"\x1b[?62c"}
    assert "shown: False" in on_terminal(picture, "able", answers)
    written = on_terminal(picture, "always", answers)
    assert "shown: True" in written
    assert "▀" in written or "▄" in written


def test_what_is_no_terminal_shows_nothing(picture):
    done = subprocess.run([sys.executable, "-c", CODE, picture, "always"], capture_output=True, text=True, check=True)
    assert done.stdout == "shown: False\n"
