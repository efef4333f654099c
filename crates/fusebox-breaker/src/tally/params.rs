//! What the lock-free path knows of the settings.

use std::sync::Arc;
use std::time::Duration;

use super::Relaxed;
use crate::config::Config;
use crate::outcome::FailureKind;
use crate::rules::{Rate, Rules, Weights};
use crate::sync::{AtomicU32, AtomicU64};

/// Places kept free in a ring beside the window's: a thread held up between two steps by fewer endings than this
/// still finds the place it means.
const SLACK: u32 = 16;

/// What the lock-free path needs to know of the settings. A layout that a reconfiguration made is changed in place:
/// the fence has moved on by then, so whoever still reads the old values finds out before they matter.
#[derive(Debug, Default)]
pub(crate) struct Params {
    /// The settings they were taken from; none in a layout that a reconfiguration made.
    pub(super) origin: Option<Arc<Config>>,
    pub(super) flags: AtomicU32,
    /// Calls the count window holds; 0 without one.
    pub(super) size: AtomicU32,
    /// Places in the ring less one.
    pub(super) mask: AtomicU32,
    /// Bits per outcome: 0 for one, 2 for four.
    pub(super) log_bits: AtomicU32,
    /// A success among the first so many endings can complete a rule's minimum.
    pub(super) complete_until: AtomicU32,
    /// Units in the count window below which its rule cannot hold, however many calls it knows.
    pub(super) least: AtomicU32,
    pub(super) weights: AtomicU32,
    pub(super) row: AtomicU32,
    pub(super) minima: [AtomicU32; 3],
    pub(super) thresholds: [AtomicU64; 3],
    pub(super) slow_limit: AtomicU64,
}

pub(super) const ALL: u32 = 1;
pub(super) const COUNT: u32 = 1 << 1;
pub(super) const TIME: u32 = 1 << 2;
pub(super) const SLOW: u32 = 1 << 3;
pub(super) const SUM: u32 = 1 << 4;
pub(super) const LEARNS: u32 = 1 << 5;
pub(super) const ROWS: u32 = 1 << 6;

impl Params {
    pub(crate) fn of(config: &Arc<Config>) -> Self {
        let params = Self {
            origin: Some(Arc::clone(config)),
            ..Self::default()
        };
        params.set(config);
        params
    }

    /// The settings they were taken from.
    pub(crate) fn config(&self) -> &Arc<Config> {
        self.origin
            .as_ref()
            .expect("shared parameters know their settings")
    }

    pub(super) fn set(&self, config: &Config) {
        let mut flags = 0;
        let mut set = |flag, on: bool| flags |= if on { flag } else { 0 };
        let rules = config.rules();
        set(ALL, rules.all);
        set(COUNT, config.count_window().is_some());
        set(TIME, rules.time.is_some());
        set(SLOW, rules.slow.is_some());
        set(SUM, config.change_detector().is_some());
        set(
            LEARNS,
            config
                .change_detector()
                .is_some_and(|detector| detector.learning.is_some()),
        );
        set(ROWS, rules.row > 0);
        let size = config.count_window().map_or(0, |window| window.size);
        self.size.store(size, Relaxed);
        self.mask.store(places(size) - 1, Relaxed);
        self.log_bits.store(config.log_bits(), Relaxed);
        let minima =
            [rules.count, rules.time, rules.slow].map(|rule| rule.map_or(0, |rule| rule.minimum));
        self.complete_until
            .store(minima.into_iter().max().unwrap_or(0), Relaxed);
        let Weights {
            error,
            timed_out,
            overloaded,
            quality,
        } = config.weights();
        self.weights.store(
            u32::from_le_bytes([error, timed_out, overloaded, quality]),
            Relaxed,
        );
        self.row.store(rules.row, Relaxed);
        for (index, rule) in [rules.count, rules.time, rules.slow]
            .into_iter()
            .enumerate()
        {
            self.minima[index].store(rule.map_or(u32::MAX, |rule| rule.minimum), Relaxed);
            self.thresholds[index]
                .store(rule.map_or(2.0, |rule| rule.threshold).to_bits(), Relaxed);
        }
        let least = rules.count.map_or(0.0, |rule| {
            f64::from(rule.minimum) * rule.threshold * f64::from(self.one())
        });
        self.least.store(least as u32, Relaxed);
        let limit = config
            .slow_calls()
            .map_or(Duration::MAX, |slow| slow.slow_call_duration_threshold);
        self.slow_limit
            .store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.flags.store(flags, Relaxed);
    }

