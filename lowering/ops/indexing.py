"""Reading by index: index, gather, index_select, embedding, masked reads."""
