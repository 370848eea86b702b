//! Exchange of numbers between two threads that each compute half of the same computation.

use super::pool::{self, Pool};
use super::team::{Shared, wait};
use crate::Element;
use crate::slab::Slab;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All exchanges between two threads that each compute half of the same computation.
pub struct Communicator<E> {
    state: Arc<State>,
    exchanges: Mutex<Vec<Arc<Exchange<E>>>>,
}

#[derive(Default)]
struct State {
    /// Whether both threads are in [`Communicator::work`]; if not, waiting for the other would never end.
    live: AtomicBool,
    /// Whether one of them panicked.
    broken: AtomicBool,
}

/// Numbers that the two sides exchange again and again, such as one operation's in every step.
struct Exchange<E> {
    sides: [Side<E>; 2],
}

/// What one side sends. It has cache lines of its own, so that a poll moves only one line between the cores.
#[repr(align(128))]
struct Side<E> {
    /// How many times numbers were sent. Those of turn n are in `numbers[n % 2]`, so that the next can be
    /// written while the other side still reads them.
    sent: AtomicU64,
    numbers: [UnsafeCell<Slab<E>>; 2],
    has_endpoint: AtomicBool,
}

// SAFETY: turns are counted here by `sent`, so without those of a side that was alone, which touch nothing of
// the other's. `numbers[n % 2]` is written only by the one `Endpoint` of its side, between that side's turns
// n - 1 and n. The endpoint sends in turn n only after it has received in turn n - 1: it has seen that the
// other side sent in turn n - 1, which that side did after it had read the numbers of turn n - 2. They are
// read only by the other side's endpoint, after it has seen, with acquire order, the count that was stored
// with release order after the writing.
unsafe impl<E: Send + Sync> Sync for Exchange<E> {}

/// One side of an exchange.
pub struct Endpoint<E> {
    side: usize,
    /// The turn in which it has sent numbers but not yet received the partner's.
    pending: Option<Turn>,
    state: Arc<State>,
    exchange: Arc<Exchange<E>>,
}

struct Turn {
    number: u64,
    /// Whether only one thread is at work.
    alone: bool,
}

impl<E: Element> Default for Communicator<E> {
    fn default() -> Self {
        Self { state: Arc::default(), exchanges: Mutex::default() }
    }
}

