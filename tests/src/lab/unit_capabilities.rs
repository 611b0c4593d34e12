//! Our daemons as their units confine them, as far as that can be had without systemd: with the unit's
//! capabilities and no others, so that whatever a test does shows whether they are enough.

use super::daemon::Program;

const REGISTRAR: &str = include_str!("../../../packaging/bootstash-registrar.service");
const AGENT: &str = include_str!("../../../packaging/bootstash-agent.service");
const KEY: &str = "CapabilityBoundingSet=";

/// What `setpriv` takes from a daemon before it starts it.
pub(super) fn options(program: Program) -> Vec<String> {
    let unit = match program {
        Program::Registrar => REGISTRAR,
        Program::Agent => AGENT,
        Program::ZfsFuse => return Vec::new(),
    };
    let bounds = format!("--bounding-set=-all{}", capabilities(unit));
    vec!["--no-new-privs".to_owned(), "--inh-caps=-all".to_owned(), bounds, "--".to_owned()]
}

/// `,+sys_admin,+kill`
fn capabilities(unit: &str) -> String {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(KEY));
    let names = lines.flat_map(str::split_whitespace).filter_map(|name| name.strip_prefix("CAP_"));
    names.map(|name| format!(",+{}", name.to_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_name_their_capabilities() {
        for program in [Program::Registrar, Program::Agent] {
            let bounds = options(program)[2].clone();
            assert!(bounds.starts_with("--bounding-set=-all,+sys_admin,+"), "{bounds}");
            assert!(!bounds.contains("sys_module") && !bounds.contains("net_admin"), "{bounds}");
        }
    }
}
