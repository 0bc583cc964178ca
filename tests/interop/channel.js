// The sealed channel (PROTOCOL.md section 5): the signed statement, the choice of a key, and
// Oblivious HTTP (RFC 9458) over binary HTTP (RFC 9292) with the HPKE (RFC 9180) of @hpke/core.

import { createPublicKey, hkdfSync, verify } from "node:crypto";

import { Aes128Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { DhkemX25519HkdfSha256 } from "@hpke/dhkem-x25519";
import { XWing } from "@hpke/hybridkem-x-wing";
import { BHttpDecoder, BHttpEncoder } from "bhttp-js";

import { fingerprint, fromBase64url, labelled } from "./encoding.js";

const KEMS = {
  "x-wing": { id: 0x647a, publicKeyLength: 1216, make: () => new XWing() },
  x25519: { id: 0x0020, publicKeyLength: 32, make: () => new DhkemX25519HkdfSha256() },
};
const HKDF_SHA256 = 0x0001;
const AES_128_GCM = 0x0001;
/** max(Nn, Nk) of AES-128-GCM, RFC 9458, section 4.4. */
const NONCE_LENGTH = 16;
const PADDED_LENGTH = 2048;

/** Fetches the statement and believes it only from the pinned vault. */
export async function fetchStatement(base, pinned) {
  const answer = await (await fetch(`${base}/v1/vault`)).json();
  const identityKey = fromBase64url(answer.identity_key);
  if (fingerprint(identityKey) !== pinned) throw new Error("this is not the pinned vault");
  const key = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: answer.identity_key },
    format: "jwk",
  });
  const signed = labelled("backup-key-vault/v1 statement", answer.statement);
  if (!verify(null, signed, key, fromBase64url(answer.signature))) {
    throw new Error("the statement's signature does not verify");
  }
  const statement = JSON.parse(answer.statement);
  if (statement.protocol !== 1) throw new Error("another protocol version");
  if (Date.parse(statement.expires_at) <= Date.now()) throw new Error("an expired statement");
  return statement;
}

/** The entries of application/ohttp-keys (RFC 9458, section 3), of which one is picked by KEM. */
export function pickKey(list, kemName) {
  const kem = KEMS[kemName];
  for (let at = 0; at < list.length; ) {
    const view = Buffer.from(list.buffer, list.byteOffset + at, list.length - at);
    const entry = view.subarray(2, 2 + view.readUInt16BE(0));
    at += 2 + entry.length;
    if (entry.readUInt16BE(1) !== kem.id) continue;
    const suites = entry.subarray(3 + kem.publicKeyLength + 2);
    for (let s = 0; s < suites.length; s += 4) {
      if (suites.readUInt16BE(s) === HKDF_SHA256 && suites.readUInt16BE(s + 2) === AES_128_GCM) {
        const publicKey = new Uint8Array(entry.subarray(3, 3 + kem.publicKeyLength));
        return { kem, id: entry[0], publicKey };
      }
    }
  }
  throw new Error(`the vault offers no key for ${kemName}`);
}

/** A sealed channel to one account; `send` is one inner request. */
export class Channel {
  constructor(options, statement) {
    this.options = options;
    this.key = pickKey(fromBase64url(statement.ohttp_keys), options.kem);
    this.path = `/v1/tenants/${options.tenant}/accounts/${options.account}`;
  }

  /** The inner status and JSON; an answer that was not sealed by the vault is an error. */
  async send(method, endpoint, body) {
    const sealed = await sealRequest(this.key, await encode(method, this.path + endpoint, body));
    const outer = await fetch(`${this.options.base}/v1/ohttp`, {
      method: "POST",
      headers: { "content-type": "message/ohttp-req", ...this.options.headers },
      body: sealed.message,
    });
    const type = outer.headers.get("content-type");
    if (outer.status !== 200 || type !== "message/ohttp-res") {
      throw new Error(`outer status ${outer.status}: ${await outer.text()}`);
    }
    const opened = await sealed.openAnswer(new Uint8Array(await outer.arrayBuffer()));
    if (opened.byteLength % PADDED_LENGTH !== 0) throw new Error("the answer is not padded");
    const inner = new BHttpDecoder().decodeResponse(opened);
    return { status: inner.status, body: await inner.json() };
  }
}

/** Binary HTTP, padded with zeros to the next multiple of 2048 bytes. */
async function encode(method, path, body) {
  const init = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  const encoded = await new BHttpEncoder().encodeRequest(new Request(`https://vault${path}`, init));
  const padded = new Uint8Array(Math.ceil(encoded.length / PADDED_LENGTH) * PADDED_LENGTH);
  padded.set(encoded);
  return padded;
}

/** RFC 9458, sections 4.3 and 4.4. */
async function sealRequest(key, plaintext) {
  const suite = new CipherSuite({
    kem: key.kem.make(),
    kdf: new HkdfSha256(),
    aead: new Aes128Gcm(),
  });
  const header = Buffer.alloc(7);
  header.writeUInt8(key.id, 0);
  header.writeUInt16BE(key.kem.id, 1);
  header.writeUInt16BE(HKDF_SHA256, 3);
  header.writeUInt16BE(AES_128_GCM, 5);
  const info = Buffer.concat([Buffer.from("message/bhttp request\0"), header]);
  const recipientPublicKey = await suite.kem.deserializePublicKey(key.publicKey);
  const sender = await suite.createSenderContext({ recipientPublicKey, info });
  const enc = new Uint8Array(sender.enc);
  const message = Buffer.concat([header, enc, new Uint8Array(await sender.seal(plaintext))]);
  const label = new TextEncoder().encode("message/bhttp response");
  const secret = await sender.export(label, NONCE_LENGTH);
  return { message, openAnswer: (answer) => openAnswer(new Uint8Array(secret), enc, answer) };
}

async function openAnswer(secret, enc, answer) {
  const salt = Buffer.concat([enc, answer.subarray(0, NONCE_LENGTH)]);
  const derive = (info, length) => new Uint8Array(hkdfSync("sha256", secret, salt, info, length));
  const key = await crypto.subtle.importKey("raw", derive("key", 16), "AES-GCM", false, ["decrypt"]);
  const options = { name: "AES-GCM", iv: derive("nonce", 12) };
  return new Uint8Array(await crypto.subtle.decrypt(options, key, answer.subarray(NONCE_LENGTH)));
}
