"""The command line `rd360`: one module a noun, imported only when it is called."""
