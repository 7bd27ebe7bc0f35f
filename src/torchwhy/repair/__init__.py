"""Fixes put to the proof: the edit is applied, the program run in a child, and what comes out is compared."""
