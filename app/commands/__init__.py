"""What the command line runs: the server, the demo, and the stack that demo and tests share."""
