//! `images` and `deregister`.

use super::cli::{DeregisterArgs, ImagesArgs};
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, ago, low_trust, or_dash, short_snapshot, size, table};
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::Confidence;
use bootstash_net::api::{Client, DeregisterQuery, DeregisterReply, ImageView, ImagesQuery, routes};
use bootstash_zfs::Removed;
use chrono::{DateTime, Utc};

/// How many images an answer holds at most.
const PAGE: usize = 1000;

/// Lists what the registrar has registered; on a host without one, what the agent holds.
pub(super) async fn list(daemons: &Daemons, args: ImagesArgs) -> Result<(), CommandError> {
    let (_, client) = daemons.first()?;
    let query = ImagesQuery { pattern: args.pattern, after: None, limit: args.limit };
    let images = all_pages(&client, query.clone()).await?;
    if args.json {
        output::json(&images)
    } else if images.is_empty() && query.pattern.is_some() {
        output::line("no image has such a name")
    } else {
        output::line(&images_text(&images, Utc::now()))
    }
}

/// Asks for them in parts, so that no answer is long.
pub(super) async fn all_pages(
    client: &Client,
    mut query: ImagesQuery,
) -> Result<Vec<ImageView>, CommandError> {
    let most = query.most();
    let mut images: Vec<ImageView> = Vec::new();
    while images.len() < most {
        query.limit = Some(PAGE.min(most - images.len()));
        let mut page: Vec<ImageView> = client.get(routes::IMAGES, &query).await?;
        let is_last = page.len() != query.most();
        // A daemon of an earlier version gives all there are, whatever it is asked.
        page.retain(|image| query.wants(&image.manifest.name));
        query.after = page.last().map(|image| image.manifest.name.clone());
        images.append(&mut page);
        if is_last || query.after.is_none() {
            break;
        }
    }
    images.truncate(most);
    Ok(images)
}

/// Forgets an image.
pub(super) async fn deregister(daemons: &Daemons, args: DeregisterArgs) -> Result<(), CommandError> {
    let reply = ask(&daemons.need(Daemon::Registrar)?, &args).await?;
    if args.json { output::json(&reply) } else { output::line(&deregistered_text(&args.name, &reply)) }
}

async fn ask(registrar: &Client, args: &DeregisterArgs) -> Result<DeregisterReply, CommandError> {
    let path = routes::IMAGE.replace("{name}", args.name.as_str());
    Ok(registrar.delete(&path, &DeregisterQuery { publish: args.publish }).await?)
}

fn images_text(images: &[ImageView], now: DateTime<Utc>) -> String {
    if images.is_empty() {
        return "no images are registered".to_owned();
    }
    let columns = [
        Column::Left("NAME"),
        Column::Left("FORMAT"),
        Column::Right("SIZE"),
        Column::Right("CACHE"),
        Column::Right("BOOTS"),
        Column::Left("TRUST"),
        Column::Left("SNAPSHOT"),
        Column::Left("REGISTERED"),
    ];
    let doubted = images.iter().filter_map(|image| {
        let doubt = image.manifest.doubt()?;
        Some((image.manifest.name.to_string(), doubt.to_string()))
    });
    table(&columns, images.iter().map(|image| row(image, now)).collect()) + &low_trust(doubted)
}

fn row(image: &ImageView, now: DateTime<Utc>) -> Vec<String> {
    let manifest = &image.manifest;
    let trust = match manifest.confidence {
        Confidence::High => "high",
        Confidence::Low => "low",
    };
    vec![
        manifest.name.to_string(),
        manifest.source.format.to_string(),
        size(manifest.source.virtual_size_bytes),
        size(manifest.cache.bytes),
        manifest.boots.len().to_string(),
        trust.to_owned(),
        or_dash(image.snapshot.as_ref().map(short_snapshot)),
        ago(manifest.registered, now),
    ]
}

