"""A program as a picture, folded to a size that a person reads: Mermaid, DOT, Model Explorer's JSON."""
