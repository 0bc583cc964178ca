//! A key's life through the client library: straight to the vault, and through the app's backend.

use rand::rngs::OsRng;
use vault_client::BackupKey;
use vault_client::error::Error;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_tests::process_server::ServerOptions;

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
        (registered.enrolled.generation, registered.policy.limit()),
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
    assert_eq!(changed.enrolled.generation, 2);
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
