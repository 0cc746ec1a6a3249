"""What is known about Datashare's task records."""
