"""A rebalance from the model to the stored record, and its repetition."""
