//! A team: an owner thread and its helper threads, which run the parts of one job at a time.

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::{self, JoinHandle};

/// How often a waiting thread polls without a pause: some microseconds, about the time between two kernels.
const BUSY_POLLS: u32 = if cfg!(miri) { 10 } else { 2_000 };
/// How often a helper polls before it sleeps. Small under Miri, where threads take turns.
const POLLS: u32 = if cfg!(miri) { 20 } else { 20_000 };

/// After the first polls, one in this many yields to other threads.
const POLLS_PER_YIELD: u32 = if cfg!(miri) { 1 } else { 512 };

/// A mutable slice of which threads take disjoint pieces.
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

// SAFETY: threads reach the elements only through `piece`, `all` and `start`, whose callers keep to different ones.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(all: &mut [T]) -> Self {
        Self { start: all.as_mut_ptr(), len: all.len() }
    }

    /// The length of the slice.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether the `len` elements from `start` on are in the slice.
    #[inline(always)]
    pub fn holds(self, start: usize, len: usize) -> bool {
        start.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// A pointer to the first element, for threads that each access some columns of all rows.
    #[inline(always)]
    pub fn start(self) -> *mut T {
        self.start
    }

    /// The whole slice.
    ///
    /// # Safety
    /// The slice is still borrowed, and nothing else reaches its elements meanwhile.
    pub unsafe fn all<'a>(self) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { self.piece(0..self.len) }
    }

    /// The elements `range` of the slice.
    ///
    /// # Safety
    /// The slice is still borrowed, and nothing else reaches these elements meanwhile: neither another piece
    /// nor `start`.
    pub unsafe fn piece<'a>(self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a piece outside its slice");
        // SAFETY: the range lies in the slice; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// A job's function, with the lifetime of its borrows erased.
type Job = *const (dyn Fn(usize) + Sync);

/// The states of a desk's job; the state modulo `STATES` is one of these, and the quotient counts the jobs.
const POSTED: u64 = 1;
const CLAIMED: u64 = 2;
const DONE: u64 = 3;
const STATES: u64 = 4;

/// Where a helper finds its part of a job. It has cache lines of its own, so that posting a part and
/// reporting it done move one line to the other core and back, and no other.
#[repr(align(128))]
struct Desk {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    sleeping: AtomicBool,
    panicked: AtomicBool,
    stop: AtomicBool,
}

// SAFETY: `job` is written only by the team's owner while the state is DONE, before POSTED is stored with
// release order; it is read only by who has moved the state from POSTED to CLAIMED with acquire order, and
// the owner waits for DONE before it writes again.
unsafe impl Sync for Desk {}
// SAFETY: as above; the pointer in it is used only while the owner waits in `Team::run`.
unsafe impl Send for Desk {}

impl Desk {
    /// Runs the posted part, unless another thread has claimed it.
    fn work(&self, posted: u64, part: usize) -> bool {
        let claimed = posted - POSTED + CLAIMED;
        if self.state.compare_exchange(posted, claimed, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let unwinding = thread::panicking();
        let _done = Done { desk: self, state: posted - POSTED + DONE, unwinding };
        // SAFETY: a claimed part keeps the owner waiting, so the job is there and what it borrows is alive.
        unsafe {
            if let Some(job) = *self.job.get() {
                (*job)(part);
            }
        }
        true
    }
}

/// On drop, marks a part as done, even if it panicked.
struct Done<'a> {
    desk: &'a Desk,
    state: u64,
    /// Whether the thread was already unwinding: an owner that panicked runs the remaining parts meanwhile.
    unwinding: bool,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !self.unwinding {
            self.desk.panicked.store(true, Ordering::Relaxed);
        }
        self.desk.state.store(self.state, Ordering::Release);
    }
}

struct Helper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

pub(super) struct Team {
    helpers: Vec<Helper>,
}

impl Team {
    pub fn new(helpers: usize) -> Self {
        // If a thread cannot be spawned, dropping the team stops the earlier ones.
        let mut team = Self { helpers: Vec::with_capacity(helpers) };
        for part in 1..=helpers {
            let desk = Arc::new(Desk {
                state: AtomicU64::new(DONE),
                job: UnsafeCell::new(None),
                sleeping: AtomicBool::new(false),
                panicked: AtomicBool::new(false),
                stop: AtomicBool::new(false),
            });
            let own = Arc::clone(&desk);
            let thread = thread::spawn(move || help(&own, part));
            team.helpers.push(Helper { desk, thread: Some(thread) });
        }
        team
    }

