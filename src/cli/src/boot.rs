//! `boot`: an image on this terminal, from an overlay that is thrown away after.
//!
//! The overlay is removed however the VM ends: by itself, by an error, by a signal to us.

use super::cli::BootArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::{CommandError, INTERRUPTED};
use super::{overlay, path};
use bootstash_base::names::ImageName;
use bootstash_base::quoted_path::shown;
use bootstash_net::api::{Client, OverlayView};
use bootstash_qemu::{Accelerator, AcceleratorChoice, ConsoleEnd, ConsoleSpec, Qemu};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Boots an image and stays until it ends.
pub(super) async fn boot(daemons: &Daemons, args: BootArgs) -> Result<ExitCode, CommandError> {
    let agent = daemons.need(Daemon::Agent)?;
    let user_data = args.user_data.as_deref().map(user_data).transpose()?;
    let mut stop = Stop::listen().map_err(CommandError::Runtime)?;
    let qemu = Qemu::find().map_err(|error| failed(&args.name, error))?;
    let accelerator =
        qemu.accelerator(AcceleratorChoice::Auto).await.map_err(|error| failed(&args.name, error))?;
    let place = Place::choose(args.keep.as_deref())?;
    let end = with_overlay(&agent, &args.name, &place, async |overlay| {
        let spec = ConsoleSpec { user_data: user_data.clone(), ..console(&args, accelerator, overlay) };
        eprintln!("booting {} by {} under {accelerator}; ctrl-a x ends it", args.name, spec.firmware);
        run(&qemu, &overlay.path, &spec, &mut stop).await.map_err(|error| failed(&args.name, error))
    })
    .await?;
    Ok(match end {
        ConsoleEnd::Ended => ExitCode::SUCCESS,
        ConsoleEnd::Cancelled => ExitCode::from(INTERRUPTED),
    })
}

fn failed(name: &ImageName, source: impl Error + Send + Sync + 'static) -> CommandError {
    CommandError::Boot { name: name.clone(), source: Box::new(source) }
}

fn console(args: &BootArgs, accelerator: Accelerator, overlay: &OverlayView) -> ConsoleSpec {
    ConsoleSpec {
        accelerator,
        profile: args.profile,
        memory_mib: args.memory,
        cpus: args.cpus,
        network: false,
        firmware: overlay.firmware.unwrap_or_default(),
        user_data: None,
    }
}

/// What a file holds for cloud-init. Clouds take far less.
fn user_data(path: &Path) -> Result<Vec<u8>, CommandError> {
    const MOST_BYTES: u64 = 1 << 20;
    let mut data = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut data));
    let read = read.and_then(|bytes| match bytes as u64 {
        ..=MOST_BYTES => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than a MiB")),
    });
    read.map_err(|source| CommandError::UserData { path: path.to_owned(), source })?;
    Ok(data)
}

async fn run(
    qemu: &Qemu,
    overlay: &Path,
    spec: &ConsoleSpec,
    stop: &mut Stop,
) -> Result<ConsoleEnd, bootstash_qemu::ConsoleError> {
    let cancel = CancellationToken::new();
    let mut running = std::pin::pin!(qemu.run_console(overlay, spec, &cancel));
    tokio::select! {
        end = &mut running => return end,
        () = stop.asked() => cancel.cancel(),
    }
    running.await
}

/// Runs `body` on a fresh overlay, and removes that after unless it is to be kept.
async fn with_overlay<T>(
    agent: &Client,
    image: &ImageName,
    place: &Place,
    body: impl AsyncFnOnce(&OverlayView) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let made = overlay::ask_for(agent, image, &place.path()).await?;
    let end = body(&made).await;
    if let Place::Kept(path) = place {
        eprintln!("kept {}; `bootstash overlay remove` removes it", shown(path));
        return end;
    }
    let removed = overlay::ask_to_remove(agent, &made.path).await;
    // The VM's own failure matters more than one in tidying up after it.
    end.and_then(|value| removed.map(|_| value))
}

