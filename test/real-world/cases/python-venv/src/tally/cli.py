import collections
import os
import sys

from . import __version__


def main() -> int:
    counts = collections.Counter(sys.argv[1:])
    print(f"tally {__version__} uid={os.getuid()} venv={sys.prefix != sys.base_prefix}")
    for word, n in sorted(counts.items()):
        print(f"{word}: {n}")
    return 0 if counts else 2
