"""Real records of every generation, to fill a sandbox with."""
