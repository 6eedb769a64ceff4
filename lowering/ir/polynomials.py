"""Integer expressions over symbols in one normal form: two that are equal as polynomials are the same.

A division that leaves a rest, a maximum or a minimum is one opaque factor. Its operands are in normal form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowering.ir.symbols import Apply, Dim, Symbol, Term, to_text

# Coefficients by monomial, which is a sorted tuple of symbols and opaque operations.
Polynomial = dict[tuple[Term, ...], int | float]

_DIVISIONS = frozenset({"FloorDiv", "CleanDiv"})
_MODULI = frozenset({"Mod", "PythonMod"})
_CHOICES = frozenset({"Max", "Min"})
_MAX_POWER = 8
# No size is greater.
_GREATEST = 2**63 - 1


def polynomial(term: Term) -> Polynomial:
    """A term as a polynomial."""
    if not isinstance(term, Apply):
        return {(term,): 1} if isinstance(term, Symbol) else {(): term} if term else {}
    if term.op == "Add":
        total: Polynomial = {}
        for arg in term.args:
            total = added(total, polynomial(arg))
        return total
    if term.op == "Mul":
        product: Polynomial = {(): 1}
        for arg in term.args:
            product = multiplied(product, polynomial(arg))
        return product
    if (
        term.op in ("Pow", "PowByNatural")
        and isinstance(term.args[1], int)
        and 0 <= term.args[1] <= _MAX_POWER
    ):
        return polynomial(Apply("Mul", (term.args[0],) * term.args[1]))
    if term.op in _CHOICES:
        return _chosen(term.op, term.args)
    if len(term.args) == 2:
        left, right = (polynomial(arg) for arg in term.args)
        if term.op in _DIVISIONS:
            return floor_divided(left, right)
        if term.op == "CeilDiv":
            return scaled(floor_divided(scaled(left, -1), right), -1)
        if term.op in _MODULI:
            return added(left, multiplied(floor_divided(left, right), right), -1)
    return {(term,): 1}


def normal(term: Term) -> Term:
    """The one form of all terms that are equal as polynomials."""
    return term_of(polynomial(term)) if isinstance(term, Apply) else term


def added(left: Polynomial, right: Mapping[tuple[Term, ...], int | float], factor: int = 1) -> Polynomial:
    """`left + factor * right`."""
    total = dict(left)
    for monomial, coefficient in right.items():
        total[monomial] = total.get(monomial, 0) + factor * coefficient
    return {monomial: coefficient for monomial, coefficient in total.items() if coefficient}


def scaled(value: Polynomial, factor: int) -> Polynomial:
    """`factor * value`."""
    return added({}, value, factor)


def multiplied(left: Polynomial, right: Polynomial) -> Polynomial:
    """`left * right`."""
    result: Polynomial = {}
    for a, x in left.items():
        for b, y in right.items():
            monomial = tuple(sorted((*a, *b), key=to_text))
            result[monomial] = result.get(monomial, 0) + x * y
    return {monomial: coefficient for monomial, coefficient in result.items() if coefficient}


def floor_divided(left: Polynomial, right: Polynomial) -> Polynomial:
    """`left // right`, rounded down: without a division where `right` is one term that divides all of `left`.

    Multiples of the divisor leave the division: `(4*s + 6) // 4` is `s + 1 + 2 // 4`, and `(s*t + 1) // t`
    is `s + 1 // t`. And `(s // 4 + 1) // 2` is `(s + 4) // 8`.
    """
    if not left:
        return {}
    exact = quotient(left, right)
    if exact is not None:
        return exact
    divisor = right.get(())
    if set(right) == {()} and isinstance(divisor, int) and divisor > 0:
        whole = {m: c // divisor for m, c in left.items() if m and c % divisor == 0}
        rest = {m: c for m, c in left.items() if m and c % divisor}
        constant = left.get((), 0)
        whole = added(whole, {(): constant // divisor})
        rest = added(rest, {(): constant % divisor})
        if not any(rest):
            return whole
        inner = _of_division(rest, divisor)
        if inner is not None:
            return added(whole, inner)
        return added(whole, {(Apply("FloorDiv", (term_of(rest), divisor)),): 1})
    whole, rest = _multiples(left, right)
    return added(whole, {(Apply("FloorDiv", (term_of(rest), term_of(right))),): 1})


def _multiples(left: Polynomial, right: Polynomial) -> tuple[Polynomial, Polynomial]:
    """How often `right`, if one monomial, is in those of `left` that it divides, and the rest of `left`."""
    parts = {monomial: quotient({monomial: factor}, right) for monomial, factor in left.items()}
    rest = {monomial: factor for monomial, factor in left.items() if parts[monomial] is None}
    whole: Polynomial = {}
    for part in parts.values():
        whole = added(whole, part or {})
    return whole, rest


def _of_division(value: Polynomial, divisor: int) -> Polynomial | None:
    """`(x // k + c) // divisor` as one division."""
    factors = [(monomial, factor) for monomial, factor in value.items() if monomial]
    if len(factors) != 1 or factors[0][1] != 1 or len(factors[0][0]) != 1:
        return None
    ((division,), _) = factors[0]
    if not isinstance(division, Apply) or division.op not in _DIVISIONS:
        return None
    dividend, inner = division.args
    if not isinstance(inner, int) or inner <= 0:
        return None
    return floor_divided(added(polynomial(dividend), {(): value.get((), 0)}, inner), {(): inner * divisor})


def _chosen(op: str, args: Sequence[Term]) -> Polynomial:
    """The greatest or the least of some terms, without those that another beats by a constant."""
    sign = 1 if op == "Max" else -1
    kept: list[Polynomial] = []
    for arg in sorted(map(normal, args), key=lambda arg: arg == _GREATEST):
        if op == "Min" and arg == _GREATEST and kept:
            continue
        ahead = [_constant(added(polynomial(arg), other, -1)) for other in kept]
        if not any(by is not None and by * sign <= 0 for by in ahead):
            kept = [other for other, by in zip(kept, ahead, strict=True) if by is None] + [polynomial(arg)]
    if len(kept) == 1:
        return kept[0]
    return {(Apply(op, tuple(sorted(map(_term, kept), key=to_text))),): 1}


def _constant(value: Polynomial) -> int | float | None:
    return value.get((), 0) if not any(value) else None


def quotient(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """`left / right` where `right` is one monomial that divides each of `left`'s."""
    if len(right) != 1:
        return None
    ((factors, divisor),) = right.items()
    result: Polynomial = {}
    for monomial, coefficient in left.items():
        rest = list(monomial)
        for factor in factors:
            if factor not in rest:
                return None
            rest.remove(factor)
        if coefficient % divisor:
            return None
        result[tuple(rest)] = coefficient // divisor
    return result


def term_of(value: Polynomial) -> Dim:
    """A polynomial with whole coefficients as a term, in an order that depends on nothing else."""
    only = _term(value)
    assert not isinstance(only, (float, bool))
    return only


def _term(value: Polynomial) -> Term:
    terms: list[Term] = []
    for monomial, coefficient in sorted(value.items(), key=_text_of_monomial):
        factors = monomial if coefficient == 1 and monomial else (coefficient, *monomial)
        terms.append(factors[0] if len(factors) == 1 else Apply("Mul", factors))
    if len(terms) > 1:
        return Apply("Add", tuple(terms))
    return terms[0] if terms else 0


def _text_of_monomial(item: tuple[Sequence[Term], int | float]) -> list[str]:
    return [to_text(term) for term in item[0]]
