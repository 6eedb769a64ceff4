"""Forms: the canonical module of a segment rewritten into what one engine runs fastest.

What is exported stays canonical. A form changes how a result is computed, never its type, and its value only
by the order of roundings. Each rewrite is an operation on StableHLO, so it serves every rule that emits it.
"""

from lowering.forms.form import FORMS, Form, form

__all__ = ["FORMS", "Form", "form"]
