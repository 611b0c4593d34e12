"""A registrar on a Unix socket that tells of a made-up cluster: forty nodes, a hundred images, registrations that go
on while it is looked at, and, as long as it is hostile, names and texts that try to break the page."""

import datetime
import http.server
import json
import socketserver
import threading
import urllib.parse

NOW = datetime.datetime.now(datetime.timezone.utc)
MIB = 1 << 20
NAMES = ["alma9", "alpine3.20", "debian12", "debian13", "fedora42", "nixos25.05", "opensuse15.6", "rocky9", "ubuntu24.04", "void"]
VARIANTS = ["", "-docker", "-gitlab-runner", "-k3s", "-nginx", "-php8", "-postgresql16", "-python", "-redis", "-slurm"]
HOSTILE = "<img src=x onerror=\"document.title='broken'\"> & <b>bold</b>"
LONG = "a-name-that-is-as-long-as-names-may-be-and-has-few-places-to-br"
BLUE_SCREEN = "/srv/images/windows-11.raw did not boot (boot 1): the guest stopped at a blue screen"


def ago(**before):
    return NOW - datetime.timedelta(**before)


def text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def snapshot(number, taken):
    return f"bs-{number:06}-{taken.strftime('%Y%m%dT%H%M%SZ')}"


def images():
    made = []
    for number, (variant, name) in enumerate((v, n) for v in VARIANTS for n in NAMES):
        taken = ago(hours=6 * (100 - number))
        # The first of a kind adds all it has, a variant of it little.
        cache = (42 + 7 * (number % 10)) * MIB
        added = cache * 6 // 10 if variant == "" else (3 + number % 7) * MIB
        made.append({"name": name + variant, "taken": taken, "number": number + 1, "cache": cache, "added": added})
    made[93]["name"] = "windows-server-2025-datacenter-core-with-iis-and-dotnet"
    return made


IMAGES = images()


def image_view(image):
    low = image["number"] % 33 == 0
    boot = {"seconds": 41.5, "base_bytes": image["cache"], "new_clusters": 9, "signal": "login-prompt"}
    return {
        "manifest": {
            "version": 1, "name": image["name"],
            "source": {"path": f"/srv/images/{image['name']}.raw", "format": "raw", "virtual_size_bytes": 8 << 30,
                       "identity": {"size_bytes": 8 << 30, "mtime_ns": 1, "sample_digest": "00"}},
            "cache": {"bytes": image["cache"], "cluster_bytes": 65536, "data_clusters": 700, "zero_clusters": 2},
            "boots": [boot] if low else [boot, boot | {"new_clusters": 0}],
            "confidence": "low" if low else "high", "accelerator": "kvm", "registered": text(image["taken"]),
        },
        "snapshot": snapshot(image["number"], image["taken"]),
    }


def node(number, **other):
    newest = IMAGES[-1]
    return {"name": f"compute-{number:02}", "snapshot": snapshot(newest["number"], newest["taken"]), "lag": 0,
            "last_contact": text(ago(seconds=number % 9)), "version": "0.1.0", "problem": None} | other


NODES = [node(number) for number in range(1, 37)] + [
    node(37, lag=3), node(38, lag=12, problem="the pool tank is 97 % full; free some space"),
    node(39, expired=True, lag=41, last_contact=text(ago(days=9)), snapshot=snapshot(59, IMAGES[58]["taken"])),
]
HOSTILE_NODES = [
    node(40, name=LONG, lag=1), node(41, lag=None, snapshot=None, version="<b>9</b>", problem=HOSTILE),
]


def job(number, name, **other):
    return {"id": number, "name": name, "source": f"/srv/images/{name}.raw", "seq": 1, "step": "publish", "progress": {},
            "submitted": text(ago(minutes=number % 50)), "outcome": None,
            "step_seconds": [["inspect", 0.4], ["capture", 61 + number * 37 % 83]]} | other


def done(image):
    outcome = {"result": "registered", "snapshot": snapshot(image["number"], image["taken"]), "boots": 3,
               "delta_bytes": image["added"], "cache_bytes": image["cache"]}
    return job(image["number"], image["name"], submitted=text(image["taken"]), outcome=outcome)


class Cluster:
    """What changes while it is looked at."""

    def __init__(self):
        self.asked = 0
        self.is_hostile = True

    def nodes(self):
        return NODES + HOSTILE_NODES if self.is_hostile else NODES

    def jobs(self):
        self.asked += 1
        boot = 1 + min(4, self.asked // 3)
        lines = ["[  OK  ] Started systemd-udevd", "[  OK  ] Reached target network", "debian13 login:"]
        if self.is_hostile:
            lines.append(HOSTILE)
        under_way = [
            job(102, "debian13-ceph", step="capture", step_seconds=[["inspect", 0.4]],
                progress={"boot": boot, "clusters": 900 + 40 * self.asked, "bytes": (900 + 40 * self.asked) << 16,
                          "console_line": lines[self.asked % len(lines)]}),
            job(103, "rocky9-ceph", step="import", progress={"bytes": 30 * MIB, "total_bytes": 61 * MIB}),
            job(104, "fedora42-ceph", step="capture", step_seconds=[["inspect", 0.4]], progress={"waiting": "for another capture to end; 2 run at once"}),
        ]
        failed = job(101, "windows-11", outcome={"result": "failed", "step": "capture", "kind": "permanent",
                     "error": BLUE_SCREEN})
        return [done(image) for image in IMAGES] + [failed] + under_way

    def status(self):
        grown = self.asked * 12 * MIB
        newest = IMAGES[-1]
        return {"version": "0.1.0", "zfs": "open-zfs", "images": len(IMAGES), "snapshots": 100, "jobs": 3,
                "snapshot": snapshot(newest["number"], newest["taken"]), "delta_bytes": 612 * MIB,
                "usage": {"logical_bytes": 5400 * MIB + 5 * grown, "used_bytes": 990 * MIB + grown,
                          "available_bytes": 60 << 30, "dedup_ratio": 2.4 + self.asked / 60, "compress_ratio": 1.97,
                          "dedup_table": {"bytes": 14 * MIB + grown // 40, "quota_bytes": 32 * MIB}}}

    def answer(self, path, query):
        if path == "/v1/images":
            after, most = query.get("after", [""])[0], int(query.get("limit", ["1000"])[0])
            views = sorted((image_view(image) for image in IMAGES), key=lambda view: view["manifest"]["name"])
            return [view for view in views if view["manifest"]["name"] > after][:most]
        return {"/v1/status": self.status, "/v1/jobs": self.jobs, "/v1/nodes": self.nodes}[path]()


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def handler(cluster):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            at = urllib.parse.urlsplit(self.path)
            body = json.dumps(cluster.answer(at.path, urllib.parse.parse_qs(at.query))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

        def address_string(self):
            return "socket"

    return Handler


def serve(socket):
    """Serves on this path until the program ends; returns the cluster that it tells of."""
    cluster = Cluster()
    server = Server(str(socket), handler(cluster))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return cluster


if __name__ == "__main__":
    import sys

    calm = Cluster()
    calm.is_hostile = "--hostile" in sys.argv
    Server(sys.argv[1], handler(calm)).serve_forever()
