"""Writes board.json, the Grafana board of bootstash: `make board` runs it.

A panel is a line of the tables below: its title, its unit, what to make of it, and its expressions with their legends.
Expressions that are about nodes are narrowed by the board's variable `instance`.
"""

import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HERE = 'instance=~"$instance"'
# Without the job's name, any daemon that serves such a metric counts.
OURS = 'job="bootstash"'

# Title, unit, what it means, expression.
CLUSTER = [
    ("Nodes in step", "short", "Nodes that have the registrar's newest snapshot.",
     "count(bootstash_registrar_node_lag_snapshots == 0) or vector(0)"),
    ("Nodes behind", "short", "They are fetching or applying; for long, see their logs.",
     "count(bootstash_registrar_node_lag_snapshots > 0) or vector(0)"),
    ("Daemons down", "short", "Targets that Prometheus cannot scrape. VMs go on without their daemons.",
     f"count(up{{{OURS}}} == 0) or vector(0)"),
    ("Images", "short", "Images that are registered.", "count(bootstash_registrar_cache_bytes) or vector(0)"),
    ("Boot caches", "bytes", "All boot caches together, before deduplication and compression.",
     "sum(bootstash_registrar_cache_bytes) or vector(0)"),
    ("Low trust", "short", "Images whose boots did not show that the cache holds all that a boot reads: `bootstash images`.",
     "sum(bootstash_registrar_low_confidence_images) or vector(0)"),
]

# Title, unit, what it means, [(expression, legend)].
REGISTRAR = [
    ("Snapshots behind", "short", "By node; 0 is in step.",
     [("bootstash_registrar_node_lag_snapshots", "{{node}}")]),
    ("Since last contact", "s", "By node. After the window nothing is kept for it.",
     [("time() - bootstash_registrar_node_last_contact_timestamp_seconds", "{{node}}")]),
    ("Registrations an hour", "short", "That ended, by outcome, and how many are under way.",
     [("sum by (outcome) (increase(bootstash_registrar_registrations_total[1h]))", "{{outcome}}"),
      ("bootstash_registrar_jobs", "under way")]),
    ("Time by step", "s", "Of a registration, the median of a day. A capture boots the image several times.",
     [("histogram_quantile(0.5, sum by (le, step) (increase(bootstash_registrar_registration_seconds_bucket[1d])))",
       "{{step}}")]),
    ("Size of deltas", "bytes", "What a registration sends to each node: the median, and one of ten is larger than the other.",
     [("histogram_quantile(0.5, sum by (le) (increase(bootstash_registrar_delta_size_bytes_bucket[1d])))", "median"),
      ("histogram_quantile(0.9, sum by (le) (increase(bootstash_registrar_delta_size_bytes_bucket[1d])))", "p90")]),
    ("Delta files", "bytes", "Kept for nodes that come back within the window.",
     [("bootstash_registrar_delta_files_bytes", "{{instance}}")]),
    ("Identity conflicts", "short", "Nodes whose identity several hosts use, as after cloning a disk.",
     [("bootstash_registrar_node_identity_conflicts", "nodes")]),
]

NODES = [
    ("Time to apply a delta", "s", "To fetch and apply one, or to receive a whole volume: 95 of 100 take less.",
     [(f"histogram_quantile(0.95, sum by (le) (rate(bootstash_agent_apply_seconds_bucket{{{HERE}}}[1h])))", "p95")]),
    ("Failures an hour", "short", "Deltas that could not be fetched or applied, by kind; the agent tries again by itself.",
     [(f"sum by (kind) (increase(bootstash_agent_apply_failures_total{{{HERE}}}[1h]))", "{{kind}}")]),
    ("Whole volumes an hour", "short", "Received because a node was away for longer than the window.",
     [(f"sum(increase(bootstash_agent_resyncs_total{{{HERE}}}[1h]))", "resyncs")]),
    ("Overlays and views", "short", "Disks of VMs, snapshots mounted for them, and what should be there and is not.",
     [(f"sum(bootstash_agent_overlays{{{HERE}}})", "overlays"),
      (f"sum(bootstash_agent_views{{{HERE}}})", "views"),
      (f"sum(bootstash_agent_views_unmounted{{{HERE}}})", "views not mounted"),
      (f"sum(bootstash_agent_missing_overlays{{{HERE}}})", "missing overlays")]),
    ("Bases that changed", "short", "Image files that changed under overlays, whose VMs may read what was never on their disk.",
     [(f"sum(bootstash_agent_changed_bases{{{HERE}}})", "bases"),
      (f"sum(bootstash_agent_overlays_on_changed_bases{{{HERE}}})", "overlays")]),
    ("Since in step", "s", "By node, since it last knew that it has all there is.",
     [(f"time() - bootstash_agent_last_success_timestamp_seconds{{{HERE}}}", "{{instance}}")]),
]

