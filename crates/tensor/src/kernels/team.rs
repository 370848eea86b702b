//! Threads that share one kernel's work.
//!
//! A kernel splits its rows or columns so that every element is computed by one thread in the order in which one
//! thread alone would: results are the same bits for any number of threads.

use std::cell::{RefCell, UnsafeCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// Work below this, in floating-point operations, is not worth a second thread: about half a microsecond.
const LEAST: usize = 50_000;
/// Parts of this size there are several of to a thread, since one core may be slower than another.
const LARGE: usize = 8 * LEAST;
/// How often a waiting thread looks before it goes to sleep, or lets others run.
const LOOKS: u32 = 20_000;

/// The most threads a team can have.
pub const MAX_THREADS: usize = 256;

thread_local! {
    static TEAM: RefCell<Option<Team>> = const { RefCell::new(None) };
}

/// How many threads work on the kernels that this thread calls; 1 unless [`set_threads`] said otherwise.
pub fn threads() -> usize {
    TEAM.with_borrow(|team| team.as_ref().map_or(1, |t| t.helpers.len() + 1))
}

/// From now on `n` threads work on the kernels that this thread calls.
///
/// # Panics
/// If `n` is 0 or above [`MAX_THREADS`].
pub fn set_threads(n: usize) {
    assert!((1..=MAX_THREADS).contains(&n), "a team has 1 to {MAX_THREADS} threads, not {n}");
    if n != threads() {
        TEAM.set((n > 1).then(|| Team::new(n - 1)));
    }
}

/// Calls `f` on ranges that together are `0..n`, on several threads if `work` (floating-point operations) is enough.
/// Ranges start at multiples of `unit`.
pub(super) fn split(n: usize, unit: usize, work: usize, f: impl Fn(Range<usize>) + Sync) {
    if work < 2 * LEAST {
        return f(0..n);
    }
    TEAM.with_borrow(|team| {
        let Some(team) = team else { return f(0..n) };
        let units = n.div_ceil(unit);
        let threads = team.helpers.len() + 1;
        let parts = threads.min(work / LEAST).max((4 * threads).min(work / LARGE)).min(units);
        if parts < 2 {
            return f(0..n);
        }
        let at = |part: usize| (units * part / parts * unit).min(n);
        team.run(parts, &|part| f(at(part)..at(part + 1)));
    });
}

/// A mutable slice of which threads take different pieces.
#[derive(Clone, Copy)]
pub(super) struct Shared<T> {
    start: *mut T,
    len: usize,
}

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

/// What the threads of a team see.
struct Board {
    /// The job's number (upper half), how many parts it has, and which part is next (16 bits each).
    ticket: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// Parts not yet done.
    pending: AtomicU32,
    panicked: AtomicBool,
    stop: AtomicBool,
}

// SAFETY: `job` is written only by the team's owner while no part is pending, before the ticket is published with
// release order; it is read only by who has claimed a part through that ticket with acquire order, and the owner waits
// for every claimed part before it writes again.
unsafe impl Sync for Board {}
// SAFETY: as above; the pointer in it is used only while the owner waits in `Team::run`.
unsafe impl Send for Board {}

struct Helper {
    sleeping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Team {
    board: Arc<Board>,
    helpers: Vec<Helper>,
}

impl Team {
    fn new(helpers: usize) -> Self {
        let board = Arc::new(Board {
            ticket: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            pending: AtomicU32::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let helper = |_| {
            let (board, sleeping) = (Arc::clone(&board), Arc::new(AtomicBool::new(false)));
            let asleep = Arc::clone(&sleeping);
            Helper { sleeping, thread: Some(thread::spawn(move || help(&board, &asleep))) }
        };
        Self { helpers: (0..helpers).map(helper).collect(), board }
    }

    /// Calls `f` once for each part, on all threads, and returns when all are done.
    fn run(&self, parts: usize, f: &(dyn Fn(usize) + Sync)) {
        let board = &*self.board;
        // SAFETY: only the lifetime changes; the pointer is used only by parts of this job, and this function returns
        // after all of them are done.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(f) };
        // SAFETY: no part is pending, so nobody reads `job`; see `Board`.
        unsafe { *board.job.get() = Some(job) };
        board.pending.store(parts as u32, Ordering::Relaxed);
        let number = (board.ticket.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        board.ticket.store(number << 32 | (parts as u64) << 16, Ordering::SeqCst);
        for helper in &self.helpers {
            if helper.sleeping.load(Ordering::SeqCst)
                && let Some(thread) = &helper.thread
            {
                thread.thread().unpark();
            }
        }
        board.work();
        let mut looks = 0;
        while board.pending.load(Ordering::Acquire) > 0 {
            wait(&mut looks);
        }
        assert!(!board.panicked.load(Ordering::Relaxed), "a kernel's thread panicked");
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.stop.store(true, Ordering::SeqCst);
        for helper in &mut self.helpers {
            if let Some(thread) = helper.thread.take() {
                thread.thread().unpark();
                // A helper's panic was told when it happened.
                let _ = thread.join();
            }
        }
    }
}

impl Board {
    /// Claims and does parts until none is left. A helper that the system has stopped holds up nobody before it claims.
    fn work(&self) {
        loop {
            let ticket = self.ticket.load(Ordering::Acquire);
            if ticket & 0xffff >= ticket >> 16 & 0xffff {
                return;
            }
            if self
                .ticket
                .compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            let _done = Done(self);
            // SAFETY: a claimed part keeps the owner waiting, so the job is there and what it borrows is alive.
            unsafe {
                if let Some(job) = *self.job.get() {
                    (*job)((ticket & 0xffff) as usize);
                }
            }
        }
    }
}

/// Counts a part as done, also when it panicked.
struct Done<'a>(&'a Board);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        self.0.pending.fetch_sub(1, Ordering::Release);
    }
}

/// A helper's life.
fn help(board: &Board, sleeping: &AtomicBool) {
    let mut looks = 0;
    let mut seen = 0;
    while !board.stop.load(Ordering::Relaxed) {
        let ticket = board.ticket.load(Ordering::Acquire);
        if ticket >> 32 != seen {
            seen = ticket >> 32;
            looks = 0;
            board.work();
        } else if looks < LOOKS {
            wait(&mut looks);
        } else {
            sleeping.store(true, Ordering::SeqCst);
            // What was published before the owner could see the flag would go unnoticed otherwise.
            if board.ticket.load(Ordering::SeqCst) >> 32 == seen && !board.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            sleeping.store(false, Ordering::SeqCst);
            looks = 0;
        }
    }
}

/// A moment's wait; now and then the processor goes to whoever needs it.
fn wait(looks: &mut u32) {
    *looks += 1;
    if (*looks).is_multiple_of(512) {
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
        for n in [1, 2, 3, 8, 16] {
            set_threads(n);
            for round in 0..200 {
                let mut all = vec![0u32; 1000 + round];
                let shared = Shared::new(&mut all);
                split(shared.len, 16, 100 * LEAST, |range| {
                    // SAFETY: ranges of a split do not overlap.
                    unsafe { shared.piece(range) }.iter_mut().for_each(|x| *x += 1);
                });
                assert!(all.iter().all(|&x| x == 1), "{n} threads");
            }
        }
        set_threads(1);
        assert_eq!(threads(), 1);
    }

    #[test]
    fn a_panic_reaches_the_owner() {
        set_threads(3);
        let result =
            std::panic::catch_unwind(|| split(30, 10, 100 * LEAST, |range| assert!(range.start != 20, "no")));
        assert!(result.is_err());
        set_threads(1);
    }

    #[test]
    fn sleeping_helpers_wake_up() {
        set_threads(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicU32::new(0);
            split(100, 1, 100 * LEAST, |range| {
                sum.fetch_add(range.len() as u32, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 100);
        }
        set_threads(1);
    }
}
