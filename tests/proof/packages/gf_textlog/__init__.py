"""A tracker that writes lines to a file: the round, the number's name and its value."""

from ganflow import Tracker, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class TextLog(Tracker):
    """Writes a file in the run's folder, anew whenever the run begins or goes on: all of the journal follows then."""

    def __init__(self, name):
        self.name, self.file = name, None

    def begin(self, run):
        path = run.folder / self.name
        path.unlink(missing_ok=True)
        self.file = path.open("x", encoding="utf-8")
        self.write(f"# {run.name} {run.id}")

    def values(self, round, time, values):
        for name, value in values.items():
            self.write(f"{round} {name} {value!r}")

    def picture(self, round, path):
        self.write(f"# {round} {path.name}")

    def end(self, status):
        self.write(f"# {status}")
        self.file.close()

    def write(self, line):
        print(line, file=self.file, flush=True)


@settings
class TextLogSettings:
    """Lines of text in a file of the run's folder."""

    file: str = key("log.txt", "the file's name, which ends in .txt")

    def __post_init__(self):
        if "/" in self.file or "\\" in self.file or not self.file.endswith(".txt") or self.file in (".txt", "error.txt"):
            raise ValueError(f"file: '{self.file}' cannot be written to; use a plain name that ends in .txt")

    @hookimpl
    def tracker(self):
        return TextLog(self.file)


@hookimpl
def register(offer):
    offer("tracker", "textlog", TextLogSettings)
