"""Load tests of a running service with Locust: its users, the profiles they run, and how a run is judged."""
