"""Pooling: max, average, adaptive."""