/// Where the overlay lies.
enum Place {
    /// In a directory of ours that goes when this is dropped.
    Private(TempDir),
    /// Where the user wants to find it.
    Kept(PathBuf),
}

impl Place {
    fn choose(keep: Option<&Path>) -> Result<Self, CommandError> {
        if let Some(given) = keep {
            return path::absolute(given).map(Self::Kept);
        }
        // A guest may write gigabytes, and /tmp is often in memory.
        let parent = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let dir = tempfile::Builder::new()
            .prefix("bootstash-boot-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(|source| CommandError::Path { path: parent, source })?;
        Ok(Self::Private(dir))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Private(dir) => dir.path().join("overlay.qcow2"),
            Self::Kept(path) => path.clone(),
        }
    }
}

/// The signals that ask us to end. None of them ends us on its own once this exists.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    async fn asked(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => (), _ = hangup.recv() => () }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::{self, Stub};
    use super::*;
    use axum::extract::{Query, State};
    use axum::{Json, routing};
    use bootstash_net::api::{OverlayQuery, OverlayRequest, routes};
    use bootstash_zfs::Removed;
    use std::sync::{Arc, Mutex};

    type Files = Arc<Mutex<Vec<PathBuf>>>;

    fn agent(files: &Files) -> Stub {
        let create = async |State(files): State<Files>, Json(request): Json<OverlayRequest>| {
            files.lock().unwrap().push(request.path.clone());
            Json(OverlayView {
                path: request.path,
                image: request.image.parse().unwrap(),
                snapshot: stub::snapshot(1),
                cache: "/c".into(),
                virtual_size_bytes: 0,
                created: chrono::Utc::now(),
                firmware: None,
            })
        };
        let remove = async |State(files): State<Files>, Query(query): Query<OverlayQuery>| {
            files.lock().unwrap().retain(|path| *path != query.path);
            Json(Removed::Removed)
        };
        let app = axum::Router::new()
            .route(routes::OVERLAYS, routing::post(create).delete(remove))
            .with_state(files.clone());
        Stub::agent(app)
    }

    #[tokio::test]
    async fn the_overlay_goes_with_the_vm_whether_it_ended_well_or_not() {
        let files = Files::default();
        let stub = agent(&files);
        let client = stub.daemons().need(Daemon::Agent).unwrap();
        let name: ImageName = "debian12".parse().unwrap();
        let place = Place::choose(None).unwrap();
        let well = with_overlay(&client, &name, &place, async |overlay| {
            assert_eq!(*files.lock().unwrap(), std::slice::from_ref(&overlay.path));
            Ok(ConsoleEnd::Ended)
        });
        well.await.unwrap();
        assert!(files.lock().unwrap().is_empty());
        let ill =
            with_overlay(&client, &name, &place, async |_| Err::<(), _>(failed(&name, std::fmt::Error)));
        assert!(matches!(ill.await, Err(CommandError::Boot { .. })));
        assert!(files.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_kept_overlay_stays() {
        let files = Files::default();
        let stub = agent(&files);
        let client = stub.daemons().need(Daemon::Agent).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("mine.qcow2");
        let place = Place::choose(Some(&path)).unwrap();
        with_overlay(&client, &"debian12".parse().unwrap(), &place, async |_| Ok(())).await.unwrap();
        assert_eq!(*files.lock().unwrap(), [path]);
    }

    #[test]
    fn user_data_are_read_as_they_are_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("user-data");
        let said = || user_data(&path).map_err(|error| crate::failure::in_words(&error));
        assert!(said().unwrap_err().starts_with(&format!("cannot read {}: No such file", path.display())));
        std::fs::write(&path, b"#cloud-config\n\xff").unwrap();
        assert_eq!(said(), Ok(b"#cloud-config\n\xff".to_vec()));
        std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(said().unwrap_err().ends_with("it has more than a MiB"));
    }

    #[test]
    fn the_private_place_is_ours_alone_and_goes() {
        let place = Place::choose(None).unwrap();
        let dir = place.path().parent().unwrap().to_owned();
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(place);
        assert!(!dir.exists());
    }
}
