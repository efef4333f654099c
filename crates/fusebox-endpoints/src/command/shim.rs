//! The supervisor: a process between the engine and a program, so that the program dies with
//! the engine, however that dies.
//!
//! ```text
//! engine ──lifeline──► supervisor ──pipe──► program (leader of its own group)
//!   ▲                                         │ stdout, stderr
//!   └─────────────────────────────────────────┘
//! ```
//!
//! The lifeline is a socket pair and the supervisor's standard input. Down it go the length of
//! the input (8 bytes, big endian) and the input; then it stays open, and its end means that the
//! engine is gone: the supervisor kills the program's group and exits. Up it come [`Report`]s,
//! one per line. The exit status of the supervisor itself means nothing, so a program's status
//! arrives as it was, signals included. A program is not started before its whole input has
//! arrived, so none ever acts on half of one.
//!
//! A program that is asked many times over (`serve`) has no such input: what comes down the
//! lifeline first is one byte and with it the read end of a pipe, which becomes the program's
//! standard input. The engine holds the other end, so nothing that the program leaves unread can
//! keep the supervisor from seeing the end of the lifeline.
//!
//! The supervisor sees the program's end but never reaps it: as long as it lives, the number of
//! the group cannot pass to somebody else, and the engine may kill it by that number.
//!
//! On Linux the program is started through one more stage, which asks the kernel to kill it when
//! the supervisor dies and then turns into it. The supervisor keeps to its first thread for
//! that: the kernel watches the thread that started a process, not the process it belongs to.

use std::ffi::{OsStr, OsString};
#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(feature = "mcp")]
use std::io::IoSlice;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
#[cfg(feature = "mcp")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
#[cfg(feature = "mcp")]
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// The first argument that makes an executable a supervisor.
const MARKER: &str = "__fusebox-shim";
const SUPERVISE: &str = "supervise";
const SERVE: &str = "serve";
#[cfg(target_os = "linux")]
const BECOME: &str = "become";

/// Exit code of a stage that was called in a way it does not understand.
const MISUSE: i32 = 2;
/// Exit code of a stage that could not turn into the program; what shells use.
#[cfg(target_os = "linux")]
const NOT_STARTED: i32 = 127;

static OWN_EXECUTABLE_SUPERVISES: AtomicBool = AtomicBool::new(false);

/// Makes this executable the supervisor of the programs that its command agents run. To be the
/// first line of `main`, before anything that reads arguments, prints, or starts threads:
///
/// ```no_run
/// // in main
/// fusebox_endpoints::enter_shim_if_asked();
/// // ... everything else
/// ```
///
/// Started with `__fusebox-shim` as its first argument, the executable becomes the supervisor of
/// one program and this function never returns. Otherwise it returns at once, and from then on
/// every [`CommandAgent`](super::CommandAgent) of this process starts its programs through this
/// executable: a program and its process group then die with this process, whatever kills it.
/// On systems other than Linux the program outlives its supervisor if that alone is killed with
/// SIGKILL.
pub fn enter_shim_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != MARKER) {
        OWN_EXECUTABLE_SUPERVISES.store(true, Ordering::Relaxed);
        return;
    }
    let stage = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let code = match (stage.to_str(), args.as_slice()) {
        (Some(SUPERVISE), [program, args @ ..]) => supervise(program, args, receive),
        (Some(SERVE), [program, args @ ..]) => supervise(program, args, receive_file),
        #[cfg(target_os = "linux")]
        (Some(BECOME), [parent, pipe, program, args @ ..]) => {
            become_program(parent, pipe, program, args)
        }
        _ => {
            let message = "`__fusebox-shim` is for fusebox itself, leave it out\n";
            let _ = io::stderr().write_all(message.as_bytes());
            MISUSE
        }
    };
    std::process::exit(code)
}