    /// The number of threads, including the owner's.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// The number of jobs given to the first helper.
    pub fn jobs(&self) -> u64 {
        self.helpers[0].desk.state.load(Ordering::Relaxed) / STATES
    }

    /// Whether the first helper's part of some job panicked.
    pub fn first_has_panicked(&self) -> bool {
        self.helpers[0].desk.panicked.load(Ordering::Relaxed)
    }

    /// Calls `f` with each part in `0..parts`, one thread per part, and returns when all are done.
    ///
    /// # Safety
    /// The team has no job: no other thread gives it one meanwhile, nor does anything that is called from a part.
    pub unsafe fn run(&self, parts: usize, f: &(dyn Fn(usize) + Sync)) {
        let helpers = &self.helpers[..parts - 1];
        // SAFETY: only the lifetime changes; the pointer is used only by parts of this job, and from the first
        // post on this function does not return or unwind before all of them are done: `Waiting` sees to it.
        let job: Job = unsafe { mem::transmute::<&(dyn Fn(usize) + Sync), Job>(f) };
        let waiting = Waiting(helpers);
        for Helper { desk, thread } in helpers {
            // SAFETY: the team has no job, so the desk's last part is done and nobody reads `job`; see `Desk`.
            unsafe { *desk.job.get() = Some(job) };
            let posted = desk.state.load(Ordering::Relaxed) - DONE + STATES + POSTED;
            desk.state.store(posted, Ordering::Release);
            // Together with the fence in `help`: either this thread sees `sleeping`, or the helper sees the
            // posted part. Otherwise the helper might sleep on, and in `two_threads` the other thread would wait
            // for it forever.
            fence(Ordering::SeqCst);
            if desk.sleeping.load(Ordering::Relaxed)
                && let Some(thread) = thread
            {
                thread.thread().unpark();
            }
        }
        f(0);
        drop(waiting);
        let panicked = helpers.iter().any(|helper| helper.desk.panicked.load(Ordering::Relaxed));
        assert!(!panicked, "a kernel's thread panicked");
    }
}

/// On drop, waits for the helpers and runs the parts that none of them has claimed: a helper that the system
/// has suspended before that delays nobody. A panic in such a part waits for the other parts, which use what
/// the job borrows; [`Done`] has noted it for the end of [`Team::run`].
struct Waiting<'a>(&'a [Helper]);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (i, helper) in self.0.iter().enumerate() {
            let mut polls = 0;
            loop {
                let state = helper.desk.state.load(Ordering::Acquire);
                let work = || helper.desk.work(state, i + 1);
                let after_panic = |carried| {
                    drop_quietly(carried);
                    true
                };
                match state % STATES {
                    DONE => break,
                    POSTED if catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(after_panic) => break,
                    _ => wait(&mut polls),
                }
            }
        }
    }
}

/// Drops what a panic carried; a panic of its destructor ends here, and what that one carried is leaked.
fn drop_quietly(carried: Box<dyn Any + Send>) {
    catch_unwind(AssertUnwindSafe(|| drop(carried))).unwrap_or_else(mem::forget);
}

impl Drop for Team {
    fn drop(&mut self) {
        for helper in &mut self.helpers {
            helper.desk.stop.store(true, Ordering::Relaxed);
            if let Some(thread) = helper.thread.take() {
                thread.thread().unpark();
                // A panic was already reported when it happened.
                thread.join().unwrap_or_else(drop_quietly);
            }
        }
    }
}

/// A helper's loop.
fn help(desk: &Desk, part: usize) {
    let mut polls = 0;
    while !desk.stop.load(Ordering::Relaxed) {
        let state = desk.state.load(Ordering::Relaxed);
        if state % STATES == POSTED {
            polls = 0;
            desk.work(state, part);
        } else if polls < POLLS {
            wait(&mut polls);
        } else {
            desk.sleeping.store(true, Ordering::Relaxed);
            // Pairs with the fence in `run`: a part posted before the owner could see `sleeping` is seen
            // here.
            fence(Ordering::SeqCst);
            if desk.state.load(Ordering::Relaxed) == state {
                thread::park();
            }
            desk.sleeping.store(false, Ordering::Relaxed);
            polls = 0;
        }
    }
}

/// Waits a moment; in a long wait it sometimes yields the processor to other threads.
pub(super) fn wait(polls: &mut u32) {
    *polls += 1;
    if *polls < BUSY_POLLS {
        return;
    }
    if (*polls).is_multiple_of(POLLS_PER_YIELD) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}
