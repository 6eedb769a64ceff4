"""Hostile files, artifacts, modules and values, tried in children that may crash or hang: `make fuzz`."""
