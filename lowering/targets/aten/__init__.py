"""ATen as a target: passes over the nodes of a segment, and the routine that runs them."""
