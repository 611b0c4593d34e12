"""check_board.py BOARD ALERTS PROMETHEUS: the expressions of the board and of the alert rules, each against promtool and
a Prometheus that scrapes bootstash as prometheus.yml says."""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

DEADLINE_SECONDS = 120
METRIC = re.compile(r"\b(?:bootstash|process)_[a-z0-9_]+\b")
LEGEND_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
ROLES = {"registrar", "agent"}
# What the fleet has nothing of, and why; all else is answered with values.
WITHOUT_VALUES = {
    "Deduplication table": "a series of its quota is there only where there is one",
    "Since last collection": "nobody collected, as the daemons have just started",
}


def expressions(board):
    """Title, expression and legend of each query."""
    panels = board["panels"] + [inner for row in board["panels"] for inner in row.get("panels") or []]
    for panel in panels:
        for target in panel.get("targets") or []:
            yield panel["title"], target["expr"].replace("$instance", ".*"), target.get("legendFormat") or ""


def ask(prometheus, path, **query):
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def wait_for(what, condition):
    """Until it says nothing against it."""
    end = time.monotonic() + DEADLINE_SECONDS
    while against := condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: {against}")
        time.sleep(1)


def not_scraped(prometheus):
    targets = ask(prometheus, "targets")["activeTargets"]
    return [f"{t['scrapeUrl']} {t['health']} {t['lastError']}" for t in targets if t["health"] != "up"] or not targets


def check_by_promtool(queries):
    rules = [{"record": f"board:{number}", "expr": expression} for number, (_, expression, _) in enumerate(queries)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"groups": [{"name": "board", "rules": rules}]}, file)
        file.flush()
        subprocess.run(["promtool", "check", "rules", file.name], check=True, stdout=subprocess.DEVNULL)


def check_names(prometheus, named):
    served = {series["__name__"] for series in ask(prometheus, "series", **{"match[]": '{job="bootstash"}'})}
    for title, expression in named:
        for name in METRIC.findall(expression):
            if name not in served:
                sys.exit(f"{title}: nobody serves {name}")


def check_labels_of_targets(prometheus):
    """The job's name and the roles are what board and rules ask for."""
    for series in ask(prometheus, "series", **{"match[]": '{__name__=~"bootstash_.*|process_.*"}'}):
        if series["job"] != "bootstash" or series.get("role") not in ROLES:
            sys.exit(f"a series of another job or role: {series}")
        daemon = re.match(r"bootstash_(registrar|agent)_", series["__name__"])
        if daemon and daemon[1] != series["role"]:
            sys.exit(f"a series of the other daemon: {series}")


def unanswered(prometheus, queries):
    """Titles of the queries without values; increases and rates have some from the second scrape on."""
    empty = []
    for title, expression, legend in queries:
        result = ask(prometheus, "query", query=expression)["result"]
        for series in result:
            if missing := set(LEGEND_LABEL.findall(legend)) - set(series["metric"]):
                sys.exit(f"{title}: its legend names {missing}, which {series['metric']} has not")
        if not result:
            empty.append(title)
    return [title for title in empty if title not in WITHOUT_VALUES]


def main():
    board, prometheus = json.load(open(sys.argv[1])), sys.argv[3]
    queries = list(expressions(board))
    check_by_promtool(queries)
    wait_for("not scraped", lambda: not_scraped(prometheus))
    rules = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    in_file = open(sys.argv[2]).read().count("- alert: ")
    if not rules or len(rules) != in_file:
        sys.exit(f"{len(rules)} of {in_file} alert rules are loaded")
    check_names(prometheus, [(title, expression) for title, expression, _ in queries])
    check_names(prometheus, [(rule["name"], rule["query"]) for rule in rules])
    check_labels_of_targets(prometheus)
    wait_for("without values", lambda: unanswered(prometheus, queries))
    wait_for("rules that fail", lambda: [rule for rule in ask_rules(prometheus) if rule["health"] != "ok"])
    print(f"{len(queries)} expressions of the board and {len(rules)} rules parse, name what is served, and are answered")


def ask_rules(prometheus):
    return [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]


if __name__ == "__main__":
    main()
