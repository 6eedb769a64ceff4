"""A program as one HTML file that needs no network: what it is, its graph, and what was found about it."""
