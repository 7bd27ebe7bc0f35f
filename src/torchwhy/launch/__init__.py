"""Starts the program as `python` would."""