NETWORK = [
    ("Where deltas come from", "Bps", "All that nodes applied, what of it came from peers, and what the registrar multicast.",
     [(f"sum(rate(bootstash_agent_delta_bytes_total{{{HERE}}}[5m]))", "all"),
      (f"sum(rate(bootstash_agent_peer_fetched_bytes_total{{{HERE}}}[5m]))", "from peers"),
      ("sum(rate(bootstash_registrar_multicast_sent_bytes_total[5m]))", "multicast")]),
    ("Served by the registrar", "Bps", "To nodes one by one, by kind.",
     [("sum by (kind) (rate(bootstash_registrar_served_bytes_total[5m]))", "{{kind}}")]),
    ("Multicast loss", "percentunit", "What nodes lost lately: 90 of 100 lost less. Those that lose most fetch by themselves.",
     [("bootstash_registrar_multicast_loss_ratio", "p90 of nodes")]),
]

ZFS = [
    ("Free in the pool", "bytes", "Below a tenth of the pool ZFS gets slow.",
     [(f"bootstash_agent_volume_available_bytes{{{HERE}}}", "{{instance}}"),
      ("bootstash_registrar_volume_available_bytes", "{{instance}} (registrar)")]),
    ("Deduplication", "short", "How many times the average block of the pool is used.",
     [(f"bootstash_agent_pool_dedup_ratio{{{HERE}}}", "{{instance}}"),
      ("bootstash_registrar_pool_dedup_ratio", "{{instance}} (registrar)")]),
    ("Deduplication table", "bytes", "On disk, and the size from which new blocks are not deduplicated; it should fit into memory.",
     [(f"bootstash_agent_pool_dedup_table_bytes{{{HERE}}}", "{{instance}}"),
      ("bootstash_registrar_pool_dedup_table_bytes", "{{instance}} (registrar)"),
      ("bootstash_registrar_pool_dedup_table_quota_bytes > 0", "{{instance}} (registrar), quota")]),
    ("ZFS does not answer", "s", "How long a call has waited; 0 is well.",
     [(f"bootstash_agent_zfs_unanswered_seconds{{{HERE}}}", "{{instance}}"),
      ("bootstash_registrar_zfs_unanswered_seconds", "{{instance}} (registrar)")]),
]

DAEMONS = [
    ("Memory", "bytes", "Resident, by daemon.", [(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}")]),
    ("CPU", "percentunit", "Of one core, by daemon.",
     [(f"rate(process_cpu_seconds_total{{{OURS}}}[5m])", "{{instance}}")]),
    ("Open files", "percentunit", "Of those that the unit allows (LimitNOFILE), by daemon.",
     [(f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}", "{{instance}}")]),
    ("Certificates end in", "s", "Renewed after two thirds of their time; one that ends shuts its daemon out.",
     [(f"bootstash_agent_certificate_not_after_timestamp_seconds{{{HERE}}} - time()", "{{instance}}"),
      ("bootstash_registrar_certificate_not_after_timestamp_seconds - time()", "{{instance}} (registrar)")]),
    ("Since last collection", "s", "Of old snapshots, daily by bootstash-gc.timer; none since the daemon started is not shown.",
     [(f"time() - (bootstash_agent_last_collection_timestamp_seconds{{{HERE}}} > 0)", "{{instance}}"),
      ("time() - (bootstash_registrar_last_collection_timestamp_seconds > 0)", "{{instance}} (registrar)")]),
    ("Downloads under way", "short", "From the registrar, by kind; beyond its limit nodes wait or use peers.",
     [("bootstash_registrar_downloads", "{{kind}}"), ("bootstash_registrar_downloads_limit", "limit")]),
    ("Versions", "short", "How many daemons run which.",
     [(f"count by (daemon, version) (bootstash_build_info{{{OURS}}})", "{{daemon}} {{version}}")]),
]


def query(expression, legend, number=0):
    return (prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)
            .ref_id(chr(ord("A") + number)))


def figure(title, unit, meaning, expression):
    return (stat.Panel().title(title).unit(unit).description(meaning).datasource(SOURCE).height(4).span(4)
            .with_target(query(expression, title).instant()))


def graph(title, unit, meaning, queries):
    panel = timeseries.Panel().title(title).unit(unit).description(meaning).datasource(SOURCE)
    panel = panel.height(8).span(8).min(0)
    for number, (expression, legend) in enumerate(queries):
        panel = panel.with_target(query(expression, legend, number).range())
    return panel


def variables(board):
    instances = 'label_values(bootstash_build_info{daemon="agent"}, instance)'
    return (board
            .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Data source"))
            .with_variable(dashboard.QueryVariable("instance").label("Node").datasource(SOURCE).query(instances)
                           .multi(True).include_all(True)))


def board():
    made = variables(dashboard.Dashboard("bootstash").uid("bootstash").tags(["bootstash", "zfs", "kvm"])
                     .editable().refresh("30s").time("now-6h", "now").tooltip(DashboardCursorSync.CROSSHAIR))
    made = made.with_row(dashboard.Row("Cluster"))
    for panel in CLUSTER:
        made = made.with_panel(figure(*panel))
    rows = [("Registrar", REGISTRAR), ("Nodes", NODES), ("Network", NETWORK), ("ZFS", ZFS), ("Daemons", DAEMONS)]
    for name, panels in rows:
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(graph(*panel))
    return made.build()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(JSONEncoder(sort_keys=True, indent=1).encode(board()) + "\n")
