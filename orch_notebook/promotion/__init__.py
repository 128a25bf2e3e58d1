"""How a notebook becomes something that runs by itself."""
