//! `pin`, `unpin`.

use super::cli::{PinArgs, UnpinArgs};
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::{output, path};
use bootstash_base::quoted_path::shown;
use bootstash_net::api::{OverlayOutcome, OverlayQuery, PinReply, routes};
use bootstash_zfs::Removed;
use std::path::Path;

/// Has the agent hold the boot cache of a disk.
pub(super) async fn pin(daemons: &Daemons, args: PinArgs) -> Result<(), CommandError> {
    let query = OverlayQuery { path: path::absolute(&args.disk)? };
    let reply: PinReply = daemons.need(Daemon::Agent)?.post(routes::PINS, &query).await?;
    if args.json { output::json(&reply) } else { output::line(&pinned_text(&reply)) }
}

/// Has it let go of that.
pub(super) async fn unpin(daemons: &Daemons, args: UnpinArgs) -> Result<(), CommandError> {
    let query = OverlayQuery { path: path::absolute(&args.disk)? };
    let outcome: Removed = daemons.need(Daemon::Agent)?.delete(routes::PINS, &query).await?;
    output::line(&unpinned_text(&query.path, outcome))
}

fn pinned_text(reply: &PinReply) -> String {
    let PinReply { overlay, outcome, chained } = reply;
    let (path, image, snapshot) = (shown(&overlay.path), &overlay.image, &overlay.snapshot);
    let held = match outcome {
        OverlayOutcome::Created => format!("pinned {path}: a boot cache of {image}, on snapshot {snapshot}"),
        OverlayOutcome::Unchanged => format!("{path} is held already; nothing changed"),
    };
    if *chained {
        return held;
    }
    let cache = shown(&overlay.cache);
    format!("{held}\nto have it used: qemu-img rebase -u -f qcow2 -F qcow2 -b {cache} {path}")
}

fn unpinned_text(path: &Path, outcome: Removed) -> String {
    match outcome {
        Removed::Removed => format!("unpinned {}", shown(path)),
        Removed::Unchanged => format!("{} is not pinned; nothing changed", shown(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
    use bootstash_net::api::OverlayView;

    #[test]
    fn a_pin_says_what_is_left_to_do() {
        let overlay = OverlayView {
            path: "/vms/a.qcow2".into(),
            image: "debian12".parse().unwrap(),
            snapshot: stub::snapshot(42),
            cache: "/views/x/cache.qcow2".into(),
            virtual_size_bytes: 1 << 30,
            created: chrono::Utc::now(),
            firmware: None,
        };
        let reply = |outcome, chained| PinReply { overlay: overlay.clone(), outcome, chained };
        let text = pinned_text(&reply(OverlayOutcome::Created, false));
        assert!(text.starts_with("pinned /vms/a.qcow2: a boot cache of debian12, on snapshot"), "{text}");
        assert!(text.ends_with("-b /views/x/cache.qcow2 /vms/a.qcow2"), "{text}");
        let text = pinned_text(&reply(OverlayOutcome::Unchanged, true));
        assert_eq!(text, "/vms/a.qcow2 is held already; nothing changed");
        assert_eq!(unpinned_text(Path::new("/a"), Removed::Unchanged), "/a is not pinned; nothing changed");
    }
}
