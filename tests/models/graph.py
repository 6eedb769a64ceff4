"""Networks over graphs, whose edges are pairs of indices."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.model import ids
from tests.models.registry import register_model

NODES, EDGES, WIDTH = 7, 15, 8
GRAPH = ((NODES, WIDTH), ids(NODES, 2, EDGES))


def summed(messages: torch.Tensor, targets: torch.Tensor, count: int) -> torch.Tensor:
    """Messages [edges, ...] summed per target."""
    return messages.new_zeros(count, *messages.shape[1:]).index_add(0, targets, messages)


class GraphConvolution(nn.Module):
    """Neighbours' vectors, each divided by the root of both degrees (Kipf and Welling, 2017)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        loops = torch.arange(x.shape[0])
        sources, targets = torch.cat([edges[0], loops]), torch.cat([edges[1], loops])
        degree = summed(torch.ones_like(targets, dtype=x.dtype), targets, x.shape[0])
        share = degree.rsqrt()
        weight = (share[sources] * share[targets]).unsqueeze(1)
        return summed(self.linear(x)[sources] * weight, targets, x.shape[0])


class GCN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(WIDTH, 16), GraphConvolution(16, 4)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return self.second(F.relu(self.first(x, edges)), edges).log_softmax(1)


@register_model("gcn", GRAPH, ("graph",), "GCN: convolutions over a graph, a class per node")
def gcn() -> nn.Module:
    return GCN()


class GraphAttention(nn.Module):
    """Edges weighed by a softmax over each node's neighbours (Veličković et al., 2018)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, heads * width, bias=False)
        self.sources = nn.Parameter(torch.randn(heads, width) / width**0.5)
        self.targets = nn.Parameter(torch.randn(heads, width) / width**0.5)
        self.heads = heads

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        count = x.shape[0]
        h = self.linear(x).unflatten(1, (self.heads, -1))
        left, right = (h * self.sources).sum(2), (h * self.targets).sum(2)
        scores = F.leaky_relu(left[edges[0]] + right[edges[1]], 0.2)
        where = edges[1].unsqueeze(1).expand(-1, self.heads)
        largest = scores.new_full((count, self.heads), -1e9).scatter_reduce(0, where, scores, "amax")
        weights = (scores - largest[edges[1]]).exp()
        total = summed(weights, edges[1], count)[edges[1]]
        return summed(h[edges[0]] * (weights / total).unsqueeze(2), edges[1], count).mean(1)


class GAT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GraphAttention(WIDTH, 2), GraphAttention(WIDTH, 2)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return self.second(F.elu(self.first(x, edges)), edges)


@register_model("gat", GRAPH, ("graph", "attention"), "GAT: nodes attend to their neighbours")
def gat() -> nn.Module:
    return GAT()


class GIN(nn.Module):
    """Sums of neighbours through perceptrons, then a sum per graph of a batch (Xu et al., 2019)."""

    def __init__(self, graphs: int) -> None:
        super().__init__()
        self.graphs = graphs
        self.own = nn.Parameter(torch.zeros(2))
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, WIDTH)) for _ in range(2)]
        )
        self.scores = nn.Linear(2 * WIDTH, 3)

    def forward(self, x: torch.Tensor, edges: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
        pooled = []
        for own, layer in zip(self.own, self.layers, strict=True):
            x = layer((1 + own) * x + summed(x[edges[0]], edges[1], x.shape[0]))
            pooled.append(summed(x, graph, self.graphs))
        return self.scores(torch.cat(pooled, 1))


@register_model(
    "gin", (*GRAPH, ids(2, NODES)), ("graph", "multi-input-output"), "GIN: a class per graph of a batch"
)
def gin() -> nn.Module:
    return GIN(2)


class GraphSAGE(nn.Module):
    """A node beside the mean and the maximum of its neighbours (Hamilton et al., 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        sources, where = x[edges[0]], edges[1].unsqueeze(1).expand(-1, x.shape[1])
        mean = torch.zeros_like(x).scatter_reduce(0, where, sources, "mean", include_self=False)
        most = torch.zeros_like(x).scatter_reduce(0, where, sources, "amax", include_self=False)
        return F.normalize(self.linear(torch.cat([x, mean, most], 1)), dim=1)


@register_model("graph-sage", GRAPH, ("graph",), "GraphSAGE: means and maxima of neighbours")
def graph_sage() -> nn.Module:
    return GraphSAGE()


class EquivariantGraph(nn.Module):
    """EGNN: vectors and places in space, moved along their differences (Satorras et al., 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(2 * WIDTH + 1, 16), nn.SiLU(), nn.Linear(16, WIDTH), nn.SiLU())
        self.move = nn.Sequential(nn.Linear(WIDTH, 16), nn.SiLU(), nn.Linear(16, 1))
        self.node = nn.Sequential(nn.Linear(2 * WIDTH, 16), nn.SiLU(), nn.Linear(16, WIDTH))

    def forward(
        self, x: torch.Tensor, edges: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sources, targets = edges[0], edges[1]
        gap = places[targets] - places[sources]
        near = gap.square().sum(1, keepdim=True)
        message = self.edge(torch.cat([x[targets], x[sources], near], 1))
        places = places + summed(gap / (near.sqrt() + 1) * self.move(message), targets, x.shape[0])
        return x + self.node(torch.cat([x, summed(message, targets, x.shape[0])], 1)), places


@register_model(
    "egnn",
    (*GRAPH, (NODES, 3)),
    ("graph", "multi-input-output"),
    "EGNN: atoms in space, equal under rotation",
)
def egnn() -> nn.Module:
    return EquivariantGraph()
