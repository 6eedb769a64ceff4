"""What Bridge raises for a user's mistake or a file's: each message is one sentence that can stand alone."""

from __future__ import annotations


class BridgeError(Exception):
    """Something the user can act on. The command line prints the message and exits with status 1."""


class ArtifactError(BridgeError):
    """An artifact is missing, damaged, or of a kind this version does not read."""


class UsageError(BridgeError):
    """What was asked for does not exist or does not fit together."""
