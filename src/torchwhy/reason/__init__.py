"""Pure questions to the evidence and to the program's text. Nothing here imports torch or runs user code."""
