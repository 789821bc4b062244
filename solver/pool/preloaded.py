"""The last module that the fork server imports; nothing else may import it."""

import gc

# A collection would write to the pages of what has been imported, and so copy them into every solver process.
gc.collect()
gc.freeze()
