//! `status`.

use super::cli::ListArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{guest_text, size};
use bootstash_base::names::SnapshotName;
use bootstash_net::api::{
    AgentState, AgentStatus, ChangedBase, Client, HeldBy, HeldView, Holder, RegistrarStatus, ReplacedVolume,
    Transfer, routes,
};
use bootstash_zfs::{Flavor, Unanswered, Usage};
use serde::Serialize;

/// What this host's daemons say of themselves.
#[derive(Debug, Default, Serialize)]
struct HostStatus {
    registrar: Option<RegistrarStatus>,
    agent: Option<AgentStatus>,
}

/// Shows each daemon of this host. One that fails keeps no other from being shown.
pub(super) async fn show(daemons: &Daemons, args: ListArgs) -> Result<(), CommandError> {
    let mut status = HostStatus::default();
    let mut failed = None;
    for (daemon, client) in daemons.all()? {
        if let Err(error) = ask(daemon, &client, &mut status).await {
            failed = failed.or(Some(error));
        }
    }
    if args.json {
        output::json(&status)?;
    } else if status.registrar.is_some() || status.agent.is_some() {
        output::line(&status_text(&status))?;
    }
    failed.map_or(Ok(()), Err)
}

async fn ask(daemon: Daemon, client: &Client, status: &mut HostStatus) -> Result<(), CommandError> {
    match daemon {
        Daemon::Registrar => status.registrar = Some(client.get(routes::STATUS, &()).await?),
        Daemon::Agent => status.agent = Some(client.get(routes::STATUS, &()).await?),
    }
    Ok(())
}

fn status_text(status: &HostStatus) -> String {
    let registrar = status.registrar.as_ref().map(registrar_text);
    let agent = status.agent.as_ref().map(agent_text);
    registrar.into_iter().chain(agent).collect::<Vec<_>>().join("\n\n")
}

fn registrar_text(status: &RegistrarStatus) -> String {
    let mut facts = vec![
        ("images", status.images.to_string()),
        ("registering", status.jobs.to_string()),
        ("snapshot", newest(status.snapshot.as_ref(), status.snapshots)),
        ("deltas", size(status.delta_bytes)),
    ];
    facts.extend(status.usage.iter().flat_map(space));
    facts.extend(status.zfs_unanswered.as_ref().map(unanswered));
    block(&format!("registrar {} on {}", status.version, flavor(status.zfs)), &facts)
}

fn agent_text(status: &AgentStatus) -> String {
    let mut facts = vec![
        ("registrar", guest_text(&status.registrar)),
        ("state", state(&status.state)),
        ("images", images(status)),
        ("snapshot", newest(status.snapshot.as_ref(), status.snapshots)),
        ("overlays", status.overlays.to_string()),
        ("views", status.views.to_string()),
        ("memory", size(status.rss_bytes)),
    ];
    facts.extend(status.changed_bases.iter().map(|base| ("base", changed_base(base))));
    if !status.held.is_empty() {
        facts.push(("held", held(&status.held)));
    }
    if !status.replaced.is_empty() {
        facts.push(("replaced", replaced(&status.replaced)));
    }
    match &status.usage {
        Some(usage) => facts.extend(space(usage)),
        None => facts.push(("volume", "-".to_owned())),
    }
    facts.extend(status.zfs_unanswered.as_ref().map(unanswered));
    let conflict = status.identity_conflict.as_ref();
    facts.extend(conflict.map(|conflict| ("identity", guest_text(&conflict.to_string()))));
    block(&format!("agent {} on {}, node {}", status.version, flavor(status.zfs), status.node), &facts)
}

fn block(heading: &str, facts: &[(&str, String)]) -> String {
    let mut text = heading.to_owned();
    for (name, value) in facts {
        text.push_str(&format!("\n  {name:<12}{value}"));
    }
    text
}

fn newest(snapshot: Option<&SnapshotName>, count: u64) -> String {
    match snapshot {
        Some(name) => format!("{name}, the newest of {count}"),
        None => "-".to_owned(),
    }
}

