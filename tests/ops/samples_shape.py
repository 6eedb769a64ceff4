"""Calls of views and rearrangements."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample


def ramp(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Distinct small numbers, negative ones among them where the dtype has any."""
    values = torch.arange(torch.Size(shape).numel()).reshape(shape)
    return values % 2 == 0 if dtype is torch.bool else (values - 3 if dtype.is_signed else values).to(dtype)


x = ramp(2, 3, 4)
square = ramp(3, 4, 4)
scalar = torch.tensor(2.5)
empty = torch.empty(2, 0, 3)
DTYPES = [torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool, torch.complex64]

RESHAPES = [
    Sample("aten.view.default", (x, [6, 4])),
    Sample("aten.view.default", (x, [-1])),
    Sample("aten.view.default", (scalar, [1, 1])),
    Sample("aten.view.default", (empty, [0, 5])),
    *(Sample("aten.view.default", (ramp(2, 3, dtype=dtype), [3, 2])) for dtype in DTYPES),
    Sample("aten.view_copy.default", (x, [6, 4])),
    Sample("aten.reshape.default", (x, [4, -1])),
    Sample("aten.reshape.default", (x.mT, [4, -1])),
    Sample("aten._unsafe_view.default", (x, [24])),
    Sample("aten._reshape_alias.default", (x, [6, 4], [4, 1])),
    Sample("aten.flatten.using_ints", (x,)),
    Sample("aten.flatten.using_ints", (x, 1, -1)),
    Sample("aten.flatten.using_ints", (scalar,)),
    Sample("aten.unflatten.int", (x, -1, [2, -1])),
    Sample("aten.view_as.default", (x, ramp(4, 6))),
    Sample("aten.reshape_as.default", (x, ramp(4, 6))),
    Sample("aten.ravel.default", (x.mT,)),
    Sample("aten.squeeze.default", (ramp(1, 3, 1),)),
    Sample("aten.squeeze.dim", (ramp(1, 3, 1), -1)),
    Sample("aten.squeeze.dim", (ramp(1, 3, 1), 1)),
    Sample("aten.squeeze.dims", (ramp(1, 3, 1), [0, 1])),
    Sample("aten.squeeze_copy.dims", (ramp(1, 3, 1), [0, -1])),
    Sample("aten.unsqueeze.default", (x, -1)),
    Sample("aten.unsqueeze.default", (scalar, 0)),
    Sample("aten.unsqueeze_copy.default", (x, 1)),
    *(
        Sample(f"aten.atleast_{n}d.default", (y,))
        for n in (1, 2, 3)
        for y in (ramp(3), scalar, ramp(2, 3), x)
    ),
    *(Sample(f"aten.atleast_{n}d.Sequence", ([scalar, ramp(3), x],)) for n in (1, 2, 3)),
]

BITS = [
    Sample("aten.view.dtype", (x, torch.int32)),
    Sample("aten.view.dtype", (x, torch.float16)),
    Sample("aten.view.dtype", (x, torch.int64)),
    Sample("aten.view.dtype", (x, torch.uint8)),
    Sample("aten.view.dtype", (x, torch.complex64)),
    Sample("aten.view.dtype", (ramp(2, 3, dtype=torch.complex64), torch.float32)),
    Sample("aten.view.dtype", (ramp(2, 2, dtype=torch.complex64), torch.float64)),
    Sample("aten.view.dtype", (ramp(2, 4, dtype=torch.bool), torch.uint8)),
    Sample("aten.view.dtype", (ramp(2, 4, dtype=torch.bool), torch.int32)),
    Sample("aten.view.dtype", (torch.tensor([[0, 1, 1]], dtype=torch.uint8), torch.bool)),
    Sample("aten.view.dtype", (scalar, torch.int32)),
    Sample("aten.view.dtype", (x, torch.float32)),
    Sample("aten.view_copy.dtype", (x, torch.int16)),
]

