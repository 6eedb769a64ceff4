"""Tensors from nothing: fills, ranges, masks, identities."""
