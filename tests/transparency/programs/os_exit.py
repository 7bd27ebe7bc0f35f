import os

print("lost or not", flush=True)
os._exit(5)
