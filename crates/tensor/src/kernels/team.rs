//! Threads that share one kernel's work.
//!
//! A kernel splits its rows or columns so that every element is computed by one thread in the order in which one
//! thread alone would: results are the same bits for any number of threads.

use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::thread::{self, JoinHandle};

/// The least work that a thread is given, in floating-point operations. A part that another core did brings its results
/// along from that core's cache, which takes longer than less work than this.
const LEAST: usize = 4_000_000;
/// The same where every kernel gives a thread the same rows, whose numbers stay in its core's cache.
const LEAST_OF_ROWS: usize = 200_000;
/// Rows are shared out at multiples of this.
pub(super) const ROWS: usize = 8;
/// How often a waiting thread looks without a pause: some microseconds, the time between two kernels.
const CLOSE_LOOKS: u32 = if cfg!(miri) { 10 } else { 2_000 };
/// How often it looks before it goes to sleep, or lets others run. Miri's threads take turns, so there it is seldom.
const LOOKS: u32 = if cfg!(miri) { 20 } else { 20_000 };

/// After the close ones, one look in so many lets others run.
const LOOKS_A_YIELD: u32 = if cfg!(miri) { 1 } else { 512 };

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
    together: bool,
}

const ALONE: Current = Current { pool: std::ptr::null(), keep_rows: false, together: false };

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
        self.team.as_ref().map_or(1, |team| team.helpers.len() + 1)
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
        // Two halves of a computation, on two threads of it, share nothing further out.
        if before.together {
            return f();
        }
        if std::ptr::eq(before.pool, self) {
            let _leave = Leave(before, None);
            CURRENT.set(Current { keep_rows, ..before });
            return f();
        }
        let free = self.team.is_some() && !self.in_use.swap(true, Ordering::Acquire);
        let _leave = Leave(before, free.then_some(self));
        CURRENT.set(if free { Current { pool: self, keep_rows, together: false } } else { ALONE });
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
        if self.together || self.pool.is_null() {
            return None;
        }
        // SAFETY: the pointer is set by `Pool::enter` from a reference that outlives the call, and put back at its end, on
        // the same thread; it is copied to no other.
        let pool = unsafe { &*self.pool };
        let least = pool.least_work;
        let least = if self.keep_rows { least.min(LEAST_OF_ROWS) } else { least };
        pool.team.as_ref().map(|team| (team, least))
    }
}

/// Where the second half of so many rows begins: where [`split`] cuts them for two threads.
pub(super) fn cut(rows: usize) -> usize {
    rows.div_ceil(ROWS) / 2 * ROWS
}

/// Calls `f` with 0 and with 1, on two threads if `work` (floating-point operations) is enough.
pub(super) fn halves(work: usize, f: &(dyn Fn(usize) + Sync)) {
    match CURRENT.get().team() {
        Some((team, least)) if work / least >= 2 => team.run(2, f),
        _ => {
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
    assert!(!team.helpers[0].desk.panicked.load(Ordering::Relaxed), "the other thread panicked");
    pool.enter(false, || {
        assert!(std::ptr::eq(CURRENT.get().pool, pool), "the pool is in use");
        team.run(2, &|side| {
            struct Over(Current);
            impl Drop for Over {
                fn drop(&mut self) {
                    CURRENT.set(self.0);
                }
            }
            let _over = Over(CURRENT.replace(Current { together: true, ..ALONE }));
            f(side);
        });
    });
}

/// Calls `f` on ranges that together are `0..n`, on several threads if `work` (floating-point operations) is enough.
/// Ranges start at multiples of `unit`.
pub(super) fn split(n: usize, unit: usize, work: usize, f: impl Fn(Range<usize>) + Sync) {
    let current = CURRENT.get();
    let Some((team, least)) = current.team() else { return f(0..n) };
    if work / least < 2 {
        return f(0..n);
    }
    let units = n.div_ceil(unit);
    let threads = team.helpers.len() + 1;
    // Of much work there are several parts to a thread, since one core may be slower than another; unless a core
    // is to keep what it has.
    let several = if current.keep_rows { 0 } else { (4 * threads).min(work / least / 4) };
    let parts = threads.min(work / least).max(several).min(units);
    if parts < 2 {
        return f(0..n);
    }
    let at = |part: usize| (units * part / parts * unit).min(n);
    if parts <= threads {
        return team.run(parts, &|part| f(at(part)..at(part + 1)));
    }
    let next = AtomicUsize::new(0);
    team.run(threads, &|_| {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                break;
            }
            f(at(part)..at(part + 1));
        }
    });
}

/// A mutable slice of which threads take different pieces.
pub(super) struct Shared<T> {
    start: *mut T,
    len: usize,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: threads reach the elements only through `piece`, whose callers keep to different ones.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(all: &mut [T]) -> Self {
        Self { start: all.as_mut_ptr(), len: all.len() }
    }

    /// Whether `len` elements from `start` on lie in the slice.
    #[inline(always)]
    pub fn holds(self, start: usize, len: usize) -> bool {
        start.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// The first element's place, for a thread that has a part of each of many rows.
    #[inline(always)]
    pub fn start(self) -> *mut T {
        self.start
    }

    /// All of it.
    ///
    /// # Safety
    /// The slice is still borrowed, and no other piece is in use.
    pub unsafe fn all<'a>(self) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { self.piece(0..self.len) }
    }

