//! The primitives that loom can watch: its own under `--cfg loom`, the standard ones otherwise.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard, RwLock, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard, RwLock, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Stands between a sequentially consistent update and a look at what others update. loom takes such accesses for mere
/// acquire and release, and is told in the words it knows; elsewhere the accesses themselves are enough.
#[inline(always)]
pub(crate) fn updated() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
