"""Products of one row with a weight, of bfloat16, as IREE computes them fast where the processor has none.

Decoding is made of these, and the time to read the weight once bounds them. IREE's own product of bfloat16
computes a number at a time; one of float32 reads twice as much. Here the weight keeps its type. At load it is
laid out in strips of 16 columns. A call widens by a shift what it reads, and multiplies several strips side
by side, for each sum waits for the one before it.
"""

from __future__ import annotations

import re

# Columns of a strip, and how many strips are computed side by side: their sums are 8 registers of AVX2.
_STRIP = 16
_BESIDE = 4
# Strips that one worker takes at a time.
_SHARE = 8

_PRODUCT = re.compile(
    r"^ *(?P<result>%\S+) = linalg\.vecmat "
    r"ins\((?P<row>%\S+), (?P<weight>%\S+) : (?P<narrow>tensor<\d+xbf16>), "
    r"(?P<matrix>tensor<(?P<sum>\d+)x(?P<columns>\d+)xbf16>)\) "
    r"outs\((?P<start>%\S+) : (?P<wide>tensor<\d+xf32>)\) -> tensor<\d+xf32>(?P<location>.*)$"
)

_SPELLED = """\
    %zero_{at} = arith.constant 0.0 : f32
    %none_{at} = arith.constant 0.0 : bf16
    %like_row_{at} = tensor.empty() : tensor<{sum}xf32>
    %row_{at} = linalg.generic {{
        indexing_maps = [affine_map<(k) -> (k)>, affine_map<(k) -> (k)>], iterator_types = ["parallel"]
      }} ins({row} : {narrow}) outs(%like_row_{at} : tensor<{sum}xf32>) {{
    ^bb0(%in: bf16, %out: f32):
      %by = arith.constant 16 : i32
      %raw = arith.bitcast %in : bf16 to i16
      %low = arith.extui %raw : i16 to i32
      %high = arith.shli %low, %by : i32
      %wide = arith.bitcast %high : i32 to f32
      linalg.yield %wide : f32
    }} -> tensor<{sum}xf32>{location}
    %like_strips_{at} = tensor.empty() : tensor<{strips}x{sum}x{strip}xbf16>
    %strips_{at} = linalg.pack {weight} {padding}outer_dims_perm = [1, 0] inner_dims_pos = [1]
      inner_tiles = [{strip}] into %like_strips_{at} : {matrix}
      -> tensor<{strips}x{sum}x{strip}xbf16>{location}
    %like_sums_{at} = tensor.empty() : tensor<{strips}x{strip}xf32>
    %zeros_{at} = linalg.fill ins(%zero_{at} : f32) outs(%like_sums_{at} : tensor<{strips}x{strip}xf32>)
      -> tensor<{strips}x{strip}xf32>{location}
    %sums_{at} = linalg.generic {{
        indexing_maps = [affine_map<(b, n, k) -> (k)>, affine_map<(b, n, k) -> (b, k, n)>,
                         affine_map<(b, n, k) -> (b, n)>],
        iterator_types = ["parallel", "parallel", "reduction"]
      }} ins(%row_{at}, %strips_{at} : tensor<{sum}xf32>, tensor<{strips}x{sum}x{strip}xbf16>)
      outs(%zeros_{at} : tensor<{strips}x{strip}xf32>) attrs = {{
        compilation_info = #iree_codegen.compilation_info<
          lowering_config = #iree_cpu.lowering_config<
            distribution = [{share}, {strip}, 0], vector_common_parallel = [{beside}, {strip}, 0],
            vector_reduction = [0, 0, 1]>,
          translation_info = #iree_codegen.translation_info<
            pipeline = #iree_cpu.pipeline<DoubleTilingExpert>>>
      }} {{
    ^bb0(%in: f32, %narrow: bf16, %out: f32):
      %by = arith.constant 16 : i32
      %raw = arith.bitcast %narrow : bf16 to i16
      %low = arith.extui %raw : i16 to i32
      %high = arith.shli %low, %by : i32
      %wide = arith.bitcast %high : i32 to f32
      %product = arith.mulf %in, %wide : f32
      %sum = arith.addf %out, %product : f32
      linalg.yield %sum : f32
    }} -> tensor<{strips}x{strip}xf32>{location}
"""


def rows_in_strips(text: str) -> str:
    """The converted module with its products of a row with a matrix, both of bfloat16, spelled for speed."""
    lines = []
    for at, line in enumerate(text.splitlines()):
        found = _PRODUCT.match(line)
        lines.append(line if found is None else _spelled(found, at))
    return "\n".join(lines) + "\n"


def _spelled(found: re.Match[str], at: int) -> str:
    parts = found.groupdict()
    columns = int(parts["columns"])
    strips = -(-columns // _STRIP)
    beside = next(count for count in (_BESIDE, 2, 1) if strips % count == 0)
    parts |= {
        "at": at, "strips": strips, "strip": _STRIP, "beside": beside, "share": min(_SHARE, strips),
        "padding": "" if columns % _STRIP == 0 else f"padding_value(%none_{at} : bf16) ",
    }  # fmt: skip
    spelled = _SPELLED.format(**parts)
    result, whole = parts["result"], f"tensor<{strips * _STRIP}xf32>"
    name = f"%whole_{at}" if columns % _STRIP else result
    spelled += (
        f"    {name} = tensor.collapse_shape %sums_{at} [[0, 1]] : tensor<{strips}x{_STRIP}xf32> into {whole}"
    )
    if columns % _STRIP:
        cut = f"{name}[0] [{columns}] [1] : {whole} to {parts['wide']}"
        spelled += f"\n    {result} = tensor.extract_slice {cut}"
    return spelled
