"""The processes under test: started, broken, healed, and found again when they should be gone."""
