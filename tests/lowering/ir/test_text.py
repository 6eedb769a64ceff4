"""The printed form of programs."""

from lowering.frontend.pt2 import read
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.text import print_type
from lowering.ir.types import Device, DType, Layout, ObjectType, SymKind, SymType, TensorType, TokenType
from lowering.passes.pipelines import canonical
from tests.lowering.ir.programs import FILES


def sample(name):
    return read(next(path for path in FILES if path.stem == name and path.parent.name == "torch-2.13.0"))


def test_a_write_through_a_view():
    program, weights = sample("view_mutation")
    assert str(canonical(weights).run(program)) == (
        """\
main(
  %x: f32[2, 3]  # user
  %y: f32[2, 3]  # user
) {
  %reshape: f32[6] = aten.reshape.default(self=%x, shape=[-1])  # make_pt2_samples.py:121
  %add_: f32[6] = aten.add_.Tensor [functional](self=%reshape, other=1)  # make_pt2_samples.py:121
  %reshape_2: f32[2, 3] = aten.reshape.default(self=%add_, shape=[2, 3])  # make_pt2_samples.py:121
  %add: f32[2, 3] = aten.add.Tensor(self=%reshape_2, other=%y)  # make_pt2_samples.py:123
  return (
    %reshape_2  # input_mutation x
    %add
  )
}
"""
    )


def test_nested_graphs():
    assert """\
    true_graph_0(%x: f32[4]) {
      %sin: f32[4] = aten.sin.default(self=%x)  # <eval_with_key>.36:6
      return (%sin)
    }
""" in str(sample("branch")[0])


def test_symbols_and_weights():
    text = str(sample("mlp_dynamic")[0])
    assert ") where s77 <= 64 (example 3) {\n" in text
    assert "  %p_net_0_weight: f32[16, 8]  # parameter net.0.weight\n" in text
    assert "%linear: f32[s77, 16] = aten.linear.default(" in text


def test_types():
    s0 = Symbol("s0")
    assert print_type(TensorType(DType.BFLOAT16, (2, s0), (s0, 1))) == "bf16[2, s0]"
    assert print_type(TensorType(DType.INT64, (3, 4), (1, 3), 2)) == "i64[3, 4; strides 1, 3; offset 2]"
    sparse = TensorType(DType.COMPLEX64, (), (), device=Device("cuda", 1), layout=Layout.SPARSE_COO)
    assert print_type(sparse) == "c64[] @ cuda:1 @ sparse_coo"
    assert print_type(TensorType(DType.FLOAT8_E4M3FN, (), ())) == "f8_e4m3fn[]"
    assert print_type(TensorType(DType.UINT8, (1,), (1,))) == "u8[1]"
    assert print_type(SymType(SymKind.INT, Apply("Mul", (2, s0)))) == "int(2*s0)"
    assert print_type(ObjectType("torch.classes.a.B")) == "object(torch.classes.a.B)"
    assert print_type(TokenType()) == "token"
