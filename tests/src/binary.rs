//! Which `fusebox` is tested.

use std::path::PathBuf;

/// The variable that names the command; `cargo xtask test` sets it.
const ENV: &str = "FUSEBOX_BIN";

/// The command under test.
///
/// # Panics
/// There is none.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os(ENV).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        assert!(
            path.is_file(),
            "{ENV} names {}, which is no file; leave it to `cargo xtask test`, which builds the command and sets it",
            path.display()
        );
        return path;
    }
    let test = std::env::current_exe().expect("a test runs from a file");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = profile.join(format!("fusebox{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing; `cargo xtask test` builds it, and so does `cargo build -p fusebox-cli`",
        path.display()
    );
    path
}
