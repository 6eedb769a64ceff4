"""Profiles as tables, JSON and traces: `compiled.profile(...)` gives the profile.

>>> from bridge.profiling import chrome_trace, table
>>> print(table(compiled.profile(x)))
"""

from __future__ import annotations

from bridge.profiling.calls import Measured, measure
from bridge.profiling.peak import Peak, measured_peak
from bridge.profiling.rows import Row, kernels, parts, single
from bridge.profiling.tables import as_json, table
from bridge.profiling.traces import chrome_trace

__all__ = [
    "Measured",
    "Peak",
    "Row",
    "as_json",
    "chrome_trace",
    "kernels",
    "measure",
    "measured_peak",
    "parts",
    "single",
    "table",
]
