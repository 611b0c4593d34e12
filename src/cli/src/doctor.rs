//! `doctor multicast`: what a node finds out about what reaches it, and what to do.

use super::cli::ListArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{guest_text, size_in_words};
use bootstash_net::api::{MulticastFindings, routes};

/// More than this is lost on no network that is well.
const LOSS_MAX: f64 = 0.01;

/// Nearly all; only what is short came.
const TOO_LONG_LOSS: f64 = 0.98;

/// Has the registrar send a probe to this node, and prints what came of it.
pub(super) async fn multicast(daemons: &Daemons, ListArgs { json }: ListArgs) -> Result<(), CommandError> {
    let findings: MulticastFindings =
        daemons.need(Daemon::Agent)?.post(routes::DOCTOR_MULTICAST, &()).await?;
    if json {
        output::json(&findings)?;
    } else {
        output::line(&text(&findings))?;
    }
    if findings.reached { Ok(()) } else { Err(CommandError::Unheard { group: findings.group }) }
}

fn text(findings: &MulticastFindings) -> String {
    let facts = facts(findings);
    let mut lines: Vec<String> =
        facts.iter().map(|(fact, is)| format!("{fact:<11}{}", guest_text(is))).collect();
    let advice = advice(findings);
    lines.push(String::new());
    if advice.is_empty() {
        lines.push("All is well.".to_owned());
    }
    lines.extend(advice.iter().map(|advice| format!("- {}", guest_text(advice))));
    lines.join("\n")
}

fn facts(findings: &MulticastFindings) -> Vec<(&'static str, String)> {
    let loss = format!(
        "{:.1} % of {} datagrams, {} of them dropped by this host",
        findings.loss() * 100.0,
        findings.expected,
        findings.socket_drops
    );
    vec![
        ("group", findings.group.to_string()),
        ("interface", findings.interface.clone()),
        ("heard", if findings.reached { "yes" } else { "no" }.to_owned()),
        ("lost", if findings.reached { loss } else { "everything".to_owned() }),
        (
            "buffer",
            format!(
                "{}, {} wanted at {}/s",
                size_in_words(findings.buffer_bytes),
                size_in_words(findings.wanted_buffer_bytes),
                size_in_words(findings.bytes_per_second)
            ),
        ),
    ]
}

/// What to change, the most likely first.
fn advice(findings: &MulticastFindings) -> Vec<String> {
    let mut advice = Vec::new();
    if !findings.enabled {
        advice.push(
            "This node fetches each delta by itself: set multicast.enabled = true in agent.toml.".to_owned(),
        );
    }
    if !findings.reached {
        advice.extend(not_reached(findings));
    }
    let lost = findings.reached && findings.loss() > LOSS_MAX;
    let too_long = findings.reached && findings.loss() > TOO_LONG_LOSS;
    if too_long {
        advice.push(
            "Short datagrams arrive and long ones do not: some MTU on the way is too small; lower \
             multicast.symbol_bytes in registrar.toml."
                .to_owned(),
        );
    }
    if lost && !too_long && findings.socket_drops == 0 {
        advice.push(
            "The network loses datagrams: look at the interfaces' and the switch's counters, or lower \
             multicast.rate_bytes_per_second in registrar.toml."
                .to_owned(),
        );
    }
    if findings.buffer_bytes < findings.wanted_buffer_bytes || lost && findings.socket_drops > 0 {
        let bytes = findings.wanted_buffer_bytes.max(findings.buffer_bytes * 2) / 2;
        advice.push(format!(
            "Give the socket more room: sysctl -w net.core.rmem_max={bytes} (keep it in /etc/sysctl.d)."
        ));
    }
    if findings.foreign_datagrams > 0 {
        advice.push(format!(
            "{} datagrams on this group were not the registrar's: give it a group and port of its own.",
            findings.foreign_datagrams
        ));
    }
    advice
}

/// Why switches and hosts drop a group without a word, in the order of how often they do.
fn not_reached(findings: &MulticastFindings) -> Vec<String> {
    let (group, interface) = (findings.group, &findings.interface);
    let (ip, port) = (group.ip(), group.port());
    vec![
        format!("Is {interface} in the registrar's network? If not, set multicast.interface in agent.toml."),
        format!(
            "Does a firewall here drop UDP to {ip} port {port}, or IGMP (MLD with IPv6)? `nft list ruleset` shows it."
        ),
        "Does the switch do IGMP snooping without a querier? Turn a querier on, or snooping off.".to_owned(),
        "Are there routers in between? They need multicast routing, and the registrar multicast.ttl above 1."
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> MulticastFindings {
        MulticastFindings {
            group: "239.77.66.1:7434".parse().unwrap(),
            interface: "eth1 (10.0.0.17)".to_owned(),
            enabled: true,
            reached: true,
            expected: 2980,
            received: 2980,
            socket_drops: 0,
            foreign_datagrams: 0,
            buffer_bytes: 64 << 20,
            wanted_buffer_bytes: 10_000_000,
            bytes_per_second: 25_000_000,
        }
    }

    #[test]
    fn what_is_well_is_said_so() {
        assert_eq!(
            text(&findings()),
            "group      239.77.66.1:7434\n\
             interface  eth1 (10.0.0.17)\n\
             heard      yes\n\
             lost       0.0 % of 2980 datagrams, 0 of them dropped by this host\n\
             buffer     64 MiB, 9.5 MiB wanted at 23.8 MiB/s\n\
             \n\
             All is well."
        );
    }

    #[test]
    fn each_trouble_has_its_remedy() {
        let with = |change: fn(&mut MulticastFindings)| {
            let mut findings = findings();
            change(&mut findings);
            text(&findings)
        };
        for (text, remedy) in [
            (with(|f| f.enabled = false), "multicast.enabled = true"),
            (with(|f| f.reached = false), "querier"),
            (with(|f| f.received = 0), "multicast.symbol_bytes"),
            (with(|f| f.received = 2900), "lower multicast.rate_bytes_per_second"),
            (with(|f| (f.received, f.socket_drops) = (2900, 80)), "sysctl -w net.core.rmem_max=67108864"),
            (with(|f| f.buffer_bytes = 425_984), "sysctl -w net.core.rmem_max=5000000"),
            (with(|f| f.foreign_datagrams = 3), "a group and port of its own"),
        ] {
            assert!(text.contains(remedy) && !text.contains("All is well"), "{text}");
        }
    }
}
