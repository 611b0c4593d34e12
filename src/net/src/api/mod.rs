//! What goes over the wire: HTTP/JSON between command, registrar and agents.
//!
//! The registrar serves its host on a Unix socket, and everybody else by TLS: nodes with what
//! [`routes::LOG`] and [`routes::DELTAS`] tell, operators with all that the socket has (see
//! [`crate::identity::Permission`]). An agent serves its host on a Unix socket. Unknown fields are ignored, so that versions can differ during an upgrade.

mod answer;
mod client;
mod collect;
mod dialer;
mod doctor;
mod host;
mod image;
mod member;
mod multicast;
mod node;
mod overlay;
mod peer;
mod restore;
pub mod routes;
mod status;
mod stream;
mod transport;
mod url;

pub use client::{CallError, Client, Endpoint, Found};
pub use collect::{GcQuery, GcReport, ReleasedOverlay, ViewFate};
pub use dialer::{Dialer, joining_client};
pub use doctor::MulticastFindings;
pub use host::{ConflictingHost, HostId, HostIdError, IdentityConflict};
pub use image::{
    CancelReply, CaptureChoices, DeregisterQuery, DeregisterReply, ImagePattern, ImagePatternError,
    ImageView, ImagesQuery, JobId, JobOutcome, JobView, Progress, RegisterReply, RegisterRequest, Step,
};
pub use member::{
    CertificateReply, ExpelQuery, ExpelReply, InviteReply, InviteRequest, JoinRequest, Joiner, MemberView,
    RenewRequest, Secret,
};
pub use multicast::{PiecesRequest, ReportReply, SessionReply, SessionRequest};
pub use node::{LogQuery, LogReply, NodeReport, NodeView, NodesQuery};
pub use overlay::{
    AdoptReply, BaseState, BaseStatus, ChangedBase, OverlayOutcome, OverlayQuery, OverlayReply,
    OverlayRequest, OverlayState, OverlayStatus, OverlayView, PinReply,
};
pub use peer::{DeltaComplaint, DeltaQuery, MAX_ADVERTISED, PeerAdvertisement, is_authority};
pub use restore::{RestoreReply, RestoreRequest};
pub use status::{
    AgentState, AgentStatus, Alive, HeldBy, HeldView, Holder, RegistrarStatus, ReplacedVolume, Transfer,
};
pub use stream::{GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, Shown, StreamQuery, stream_header};
pub use transport::{Transport, TransportError};
pub use url::{UrlProblem, registrar_url};

use crate::identity::Identity;
use bootstash_base::error::ErrorClass;
use serde::{Deserialize, Serialize};

/// The body of every reply that is no success.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong, with its causes, on one line.
    pub error: String,
    /// What may follow.
    pub kind: ErrorClass,
    /// Who called, where that is all that is wrong: their certificate was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expelled: Option<Identity>,
}
