//! Who goes when, on a board without breakers: they are as a test says.

use std::collections::BTreeSet;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn look(availability: Availability) -> Look {
    Look {
        availability,
        is_open: matches!(
            availability,
            Availability::NotBefore(_) | Availability::Never
        ),
    }
}

fn joining(agent: &str, now: Instant) -> Joining<'_> {
    Joining {
        agent,
        probes: 2,
        bulkhead: Some(8),
        patience: 10 * SECOND,
        tries: 0,
        deadline: now + 3600 * SECOND,
        not_before: now,
    }
}

fn board() -> Board {
    Board::new(Settings::default())
}

#[test]
fn as_many_go_as_probes_and_then_one_more_for_each_success() {
    let (mut board, now) = (board(), Instant::now());
    for _ in 0..20 {
        board.join(joining("a", now), [].into_iter());
    }
    let probes = board.pass(now, |_| look(Availability::ProbeReady)).released;
    assert_eq!(probes.len(), 2);
    assert!(
        board
            .pass(now, |_| look(Availability::ProbeReady))
            .released
            .is_empty()
    );
    for (agent, epoch, _) in &probes {
        board.back(agent, *epoch, Some(true));
    }
    let cohort = board.pass(now, |_| look(Availability::Ready)).released;
    assert_eq!(cohort.len(), 4);
    for (agent, epoch, _) in &cohort {
        board.back(agent, *epoch, Some(true));
    }
    let cohort = board.pass(now, |_| look(Availability::Ready)).released;
    assert_eq!(cohort.len(), 8, "as many as the agent takes at once");
    // A failure halves the room, never below the probes.
    for (agent, epoch, _) in &cohort {
        board.back(agent, *epoch, Some(false));
    }
    assert_eq!(
        board
            .pass(now, |_| look(Availability::Ready))
            .released
            .len(),
        2
    );
}

#[test]
fn a_call_that_failed_goes_behind_the_others_and_the_one_in_a_hurry_before_them() {
    let (mut board, now) = (board(), Instant::now());
    let failed = Joining {
        tries: 1,
        ..joining("a", now)
    };
    let hurried = Joining {
        deadline: now + SECOND,
        ..joining("a", now)
    };
    let last = board.join(failed, [].into_iter());
    let second = board.join(joining("a", now), [].into_iter());
    let first = board.join(hurried, [].into_iter());
    let released = board.pass(now, |_| look(Availability::ProbeReady)).released;
    let places: Vec<Place> = released.into_iter().map(|(_, _, place)| place).collect();
    assert_eq!(places, [first, second]);
    board.leave("a", last);
}

#[test]
fn who_cannot_be_served_in_time_is_told_once() {
    let (mut board, now) = (board(), Instant::now());
    let hurried = Joining {
        deadline: now + 5 * SECOND,
        ..joining("a", now)
    };
    let place = board.join(hurried, [].into_iter());
    board.join(joining("a", now), [].into_iter());
    let away = |_: &str| look(Availability::NotBefore(10 * SECOND));
    assert_eq!(board.pass(now, away).hopeless, [place]);
    assert!(board.pass(now, away).hopeless.is_empty());
}

#[test]
fn an_agent_that_is_forced_open_is_left_alone_and_one_that_is_disabled_is_called() {
    let (mut board, now) = (board(), Instant::now());
    board.join(joining("a", now), [].into_iter());
    let pass = board.pass(now, |_| look(Availability::Never));
    assert!(pass.released.is_empty() && pass.wake.is_none());
    assert_eq!(
        board
            .pass(now, |_| look(Availability::Ready))
            .released
            .len(),
        1
    );
}

#[test]
fn no_more_agents_are_probed_at_once_than_allowed() {
    let (mut board, now) = (board(), Instant::now());
    for agent in ["a", "b", "c", "d", "e", "f"] {
        board.join(joining(agent, now), [].into_iter());
    }
    let probed = board.pass(now, |_| look(Availability::ProbeReady)).released;
    assert_eq!(probed.len(), 4);
    let (agent, epoch, _) = &probed[0];
    board.back(agent, *epoch, Some(false));
    assert_eq!(
        board
            .pass(now, |_| look(Availability::ProbeReady))
            .released
            .len(),
        1
    );
}

#[test]
fn two_runs_that_disagree_about_what_comes_first_do_not_block_each_other() {
    let (mut board, now) = (board(), Instant::now());
    board.join(joining("a", now), ["b"].into_iter());
    board.join(joining("b", now), ["a"].into_iter());
    let pass = board.pass(now, |_| look(Availability::ProbeReady));
    assert_eq!(pass.released.len(), 1);
    let later = pass.wake.expect("the other one's patience ends");
    assert_eq!(later, now + 10 * SECOND);
    let released = board
        .pass(later, |_| look(Availability::ProbeReady))
        .released;
    assert_eq!(released.len(), 1);
}

#[test]
fn whatever_the_breaker_does_every_call_goes_once_and_never_too_many_at_once() {
    for seed in 0..500_u64 {
        let mut dice = seed;
        let mut draw = |sides: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let (mut board, mut now) = (board(), Instant::now());
        let (mut joined, mut gone, mut out) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for round in 0..200 {
            if round < 100 && draw(2) == 0 {
                let place = board.join(joining("a", now), ["b"].into_iter());
                joined.insert(place);
            }
            let availability = match draw(4) {
                _ if round >= 150 => Availability::Ready,
                0 => Availability::NotBefore(SECOND),
                1 => Availability::ProbeReady,
                _ => Availability::Ready,
            };
            let pass = board.pass(now, |_| look(availability));
            for (agent, epoch, place) in pass.released {
                assert!(gone.insert(place), "seed {seed}: {place:?} went twice");
                out.push((agent, epoch));
            }
            if !out.is_empty() && (round >= 150 || draw(3) > 0) {
                let (agent, epoch) = out.swap_remove(draw(out.len() as u64) as usize);
                board.back(&agent, epoch, Some(draw(3) > 0));
            }
            now += SECOND;
        }
        while let Some((agent, epoch)) = out.pop() {
            board.back(&agent, epoch, Some(true));
            let pass = board.pass(now, |_| look(Availability::Ready));
            for (agent, epoch, place) in pass.released {
                assert!(gone.insert(place), "seed {seed}: {place:?} went twice");
                out.push((agent, epoch));
            }
            assert!(out.len() <= 8, "seed {seed}: {} at once", out.len());
        }
        assert_eq!(joined, gone, "seed {seed}");
        assert_eq!(board.len(), 0, "seed {seed}: a line is left over");
    }
}
