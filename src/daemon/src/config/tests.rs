//! Each way a configuration can be wrong, and that the error says where and what to do.

use super::*;
use bootstash_base::error::Chain;
use std::path::PathBuf;

struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

fn registrar(text: &str) -> Result<RegistrarConfig, String> {
    load_registrar(&file(text).path).map_err(|error| Chain(&error).to_string())
}

fn agent(text: &str) -> Result<AgentConfig, String> {
    load_agent(&file(text).path).map_err(|error| Chain(&error).to_string())
}

const AGENT: &str = "registrar = \"https://10.0.0.1:7430\"\ndataset = \"tank/bootstash\"\n";

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, String>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(!error.contains('\n'), "more than a line: {error}");
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[test]
fn one_key_is_enough() {
    let config = registrar("dataset = \"tank/bootstash\"").unwrap();
    assert_eq!(config.listen.port(), 7430);
    assert_eq!(config.capture, CaptureConfig::default());
    let config = agent("dataset = \"tank/bootstash\"").unwrap();
    assert_eq!(config.window.as_secs(), 7 * 24 * 3600);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    refused(
        registrar("dataset = \"tank/b\"\nstate_dri = \"/x\"\n"),
        &["config.toml, line 2,", "state_dri", "`state_dir`", "`listen`"],
    );
    refused(
        registrar("dataset = \"tank/b\"\n\n[capture]\nquite = \"3s\"\n"),
        &["line 4,", "quite", "`quiet`", "`boot_timeout`"],
    );
}