impl<E: Element> Communicator<E> {
    /// Side `side` of exchange number `which`, which sends at most `len` numbers at a time.
    ///
    /// # Panics
    /// If it was made before.
    pub fn endpoint(&self, which: usize, side: usize, len: usize) -> Endpoint<E> {
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        while exchanges.len() <= which {
            let slab = || {
                let mut slab = Slab::new();
                slab.grow(len);
                UnsafeCell::new(slab)
            };
            let side = || Side {
                sent: AtomicU64::new(0),
                numbers: [slab(), slab()],
                has_endpoint: AtomicBool::new(false),
            };
            exchanges.push(Arc::new(Exchange { sides: [side(), side()] }));
        }
        let exchange = Arc::clone(&exchanges[which]);
        assert!(!exchange.sides[side].has_endpoint.swap(true, Ordering::Relaxed), "an endpoint is made once");
        Endpoint { side, pending: None, state: Arc::clone(&self.state), exchange }
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

/// On drop, marks that the threads are no longer at work.
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

impl<E: Element> Endpoint<E> {
    /// Sends `len` numbers, written by `write`, to the partner.
    ///
    /// # Panics
    /// If there are more than the endpoint was made for, if the last [`send`](Endpoint::send) was not followed by
    /// a [`receive`](Endpoint::receive), or if the partner panicked.
    pub fn send(&mut self, len: usize, write: impl FnOnce(&mut [E])) {
        // After a panic nothing is ever sent again: the partner may still be reading.
        assert!(!self.is_broken(), "the other thread panicked");
        assert!(self.pending.is_none(), "an endpoint receives before it sends again");
        let own = &self.exchange.sides[self.side];
        let turn = own.sent.load(Ordering::Relaxed);
        // SAFETY: this is the side's one endpoint, borrowed mutably, and the partner has read what was here
        // two turns ago; see `Exchange`.
        let numbers = unsafe { &mut *own.numbers[(turn % 2) as usize].get() };
        write(&mut numbers.all_mut()[..len]);
        let alone = !self.state.live.load(Ordering::Relaxed);
        if !alone {
            own.sent.store(turn + 1, Ordering::Release);
        }
        self.pending = Some(Turn { number: turn, alone });
    }

    /// Waits for the partner's `len` numbers and lets `read` read them. Outside of [`Communicator::work`] there is
    /// no partner, and it reads its own.
    ///
    /// # Panics
    /// As [`Endpoint::send`]; if nothing was sent before.
    pub fn receive(&mut self, len: usize, read: impl FnOnce(&[E])) {
        let &Turn { number, alone } = self.pending.as_ref().expect("an endpoint sends before it receives");
        let from = if alone {
            &self.exchange.sides[self.side]
        } else {
            let other = &self.exchange.sides[1 - self.side];
            let mut polls = 0;
            while other.sent.load(Ordering::Acquire) <= number {
                assert!(!self.is_broken(), "the other thread panicked");
                assert!(self.state.live.load(Ordering::Relaxed), "the other thread is gone");
                wait(&mut polls);
            }
            other
        };
        // SAFETY: the partner has sent this turn's numbers and does not write here before it has seen this
        // side's next turn; see `Exchange`. This side's own are not being written.
        let numbers = unsafe { &*from.numbers[(number % 2) as usize].get() };
        read(&numbers.all()[..len]);
        // Only after reading: if the wait panics, nothing may be sent again, since the partner may be
        // reading this side's numbers.
        self.pending = None;
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
    fn each_side_receives_what_the_other_sent_in_every_turn() {
        let pool = Pool::new(2);
        let communicator = Communicator::<f32>::default();
        let mut both =
            [0, 1].map(|side| (communicator.endpoint(0, side, 40), communicator.endpoint(1, side, 3), 0.0));
        let rounds = if cfg!(miri) { 5 } else { 300 };
        for call in 0..rounds {
            communicator.work(&pool, &mut both, |side, (first, second, seen)| {
                for turn in 0..5 {
                    let number = |side: usize| (call * 10 + turn * 2 + side) as f32;
                    let len = 1 + turn * 9;
                    first.send(len, |to| to.fill(number(side)));
                    second.send(3, |to| to.fill(1.0));
                    first.receive(len, |from| assert_eq!(from, vec![number(1 - side); len]));
                    second.receive(3, |from| *seen += from.iter().sum::<f32>());
                }
            });
        }
        assert!(both.iter().all(|(.., seen)| *seen == (rounds * 15) as f32));
    }

    #[test]
    fn a_side_alone_does_not_wait() {
        let communicator = Communicator::<f64>::default();
        let mut endpoint = communicator.endpoint(0, 0, 2);
        endpoint.send(2, |to| to.fill(7.0));
        endpoint.receive(2, |from| assert_eq!(from, [7.0, 7.0]));
    }

    #[test]
    fn a_panic_of_either_reaches_the_owner() {
        for guilty in 0..2 {
            let pool = Pool::new(2);
            let communicator = Communicator::<f32>::default();
            let mut both = [0, 1].map(|side| communicator.endpoint(0, side, 1));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                communicator.work(&pool, &mut both, |side, endpoint| {
                    assert!(side != guilty, "no");
                    endpoint.send(1, |_| {});
                    endpoint.receive(1, |_| {});
                });
            }));
            assert!(result.is_err());
        }
    }

    #[test]
    fn a_side_left_waiting_sends_nothing_again() {
        let pool = Pool::new(2);
        let communicator = Communicator::<f32>::default();
        let mut both = [0, 1].map(|side| communicator.endpoint(0, side, 1));
        communicator.work(&pool, &mut both, |side, endpoint| {
            if side == 0 {
                endpoint.send(1, |to| to.fill(1.0));
            }
        });
        let fails =
            |what: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).is_err();
        assert!(fails(&mut || both[0].receive(1, |_| {})), "the other never sent");
        assert!(fails(&mut || both[0].send(1, |_| {})), "what was sent is not received yet");
    }

    #[test]
    #[should_panic(expected = "receives before it sends again")]
    fn what_was_not_received_is_not_overwritten() {
        let communicator = Communicator::<f32>::default();
        let mut endpoint = communicator.endpoint(0, 0, 1);
        endpoint.send(1, |_| {});
        endpoint.send(1, |_| {});
    }

    #[test]
    #[should_panic(expected = "made once")]
    fn an_endpoint_has_one_owner() {
        let communicator = Communicator::<f32>::default();
        let _first = communicator.endpoint(0, 0, 1);
        communicator.endpoint(0, 0, 1);
    }
}
