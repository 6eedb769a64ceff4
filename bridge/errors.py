"""What Bridge raises for a user's mistake or a file's: each message is one sentence that can stand alone."""

from __future__ import annotations


class BridgeError(Exception):
    """Something the user can act on. The command line prints the message and exits with status 1."""


class ArtifactError(BridgeError):
    """An artifact is missing, damaged, or of a kind this version does not read."""


class UsageError(BridgeError):
    """What was asked for does not exist or does not fit together."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; others' messages run to pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
