"""The live recorder: sees torch and the running program, and changes nothing."""