    #[inline(always)]
    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags.load(Relaxed) & flags != 0
    }

    pub(crate) fn slow_limit(&self) -> u64 {
        self.slow_limit.load(Relaxed)
    }

    /// What a failure of weight one adds to a window.
    pub(super) fn one(&self) -> u32 {
        if self.log_bits.load(Relaxed) == 0 {
            1
        } else {
            u32::from(Weights::ONE)
        }
    }

    pub(super) fn weight(&self, kind: FailureKind) -> u32 {
        if self.log_bits.load(Relaxed) == 0 {
            return 1;
        }
        let [error, timed_out, overloaded, quality] = self.weights.load(Relaxed).to_le_bytes();
        u32::from(
            Weights {
                error,
                timed_out,
                overloaded,
                quality,
            }
            .of(kind),
        )
    }

    pub(super) fn rules(&self, limit: u64) -> Rules {
        let flags = self.flags.load(Relaxed);
        let rate = |flag: u32, index: usize| {
            (flags & flag != 0).then(|| Rate {
                minimum: self.minima[index].load(Relaxed),
                threshold: f64::from_bits(self.thresholds[index].load(Relaxed)),
            })
        };
        Rules {
            all: flags & ALL != 0,
            row: self.row.load(Relaxed),
            count: rate(COUNT, 0),
            time: rate(TIME, 1),
            slow: rate(SLOW, 2),
            sum: if flags & SUM != 0 { limit } else { 0 },
            one: self.one(),
        }
    }

    /// Whether the rules cannot hold with this row and these units in the count window; they may still not hold if not.
    #[inline]
    pub(super) fn out_of_reach(&self, row: u64, units: u32) -> bool {
        let flags = self.flags.load(Relaxed);
        let has = |flag: u32| flags & flag != 0;
        let row = row >= u64::from(self.row.load(Relaxed));
        let count = units >= self.least.load(Relaxed);
        if has(ALL) {
            (has(ROWS) && !row) || (has(COUNT) && !count)
        } else {
            !(has(TIME | SLOW | SUM) || (has(ROWS) && row) || (has(COUNT) && count))
        }
    }

    /// Whether they say the same as `config`.
    pub(super) fn fits(&self, config: &Config) -> bool {
        let other = Self::default();
        other.set(config);
        let plain = |params: &Self| {
            (
                [
                    &params.flags,
                    &params.size,
                    &params.mask,
                    &params.log_bits,
                    &params.row,
                    &params.weights,
                ]
                .map(|field| field.load(Relaxed)),
                params.minima.each_ref().map(|field| field.load(Relaxed)),
                params
                    .thresholds
                    .each_ref()
                    .map(|field| field.load(Relaxed)),
                params.slow_limit.load(Relaxed),
            )
        };
        plain(self) == plain(&other)
    }
}

/// Places in the ring of a window over `size` calls: a power of two, so that a place is found by a mask.
pub(super) fn places(size: u32) -> u32 {
    if size == 0 {
        1
    } else {
        (size + SLACK).next_power_of_two()
    }
}

pub(super) fn cells_for(config: &Config) -> usize {
    let size = config.count_window().map_or(0, |window| window.size);
    if size == 0 {
        return 0;
    }
    ((places(size) << config.log_bits()) as usize).div_ceil(32)
}
