"""What does things: time, storage, threads, the engine.  Knows no Jupyter."""
