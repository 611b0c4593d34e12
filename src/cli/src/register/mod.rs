//! `register`: ask for an image to be registered, and follow the job to its end.

mod follow;
mod interrupted;
mod live;
#[cfg(test)]
pub(super) mod samples;
mod steps;
mod watch;

use super::cli::RegisterArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::{CommandError, INTERRUPTED};
use super::{cancel, output, path};
use bootstash_disk::refuse_url;
use bootstash_net::api::{
    CaptureChoices, Client, ImageView, JobId, JobOutcome, JobView, RegisterReply, RegisterRequest, routes,
};
use follow::{RETRY_BUDGET, follow};
use interrupted::Choice;
use live::Live;
use std::io::IsTerminal;
use std::process::ExitCode;
pub(super) use steps::under_way;
use watch::{Json, Plain, Watch};

/// Registers an image. Who interrupts it at a terminal chooses what becomes of the registration; else it goes on.
pub(super) async fn register(daemons: &Daemons, args: RegisterArgs) -> Result<ExitCode, CommandError> {
    let registrar = daemons.need(Daemon::Registrar)?;
    let reply = ask(&registrar, &args).await?;
    match &reply {
        _ if args.json && is_final(&reply, &args) => output::json_line(&reply)?,
        RegisterReply::Unchanged { image } => output::line(&unchanged_text(image))?,
        RegisterReply::Started { job } if args.detach => output::line(&detached_text(*job, &args))?,
        RegisterReply::Started { job } => return to_the_end(&registrar, *job, &args).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_final(reply: &RegisterReply, args: &RegisterArgs) -> bool {
    args.detach || matches!(reply, RegisterReply::Unchanged { .. })
}

async fn ask(registrar: &Client, args: &RegisterArgs) -> Result<RegisterReply, CommandError> {
    Ok(registrar.post(routes::IMAGES, &request(args)?).await?)
}

fn request(args: &RegisterArgs) -> Result<RegisterRequest, CommandError> {
    refuse_url(&args.source)?;
    Ok(RegisterRequest {
        name: args.name.to_string(),
        source: path::absolute(&args.source)?,
        format: args.format,
        cache: args.cache.as_deref().map(path::absolute).transpose()?,
        require: args.require,
        capture: CaptureChoices {
            firmware: args.firmware.0,
            no_seed: args.no_seed,
            profiles: args.profiles.clone(),
            complete: args.complete,
        },
    })
}

async fn to_the_end(registrar: &Client, job: JobId, args: &RegisterArgs) -> Result<ExitCode, CommandError> {
    let mut watch = watch_for(args);
    let end = tokio::select! {
        end = follow(registrar, job, &RETRY_BUDGET, watch.as_mut()) => Some(end?),
        _ = tokio::signal::ctrl_c() => None,
    };
    watch.close();
    drop(watch);
    match end {
        Some(end) => conclude(&end, args.json),
        None => {
            eprintln!("\n{}", interrupted(registrar, job, args).await?);
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Does what the user chooses, and says so.
async fn interrupted(registrar: &Client, job: JobId, args: &RegisterArgs) -> Result<String, CommandError> {
    let at_a_terminal = !args.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if at_a_terminal && interrupted::ask(&args.name, job).await == Choice::Cancel {
        return Ok(cancel::cancelled_text(&cancel::ask(registrar, job).await?));
    }
    Ok(detached_text(job, args))
}

fn watch_for(args: &RegisterArgs) -> Box<dyn Watch> {
    if args.json {
        Box::new(Json)
    } else if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
        Box::new(Live::new())
    } else {
        Box::new(Plain::default())
    }
}

fn conclude(end: &JobView, json: bool) -> Result<ExitCode, CommandError> {
    match &end.outcome {
        Some(JobOutcome::Failed { step, error, kind }) => Err(CommandError::Registration {
            name: end.name.clone(),
            step: *step,
            error: error.clone(),
            kind: *kind,
        }),
        Some(JobOutcome::Cancelled { step }) => {
            Err(CommandError::RegistrationCancelled { name: end.name.clone(), job: end.id, step: *step })
        }
        _ if json => Ok(ExitCode::SUCCESS),
        _ => output::line(&steps::summary(end)).map(|()| ExitCode::SUCCESS),
    }
}

fn unchanged_text(image: &ImageView) -> String {
    let manifest = &image.manifest;
    let cache = super::render::size_in_words(manifest.cache.bytes);
    format!(
        "{} is registered already, from {}; nothing changed\n  cache     {cache}, {}\n  snapshot  {}{}",
        manifest.name,
        manifest.source.path.display(),
        steps::boots(manifest.boots.len()),
        super::render::or_dash(image.snapshot.as_ref()),
        steps::trust(manifest.doubt().map(|doubt| doubt.to_string()).as_deref()),
    )
}

fn detached_text(job: JobId, args: &RegisterArgs) -> String {
    format!(
        "the registration of {} goes on as job {job}; `bootstash jobs` shows it, the same `bootstash register` follows it, `bootstash cancel {job}` cancels it",
        args.name
    )
}

#[cfg(test)]
mod tests {
    use super::super::cli::FirmwareChoice;
    use super::super::stub::{self, Stub};
    use super::*;
    use axum::extract::{Path, Query, State};
    use axum::{Router, routing};
    use bootstash_base::error::ErrorClass;
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    type Asked = Arc<Mutex<Vec<String>>>;

    async fn submit(axum::Json(request): axum::Json<RegisterRequest>) -> axum::response::Response {
        use axum::response::IntoResponse;
        if request.name == "taken" {
            return stub::refusal(409, "the name taken is in use", ErrorClass::Permanent).into_response();
        }
        assert!(request.source.is_absolute());
        axum::Json(RegisterReply::Started { job: JobId(7) }).into_response()
    }

    /// News in three answers: what comes after sequence number 0, 1 and so on.
    async fn job(
        State(asked): State<Asked>,
        Path(id): Path<u64>,
        Query(query): Query<HashMap<String, u64>>,
    ) -> axum::Json<JobView> {
        let after = query.get("after").copied();
        asked.lock().unwrap().push(format!("{id} after {after:?}"));
        axum::Json(match after {
            None => samples::inspecting(),
            Some(seq) if seq < samples::capturing().seq => samples::capturing(),
            Some(_) => samples::registered(),
        })
    }

    fn registrar(asked: &Asked) -> Stub {
        Stub::registrar(
            Router::new()
                .route(routes::IMAGES, routing::post(submit))
                .route(routes::JOB, routing::get(job))
                .with_state(asked.clone()),
        )
    }

    fn args(name: &str) -> RegisterArgs {
        RegisterArgs {
            name: name.parse().unwrap(),
            source: "Cargo.toml".into(),
            format: None,
            cache: None,
            profiles: None,
            require: None,
            firmware: FirmwareChoice::default(),
            no_seed: false,
            complete: false,
            json: false,
            detach: false,
        }
    }

    #[test]
    fn a_url_is_refused_as_one_and_not_as_a_file_that_is_missing() {
        let args = RegisterArgs { source: "https://images/debian.qcow2".into(), ..args("a") };
        let error = request(&args).unwrap_err().to_string();
        assert!(error.contains("https://images/debian.qcow2 is a URL"), "{error}");
    }

    #[derive(Default)]
    struct Seen(Vec<u64>);

    impl Watch for Seen {
        fn news(&mut self, job: &JobView) -> Result<(), CommandError> {
            self.0.push(job.seq);
            Ok(())
        }
        fn notice(&mut self, _: &str) {}
        fn close(&mut self) {}
    }

    #[tokio::test]
    async fn follows_a_job_by_asking_for_what_comes_after() {
        let asked = Asked::default();
        let stub = registrar(&asked);
        let client = stub.daemons().need(Daemon::Registrar).unwrap();
        let Ok(RegisterReply::Started { job }) = ask(&client, &args("debian12")).await else {
            panic!("not started")
        };
        let mut seen = Seen::default();
        let end = follow(&client, job, &RETRY_BUDGET, &mut seen).await.unwrap();
        assert_eq!(seen.0, [1, 4, 9]);
        assert!(matches!(end.outcome, Some(JobOutcome::Registered { .. })));
        assert_eq!(*asked.lock().unwrap(), ["7 after None", "7 after Some(1)", "7 after Some(4)"]);
    }

    #[test]
    fn a_cache_is_asked_for_by_its_absolute_path() {
        assert_eq!(request(&args("debian12")).unwrap().cache, None);
        let here = std::env::current_dir().unwrap();
        let asked = request(&RegisterArgs { cache: Some("src/main.rs".into()), ..args("debian12") }).unwrap();
        assert_eq!(asked.cache, Some(here.join("src/main.rs")));
        let lost = request(&RegisterArgs { cache: Some("/nonexistent/c".into()), ..args("debian12") });
        assert_eq!(lost.unwrap_err().to_string(), "cannot find /nonexistent/c");
    }

    #[tokio::test]
    async fn a_refusal_is_shown_as_the_registrar_words_it() {
        let stub = registrar(&Asked::default());
        let client = stub.daemons().need(Daemon::Registrar).unwrap();
        let error = ask(&client, &args("taken")).await.unwrap_err();
        assert_eq!(super::super::failure::text(&error), "error: the name taken is in use");
    }

    #[test]
    fn a_failed_job_is_an_error_that_names_the_step() {
        let mut end = samples::capturing();
        end.outcome = Some(JobOutcome::Failed {
            step: bootstash_net::api::Step::Capture,
            error: "no login prompt within 600 s".to_owned(),
            kind: ErrorClass::Permanent,
        });
        let error = conclude(&end, true).unwrap_err();
        assert_eq!(
            super::super::failure::text(&error),
            "error: registering debian12 failed at capture: no login prompt within 600 s"
        );
    }

    #[test]
    fn unchanged_says_what_is_there() {
        assert_eq!(
            unchanged_text(&stub::image("debian12", chrono::Utc::now())),
            "debian12 is registered already, from /srv/a.raw; nothing changed\n\
             \x20 cache     118.3 MiB, 2 boots\n\
             \x20 snapshot  bs-000042-20261121T101530Z"
        );
    }
}
