//! Two owners at once: none is accepted after the other, nothing is lost untold.

use fusebox_chaos_tests::report::Section;
use fusebox_chaos_tests::split::{self, Cut, Level};
use fusebox_state::Durability;

const CUTS: Section = Section {
    name: "3-split-brain-1-cut",
    title: "Two owners on two sides of a cut",
    text: "A primary is cut off from replicas and Sentinels with an owner beside it, for longer \
           than the owner's lease; a second owner takes over on the other side; the cut heals. \
           Counted are the first owner's writes: 20 acknowledged before the cut, and all after it. \
           `primary` under `?replicas=` is an acknowledgement that says that no replica had it. `untold` are those lost \
           that are not in a fork the first owner knows of. The last column is the control: the \
           same late write to a partition without a lease.",
    columns: &[
        "writes need",
        "acknowledged",
        "lost",
        "untold",
        "accepted from the first owner after the second",
        "lost of the second owner",
        "late write without a fence",
    ],
};

const OTHERS: Section = Section {
    name: "3-split-brain-2-others",
    title: "Owners stopped, primaries lost",
    text: "Each with its control.",
    columns: &["what happens", "protected by", "with it", "without it"],
};

async fn cut(place: &str, level: Level) -> Cut {
    let cut = split::cut(level).await;
    let late = match cut.unfenced_accepted {
        0 => "refused",
        _ => "accepted",
    };
    let cells = [
        level.name.to_owned(),
        Cut::shown(&cut.acknowledged),
        Cut::shown(&cut.lost),
        cut.untold.to_string(),
        cut.stale_accepted.to_string(),
        cut.second_lost.to_string(),
        late.to_owned(),
    ];
    CUTS.row(place, &cells);
    assert_eq!(
        (cut.stale_accepted, cut.second_lost, cut.untold),
        (0, 0, 0),
        "{cut:?}"
    );
    assert_eq!(
        cut.unfenced_accepted, 1,
        "without a fence nothing is protected"
    );
    cut
}

mod cut_redis {
    use super::*;

    const PLAIN: Level = Level {
        name: "plain",
        replicas: 0,
        min_replicas: false,
        with_replica: false,
    };

    /// What was lost, other than what was said to be on the primary alone.
    fn lost_beyond_the_primary(cut: &Cut) -> Vec<Durability> {
        let beyond = cut
            .lost
            .keys()
            .filter(|level| **level > Durability::PrimaryFsync);
        beyond.copied().collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_replicas_acknowledged_writes_are_lost_and_told() {
        let cut = cut("1", PLAIN).await;
        // The control of what follows: there is something to lose.
        assert!(cut.lost.contains_key(&Durability::Primary), "{cut:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_primary_that_misses_its_replicas_stops_and_tells_what_it_lost() {
        let level = Level {
            name: "`min-replicas-to-write 1`",
            min_replicas: true,
            ..PLAIN
        };
        cut("2", level).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_that_a_replica_had_is_lost() {
        let level = Level {
            name: "`?replicas=1`",
            replicas: 1,
            ..PLAIN
        };
        let cut = cut("3", level).await;
        assert!(
            cut.acknowledged.contains_key(&Durability::Replicated(1)),
            "{cut:?}"
        );
        assert_eq!(lost_beyond_the_primary(&cut), []);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_that_a_replica_had_is_lost_where_one_must_be_there() {
        let level = Level {
            name: "`?replicas=1` and `min-replicas-to-write 1`",
            replicas: 1,
            min_replicas: true,
            ..PLAIN
        };
        let cut = cut("4", level).await;
        assert!(
            cut.acknowledged.contains_key(&Durability::Replicated(1)),
            "{cut:?}"
        );
        assert_eq!(lost_beyond_the_primary(&cut), []);
    }

    /// One replica is not most of three servers: the one that had it need not be the one promoted.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_only_the_replica_cut_off_had_is_lost_and_told() {
        let level = Level {
            name: "`?replicas=1`, one of two replicas cut off with the primary",
            replicas: 1,
            with_replica: true,
            ..PLAIN
        };
        let cut = cut("5", level).await;
        assert_eq!(
            lost_beyond_the_primary(&cut),
            [Durability::Replicated(1)],
            "the control"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_that_every_replica_had_is_lost() {
        let level = Level {
            name: "`?replicas=2`, one of two replicas cut off with the primary",
            replicas: 2,
            with_replica: true,
            ..PLAIN
        };
        let cut = cut("6", level).await;
        assert!(
            cut.acknowledged.contains_key(&Durability::Replicated(2)),
            "{cut:?}"
        );
        assert!(
            !cut.lost.contains_key(&Durability::Replicated(2)),
            "{cut:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_promoted_replica_had_not_seen_is_put_back() {
        let found = split::lagging().await;
        assert_eq!(
            (found.missing_with_fallback, found.restored),
            (0, 1),
            "{found:?}"
        );
        assert!(found.refused_with_revision, "{found:?}");
        assert!(found.accepted_without, "the control: {found:?}");
        let gone = format!(
            "a lagging replica is promoted, {} acknowledged writes gone",
            found.unseen
        );
        let row = |place: &str, by: &str, with: &str| {
            let without = "the next write is accepted, the hole stays";
            OTHERS.row(
                place,
                &[gone.clone(), by.into(), with.into(), without.into()],
            );
        };
        row("1", "`FallbackStore`", "all put back, once");
        row("2", "the expected revision", "the next write is refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_owner_continued_after_a_takeover_writes_nothing() {
    let [fenced, free] = split::stopped("split::owns_until_told").await;
    assert!(fenced.starts_with("StaleEpoch"), "{fenced}");
    assert!(free.starts_with("Applied"), "the control: {free}");
    let happens = "an owner is stopped (SIGSTOP) past its lease, continued after another took over";
    let cells = [
        happens,
        "the fence",
        "its write is refused",
        "its write is accepted",
    ];
    OTHERS.row("3", &cells.map(str::to_owned));
}

/// The other process of the test above; by itself it has nothing to do.
#[tokio::test]
async fn owns_until_told() {
    if let Ok(url) = std::env::var(split::ENV_OWNER) {
        split::own_until_told(&url).await;
    }
}
