import pickle
from dataclasses import dataclass


@dataclass
class Point:
    x: int


print(Point.__module__, pickle.loads(pickle.dumps(Point(3))), pickle.dumps(Point))