#[test]
fn a_missing_key_and_a_wrong_value_are_named() {
    refused(registrar(""), &["config.toml is not valid", "missing field `dataset`"]);
    refused(registrar("dataset = \"tank/b\"\nwindow = \"7 lightyears\"\n"), &["line 2,"]);
    refused(registrar("dataset = \"../b\"\n"), &["line 1,", "data set", "pool/name"]);
    refused(registrar("dataset = \n"), &["line 1,"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load_registrar(&PathBuf::from("/nonexistent/registrar.toml")).unwrap_err();
    assert!(Chain(&error).to_string().starts_with("cannot read /nonexistent/registrar.toml: No such file"));
}

#[test]
fn a_data_set_lies_below_its_pool() {
    refused(registrar("dataset = \"tank\""), &["root of a pool", "\"tank/bootstash-registrar\""]);
    refused(
        agent("registrar = \"https://r\"\ndataset = \"tank\""),
        &["root of a pool", "\"tank/bootstash-agent\""],
    );
}

#[test]
fn a_certificate_counts_for_some_time() {
    let lifetime =
        |text: &str| registrar(&format!("dataset = \"tank/b\"\ncertificate_lifetime = \"{text}\""));
    refused(lifetime("59m"), &["certificate_lifetime", "at least 3600"]);
    lifetime("1h").unwrap();
}

#[test]
fn paths_are_absolute() {
    for key in ["state_dir", "socket"] {
        refused(registrar(&format!("dataset = \"t/b\"\n{key} = \"here\"")), &[key, "not absolute"]);
    }
    for key in ["state_dir", "socket", "views_dir"] {
        refused(agent(&format!("{AGENT}{key} = \"here\"")), &[key, "not absolute"]);
    }
    for key in ["overlay_dirs", "touched_dirs"] {
        refused(agent(&format!("{AGENT}{key} = [\"/vms\", \"here\"]")), &[key, "not absolute"]);
    }
}

#[test]
fn a_registrar_is_a_plain_address() {
    for good in
        ["https://storage", "https://storage:7430", "https://10.0.0.1:7430/", "https://[fd00::1]:7430"]
    {
        agent(&format!("registrar = \"{good}\"\ndataset = \"tank/b\"")).unwrap();
    }
    for bad in [
        "storage",
        " https://s",
        "https://s ",
        "storage:7430",
        "http://storage",
        "https://",
        "https://s/v1",
        "https://a:b@s",
        "https://s?x",
    ] {
        refused(agent(&format!("registrar = \"{bad}\"\ndataset = \"tank/b\"")), &[bad, "https://host:7430"]);
    }
}

#[test]
fn a_refusal_is_printable_whatever_it_quotes() {
    let error = agent(&format!("{AGENT}[peers]\nadvertise = \"c17\\u001b[2J\\n:80\"")).unwrap_err();
    assert!(error.contains("peers.advertise") && !error.contains(char::is_control), "{error:?}");
}

#[test]
fn capture_limits_make_sense_together() {
    let capture = |line: &str| registrar(&format!("dataset = \"t/b\"\n[capture]\n{line}"));
    refused(capture("max_boots = 0"), &["capture.max_boots = 0", "at least 1"]);
    refused(capture("parallel = 0"), &["capture.parallel"]);
    refused(capture("cpus = 0"), &["capture.cpus"]);
    refused(
        capture("profiles = [\"libvirt\", \"vmware\"]"),
        &["line 3,", "no hardware profile \"vmware\"", "libvirt, openstack, libvirt-scsi"],
    );
    refused(capture("profiles = []"), &["at least one of: libvirt"]);
    refused(capture("memory_mib = 8"), &["capture.memory_mib = 8", "at least 64"]);
    refused(capture("boot_timeout = \"0s\""), &["capture.boot_timeout is zero"]);
    refused(capture("quiet = \"11m\""), &["capture.quiet (660 s)", "boot_timeout (600 s)"]);
    refused(capture("boot_timeout = \"1m\""), &["capture.quiet_without_signal"]);
    refused(registrar("dataset = \"t/b\"\nwindow = \"0s\""), &["window is zero"]);
    refused(registrar("dataset = \"t/b\"\nwindow = \"101years\""), &["window is longer than a century"]);
    refused(capture("boot_timeout = \"999999999y\""), &["capture.boot_timeout is longer"]);
}

#[test]
fn serving_limits_leave_each_download_something() {
    let serving = |line: &str| registrar(&format!("dataset = \"t/b\"\n[serving]\n{line}"));
    assert_eq!(serving("").unwrap().serving, ServingConfig::default());
    refused(serving("downloads = 1"), &["serving.downloads = 1", "at least 2"]);
    refused(serving("full_streams = 0"), &["serving.full_streams = 0", "at least 1"]);
    refused(serving("rate_bytes_per_second = 0"), &["line 3,", "nonzero"]);
    refused(
        serving("rate_bytes_per_second = 1000"),
        &[
            "serving.rate_bytes_per_second = 1000",
            "16 downloads",
            "at least 65536",
            "lower serving.downloads",
        ],
    );
    serving("rate_bytes_per_second = 65536").unwrap();
}

#[test]
fn what_is_served_to_peers_must_be_reachable() {
    let peers = |lines: &str| agent(&format!("{AGENT}[peers]\n{lines}"));
    assert_eq!(peers("").unwrap().peers, PeersConfig::default());
    peers("listen = \"127.0.0.1:7432\"\nadvertise = \"c17:80\"").unwrap();
    refused(peers("advertise = \"http://c17:80\""), &["peers.advertise", "host and port"]);
    refused(peers("downloads = 0"), &["peers.downloads = 0"]);
    refused(peers("rate_bytes_per_second = 100"), &["peers.rate_bytes_per_second", "4 downloads"]);
}

#[test]
fn whose_file_it_is_shows_in_its_keys() {
    let any = |text: &str, kind| load_any(&file(text).path, kind).map_err(|error| Chain(&error).to_string());
    assert!(matches!(any(AGENT, None), Ok(ConfigFile::Agent(_))));
    assert!(matches!(any("dataset = \"t/b\"", None), Ok(ConfigFile::Registrar(_))));
    assert!(matches!(any("dataset = \"t/b\"\nviews_dir = \"/v\"", None), Ok(ConfigFile::Agent(_))));
    refused(any("dataset = \"t/b\"\n[capture]\nx = 1", None), &["unknown field `x`"]);
    assert!(matches!(any("dataset = \"t/b\"", Some(ConfigKind::Agent)), Ok(ConfigFile::Agent(_))));
    refused(any(AGENT, Some(ConfigKind::Registrar)), &["unknown field `registrar`"]);
}
