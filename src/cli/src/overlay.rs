//! `overlay create`, `overlay remove`, `overlays`, `adopt`.

use super::cli::{AdoptArgs, ListArgs, OverlayCreateArgs, OverlayRemoveArgs, WhichImage};
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::render::{Column, age, ago, short_snapshot, size, size_in_words, table};
use super::{output, path};
use bootstash_base::names::ImageName;
use bootstash_base::quoted_path::shown;
use bootstash_disk::firmware::Firmware;
use bootstash_net::api::{
    AdoptReply, BaseState, BaseStatus, Client, ImageView, OverlayOutcome, OverlayQuery, OverlayReply,
    OverlayRequest, OverlayState, OverlayStatus, OverlayView, routes,
};
use bootstash_zfs::Removed;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::path::Path;

/// Makes an overlay.
pub(super) async fn create(daemons: &Daemons, args: OverlayCreateArgs) -> Result<(), CommandError> {
    let agent = daemons.need(Daemon::Agent)?;
    let OverlayCreateArgs { image, size, owner, .. } = &args;
    let path = path::absolute(&args.path)?;
    let image = match image {
        WhichImage::Named(name) => name.clone(),
        WhichImage::OfFile(file) => image_of(&agent, file).await?,
    };
    let request = OverlayRequest { image: image.to_string(), path, size_bytes: *size, owner: *owner };
    let made: OverlayReply = agent.post(routes::OVERLAYS, &request).await?;
    if args.json { output::json(&made) } else { output::line(&created_text(&made)) }
}

/// Removes an overlay.
pub(super) async fn remove(daemons: &Daemons, args: OverlayRemoveArgs) -> Result<(), CommandError> {
    let agent = daemons.need(Daemon::Agent)?;
    let path = path::absolute(&args.path)?;
    output::line(&removed_text(&path, ask_to_remove(&agent, &path).await?))
}

/// Takes on an overlay that another node made.
pub(super) async fn adopt(daemons: &Daemons, args: AdoptArgs) -> Result<(), CommandError> {
    let agent = daemons.need(Daemon::Agent)?;
    let query = OverlayQuery { path: path::absolute(&args.path)? };
    let reply: AdoptReply = agent.post(routes::OVERLAY_ADOPTION, &query).await?;
    if args.json { output::json(&reply) } else { output::line(&adopted_text(&reply)) }
}

/// Lists overlays.
pub(super) async fn list(daemons: &Daemons, args: ListArgs) -> Result<(), CommandError> {
    let overlays: Vec<OverlayStatus> = daemons.need(Daemon::Agent)?.get(routes::OVERLAYS, &()).await?;
    if args.json { output::json(&overlays) } else { output::line(&overlays_text(&overlays, Utc::now())) }
}

/// The registered image whose file this is.
async fn image_of(agent: &Client, file: &Path) -> Result<ImageName, CommandError> {
    let file = file.canonicalize().map_err(|source| CommandError::Path { path: file.to_owned(), source })?;
    let images: Vec<ImageView> = agent.get(routes::IMAGES, &()).await?;
    let found = images.into_iter().find(|image| image.manifest.source.path == file);
    found.map(|image| image.manifest.name).ok_or(CommandError::NotRegistered { file })
}

/// Has the agent make an overlay of `image` at the absolute `path`.
pub(super) async fn ask_for(
    agent: &Client,
    image: &ImageName,
    path: &Path,
) -> Result<OverlayView, CommandError> {
    Ok(agent.post(routes::OVERLAYS, &OverlayRequest::new(image.to_string(), path.to_owned())).await?)
}

/// Has the agent remove the overlay at the absolute `path`.
pub(super) async fn ask_to_remove(agent: &Client, path: &Path) -> Result<Removed, CommandError> {
    Ok(agent.delete(routes::OVERLAYS, &OverlayQuery { path: path.to_owned() }).await?)
}

