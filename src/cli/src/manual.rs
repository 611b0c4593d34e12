//! What the man pages of `bootstash` say beyond its help: files, exit status, examples.

use super::cli::Cli;
use super::failure::CommandError;
use bootstash_manual::{Example, Notes, Program, program_pages};
use clap::CommandFactory;
use std::path::Path;

const PROGRAM: Program = Program { section: "1", version: env!("CARGO_PKG_VERSION") };

const FILES: [(&str, &str); 5] = [
    (
        "/run/bootstash/registrar.sock",
        "Where the registrar of this host listens. Its group is `socket_group` of registrar.toml.",
    ),
    (
        "/run/bootstash/agent.sock",
        "Where the agent of this host listens. Its group is `socket_group` of agent.toml.",
    ),
    (
        "/etc/libvirt/hooks/qemu.d/50-bootstash",
        "Has libvirt's VMs start from boot caches, whoever made their disks: libvirt runs it as a VM starts and ends.",
    ),
    ("/etc/bootstash/libvirt-hook.off", "Where this file exists, that does nothing before a VM starts."),
    ("~/.config/bootstash", "Key and certificate of `bootstash join`, for a registrar on another machine."),
];
const EXIT_STATUS: [(&str, &str); 4] = [
    ("0", "It was done, or there was nothing to do: all verbs can be repeated."),
    ("1", "It was not done. Standard error says why, and, where it helps, what to do."),
    ("2", "The command line is wrong."),
    ("69", "The daemon that it needs does not run on this host, and no registrar was joined from it."),
];
const INTERRUPTED: (&str, &str) =
    ("130", "Ended by ctrl-C. A registration that was left running goes on: `bootstash jobs`.");

/// Writes the pages.
pub(super) fn write(directory: &Path) -> Result<(), CommandError> {
    let pages = program_pages(Cli::command().name("bootstash"), PROGRAM, &notes);
    Ok(bootstash_manual::write(directory, &pages)?)
}

fn notes(page: &str) -> Notes {
    let mut exit_status = EXIT_STATUS.to_vec();
    if matches!(page, "bootstash" | "bootstash-register" | "bootstash-boot") {
        exit_status.push(INTERRUPTED);
    }
    Notes { files: FILES.to_vec(), exit_status, examples: examples(page), see_also: see_also(page) }
}

fn see_also(page: &str) -> Vec<String> {
    let all = ["bootstash(1)", "bootstash-registrar(8)", "bootstash-agent(8)", "bootstash-registrar.toml(5)"];
    let others = all.into_iter().chain(["bootstash-agent.toml(5)"]);
    others.filter(|other| *other != format!("{page}(1)")).map(str::to_owned).collect()
}

fn examples(page: &str) -> Vec<Example> {
    let of_page = EXAMPLES.iter().filter(|(of, ..)| *of == page);
    of_page.map(|(_, what, command)| Example { what, command }).collect()
}

