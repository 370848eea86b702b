//! Thread pools, and how a kernel's work is divided among the threads of one.
//!
//! A kernel splits its rows or columns so that one thread computes each element, summing in the order that a
//! single thread would: results have the same bits for any number of threads.

use super::team::{Shared, Team};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The least work of a thread, in floating-point operations. Results of another thread are fetched from its
/// core's cache, which takes longer than less work than this.
const LEAST_WORK: usize = 4_000_000;
/// The least work if all kernels give a thread the same rows, whose numbers then stay in its core's cache.
const LEAST_WORK_OF_KEPT_ROWS: usize = 200_000;
/// The grain of rows for [`parallel_for`]: a thread's rows begin at a multiple of it.
pub(super) const ROW_GRAIN: usize = 8;
/// The maximum number of threads in a pool.
pub const MAX_THREADS: usize = 256;

/// Threads that share the work of kernels.
///
/// A pool is entered by whoever starts a computation; outside of [`Pool::enter`] kernels use only the
/// caller's thread. If another thread is using the pool, kernels do not wait for it but use only the caller's
/// thread; the bits are the same.
///
/// ```
/// use charloom_tensor::kernels::Pool;
///
/// let pool = Pool::new(2);
/// assert_eq!(pool.threads(), 2);
/// ```
pub struct Pool {
    team: Option<Team>,
    least_work: usize,
    in_use: AtomicBool,
}

/// The pool that the present thread's kernels use, if any.
#[derive(Clone, Copy)]
struct Current {
    pool: *const Pool,
    keep_rows: bool,
    /// This thread computes one part of a divided kernel: kernels called from it are not divided further.
    in_part: bool,
}

const NO_POOL: Current = Current { pool: std::ptr::null(), keep_rows: false, in_part: false };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NO_POOL) };
}

impl Pool {
    /// A pool of `threads` threads, including the caller's.
    ///
    /// # Panics
    /// If `threads` is 0 or above [`MAX_THREADS`].
    pub fn new(threads: usize) -> Self {
        Self::with_least_work(threads, LEAST_WORK)
    }

    /// As [`Pool::new`], but each thread is given at least `least_work` floating-point operations: for tests
    /// that divide small kernels, and for finding the best value.
    ///
    /// # Panics
    /// As [`Pool::new`].
    pub fn with_least_work(threads: usize, least_work: usize) -> Self {
        assert!((1..=MAX_THREADS).contains(&threads), "a pool has 1 to {MAX_THREADS} threads, not {threads}");
        let team = (threads > 1).then(|| Team::new(threads - 1));
        Self { team, least_work: least_work.max(1), in_use: AtomicBool::new(false) }
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.team.as_ref().map_or(1, |team| team.threads())
    }

    /// How many times work was divided among the threads: for tests.
    pub fn jobs(&self) -> u64 {
        self.team.as_ref().map_or(0, Team::jobs)
    }

    /// Calls `f`; the kernels called in it divide their work among this pool's threads.
    ///
    /// `keep_rows` says that all these kernels divide the rows of one large batch in the same way, so that
    /// each core finds its rows in its own cache; then smaller parts are worth a thread.
    pub fn enter<R>(&self, keep_rows: bool, f: impl FnOnce() -> R) -> R {
        /// On drop, restores the previous pool and releases this one.
        struct Leave<'a>(Current, Option<&'a Pool>);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                CURRENT.set(self.0);
                if let Some(pool) = self.1 {
                    pool.in_use.store(false, Ordering::Release);
                }
            }
        }
        let before = CURRENT.get();
        if before.in_part {
            return f();
        }
        if std::ptr::eq(before.pool, self) {
            let _leave = Leave(before, None);
            CURRENT.set(Current { keep_rows, ..before });
            return f();
        }
        let free = self.team.is_some() && !self.in_use.swap(true, Ordering::Acquire);
        let _leave = Leave(before, free.then_some(self));
        CURRENT.set(if free { Current { pool: self, keep_rows, in_part: false } } else { NO_POOL });
        f()
    }
}

/// Calls `f` in the given pool, or else in the pool that this thread has entered.
pub(crate) fn enter<R>(pool: Option<&Pool>, keep_rows: bool, f: impl FnOnce() -> R) -> R {
    let current = CURRENT.get();
    match pool {
        Some(pool) => pool.enter(keep_rows, f),
        None if current.pool.is_null() => f(),
        // SAFETY: as in `Current::team`.
        None => unsafe { &*current.pool }.enter(keep_rows, f),
    }
}

