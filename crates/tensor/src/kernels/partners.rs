//! Exchange of numbers between two threads that each compute half of the same computation.

use super::pool::{self, Pool};
use super::team::{Shared, wait};
use crate::Element;
use crate::slab::Slab;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All places where two threads exchange numbers, each of them computing half of the same computation.
pub struct Meetings<E> {
    state: Arc<State>,
    meetings: Mutex<Vec<Arc<Meeting<E>>>>,
}

#[derive(Default)]
struct State {
    /// Whether both threads are at work; if not, waiting for the other would never end.
    live: AtomicBool,
    /// Whether one of them panicked.
    broken: AtomicBool,
}

/// One place where the two sides exchange numbers, again and again.
struct Meeting<E> {
    sides: [Side<E>; 2],
}

/// What one side gives. It has cache lines of its own, so that a poll moves only one line between the cores.
#[repr(align(128))]
struct Side<E> {
    /// How many times numbers were given. Those of turn n are in `numbers[n % 2]`, so that the next can be
    /// written while the other side still reads them.
    given: AtomicU64,
    numbers: [UnsafeCell<Slab<E>>; 2],
    taken: AtomicBool,
}

// SAFETY: turns are counted here by `given`, so without those that a side took alone, which touch nothing of the other's.
// `numbers[n % 2]` is written only by the one `Place` of this side, between its turns n - 1 and n. It gives in turn n
// only when it has taken in turn n - 1, and so has seen that the other side gave then, which it did after it had read turn
// n - 2's. They are read only by the other side's place after it has seen, with acquire order, the count that was stored with
// release order after the writing.
unsafe impl<E: Send + Sync> Sync for Meeting<E> {}

/// One side of a meeting.
pub struct Place<E> {
    side: usize,
    /// The turn in which it gave numbers but has not yet taken the partner's.
    open: Option<Turn>,
    state: Arc<State>,
    meeting: Arc<Meeting<E>>,
}

struct Turn {
    number: u64,
    /// Whether only one thread is at work.
    alone: bool,
}

impl<E: Element> Default for Meetings<E> {
    fn default() -> Self {
        Self { state: Arc::default(), meetings: Mutex::default() }
    }
}

impl<E: Element> Meetings<E> {
    /// Side `side` of meeting `which`, where at most `len` numbers are given at a time.
    ///
    /// # Panics
    /// If that side was already taken.
    pub fn place(&self, which: usize, side: usize, len: usize) -> Place<E> {
        let mut meetings = self.meetings.lock().unwrap_or_else(PoisonError::into_inner);
        while meetings.len() <= which {
            let slab = || {
                let mut slab = Slab::new();
                slab.grow(len);
                UnsafeCell::new(slab)
            };
            let side = || Side {
                given: AtomicU64::new(0),
                numbers: [slab(), slab()],
                taken: AtomicBool::new(false),
            };
            meetings.push(Arc::new(Meeting { sides: [side(), side()] }));
        }
        let meeting = Arc::clone(&meetings[which]);
        assert!(!meeting.sides[side].taken.swap(true, Ordering::Relaxed), "a place is taken once");
        Place { side, open: None, state: Arc::clone(&self.state), meeting }
    }

    /// Calls `f` with 0 and the first element of `both`, and with 1 and the second, on two threads of the
    /// pool at once; returns when both are done.
    ///
    /// # Panics
    /// If either panics, if the pool has one thread, or if it is in use.
    pub fn work<T: Send>(&self, pool: &Pool, both: &mut [T; 2], f: impl Fn(usize, &mut T) + Sync) {
        let shared = Shared::new(both);
        self.state.live.store(true, Ordering::Relaxed);
        let _over = Over(&self.state);
        pool::two_threads(pool, &|side| {
            // True only if the other side panicked before this one began.
            if self.state.broken.load(Ordering::Relaxed) {
                return;
            }
            let _watch = Watch(&self.state);
            // SAFETY: each side has its own piece.
            f(side, &mut unsafe { shared.piece(side..side + 1) }[0]);
        });
    }
}

/// On drop, marks both threads as no longer at work.
struct Over<'a>(&'a State);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.live.store(false, Ordering::Relaxed);
    }
}

/// On drop in a panic, marks the state as broken, so that the partner does not wait forever.
struct Watch<'a>(&'a State);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl<E: Element> Place<E> {
    /// Gives `len` numbers, written by `write`, to the partner.
    ///
    /// # Panics
    /// If there are more than the place was made for, if the last [`give`](Place::give) was not followed by a
    /// [`take`](Place::take), or if the partner panicked.
    pub fn give(&mut self, len: usize, write: impl FnOnce(&mut [E])) {
        // After a panic nothing is ever given again: the partner may still be reading.
        assert!(!self.is_broken(), "the other thread panicked");
        assert!(self.open.is_none(), "who gives takes before it gives again");
        let own = &self.meeting.sides[self.side];
        let turn = own.given.load(Ordering::Relaxed);
        // SAFETY: this is the side's one place, borrowed mutably, and the partner has read what was here two turns ago; see
        // `Meeting`.
        let numbers = unsafe { &mut *own.numbers[(turn % 2) as usize].get() };
        write(&mut numbers.all_mut()[..len]);
        let alone = !self.state.live.load(Ordering::Relaxed);
        if !alone {
            own.given.store(turn + 1, Ordering::Release);
        }
        self.open = Some(Turn { number: turn, alone });
    }

