"""Credentials in, a client out; one module per system."""
