"""Teachers: one algorithm a file."""
