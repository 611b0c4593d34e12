//! What a configuration must fulfil beyond the form of each key. Pure: each check answers with the
//! sentence to show, which names the key and what to write instead.

use super::{AgentConfig, CaptureConfig, MulticastConfig, PeersConfig, RegistrarConfig, ServingConfig};
use bootstash_base::names::DatasetName;
use bootstash_multicast::BlockLayout;
use bootstash_net::api::is_authority;
use bootstash_net::download_limits::Limits;
use std::path::Path;
use std::time::Duration;

/// That of the authority.
const LONGEST_CERTIFICATE: Duration = Duration::from_secs(3650 * 86400);

type Check = Result<(), String>;

/// So that what is sent as one (64 KiB) comes well before a reader gives up.
const LEAST_BYTES_PER_SECOND_EACH: u64 = 4096;

/// A time of day can still be added to it: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Checks the registrar's configuration as a whole.
pub(super) fn registrar(config: &RegistrarConfig) -> Check {
    below_a_pool(&config.dataset, "bootstash-registrar")?;
    absolute("state_dir", &config.state_dir)?;
    absolute("socket", &config.socket)?;
    some_time("window", config.window)?;
    at_least("certificate_lifetime", config.certificate_lifetime.as_secs(), 3600)?;
    require(config.certificate_lifetime <= LONGEST_CERTIFICATE, || {
        "certificate_lifetime is longer than the authority's own ten years; give at most 3650d".to_owned()
    })?;
    capture(&config.capture)?;
    serving(&config.serving)?;
    multicast(&config.multicast)
}

/// Checks an agent's configuration as a whole.
pub(super) fn agent(config: &AgentConfig) -> Check {
    below_a_pool(&config.dataset, "bootstash-agent")?;
    absolute("state_dir", &config.state_dir)?;
    absolute("views_dir", &config.views_dir)?;
    config.overlay_dirs.iter().try_for_each(|dir| absolute("overlay_dirs", dir))?;
    config.touched_dirs.iter().try_for_each(|dir| absolute("touched_dirs", dir))?;
    absolute("socket", &config.socket)?;
    some_time("window", config.window)?;
    config.registrar.iter().try_for_each(|url| registrar_url(url))?;
    peers(&config.peers)
}

fn peers(config: &PeersConfig) -> Check {
    if let Some(advertise) = &config.advertise {
        require(is_authority(advertise), || {
            format!("peers.advertise = \"{advertise}\" is no host and port; write it as \"c17.example:7432\"")
        })?;
    }
    at_least("peers.downloads", config.downloads as u64, 1)?;
    enough_each("peers", config.limits())
}

/// A pool's root is the pool's own: our properties on it would be inherited by strangers.
fn below_a_pool(dataset: &DatasetName, usual: &str) -> Check {
    require(dataset.parent().is_some(), || {
        format!(
            "dataset = \"{dataset}\" is the root of a pool; give a file system below it, as \"{dataset}/{usual}\""
        )
    })
}

fn capture(config: &CaptureConfig) -> Check {
    at_least("capture.parallel", config.parallel as u64, 1)?;
    at_least("capture.max_boots", config.max_boots.into(), 1)?;
    at_least("capture.cpus", config.cpus.into(), 1)?;
    at_least("capture.memory_mib", config.memory_mib.into(), 64)?;
    at_least("capture.overlay_mib", config.overlay_mib.into(), 64)?;
    some_time("capture.boot_timeout", config.boot_timeout)?;
    within_a_boot("quiet", config.quiet, config.boot_timeout)?;
    within_a_boot("quiet_without_signal", config.quiet_without_signal, config.boot_timeout)
}

fn serving(config: &ServingConfig) -> Check {
    at_least("serving.full_streams", config.full_streams as u64, 1)?;
    at_least("serving.downloads", config.downloads as u64, config.full_streams as u64)?;
    enough_each("serving", config.limits())
}

/// The lowest rate at which a block of the usual cut comes within a few seconds: 2 Mbit/s.
const LEAST_MULTICAST_BYTES_PER_SECOND: u64 = 250_000;

fn multicast(config: &MulticastConfig) -> Check {
    require(config.group.is_none() || config.interface.is_some(), || {
        "multicast.group is given and multicast.interface is not; name the network interface to send by"
            .to_owned()
    })?;
    let rate = config.rate_bytes_per_second.get();
    at_least("multicast.rate_bytes_per_second", rate, LEAST_MULTICAST_BYTES_PER_SECOND)?;
    at_least("multicast.ttl", config.ttl.into(), 1)?;
    // Any length would do; the symbol's own rules are the session's.
    BlockLayout::with_symbol_bytes(1, config.symbol_bytes)
        .map(drop)
        .map_err(|error| format!("multicast.symbol_bytes: {error}; usual is 1408, for an MTU of 1500"))
}

/// A download that gets next to nothing is given up by who reads it, and begins anew for ever.
fn enough_each(section: &str, limits: Limits) -> Check {
    let Some(rate) = limits.rate_bytes_per_second else { return Ok(()) };
    let least = LEAST_BYTES_PER_SECOND_EACH.saturating_mul(limits.downloads as u64);
    require(rate.get() >= least, || {
        format!(
            "{section}.rate_bytes_per_second = {rate} leaves {} downloads less than {LEAST_BYTES_PER_SECOND_EACH} \
             bytes a second each; give at least {least}, or lower {section}.downloads",
            limits.downloads
        )
    })
}

fn within_a_boot(key: &str, wait: Duration, boot_timeout: Duration) -> Check {
    require(wait <= boot_timeout, || {
        format!(
            "capture.{key} ({} s) is longer than capture.boot_timeout ({} s), so that every boot would be given up; \
             shorten the one or lengthen the other",
            wait.as_secs_f64(),
            boot_timeout.as_secs_f64()
        )
    })
}

fn registrar_url(text: &str) -> Check {
    bootstash_net::api::registrar_url(text)
        .map(drop)
        .map_err(|error| format!("registrar = \"{text}\" {}; write it as \"https://host:7430\"", error.0))
}

fn absolute(key: &str, path: &Path) -> Check {
    require(path.is_absolute(), || {
        format!("{key} = \"{}\" is not absolute; write it from / on", path.display())
    })
}

fn some_time(key: &str, time: Duration) -> Check {
    require(!time.is_zero(), || format!("{key} is zero; give a time as \"7d\" or \"10m\""))?;
    require(time <= LONGEST, || format!("{key} is longer than a century; give a time as \"7d\" or \"10m\""))
}

fn at_least(key: &str, value: u64, least: u64) -> Check {
    require(value >= least, || format!("{key} = {value} is too small; it is at least {least}"))
}

fn require(holds: bool, problem: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(problem()) }
}
