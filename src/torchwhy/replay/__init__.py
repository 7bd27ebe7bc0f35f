"""Child runs: a piece of the program run once more where it can do no harm, and the outcome as data."""
