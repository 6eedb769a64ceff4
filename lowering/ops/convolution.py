"""Convolutions: groups, dilation, stride, transposition."""
