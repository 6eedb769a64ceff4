"""Networks that go through a sequence step by step."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.architectures import Recurrent
from tests.models.model import ids
from tests.models.registry import register_model


@register_model("lstm", ((2, 5, 8),), ("recurrent",), "LSTM of two layers")
def lstm() -> nn.Module:
    return Recurrent(8)


class Tagger(nn.Module):
    """A bidirectional LSTM over word vectors, a score per tag and word (Huang et al., 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(50, width)
        self.lstm = nn.LSTM(width, width, bidirectional=True, batch_first=True)
        self.scores = nn.Linear(2 * width, 7)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.scores(self.lstm(self.words(words))[0])


@register_model("bilstm-tagger", (ids(50, 2, 5),), ("recurrent",), "Tagger: an LSTM in both directions")
def tagger() -> nn.Module:
    return Tagger(12)


class Translator(nn.Module):
    """A GRU reads; another writes and attends to what was read (Bahdanau et al., 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(40, width)
        self.reader = nn.GRU(width, width, batch_first=True)
        self.writer = nn.GRUCell(2 * width, width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.energy = nn.Linear(width, 1)
        self.scores = nn.Linear(2 * width, 40)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        memory, last = self.reader(self.words(source))
        keys, state = self.key(memory), last[0]
        rows = []
        for word in self.words(target).unbind(1):
            energy = self.energy(torch.tanh(self.query(state).unsqueeze(1) + keys))
            context = (energy.softmax(1) * memory).sum(1)
            state = self.writer(torch.cat([word, context], 1), state)
            rows.append(self.scores(torch.cat([state, context], 1)))
        return torch.stack(rows, 1)


@register_model(
    "gru-translator",
    (ids(40, 2, 5), ids(40, 2, 3)),
    ("recurrent", "attention", "multi-input-output"),
    "Translator: a GRU that attends to what another read",
)
def translator() -> nn.Module:
    return Translator(12)


class ConvLSTM(nn.Module):
    """An LSTM whose gates are convolutions, over the pictures of a film (Shi et al., 2015)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, channels, 1)

    def forward(self, film: torch.Tensor) -> torch.Tensor:
        h = film.new_zeros(film.shape[0], self.hidden, *film.shape[3:])
        c = torch.zeros_like(h)
        for picture in film.unbind(1):
            i, f, g, o = self.gates(torch.cat([picture, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.out(h)


@register_model(
    "conv-lstm", ((1, 3, 2, 8, 8),), ("recurrent", "convolutional"), "ConvLSTM: the next picture of a film"
)
def conv_lstm() -> nn.Module:
    return ConvLSTM(2, 4)


class CharacterModel(nn.Module):
    """An Elman network of tanh cells over characters, its state given and returned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(30, width)
        self.rnn = nn.RNN(width, width, 2, batch_first=True)
        self.scores = nn.Linear(width, 30)

    def forward(self, characters: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, state = self.rnn(self.characters(characters), state)
        return self.scores(x), state


@register_model(
    "character-rnn",
    (ids(30, 2, 6), (2, 2, 12)),
    ("recurrent", "multi-input-output"),
    "Characters by an Elman network, its state given and returned",
)
def character_rnn() -> nn.Module:
    return CharacterModel(12)
