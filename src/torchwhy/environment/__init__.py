"""`torchwhy env`: the installation judged. Facts are gathered live (`gather.py`), plain from there on, and judged (`judge.py`).

Only `ask_torch.py` imports torch, and it runs in a process of its own, so that an import that crashes the interpreter is a fact like any other.
"""
