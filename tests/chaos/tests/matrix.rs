//! Every fault of one server and of one file, under every operation.

use std::path::Path;
use std::process::Command;

use fusebox_chaos_tests::matrix::{self, FileArena, FileFault, RedisArena, RedisFault};
use fusebox_chaos_tests::report::Section;

const COLUMNS: &[&str] = &[
    "fault",
    "acquire",
    "commit",
    "renew",
    "get, scan",
    "image",
    "restore",
    "watch",
    "write with a fallback",
    "acknowledged writes",
    "longest wait",
];

mod redis {
    use super::*;
    use RedisFault::*;

    const SECTION: Section = Section {
        name: "2-matrix-redis",
        title: "One server",
        text: "Where the fault leaves requests without an answer, the store's deadline is 1.5 s. Under \
               `write with a fallback`, `ok` is an acknowledgement of the store or of the owner's \
               memory; each such write was in the store once the fault was over.",
        columns: COLUMNS,
    };

    async fn row(place: &str, fault: RedisFault) {
        matrix::row(&SECTION, place, &RedisArena::start(fault)).await;
    }

    macro_rules! faults {
        ($($name:ident: $place:literal $fault:expr;)*) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                row($place, $fault).await;
            }
        )*};
    }

    faults! {
        a_killed_server_with_a_file_loses_nothing: "01" KilledKept;
        a_killed_server_without_one_is_put_back_by_owners: "02" KilledEmpty;
        a_stopped_server_leaves_doubt_that_a_repeat_settles: "03" Paused;
        a_connection_reset_before_the_reply_doubles_no_write: "04" ResetWhileAnswering;
        a_write_whose_reply_never_comes_is_made_once: "05" RepliesSwallowed;
        a_lost_reply_doubles_no_write: "06" ReplyLost;
        late_replies_are_waited_for: "07" Slow;
        replies_in_pieces_are_put_together: "08" Sliced;
        a_full_server_refuses_writes_and_reads_on: "09" Full;
        a_server_that_misses_its_replicas_refuses_writes_and_reads_on: "10" TooFewReplicas;
        a_demoted_server_takes_no_write: "11" ReadOnly;
        a_server_that_loads_its_data_is_waited_for: "12" Loading;
        forgotten_scripts_are_loaded_again: "13" ScriptsFlushed;
        a_changed_password_is_told_and_not_retried: "14" PasswordRotated;
        rights_taken_away_are_told_and_not_retried: "15" RightsReduced;
        an_emptied_server_is_put_back_by_owners: "16" Emptied;
    }

    mod tls_redis {
        use super::*;
        use fusebox_chaos_tests::named;

        async fn row_with_tls(place: &str, fault: RedisFault) {
            if named("redis-7.0", fault.name()).is_some() {
                row(place, fault).await;
            }
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn nothing_is_said_in_the_clear_to_a_port_without_tls() {
            row_with_tls("17", TlsGone).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn nothing_is_said_to_a_stranger() {
            row_with_tls("18", TlsStranger).await;
        }
    }
}

const FILES: Section = Section {
    name: "2-matrix-embedded",
    title: "One file",
    text: "A writer of another process is waited for up to 5 s. The full disk is a tmpfs of 1 MiB \
           in a mount namespace of its own, filled to the last byte.",
    columns: COLUMNS,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_does_not_end_is_waited_for_and_then_told() {
    matrix::row(&FILES, "1", &FileArena::new(FileFault::Locked, None)).await;
}

/// The other process of the test above; by itself it has nothing to do.
#[test]
fn holds_a_lock() {
    if let Some(file) = std::env::var_os(matrix::ENV_LOCK) {
        matrix::hold_lock(Path::new(&file));
    }
}

/// The variable that names the full disk to the process that has one.
const ENV_DISK: &str = "FUSEBOX_CHAOS_DISK";

#[test]
#[expect(clippy::print_stderr, reason = "what is not tested must be said")]
fn a_full_disk_refuses_writes_whole_and_reads_on() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().display().to_string();
    // A mount in a namespace of its own is gone with its process.
    let inside = |command: &str| {
        let mount = format!("mount -t tmpfs -o size=1m tmpfs '{disk}' && {command}");
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
        unshare
    };
    if !inside("true").status().is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN, a full disk: no mount namespace can be had here");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut child = inside("exec \"$0\" --exact works_on_a_full_disk --nocapture");
    let child = child.arg(program).env(ENV_DISK, &disk).output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said} {}",
        String::from_utf8_lossy(&child.stderr)
    );
}

/// What the process with the small disk runs; by itself it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_on_a_full_disk() {
    if let Some(disk) = std::env::var_os(ENV_DISK) {
        let arena = FileArena::new(FileFault::DiskFull, Some(Path::new(&disk)));
        matrix::row(&FILES, "2", &arena).await;
    }
}