MOVES = [
    Sample("aten.transpose.int", (x, 0, -1)),
    Sample("aten.transpose.int", (scalar, 0, -1)),
    *(Sample("aten.transpose.int", (ramp(2, 3, dtype=dtype), 0, 1)) for dtype in DTYPES),
    Sample("aten.transpose_copy.int", (x, 0, 1)),
    Sample("aten.swapaxes.default", (x, 1, -1)),
    Sample("aten.swapdims.default", (x, 0, 2)),
    Sample("aten.t.default", (ramp(2, 3),)),
    Sample("aten.t.default", (ramp(3),)),
    Sample("aten.t_copy.default", (ramp(2, 3),)),
    Sample("aten.numpy_T.default", (x,)),
    Sample("aten.mT.default", (x,)),
    Sample("aten.mH.default", (x,)),
    Sample("aten.mH.default", (torch.complex(x, x + 1),)),
    Sample("aten.adjoint.default", (torch.complex(x, x + 1),)),
    Sample("aten.matrix_H.default", (torch.complex(x, x + 1)[0],)),
    Sample("aten.permute.default", (x, [2, 0, -2])),
    Sample("aten.permute.default", (scalar, [])),
    Sample("aten.permute_copy.default", (x, [1, 2, 0])),
    Sample("aten.movedim.int", (x, 0, -1)),
    Sample("aten.movedim.intlist", (ramp(2, 3, 4, 5), [-1, 0], [0, 2])),
    Sample("aten.moveaxis.int", (x, 2, 0)),
    Sample("aten.moveaxis.intlist", (x, [0, 1], [1, 2])),
    Sample("aten.flip.default", (x, [0, -1])),
    Sample("aten.flip.default", (x, [])),
    Sample("aten.flip.default", (ramp(4, dtype=torch.bool), [0])),
    Sample("aten.fliplr.default", (x,)),
    Sample("aten.flipud.default", (x,)),
    *(Sample("aten.rot90.default", (x, k, [0, 2])) for k in (1, 2, 3, 4, -1)),
    Sample("aten.rot90.default", (x, 1, [1, 0])),
    Sample("aten.roll.default", (x, [1, -2], [0, 2])),
    Sample("aten.roll.default", (x, [5])),
    Sample("aten.roll.default", (x, [4], [1])),
    Sample("aten.roll.default", (empty, [1], [1])),
    Sample("aten.roll.default", (scalar, [1])),
]

REPEATS = [
    Sample("aten.expand.default", (ramp(3, 1), [2, -1, 4])),
    Sample("aten.expand.default", (scalar, [2, 3])),
    Sample("aten.expand.default", (ramp(1, 3), [0, 3])),
    *(Sample("aten.expand.default", (ramp(2, 1, dtype=dtype), [2, 3])) for dtype in DTYPES),
    Sample("aten.expand_copy.default", (ramp(3, 1), [3, 4])),
    Sample("aten.expand_as.default", (ramp(3, 1), x)),
    Sample("aten.broadcast_to.default", (ramp(4), [2, 4])),
    Sample("aten.broadcast_tensors.default", ([ramp(3, 1), ramp(2, 1, 4), scalar],)),
    Sample("aten.repeat.default", (ramp(2, 3), [2, 1, 3])),
    Sample("aten.repeat.default", (scalar, [2, 3])),
    Sample("aten.repeat.default", (scalar, [])),
    Sample("aten.repeat.default", (ramp(2), [0])),
    Sample("aten.tile.default", (x, [2])),
    Sample("aten.tile.default", (ramp(3), [2, 2])),
    Sample("aten.repeat_interleave.self_int", (x, 2, 1)),
    Sample("aten.repeat_interleave.self_int", (x, 3)),
    Sample("aten.repeat_interleave.self_int", (x, 2, -1), {"output_size": 8}),
    Sample("aten.repeat_interleave.self_int", (scalar, 2)),
    Sample("aten.meshgrid.default", ([ramp(2), ramp(3)],)),
    Sample("aten.meshgrid.default", ([ramp(2), scalar],)),
    Sample("aten.meshgrid.indexing", ([ramp(2), ramp(3), ramp(4)],), {"indexing": "xy"}),
    Sample("aten.meshgrid.indexing", ([ramp(2), ramp(3)],), {"indexing": "ij"}),
]

