//! Finding out what is wrong.

use super::Site;
use axum::Json;
use axum::extract::State;
use bootstash_net::api::MulticastFindings;
use bootstash_net::server::Refusal;

pub(super) async fn multicast(State(site): State<Site>) -> Result<Json<MulticastFindings>, Refusal> {
    Ok(Json(site.doctor.examine().await?))
}
