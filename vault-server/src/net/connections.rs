//! The open connections, and which of them has to leave when the places are used up.
//!
//! If newcomers had to wait for a free place, an attacker could take all places with connections
//! that do nothing, and keep every other client out for as long as the timeouts allow. So a newcomer
//! takes the place of a connection without a request in flight, of the one whose last
//! request (or arrival) is the longest ago; if every connection has one in flight, the oldest
//! leaves as soon as it is answered. A client whose idle connection was closed just connects again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(super) struct Connections {
    free: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<State>>>,
    /// Counts arrivals, starts and ends of requests: an order, not a time.
    events: AtomicU64,
}

/// One connection's place; free again when dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    state: Arc<State>,
    _permit: OwnedSemaphorePermit,
}

/// A request in flight, until dropped.
pub(super) struct InFlight {
    connections: Arc<Connections>,
    state: Arc<State>,
}

struct State {
    last_event: AtomicU64,
    in_flight: AtomicUsize,
    answered: Notify,
    leave: CancellationToken,
}

impl Connections {
    pub(super) fn new(places: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(places)),
            taken: Mutex::default(),
            events: AtomicU64::new(0),
        }
    }

    /// A place; if there is none, exactly one connection is told to leave, and its place (or
    /// another that became free first) is waited for.
    pub(super) async fn place(self: Arc<Self>) -> Place {
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.tell_one_to_leave();
                let permit = free.acquire_owned().await;
                permit.expect("the semaphore is never closed")
            }
        };
        let id = self.next_event();
        let state = Arc::new(State {
            last_event: AtomicU64::new(id),
            in_flight: AtomicUsize::new(0),
            answered: Notify::new(),
            leave: CancellationToken::new(),
        });
        self.lock_taken().insert(id, Arc::clone(&state));
        Place {
            connections: self,
            id,
            state,
            _permit: permit,
        }
    }

    fn tell_one_to_leave(&self) {
        let taken = self.lock_taken();
        let staying = taken.values().filter(|state| !state.leave.is_cancelled());
        if let Some(state) = staying.min_by_key(|state| state.worth()) {
            state.leave.cancel();
        }
    }

    fn next_event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::Relaxed)
    }

    fn lock_taken(&self) -> MutexGuard<'_, HashMap<u64, Arc<State>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A request has begun; it is in flight until the answer drops.
    pub(super) fn request(&self) -> InFlight {
        self.state.in_flight.fetch_add(1, Ordering::SeqCst);
        let in_flight = InFlight {
            connections: Arc::clone(&self.connections),
            state: Arc::clone(&self.state),
        };
        in_flight.note_event();
        in_flight
    }

    /// Whether a request is in flight.
    pub(super) fn has_requests(&self) -> bool {
        self.state.in_flight.load(Ordering::SeqCst) > 0
    }

    /// Resolves when no request is in flight.
    pub(super) async fn is_answered(&self) {
        while self.has_requests() {
            // One waits, and a permit that came before it began to is kept for it.
            self.state.answered.notified().await;
        }
    }

    /// Resolves when this connection has to leave.
    pub(super) async fn is_needed(&self) {
        self.state.leave.cancelled().await;
    }

    /// Resolves when no request has begun or ended for `period`, or at most twice as long. A
    /// request in flight counts as idleness too: the period is longer than a request may take.
    pub(super) async fn is_idle_for(&self, period: Duration) {
        loop {
            let before = self.state.last_event.load(Ordering::SeqCst);
            sleep(period).await;
            if self.state.last_event.load(Ordering::SeqCst) == before {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock_taken().remove(&self.id);
    }
}

impl InFlight {
    fn note_event(&self) {
        let event = self.connections.next_event();
        self.state.last_event.fetch_max(event, Ordering::SeqCst);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.note_event();
        self.state.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.state.answered.notify_one();
    }
}

impl State {
    /// The least worthy leaves first.
    fn worth(&self) -> (bool, u64) {
        let has_requests = self.in_flight.load(Ordering::SeqCst) > 0;
        (has_requests, self.last_event.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn three() -> (Arc<Connections>, [Place; 3]) {
        let connections = Arc::new(Connections::new(3));
        let place = || Arc::clone(&connections).place();
        let places = [place().await, place().await, place().await];
        (connections, places)
    }

    fn told(places: &[Place]) -> Vec<usize> {
        let told = |place: &&Place| place.state.leave.is_cancelled();
        let told = places.iter().filter(told);
        told.map(|place| place.id as usize).collect()
    }

    /// Fails when `worth` leaves out the requests in flight.
    #[tokio::test]
    async fn a_connection_with_a_request_in_flight_leaves_last() {
        let (connections, places) = three().await;
        let _in_flight = places[0].request();
        // More recent, but answered.
        drop(places[1].request());
        drop(places[2].request());
        connections.tell_one_to_leave();
        assert_eq!(told(&places), [1]);
        connections.tell_one_to_leave();
        assert_eq!(told(&places), [1, 2]);
        connections.tell_one_to_leave();
        assert_eq!(told(&places), [0, 1, 2]);
        connections.tell_one_to_leave();
    }

    /// Fails when the end of a request is not an event.
    #[tokio::test]
    async fn the_one_longest_without_a_request_leaves_first() {
        let (connections, places) = three().await;
        let long = places[1].request();
        drop(places[0].request());
        drop(places[2].request());
        drop(long);
        connections.tell_one_to_leave();
        assert_eq!(told(&places), [0]);
    }

    /// Fails when `Drop` does not remove the place: a gone connection would be told to leave, and
    /// the newcomer would wait.
    #[tokio::test]
    async fn a_place_that_was_left_is_given_to_the_next() {
        let (connections, places) = three().await;
        let [first, second, third] = places;
        drop(first);
        let next = Arc::clone(&connections).place().await;
        assert!(!next.state.leave.is_cancelled());
        drop((second, third, next));
        assert!(connections.lock_taken().is_empty());
        assert_eq!(connections.free.available_permits(), 3);
    }
}
