"""What the tests of several packages share: clients, upstreams, databases and processes that a test can break."""
