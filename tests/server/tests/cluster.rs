//! A cluster of servers: it is whole, slots move, lost primaries are replaced, networks are cut.

use std::time::Duration;

use fusebox_test_server::{ClusterSet, Connection, Reply, key_slot, named_servers};

fn error(reply: Reply) -> String {
    match reply {
        Reply::Error(text) => text,
        other => panic!("{other:?} is no refusal"),
    }
}

fn call(set: &ClusterSet, node: usize, words: &[&str]) -> Reply {
    set.node(node).connect().unwrap().call(words).unwrap()
}

#[test]
fn every_redis_release_makes_a_whole_cluster_that_agrees_on_slots() {
    for server in named_servers().unwrap() {
        let set = ClusterSet::builder().binary(&server.path).start().unwrap();
        for key in ["a", "{tag}b", "{}c", "{d", "x{y}{z}", ""] {
            let theirs = call(&set, 0, &["CLUSTER", "KEYSLOT", key]);
            assert_eq!(theirs, Reply::Integer(i64::from(key_slot(key))), "{key}");
        }
        for node in 0..set.nodes() {
            let key = set.key_on(node, "k");
            assert_eq!(set.owner(key_slot(&key)).unwrap(), node);
            assert_eq!(call(&set, node, &["SET", &key, "v"]).text(), "OK");
            let other = (node + 1) % set.nodes();
            let moved = format!("MOVED {} {}", key_slot(&key), set.address(node));
            assert_eq!(error(call(&set, other, &["GET", &key])), moved);
        }
    }
}

#[test]
fn a_slot_half_way_answers_ask_in_every_redis_release_and_moved_at_the_end() {
    for server in named_servers().unwrap() {
        let set = ClusterSet::builder()
            .binary(&server.path)
            .replicas(1)
            .start()
            .unwrap();
        let key = set.key_on(0, "stays");
        let gone = key.replace("stays", "gone");
        for key in [&key, &gone] {
            call(&set, 0, &["SET", key, "v"]);
        }
        let slot = key_slot(&key);
        let migration = set.begin_migration(slot, 1).unwrap();
        assert_eq!((migration.from(), migration.to()), (0, 1));
        migration.move_key(&gone).unwrap();
        assert_eq!(call(&set, 0, &["GET", &key]).text(), "v");
        let ask = format!("ASK {slot} {}", set.address(1));
        assert_eq!(error(call(&set, 0, &["GET", &gone])), ask);
        // Without ASKING the new owner sends back; with it, it answers.
        assert!(error(call(&set, 1, &["GET", &gone])).starts_with("MOVED"));
        let mut asking = set.node(1).connect().unwrap();
        asking.ask(&["ASKING"]).unwrap();
        assert_eq!(asking.ask(&["GET", &gone]).unwrap().text(), "v");
        migration.finish().unwrap();
        let moved = format!("MOVED {slot} {}", set.address(1));
        assert_eq!(error(call(&set, 0, &["GET", &key])), moved);
        assert_eq!(call(&set, 1, &["GET", &key]).text(), "v");
        assert_eq!(call(&set, 1, &["GET", &gone]).text(), "v");
        set.wait_until_steady().unwrap();
    }
}

#[test]
fn a_killed_redis_primary_is_replaced_by_its_replica() {
    let set = ClusterSet::builder()
        .replicas(1)
        .password("s3cret")
        .start()
        .unwrap();
    let key = set.key_on(0, "k");
    let mut writer = set.node(0).connect().unwrap();
    writer.set_patience(Duration::from_secs(30)).unwrap();
    writer.ask(&["SET", &key, "v"]).unwrap();
    assert_eq!(
        writer.ask(&["WAIT", "1", "20000"]).unwrap(),
        Reply::Integer(1)
    );
    set.node(0).kill();
    let new = set.owner_after(key_slot(&key), 0).unwrap();
    assert_eq!(set.replicas_of(0), [new]);
    assert_eq!(call(&set, new, &["GET", &key]).text(), "v");
    set.node(0).restart().unwrap();
    set.wait_until_steady().unwrap();
    assert!(error(call(&set, 0, &["SET", &key, "w"])).starts_with("MOVED"));
}

#[test]
fn a_redis_cluster_without_replicas_is_down_while_a_primary_is() {
    let set = ClusterSet::start().unwrap();
    let key = set.key_on(1, "k");
    set.node(0).pause();
    let down = loop {
        if let Reply::Error(text) = call(&set, 1, &["SET", &key, "v"]) {
            break text;
        }
        std::thread::yield_now();
    };
    assert!(down.starts_with("CLUSTERDOWN"), "{down}");
    set.node(0).resume();
    set.wait_until_steady().unwrap();
    assert_eq!(call(&set, 1, &["SET", &key, "v"]).text(), "OK");
}

#[test]
fn a_cut_redis_primary_loses_its_slots_to_its_replica_in_every_release() {
    for server in named_servers().unwrap() {
        let set = ClusterSet::builder()
            .replicas(1)
            .binary(&server.path)
            .proxied()
            .start()
            .unwrap();
        let key = set.key_on(0, "k");
        // Everybody knows proxies only.
        let moved = format!("MOVED {} {}", key_slot(&key), set.address(0));
        assert_ne!(set.address(0).port(), set.node(0).port());
        assert_eq!(error(call(&set, 1, &["GET", &key])), moved);
        let mut minority = set.node(0).connect().unwrap();
        set.cut(0);
        assert_eq!(minority.ask(&["SET", &key, "lost"]).unwrap().text(), "OK");
        let new = set.owner_after(key_slot(&key), 0).unwrap();
        let mut majority = Connection::open(set.address(new).port()).unwrap();
        assert_eq!(majority.ask(&["SET", &key, "kept"]).unwrap().text(), "OK");
        set.heal(0);
        set.wait_until_steady().unwrap();
        assert!(error(call(&set, 0, &["SET", &key, "w"])).starts_with("MOVED"));
        assert_eq!(majority.ask(&["GET", &key]).unwrap().text(), "kept");
    }
}
