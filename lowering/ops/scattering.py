"""Writing by index: scatter, index_put, index_copy, slice_scatter, masked_fill."""