fn deregistered_text(name: &ImageName, reply: &DeregisterReply) -> String {
    let told = match &reply.published {
        Some(snapshot) => format!("; nodes learn it from snapshot {snapshot}"),
        None => "; nodes learn it with the next snapshot".to_owned(),
    };
    match (reply.outcome, &reply.published) {
        (Removed::Removed, _) => format!("deregistered {name}{told}"),
        (Removed::Unchanged, None) => format!("{name} is not registered; nothing changed"),
        (Removed::Unchanged, Some(_)) => format!("{name} was not registered any more{told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
    use bootstash_base::error::ErrorClass;
    use chrono::TimeDelta;

    #[test]
    fn images_fit_in_80_columns() {
        let now = Utc::now();
        let mut image = stub::image("debian12-nginx", now - TimeDelta::hours(3));
        let mut other = image.clone();
        other.manifest.name = "alpine".parse().unwrap();
        other.manifest.confidence = Confidence::Low;
        other.manifest.boots.truncate(1);
        other.snapshot = None;
        image.manifest.source.virtual_size_bytes = 2 << 30;
        assert_eq!(
            images_text(&[image, other], now),
            "NAME            FORMAT  SIZE   CACHE  BOOTS  TRUST  SNAPSHOT   REGISTERED\n\
             debian12-nginx  raw       2G  118.3M      2  high   bs-000042  3 h ago\n\
             alpine          raw       8G  118.3M      1  low    -          3 h ago\n\n\
             low trust:\n\
             \x20 alpine: only one boot was made, and none to show that it had read all"
        );
        assert_eq!(images_text(&[], now), "no images are registered");
    }

    #[tokio::test]
    async fn asks_the_agent_where_there_is_no_registrar() {
        let image = stub::image("debian12", Utc::now());
        let agent = stub::Stub::agent(
            axum::Router::new()
                .route(routes::IMAGES, axum::routing::get(move || async move { axum::Json(vec![image]) })),
        );
        let (daemon, client) = agent.daemons().first().unwrap();
        assert_eq!(daemon, Daemon::Agent);
        let images: Vec<ImageView> = client.get(routes::IMAGES, &()).await.unwrap();
        assert_eq!(images[0].manifest.name.as_str(), "debian12");
    }

    /// Serves images of these names, as this version does or as those before did.
    fn serving(names: Vec<String>, knows_pages: bool) -> stub::Stub {
        let list = move |axum::extract::Query(query): axum::extract::Query<ImagesQuery>| async move {
            let all = names.iter().map(|name| stub::image(name, DateTime::UNIX_EPOCH));
            let wanted = all.filter(|image| !knows_pages || query.wants(&image.manifest.name));
            axum::Json(wanted.take(if knows_pages { query.most() } else { usize::MAX }).collect::<Vec<_>>())
        };
        stub::Stub::registrar(axum::Router::new().route(routes::IMAGES, axum::routing::get(list)))
    }

    #[tokio::test]
    async fn lists_by_pages_whatever_the_daemon_knows_of_them() {
        for (count, knows_pages) in [(2 * PAGE + 7, true), (PAGE, true), (PAGE, false), (7, false)] {
            let names: Vec<_> = (0..count).map(|number| format!("image{number:05}")).collect();
            let stub = serving(names.clone(), knows_pages);
            let client = stub.daemons().need(Daemon::Registrar).unwrap();
            let list = async |pattern: Option<&str>, limit| {
                let pattern = pattern.map(|pattern| pattern.parse().unwrap());
                let images = all_pages(&client, ImagesQuery { pattern, after: None, limit }).await.unwrap();
                images.iter().map(|image| image.manifest.name.to_string()).collect::<Vec<_>>()
            };
            assert_eq!(list(None, None).await, names, "{count} {knows_pages}");
            assert_eq!(list(None, Some(5)).await, names[..5], "{count} {knows_pages}");
            assert_eq!(list(Some("*0000[23]"), None).await, names[2..4], "{count} {knows_pages}");
            assert_eq!(list(Some("other"), Some(1)).await.len(), 0, "{count} {knows_pages}");
        }
        assert!("[".parse::<bootstash_net::api::ImagePattern>().is_err());
    }

    #[tokio::test]
    async fn deregisters_by_name_and_tells_nodes_when_asked() {
        let app = axum::Router::new().route(
            routes::IMAGE,
            axum::routing::delete(
                |axum::extract::Path(name): axum::extract::Path<String>,
                 axum::extract::Query(query): axum::extract::Query<DeregisterQuery>| async move {
                    if name != "debian12" {
                        return Err(stub::refusal(409, "busy being registered", ErrorClass::Busy));
                    }
                    let published = query.publish.then(|| stub::snapshot(43));
                    Ok(axum::Json(DeregisterReply { outcome: Removed::Removed, published }))
                },
            ),
        );
        let stub = stub::Stub::registrar(app);
        let args = |name: &str, publish| DeregisterArgs { name: name.parse().unwrap(), publish, json: false };
        let client = stub.daemons().need(Daemon::Registrar).unwrap();
        let reply = ask(&client, &args("debian12", true)).await.unwrap();
        assert_eq!(
            deregistered_text(&"debian12".parse().unwrap(), &reply),
            "deregistered debian12; nodes learn it from snapshot bs-000043-20261121T101530Z"
        );
        let error = ask(&client, &args("other", false)).await.unwrap_err();
        assert_eq!(super::super::failure::text(&error), "error: busy being registered");
    }
}