/// Page, what for, and the line; a test parses each.
const EXAMPLES: &[(&str, &str, &str)] = &[
    (
        "bootstash",
        "Register an image on the storage node, and make a disk of it for a VM on a node:",
        "bootstash register debian12 /srv/images/debian12.raw",
    ),
    ("bootstash", "", "bootstash overlay create debian12 /var/lib/libvirt/images/vm1.qcow2"),
    (
        "bootstash-register",
        "Boot it on one kind of hardware, and fail unless the boots agree:",
        "bootstash register debian12 /srv/images/debian12.raw --profile libvirt --require high",
    ),
    (
        "bootstash-register",
        "Take the boot cache that another registrar made of the same image:",
        "bootstash register debian12 /srv/images/debian12.raw --cache cache.qcow2",
    ),
    ("bootstash-cancel", "Cancel what `bootstash jobs` shows as job 7:", "bootstash cancel 7"),
    (
        "bootstash-deregister",
        "Remove an image, and tell the nodes at once:",
        "bootstash deregister debian12 --publish",
    ),
    (
        "bootstash-images",
        "List the images whose names begin with debian, for a script:",
        "bootstash images debian* --json",
    ),
    ("bootstash-nodes", "List all nodes, expelled ones too:", "bootstash nodes --all"),
    ("bootstash-status", "Show what runs on this host:", "bootstash status"),
    (
        "bootstash-jobs",
        "Show what is being registered, and what became of earlier registrations:",
        "bootstash jobs",
    ),
    ("bootstash-top", "Look on, and ask every five seconds:", "bootstash top --interval 5s"),
    ("bootstash-top", "Everything once, as JSON:", "bootstash top --json"),
    (
        "bootstash-dashboard",
        "Serve it on a port of its own, for `ssh -L 7433:127.0.0.1:7433 storage` from a laptop:",
        "bootstash dashboard --port 7433",
    ),
    (
        "bootstash-gc",
        "Say what would be destroyed with a window of two days:",
        "bootstash gc --dry-run --window 2d",
    ),
    (
        "bootstash-overlay-create",
        "Make the disk of a VM:",
        "bootstash overlay create debian12 /var/lib/libvirt/images/vm1.qcow2",
    ),
    (
        "bootstash-overlay-remove",
        "Delete it, after the VM is gone:",
        "bootstash overlay remove /var/lib/libvirt/images/vm1.qcow2",
    ),
    (
        "bootstash-adopt",
        "Make a disk startable here that another node made in a shared directory:",
        "bootstash adopt /srv/vms/vm1.qcow2",
    ),
    (
        "bootstash-pin",
        "Hold the boot cache of a disk that `qemu-img create -b IMAGE` made:",
        "bootstash pin /var/lib/libvirt/images/vm1.qcow2",
    ),
    ("bootstash-unpin", "Let it go again:", "bootstash unpin /var/lib/libvirt/images/vm1.qcow2"),
    ("bootstash-overlays", "List the disks of this node's VMs:", "bootstash overlays"),
    (
        "bootstash-boot",
        "Try an image with two gigabytes of memory, and throw its disk away after:",
        "bootstash boot debian12 --memory 2048",
    ),
    (
        "bootstash-boot",
        "Have its cloud-init set a password, install what you need, or run a script:",
        "bootstash boot debian12-cloud --user-data user-data.yaml",
    ),
    (
        "bootstash-node-invite",
        "Let a node in; the token is valid for a day:",
        "bootstash node invite compute-17 --for 1d",
    ),
    ("bootstash-node-expel", "Lock a node out:", "bootstash node expel compute-17"),
    (
        "bootstash-operator-invite",
        "Let a person work from another machine:",
        "bootstash operator invite alice",
    ),
    ("bootstash-operator-expel", "Lock them out:", "bootstash operator expel alice"),
    ("bootstash-monitor-invite", "Let Prometheus read the metrics:", "bootstash monitor invite prometheus"),
    ("bootstash-monitor-expel", "Lock it out:", "bootstash monitor expel prometheus"),
    ("bootstash-members", "List who has a valid certificate:", "bootstash members"),
    (
        "bootstash-join",
        "Work with the registrar on the host storage from now on; the token is read from standard input:",
        "bootstash join https://storage:7430",
    ),
    (
        "bootstash-renew",
        "Renew the certificate, from cron, where no other command is used for months:",
        "bootstash renew",
    ),
    (
        "bootstash-volume-restore",
        "Fetch all images from a node, after the pool of the storage node was lost:",
        "bootstash volume restore --from compute-17",
    ),
    (
        "bootstash-pin",
        "Hold the boot cache of a disk that was made by `qemu-img create -b IMAGE`:",
        "bootstash pin /var/lib/libvirt/images/web-0017.qcow2",
    ),
    (
        "bootstash-unpin",
        "Let go of it, once the disk is chained onto its image again:",
        "bootstash unpin /var/lib/libvirt/images/web-0017.qcow2",
    ),
    ("bootstash-doctor-multicast", "Find out why deltas come by unicast:", "bootstash doctor multicast"),
    (
        "bootstash-doctor-libvirt",
        "Show which VMs of this node start from a boot cache, and why others do not:",
        "bootstash doctor libvirt",
    ),
    (
        "bootstash-config-check",
        "Check a file before the daemon reads it:",
        "bootstash config check /etc/bootstash/agent.toml",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, Parser};
    use std::collections::BTreeSet;

    fn names(command: &Command, name: &str, found: &mut BTreeSet<String>) {
        let mut verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).peekable();
        if verbs.peek().is_none() {
            found.insert(name.to_owned());
        }
        verbs.for_each(|verb| names(verb, &format!("{name}-{}", verb.get_name()), found));
    }

    #[test]
    fn each_verb_has_an_example_that_its_command_line_accepts() {
        let mut verbs = BTreeSet::new();
        names(&Cli::command(), "bootstash", &mut verbs);
        for verb in &verbs {
            assert!(EXAMPLES.iter().any(|(of, ..)| of == verb), "no example of {verb}");
        }
        for (of, _, line) in EXAMPLES {
            assert!(verbs.contains(*of) || *of == "bootstash", "there is no {of}");
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
            assert!(line.starts_with(&of.replace('-', " ")), "{line} is no example of {of}");
        }
    }

    #[test]
    fn pages_are_written_with_all_their_sections() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("bootstash-node-invite.1")).unwrap();
        for heading in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"]
        {
            assert!(
                page.contains(&format!("\n.SH \"{heading}\"\n"))
                    || page.contains(&format!("\n.SH {heading}\n")),
                "{page}"
            );
        }
        assert!(!dir.path().join("bootstash-man-pages.1").exists());
    }
}
