//! A damaged file never gives a value that was not written.

use std::fs;

use fusebox_chaos_tests::damage::{Findings, Specimen};
use fusebox_chaos_tests::report::Section;
use fusebox_chaos_tests::{key, partition, put};
use fusebox_state::{EmbeddedStore, StateStore};

const SECTION: Section = Section {
    name: "2-matrix-file-damage",
    title: "Damaged files",
    text: "Forty commits, the newer half of them in the log (`-wal`); a copy is damaged in one \
           place, opened and read to the end. `earlier` is the state after an earlier commit: a log \
           counts up to its first damaged frame, which is how SQLite tells a torn write from a whole \
           one. `incomplete` is something missing, or another version or revision, without a word: \
           only values carry a hash. A disk that changes what it holds breaks the promise of `LocalFsync`; what counts \
           is that no value is made up.",
    columns: &[
        "damage",
        "files",
        "not opened",
        "told when read",
        "whole",
        "earlier",
        "incomplete",
        "values never written",
    ],
};

const PAGE: usize = 4096;

fn row(place: &str, damage: &str, findings: Findings) {
    let counts = [
        findings.files,
        findings.refused,
        findings.told,
        findings.whole,
        findings.earlier,
        findings.holes,
        findings.wrong,
    ];
    let cells: Vec<String> = counts.iter().map(ToString::to_string).collect();
    SECTION.row(place, &[vec![damage.to_owned()], cells].concat());
    assert_eq!(findings.wrong, 0, "{findings:?}");
}

/// The control of all others: without damage all is there.
#[tokio::test]
async fn an_undamaged_copy_is_whole() {
    let specimen = Specimen::new().await;
    let copy = Specimen {
        file: specimen.file.clone(),
        log: specimen.log.clone(),
    };
    let findings = specimen.read_each([copy].into_iter()).await;
    assert_eq!((findings.files, findings.whole), (1, 1), "{findings:?}");
    row("1", "none", findings);
}

#[tokio::test]
async fn a_log_cut_short_gives_an_earlier_state() {
    let specimen = Specimen::new().await;
    let lengths = (0..specimen.log.len()).step_by(PAGE / 2 + 13);
    let findings = specimen.read_each(lengths.map(|length| Specimen {
        file: specimen.file.clone(),
        log: specimen.log[..length].to_vec(),
    }));
    let findings = findings.await;
    assert_eq!(findings.earlier, findings.files, "{findings:?}");
    row("2", "log cut short", findings);
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_gives_an_earlier_state_or_is_harmless() {
    let specimen = Specimen::new().await;
    let places = (0..specimen.log.len()).step_by(PAGE / 5);
    let findings = specimen.read_each(places.map(|place| Specimen {
        file: specimen.file.clone(),
        log: flipped(&specimen.log, place),
    }));
    let findings = findings.await;
    assert_eq!(findings.holes, 0, "{findings:?}");
    row("3", "one bit of the log flipped", findings);
}

#[tokio::test]
async fn a_file_cut_short_is_told() {
    let specimen = Specimen::new().await;
    let end = specimen.file.len();
    let lengths = (1..=8).map(|half_pages| end - half_pages * PAGE / 2);
    let findings = specimen.read_each(lengths.map(|length| Specimen {
        file: specimen.file[..length].to_vec(),
        log: Vec::new(),
    }));
    row(
        "4",
        "file cut short by up to four pages, no log",
        findings.await,
    );
}

/// The control of the next one: what it would find without damage.
#[tokio::test]
async fn a_file_without_its_log_is_an_earlier_state() {
    let specimen = Specimen::new().await;
    let alone = Specimen {
        file: specimen.file.clone(),
        log: Vec::new(),
    };
    let findings = specimen.read_each([alone].into_iter()).await;
    assert_eq!(findings.earlier, 1, "{findings:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_the_file_makes_up_no_value() {
    let specimen = Specimen::new().await;
    let places = (0..specimen.file.len()).step_by(83);
    let findings = specimen.read_each(places.map(|place| Specimen {
        file: flipped(&specimen.file, place),
        log: Vec::new(),
    }));
    row("5", "one bit of the file flipped, no log", findings.await);
}

/// The file lives on for whoever has it open, and with them ends what was written to it.
#[cfg(unix)]
#[tokio::test]
async fn a_file_deleted_in_use_takes_no_writes_and_is_told_by_health() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = EmbeddedStore::open(&path).unwrap();
    let at = partition("run");
    assert!(
        store
            .commit(&at, put("a", b"before"))
            .await
            .unwrap()
            .is_applied()
    );
    assert!(store.health().await.unwrap().warnings.is_empty());
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let entry = store.get(&at, &key("a")).await.unwrap().unwrap();
    assert_eq!(entry.value, b"before");
    let lost = store.commit(&at, put("a", b"after")).await;
    assert!(
        !lost.unwrap_err().may_have_applied(),
        "nothing is acknowledged"
    );
    let warnings = store.health().await.unwrap().warnings;
    assert!(
        warnings
            .iter()
            .any(|it| it.contains("was removed while in use")),
        "{warnings:?}"
    );
}

fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1 << (place % 8);
    bytes
}
