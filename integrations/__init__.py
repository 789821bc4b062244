"""The GlobeCo services around this one, as clients, and a simulator of all five."""