/// This executable, if its `main` made it a supervisor.
pub(super) fn own_executable() -> Option<PathBuf> {
    if OWN_EXECUTABLE_SUPERVISES.load(Ordering::Relaxed) {
        this_executable()
    } else {
        None
    }
}

/// The command that starts the supervisor of a program with one input. Its standard input must
/// become the lifeline.
pub(super) fn command(
    executable: &Path,
    program: &OsStr,
    args: &[OsString],
) -> tokio::process::Command {
    stage_command(executable, SUPERVISE, program, args)
}

/// The command that starts the supervisor of a program that is asked many times over. Its
/// standard input must become the lifeline, and [`send_file`] must follow.
#[cfg(feature = "mcp")]
pub(super) fn serving_command(
    executable: &Path,
    program: &OsStr,
    args: &[OsString],
) -> tokio::process::Command {
    stage_command(executable, SERVE, program, args)
}

fn stage_command(
    executable: &Path,
    stage: &str,
    program: &OsStr,
    args: &[OsString],
) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(executable);
    command.arg0("fusebox-shim");
    command.args([MARKER, stage]).arg(program).args(args);
    command
}

/// Sends the file that becomes the program's standard input. Does not block: it is the first that
/// goes down the lifeline.
#[cfg(feature = "mcp")]
pub(super) fn send_file(lifeline: &UnixStream, file: BorrowedFd<'_>) -> io::Result<()> {
    let files = [file];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    let sent = sendmsg(
        lifeline,
        &[IoSlice::new(&[1])],
        &mut control,
        SendFlags::empty(),
    )?;
    match sent {
        1 => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// What goes before the input.
pub(super) fn header(input: &[u8]) -> [u8; 8] {
    (input.len() as u64).to_be_bytes()
}

/// What a supervisor tells the engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The program runs, under this process number, which is also that of its group.
    Started(i32),
    /// The program could not be started, for this system error.
    NotStarted(i32),
    /// The program exited with this code.
    Exited(i32),
    /// This signal killed the program.
    Signaled(i32),
}

impl Report {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, number) = line.split_once(' ')?;
        let number = number.parse().ok()?;
        match word {
            "started" => Some(Self::Started(number)),
            "not-started" => Some(Self::NotStarted(number)),
            "exited" => Some(Self::Exited(number)),
            "signaled" => Some(Self::Signaled(number)),
            _ => None,
        }
    }

    fn send(&self, mut to: &UnixStream) {
        let line = match self {
            Self::Started(number) => format!("started {number}\n"),
            Self::NotStarted(number) => format!("not-started {number}\n"),
            Self::Exited(number) => format!("exited {number}\n"),
            Self::Signaled(number) => format!("signaled {number}\n"),
        };
        // An engine that is gone is noticed at the other end of the lifeline.
        let _ = to.write_all(line.as_bytes());
    }
}

fn this_executable() -> Option<PathBuf> {
    // On Linux the link leads to the running executable even after an upgrade has replaced the
    // file, so that both ends always speak the same protocol.
    let link = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && link.exists() {
        return Some(link.to_owned());
    }
    std::env::current_exe().ok()
}

/// The group to kill when the lifeline ends. The lock is held while the program is started, so
/// that there is no moment at which it runs and nobody knows.
type Group = Arc<Mutex<Option<Pid>>>;

/// What becomes the program's standard input.
enum Input {
    /// A pipe with this in it.
    Whole(Vec<u8>),
    /// What the engine sent.
    File(OwnedFd),
}

