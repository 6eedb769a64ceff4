"""ATen as a target: passes over the nodes of a segment, and the routine that runs them."""

# Where the environment of a segment on ATen holds the list of what takes back its writes: no value's name.
UNDO = ""
