//! Pools of threads, and how a kernel's work is shared out among one.
//!
//! A kernel splits its rows or columns so that every element is computed by one thread in the order in which one
//! thread alone would: results are the same bits for any number of threads.

use super::team::{Shared, Team};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The least work that a thread is given, in floating-point operations. A part that another core did brings its results
/// along from that core's cache, which takes longer than less work than this.
const LEAST: usize = 4_000_000;
/// The same where every kernel gives a thread the same rows, whose numbers stay in its core's cache.
const LEAST_OF_ROWS: usize = 200_000;
/// Rows are shared out at multiples of this.
pub(super) const ROWS: usize = 8;
/// The most threads a team can have.
pub const MAX_THREADS: usize = 256;

/// Threads that share the work of kernels.
///
/// A pool is given to a computation by who starts it; kernels outside of [`Pool::enter`] run on the caller's thread alone.
/// A pool that another thread is using does not keep this one waiting: it then works alone, to the same bits.
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

/// What the kernels that a thread calls are shared out among.
#[derive(Clone, Copy)]
struct Current {
    pool: *const Pool,
    keep_rows: bool,
    /// The thread does a part of a job: what that calls is not shared out further.
    in_part: bool,
}

const ALONE: Current = Current { pool: std::ptr::null(), keep_rows: false, in_part: false };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(ALONE) };
}

impl Pool {
    /// A pool of `threads` threads, the caller's among them.
    ///
    /// # Panics
    /// If `threads` is 0 or above [`MAX_THREADS`].
    pub fn new(threads: usize) -> Self {
        Self::with_least_work(threads, LEAST)
    }

    /// The same, whose threads are given at least so much work, in floating-point operations: for tests that want small
    /// kernels shared out, and for finding out what is worth it.
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

    /// How often work was shared out among them: for tests of who computes with a pool.
    pub fn jobs(&self) -> u64 {
        self.team.as_ref().map_or(0, Team::jobs)
    }

    /// Calls `f`; the kernels that it calls share their work among these threads.
    ///
    /// With `keep_rows` they are steps of one computation that all share the rows of a large batch out alike, so that a core
    /// finds its rows in its own cache; then less work is worth a thread.
    pub fn enter<R>(&self, keep_rows: bool, f: impl FnOnce() -> R) -> R {
        /// Puts back what was before, and frees the pool.
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
        CURRENT.set(if free { Current { pool: self, keep_rows, in_part: false } } else { ALONE });
        f()
    }
}

/// Calls `f` with a pool, or with the one that this thread is in.
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
    /// The threads besides this one, and the least work that is worth one of them.
    fn team(&self) -> Option<(&Team, usize)> {
        if self.pool.is_null() {
            return None;
        }
        // SAFETY: the pointer is set by `Pool::enter` from a reference that outlives the call, and put back at its end, on
        // the same thread; it is copied to no other.
        let pool = unsafe { &*self.pool };
        let least = pool.least_work;
        let least = if self.keep_rows { least.min(LEAST_OF_ROWS) } else { least };
        pool.team.as_ref().map(|team| (team, least))
    }

    /// The same, if so much work (floating-point operations) is worth two threads.
    fn team_for(&self, work: usize) -> Option<(&Team, usize)> {
        self.team().filter(|&(_, least)| work / 2 >= least)
    }
}

/// Calls `f` once for each of so many parts, a thread each. `team` is that of the pool that this thread has entered.
fn run(team: &Team, parts: usize, f: &(dyn Fn(usize) + Sync)) {
    /// Puts back what was before.
    struct Leave(Current);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let in_part = |part: usize| {
        let _leave = Leave(CURRENT.replace(Current { in_part: true, ..ALONE }));
        f(part);
    };
    // SAFETY: one thread at a time is in the pool, which `in_use` sees to, and none gives its team a job while it does a part of
    // one (not even a panic's hook does), since it is not in the pool then.
    unsafe { team.run(parts, &in_part) }
}

/// Where the second half of so many rows begins: where [`split`] cuts them for two threads.
pub(super) fn cut(rows: usize) -> usize {
    rows.div_ceil(ROWS) / 2 * ROWS
}

/// Calls `f` with 0 and with 1, on two threads if `work` (floating-point operations) is enough.
pub(super) fn halves(work: usize, f: &(dyn Fn(usize) + Sync)) {
    match CURRENT.get().team_for(work) {
        Some((team, _)) => run(team, 2, f),
        None => {
            f(0);
            f(1);
        }
    }
}