WINDOWS = [
    Sample("aten.slice.Tensor", (x, 1, 1, 3)),
    Sample("aten.slice.Tensor", (x, 2, -3, 9223372036854775807, 2)),
    Sample("aten.slice.Tensor", (x, -1, 3, 1)),
    Sample("aten.slice.Tensor", (x, 0, None, -1)),
    Sample("aten.slice.Tensor", (x, 0, -100, 100)),
    *(Sample("aten.slice.Tensor", (ramp(4, dtype=dtype), 0, 1, 3)) for dtype in DTYPES),
    Sample("aten.slice_copy.Tensor", (x, 2, 0, 4, 3)),
    Sample("aten.narrow.default", (x, 1, -2, 2)),
    Sample("aten.narrow.Tensor", (x, 1, torch.tensor(1), 2)),
    Sample("aten.narrow.Tensor", (x, 1, torch.tensor(-2), 2)),
    Sample("aten.narrow_copy.default", (x, 2, 1, 2)),
    Sample("aten.select.int", (x, 1, -1)),
    Sample("aten.select.int", (ramp(3), 0, 1)),
    Sample("aten.select_copy.int", (x, -1, 2)),
    Sample("aten.unfold.default", (ramp(2, 7), 1, 3, 2)),
    Sample("aten.unfold.default", (x, 0, 2, 1)),
    Sample("aten.unfold.default", (scalar, 0, 1, 1)),
    Sample("aten.unfold.default", (ramp(2, 4), 1, 0, 1)),
    Sample("aten.unfold_copy.default", (ramp(6), 0, 2, 2)),
    Sample("aten.as_strided.default", (x, [3, 2], [2, 5], 1)),
    Sample("aten.as_strided.default", (x, [4, 4], [1, 1])),
    Sample("aten.as_strided.default", (x, [], [], 23)),
    Sample("aten.as_strided.default", (x, [0, 3], [1, 1])),
    Sample("aten.as_strided_copy.default", (x, [2, 2], [1, 0])),
]

DIAGONALS = [
    Sample("aten.diagonal.default", (ramp(3, 4),)),
    Sample("aten.diagonal.default", (square, 1, -1, 0)),
    Sample("aten.diagonal.default", (ramp(4, 3), -2)),
    Sample("aten.diagonal.default", (ramp(2, 5), 3)),
    Sample("aten.diagonal.default", (ramp(2, 3), 5)),
    Sample("aten.diagonal.default", (ramp(3, 3, dtype=torch.bool),)),
    Sample("aten.diagonal_copy.default", (square, 0, 1, 2)),
    Sample("aten.linalg_diagonal.default", (square,), {"offset": 1}),
    # First, for the first of each runs on IREE: it took one pad without an effect for another.
    Sample("aten.diag_embed.default", (torch.tensor([2 - 3j]),)),
    Sample("aten.diag_embed.default", (ramp(2, 3),)),
    Sample("aten.diag_embed.default", (ramp(2, 3), 1, 0, 2)),
    Sample("aten.diag_embed.default", (ramp(2, 3), -2, 2, 0)),
    Sample("aten.diag_embed.default", (ramp(3, dtype=torch.int64), 1)),
    Sample("aten.diag_embed.default", (ramp(3, dtype=torch.bool),)),
    Sample("aten.diag_embed.default", (torch.empty(2, 0), 1)),
    Sample("aten.diag.default", (ramp(3), -1)),
    Sample("aten.diag.default", (ramp(3, 4), 1)),
]

SAMPLES = [*RESHAPES, *BITS, *MOVES, *REPEATS, *WINDOWS, *DIAGONALS]