/// Supervises one program; returns only if it cannot even begin.
fn supervise(
    program: &OsStr,
    args: &[OsString],
    receive: impl FnOnce(&UnixStream) -> io::Result<Input>,
) -> i32 {
    let lifeline = io::stdin().as_fd().try_clone_to_owned();
    let Ok(lifeline) = lifeline.map(UnixStream::from) else {
        return MISUSE;
    };
    let Ok(input) = receive(&lifeline) else {
        return MISUSE; // the engine died first
    };
    let group = Group::default();
    if watch(&lifeline, &group).is_err() {
        Report::NotStarted(Errno::AGAIN.raw_os_error()).send(&lifeline);
        return 0;
    }
    let (stdin, whole) = match input {
        Input::Whole(input) => (Stdio::piped(), input),
        Input::File(file) => (Stdio::from(file), Vec::new()),
    };
    let failure = match start(program, args, stdin, &group) {
        Ok((child, leader, pipe)) => {
            Report::Started(leader.as_raw_nonzero().get()).send(&lifeline);
            pipe.give_leave();
            let ended = accompany(child, leader, whole);
            kill(&group);
            pipe.failure().map_or(ended, Report::NotStarted)
        }
        Err(error) => {
            let number = error.raw_os_error();
            Report::NotStarted(number.unwrap_or(Errno::INVAL.raw_os_error()))
        }
    };
    failure.send(&lifeline);
    loop {
        thread::park(); // until the lifeline ends; the watch exits then
    }
}

fn receive(mut lifeline: &UnixStream) -> io::Result<Input> {
    let mut length = [0; 8];
    lifeline.read_exact(&mut length)?;
    let length = u64::from_be_bytes(length);
    let mut input = Vec::new();
    lifeline.take(length).read_to_end(&mut input)?;
    match input.len() as u64 == length {
        true => Ok(Input::Whole(input)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn receive_file(lifeline: &UnixStream) -> io::Result<Input> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        lifeline,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::empty(),
    )?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file = file.ok_or(io::ErrorKind::UnexpectedEof)?;
    // The program has its own copy; this one must not live on in it.
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC)?;
    Ok(Input::File(file))
}

