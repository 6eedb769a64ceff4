"""Higher-order operators: cond, while_loop, map, scan."""
