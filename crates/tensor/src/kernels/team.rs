//! A team: an owner and its helpers, who do parts of one job at a time.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::{self, JoinHandle};

/// How often a waiting thread looks without a pause: some microseconds, the time between two kernels.
const CLOSE_LOOKS: u32 = if cfg!(miri) { 10 } else { 2_000 };
/// How often it looks before it goes to sleep, or lets others run. Miri's threads take turns, so there it is seldom.
const LOOKS: u32 = if cfg!(miri) { 20 } else { 20_000 };

/// After the close ones, one look in so many lets others run.
const LOOKS_A_YIELD: u32 = if cfg!(miri) { 1 } else { 512 };

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

// SAFETY: threads reach the elements only through `piece`, `all` and `start`, whose callers keep to different ones.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(all: &mut [T]) -> Self {
        Self { start: all.as_mut_ptr(), len: all.len() }
    }

    /// How many elements the slice has.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
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
    /// The slice is still borrowed, and nothing else reaches its elements meanwhile.
    pub unsafe fn all<'a>(self) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { self.piece(0..self.len) }
    }

    /// Elements `range` of the slice.
    ///
    /// # Safety
    /// The slice is still borrowed, and nothing else reaches these elements meanwhile: neither another piece nor `start`.
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

/// Tells that a part is done, also when it panicked.
struct Done<'a> {
    desk: &'a Desk,
    state: u64,
    /// Whether the thread was in a panic already: an owner does the parts that are left while it unwinds.
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
        // Helpers that were made are stopped if the next cannot be.
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

    /// How many threads it has, the owner's among them.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// How many jobs the first helper was given.
    pub fn jobs(&self) -> u64 {
        self.helpers[0].desk.state.load(Ordering::Relaxed) / STATES
    }

    /// Whether the first helper's part of some job panicked.
    pub fn first_has_panicked(&self) -> bool {
        self.helpers[0].desk.panicked.load(Ordering::Relaxed)
    }

    /// Calls `f` once for each of so many parts, a thread each, and returns when all are done.
    ///
    /// # Safety
    /// The team has no job: no other thread gives it one meanwhile, nor does anything that is called from a part.
    pub unsafe fn run(&self, parts: usize, f: &(dyn Fn(usize) + Sync)) {
        let helpers = &self.helpers[..parts - 1];
        // SAFETY: only the lifetime changes; the pointer is used only by parts of this job, and this function does not
        // return or unwind before all of them are done: `Waiting` sees to it.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(f) };
        for Helper { desk, thread } in helpers {
            // SAFETY: the team has no job, so the desk's last part is done and nobody reads `job`; see `Desk`.
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
/// it claimed its part holds up nobody. A panic of such a part has to wait for the other parts, as they use what the job borrows;
/// [`Done`] has noted it for the end of [`Team::run`].
struct Waiting<'a>(&'a [Helper]);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (i, helper) in self.0.iter().enumerate() {
            let mut looks = 0;
            loop {
                let state = helper.desk.state.load(Ordering::Acquire);
                let work = || helper.desk.work(state, i + 1);
                match state % STATES {
                    DONE => break,
                    POSTED if catch_unwind(AssertUnwindSafe(work)).unwrap_or(true) => break,
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
