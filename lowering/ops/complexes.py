"""Complex tensors: parts, conjugates, views as reals."""
