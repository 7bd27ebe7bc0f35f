"""A pasted traceback or a whole job log as evidence. Pure text: needs no torch, runs nothing; the program's files are read where they are at hand."""

from .read import BinaryText, Log, read_log

__all__ = ["BinaryText", "Log", "read_log"]
