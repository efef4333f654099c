//! How far a measurement is, on stderr: a bar on a terminal, a line for each tenth elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use fusebox::lab::{Progress, Protection};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Shows what it is told.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    /// Where there is no bar: the side and the tenths that were told last. `None` tells nothing.
    told: Option<Mutex<(Option<Protection>, u64)>>,
}

impl Meter {
    /// Of a simulation: it is over before anybody would read a line.
    pub(super) fn of_goes() -> Self {
        Self {
            bar: bar(),
            told: None,
        }
    }

    /// Of a measurement on real time.
    pub(super) fn of_runs() -> Self {
        let bar = bar();
        let told = bar.is_none().then(Mutex::default);
        Self { bar, told }
    }

    pub(super) fn show(&self, progress: Progress) {
        let Progress { side, done, of, .. } = progress;
        let what = match side {
            Some(Protection::On) => "with breakers",
            Some(_) => "without",
            None => "simulating",
        };
        if let Some(bar) = &self.bar {
            bar.set_length(of.max(done));
            bar.set_position(done);
            bar.set_message(what);
        }
        let Some(Ok(mut last)) = self.told.as_ref().map(Mutex::lock) else {
            return;
        };
        let now = (side, 10 * done / of.max(1));
        if std::mem::replace(&mut *last, now) != now {
            output::remark(&format!("{what}: {done} of {of} runs are over"));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> Option<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:>14} {bar:40} {pos} of {len}");
    let style = style.expect("a good template");
    let shown = std::io::stderr().is_terminal();
    shown.then(|| ProgressBar::new(1).with_style(style))
}
