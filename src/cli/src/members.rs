//! `node`, `operator`, `monitor`: inviting and expelling; and `members`.

use super::cli::{ExpelArgs, InviteArgs, ListArgs, MemberVerb};
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, table};
use bootstash_net::api::{
    Client, Endpoint, ExpelQuery, ExpelReply, InviteReply, InviteRequest, Joiner, MemberView, routes,
};
use bootstash_net::identity::Identity;
use chrono::{DateTime, Utc};

/// Invites or expels one of a role.
pub(super) async fn change(daemons: &Daemons, role: &str, verb: MemberVerb) -> Result<(), CommandError> {
    let registrar = daemons.need(Daemon::Registrar)?;
    match verb {
        MemberVerb::Invite(args) => invite(&registrar, role, args).await,
        MemberVerb::Expel(args) => expel(&registrar, role, args).await,
    }
}

/// Lists who was let in.
pub(super) async fn list(daemons: &Daemons, args: ListArgs) -> Result<(), CommandError> {
    let members: Vec<MemberView> = daemons.need(Daemon::Registrar)?.get(routes::MEMBERS, &()).await?;
    if args.json { output::json(&members) } else { output::line(&members_text(&members)) }
}

async fn invite(registrar: &Client, role: &str, args: InviteArgs) -> Result<(), CommandError> {
    let identity: Identity = format!("{role}:{}", args.name).parse()?;
    let request = InviteRequest { identity, lifetime_seconds: Some(args.lifetime.as_secs()) };
    let reply: InviteReply = registrar.post(routes::INVITATIONS, &request).await?;
    if args.json {
        return output::json(&reply);
    }
    eprintln!("for {}, once, until {}:", reply.identity, minute(reply.expires));
    output::line(&command(registrar.endpoint(), &reply))
}

/// What to type where it is to be used.
fn command(endpoint: &Endpoint, reply: &InviteReply) -> String {
    let program = Joiner::of(&reply.identity).program();
    let url = match endpoint {
        Endpoint::Tcp(url) => url.clone(),
        Endpoint::Unix(_) => format!("https://{}:{}", host_name(), reply.port),
    };
    format!("{program} join {url} {}", reply.token.reveal())
}

/// As others may know this host.
fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "HOST".to_owned())
}

async fn expel(registrar: &Client, role: &str, args: ExpelArgs) -> Result<(), CommandError> {
    let identity: Identity = format!("{role}:{}", args.name).parse()?;
    let query = ExpelQuery { identity: identity.clone() };
    let reply: ExpelReply = registrar.delete(routes::MEMBERS, &query).await?;
    if args.json { output::json(&reply) } else { output::line(&expelled_text(&identity, reply)) }
}

fn expelled_text(identity: &Identity, reply: ExpelReply) -> String {
    match (reply.certificates, reply.invitations) {
        (0, 0) => format!("{identity} has no certificate and no invitation: unchanged"),
        (0, _) => format!("the invitation of {identity} does not count any more"),
        _ => format!("{identity} is expelled"),
    }
}

fn members_text(members: &[MemberView]) -> String {
    if members.is_empty() {
        return "nobody was let in yet; `bootstash node invite NAME` begins".to_owned();
    }
    let columns =
        [Column::Left("MEMBER"), Column::Left("SINCE"), Column::Left("UNTIL"), Column::Left("EXPELLED")];
    table(&columns, members.iter().map(row).collect())
}

fn row(member: &MemberView) -> Vec<String> {
    let expelled = member.expelled.map_or_else(|| "-".to_owned(), minute);
    vec![member.identity.to_string(), day(member.issued), day(member.expires), expelled]
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_net::api::Secret;

    #[test]
    fn an_invitation_is_a_command_to_paste() {
        let reply = |identity: &str| InviteReply {
            identity: identity.parse().unwrap(),
            token: Secret::new("bootstash-abc".to_owned()),
            expires: DateTime::UNIX_EPOCH,
            port: 7430,
        };
        let there = Endpoint::Tcp("https://storage:7430".to_owned());
        assert_eq!(
            command(&there, &reply("node:c1")),
            "bootstash-agent join https://storage:7430 bootstash-abc"
        );
        assert_eq!(
            command(&there, &reply("operator:ada")),
            "bootstash join https://storage:7430 bootstash-abc"
        );
        let here = command(&Endpoint::Unix("/run/r.sock".into()), &reply("monitor:prometheus"));
        assert!(here.starts_with("bootstash join https://") && here.contains(":7430 "), "{here}");
    }

    #[test]
    fn expelling_nobody_is_said_so() {
        let ada: Identity = "operator:ada".parse().unwrap();
        let text = |certificates, invitations| expelled_text(&ada, ExpelReply { certificates, invitations });
        assert!(text(0, 0).ends_with("unchanged"));
        assert!(text(0, 1).contains("invitation of operator ada"));
        assert_eq!(text(2, 1), "operator ada is expelled");
    }

    #[test]
    fn members_fit_a_line() {
        let member = |expelled| MemberView {
            identity: "node:c17.example".parse().unwrap(),
            serial: serde_json::from_str("\"40\"").unwrap(),
            issued: DateTime::UNIX_EPOCH,
            expires: DateTime::UNIX_EPOCH,
            expelled,
        };
        let text = members_text(&[member(None), member(Some(DateTime::UNIX_EPOCH))]);
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
