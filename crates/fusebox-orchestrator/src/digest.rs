//! SHA-256 in hex, the one digest used for fingerprints, outputs and idempotency keys.

use sha2::{Digest, Sha256};

/// The digest of `bytes` as 64 lower-case hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let mut text = String::with_capacity(64);
    // By hand, because formatting costs more than the digest of a short text.
    for byte in Sha256::digest(bytes) {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}