/// Calls `f` with 0 and with 1 on two threads of the pool, which may wait for each other; the kernels that they call are not
/// shared out.
///
/// # Panics
/// If the pool has one thread, lost one in a panic, or is in use.
pub(super) fn together(pool: &Pool, f: &(dyn Fn(usize) + Sync)) {
    let team = pool.team.as_ref().expect("a pool of two threads");
    assert!(!team.first_has_panicked(), "the other thread panicked");
    pool.enter(false, || {
        assert!(std::ptr::eq(CURRENT.get().pool, pool), "the pool is in use");
        run(team, 2, f);
    });
}

/// Whether this is too little work (floating-point operations) for [`split`] to share out.
pub(super) fn is_left_alone(work: usize) -> bool {
    CURRENT.get().team_for(work).is_none()
}

/// Calls `f` on ranges that together are `0..n`, on several threads if `work` (floating-point operations) is enough.
/// Ranges start at multiples of `unit`.
pub(super) fn split(n: usize, unit: usize, work: usize, f: impl Fn(Range<usize>) + Sync) {
    let current = CURRENT.get();
    let Some((team, least)) = current.team_for(work) else { return f(0..n) };
    let units = n.div_ceil(unit);
    let threads = team.threads();
    // Of much work there are several parts to a thread, since one core may be slower than another; unless a core
    // is to keep what it has.
    let several = if current.keep_rows { 0 } else { (4 * threads).min(work / least / 4) };
    let parts = threads.min(work / least).max(several).min(units);
    if parts < 2 {
        return f(0..n);
    }
    let at = |part: usize| (units * part / parts * unit).min(n);
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

/// Calls `f` with the rows of `y`, each `width` numbers, shared out as kernels share rows: with where a part begins in `y`, and
/// the part.
pub(crate) fn share_rows<E: Send>(
    y: &mut [E],
    width: usize,
    work: usize,
    f: impl Fn(usize, &mut [E]) + Sync,
) {
    assert!(y.is_empty() || y.len().is_multiple_of(width), "numbers beside the rows");
    let rows = y.len().checked_div(width).unwrap_or(0);
    let y = Shared::new(y);
    split(rows, ROWS, work, |rows| {
        let numbers = rows.start * width..rows.end * width;
        // SAFETY: the parts of a split do not overlap.
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
                    split(1000 + round, 16, 100 * LEAST, |range| {
                        // SAFETY: ranges of a split do not overlap.
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
            pool.enter(false, || split(30, 10, 100 * LEAST, |range| assert!(range.start != 20, "no")));
        }));
        assert!(result.is_err());
    }

    #[test]
    fn a_panic_waits_for_the_other_parts() {
        for _ in 0..5 {
            let pool = Pool::new(3);
            // Helpers that sleep leave their parts to the owner.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let done = AtomicBool::new(false);
            let part = |range: Range<usize>| match range.start {
                10 => panic!("no"),
                20 => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    done.store(true, Ordering::Relaxed);
                }
                _ => {}
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.enter(false, || split(30, 10, 100 * LEAST, part));
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
                split(30, 10, 100 * LEAST, |range| {
                    assert!(range.start >= from, "no");
                    sum.fetch_add(range.len(), Ordering::Relaxed);
                })
            });
            sum.into_inner()
        };
        for _ in 0..20 {
            // Only the first part panics, which is the owner's; it may do the others while it unwinds.
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| all(1))).is_err());
            assert_eq!(all(0), 30);
        }
    }

    #[test]
    fn what_a_part_calls_is_not_shared_out() {
        let pool = Pool::new(3);
        let visits: Vec<_> = (0..30 * 30).map(|_| AtomicUsize::new(0)).collect();
        pool.enter(false, || {
            split(30, 1, 100 * LEAST, |rows| {
                for row in rows {
                    split(30, 1, 100 * LEAST, |columns| {
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
                split(100, 1, 100 * LEAST, |range| {
                    sum.fetch_add(range.len(), Ordering::Relaxed);
                });
            });
            assert_eq!(sum.load(Ordering::Relaxed), 100);
            std::thread::sleep(std::time::Duration::from_millis(20));
            let met = AtomicUsize::new(0);
            together(&pool, &|_| {
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
                        split(100, 1, 100 * LEAST, |range| {
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
