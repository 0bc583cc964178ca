//! Recordings of an attacker on the network: registrations, sealed under keys that the vault replaces.

use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use rand::RngCore;
use rand::rngs::OsRng;

pub(super) struct Traffic {
    nonce: [u8; 12],
    sealed: Vec<u8>,
}

impl Traffic {
    pub(super) fn seal(key: &[u8], record: &[u8]) -> Traffic {
        let mut nonce = [0; 12];
        OsRng.fill_bytes(&mut nonce);
        let sealed = cipher(key).encrypt(&Nonce::from(nonce), record).unwrap();
        Traffic { nonce, sealed }
    }

    pub(super) fn open(&self, key: &[u8]) -> Option<Vec<u8>> {
        let opened = cipher(key).decrypt(&Nonce::from(self.nonce), self.sealed.as_slice());
        opened.ok()
    }
}

fn cipher(key: &[u8]) -> Aes256Gcm {
    Aes256Gcm::new_from_slice(key).unwrap()
}
