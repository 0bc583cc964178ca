//! Random steps. Everything follows from the seed, which a violation names.

use anyhow::Context;
use rand::rngs::{OsRng, StdRng};
use rand::seq::SliceRandom;
use rand::{Rng, RngCore, SeedableRng};
use vault_protocol::{Policy, Timestamp};
use vault_tests::in_process::{DAY, START};

use super::phone::{End, Network};
use super::scenes::{DECADE, earlier};
use super::world::{OPEN_SECONDS, World};
use crate::expect::met_in;
use crate::gate::{GateContext, Scale};

/// The short version always takes the same steps: what every change is checked with must not fail
/// by chance.
const SHORT_SEED: u64 = 4;

/// Drives so many accounts; how often the owner got the key, and the seed of it all. To go the same
/// ways again, set the variable `VAULT_SEED`.
pub async fn at_random(context: &GateContext) -> anyhow::Result<(u64, u64)> {
    let accounts = context.scaled(4, 60, 5000);
    let seed = seed(context.scale())?;
    let mut logins = 0;
    for number in 0..accounts {
        let seed = seed.wrapping_add(number);
        let driven = drive(StdRng::seed_from_u64(seed)).await;
        logins += driven.map_err(|error| met_in(error, &Seed(seed)))?;
    }
    Ok((logins, seed))
}

/// How to go the same way again: `VAULT_SEED`.
#[derive(Debug)]
struct Seed(#[expect(dead_code, reason = "it is printed")] u64);

fn seed(scale: Scale) -> anyhow::Result<u64> {
    match std::env::var("VAULT_SEED") {
        Ok(seed) => seed.parse().context("VAULT_SEED is a number"),
        Err(_) if scale == Scale::Short => Ok(SHORT_SEED),
        Err(_) => Ok(u64::from(OsRng.next_u32())),
    }
}

async fn drive(mut rng: StdRng) -> anyhow::Result<u64> {
    let mut world = World::new(policy(&mut rng)?).await;
    for _ in 0..80 {
        match rng.gen_range(0..100) {
            0..45 => owner(&mut world, &mut rng).await?,
            45..65 => world.thief_guesses(end(&mut rng)).await?,
            65..85 => {
                world.advance(duration(&mut rng));
                world.check().await?;
            }
            85..92 => world.maintain().await?,
            _ => {
                let at = some_time(&world, &mut rng);
                world.restart(at).await?;
            }
        }
    }
    finish_what_is_begun(&mut world).await?;
    Ok(world.logins)
}

async fn owner(world: &mut World, rng: &mut StdRng) -> anyhow::Result<()> {
    let phone = rng.gen_range(0..2);
    if world.phones[phone].is_done() && rng.gen_bool(0.7) {
        world.next_login(phone);
    }
    let network = match rng.gen_range(0..10) {
        0..2 => Network::LosesRequest,
        2..5 => Network::LosesAnswer,
        _ => Network::Works,
    };
    world.owner_acts(phone, network).await
}

/// An owner with an attempt left gets the key.
async fn finish_what_is_begun(world: &mut World) -> anyhow::Result<()> {
    for phone in [0, 1] {
        world.advance(OPEN_SECONDS);
        for _ in 0..2 {
            world.owner_acts(phone, Network::Works).await?;
        }
    }
    Ok(())
}

fn policy(rng: &mut StdRng) -> anyhow::Result<Policy> {
    let limit = rng.gen_range(1..=5);
    let total_limit = limit + rng.gen_range(0..8);
    let wait = |_| *[0, 0, 30, 900, 86_400].choose(rng).unwrap_or(&0);
    let waits = (1..limit).map(wait).collect();
    Ok(Policy::new(limit, total_limit, waits)?)
}

fn end(rng: &mut StdRng) -> End {
    match rng.gen_range(0..3) {
        0 => End::Never,
        1 => End::Finished,
        _ => End::Abandoned,
    }
}

fn duration(rng: &mut StdRng) -> u64 {
    match rng.gen_range(0..4) {
        0 => rng.gen_range(1..60),
        1 => OPEN_SECONDS - 1,
        2 => OPEN_SECONDS,
        _ => rng.gen_range(1..3 * DAY),
    }
}

fn some_time(world: &World, rng: &mut StdRng) -> Timestamp {
    match rng.gen_range(0..5) {
        0 => earlier(DECADE),
        1 => START.plus_seconds(DECADE),
        2 => world.vault.now(),
        _ => world.vault.now().plus_seconds(rng.gen_range(1..DAY)),
    }
}
