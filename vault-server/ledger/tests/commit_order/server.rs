//! A server: the task it is about, and how far it has come.

use crate::disk::{Root, Set};
use crate::plan::{Step, Task, plan};
use crate::rules::Rules;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Server {
    pub task: Task,
    /// The steps of the task that are done.
    pub done: u8,
    /// The state that it works on, and the one that the present batch makes of it.
    pub held: Root,
    pub next: Root,
    /// The anchors that it writes.
    pub mirrors: Set,
    /// The charged guesses of the state that requests see; nothing before the start is through.
    pub serves: Option<Set>,
}

impl Server {
    pub fn charging(self, guess: u8) -> Self {
        Self {
            task: Task::Charge(guess),
            done: 0,
            ..self
        }
    }

    /// The first guess that is not charged yet. Guesses differ by name only, so that one will do.
    pub fn uncharged(&self, guesses: u8) -> Option<u8> {
        (0..guesses).find(|guess| !self.held.charged.has(*guess))
    }

    pub fn step(&self, rules: Rules) -> Option<Step> {
        let plan = plan(self.task, self.mirrors, rules);
        plan.get(usize::from(self.done)).copied()
    }
}