/// Ends everything once the lifeline does.
fn watch(lifeline: &UnixStream, group: &Group) -> io::Result<()> {
    let (mut lifeline, group) = (lifeline.try_clone()?, Arc::clone(group));
    let watch = move || {
        let mut byte = [0];
        loop {
            match lifeline.read(&mut byte) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        kill(&group);
        std::process::exit(0)
    };
    thread::Builder::new().spawn(watch).map(|_| ())
}

fn kill(group: &Group) {
    // Nothing can panic under this lock.
    let group = group.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(group) = *group {
        // An error means that nobody is left.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Starts the program as the leader of a group of its own. It never sees the lifeline.
fn start(
    program: &OsStr,
    args: &[OsString],
    stdin: Stdio,
    group: &Group,
) -> io::Result<(Child, Pid, StagePipe)> {
    let pipe = StagePipe::new()?;
    let mut command = stage(&pipe, program);
    command.args(args).stdin(stdin).process_group(0);
    let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let leader = leader.expect("a child has a positive process number");
    *group = Some(leader);
    Ok((child, leader, pipe))
}

/// Feeds the program its input and waits for its end, without reaping it.
fn accompany(mut child: Child, leader: Pid, input: Vec<u8>) -> Report {
    if let Some(mut stdin) = child.stdin.take() {
        // A program need not read its input, so the write must not keep anyone waiting. Without
        // a thread for it the program cannot be served and is better ended at once.
        let feed = move || drop(stdin.write_all(&input));
        if thread::Builder::new().spawn(feed).is_err() {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = match rustix::process::waitid(WaitId::Pid(leader), options) {
            Ok(Some(status)) => status,
            Ok(None) | Err(Errno::INTR) => continue,
            Err(error) => return Report::NotStarted(error.raw_os_error()),
        };
        if let Some(code) = status.exit_status() {
            return Report::Exited(code);
        }
        if let Some(number) = status.terminating_signal() {
            return Report::Signaled(number);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn stage(_: &StagePipe, program: &OsStr) -> Command {
    Command::new(program)
}

/// Where std reports a failed start itself, nothing is needed.
#[cfg(not(target_os = "linux"))]
struct StagePipe;

#[cfg(not(target_os = "linux"))]
impl StagePipe {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    fn give_leave(&self) {}

    fn failure(self) -> Option<i32> {
        None
    }
}

/// Between the supervisor and the stage that turns into the program. Down it goes one byte, the
/// leave to begin, once the engine has been told the group's number: should the supervisor be
/// killed at any moment after, the engine can still kill the whole group. Up it comes the system
/// error if the program cannot be started.
///
/// The stage inherits no file but the three standard ones, which are the program's, so it opens
/// the pipe by way of the supervisor's entry in /proc; where that is missing it begins at once.
#[cfg(target_os = "linux")]
struct StagePipe {
    reader: io::PipeReader,
    writer: io::PipeWriter,
}

#[cfg(target_os = "linux")]
impl StagePipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer })
    }

    fn give_leave(&self) {
        // Both ends are held here, so the only error is a stage that is gone, whose end is seen.
        let _ = (&self.writer).write_all(&[1]);
    }

    /// What the stage said. To be asked after its end, when nobody else holds the pipe.
    fn failure(mut self) -> Option<i32> {
        drop(self.writer);
        let mut number = [0; 4];
        self.reader.read_exact(&mut number).ok()?;
        Some(i32::from_be_bytes(number))
    }
}

#[cfg(target_os = "linux")]
fn stage(pipe: &StagePipe, program: &OsStr) -> Command {
    use std::os::fd::AsRawFd;
    let Some(executable) = this_executable() else {
        return Command::new(program);
    };
    let mut command = Command::new(executable);
    command.arg0("fusebox-shim").args([MARKER, BECOME]);
    command.arg(std::process::id().to_string());
    command.arg(pipe.reader.as_raw_fd().to_string());
    command.arg(program);
    command
}

/// Asks the kernel to be killed with the supervisor, and turns into the program. Returns only if
/// that fails.
#[cfg(target_os = "linux")]
fn become_program(parent: &OsStr, pipe: &OsStr, program: &OsStr, args: &[OsString]) -> i32 {
    let parent = parent.to_str().and_then(|text| text.parse::<i32>().ok());
    let (Some(parent), Some(pipe)) = (parent.and_then(Pid::from_raw), pipe.to_str()) else {
        return MISUSE;
    };
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // If the supervisor died before the kernel was asked, nobody would ever kill this process.
    if rustix::process::getppid() != Some(parent) {
        return NOT_STARTED;
    }
    let pipe = format!("/proc/{}/fd/{pipe}", parent.as_raw_nonzero());
    if let Ok(mut pipe) = File::open(&pipe)
        && pipe.read_exact(&mut [0]).is_err()
    {
        return NOT_STARTED; // the supervisor is gone
    }
    let error = match asked {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(error) => error.into(),
    };
    let number = error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error());
    let told = File::options()
        .write(true)
        .open(pipe)
        .and_then(|mut pipe| pipe.write_all(&number.to_be_bytes()));
    if told.is_err() {
        let message = format!("cannot be started: {error}\n");
        let _ = io::stderr().write_all(message.as_bytes());
    }
    NOT_STARTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let sent = [
            Report::Started(4711),
            Report::NotStarted(2),
            Report::Exited(3),
            Report::Signaled(9),
        ];
        sent.iter().for_each(|report| report.send(&theirs));
        drop(theirs);
        let text = io::read_to_string(ours).expect("text");
        let received: Vec<_> = text.lines().map(Report::parse).collect();
        assert_eq!(received, sent.map(Some));
        assert_eq!(Report::parse("exited"), None);
        assert_eq!(Report::parse("gone 1"), None);
    }

    #[test]
    fn an_input_that_breaks_off_is_not_taken() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (&ours).write_all(&header(b"whole")).expect("written");
        (&ours).write_all(b"hal").expect("written");
        drop(ours);
        assert!(receive(&theirs).is_err());
    }

    #[test]
    fn a_process_whose_main_did_not_ask_has_no_supervisor() {
        assert_eq!(own_executable(), None);
    }
}
