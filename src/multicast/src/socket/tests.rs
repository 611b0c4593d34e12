//! Over loopback, with real sockets. It carries no IPv6 multicast: that is tried in a network namespace.

use super::{BATCH, Ear, Interface, Joined, Mouth};
use crate::Group;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);

/// A port of its own, so that tests do not hear each other.
fn group(ip: &str) -> Group {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("{ip}:{free}").parse().unwrap()
}

async fn heard(ear: &mut Ear, count: usize) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let hearing = ear.hear(|datagram| heard.push(datagram.to_vec()));
        timeout(LONG, hearing).await.expect("nothing came").unwrap();
    }
    heard
}

#[tokio::test]
async fn what_is_sent_is_heard() {
    let (group, lo) = (group("239.77.66.1"), Interface::named("lo").unwrap());
    let mut ear = Ear::open(group, &lo).unwrap();
    let mouth = Mouth::open(group, &lo, 1).unwrap();
    // More than go out in one call, the last one shorter.
    let batch: Vec<u8> = (0..BATCH * 2 + 3).flat_map(|n| vec![n as u8; 1440]).chain([99; 44]).collect();
    mouth.send(&batch, 1440).unwrap();
    let heard = heard(&mut ear, BATCH * 2 + 4).await;
    assert_eq!(heard.concat(), batch);
    assert_eq!(heard.last().unwrap().len(), 44);
    assert_eq!(ear.dropped(), Some(0));
    assert!(ear.buffer_bytes() > 0);
}

#[tokio::test]
async fn what_is_sent_to_the_host_or_to_other_groups_is_not_heard() {
    let (ours, lo) = (group("239.77.66.2"), Interface::named("lo").unwrap());
    let other: Group = format!("239.77.66.3:{}", ours.port()).parse().unwrap();
    let mut ear = Ear::open(ours, &lo).unwrap();
    // Somebody on this host is a member of the other group, on the same port.
    let _joined = Joined::new(other, &lo).unwrap();
    Mouth::open(other, &lo, 1).unwrap().send(b"foreign", 7).unwrap();
    let to_host = SocketAddr::from(([127, 0, 0, 1], ours.port()));
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"unicast", to_host).unwrap();
    Mouth::open(ours, &lo, 1).unwrap().send(b"ours", 4).unwrap();
    assert_eq!(heard(&mut ear, 1).await, [b"ours"]);
}

#[tokio::test]
async fn who_does_not_listen_loses_and_is_told() {
    let (group, lo) = (group("239.77.66.4"), Interface::named("lo").unwrap());
    let ear = Ear::open(group, &lo).unwrap();
    let mouth = Mouth::open(group, &lo, 1).unwrap();
    let batch = vec![0; BATCH * 1440];
    // A datagram takes at least its own size there.
    for _ in 0..ear.buffer_bytes() / batch.len() + 100 {
        mouth.send(&batch, 1440).unwrap();
    }
    assert!(ear.dropped().unwrap() > 0);
}

#[test]
fn an_interface_that_is_not_there_is_named_with_those_that_are() {
    let error = Interface::named("eth99").unwrap_err().to_string();
    assert!(error.contains("\"eth99\"") && error.contains("lo"), "{error}");
    assert_eq!(Interface::towards(([127, 0, 0, 1], 7430).into()).unwrap().name(), "lo");
}

#[test]
fn what_does_not_fit_is_told_with_the_remedy() {
    let (group, lo) = (group("239.77.66.5"), Interface::named("lo").unwrap());
    let error = Mouth::open(group, &lo, 1).unwrap().send(&[0; 70_000], 70_000).unwrap_err();
    assert!(error.to_string().contains("lower multicast.symbol_bytes"), "{error}");
}
