"""check_docs.py METRICS...: the documents list every metric that these answers of /metrics have, and no others."""

import pathlib
import re
import sys

DAEMONS = ["bootstash_registrar", "bootstash_agent"]
# In backquotes, with or without labels; what begins with an ellipsis both daemons have.
NAMED = re.compile(r"`((?:bootstash_build|bootstash_registrar|bootstash_agent|process|…)_[a-z0-9_]+)(?:\{[a-z,_]+\})?`")


def served(path):
    types = re.findall(r"^# TYPE (\S+) ", pathlib.Path(path).read_text(), re.MULTILINE)
    if not types:
        sys.exit(f"{path} has no metrics")
    return set(types)


def documented():
    found = set()
    for path in pathlib.Path("docs").glob("*.md"):
        for name in NAMED.findall(path.read_text()):
            found |= {daemon + name[1:] for daemon in DAEMONS} if name.startswith("…") else {name}
    return found


def main():
    there, told = set().union(*map(served, sys.argv[1:])), documented()
    if missing := there - told:
        sys.exit(f"no document tells of {sorted(missing)}")
    if beyond := told - there:
        sys.exit(f"documents tell of {sorted(beyond)}, which nobody serves")
    print(f"the documents list all {len(there)} metrics")


if __name__ == "__main__":
    main()