    /// Elements `range` of the slice.
    ///
    /// # Safety
    /// The slice is still borrowed, and no two pieces in use at a time overlap.
    pub unsafe fn piece<'a>(self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a piece outside its slice");
        // SAFETY: the range lies in the slice; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// A job's function, with the lifetime of its borrows forgotten.
type Job = *const (dyn Fn(usize) + Sync);

/// How far a desk's job is; the rest of the number counts the jobs.
const POSTED: u64 = 1;
const CLAIMED: u64 = 2;
const DONE: u64 = 3;
const STATES: u64 = 4;

/// Where a helper finds its part of a job. Alone on its cache lines, so that posting a part and telling that it is done
/// take one line to the other core and back, and nothing else.
#[repr(align(128))]
struct Desk {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    sleeping: AtomicBool,
    panicked: AtomicBool,
    stop: AtomicBool,
}

// SAFETY: `job` is written only by the team's owner while the state is DONE, before POSTED is stored with release order;
// it is read only by who has moved the state from POSTED to CLAIMED with acquire order, and the owner waits for DONE
// before it writes again.
unsafe impl Sync for Desk {}
// SAFETY: as above; the pointer in it is used only while the owner waits in `Team::run`.
unsafe impl Send for Desk {}

impl Desk {
    /// Does the posted part, unless somebody else has claimed it.
    fn work(&self, posted: u64, part: usize) -> bool {
        let claimed = posted - POSTED + CLAIMED;
        if self.state.compare_exchange(posted, claimed, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let _done = Done { desk: self, state: posted - POSTED + DONE };
        // SAFETY: a claimed part keeps the owner waiting, so the job is there and what it borrows is alive.
        unsafe {
            if let Some(job) = *self.job.get() {
                (*job)(part);
            }
        }
        true
    }
}

/// Tells that a part is done, also when it panicked.
struct Done<'a> {
    desk: &'a Desk,
    state: u64,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.desk.panicked.store(true, Ordering::Relaxed);
        }
        self.desk.state.store(self.state, Ordering::Release);
    }
}

struct Helper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

struct Team {
    helpers: Vec<Helper>,
}

impl Team {
    fn new(helpers: usize) -> Self {
        let helper = |i| {
            let desk = Arc::new(Desk {
                state: AtomicU64::new(DONE),
                job: UnsafeCell::new(None),
                sleeping: AtomicBool::new(false),
                panicked: AtomicBool::new(false),
                stop: AtomicBool::new(false),
            });
            let own = Arc::clone(&desk);
            Helper { desk, thread: Some(thread::spawn(move || help(&own, i + 1))) }
        };
        Self { helpers: (0..helpers).map(helper).collect() }
    }

    /// Calls `f` once for each of so many parts, a thread each, and returns when all are done.
    fn run(&self, parts: usize, f: &(dyn Fn(usize) + Sync)) {
        let helpers = &self.helpers[..parts - 1];
        // SAFETY: only the lifetime changes; the pointer is used only by parts of this job, and this function does not
        // return or unwind before all of them are done: `Waiting` sees to it.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(f) };
        for Helper { desk, thread } in helpers {
            // SAFETY: the desk's last part is done, so nobody reads `job`; see `Desk`.
            unsafe { *desk.job.get() = Some(job) };
            let posted = desk.state.load(Ordering::Relaxed) - DONE + STATES + POSTED;
            desk.state.store(posted, Ordering::Release);
            // With the fence in `help`, one of the two sees what the other wrote: who works `together` with a helper that
            // slept on would wait for ever.
            fence(Ordering::SeqCst);
            if desk.sleeping.load(Ordering::Relaxed)
                && let Some(thread) = thread
            {
                thread.thread().unpark();
            }
        }
        let waiting = Waiting(helpers);
        f(0);
        drop(waiting);
        let panicked = helpers.iter().any(|helper| helper.desk.panicked.load(Ordering::Relaxed));
        assert!(!panicked, "a kernel's thread panicked");
    }
}

/// Waits for the helpers at its end, and does what none of them has begun: a helper that the system has stopped before
/// it claimed its part holds up nobody.
struct Waiting<'a>(&'a [Helper]);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (i, helper) in self.0.iter().enumerate() {
            let mut looks = 0;
            loop {
                let state = helper.desk.state.load(Ordering::Acquire);
                match state % STATES {
                    DONE => break,
                    POSTED if helper.desk.work(state, i + 1) => break,
                    _ => wait(&mut looks),
                }
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for helper in &mut self.helpers {
            helper.desk.stop.store(true, Ordering::Relaxed);
            if let Some(thread) = helper.thread.take() {
                thread.thread().unpark();
                // A helper's panic was told when it happened.
                let _ = thread.join();
            }
        }
    }
}

/// A helper's life.
fn help(desk: &Desk, part: usize) {
    let mut looks = 0;
    while !desk.stop.load(Ordering::Relaxed) {
        let state = desk.state.load(Ordering::Relaxed);
        if state % STATES == POSTED {
            looks = 0;
            desk.work(state, part);
        } else if looks < LOOKS {
            wait(&mut looks);
        } else {
            desk.sleeping.store(true, Ordering::Relaxed);
            // What was posted before the owner could see the flag is seen here.
            fence(Ordering::SeqCst);
            if desk.state.load(Ordering::Relaxed) == state {
                thread::park();
            }
            desk.sleeping.store(false, Ordering::Relaxed);
            looks = 0;
        }
    }
}

/// A moment's wait; after some, the processor goes to whoever needs it now and then.
pub(super) fn wait(looks: &mut u32) {
    *looks += 1;
    if *looks < CLOSE_LOOKS {
        return;
    }
    if (*looks).is_multiple_of(LOOKS_A_YIELD) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
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
                    split(shared.len, 16, 100 * LEAST, |range| {
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
