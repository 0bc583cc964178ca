//! How fast account changes become durable: `cargo bench -p vault-ledger`.
//!
//! A retrieval makes two changes. Each reads an account's leaf (400 bytes), writes it, appends an
//! event, and sets a due time (the charge) or takes it back (the finish). "64 waiting" is a closed loop:
//! 64 requests, each of which asks again as soon as it is answered; "alone" is one request at a time, so
//! every change is a batch of its own, with its two writes to the anchor and its commit. Accounts are
//! chosen at random over the whole vault.
//! Besides criterion's numbers, a line for each size says how long requests waited (the longest wait
//! contains the checkpoints) and how much processor time a change took, in user and kernel mode.
//!
//! Files are made in the folder for temporary files: `TMPDIR=/mnt/disk cargo bench -p vault-ledger` to
//! measure another disk; a folder in memory measures no disk at all. `VAULT_BENCH_ACCOUNTS=10000000`
//! measures that one size instead (10^7 takes about 10 GB).
//!
//! # Results
//!
//! On 2 virtual cores of an AMD EPYC, ext4, one synced write of 4 KiB takes 0.08 ms there:
//!
//! | accounts | 64 waiting: changes/s | processor time a change | longest wait | alone: changes/s | start |
//! |---|---|---|---|---|---|
//! | 1,000 | 35,400 | 20 µs | 10 ms | 2,010 | 1.6 ms |
//! | 10,000 | 24,800 | 30 µs | 17 ms | 2,020 | 1.5 ms |
//! | 100,000 | 17,200 | 43 µs | 26 ms | 1,850 | 1.5 ms |
//! | 1,000,000 | 11,800 | 57 µs | 38 ms | 1,890 | 1.6 ms |
//! | 10,000,000 | 7,400 | 90 µs | 64 ms | 1,630 | 1.6 ms |
//!
//! # Choices made by it
//!
//! 1,000,000 accounts that came in random order, 64 waiting, on the same machine; the first line is
//! the ledger as it is. Differences of less than a tenth are noise there.
//!
//! | variant | changes/s | processor time a change | longest wait |
//! |---|---|---|---|
//! | fan-out 64, buckets of 2 KiB, nodes above depth 3 kept, WAL of 4,000 pages, SQLite's usual cache (2 MiB) | 12,000 | 56 µs | 46 ms |
//! | fan-out 32, four levels kept (35 MB instead of 9) | 11,200 | 61 µs | 43 ms |
//! | fan-out 16, four levels kept | 9,100 | 69 µs | 44 ms |
//! | buckets of 1 KiB | 11,900 | 65 µs | 38 ms |
//! | buckets of 3.5 KiB | 11,600 | 57 µs | 36 ms |
//! | nodes above depth 2 kept (130 kB) | 9,400 | 66 µs | 48 ms |
//! | WAL of 1,000 pages | 10,900 | 65 µs | 28 ms |
//! | WAL of 16,000 pages | 13,600 | 57 µs | 83 ms |
//! | SQLite's cache of 64 MiB | 12,600 | 57 µs | 32 ms |
//! | WAL truncated at each checkpoint, at 1,000 pages | 8,300 | 72 µs | 26 ms |
//! | events in a table ordered by leaf, due times in an index of their own (100,000 accounts, while other programs ran) | | 95 µs | |
//!
//! The last line is an earlier layout: events in the order of leaves touch a page for each change, in the
//! order of time one for many.
#![allow(missing_docs, reason = "criterion makes public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock"
)]
#![allow(clippy::print_stderr, reason = "a benchmark prints")]

use std::cell::RefCell;
use std::env;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use vault_ledger::{Batch, LeafKey, LeafUnavailable, Ledger, MasterKey, Options, VaultIdentity};
use zeroize::Zeroizing;

const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const WAITING: u64 = 64;
/// An account with a record, as the server encodes it.
const LEAF_SIZE: usize = 400;
const EVENT: &[u8] = b"an event, 20 bytes..";

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(10))
        .configure_from_args();
    eprintln!("one synced write of 4 KiB takes {:?} here", sync_time());
    let sizes = match env::var("VAULT_BENCH_ACCOUNTS") {
        Ok(accounts) => vec![accounts.parse().unwrap()],
        Err(_) => SIZES.to_vec(),
    };
    for accounts in sizes {
        measure(&mut criterion, accounts);
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, accounts: u32) {
    let home = Home::with_accounts(accounts);
    let runtime = Builder::new_current_thread().build().unwrap();
    let ledger = home.open();
    for (name, waiting) in [("64 waiting", WAITING), ("alone", 1)] {
        let waits = RefCell::new(Waits::default());
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(accounts), |bencher| {
            bencher.iter_custom(|changes| {
                run(
                    &runtime,
                    &ledger,
                    accounts,
                    waiting,
                    changes,
                    &mut waits.borrow_mut(),
                )
            });
        });
        group.finish();
        waits.borrow_mut().report(name, accounts);
    }
    ledger.close().unwrap();
    let mut group = criterion.benchmark_group("start");
    group.bench_function(BenchmarkId::from_parameter(accounts), |bencher| {
        bencher.iter_custom(|starts| {
            let mut taken = Duration::ZERO;
            for _ in 0..starts {
                let begin = Instant::now();
                let ledger = home.open();
                taken += begin.elapsed();
                ledger.close().unwrap();
            }
            taken
        });
    });
    group.finish();
}

