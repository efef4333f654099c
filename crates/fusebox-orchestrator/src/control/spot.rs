//! A socket that can be found in a directory.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};

/// The longest path a socket can have on every system, less some room.
const MAX_PATH: usize = 96;

/// A socket and the notice that says where it is. Dropping it takes both away.
#[derive(Debug)]
pub(super) struct Spot {
    notice: PathBuf,
    socket: PathBuf,
}

impl Spot {
    /// Binds a socket and puts its notice into `directory`, which is made where it is missing, for its owner alone.
    /// `kind` is how the notice's name ends, `tells` what it says of the socket at that path.
    ///
    /// Where the directory's path is too long for a socket, that is made in the system's directory for temporary files.
    pub(super) fn take<T: Serialize>(
        directory: &Path,
        kind: &str,
        tells: impl FnOnce(&Path) -> T,
    ) -> io::Result<(Self, UnixListener)> {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), TAKEN.fetch_add(1, Ordering::Relaxed));
        let directory = std::path::absolute(directory)?;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&directory)?;
        let name = format!("{pid}-{number}");
        let near = directory.join(format!("{name}.sock"));
        let far = || std::env::temp_dir().join(format!("fusebox-{name}.sock"));
        let is_short = near.as_os_str().len() <= MAX_PATH;
        let socket = if is_short { near } else { far() };
        // Left by a process of the same number that died: nobody else can have made it.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
        let notice = directory.join(format!("{name}.{kind}"));
        let text = serde_json::to_vec(&tells(&socket)).expect("it is plain data");
        // Written aside and moved, so that nobody reads half of it.
        let draft = directory.join(format!("{name}.new"));
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, &notice)?;
        Ok((Self { notice, socket }, listener))
    }

    /// Whether it can still be found: somebody may have taken the directory away.
    pub(super) fn is_there(&self) -> bool {
        self.notice.exists() && self.socket.exists()
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        // Whoever finds them all the same is told by the connection that nobody is there.
        let _ = std::fs::remove_file(&self.notice);
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// What the notices of that kind in `directory` tell, and a connection to each that takes one now. Notices of those
/// that died are taken away; a directory that is not there holds none. `socket` says where what is told of can be
/// reached.
pub(super) async fn spots<T: DeserializeOwned>(
    directory: &Path,
    kind: &str,
    socket: impl Fn(&T) -> &Path,
) -> Vec<(T, Option<UnixStream>)> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let notices = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for notice in notices.filter(|path| path.extension().is_some_and(|it| it == kind)) {
        let told = std::fs::read(&notice).ok();
        let Some(told) = told.and_then(|bytes| serde_json::from_slice::<T>(&bytes).ok()) else {
            continue;
        };
        match UnixStream::connect(socket(&told)).await {
            Ok(stream) => found.push((told, Some(stream))),
            Err(error) => match error.kind() {
                // Nobody listens there any more.
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    let _ = std::fs::remove_file(&notice);
                    let _ = std::fs::remove_file(socket(&told));
                }
                // Another user's.
                io::ErrorKind::PermissionDenied => {}
                // Too many ask at once, or this process has no file handle left: it lives.
                _ => found.push((told, None)),
            },
        }
    }
    found
}
