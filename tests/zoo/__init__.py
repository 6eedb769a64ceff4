"""The zoo as a tool: models taken through all of Bridge, and reports of them (`python -m tests`)."""
