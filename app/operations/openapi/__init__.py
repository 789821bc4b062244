"""The API document with its examples, and the pages that show it."""
