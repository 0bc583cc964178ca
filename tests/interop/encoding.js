// Encodings and derivations of PROTOCOL.md, sections 2, 3 and 5, on what Node has built in.

import { createHash, hkdfSync } from "node:crypto";

export const fromBase64url = (text) => new Uint8Array(Buffer.from(text, "base64url"));
export const toBase64url = (bytes) => Buffer.from(bytes).toString("base64url");

/** Section 2: the label without a length, then every field as u16 length and bytes. */
export function labelled(label, ...fields) {
  const parts = [Buffer.from(label, "ascii")];
  for (const field of fields) {
    const bytes = fieldBytes(field);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}

/** An integer is a field of 8 big-endian bytes; text is its UTF-8. */
function fieldBytes(field) {
  if (typeof field === "number") {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(field));
    return bytes;
  }
  return typeof field === "string" ? Buffer.from(field, "utf8") : Buffer.from(field);
}

/** Section 2: HKDF-SHA-512, empty salt, the label as info, 32 bytes. */
export function deriveKey(secret, label) {
  return new Uint8Array(hkdfSync("sha512", secret, new Uint8Array(), label, 32));
}

/** Section 2: AES-256-GCM, 12 random bytes before ciphertext and tag. */
export async function seal(key, data, plaintext) {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const options = { name: "AES-GCM", iv, additionalData: data };
  const sealed = await crypto.subtle.encrypt(options, await aesKey(key, "encrypt"), plaintext);
  return Buffer.concat([iv, new Uint8Array(sealed)]);
}

export async function open(key, data, sealed) {
  const options = { name: "AES-GCM", iv: sealed.subarray(0, 12), additionalData: data };
  const cryptoKey = await aesKey(key, "decrypt");
  return new Uint8Array(await crypto.subtle.decrypt(options, cryptoKey, sealed.subarray(12)));
}

function aesKey(key, usage) {
  return crypto.subtle.importKey("raw", key, "AES-GCM", false, [usage]);
}

/** Section 3: what every device makes of a typed password. */
export function preparePassword(typed) {
  if (!typed.isWellFormed() || /\p{Cc}/u.test(typed)) {
    throw new Error("the password has a character that is not allowed");
  }
  const prepared = typed.replace(/\p{Zs}/gu, " ").normalize("NFC");
  const length = [...prepared].length;
  if (length < 1 || length > 256) throw new Error("the password is empty or too long");
  return prepared;
}

/** Section 5: 12 groups of 5 digits. */
export function fingerprint(identityKey) {
  const hash = createHash("sha512").update(labelled("backup-key-vault/v1 identity", identityKey));
  const bytes = hash.digest();
  const groups = Array.from({ length: 12 }, (_, i) => bytes.readUIntBE(5 * i, 5) % 100000);
  return groups.map((group) => String(group).padStart(5, "0")).join(" ");
}
