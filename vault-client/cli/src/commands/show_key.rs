//! `show-key`: the 64 digits.

use anyhow::Context as _;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use vault_client::BackupKey;
use zeroize::Zeroizing;

use crate::arguments::ShowKey;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{Outcome, show_digits};

pub(crate) fn run(context: &Context, options: &ShowKey) -> Result<Outcome, CliError> {
    let key = context.used_key()?;
    let (mut text, digits) = show_digits(&key);
    if options.qr {
        let drawn = qr_code(&key)?;
        let mut both = Zeroizing::new(String::with_capacity(text.len() + 2 + drawn.len()));
        // Room for all of it: growing would leave a copy of the digits behind.
        for part in [text.as_str(), "\n\n", drawn.as_str()] {
            both.push_str(part);
        }
        text = both;
    }
    context
        .screen
        .note("These digits open your backups: keep them where only you look.");
    let json = json!({"key_id": key.key_id().to_string(), "digits": digits});
    Ok(Outcome { text, json })
}

/// The digits without spaces and in lower case, as `age` wants its passphrase.
fn qr_code(key: &BackupKey) -> Result<Zeroizing<String>, CliError> {
    let code = QrCode::new(key.digits().as_bytes()).context("cannot draw the QR code")?;
    // Inverted: terminals are dark more often than not, and readers want dark on light.
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Ok(Zeroizing::new(drawn))
}
