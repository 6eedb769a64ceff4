"""Joining and splitting: cat, stack, chunk, split, unbind."""
