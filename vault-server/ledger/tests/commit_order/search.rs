//! Breadth-first search over every reachable state, so that the first breach found has a shortest
//! trace.

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use crate::faults::{Action, moves};
use crate::rules::Rules;
use crate::world::{Budget, World};

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// A server serves a state in which an evaluated guess is not charged.
    ChargeGivenBack,
    /// A server refuses to go on although the attacker keeps none of the latest files.
    Bricked,
    /// A server serves a state without an acknowledged change.
    AcknowledgedLost,
}

pub struct Found {
    pub breach: Breach,
    pub trace: Vec<String>,
}

pub struct Report {
    pub states: usize,
    pub found: Option<Found>,
}

struct Node {
    world: Rc<World>,
    parent: usize,
    action: Action,
}

/// Explores every reachable state.
pub fn explore(rules: Rules, budget: Budget) -> Report {
    search(rules, budget, |_| true)
}

/// Explores up to the first breach of this kind. A history ends with its first breach of any kind.
pub fn explore_for(wanted: Breach, rules: Rules, budget: Budget) -> Report {
    search(rules, budget, |breach| breach == wanted)
}

fn search(rules: Rules, budget: Budget, wanted: impl Fn(Breach) -> bool) -> Report {
    let mut first = World::created(budget);
    first.remember();
    let first = Rc::new(first);
    let mut seen = HashSet::from([Rc::clone(&first)]);
    let mut nodes = vec![Node {
        world: first,
        parent: 0,
        action: Action::Start,
    }];
    let mut next = 0;
    while next < nodes.len() {
        let world = Rc::clone(&nodes[next].world);
        for mut reached in moves(&world, rules) {
            reached.world.remember();
            let node = Node {
                world: Rc::new(reached.world),
                parent: next,
                action: reached.action,
            };
            match breach(&node) {
                Some(breach) if wanted(breach) => {
                    let trace = trace(&nodes, &node);
                    return Report {
                        states: seen.len(),
                        found: Some(Found { breach, trace }),
                    };
                }
                Some(_) => {}
                None => {
                    if seen.insert(Rc::clone(&node.world)) {
                        nodes.push(node);
                    }
                }
            }
        }
        next += 1;
    }
    Report {
        states: seen.len(),
        found: None,
    }
}

fn breach(node: &Node) -> Option<Breach> {
    let world = &node.world;
    if matches!(node.action, Action::Refuse(0, _)) && !world.may_refuse() {
        return Some(Breach::Bricked);
    }
    for serves in world
        .servers
        .iter()
        .flatten()
        .filter_map(|server| server.serves)
    {
        if !world.evaluated.is_subset(serves) {
            return Some(Breach::ChargeGivenBack);
        }
        if !world.acknowledged.is_subset(serves) {
            return Some(Breach::AcknowledgedLost);
        }
    }
    None
}

/// The path to this node, a line a move.
fn trace(nodes: &[Node], last: &Node) -> Vec<String> {
    let mut lines = vec![line(last)];
    let mut at = last.parent;
    while at != 0 {
        lines.push(line(&nodes[at]));
        at = nodes[at].parent;
    }
    lines.reverse();
    lines
}

fn line(node: &Node) -> String {
    format!("{:<44} {}", node.action.to_string(), node.world)
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::ChargeGivenBack => "charge given back",
            Self::Bricked => "bricked",
            Self::AcknowledgedLost => "acknowledged change lost",
        })
    }
}
