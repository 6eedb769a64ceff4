"""Integers as bfloat16 on IREE, spelled in what every processor has.

Where the processor has no instruction for bfloat16, IREE's code for such a conversion calls a function of a
compiler's run-time library, `__truncsfbf2`, which nothing links. It folds a conversion by way of float32 back
into one, so the second rounding is spelled in bits. Eager rounds twice too.
"""

from __future__ import annotations

import re

_CONVERSION = re.compile(
    r"^(?P<indent> *)%(?P<name>\S+) = arith\.(?P<how>sitofp|uitofp) (?P<operand>%\S+)"
    r" : (?P<given>i\d+) to bf16(?P<location>.*)$"
)

# float32 to the nearest bfloat16, of two the even one. What was an integer is finite.
_STEPS = """\
{i}%wide_{n} = arith.{how} {operand} : {given} to f32{at}
{i}%bits_{n} = arith.bitcast %wide_{n} : f32 to i32{at}
{i}%by_{n} = arith.constant 16 : i32{at}
{i}%one_{n} = arith.constant 1 : i32{at}
{i}%half_{n} = arith.constant 32767 : i32{at}
{i}%last_{n} = arith.shrui %bits_{n}, %by_{n} : i32{at}
{i}%odd_{n} = arith.andi %last_{n}, %one_{n} : i32{at}
{i}%near_{n} = arith.addi %bits_{n}, %half_{n} : i32{at}
{i}%even_{n} = arith.addi %near_{n}, %odd_{n} : i32{at}
{i}%high_{n} = arith.shrui %even_{n}, %by_{n} : i32{at}
{i}%kept_{n} = arith.trunci %high_{n} : i32 to i16{at}
{i}%{n} = arith.bitcast %kept_{n} : i16 to bf16{at}"""


def spell_out_casts(text: str) -> str:
    """The converted module with each integer's conversion to bfloat16 as a rounding of bits."""
    return "\n".join(map(_line, text.splitlines())) + "\n"


def _line(line: str) -> str:
    found = _CONVERSION.match(line)
    if found is None:
        return line
    how, operand, given = found["how"], found["operand"], found["given"]
    return _STEPS.format(
        i=found["indent"], n=found["name"], how=how, operand=operand, given=given, at=found["location"]
    )