impl Current {
    /// The team of the pool, if any, and the least work that is worth a thread.
    fn team(&self) -> Option<(&Team, usize)> {
        if self.pool.is_null() {
            return None;
        }
        // SAFETY: the pointer is set by `Pool::enter` from a reference that outlives the call, and put back
        // at its end, on the same thread; it is copied to no other.
        let pool = unsafe { &*self.pool };
        let least_work = pool.least_work;
        let least_work = if self.keep_rows { least_work.min(LEAST_WORK_OF_KEPT_ROWS) } else { least_work };
        pool.team.as_ref().map(|team| (team, least_work))
    }

    /// As `team`, but only if `work` (floating-point operations) is worth two threads.
    fn team_for(&self, work: usize) -> Option<(&Team, usize)> {
        self.team().filter(|&(_, least_work)| work / 2 >= least_work)
    }
}

/// Calls `f` with each part in `0..parts`, one thread per part. `team` belongs to the pool that this thread
/// has entered.
fn run(team: &Team, parts: usize, f: &(dyn Fn(usize) + Sync)) {
    /// On drop, restores the previous state.
    struct Leave(Current);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let in_part = |part: usize| {
        let _leave = Leave(CURRENT.replace(Current { in_part: true, ..NO_POOL }));
        f(part);
    };
    // SAFETY: one thread at a time is in the pool, which `in_use` sees to, and none gives its team a job
    // while it does a part of one (not even a panic's hook does), since it is not in the pool then.
    unsafe { team.run(parts, &in_part) }
}

/// The row at which the second half of `rows` begins: where [`parallel_for`] divides them for two threads.
pub(super) fn middle_row(rows: usize) -> usize {
    rows.div_ceil(ROW_GRAIN) / 2 * ROW_GRAIN
}

/// Calls `f` with 0 and with 1, on two threads if `work` (floating-point operations) is enough.
pub(super) fn two_parts(work: usize, f: &(dyn Fn(usize) + Sync)) {
    match CURRENT.get().team_for(work) {
        Some((team, _)) => run(team, 2, f),
        None => {
            f(0);
            f(1);
        }
    }
}

/// Calls `f` with 0 and with 1 on two threads of the pool, which may wait for each other; the kernels called
/// there are not divided.
///
/// # Panics
/// If the pool has one thread, lost one in a panic, or is in use.
pub(super) fn two_threads(pool: &Pool, f: &(dyn Fn(usize) + Sync)) {
    let team = pool.team.as_ref().expect("a pool of two threads");
    assert!(!team.first_has_panicked(), "the other thread panicked");
    pool.enter(false, || {
        assert!(std::ptr::eq(CURRENT.get().pool, pool), "the pool is in use");
        run(team, 2, f);
    });
}

/// Whether `work` (floating-point operations) is too little for [`parallel_for`] to divide.
pub(super) fn is_serial(work: usize) -> bool {
    CURRENT.get().team_for(work).is_none()
}

/// Calls `f` on ranges that together are `0..n`, on several threads if `work` (floating-point operations) is
/// enough. Ranges start at multiples of `grain`.
pub(super) fn parallel_for(n: usize, grain: usize, work: usize, f: impl Fn(Range<usize>) + Sync) {
    let current = CURRENT.get();
    let Some((team, least_work)) = current.team_for(work) else { return f(0..n) };
    let grains = n.div_ceil(grain);
    let threads = team.threads();
    // A lot of work is divided into several parts per thread, since one core may be slower than another; but
    // not if each core is to keep its rows.
    let several = if current.keep_rows { 0 } else { (4 * threads).min(work / least_work / 4) };
    let parts = threads.min(work / least_work).max(several).min(grains);
    if parts < 2 {
        return f(0..n);
    }
    // Callers write to these ranges: they would overlap if this product wrapped.
    assert!(grains.checked_mul(parts).is_some(), "too many rows to divide");
    let at = |part: usize| (grains * part / parts * grain).min(n);
    if parts <= threads {
        return run(team, parts, &|part| f(at(part)..at(part + 1)));
    }
    let next = AtomicUsize::new(0);
    run(team, threads, &|_| {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                break;
            }
            f(at(part)..at(part + 1));
        }
    });
}

/// Divides the rows of `y`, each of `width` numbers, among the threads: calls `f` with the index at which a
/// part begins in `y`, and the part.
pub(crate) fn parallel_rows<E: Send>(
    y: &mut [E],
    width: usize,
    work: usize,
    f: impl Fn(usize, &mut [E]) + Sync,
) {
    assert!(y.is_empty() || y.len().is_multiple_of(width), "numbers beside the rows");
    let rows = y.len().checked_div(width).unwrap_or(0);
    let y = Shared::new(y);
    parallel_for(rows, ROW_GRAIN, work, |rows| {
        let numbers = rows.start * width..rows.end * width;
        // SAFETY: `parallel_for`'s ranges do not overlap.
        f(numbers.start, unsafe { y.piece(numbers) });
    });
}

