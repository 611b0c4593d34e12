//! The paths, once.

/// Registrar: `GET` lists images, `POST` registers one. Agent: `GET` lists the node's.
pub const IMAGES: &str = "/v1/images";
/// Registrar: `DELETE` deregisters.
pub const IMAGE: &str = "/v1/images/{name}";
/// Registrar: `GET` lists jobs.
pub const JOBS: &str = "/v1/jobs";
/// Registrar: `GET` one job; with `?after=SEQ` waits for news. `DELETE` cancels it.
pub const JOB: &str = "/v1/jobs/{id}";
/// Registrar: `GET` the nodes heard of; the part in front of a node's own routes.
pub const NODES: &str = "/v1/nodes";
/// Registrar: `POST` a node's report on itself.
pub const NODE_REPORT: &str = "/v1/nodes/{node}/report";
/// Registrar: `GET` the snapshots and deltas; with `?after=GUID` waits for news. A peer: its snapshots.
pub const LOG: &str = "/v1/log";
/// Registrar: the part in front of a delta's file name; 307 to a peer that has it. A peer: in front of a
/// delta's digest.
pub const DELTAS: &str = "/v1/deltas";
/// Registrar: below a delta's own route, `POST` for parts of it.
pub const PIECES: &str = "/v1/deltas/{file}/pieces";
/// Registrar: `POST` that what was sent of a delta is not what was announced.
pub const DELTA_COMPLAINT: &str = "/v1/deltas/{file}/complaint";
/// Registrar: `POST` for the multicast session of a delta; null where it is to be fetched.
pub const MULTICAST: &str = "/v1/multicast";
/// Registrar: `POST` for a session that only tells whether and how well it is received.
pub const MULTICAST_PROBE: &str = "/v1/multicast/probe";
/// Registrar: `POST` what a node lacks of a session; answered by what it is to do.
pub const MULTICAST_REPORT: &str = "/v1/multicast/report";
/// Registrar: `GET` a full stream's record, made on demand; 202 while it is being made.
pub const FULL: &str = "/v1/full";
/// Registrar: `GET` a full stream itself, or with `?resume=TOKEN` the rest of one. A peer: its own volume.
pub const STREAM: &str = "/v1/stream";
/// Registrar: `POST` brings a lost volume back from a node, `GET` tells how far that is.
pub const RESTORE: &str = "/v1/volume/restore";
/// Both, on their own host: `GET` tells that the daemon answers at all, and waits for nothing.
pub const ALIVE: &str = "/v1/alive";
/// Both: `GET`.
pub const STATUS: &str = "/v1/status";
/// Both: `POST`.
pub const GC: &str = "/v1/gc";
/// Agent: `GET`, `POST`, `DELETE`.
pub const OVERLAYS: &str = "/v1/overlays";
/// Agent: `POST` an overlay that another node made.
pub const OVERLAY_ADOPTION: &str = "/v1/overlays/adoption";
/// Agent: `POST` to hold the boot cache of a disk's image for it, `DELETE` to let it go.
pub const PINS: &str = "/v1/pins";
/// Agent: `POST` finds out whether multicast from the registrar reaches it.
pub const DOCTOR_MULTICAST: &str = "/v1/doctor/multicast";
/// Registrar: `POST` trades a token for a certificate, without one.
pub const JOIN: &str = "/v1/join";
/// Registrar: `POST` gives who has a certificate a new one.
pub const RENEWAL: &str = "/v1/renewal";
/// Registrar: `POST` gives the caller's own certificates back: it has another name now, or another registrar.
pub const DEPARTURE: &str = "/v1/departure";
/// Registrar: `POST` makes a token.
pub const INVITATIONS: &str = "/v1/invitations";
/// Registrar: `GET` who has a certificate, `DELETE` takes those of one away.
pub const MEMBERS: &str = "/v1/members";
/// Both: Prometheus text.
pub const METRICS: &str = "/metrics";
