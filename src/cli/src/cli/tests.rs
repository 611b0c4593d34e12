use super::*;
use clap::CommandFactory;

#[test]
fn is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn a_bad_name_is_refused_before_any_call() {
    for name in ["../etc", "a b", "a/b", &"x".repeat(300)] {
        let error = Cli::try_parse_from(["bootstash", "register", name, "/a.raw"]).unwrap_err().to_string();
        assert!(error.contains("image name"), "{error}");
    }
}

#[test]
fn a_registration_takes_a_cache_or_none() {
    let cache = |options: &[&str]| {
        let line = [&["bootstash", "register", "debian12", "/a.raw"], options].concat();
        let Verb::Register(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("not register") };
        args.cache
    };
    assert_eq!(cache(&[]), None);
    assert_eq!(cache(&["--cache", "a/cache.qcow2"]), Some("a/cache.qcow2".into()));
}

#[test]
fn firmware_is_recognised_unless_it_is_named() {
    let firmware = |options: &[&str]| {
        let line = [&["bootstash", "register", "debian12", "/a.raw"], options].concat();
        match Cli::try_parse_from(line).map_err(|error| error.to_string())?.verb {
            Verb::Register(args) => Ok(args.firmware.0),
            verb => Err(format!("{verb:?}")),
        }
    };
    assert_eq!(firmware(&[]), Ok(None));
    assert_eq!(firmware(&["--firmware", "auto"]), Ok(None));
    assert_eq!(firmware(&["--firmware", "bios"]), Ok(Some(Firmware::Bios)));
    assert_eq!(firmware(&["--firmware", "uefi"]), Ok(Some(Firmware::Uefi)));
    assert!(firmware(&["--firmware", "efi"]).unwrap_err().contains("auto, bios or uefi"));
}

#[test]
fn high_confidence_alone_can_be_required() {
    let line = |trust| ["bootstash", "register", "debian12", "/a.raw", "--require", trust];
    let Verb::Register(args) = Cli::try_parse_from(line("high")).unwrap().verb else {
        panic!("not register")
    };
    assert_eq!(args.require, Some(Confidence::High));
    let error = Cli::try_parse_from(line("low")).unwrap_err().to_string();
    assert!(error.contains("only `high`"), "{error}");
}

#[test]
fn a_window_is_a_time() {
    let parsed = Cli::try_parse_from(["bootstash", "gc", "--window", "7d"]).unwrap();
    let Verb::Gc(args) = parsed.verb else { panic!("not gc") };
    assert_eq!(args.window, Some(Duration::from_secs(7 * 86400)));
    let error = Cli::try_parse_from(["bootstash", "gc", "--window", "7"]).unwrap_err().to_string();
    assert!(error.contains("write it as 7d"), "{error}");
}

#[test]
fn an_interval_is_neither_so_short_that_it_is_load_nor_endless() {
    let interval = |text| match Cli::try_parse_from(["bootstash", "top", "--interval", text]) {
        Ok(Cli { verb: Verb::Top(args), .. }) => Ok(args.interval),
        Ok(_) => panic!("not top"),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
    for bad in ["0s", "1ms", "2h", "often"] {
        assert!(interval(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_job_is_a_number_and_who_gives_a_name_is_told_where_it_stands() {
    let cancel = |text| Cli::try_parse_from(["bootstash", "cancel", text]).map(|cli| cli.verb);
    let Ok(Verb::Cancel(args)) = cancel("17") else { panic!("not cancel") };
    assert_eq!(args.job, JobId(17));
    let error = cancel("debian12").unwrap_err().to_string();
    assert!(error.contains("'debian12'") && error.contains("`bootstash jobs`"), "{error}");
}
