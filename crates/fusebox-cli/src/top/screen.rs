//! The terminal, and that it is given back whatever happens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::sync::mpsc::{Receiver, channel};

use super::model::Model;
use super::view;

/// How long the keyboard's thread outlives the screen at most.
const POLL: Duration = Duration::from_millis(100);

/// The terminal as it is drawn on. Dropping it gives the terminal back, and so does a panic, of any thread, before
/// its message is printed.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    inputs: Receiver<Input>,
    over: Arc<AtomicBool>,
}

pub(super) enum Input {
    Key(KeyEvent),
    Resized,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let over = Arc::new(AtomicBool::new(false));
        let inputs = listen(Arc::clone(&over));
        Ok(Self {
            terminal,
            inputs,
            over,
        })
    }

    pub(super) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, model))?;
        Ok(())
    }

    /// The next key or the like; `None` once there can be no more.
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn input(&mut self) -> Option<Input> {
        self.inputs.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

/// Keys are read by a thread: there is no other way to wait for them that every terminal knows.
fn listen(over: Arc<AtomicBool>) -> Receiver<Input> {
    let (sender, receiver) = channel(64);
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let input = match event::poll(POLL).and_then(|is_there| {
                if is_there {
                    event::read().map(Some)
                } else {
                    Ok(None)
                }
            }) {
                Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => Input::Key(key),
                Ok(Some(Event::Resize(..))) => Input::Resized,
                Ok(_) => continue,
                Err(_) => return,
            };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const COVER: &str = "\u{1b}[?1049h";
    const UNCOVER: &str = "\u{1b}[?1049l";

    /// Run in a terminal by the test below.
    #[test]
    #[ignore = "it panics, for another test to see"]
    fn panics_on_a_screen() {
        let _screen = Screen::enter().unwrap();
        panic!("on purpose");
    }

    #[test]
    fn a_panic_is_told_on_a_terminal_that_is_given_back() {
        let tests = std::env::current_exe().unwrap();
        let name = "top::screen::tests::panics_on_a_screen";
        let run = format!("'{}' --exact {name} --ignored --nocapture", tests.display());
        // `script`, of util-linux, gives it a terminal.
        let output = Command::new("script")
            .args(["-qec", &run, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .expect("`script` is installed");
        let written = String::from_utf8_lossy(&output.stdout);
        let at = |text: &str| {
            let at = written.find(text);
            at.unwrap_or_else(|| panic!("{text:?} is missing in {written:?}"))
        };
        assert!(at(COVER) < at(UNCOVER), "{written:?}");
        assert!(at(UNCOVER) < at("on purpose"), "{written:?}");
    }
}
