"""The calls and commands of docs/reference/capabilities.md, each with a run of it on a tiny model."""
