"""Winograd's minimal filtering F(2x2, 3x3): 16 products where a 3x3 convolution of a 2x2 tile takes 36.

"Fast Algorithms for Convolutional Neural Networks" (Lavin and Gray, 2016), section 4.1. The sums are of
float32 in another order. A value that is not finite reaches all four results of its tiles.
"""

from __future__ import annotations

from lowering.stablehlo.passes.rewrite import cx
from lowering.stablehlo.value import Value

# Channels, in or out, below which the transforms cost more than the products save.
_LEAST_CHANNELS = 32
_OUT, _TILE = 2, 4

# Each row of a matrix as its nonzero (factor, column) pairs: B^T for the input, G for the kernel, A^T for the
# result.
Matrix = tuple[tuple[tuple[float, int], ...], ...]
_INPUT: Matrix = (((1, 0), (-1, 2)), ((1, 1), (1, 2)), ((1, 2), (-1, 1)), ((1, 1), (-1, 3)))
_KERNEL: Matrix = (((1, 0),), ((0.5, 0), (0.5, 1), (0.5, 2)), ((0.5, 0), (-0.5, 1), (0.5, 2)), ((1, 2),))
_RESULT: Matrix = (((1, 0), (1, 1), (1, 2)), ((1, 1), (-1, 2), (-1, 3)))

Grid = list[list[Value]]


def fits(taps: tuple[int, ...], steps: tuple[int, ...], channels: tuple[int, int]) -> bool:
    """Whether a convolution [taps...] whose strides, dilations and groups are `steps` is one that this is
    for."""
    return taps == (3, 3) and set(steps) == {1} and min(channels) >= _LEAST_CHANNELS


def convolve(input: Value, kernel: Value, padding: tuple[tuple[int, int], ...]) -> Value:
    """input [batch, height, width, in], kernel [3, 3, in, out]; result [batch, height', width', out]."""
    sizes = [size + low + high - 2 for size, (low, high) in zip(input.shape[1:3], padding, strict=True)]
    tiles = [-(-size // _OUT) for size in sizes]
    low, high = ([0, *(pair[side] for pair in padding), 0] for side in (0, 1))
    for axis in (0, 1):
        high[axis + 1] += _OUT * tiles[axis] - sizes[axis]
    padded = cx.pad(input, low, high)
    points = _stacked(_both_sides(_INPUT, _points(padded, tiles)))
    taps = _stacked(_both_sides(_KERNEL, _taps(kernel)))
    batch, outer = input.shape[0], kernel.shape[-1]
    # One product with a batch axis: sixteen of their own took a fifth longer.
    products = cx.dot_general(points, taps, ([2], [1]), ([0], [0]), out=input.dtype)
    parts = [
        cx.reshape(cx.slice_axis(products, 0, at, at + 1), (batch, *tiles, outer))
        for at in range(_TILE * _TILE)
    ]
    grid = [parts[at : at + _TILE] for at in range(0, len(parts), _TILE)]
    whole = _joined(_both_sides(_RESULT, grid))
    return cx.slice(whole, [0, 0, 0, 0], [batch, *sizes, outer])


def _points(padded: Value, tiles: list[int]) -> Grid:
    """Element (i, j) of all tiles, which overlap by two: [batch, tiles down, tiles across, channels]."""
    batch, _, _, channels = padded.shape

    def point(i: int, j: int) -> Value:
        limit = [batch, i + _OUT * (tiles[0] - 1) + 1, j + _OUT * (tiles[1] - 1) + 1, channels]
        return cx.slice(padded, [0, i, j, 0], limit, [1, _OUT, _OUT, 1])

    return [[point(i, j) for j in range(_TILE)] for i in range(_TILE)]


def _taps(kernel: Value) -> Grid:
    """[in, out] of each tap."""
    inner, outer = kernel.shape[2:]
    return [
        [
            cx.reshape(cx.slice(kernel, [i, j, 0, 0], [i + 1, j + 1, inner, outer]), (inner, outer))
            for j in range(3)
        ]
        for i in range(3)
    ]


def _both_sides(matrix: Matrix, grid: Grid) -> Grid:
    """matrix x grid x matrix^T."""
    half = [[_sum(row, [line[j] for line in grid]) for j in range(len(grid[0]))] for row in matrix]
    return [[_sum(row, line) for row in matrix] for line in half]


def _sum(row: tuple[tuple[float, int], ...], values: list[Value]) -> Value:
    """The first factor of a row is positive."""
    terms = [values[at] if abs(factor) == 1 else values[at] * abs(factor) for factor, at in row]
    total = terms[0]
    for (factor, _), term in zip(row[1:], terms[1:], strict=True):
        total = total + term if factor > 0 else total - term
    return total


def _stacked(grid: Grid) -> Value:
    """[16, rows, channels] of a grid of [..., channels]."""
    rows = [(1, value.size // value.shape[-1], value.shape[-1]) for line in grid for value in line]
    values = [value for line in grid for value in line]
    return cx.concatenate([cx.reshape(v, shape) for v, shape in zip(values, rows, strict=True)], 0)


def _joined(grid: Grid) -> Value:
    """The four places of all tiles, back as an image."""
    batch, down, across, channels = grid[0][0].shape
    apart = [[cx.reshape(value, (batch, down, 1, across, 1, channels)) for value in line] for line in grid]
    lines = [cx.concatenate(line, 4) for line in apart]
    return cx.reshape(cx.concatenate(lines, 2), (batch, _OUT * down, _OUT * across, channels))