fn created_text(made: &OverlayReply) -> String {
    let OverlayReply { overlay: made, outcome } = made;
    if *outcome == OverlayOutcome::Unchanged {
        return format!("{} is an overlay of {} already; nothing changed", shown(&made.path), made.image);
    }
    let by_uefi = if made.firmware == Some(Firmware::Uefi) { "; it boots by UEFI" } else { "" };
    format!(
        "created {}: a disk of {} for {}, on snapshot {}{by_uefi}",
        shown(&made.path),
        size_in_words(made.virtual_size_bytes),
        made.image,
        made.snapshot
    )
}

fn adopted_text(reply: &AdoptReply) -> String {
    let overlay = &reply.overlay;
    let (path, image, snapshot) = (shown(&overlay.path), &overlay.image, &overlay.snapshot);
    match (reply.adopted, reply.awaits_snapshot) {
        (true, false) => format!("adopted {path}: a disk of {image}, on snapshot {snapshot}"),
        (false, false) => format!("{path} is on record here; nothing changed"),
        (_, true) => format!(
            "adopted {path}: a disk of {image}; its VM can start once this node has snapshot {snapshot} \
             (see `bootstash status`)"
        ),
    }
}

fn removed_text(path: &Path, outcome: Removed) -> String {
    match outcome {
        Removed::Removed => format!("removed {}", shown(path)),
        Removed::Unchanged => format!("there is no overlay {}; nothing changed", shown(path)),
    }
}

fn overlays_text(overlays: &[OverlayStatus], now: DateTime<Utc>) -> String {
    if overlays.is_empty() {
        return "no overlays are known here".to_owned();
    }
    let columns = [
        Column::Left("IMAGE"),
        Column::Left("SNAPSHOT"),
        Column::Right("SIZE"),
        Column::Left("CREATED"),
        Column::Left("STATE"),
        Column::Left("PATH"),
    ];
    let table = table(&columns, overlays.iter().map(|status| row(status, now)).collect());
    let notes: BTreeSet<String> = overlays.iter().filter_map(|status| note(status.base.as_ref()?)).collect();
    std::iter::once(table).chain(notes).collect::<Vec<_>>().join("\n")
}

/// What is said below the table of a base that marks its overlays.
fn note(base: &BaseStatus) -> Option<String> {
    let (mark, path) = (mark(base), shown(&base.path).into_owned());
    match &base.state {
        BaseState::AsRegistered => None,
        BaseState::Changed { change } => Some(format!(
            "{mark} {path} changed after the overlay was made ({change}): \
             the VM reads a mix of old and new; put the file back, or remove the overlay and register the image again"
        )),
        BaseState::Unknown => {
            Some(format!("{mark} {path} cannot be looked at: whether it changed is unknown"))
        }
    }
}

fn mark(base: &BaseStatus) -> &'static str {
    match base.state {
        BaseState::AsRegistered => "",
        BaseState::Changed { .. } => "!",
        BaseState::Unknown => "?",
    }
}

fn row(status: &OverlayStatus, now: DateTime<Utc>) -> Vec<String> {
    let overlay = &status.overlay;
    vec![
        overlay.image.to_string(),
        short_snapshot(&overlay.snapshot),
        size(overlay.virtual_size_bytes),
        ago(overlay.created, now),
        state(status, now),
        // It may have been found, and have any name.
        shown(&overlay.path).into_owned(),
    ]
}

fn state(status: &OverlayStatus, now: DateTime<Utc>) -> String {
    format!("{}{}", file_state(status, now), status.base.as_ref().map_or("", mark))
}

