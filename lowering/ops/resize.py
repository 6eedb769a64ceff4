"""Resizing: nearest, linear, cubic, grid sampling, pixel shuffles."""
