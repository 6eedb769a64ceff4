"""Traces of torch's, one at a time.

make_fx patches torch for the whole process while it runs, and two at once take each other's patches back.
"""

from __future__ import annotations

import threading

# Reentrant, since a registered decomposition may trace within its own trace.
TRACING = threading.RLock()