fn file_state(status: &OverlayStatus, now: DateTime<Utc>) -> String {
    match (status.state, status.missing_since) {
        (OverlayState::Running, _) => "running".to_owned(),
        (OverlayState::Stopped, _) => "stopped".to_owned(),
        (OverlayState::Unknown, _) => "unknown".to_owned(),
        (OverlayState::Unreachable, _) => "unreachable".to_owned(),
        (OverlayState::Missing, Some(since)) => format!("missing {}", age(since, now)),
        (OverlayState::Missing, None) => "missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
    use axum::extract::Query;
    use axum::{Json, routing};
    use chrono::TimeDelta;

    fn view(path: &Path) -> OverlayView {
        OverlayView {
            path: path.to_owned(),
            image: "debian12".parse().unwrap(),
            snapshot: stub::snapshot(42),
            cache: "/var/lib/bootstash/views/x/images/debian12/cache.qcow2".into(),
            virtual_size_bytes: 8 << 30,
            created: "2026-11-21T10:20:00Z".parse().unwrap(),
            firmware: None,
        }
    }

    fn status(path: &str, state: OverlayState) -> OverlayStatus {
        OverlayStatus {
            overlay: view(Path::new(path)),
            state,
            missing_since: None,
            pinned: false,
            base: None,
        }
    }

    #[test]
    fn lists_one_a_line() {
        let running = status("/var/lib/vms/a.qcow2", OverlayState::Running);
        let stopped = status("/var/lib/vms/b\x1b[2J.qcow2", OverlayState::Stopped);
        let now = running.overlay.created;
        assert_eq!(
            overlays_text(&[running, stopped], now),
            "IMAGE     SNAPSHOT   SIZE  CREATED  STATE    PATH\n\
             debian12  bs-000042    8G  0 s ago  running  /var/lib/vms/a.qcow2\n\
             debian12  bs-000042    8G  0 s ago  stopped  $'/var/lib/vms/b\\x1b[2J.qcow2'"
        );
    }

    #[test]
    fn tells_whether_a_vm_can_start_where_its_overlay_was_adopted() {
        let overlay = view(Path::new("/vms/a.qcow2"));
        let text = |adopted, awaits_snapshot| {
            adopted_text(&AdoptReply { overlay: overlay.clone(), adopted, awaits_snapshot })
        };
        assert_eq!(
            text(true, false),
            "adopted /vms/a.qcow2: a disk of debian12, on snapshot bs-000042-20261121T101530Z"
        );
        assert!(text(false, false).ends_with("nothing changed"));
        assert!(text(true, true).contains("once this node has snapshot bs-000042"));
    }

    #[test]
    fn names_of_any_bytes_are_listed_so_that_they_can_be_pasted() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/vms/caf\xe9.qcow2"));
        let found = OverlayStatus { overlay: view(path), ..status("/any", OverlayState::Stopped) };
        let json = serde_json::to_string(&found).unwrap();
        let read: OverlayStatus = serde_json::from_str(&json).unwrap();
        assert_eq!(read, found);
        let text = overlays_text(&[read], found.overlay.created);
        assert!(text.ends_with("stopped  $'/vms/caf\\xe9.qcow2'"), "{text}");
    }

    #[test]
    fn usual_names_fit_in_100_columns() {
        let mut missing = status("/var/lib/libvirt/images/web-0017.qcow2", OverlayState::Missing);
        missing.overlay.image = "debian12-nginx".parse().unwrap();
        let now = missing.overlay.created + TimeDelta::days(120);
        missing.missing_since = Some(now - TimeDelta::hours(3));
        let away = status("/mnt/nfs/b.qcow2", OverlayState::Unreachable);
        let text = overlays_text(&[missing, away], now);
        assert!(text.contains("  missing 3 h  ") && text.contains("  unreachable  "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn a_base_that_changed_marks_its_overlays_and_is_told_of_once() {
        let on = |path: &str, state: BaseState| {
            let base = Some(BaseStatus { path: "/srv/images/a.raw".into(), state });
            OverlayStatus { base, ..status(path, OverlayState::Running) }
        };
        let changed = || BaseState::Changed { change: "it is gone".to_owned() };
        let overlays = [
            on("/a", changed()),
            on("/b", changed()),
            on("/c", BaseState::AsRegistered),
            on("/d", BaseState::Unknown),
        ];
        let text = overlays_text(&overlays, overlays[0].overlay.created);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("  running!  /a") && lines[2].contains("  running!  /b"), "{text}");
        assert!(lines[3].contains("  running   /c") && lines[4].contains("  running?  /d"), "{text}");
        assert_eq!(lines.len(), 7, "{text}");
        assert!(
            lines[5].starts_with("! /srv/images/a.raw changed") && lines[5].contains("it is gone"),
            "{text}"
        );
        assert!(lines[6].starts_with("? /srv/images/a.raw cannot be looked at"), "{text}");
    }

    #[test]
    fn what_an_agent_before_said_of_an_overlay_is_read() {
        let mut json = serde_json::to_value(status("/a", OverlayState::Running)).unwrap();
        assert!(
            json.as_object_mut().unwrap().remove("base").is_none(),
            "nothing is said before the first look"
        );
        assert_eq!(serde_json::from_value::<OverlayStatus>(json).unwrap().base, None);
    }

    #[test]
    fn an_overlay_on_storage_without_locks_may_be_in_use() {
        let unknown = status("/a", OverlayState::Unknown);
        assert_eq!(state(&unknown, unknown.overlay.created), "unknown");
        assert_eq!(serde_json::to_value(&unknown).unwrap()["state"], "unknown");
    }

    #[test]
    fn state_stands_beside_what_json_always_had() {
        let json = serde_json::to_value(status("/a", OverlayState::Running)).unwrap();
        assert_eq!((&json["path"], &json["state"]), (&"/a".into(), &"running".into()));
        assert_eq!(serde_json::from_value::<OverlayView>(json).unwrap(), view(Path::new("/a")));
    }

    #[tokio::test]
    async fn an_image_is_found_by_its_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (file, link) = (root.join("a.raw"), root.join("link.raw"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("a.raw", &link).unwrap();
        let mut registered = stub::image("debian12", Utc::now());
        registered.manifest.source.path = file.clone();
        let images = vec![stub::image("alpine", Utc::now()), registered];
        let app = axum::Router::new().route(routes::IMAGES, routing::get(async move || Json(images)));
        let stub = stub::Stub::agent(app);
        let agent = stub.daemons().need(Daemon::Agent).unwrap();
        for path in [&file, &link] {
            assert_eq!(image_of(&agent, path).await.unwrap().as_str(), "debian12");
        }
        std::fs::write(root.join("b.raw"), "").unwrap();
        let error = image_of(&agent, &root.join("b.raw")).await.unwrap_err().to_string();
        assert!(error.contains("b.raw is the file of no image"), "{error}");
    }

    #[tokio::test]
    async fn creates_and_removes_at_the_path_given() {
        let app = axum::Router::new().route(
            routes::OVERLAYS,
            routing::post(|Json(request): Json<OverlayRequest>| async move { Json(view(&request.path)) })
                .delete(|Query(query): Query<OverlayQuery>| async move {
                    Json(if query.path == Path::new("/a b/ü.qcow2") {
                        Removed::Removed
                    } else {
                        Removed::Unchanged
                    })
                }),
        );
        let stub = stub::Stub::agent(app);
        let agent = stub.daemons().need(Daemon::Agent).unwrap();
        let path = Path::new("/a b/ü.qcow2");
        let overlay = ask_for(&agent, &"debian12".parse().unwrap(), path).await.unwrap();
        let text = |outcome| created_text(&OverlayReply { overlay: overlay.clone(), outcome });
        assert!(text(OverlayOutcome::Unchanged).ends_with("of debian12 already; nothing changed"));
        assert_eq!(
            text(OverlayOutcome::Created),
            "created /a b/ü.qcow2: a disk of 8 GiB for debian12, on snapshot bs-000042-20261121T101530Z"
        );
        let outcome = ask_to_remove(&agent, path).await.unwrap();
        assert_eq!(removed_text(path, outcome), "removed /a b/ü.qcow2");
        let outcome = ask_to_remove(&agent, Path::new("/b")).await.unwrap();
        assert_eq!(removed_text(path, outcome), "there is no overlay /a b/ü.qcow2; nothing changed");
    }
}
