//! What Prometheus gets from both daemons.

use crate::setting::Setting;
use bootstash_tests::lab::Lab;
use bootstash_tests::prometheus::{Scrape, parse};

fn scrape(lab: &Lab, address: &str) -> Scrape {
    parse(&lab.scrape(lab.host("node1"), address).unwrap()).unwrap()
}

#[test]
fn both_daemons_are_scraped_as_prometheus_expects() {
    let setting = Setting::new(1);
    setting.register("a", 1);
    setting.lab.wait_in_step().unwrap();

    let agent = scrape(&setting.lab, "127.0.0.1:7431");
    assert_eq!(agent.value("bootstash_agent_snapshot_number"), Some(1.0));
    assert_eq!(agent.value("bootstash_agent_apply_seconds_count"), Some(1.0));
    assert!(agent.value("bootstash_agent_delta_bytes_total").unwrap() > 1000.0);
    assert!(agent.value("bootstash_agent_last_success_timestamp_seconds").unwrap() > 1.7e9);
    assert!(agent.value("process_resident_memory_bytes").unwrap() > 1e6);

    let registrar = scrape(&setting.lab, "10.77.0.1:7430");
    assert_eq!(registrar.value("bootstash_registrar_snapshot_number"), Some(1.0));
    for name in [
        "registrations_total",
        "cache_bytes",
        "node_lag_snapshots",
        "last_success_timestamp_seconds",
        "delta_size_bytes_count",
    ] {
        let found = registrar.names().any(|known| known == format!("bootstash_registrar_{name}"));
        assert!(found, "nothing about {name}: {:?}", registrar.names().collect::<Vec<_>>());
    }
    setting.lab.finish().unwrap();
}
