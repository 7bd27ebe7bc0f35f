import sys
import traceback

try:
    {}["missing"]
except KeyError:
    traceback.print_exc()
    sys.exit(4)
