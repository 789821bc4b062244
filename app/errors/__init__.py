"""Error codes, their HTTP envelope, and the translation of lower packages' exceptions into them."""
