"""Wide programs, drawn by a seed: branches that could run side by side, which meet, are cut and are joined.

What an engine with threads may get wrong shows in such programs: a step that writes where another still
reads. Products with weights lie on branches that do not depend on each other; a few rows are taken out,
changed and put back, as in class attention; buffers are written in place, as caches are.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch

F = torch.nn.functional

#: Sizes that are drawn from: of the rows, and of the channels (multiples of 4, the number of heads).
ROWS, CHANNELS = (1, 2, 5, 8, 17), (64, 96, 128, 160)
HEADS = 4

Value = torch.Tensor
Step = Callable[[list[Value]], Value]


class Wide(torch.nn.Module):
    """Drawn steps over values [1, rows, channels]; returns the last value, and some others.

    `stateful`: with a cache [1, 4 * rows, channels] and a running sum, which steps read and write in place.
    """

    cache: torch.Tensor
    total: torch.Tensor

    def __init__(self, seed: int, stateful: bool | None = None) -> None:
        super().__init__()
        self._random = random = Random(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self.rows, self.channels = random.choice(ROWS), random.choice(CHANNELS)
        self.stateful = random.random() < 0.4 if stateful is None else stateful
        self.weights = torch.nn.ParameterList()
        if self.stateful:
            self.register_buffer("cache", self._drawn(1, 4 * self.rows, self.channels))
            self.register_buffer("total", self._drawn(1, self.rows, self.channels))
        kinds = [
            self._gates,
            self._attention,
            self._class_attention,
            self._first_row,
            self._two_ways,
            self._mixed,
        ]
        kinds += [self._cached, self._summed] * self.stateful
        self.drawn = [random.choice(kinds) for _ in range(random.randint(2, 5))]
        if self.stateful:
            self.drawn.insert(random.randrange(len(self.drawn)), random.choice([self._cached, self._summed]))
        self._steps: list[Step] = [make() for make in self.drawn]
        self._shown = [random.randrange(len(self._steps)) for _ in range(random.randint(0, 2))]

    def inputs(self, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """Fresh arguments: float32 [1, rows, channels]."""
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(1, self.rows, self.channels, generator=generator),)

    def forward(self, x: Value) -> tuple[Value, ...]:
        values = [x]
        for step in self._steps:
            values.append(step(values))
        return (values[-1], *(values[at] + 1 for at in self._shown))

    @property
    def described(self) -> str:
        names = ", ".join(make.__name__.removeprefix("_") for make in self.drawn)
        return f"{self.rows} rows, {self.channels} channels{', state' * self.stateful}: {names}"

    # ---- what steps are made of ----

    def _drawn(self, *sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=self._generator)

    def _weight(self, *sizes: int) -> Callable[[], torch.Tensor]:
        place = len(self.weights)
        self.weights.append(torch.nn.Parameter(self._drawn(*sizes) / sizes[-1] ** 0.5))
        return lambda: self.weights[place]

    def _linear(self, out: int | None = None, given: int | None = None) -> Callable[[Value], Value]:
        """A product with a weight; mostly with a bias."""
        out, given = out or self.channels, given or self.channels
        weight = self._weight(out, given)
        bias = self._weight(out) if self._random.random() < 0.8 else None
        return lambda x: F.linear(x, weight(), bias() if bias else None)

    def _norm(self) -> Callable[[Value], Value]:
        scale, shift = self._weight(self.channels), self._weight(self.channels)
        return lambda x: F.layer_norm(x, (self.channels,), scale(), shift())

    def _earlier(self) -> Callable[[list[Value]], Value]:
        """The last value, or one of those before it: a branch that skips steps."""
        back = self._random.choice((1, 1, 1, 2, 3))
        return lambda values: values[-min(back, len(values))]

    def _cut(self) -> int:
        return self._random.choice((1, 1, max(1, self.rows // 2)))

    # ---- steps ----

    def _gates(self) -> Step:
        """Products of the same or of different values, multiplied and added."""
        branches = [(self._earlier(), self._linear()) for _ in range(self._random.randint(2, 4))]
        norm = self._norm()

        def step(values: list[Value]) -> Value:
            first, *others = [linear(norm(of(values))) for of, linear in branches]
            for other in others:
                first = first * torch.sigmoid(other) + other
            return values[-1] + first

        return step

    def _split(self, x: Value) -> Value:
        return x.reshape(*x.shape[:2], HEADS, -1).permute(0, 2, 1, 3)

    def _attention(self) -> Step:
        q, k, v, o = (self._linear() for _ in range(4))
        norm, of = self._norm(), self._earlier()

        def step(values: list[Value]) -> Value:
            y = norm(of(values))
            a = F.scaled_dot_product_attention(self._split(q(y)), self._split(k(y)), self._split(v(y)))
            return values[-1] + o(a.transpose(1, 2).reshape(values[-1].shape))

        return step

    def _class_attention(self) -> Step:
        """The first row attends to all; the others pass by."""
        q, k, v, o = (self._linear() for _ in range(4))
        norm, scale = self._norm(), self._weight(self.channels)

        def step(values: list[Value]) -> Value:
            x = values[-1]
            y = norm(x)
            query = self._split(q(y[:, 0]).unsqueeze(1))
            a = F.scaled_dot_product_attention(query, self._split(k(y)), self._split(v(y)))
            a = o(a.transpose(1, 2).reshape(1, 1, -1))
            return x + scale() * torch.cat([a, y[:, 1:]], 1)

        return step

    def _first_row(self) -> Step:
        """Some rows are normed and go through two layers; all are joined again, twice."""
        norm, up, down = self._norm(), self._linear(4 * self.channels), self._linear(None, 4 * self.channels)
        scale, cut = self._weight(self.channels), self._cut()

        def step(values: list[Value]) -> Value:
            x = values[-1]
            x = torch.cat([norm(x[:, :cut]), x[:, cut:]], 1)
            h = scale() * down(F.gelu(up(x[:, :cut])))
            return x + torch.cat([h, x[:, cut:]], 1)

        return step

    def _two_ways(self) -> Step:
        """The rows' two ends go different ways and are put together."""
        one, other, both = self._linear(), self._linear(), self._linear()
        cut = self._cut()

        def step(values: list[Value]) -> Value:
            x = values[-1]
            joined = torch.cat([one(x[:, :cut]).tanh(), other(x[:, cut:])], 1)
            return both(joined) + F.pad(x[:, cut:], (0, 0, 0, cut))

        return step

    def _mixed(self) -> Step:
        """Over the rows as well: a product with a weight [rows, rows], beside one over the channels."""
        mix, linear, norm = self._weight(self.rows, self.rows), self._linear(), self._norm()
        of = self._earlier()

        def step(values: list[Value]) -> Value:
            y = norm(of(values))
            return values[-1] + (mix() @ y).relu() + linear(y).softmax(-1)

        return step

    def _cached(self) -> Step:
        """Rows are written into a cache, in place, and a product reads all of it."""
        key, query = self._linear(), self._linear()
        at = self._random.randrange(3) * self.rows

        def step(values: list[Value]) -> Value:
            x = values[-1]
            self.cache[:, at : at + self.rows] = key(x)
            return x + (query(x) @ self.cache.mT / self.channels).softmax(-1) @ self.cache

        return step

    def _summed(self) -> Step:
        linear, other = self._linear(), self._linear()

        def step(values: list[Value]) -> Value:
            self.total.mul_(0.5).add_(linear(values[-1]))
            return other(values[-1]) + self.total

        return step
