//! Joining, renewing, inviting, expelling.

use super::State;
use crate::ca::MemberError;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State as Shared};
use axum::{Extension, Json};
use bootstash_base::clock;
use bootstash_net::api::{
    CertificateReply, ExpelQuery, ExpelReply, InviteReply, InviteRequest, JoinRequest, MemberView,
    RenewRequest,
};
use bootstash_net::identity::{Identity, Principal, Token};
use bootstash_net::server::Refusal;
use std::time::Duration;

const INVITATION: Duration = Duration::from_secs(3600);

pub(super) async fn join(
    Shared(state): Shared<State>,
    request: Result<Json<JoinRequest>, JsonRejection>,
) -> Result<Json<CertificateReply>, Refusal> {
    // What is wrong with a request is no business of an unauthenticated client, nor what we parse it with.
    let Ok(Json(request)) = request else { return Err(MemberError::Token.into()) };
    let token: Token = request.token.reveal().parse().map_err(|_| MemberError::Token)?;
    let admitted = soon(&state, move |state| {
        let admitted = state.members.admit(&token, request.by, &request.request_pem);
        state.nodes.apply_standings(&state.members.node_standings());
        admitted
    })
    .await;
    admitted.map(Json).map_err(|error| {
        tracing::warn!(error = %bootstash_base::error::Chain(&error), "nobody joined");
        match error {
            // Told to nobody but who has a token that counts.
            MemberError::Joiner { .. } => error.into(),
            _ => MemberError::Token.into(),
        }
    })
}

pub(super) async fn renew(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Principal>,
    Json(request): Json<RenewRequest>,
) -> Result<Json<CertificateReply>, Refusal> {
    let Principal::Member { identity, serial } = caller else { return Err(MemberError::Expelled.into()) };
    Ok(Json(soon(&state, move |state| state.members.renew(&identity, &serial, &request.request_pem)).await?))
}

pub(super) async fn invite(
    Shared(state): Shared<State>,
    Json(request): Json<InviteRequest>,
) -> Result<Json<InviteReply>, Refusal> {
    let lifetime = request.lifetime_seconds.map_or(INVITATION, Duration::from_secs);
    Ok(Json(soon(&state, move |state| state.members.invite(request.identity, lifetime)).await?))
}

pub(super) async fn expel(
    Shared(state): Shared<State>,
    Query(query): Query<ExpelQuery>,
) -> Result<Json<ExpelReply>, Refusal> {
    Ok(Json(part_with(&state, query.identity).await?))
}

/// The caller's own certificates: it has another name now, or another registrar.
pub(super) async fn leave(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Principal>,
) -> Result<Json<ExpelReply>, Refusal> {
    let identity = caller.identity().cloned().ok_or(MemberError::Expelled)?;
    Ok(Json(part_with(&state, identity).await?))
}

/// Takes all certificates of one away; of a node nothing is shown, kept or sent from then on.
async fn part_with(state: &State, identity: Identity) -> Result<ExpelReply, MemberError> {
    soon(state, move |state| {
        let Identity::Node(node) = &identity else { return state.members.expel(&identity) };
        // First, as who leaves is cut off the moment it counts, and may ask for the list before we go on here.
        state.nodes.apply_standings(&[(node.clone(), Some(clock::now()))].into());
        let parted = state.members.expel(&identity);
        state.nodes.apply_standings(&state.members.node_standings());
        let reply = parted?;
        state.multicast.expel(node);
        state.peers.remove(node);
        Ok(reply)
    })
    .await
}

pub(super) async fn list(Shared(state): Shared<State>) -> Json<Vec<MemberView>> {
    Json(state.members.views())
}

/// A small file is written and synced. All of `work` is done even where the caller's connection ends meanwhile, as it
/// does where they expel themselves.
async fn soon<T: Send + 'static>(
    state: &State,
    work: impl FnOnce(&State) -> Result<T, MemberError> + Send + 'static,
) -> Result<T, MemberError> {
    let state = state.clone();
    let done = tokio::task::spawn_blocking(move || work(&state)).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
