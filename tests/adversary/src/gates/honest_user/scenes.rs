//! The scenes that are always tried: each is the shortest way to lose a key by one mistake.

use vault_protocol::{Policy, Timestamp};
use vault_tests::in_process::{DAY, START};

use super::phone::{End, Network};
use super::world::{OPEN_SECONDS, World};
use crate::expect::met_in;

/// Ten years.
pub const DECADE: u64 = 3652 * DAY;

use Network::{LosesAnswer, LosesRequest, Works};

/// All of them; how often the owner got the key.
pub async fn all() -> anyhow::Result<u64> {
    let mut logins = played("lost messages", lost_answers_and_requests()).await?;
    logins += played("a slow phone", a_slow_phone()).await?;
    logins += played("the last attempt", a_thief_who_takes_all_others()).await?;
    logins += played("two phones", two_phones()).await?;
    for at in [earlier(DECADE), START.plus_seconds(DECADE)] {
        logins += played("open, and the clock set", the_clock_is_set_when_open(at)).await?;
        logins += played("waiting, and the clock set", the_clock_is_set_in_a_wait(at)).await?;
        let scene = the_clock_is_set_behind_a_new_ticket_key(at);
        logins += played("another ticket key, and the clock set", scene).await?;
    }
    Ok(logins)
}

async fn played(
    name: &str,
    scene: impl Future<Output = anyhow::Result<u64>>,
) -> anyhow::Result<u64> {
    scene.await.map_err(|error| met_in(error, &name))
}

/// Every login is the last attempt.
async fn lost_answers_and_requests() -> anyhow::Result<u64> {
    let mut world = World::new(policy(1, vec![])?).await;
    for start in [Works, LosesRequest, LosesAnswer] {
        for finish in [Works, LosesRequest, LosesAnswer] {
            for network in [start, start, Works, finish, finish, Works] {
                if !world.phones[0].is_done() {
                    world.owner_acts(0, network).await?;
                }
            }
            world.owner_acts(0, Works).await?;
            world.next_login(0);
        }
    }
    Ok(world.logins)
}

/// 14 minutes and 59 seconds between any two steps that a restart lies between.
async fn a_slow_phone() -> anyhow::Result<u64> {
    let mut world = World::new(policy(1, vec![])?).await;
    world.owner_acts(0, LosesAnswer).await?;
    for network in [LosesAnswer, Works, LosesAnswer, Works] {
        world.advance(OPEN_SECONDS);
        let later = world.vault.now().plus_seconds(DAY);
        world.restart(later).await?;
        world.advance(OPEN_SECONDS);
        world.maintain().await?;
        world.owner_acts(0, network).await?;
    }
    Ok(world.logins)
}

/// The owner's attempt stays while everything else is used up.
async fn a_thief_who_takes_all_others() -> anyhow::Result<u64> {
    let mut logins = 0;
    for end in [End::Never, End::Finished, End::Abandoned] {
        let mut world = World::new(policy(3, vec![0, 0])?).await;
        world.owner_acts(0, LosesAnswer).await?;
        for _ in 0..3 {
            world.thief_guesses(end).await?;
        }
        world.restart(world.vault.now()).await?;
        for _ in 0..2 {
            world.advance(OPEN_SECONDS / 2);
            world.owner_acts(0, Works).await?;
        }
        logins += world.logins;
    }
    Ok(logins)
}

/// Both attempts are open at the same time, and nothing else is left.
async fn two_phones() -> anyhow::Result<u64> {
    let mut logins = 0;
    for [first, second] in [[0, 1], [1, 0]] {
        let mut world = World::new(policy(2, vec![0])?).await;
        world.owner_acts(0, Works).await?;
        world.owner_acts(1, LosesAnswer).await?;
        world.restart(world.vault.now()).await?;
        world.owner_acts(1, Works).await?;
        world.owner_acts(first, LosesAnswer).await?;
        world.owner_acts(second, Works).await?;
        world.owner_acts(first, Works).await?;
        logins += world.logins;
    }
    Ok(logins)
}

async fn the_clock_is_set_when_open(at: Timestamp) -> anyhow::Result<u64> {
    let mut world = World::new(policy(1, vec![])?).await;
    world.owner_acts(0, LosesAnswer).await?;
    world.restart(at).await?;
    world.advance(OPEN_SECONDS);
    world.owner_acts(0, Works).await?;
    world.restart(START).await?;
    world.advance(OPEN_SECONDS);
    world.owner_acts(0, Works).await?;
    Ok(world.logins)
}

/// A wait begins again at most: it ends after its length.
async fn the_clock_is_set_in_a_wait(at: Timestamp) -> anyhow::Result<u64> {
    let mut world = World::new(policy(2, vec![3600])?).await;
    world.thief_guesses(End::Finished).await?;
    world.restart(at).await?;
    world.advance(3600);
    world.check().await?;
    for _ in 0..2 {
        world.owner_acts(0, Works).await?;
    }
    Ok(world.logins)
}

/// The key that sealed the owner's ticket has just given way to another one when the vault stops.
async fn the_clock_is_set_behind_a_new_ticket_key(at: Timestamp) -> anyhow::Result<u64> {
    let mut world = World::new(policy(1, vec![])?).await;
    world.advance(DAY - 60);
    world.owner_acts(0, Works).await?;
    world.advance(60);
    world.maintain().await?;
    world.restart(at).await?;
    world.advance(OPEN_SECONDS);
    world.maintain().await?;
    world.owner_acts(0, Works).await?;
    Ok(world.logins)
}

fn policy(limit: u64, waits: Vec<u64>) -> anyhow::Result<Policy> {
    Ok(Policy::new(limit, 100, waits)?)
}

/// So many seconds before every vault begins.
pub fn earlier(seconds: u64) -> Timestamp {
    Timestamp::from_millis(START.millis() - 1000 * seconds)
}