    /// Lets `read` read the partner's `len` numbers. Outside [`Meetings::work`] there is no partner, and it
    /// reads its own.
    ///
    /// # Panics
    /// As [`Place::give`]; if nothing was given before.
    pub fn take(&mut self, len: usize, read: impl FnOnce(&[E])) {
        let &Turn { number, alone } = self.open.as_ref().expect("who takes has given");
        let from = if alone {
            &self.meeting.sides[self.side]
        } else {
            let other = &self.meeting.sides[1 - self.side];
            let mut polls = 0;
            while other.given.load(Ordering::Acquire) <= number {
                assert!(!self.is_broken(), "the other thread panicked");
                assert!(self.state.live.load(Ordering::Relaxed), "the other thread is gone");
                wait(&mut polls);
            }
            other
        };
        // SAFETY: the partner has given this turn's numbers and does not write here before it has seen this side's next
        // turn; see `Meeting`. One's own are not being written.
        let numbers = unsafe { &*from.numbers[(number % 2) as usize].get() };
        read(&numbers.all()[..len]);
        // Only after reading: if the wait panics, nothing may be given again, since the partner may be
        // reading these numbers.
        self.open = None;
    }

    fn is_broken(&self) -> bool {
        self.state.broken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Pool;

    #[test]
    fn both_get_what_the_other_gave_in_every_turn() {
        let pool = Pool::new(2);
        let partners = Meetings::<f32>::default();
        let mut both = [0, 1].map(|side| (partners.place(0, side, 40), partners.place(1, side, 3), 0.0));
        let rounds = if cfg!(miri) { 5 } else { 300 };
        for call in 0..rounds {
            partners.work(&pool, &mut both, |side, (first, second, seen)| {
                for turn in 0..5 {
                    let number = |side: usize| (call * 10 + turn * 2 + side) as f32;
                    let len = 1 + turn * 9;
                    first.give(len, |to| to.fill(number(side)));
                    second.give(3, |to| to.fill(1.0));
                    first.take(len, |from| assert_eq!(from, vec![number(1 - side); len]));
                    second.take(3, |from| *seen += from.iter().sum::<f32>());
                }
            });
        }
        assert!(both.iter().all(|(.., seen)| *seen == (rounds * 15) as f32));
    }

    #[test]
    fn who_is_alone_does_not_wait() {
        let partners = Meetings::<f64>::default();
        let mut place = partners.place(0, 0, 2);
        place.give(2, |to| to.fill(7.0));
        place.take(2, |from| assert_eq!(from, [7.0, 7.0]));
    }

    #[test]
    fn a_panic_of_either_reaches_the_owner() {
        for guilty in 0..2 {
            let pool = Pool::new(2);
            let partners = Meetings::<f32>::default();
            let mut both = [0, 1].map(|side| partners.place(0, side, 1));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                partners.work(&pool, &mut both, |side, place| {
                    assert!(side != guilty, "no");
                    place.give(1, |_| {});
                    place.take(1, |_| {});
                });
            }));
            assert!(result.is_err());
        }
    }

    #[test]
    fn who_was_left_waiting_writes_nothing_again() {
        let pool = Pool::new(2);
        let partners = Meetings::<f32>::default();
        let mut both = [0, 1].map(|side| partners.place(0, side, 1));
        partners.work(&pool, &mut both, |side, place| {
            if side == 0 {
                place.give(1, |to| to.fill(1.0));
            }
        });
        let fails =
            |what: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).is_err();
        assert!(fails(&mut || both[0].take(1, |_| {})), "the other never gave");
        assert!(fails(&mut || both[0].give(1, |_| {})), "what was given is not taken yet");
    }

    #[test]
    #[should_panic(expected = "takes before it gives again")]
    fn what_nobody_took_is_not_overwritten() {
        let partners = Meetings::<f32>::default();
        let mut place = partners.place(0, 0, 1);
        place.give(1, |_| {});
        place.give(1, |_| {});
    }

    #[test]
    #[should_panic(expected = "taken once")]
    fn a_place_has_one_owner() {
        let partners = Meetings::<f32>::default();
        let _first = partners.place(0, 0, 1);
        partners.place(0, 0, 1);
    }
}
