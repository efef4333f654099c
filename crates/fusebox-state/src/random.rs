//! Unguessable bytes without a dependency.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Sixteen bytes that no other call in any process is expected to return.
///
/// `RandomState` takes 128 bits from the operating system once per thread and never gives the same
/// keys twice there; the time and a counter are hashed under them, so that a copied process image
/// still draws different bytes.
pub(crate) fn bytes16() -> [u8; 16] {
    static DRAWS: AtomicU64 = AtomicU64::new(0);
    let draw = DRAWS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos() as u64);
    let mut bytes = [0; 16];
    // Each half is a keyed hash (SipHash) under another key.
    for half in bytes.chunks_exact_mut(8) {
        let mut hash = RandomState::new().build_hasher();
        hash.write_u64(draw);
        hash.write_u64(now);
        half.copy_from_slice(&hash.finish().to_be_bytes());
    }
    bytes
}

/// The first `N` bytes of a digest.
pub(crate) fn prefix<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest[..N]);
    bytes
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn draws_do_not_repeat_across_threads() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..500).map(|_| super::bytes16()).collect::<Vec<_>>()))
            .collect();
        let drawn: HashSet<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        assert_eq!(drawn.len(), 2000);
    }

    #[test]
    fn hex_is_lowercase_and_two_digits_a_byte() {
        assert_eq!(super::hex(&[0, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }
}
