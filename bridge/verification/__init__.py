"""Verification: the results of a program on engines and on eager, and their differences."""
