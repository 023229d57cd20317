"""A sentence transformer from a local folder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganflow import GanflowError, TextEncoder, open_regular, user_path
from ganflow_text.encoding.words import tokens

DIGEST = "digest"


class Transformer(TextEncoder):
    """See ganflow_text.encoders.SentenceTransformer for the keys.

    Raises:
        GanflowError: the library is not installed, or the folder holds no model.
    """

    def __init__(self, path: str) -> None:
        self._path = user_path("encoder sentence_transformer: path", path)
        if not self._path.is_dir():
            raise GanflowError(f"encoder sentence_transformer: there is no folder {self._path}; "
                               "it reads a model's folder, and downloads nothing")  # fmt: skip
        odd = (f for f in sorted(self._path.rglob("*")) if f.exists() and not f.is_file() and not f.is_dir())
        if (first := next(odd, None)) is not None:
            raise GanflowError(f"encoder sentence_transformer: {first} is no file, but a pipe, a socket or a device; remove it")
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError:
            raise GanflowError("encoder sentence_transformer needs the library of that name: "
                               "pip install 'ganflow[text]'") from None  # fmt: skip
        try:
            self._model: Any = SentenceTransformer(str(self._path), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GanflowError(f"encoder sentence_transformer: {self._path} holds no model that can be read: {error}") from error
        self.dim = len(self.encode(["a bird"])[0])
        self._digest = digest(self._path)

    def about(self) -> str:
        return f"sentence transformer 1 {self._digest}"

    def encode(self, sentences: Sequence[str]) -> Tensor:
        found = self._model.encode(list(sentences), convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False)
        vectors: Tensor = found.float().cpu()
        return vectors * math.sqrt(vectors.shape[1])

    def unknown(self, sentence: str) -> list[str]:
        tokenizer = self._model.tokenizer
        foreign = getattr(tokenizer, "unk_token_id", None)
        return [word for word in dict.fromkeys(tokens(sentence))
                if word != "," and foreign is not None and foreign in tokenizer(word)["input_ids"]]  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """Only which model it is: its folder is the user's."""
        return {DIGEST: torch.tensor(list(self._digest.encode()), dtype=torch.uint8)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        kept = bytes(state[DIGEST].tolist()).decode() if DIGEST in state else ""
        if kept != self._digest:
            raise GanflowError(f"encoder sentence_transformer: the model in {self._path} is another one than the run's")


def digest(folder: Path) -> str:
    """Of a folder's files."""
    sha = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        sha.update(f"{file.relative_to(folder)}\0".encode())
        with open_regular(file) as opened:
            while block := opened.read(2**22):
                sha.update(block)
    return sha.hexdigest()
