//! SHA-256 in hex, the one digest used for fingerprints, outputs and idempotency keys.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The digest of `bytes` as 64 lower-case hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