fn space(usage: &Usage) -> [(&'static str, String); 4] {
    [
        ("logical", size(usage.logical_bytes)),
        ("used", format!("{}, {} available", size(usage.used_bytes), size(usage.available_bytes))),
        ("dedup", format!("{:.2}x", usage.dedup_ratio)),
        ("compression", format!("{:.2}x", usage.compress_ratio)),
    ]
}

fn unanswered(waiting: &Unanswered) -> (&'static str, String) {
    ("zfs", format!("no answer to `{}` for {} s", guest_text(&waiting.call), waiting.seconds))
}

fn changed_base(base: &ChangedBase) -> String {
    let (path, overlays) = (guest_text(&base.path.to_string_lossy()), base.overlays.len());
    format!(
        "{path} changed under {overlays} overlays of {} ({}): see `bootstash overlays`",
        base.image, base.change
    )
}

/// Volumes that a full stream replaced; those that are kept for a person say why.
fn replaced(volumes: &[ReplacedVolume]) -> String {
    let one = |volume: &ReplacedVolume| match &volume.unknown {
        None => format!("{}, until no view stands on it", volume.dataset),
        Some(why) => {
            let dataset = &volume.dataset;
            format!("{dataset}, until you drop it (zfs destroy -r {dataset}): {}", guest_text(why))
        }
    };
    volumes.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// How many there are, and of which snapshot where that is not the newest.
fn images(status: &AgentStatus) -> String {
    match &status.images_of {
        Some(of) if status.snapshot.as_ref() != Some(of) => format!("{}, as of {of}", status.images),
        _ => status.images.to_string(),
    }
}

/// Views that stay mounted, or in the way, and whom to end so that they can go.
fn held(views: &[HeldView]) -> String {
    let by = |holder: &Holder| {
        let how = match holder.by {
            HeldBy::MountNamespace => "has it mounted in a mount namespace of its own",
            HeldBy::OpenFile => "has a file in it open",
            HeldBy::WorkingDirectory => "works in it",
            HeldBy::Root => "has its root in it",
            HeldBy::Program => "runs from it",
        };
        format!("{} (process {}) {how}", guest_text(&holder.command), holder.pid)
    };
    let one = |view: &HeldView| match view.holders.as_slice() {
        [] => format!("{}, by a process that was not found", view.dataset),
        holders => {
            let holders: Vec<_> = holders.iter().map(by).collect();
            format!("{}: {}", view.dataset, holders.join(", "))
        }
    };
    views.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What an agent is doing, with how far it is.
pub(super) fn state(state: &AgentState) -> String {
    match state {
        AgentState::Starting => "starting".to_owned(),
        AgentState::Waiting { error } => format!("waiting for the registrar: {}", guest_text(error)),
        AgentState::InStep => "in step".to_owned(),
        AgentState::Applying { to, transfer } => format!("applying {to}{}", progress(*transfer)),
        AgentState::Stopped { error } => format!("stopped: {}", guest_text(error)),
    }
}

/// How far a stream is; ZFS's own estimate is a little low at times.
fn progress(transfer: Option<Transfer>) -> String {
    match transfer {
        None => String::new(),
        Some(Transfer { bytes, total_bytes: None }) => format!(", {} so far", size(bytes)),
        Some(Transfer { bytes, total_bytes: Some(total) }) => {
            format!(", {} of about {}", size(bytes), size(total.max(bytes)))
        }
    }
}

/// As its project is called.
pub(super) fn flavor(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::OpenZfs => "OpenZFS",
        Flavor::ZfsFuse => "zfs-fuse",
        Flavor::Fake => "a ZFS in memory",
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;

    fn usage() -> Usage {
        Usage {
            logical_bytes: 372 << 20,
            used_bytes: 96 << 20,
            available_bytes: 12 << 30,
            dedup_ratio: 1.914,
            compress_ratio: 2.0,
            dedup_table: None,
        }
    }

    fn registrar() -> RegistrarStatus {
        RegistrarStatus {
            version: "0.1.0".to_owned(),
            zfs: Flavor::ZfsFuse,
            images: 3,
            snapshot: Some(stub::snapshot(42)),
            snapshots: 12,
            delta_bytes: 90 << 20,
            usage: Some(usage()),
            zfs_unanswered: None,
            jobs: 0,
        }
    }

    #[test]
    fn a_registrar_and_its_volume() {
        assert_eq!(
            registrar_text(&registrar()),
            "registrar 0.1.0 on zfs-fuse\n\
             \x20 images      3\n\
             \x20 registering 0\n\
             \x20 snapshot    bs-000042-20261121T101530Z, the newest of 12\n\
             \x20 deltas      90M\n\
             \x20 logical     372M\n\
             \x20 used        96M, 12G available\n\
             \x20 dedup       1.91x\n\
             \x20 compression 2.00x"
        );
    }

    #[test]
    fn images_of_an_older_snapshot_say_so() {
        let mut status = stub::agent_status(AgentState::InStep);
        status.snapshot = Some(stub::snapshot(42));
        status.images_of = Some(stub::snapshot(41));
        assert_eq!(images(&status), "3, as of bs-000041-20261121T101530Z");
        status.images_of = status.snapshot.clone();
        assert_eq!(images(&status), "3");
    }

    #[test]
    fn a_zfs_that_stands_still_is_named() {
        let mut status = stub::agent_status(AgentState::InStep);
        status.zfs_unanswered = Some(Unanswered { call: "zfs list tank".to_owned(), seconds: 40 });
        assert!(agent_text(&status).ends_with("\n  zfs         no answer to `zfs list tank` for 40 s"));
    }

    #[test]
    fn a_base_that_changed_under_overlays_is_named() {
        let mut status = stub::agent_status(AgentState::InStep);
        status.changed_bases = vec![ChangedBase {
            path: "/srv/a.raw".into(),
            image: "a".parse().unwrap(),
            snapshot: stub::snapshot(7),
            change: "it is gone".to_owned(),
            overlays: vec!["/vms/a".into(), "/vms/b".into()],
        }];
        let line = "\n  base        /srv/a.raw changed under 2 overlays of a (it is gone): see `bootstash overlays`\n";
        assert!(agent_text(&status).contains(line), "{}", agent_text(&status));
        let mut json = serde_json::to_value(&status).unwrap();
        json.as_object_mut().unwrap().remove("changed_bases");
        let old: AgentStatus = serde_json::from_value(json).unwrap();
        assert_eq!(old.changed_bases, [], "as an agent before it said nothing of bases");
    }

    #[test]
    fn volumes_that_were_replaced_say_what_keeps_them() {
        let volume = |unknown: Option<&str>| ReplacedVolume {
            dataset: "tank/bootstash/volume".parse().unwrap(),
            snapshot: Some(stub::snapshot(7)),
            unknown: unknown.map(str::to_owned),
        };
        let mut status = stub::agent_status(AgentState::InStep);
        status.replaced = vec![volume(None)];
        let text = agent_text(&status);
        assert!(
            text.contains("\n  replaced    tank/bootstash/volume, until no view stands on it\n"),
            "{text}"
        );
        let kept = "until you drop it (zfs destroy -r tank/bootstash/volume): why";
        assert!(replaced(&[volume(Some("why"))]).contains(kept));
    }

    #[test]
    fn who_holds_a_view_is_named() {
        let dataset = "tank/bootstash/views/bs-000042-20261121T101530Z";
        let view = |holders| HeldView { dataset: dataset.parse().unwrap(), holders };
        let mut status = stub::agent_status(AgentState::InStep);
        status.held = vec![view(Vec::new())];
        assert!(
            agent_text(&status)
                .contains(&format!("\n  held        {dataset}, by a process that was not found\n"))
        );
        let holder = |by, command: &str| Holder { pid: 4711, command: command.to_owned(), by };
        let holders = vec![holder(HeldBy::OpenFile, "qemu\n"), holder(HeldBy::MountNamespace, "backup")];
        assert_eq!(
            held(&[view(holders)]),
            format!(
                "{dataset}: qemu (process 4711) has a file in it open, backup (process 4711) has it mounted in a mount \
                 namespace of its own"
            )
        );
    }

    /// As an agent of the version before answers.
    #[test]
    fn a_status_without_held_views_is_read() {
        let mut old = serde_json::to_value(stub::agent_status(AgentState::InStep)).unwrap();
        assert!(
            old.as_object_mut().unwrap().remove("held").is_none(),
            "it is left out where nothing is held"
        );
        assert_eq!(serde_json::from_value::<AgentStatus>(old).unwrap().held, []);
    }

    #[test]
    fn an_agent_before_its_first_snapshot() {
        let text = agent_text(&stub::agent_status(AgentState::Waiting { error: "no\nanswer".to_owned() }));
        assert_eq!(
            text,
            "agent 0.1.0 on OpenZFS, node node1\n\
             \x20 registrar   https://10.77.0.1:7430\n\
             \x20 state       waiting for the registrar: no answer\n\
             \x20 images      3\n\
             \x20 snapshot    -\n\
             \x20 overlays    2\n\
             \x20 views       1\n\
             \x20 memory      20M\n\
             \x20 volume      -"
        );
    }

    #[test]
    fn both_on_one_host_stand_apart() {
        let status =
            HostStatus { registrar: Some(registrar()), agent: Some(stub::agent_status(AgentState::InStep)) };
        let text = status_text(&status);
        assert!(text.contains("2.00x\n\nagent 0.1.0"), "{text}");
        assert!(text.contains("state       in step\n"), "{text}");
    }
}
