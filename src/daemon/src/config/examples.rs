//! The packaged examples: they load, name every key, and what they call a default is one.

use super::{ConfigFile, ConfigKind, load_any};
use bootstash_base::error::Chain;

const REGISTRAR: &str = include_str!("../../../../packaging/registrar.toml");
const AGENT: &str = include_str!("../../../../packaging/agent.toml");
/// Commented out, but only examples: what is not given there has no value of its own.
const NO_DEFAULT: [&str; 7] = [
    "# node = ",
    "# registrar = ",
    "# rate_bytes_per_second = ",
    "# listen = \"10.0.0.17:7432\"",
    "# advertise = ",
    "# group = ",
    "# interface = ",
];

fn load(text: &str, kind: Option<ConfigKind>) -> Result<ConfigFile, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("example.toml");
    std::fs::write(&path, text).unwrap();
    load_any(&path, kind).map_err(|error| Chain(&error).to_string())
}

/// `# key = value`, not prose.
fn setting(line: &str) -> Option<&str> {
    let text = line.strip_prefix("# ")?;
    let (key, _) = text.split_once(" = ")?;
    key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(text)
}

fn with_defaults_written_out(example: &str) -> String {
    let lines = example.lines().map(|line| match setting(line) {
        Some(text) if !NO_DEFAULT.iter().any(|start| line.starts_with(start)) => text,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_loads_as_what_it_is() {
    assert!(matches!(load(REGISTRAR, None), Ok(ConfigFile::Registrar(_))));
    assert!(matches!(load(AGENT, None), Ok(ConfigFile::Agent(_))));
}

/// Both daemons can run on one host.
#[test]
fn they_do_not_name_one_data_set_for_both() {
    let dataset = |text| match load(text, None).unwrap() {
        ConfigFile::Registrar(config) => config.dataset,
        ConfigFile::Agent(config) => config.dataset,
    };
    let (registrar, agent) = (dataset(REGISTRAR), dataset(AGENT));
    assert_eq!(registrar.pool(), agent.pool());
    assert_ne!(registrar, agent);
    let below = |one: &str, other: &str| one.starts_with(&format!("{other}/"));
    assert!(!below(registrar.as_str(), agent.as_str()) && !below(agent.as_str(), registrar.as_str()));
}

#[test]
fn what_they_call_a_default_is_the_default() {
    for example in [REGISTRAR, AGENT] {
        let explicit = with_defaults_written_out(example);
        assert!(explicit.lines().count() == example.lines().count() && explicit != example);
        assert_eq!(load(&explicit, None).unwrap(), load(example, None).unwrap());
    }
}

/// The keys a section may have, as the refusal of a stranger lists them.
fn known_keys(section: &str, kind: ConfigKind) -> Vec<String> {
    let required = "dataset = \"t/b\"\nregistrar = \"https://r\"\n";
    let head = if kind == ConfigKind::Agent { required } else { "dataset = \"t/b\"\n" };
    let error = load(&format!("{head}{section}zzz = 1"), Some(kind)).unwrap_err();
    let (_, list) = error.split_once("expected one of ").unwrap();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn they_name_every_key() {
    let cases = [
        (REGISTRAR, "", ConfigKind::Registrar),
        (REGISTRAR, "[capture]\n", ConfigKind::Registrar),
        (REGISTRAR, "[serving]\n", ConfigKind::Registrar),
        (AGENT, "", ConfigKind::Agent),
        (AGENT, "[peers]\n", ConfigKind::Agent),
    ];
    for (example, section, kind) in cases {
        let keys = known_keys(section, kind);
        assert!(keys.len() > 3, "{keys:?}");
        for key in keys {
            let named = example.lines().any(|line| {
                let text = setting(line).unwrap_or(line);
                text.starts_with(&format!("{key} = ")) || text == format!("[{key}]")
            });
            assert!(named, "{key} is missing from the example");
        }
    }
}
