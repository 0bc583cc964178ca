//! A key's life through the client library: straight to the vault, and through the app's backend.

use rand::rngs::OsRng;
use vault_client::client::VaultClient;
use vault_client::error::Error;
use vault_client::http::system_clock;
use vault_client::protection::{Protection, Reason};
use vault_client::trust::{Trust, TrustMemory};
use vault_client::{BackupKey, Fingerprint};
use vault_protocol::VaultId;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::statement::StatementRefused;
use vault_tests::process::client::network;
use vault_tests::process::one_call::OneCall as _;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::support::{Client, PASSWORD, backend, direct, password, relayed, start, three_attempts};

/// From the registration to the destruction, each step on a device that knows nothing of the others.
async fn live_and_be_destroyed(
    mut device: impl AsyncFnMut() -> anyhow::Result<Client>,
) -> anyhow::Result<()> {
    let absent = device().await?.retrieve(password(PASSWORD)?).await;
    assert!(matches!(absent, Err(Error::NotRegistered)), "{absent:?}");

    let key = BackupKey::generate(&mut OsRng);
    let registered = device().await?.enable(password(PASSWORD)?, &key).await?;
    assert_eq!(
        (
            registered.registration.generation,
            registered.policy.limit()
        ),
        (1, 3)
    );
    let again = device()
        .await?
        .enable(password("another password")?, &key)
        .await;
    assert!(
        matches!(again, Err(Error::AlreadyRegistered { generation: 1 })),
        "{again:?}"
    );

    let retrieved = device().await?.retrieve(password(PASSWORD)?).await?;
    assert!(retrieved.key.is_same(&key));
    assert_eq!(
        guess_wrong(&mut device().await?).await?,
        (2, Some(AccountState::Active))
    );
    let retrieved = device().await?.retrieve(password(PASSWORD)?).await?;
    assert!(retrieved.key.is_same(&key));
    assert_eq!(retrieved.failures_since_success, 1);

    assert_eq!(
        guess_wrong(&mut device().await?).await?,
        (2, Some(AccountState::Active))
    );
    assert_eq!(
        guess_wrong(&mut device().await?).await?,
        (1, Some(AccountState::Active))
    );
    assert_eq!(
        guess_wrong(&mut device().await?).await?,
        (0, Some(AccountState::Destroyed))
    );

    let right = device().await?.retrieve(password(PASSWORD)?).await;
    let Err(Error::Destroyed {
        reason, generation, ..
    }) = right
    else {
        anyhow::bail!("the right password was not refused: {right:?}");
    };
    assert_eq!((reason, generation), (DestructionReason::Exhausted, 1));
    Ok(())
}

async fn guess_wrong(client: &mut Client) -> anyhow::Result<(u64, Option<AccountState>)> {
    match client.retrieve(password("not the password")?).await {
        Err(Error::WrongPassword {
            attempts_remaining,
            state,
            ..
        }) => Ok((attempts_remaining, state)),
        other => anyhow::bail!("a wrong password was expected: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_back_with_its_password_and_is_gone_after_too_many_wrong_ones()
-> anyhow::Result<()> {
    let server = start(three_attempts())?;
    live_and_be_destroyed(async || direct(&server, "alice")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_through_the_apps_backend() -> anyhow::Result<()> {
    let server = start(three_attempts())?;
    let backend = backend(&server)?;
    live_and_be_destroyed(async || relayed(&server, &backend, "alice").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_key_changes_the_password_and_deletes_the_record() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let (key, stranger) = (
        BackupKey::generate(&mut OsRng),
        BackupKey::generate(&mut OsRng),
    );
    let mut phone = direct(&server, "alice")?;
    phone.enable(password(PASSWORD)?, &key).await?;

    let by_another_key = phone
        .change_password(password("mine now")?, &stranger)
        .await;
    assert!(
        matches!(by_another_key, Err(Error::NotThisKey)),
        "{by_another_key:?}"
    );
    let deleted_by_another_key = phone.disable(&stranger).await;
    assert!(
        matches!(deleted_by_another_key, Err(Error::NotThisKey)),
        "{deleted_by_another_key:?}"
    );

    let changed = phone
        .change_password(password("a better password")?, &key)
        .await?;
    assert_eq!(changed.registration.generation, 2);
    let former = phone.retrieve(password(PASSWORD)?).await;
    assert!(
        matches!(former, Err(Error::WrongPassword { .. })),
        "{former:?}"
    );
    assert!(
        phone
            .retrieve(password("a better password")?)
            .await?
            .key
            .is_same(&key)
    );

    phone.disable(&key).await?;
    let deleted = phone.status().await?;
    assert_eq!(
        (deleted.state, deleted.reason),
        (AccountState::Destroyed, Some(DestructionReason::Deleted))
    );
    Ok(())
}

/// A device of an app that has moved to another vault: it pins both, and remembers the former one.
fn moved(
    to: &ServerProcess,
    pins: &[Fingerprint],
    memory: &TrustMemory,
    expected: Option<&str>,
) -> anyhow::Result<Client> {
    let mut trust = Trust::new(pins.iter().copied());
    if let Some(name) = expected {
        trust = trust.expecting(VaultId::new(name)?);
    }
    let scope = to.account("alice");
    Ok(VaultClient::new(
        network(to, "alice")?,
        trust.remembering(memory.clone()),
        scope.tenant,
        scope.account,
        Box::new(system_clock),
    ))
}

/// Fails if `RegistrationRef::compare` leaves the vault out: the record at the new one would be taken for the
/// key's, or `expecting` keeps what is remembered of the former one.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_app_has_moved_to_another_vault_is_told_to_register_there()
-> anyhow::Result<()> {
    const NEW: &str = "the-new-vault";
    let former = start(ServerOptions::default())?;
    let new = start(ServerOptions {
        vault_id: NEW,
        ..ServerOptions::default()
    })?;
    let pins = [&former, &new].map(|server| server.fingerprint().parse());
    let pins = pins.into_iter().collect::<Result<Vec<Fingerprint>, _>>()?;
    let key = BackupKey::generate(&mut OsRng);
    let mut device = direct(&former, "alice")?;
    let registered = device.enable(password(PASSWORD)?, &key).await?.registration;
    let memory = device.trust_memory().expect("it has seen a statement");

    // Without the app's word it is a vault that shows another one's statement.
    let refused = moved(&new, &pins, &memory, None)?.check(&registered).await;
    let is_alarm = matches!(
        refused,
        Err(Error::StatementRefused(StatementRefused::OtherVault))
    );
    assert!(is_alarm, "{refused:?}");
    let mut device = moved(&new, &pins, &memory, Some(NEW))?;
    let found = device.check(&registered).await?;
    assert_eq!(found, Protection::NeedsRegistration(Reason::Moved));
    // Also when there is a record of the same generation.
    let registered_anew = device.enable(password(PASSWORD)?, &key).await?.registration;
    let found = device.check(&registered).await?;
    assert_eq!(found, Protection::NeedsRegistration(Reason::Moved));
    assert_eq!(device.check(&registered_anew).await?, Protection::Protected);
    Ok(())
}
