"""Why a trial's process ended, in a few words: Ray tells it in a paragraph about itself, or by a traceback."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ray.tune.experiment import Trial as RayTrial

DIED = "its process died"
_WORDS = {
    r"low on memory|OutOfMemory|OOM killer killed": "its process was ended: the node ran out of memory",
    r"node (has )?died|node was (terminated|removed|dead)|node is dead|NODE_DIED": "its node was lost",
    r"[Pp]lacement group .*(removed|not found)": "its place in the cluster was lost",
    r"ActorUnavailable|actor .*is (temporarily )?unavailable": "its process, or its node, was lost",
    r"ActorDied|actor (has )?died|actor is dead|RayActorError": DIED,
}


def why(trial: RayTrial) -> str:
    """Why a trial of Ray's failed the last time."""
    text = ""
    with suppress(OSError, TypeError):  # no file
        text = Path(trial.error_file).read_text()
    return in_words(re.split(r"^Failure # \d+ .*$", text, flags=re.MULTILINE)[-1])


def in_words(text: str) -> str:
    """What Ray's text means; the last line of a traceback where it is one."""
    for pattern, words in _WORDS.items():
        if re.search(pattern, text):
            return words
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return re.sub(r"^[\w.]+: ", "", lines[-1])[:300] if lines else DIED
