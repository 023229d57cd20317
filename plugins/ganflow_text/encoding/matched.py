"""An encoder that learns from captions and pictures which belong together, before any game is played."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganflow import GanflowError, Pictures, TextEncoder
from ganflow_text.encoding.matching import PictureNet, SentenceNet, matching_loss, squeezed
from ganflow_text.encoding.words import Vocabulary

SCALE = 16.0  # of cosines, where they are scores
WIDTH = 96  # channels of the sentences' network


class Matched(TextEncoder):
    """See ganflow_text.encoders.Matched for the keys."""

    def __init__(self, dim: int, side: int, steps: int, batch: int, rate: float, least: int, seed: int) -> None:
        self.dim, self.side, self._steps, self._batch, self._rate = dim, side, steps, batch, rate
        self._least, self._seed = least, seed
        self.vocabulary = Vocabulary([])
        self.sentences: SentenceNet  # both once it has learnt
        self.pictures: PictureNet

    def about(self) -> str:
        return f"matched 1 {self.dim} {self.side} {self._steps} {self._batch} {self._rate} {self._least} {self._seed}"

    def learn(self, captions: Sequence[Sequence[str]], pictures: Pictures) -> None:
        seen = pictures(self.side)
        flat = [sentence for several in captions for sentence in several]
        counts = torch.tensor([len(several) for several in captions])
        firsts = counts.cumsum(0) - counts
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._seed)  # torch.manual_seed would seed every GPU, too
            self._build(Vocabulary.of(flat, self._least), seen.shape[1])
            rows = self.vocabulary.rows(flat)
            lengths = (rows != 0).sum(1)
            networks = [*self.sentences.parameters(), *self.pictures.parameters()]
            optimizer = torch.optim.Adam(networks, lr=self._rate)
            batch = min(self._batch, len(seen))
            for step in range(self._steps):
                optimizer.param_groups[0]["lr"] = self._rate * min(1.0, 2 * (1 - step / self._steps))
                chosen = torch.randperm(len(seen))[:batch]
                texts = firsts[chosen] + (torch.rand(batch) * counts[chosen]).long()
                found = self.pictures(seen[chosen]), self.sentences(rows[texts, : int(lengths[texts].max())])
                loss = matching_loss(*found, SCALE)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if sys.stderr.isatty() and (step + 1) % 10 == 0:
                    end = "\n" if step + 1 == self._steps else ""
                    print(f"\rthe text encoder learns: {step + 1} of {self._steps} steps", end=end, file=sys.stderr, flush=True)
        self._freeze()

    def _build(self, vocabulary: Vocabulary, channels: int) -> None:
        self.vocabulary = vocabulary
        self.sentences = SentenceNet(len(vocabulary), self.dim, WIDTH)
        self.pictures = PictureNet(self.side, self.dim, channels=channels)

    def _freeze(self) -> None:
        networks: tuple[nn.Module, ...] = (self.sentences, self.pictures)
        for network in networks:
            network.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Tensor:
        found = [torch.empty(0, self.dim)]
        for i in range(0, len(sentences), 1024):
            found.append(self.sentences(self.vocabulary.rows(sentences[i : i + 1024])))
        return torch.cat(found) * math.sqrt(self.dim)

    def unknown(self, sentence: str) -> list[str]:
        return self.vocabulary.unknown(sentence)

    def match(self, pictures: Tensor, text: Tensor) -> Tensor:
        known = squeezed(pictures.float(), self.side)
        return matching_loss(self.pictures.to(pictures.device)(known), F.normalize(text.float(), dim=1), SCALE)

    def state(self) -> dict[str, Tensor]:
        networks: dict[str, nn.Module] = {"sentences": self.sentences, "pictures": self.pictures}
        weights = {f"{name}.{key}": t.cpu() for name, network in networks.items() for key, t in network.state_dict().items()}
        return {"vocabulary": self.vocabulary.tensor(), **weights}

    def load_state(self, state: dict[str, Tensor]) -> None:
        try:
            with torch.random.fork_rng(devices=[]):
                self._build(Vocabulary.from_tensor(state["vocabulary"]), state["pictures.layers.0.weight"].shape[1])
            networks: dict[str, nn.Module] = {"sentences": self.sentences, "pictures": self.pictures}
            for name, network in networks.items():
                part = {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}
                network.load_state_dict(part)
        except (KeyError, RuntimeError) as error:
            raise GanflowError(f"this is not the state of a matched encoder of {self.dim} numbers: {error}") from None
        self._freeze()
