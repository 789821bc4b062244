"""What the solver and the whole service cost: each benchmark is a module, run by `./run bench NAME`."""
