"""How each kind of store is scanned and changed. Knows no system."""
