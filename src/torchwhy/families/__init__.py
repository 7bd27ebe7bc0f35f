"""One file per kind of error; `_template.py` is the one to copy. Found by walking this folder."""
