//! Over loopback, with real sockets. It carries no IPv6 multicast: that is tried in a network namespace.

use super::{BATCH, Interface, Joined, ReceiverSocket, SenderSocket};
use crate::Group;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);

/// A port of its own, so that tests do not receive each other's datagrams.
fn group(ip: &str) -> Group {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("{ip}:{free}").parse().unwrap()
}

async fn received(socket: &mut ReceiverSocket, count: usize) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    while received.len() < count {
        let receiving = socket.receive(|datagram| received.push(datagram.to_vec()));
        timeout(LONG, receiving).await.expect("nothing came").unwrap();
    }
    received
}

#[tokio::test]
async fn what_is_sent_is_received() {
    let (group, lo) = (group("239.77.66.1"), Interface::named("lo").unwrap());
    let mut receiver = ReceiverSocket::open(group, &lo).unwrap();
    let sender = SenderSocket::open(group, &lo, 1).unwrap();
    // More than go out in one call, the last one shorter.
    let batch: Vec<u8> = (0..BATCH * 2 + 3).flat_map(|n| vec![n as u8; 1440]).chain([99; 44]).collect();
    sender.send(&batch, 1440).unwrap();
    let received = received(&mut receiver, BATCH * 2 + 4).await;
    assert_eq!(received.concat(), batch);
    assert_eq!(received.last().unwrap().len(), 44);
    assert_eq!(receiver.dropped(), Some(0));
    assert!(receiver.buffer_bytes() > 0);
}

#[tokio::test]
async fn what_is_sent_to_the_host_or_to_other_groups_is_not_received() {
    let (ours, lo) = (group("239.77.66.2"), Interface::named("lo").unwrap());
    let other: Group = format!("239.77.66.3:{}", ours.port()).parse().unwrap();
    let mut receiver = ReceiverSocket::open(ours, &lo).unwrap();
    // Somebody on this host is a member of the other group, on the same port.
    let _joined = Joined::new(other, &lo).unwrap();
    SenderSocket::open(other, &lo, 1).unwrap().send(b"foreign", 7).unwrap();
    let to_host = SocketAddr::from(([127, 0, 0, 1], ours.port()));
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"unicast", to_host).unwrap();
    SenderSocket::open(ours, &lo, 1).unwrap().send(b"ours", 4).unwrap();
    assert_eq!(received(&mut receiver, 1).await, [b"ours"]);
}

#[tokio::test]
async fn who_does_not_listen_loses_and_is_told() {
    let (group, lo) = (group("239.77.66.4"), Interface::named("lo").unwrap());
    let receiver = ReceiverSocket::open(group, &lo).unwrap();
    let sender = SenderSocket::open(group, &lo, 1).unwrap();
    let batch = vec![0; BATCH * 1440];
    // A datagram takes at least its own size there.
    for _ in 0..receiver.buffer_bytes() / batch.len() + 100 {
        sender.send(&batch, 1440).unwrap();
    }
    assert!(receiver.dropped().unwrap() > 0);
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
    let error = SenderSocket::open(group, &lo, 1).unwrap().send(&[0; 70_000], 70_000).unwrap_err();
    assert!(error.to_string().contains("lower multicast.symbol_bytes"), "{error}");
}