/// Makes at least so many changes and returns the time that they took.
fn run(
    runtime: &Runtime,
    ledger: &Ledger,
    accounts: u32,
    waiting: u64,
    changes: u64,
    waits: &mut Waits,
) -> Duration {
    let each = changes.div_ceil(waiting);
    let (begin, processor) = (Instant::now(), processor_time());
    let tasks: Vec<_> = (0..waiting)
        .map(|_| runtime.spawn(ask_again_and_again(ledger.clone(), accounts, each)))
        .collect();
    for task in tasks {
        waits.times.extend(runtime.block_on(task).unwrap());
    }
    let taken = begin.elapsed();
    waits.processor += processor_time() - processor;
    taken.mul_f64(changes as f64 / (each * waiting) as f64)
}

async fn ask_again_and_again(ledger: Ledger, accounts: u32, times: u64) -> Vec<Duration> {
    let mut random = StdRng::from_entropy();
    let mut waits = Vec::new();
    let mut key = account(0);
    for number in 0..times {
        let is_charge = number % 2 == 0;
        if is_charge {
            key = account(random.gen_range(0..accounts));
        }
        let due_ms = is_charge.then_some(number);
        let begin = Instant::now();
        let change = move |batch: &mut Batch<'_>| change(batch, &key, due_ms);
        ledger.commit(change).await.unwrap();
        waits.push(begin.elapsed());
    }
    waits
}

fn change(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    due_ms: Option<u64>,
) -> Result<(), LeafUnavailable> {
    let mut state = batch.read(key)?.expect("the account was made");
    state[0] = state[0].wrapping_add(1);
    batch.put(key, state);
    batch.append_event(key, EVENT);
    batch.schedule(key, due_ms);
    Ok(())
}

/// The waits of changes, and their cost.
#[derive(Default)]
struct Waits {
    times: Vec<Duration>,
    processor: Duration,
}

impl Waits {
    fn report(&mut self, name: &str, accounts: u32) {
        if self.times.is_empty() {
            return;
        }
        self.times.sort_unstable();
        let at = |part: f64| self.times[((self.times.len() - 1) as f64 * part) as usize];
        let per_change = self.processor / u32::try_from(self.times.len()).unwrap();
        eprintln!(
            "{name}, {accounts} accounts: waits of {:?} (median), {:?} (p99), {:?} (longest); \
             {per_change:?} of processor time a change",
            at(0.5),
            at(0.99),
            at(1.0),
        );
    }
}

struct Home(TempDir);

impl Home {
    /// A vault with so many accounts, closed again. They are made in the order of their keys, which is
    /// quicker by far than in the order in which accounts come.
    fn with_accounts(accounts: u32) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        let mut keys: Vec<_> = (0..accounts).map(account).collect();
        keys.sort_unstable();
        let ledger = Ledger::create(home.options(), identity()).unwrap();
        for some in keys.chunks(4096) {
            let some = some.to_vec();
            let change = move |batch: &mut Batch<'_>| {
                for key in some {
                    batch.put(&key, Zeroizing::new(vec![7; LEAF_SIZE]));
                    batch.append_event(&key, EVENT);
                }
                Ok(())
            };
            ledger.commit_blocking(change).unwrap();
        }
        ledger.close().unwrap();
        home
    }

    fn options(&self) -> Options {
        Options::new(self.0.path().join("vault"), self.0.path().join("anchor"))
    }

    fn open(&self) -> Ledger {
        Ledger::open(self.options(), identity()).unwrap()
    }
}

fn identity() -> VaultIdentity {
    VaultIdentity {
        vault_id: "bench".to_owned(),
        keyring_fingerprint: [1; 32],
        master_key: MasterKey::new(&[2; 32]),
    }
}

/// Spread over all keys, as the server's, which are hashes.
fn account(number: u32) -> LeafKey {
    let mut key = [0; 32];
    StdRng::seed_from_u64(u64::from(number)).fill_bytes(&mut key);
    LeafKey(key)
}

/// The median of 100.
fn sync_time() -> Duration {
    let temporary = tempfile::tempdir().unwrap();
    let path: &Path = &temporary.path().join("probe");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    let mut times: Vec<_> = (0..100)
        .map(|_| {
            let begin = Instant::now();
            file.write_all_at(&[7; 4096], 0).unwrap();
            file.sync_data().unwrap();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[50]
}

/// Of the whole process, with the kernel's work for it.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}
