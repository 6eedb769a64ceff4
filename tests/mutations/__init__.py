"""Small edits of the product that its fast tests must notice: `python -m tests.mutations`."""
