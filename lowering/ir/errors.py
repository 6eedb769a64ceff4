"""The family of errors: what a user can act on. Its members live with the layers that raise them."""

from __future__ import annotations


class BridgeError(Exception):
    """What Bridge refuses or cannot do, in one sentence: what, where, what to do.

    The command line prints it and exits with status 1. Anything else that is raised is a bug.
    """
