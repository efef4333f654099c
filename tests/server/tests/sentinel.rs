//! A set of servers under Sentinels: it agrees, it fails over, and its network can be cut.

use std::io::ErrorKind;
use std::time::Duration;

use fusebox_test_server::{Connection, Member, Reply, SentinelSet, named_servers};

/// Long enough that a busy machine is not taken for a dead server.
const DOWN_AFTER: Duration = Duration::from_secs(2);

fn write(set: &SentinelSet, node: usize, value: &str) -> std::io::Result<Reply> {
    set.node(node).ask(&["SET", "k", value])
}

/// A write that so many replicas have.
fn write_replicated(set: &SentinelSet, node: usize, value: &str, replicas: i64) {
    let mut writer = set.node(node).connect().unwrap();
    writer.set_patience(Duration::from_secs(60)).unwrap();
    writer.ask(&["SET", "k", value]).unwrap();
    let count = replicas.to_string();
    let acknowledged = writer.ask(&["WAIT", &count, "30000"]).unwrap();
    assert!(acknowledged.integer() >= Some(replicas), "{acknowledged:?}");
}

fn read(set: &SentinelSet, node: usize) -> String {
    set.node(node).ask(&["GET", "k"]).unwrap().text()
}

/// Waits until all is well again: there is one primary, and everybody has what it has.
///
/// Which one it is stays open, since Sentinels may take a busy machine for a dead server.
fn assert_all_have(set: &SentinelSet, value: &str) {
    let primary = set.wait_until_steady().unwrap();
    for node in 0..set.nodes() {
        let place = format!("{}: node {node}, primary {primary}", set.name());
        assert_eq!(read(set, node), value, "{place}");
        assert_eq!(write(set, node, value).is_ok(), node == primary, "{place}");
    }
}

#[test]
fn a_planned_failover_moves_the_primary_in_every_redis_release() {
    for server in named_servers().unwrap() {
        let set = SentinelSet::builder()
            .name(&server.name)
            .binary(&server.path)
            .down_after(DOWN_AFTER)
            .start()
            .unwrap();
        assert_eq!(set.primary().unwrap(), 0);
        write_replicated(&set, 0, "before", 2);
        assert_ne!(set.failover().unwrap(), 0);
        assert_all_have(&set, "before");
    }
}

#[test]
fn a_killed_redis_primary_is_replaced_and_comes_back_as_a_replica() {
    let set = SentinelSet::builder()
        .replicas(1)
        .down_after(DOWN_AFTER)
        .start()
        .unwrap();
    set.node(0).kill();
    assert_eq!(set.primary_after(0).unwrap(), 1);
    write(&set, 1, "after").unwrap();
    set.node(0).restart().unwrap();
    assert_all_have(&set, "after");
}

#[test]
fn a_paused_redis_primary_is_replaced() {
    let set = SentinelSet::builder()
        .down_after(DOWN_AFTER)
        .start()
        .unwrap();
    set.node(0).pause();
    let new = set.primary_after(0).unwrap();
    write_replicated(&set, new, "after", 1);
    set.node(0).resume();
    assert_all_have(&set, "after");
}

#[test]
fn a_redis_set_with_passwords_fails_over_too() {
    let set = SentinelSet::builder()
        .replicas(1)
        .password("s3cret")
        .sentinel_password("w4tch")
        .config("user app on >apppass ~* &* +@all")
        .start()
        .unwrap();
    let mut stranger = Connection::open(set.address(0).port()).unwrap();
    assert!(stranger.ask(&["PING"]).is_err());
    stranger.ask(&["AUTH", "app", "apppass"]).unwrap();
    let mut stranger = Connection::open(set.sentinels()[0].port()).unwrap();
    assert!(stranger.ask(&["PING"]).is_err());
    assert_eq!(set.failover().unwrap(), 1);
}

#[test]
fn a_redis_primary_that_wants_replicas_refuses_writes_without_them() {
    let set = SentinelSet::builder()
        .replicas(1)
        .min_replicas(1, Duration::from_secs(1))
        .append_only(true)
        .start()
        .unwrap();
    write(&set, 0, "v").unwrap();
    set.node(1).kill();
    let refused = loop {
        if let Err(error) = write(&set, 0, "w") {
            break error;
        }
        std::thread::yield_now();
    };
    assert!(refused.to_string().contains("NOREPLICAS"), "{refused}");
}

#[test]
fn a_cut_redis_primary_takes_writes_that_are_lost_when_the_network_heals() {
    for server in named_servers().unwrap() {
        let set = SentinelSet::builder()
            .name(&server.name)
            .proxied()
            .binary(&server.path)
            .down_after(DOWN_AFTER)
            .start()
            .unwrap();
        write(&set, 0, "before").unwrap();
        // A client on the side of the old primary keeps its own connection to it.
        let mut minority = set.node(0).connect().unwrap();
        set.cut(0);
        let new = set.primary_after(0).unwrap();
        minority.ask(&["SET", "k", "minority"]).unwrap();
        write_replicated(&set, new, "majority", 1);
        assert_eq!(read(&set, 0), "minority");
        assert_eq!(read(&set, new), "majority");
        set.heal(0);
        assert_all_have(&set, "majority");
    }
}

#[test]
fn a_cut_redis_primary_with_a_minority_of_sentinels_is_replaced_by_the_others() {
    let set = SentinelSet::builder()
        .proxied()
        .replicas(1)
        .down_after(DOWN_AFTER)
        .start()
        .unwrap();
    set.cut_together(&[Member::Node(0), Member::Sentinel(0)]);
    assert_eq!(set.primary_after(0).unwrap(), 1);
    // The Sentinel on the other side cannot know.
    let named = set
        .sentinel(0)
        .ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", set.name()])
        .unwrap();
    assert_eq!(named.items()[1].text(), set.address(0).port().to_string());
    write(&set, 1, "majority").unwrap();
    set.heal_all();
    assert_all_have(&set, "majority");
}

#[test]
fn a_cut_redis_replica_gets_nothing_and_catches_up() {
    let set = SentinelSet::builder()
        .proxied()
        .replicas(1)
        .start()
        .unwrap();
    set.cut(1);
    // WAIT speaks of the writes of its own connection.
    let mut writer = set.node(0).connect().unwrap();
    writer.ask(&["SET", "k", "v"]).unwrap();
    let acknowledged = writer.ask(&["WAIT", "1", "300"]).unwrap();
    assert_eq!(acknowledged, Reply::Integer(0));
    assert_eq!(read(&set, 1), "");
    let mut client = Connection::open(set.address(1).port()).unwrap();
    client.set_patience(Duration::from_millis(100)).unwrap();
    let silence = client.call(&["PING"]).unwrap_err().kind();
    assert!(matches!(
        silence,
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    set.heal(1);
    set.wait_until_steady().unwrap();
    assert_eq!(read(&set, 1), "v");
}

#[test]
fn an_uncut_redis_set_acknowledges_replicated_writes() {
    let set = SentinelSet::builder()
        .proxied()
        .replicas(1)
        .start()
        .unwrap();
    let mut client = set.node(0).connect().unwrap();
    client.set_patience(Duration::from_secs(30)).unwrap();
    client.ask(&["SET", "k", "v"]).unwrap();
    let acknowledged = client.ask(&["WAIT", "1", "20000"]).unwrap();
    assert_eq!(acknowledged, Reply::Integer(1));
}
