"""The API document: its values, answers and examples, and the pages that show it."""
