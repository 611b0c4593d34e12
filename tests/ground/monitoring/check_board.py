"""check_board.py BOARD PROMETHEUS: the board's expressions, each against promtool and a Prometheus that scrapes bootstash."""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

DEADLINE_SECONDS = 120
METRIC = re.compile(r"\b(?:bootstash|process)_[a-z0-9_]+")


def expressions(board):
    panels = board["panels"] + [inner for row in board["panels"] for inner in row.get("panels") or []]
    for panel in panels:
        for target in panel.get("targets") or []:
            yield panel["title"], target["expr"].replace("$instance", ".*")


def ask(prometheus, path, **query):
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def wait_until_scraped(prometheus):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        targets = ask(prometheus, "targets")["activeTargets"]
        if targets and all(target["health"] == "up" for target in targets):
            return len(targets)
        if time.monotonic() > end:
            sys.exit("not scraped: " + "; ".join(f"{t['scrapeUrl']} {t['health']} {t['lastError']}" for t in targets))
        time.sleep(1)


def check_by_promtool(all_expressions):
    rules = [{"record": f"board:{number}", "expr": expression} for number, (_, expression) in enumerate(all_expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"groups": [{"name": "board", "rules": rules}]}, file)
        file.flush()
        subprocess.run(["promtool", "check", "rules", file.name], check=True, stdout=subprocess.DEVNULL)


def check_names(prometheus, all_expressions):
    served = {series["__name__"] for series in ask(prometheus, "series", **{"match[]": '{job="bootstash"}'})}
    described = set(ask(prometheus, "metadata"))
    for title, expression in all_expressions:
        for name in METRIC.findall(expression):
            # A family whose labels come with the first event is described before it has a sample.
            family = re.sub(r"_(total|bucket|sum|count)$", "", name)
            if name not in served and not {name, family} & described:
                sys.exit(f"{title}: nobody serves {name}")


def main():
    board, prometheus = json.load(open(sys.argv[1])), sys.argv[2]
    all_expressions = list(expressions(board))
    check_by_promtool(all_expressions)
    targets = wait_until_scraped(prometheus)
    check_names(prometheus, all_expressions)
    answered = sum(bool(ask(prometheus, "query", query=expression)["result"]) for _, expression in all_expressions)
    print(f"{targets} targets up by TLS; {len(all_expressions)} expressions parse, name what is served, and are answered, "
          f"{answered} of them with values")
    rules = ask(prometheus, "rules")["groups"]
    broken = [rule for group in rules for rule in group["rules"] if rule.get("lastError")]
    if broken:
        sys.exit(f"rules that fail: {broken}")


if __name__ == "__main__":
    main()
