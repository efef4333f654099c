//! A `fusebox` in a terminal of its own, and what is to be seen there.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::processes::signal;
use crate::wait::{eventually, within_limit};

/// A command that runs in a pseudo-terminal; killed when dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    seen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts `command` in a terminal of so many columns and rows.
    ///
    /// # Panics
    /// The system has no terminal to give, or the command does not start.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let (keyboard, end) = pair(columns, rows);
        let copy = || Stdio::from(end.try_clone().expect("a handle can be copied"));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        command.env("TERM", "xterm-256color");
        let child = command.spawn().expect("the command starts");
        // The command holds its own copies, and so does this process until they are dropped: the reader would never
        // see the end.
        drop((command, end));
        let seen = vt100::Parser::new(some(rows), some(columns), 0);
        let seen = Arc::new(Mutex::new(seen));
        let reader = thread::spawn({
            let (mut from, seen) = (
                keyboard.try_clone().expect("a handle can be copied"),
                Arc::clone(&seen),
            );
            move || {
                let mut bytes = [0; 4096];
                // Once nobody holds the other end any more, reading fails.
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    lock(&seen).process(&bytes[..count]);
                }
            }
        });
        Self {
            child,
            keyboard,
            seen,
            reader: Some(reader),
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn press(&mut self, keys: &str) {
        let pressed = self.keyboard.write_all(keys.as_bytes());
        pressed.expect("somebody has the terminal open");
    }

    /// What is on the screen, a line per row, without the blanks at the ends.
    pub fn screen(&self) -> String {
        let seen = lock(&self.seen);
        let columns = seen.screen().size().1;
        let rows = seen.screen().rows(0, columns.get());
        rows.map(|row| row.trim_end().to_owned() + "\n").collect()
    }

    /// Whether anything on the screen has another colour than the terminal's own.
    pub fn is_coloured(&self) -> bool {
        let seen = lock(&self.seen);
        let screen = seen.screen();
        let (rows, columns) = screen.size();
        let mut places =
            (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        places.any(|(row, column)| {
            let cell = screen.cell(row, column).expect("it is on the screen");
            [cell.fgcolor(), cell.bgcolor()] != [vt100::Color::Default; 2]
        })
    }

    /// Waits until the screen shows `text`.
    ///
    /// # Panics
    /// It does not within a minute; the message has the screen.
    pub fn until(&self, text: &str) -> String {
        self.until_all(&[text])
    }

    /// Waits until the screen shows all of `texts` at once.
    ///
    /// # Panics
    /// It does not within a minute; the message has the screen.
    pub fn until_all(&self, texts: &[&str]) -> String {
        let all = || {
            let screen = self.screen();
            texts.iter().all(|it| screen.contains(it)).then_some(screen)
        };
        within_limit(all).unwrap_or_else(|| panic!("not seen: {texts:?}\n{self:?}"))
    }

    /// Whether lines are edited and keys shown, as a shell needs it.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn is_for_lines(&self) -> bool {
        let state = tcgetattr(&self.keyboard).expect("a terminal has a state");
        state
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Whether the screen that was there before is hidden.
    pub fn is_covered(&self) -> bool {
        lock(&self.seen).screen().alternate_screen()
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// It has ended already.
    pub fn terminate(&self) {
        assert!(signal("TERM", self.pid()), "it runs");
    }

    /// Waits for the end; the exit code, `None` when a signal ended it.
    ///
    /// # Panics
    /// It does not end within a minute.
    pub fn wait(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let status = eventually("the end of a command in a terminal", || {
            child.try_wait().expect("it is our child")
        });
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        status.code()
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "process {} shows:\n{}", self.pid(), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // After `wait` there is nothing left to kill, and that is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal's two ends: the one that a person sits at, and the one that a program has.
fn pair(columns: u16, rows: u16) -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let person = openpt(flags).expect("the system has pseudo-terminals");
    grantpt(&person).expect("it is ours");
    unlockpt(&person).expect("it is ours");
    let name = ptsname(&person, Vec::new()).expect("it has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = open(&*name, flags, Mode::empty()).expect("it can be opened");
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&program, size).expect("it is a terminal");
    (File::from(person), program)
}

fn some(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has rows and columns")
}

fn lock(seen: &Mutex<vt100::Parser>) -> MutexGuard<'_, vt100::Parser> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
