"""Changes of dtype, copies, and values that are only renamed."""
