"""Views and rearrangements: the data stays, the shape moves."""
