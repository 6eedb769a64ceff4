"""Sorting and selection: sort, topk, argsort, kthvalue, median, searchsorted."""
