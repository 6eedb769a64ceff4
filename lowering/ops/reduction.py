"""Reductions along axes: sums, means, extrema, variances, norms."""
