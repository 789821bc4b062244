"""The rules of a model, and the changes that can be made to one."""
