"""Verification: what a program shows on engines and on eager, and where the two differ."""
