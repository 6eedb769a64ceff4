"""The matmul family: mm, bmm, matmul, linear, addmm, einsum."""
