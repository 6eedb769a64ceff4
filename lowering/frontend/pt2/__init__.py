"""Reading `.pt2` files: `read(path)` gives a `Program` and its `Weights`, without importing torch."""

from lowering.frontend.errors import ArchiveError
from lowering.frontend.pt2.archive import model_names
from lowering.frontend.pt2.reader import read, read_document

__all__ = ["ArchiveError", "model_names", "read", "read_document"]
