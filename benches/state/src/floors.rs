//! The least that a durable commit can be: bytes and a flush, or the script and its answer.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use fusebox_state::{Commit, Expect, Key, WriteId};
use redis::aio::MultiplexedConnection;

use crate::turn::partition;

pub(crate) const VALUE_BYTES: usize = 1024;

/// A file that grows.
pub(crate) struct Disk(RefCell<File>);

impl Disk {
    pub(crate) fn new(directory: &Path) -> Self {
        let file = File::create(directory.join("floor")).expect("a file");
        Self(RefCell::new(file))
    }

    pub(crate) fn append(&self) {
        let mut file = self.0.borrow_mut();
        file.write_all(&[7; VALUE_BYTES]).expect("room on the disk");
        file.sync_data().expect("a disk that flushes");
    }
}

/// The store's own script, sent by nothing but a connection.
#[derive(Clone)]
pub(crate) struct Script {
    connection: MultiplexedConnection,
    hash: String,
    digest: [u8; 32],
}

impl Script {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        let text = concat!(
            include_str!("../../../crates/fusebox-state/src/redis/lua/prelude.lua"),
            include_str!("../../../crates/fusebox-state/src/redis/lua/commit.lua")
        );
        let hash = redis::Script::new(text)
            .prepare_invoke()
            .load_async(&mut connection)
            .await
            .expect("a script that loads");
        let key = Key::try_new("step").expect("a name");
        let commit = Commit::new(WriteId::from_bytes([0; 16]));
        let commit = commit.put(key, Expect::Any, vec![7; VALUE_BYTES]);
        Self {
            connection,
            hash,
            digest: commit.digest(),
        }
    }

    pub(crate) async fn write(&self, writer: usize) {
        let partition = partition(writer);
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(4);
        for part in ["m", "d", "k", "w"] {
            command.arg(format!("bare:{{{partition}}}:{part}"));
        }
        command
            .arg(WriteId::random().as_bytes())
            .arg(&self.digest)
            .arg("")
            .arg("")
            .arg("")
            .arg("")
            .arg("bare:changes")
            .arg(partition.as_str())
            .arg("step")
            .arg("p")
            .arg("*")
            // A hash of eight bytes stands before the value.
            .arg(&[7_u8; 8 + VALUE_BYTES][..]);
        let mut connection = self.connection.clone();
        let answer: Vec<Vec<u8>> = command
            .query_async(&mut connection)
            .await
            .expect("an answer");
        assert_eq!(answer[0], b"APPLIED");
    }
}
