//! Configuration files: what is accepted is within the limits that the daemons rely on.

use super::super::Reader;
use crate::fuzz::Verdict;
use anyhow::ensure;
use bootstash_base::error::Chain;
use bootstash_daemon::config::{AgentConfig, ConfigFile, RegistrarConfig, load_any};
use bootstash_net::download_limits::Limits;
use std::time::Duration;

const REGISTRAR: &str = include_str!("../../../../packaging/registrar.toml");
const AGENT: &str = include_str!("../../../../packaging/agent.toml");

/// The examples without their comments, with each value spelled out.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let spelled = |example: &str| {
        let lines = example.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        let is_ours = |line: &&str| {
            let key = line.split_once(" = ").map_or("", |(key, _)| key);
            line.starts_with('[')
                || (!key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        };
        lines.filter(is_ours).collect::<Vec<_>>().join("\n")
    };
    vec![spelled(REGISTRAR).into_bytes(), spelled(AGENT).into_bytes()]
}

pub(super) fn open() -> Reader {
    let dir = super::scratch();
    Box::new(move |text| {
        let dir = dir.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text)?;
        let loaded = load_any(&path, None);
        match &loaded {
            Ok(config) => {
                ensure!(
                    load_any(&path, None).is_ok_and(|again| again == *config),
                    "read again it is another"
                );
                check(config)?;
            }
            Err(error) => {
                let said = Chain(error).to_string();
                ensure!(!said.contains(char::is_control), "the refusal is no line of text: {said:?}");
            }
        }
        Ok(Verdict::of(&loaded))
    })
}

fn check(config: &ConfigFile) -> anyhow::Result<()> {
    match config {
        ConfigFile::Registrar(config) => registrar(config),
        ConfigFile::Agent(config) => agent(config),
    }
}

fn registrar(config: &RegistrarConfig) -> anyhow::Result<()> {
    ensure!(
        config.dataset.parent().is_some() && config.state_dir.is_absolute() && config.socket.is_absolute()
    );
    let capture = &config.capture;
    ensure!(capture.parallel > 0 && capture.max_boots > 0 && capture.cpus > 0 && capture.memory_mib >= 64);
    ensure!(capture.quiet.max(capture.quiet_without_signal) <= capture.boot_timeout);
    for time in [config.window, config.certificate_lifetime, capture.boot_timeout] {
        usable(time)?;
    }
    limits(config.serving.limits())
}

fn agent(config: &AgentConfig) -> anyhow::Result<()> {
    ensure!(config.dataset.parent().is_some());
    let paths = [&config.state_dir, &config.views_dir, &config.socket];
    let paths = paths.into_iter().chain(&config.overlay_dirs).chain(&config.touched_dirs);
    ensure!(paths.into_iter().all(|path| path.is_absolute()));
    if let Some(registrar) = &config.registrar {
        let url = reqwest::Url::parse(registrar)?;
        let plain = !registrar.contains(|c: char| c.is_whitespace() || c.is_control());
        ensure!(plain && url.scheme() == "https" && url.path() == "/" && url.has_host(), "{registrar:?}");
    }
    usable(config.window)?;
    limits(config.peers.limits())
}

/// A daemon adds it to the time of day, and subtracts it.
fn usable(time: Duration) -> anyhow::Result<()> {
    let now = chrono::Utc::now();
    let delta = chrono::TimeDelta::from_std(time)?;
    ensure!(!time.is_zero() && std::time::Instant::now().checked_add(time).is_some());
    ensure!(now.checked_sub_signed(delta).is_some() && now.checked_add_signed(delta).is_some(), "{time:?}");
    Ok(())
}

fn limits(limits: Limits) -> anyhow::Result<()> {
    ensure!(limits.full >= 1 && limits.downloads >= limits.full, "{limits:?}");
    ensure!(limits.rate_bytes_per_second.is_none_or(|rate| rate.get() / limits.downloads as u64 >= 4096));
    Ok(())
}
