"""From files in a data set's official layout to batches: adapters, decoding, cache, splits."""