#[cfg(test)]
mod tests {
    use super::super::team::wait;
    use super::*;

    #[test]
    fn every_element_is_visited_once_by_any_number_of_threads() {
        let rounds = if cfg!(miri) { 3 } else { 200 };
        for n in [1, 2, 3, 8, 16] {
            let pool = Pool::new(n);
            for round in 0..rounds {
                let mut all = vec![0u32; 1000 + round];
                let shared = Shared::new(&mut all);
                pool.enter(false, || {
                    parallel_for(1000 + round, 16, 100 * LEAST_WORK, |range| {
                        // SAFETY: `parallel_for`'s ranges do not overlap.
                        unsafe { shared.piece(range) }.iter_mut().for_each(|x| *x += 1);
                    })
                });
                assert!(all.iter().all(|&x| x == 1), "{n} threads");
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_owner() {
        let pool = Pool::new(3);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.enter(false, || {
                parallel_for(30, 10, 100 * LEAST_WORK, |range| assert!(range.start != 20, "no"))
            });
        }));
        assert!(result.is_err());
    }

    /// Panics when it is dropped, as what a panic carries may.
    struct Unlucky;
    impl Drop for Unlucky {
        fn drop(&mut self) {
            panic!("no");
        }
    }

    #[test]
    fn a_panic_waits_for_the_other_parts() {
        for _ in 0..5 {
            let pool = Pool::new(3);
            // Helpers that sleep leave their parts to the owner.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let done = AtomicBool::new(false);
            let part = |range: Range<usize>| match range.start {
                10 => std::panic::panic_any(Unlucky),
                20 => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    done.store(true, Ordering::Relaxed);
                }
                _ => {}
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.enter(false, || parallel_for(30, 10, 100 * LEAST_WORK, part));
            }));
            assert!(result.is_err() && done.into_inner());
        }
    }

    #[test]
    fn a_panic_of_the_owner_leaves_the_helpers_usable() {
        let pool = Pool::new(3);
        let all = |from: usize| {
            let sum = AtomicUsize::new(0);
            pool.enter(false, || {
                parallel_for(30, 10, 100 * LEAST_WORK, |range| {
                    assert!(range.start >= from, "no");
                    sum.fetch_add(range.len(), Ordering::Relaxed);
                })
            });
            sum.into_inner()
        };
        for _ in 0..20 {
            // Only the first part, the owner's, panics; it may run the others while it unwinds.
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| all(1))).is_err());
            assert_eq!(all(0), 30);
        }
    }

    #[test]
    fn what_a_part_calls_is_not_shared_out() {
        let pool = Pool::new(3);
        let visits: Vec<_> = (0..30 * 30).map(|_| AtomicUsize::new(0)).collect();
        pool.enter(false, || {
            parallel_for(30, 1, 100 * LEAST_WORK, |rows| {
                for row in rows {
                    parallel_for(30, 1, 100 * LEAST_WORK, |columns| {
                        for column in columns {
                            visits[row * 30 + column].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            })
        });
        assert!(visits.into_iter().all(|visits| visits.into_inner() == 1));
    }

    #[test]
    fn sleeping_helpers_wake_up() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            pool.enter(false, || {
                parallel_for(100, 1, 100 * LEAST_WORK, |range| {
                    sum.fetch_add(range.len(), Ordering::Relaxed);
                });
            });
            assert_eq!(sum.load(Ordering::Relaxed), 100);
            std::thread::sleep(std::time::Duration::from_millis(20));
            let met = AtomicUsize::new(0);
            two_threads(&pool, &|_| {
                met.fetch_add(1, Ordering::Relaxed);
                let mut looks = 0;
                while met.load(Ordering::Relaxed) < 2 {
                    wait(&mut looks);
                }
            });
        }
    }

    #[test]
    fn a_pool_that_is_in_use_keeps_nobody_waiting() {
        let pool = Pool::new(2);
        pool.enter(false, || {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let sum = AtomicUsize::new(0);
                    pool.enter(false, || {
                        parallel_for(100, 1, 100 * LEAST_WORK, |range| {
                            sum.fetch_add(range.len(), Ordering::Relaxed);
                        });
                    });
                    sum.into_inner()
                });
                assert_eq!(other.join().unwrap(), 100);
            });
        });
    }
}
