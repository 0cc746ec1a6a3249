"""What is known about stores and systems, and the one shape of every change."""
