//! How the command ends when it cannot do what was asked: one line that names what and why, and a
//! hint where it adds something.

use super::daemons::Daemon;
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::names::ImageName;
use bootstash_daemon::config::ConfigError;
use bootstash_disk::UrlError;
use bootstash_multicast::Group;
use bootstash_net::api::{CallError, JobId, Step};
use bootstash_net::enrolment::{JoinError, RenewError};
use bootstash_net::identity::{IdentityError, IdentityParseError};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

/// What shells report for a program that ended on ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;
/// No daemon runs on this host (`EX_UNAVAILABLE` of sysexits.h): for a timer that is no failure.
pub(super) const NO_DAEMON: u8 = 69;

/// Why a verb was not done.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub(super) enum CommandError {
    /// A daemon refused, or did not answer.
    #[error(transparent)]
    #[class(source)]
    Call(#[from] CallError),
    /// A configuration is not accepted.
    #[error(transparent)]
    #[class(source)]
    Config(#[from] ConfigError),
    /// The verb needs a daemon this host does not have.
    #[error("there is no {} on this host: nobody listens at {}", .daemon.word(), .socket.display())]
    NoDaemon { daemon: Daemon, socket: PathBuf },
    /// Key or certificate for another machine's registrar.
    #[error(transparent)]
    #[class(source)]
    Identity(#[from] IdentityError),
    /// Nobody was joined.
    #[error(transparent)]
    #[class(source)]
    Join(#[from] JoinError),
    /// The certificate of it was not renewed.
    #[error(transparent)]
    #[class(source)]
    Renew(#[from] RenewError),
    /// Multicast does not work here.
    #[error("nothing is heard of multicast group {group} here")]
    Unheard { group: Group },
    /// VMs start without boot caches.
    #[error("{from_image} of {disks} disks do not start from a boot cache")]
    FromImage { from_image: usize, disks: usize },
    /// A domain's description cannot be read.
    #[error("cannot read {}", .path.display())]
    Domain { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    /// Nobody was joined from here.
    #[error("nothing to renew: no registrar was joined from here, with a key in {}", .dir.display())]
    NotJoined { dir: PathBuf },
    /// A name.
    #[error(transparent)]
    #[class(permanent)]
    Name(#[from] IdentityParseError),
    /// There is nowhere to keep a key.
    #[error("cannot tell where to keep a key: neither HOME nor --identity is given")]
    NoHome,
    /// It needs one of the two.
    #[error("there is neither registrar nor agent on this host: nobody listens at {} and {}", .registrar.display(), .agent.display())]
    NoDaemons { registrar: PathBuf, agent: PathBuf },
    /// The registration failed.
    #[error("registering {name} failed at {step}: {error}")]
    #[class(field = kind)]
    Registration { name: ImageName, step: Step, error: String, kind: ErrorClass },
    /// Somebody cancelled the registration.
    #[error("the registration of {name} (job {job}) was cancelled at {step}; nothing of it is left")]
    #[class(cancelled)]
    RegistrationCancelled { name: ImageName, job: JobId, step: Step },
    /// The registrar went away while its job was followed.
    #[error("the registrar does not answer any more; job {job} goes on or is cleaned up when it is back")]
    #[class(source)]
    Lost { job: JobId, source: CallError },
    /// A path cannot be made absolute.
    #[error("cannot find {}", .path.display())]
    #[class(permanent)]
    Path { path: PathBuf, source: io::Error },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// A man page cannot be written.
    #[error(transparent)]
    Manual(#[from] bootstash_manual::WriteError),
    /// There is nothing to draw on.
    #[error(
        "standard output is no terminal: `bootstash top --once` prints everything once, `--json` for programs"
    )]
    NoTerminal,
    /// The terminal cannot be drawn on.
    #[error("cannot use this terminal; `bootstash top --once` needs none")]
    Terminal(#[source] io::Error),
    /// The dashboard cannot be served.
    #[error("cannot listen at {address}; another --port may be free")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    /// The dashboard cannot be served any more.
    #[error("cannot serve the dashboard")]
    Serve(#[source] io::Error),
    /// There is nothing to make a link of.
    #[error("the system gives no random numbers")]
    Random,
    /// A URL is no path.
    #[error(transparent)]
    #[class(permanent)]
    Url(#[from] UrlError),
    /// The answer cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The answer is no JSON.
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
    /// A VM on this terminal could not be run.
    #[error("cannot boot {name}")]
    Boot { name: ImageName, source: Box<dyn Error + Send + Sync> },
    /// A file is no image's.
    #[error("{} is the file of no image that this node has; `bootstash images` lists those", .file.display())]
    #[class(permanent)]
    NotRegistered { file: PathBuf },
    /// What is for cloud-init cannot be read.
    #[error("cannot read {}", .path.display())]
    #[class(permanent)]
    UserData { path: PathBuf, source: io::Error },
    /// The system has no means left for the program itself.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

/// Says why on standard error. A reader that closed our output early is no failure worth words.
pub(super) fn report(error: &CommandError) -> ExitCode {
    if !is_closed_pipe(error) {
        eprintln!("{}", text(error));
    }
    match error {
        CommandError::NoDaemon { .. } | CommandError::NoDaemons { .. } => ExitCode::from(NO_DAEMON),
        _ => ExitCode::FAILURE,
    }
}

fn is_closed_pipe(error: &CommandError) -> bool {
    matches!(error, CommandError::Output(source) if source.kind() == ErrorKind::BrokenPipe)
}

/// `what: cause`, on one line.
pub(super) fn in_words(error: &CommandError) -> String {
    let line = match error {
        CommandError::Call(call @ CallError::Unreachable { .. }) => unanswered(call),
        CommandError::Lost { source, .. } => format!("{error}: {}", unanswered(source)),
        _ => Chain(error).to_string(),
    };
    super::render::guest_text(&line)
}

/// `error: what: cause`, and a hint on a second line where there is one.
pub(super) fn text(error: &CommandError) -> String {
    let line = in_words(error);
    match hint(error) {
        Some(hint) => format!("error: {line}\nhint: {hint}"),
        None => format!("error: {line}"),
    }
}

/// The HTTP layers between a call and the system's answer say nothing to a person.
fn unanswered(call: &CallError) -> String {
    match system_error(call) {
        Some(cause) => format!("{call}: {cause}"),
        None => Chain(call).to_string(),
    }
}

fn hint(error: &CommandError) -> Option<&'static str> {
    match error {
        CommandError::NoDaemon { daemon: Daemon::Registrar, .. } => Some(
            "run this on the storage node, with `systemctl start bootstash-registrar`, or join it from here: `bootstash operator invite NAME` there says how",
        ),
        CommandError::NoDaemon { daemon: Daemon::Agent, .. } => {
            Some("run this on a compute node, with `systemctl start bootstash-agent`, or give --agent-socket")
        }
        CommandError::NoDaemons { .. } => Some(
            "start bootstash-registrar on the storage node, bootstash-agent on a compute node, with systemctl",
        ),
        CommandError::Call(call @ CallError::Unreachable { .. }) => match system_error(call)?.kind() {
            ErrorKind::PermissionDenied => Some("use sudo, or join the group the socket belongs to"),
            ErrorKind::ConnectionRefused => {
                Some("the daemon is not running; `systemctl status 'bootstash-*'` says why")
            }
            _ => None,
        },
        _ => None,
    }
}

fn system_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        found = error.downcast_ref::<io::Error>().or(found);
        next = error.source();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_net::api::{Client, Endpoint};

    #[tokio::test]
    async fn a_dead_daemons_socket_says_so_on_two_lines() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("r.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let client = Client::new(Endpoint::Unix(socket.clone())).unwrap();
        let error = client.get::<()>("/v1/status", &()).await.unwrap_err();
        assert_eq!(
            text(&error.into()),
            format!(
                "error: no answer from {}: Connection refused (os error 111)\n\
                 hint: the daemon is not running; `systemctl status 'bootstash-*'` says why",
                socket.display()
            )
        );
    }

    #[test]
    fn a_refusal_is_one_line_without_control_characters() {
        let refused = |error: &str| CallError::Refused {
            status: 409,
            error: error.to_owned(),
            kind: ErrorClass::Permanent,
        };
        assert_eq!(text(&refused("no\x1b[31m\nway").into()), "error: no way");
    }
}
