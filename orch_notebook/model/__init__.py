"""What the words mean: pure values and functions, no clock, thread, file or environment."""
