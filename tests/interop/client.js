// A stock JavaScript client of the vault: registers and retrieves a backup key through the sealed
// channel, with packages from npm alone. One job as JSON on standard input, its result as JSON on
// standard output:
//
//   {"job": "register" | "retrieve", "base", "tenant", "account", "headers", "fingerprint",
//    "kem": "x-wing" | "x25519", "password", "key": <64 digits, to register>}

import { createPrivateKey, createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";

import * as opaque from "@serenity-kit/opaque";

import { Channel, fetchStatement } from "./channel.js";
import { deriveKey, fromBase64url, labelled, open, preparePassword, seal, toBase64url } from "./encoding.js";

/** Profile 1 (section 3), by the library's name for it and by its numbers. */
const BY_NAME = "memory-constrained";
const BY_NUMBERS = { "argon2id-custom": { memory: 65536, iterations: 3, parallelism: 4 } };
const PROFILE = 1;

const WRAP = "backup-key-vault/v1 wrap";
const RELEASE = "backup-key-vault/v1 release";
const MANAGE = "backup-key-vault/v1 manage";

async function register(session, password, key) {
  const started = opaque.client.startRegistration({ password });
  const start = await session.ask("POST", "/registration/start", {
    registration_request: started.registrationRequest,
  });
  const finished = opaque.client.finishRegistration({
    password,
    registrationResponse: start.registration_response,
    clientRegistrationState: started.clientRegistrationState,
    identifiers: session.identifiers,
    keyStretching: BY_NAME,
  });
  session.checkServerKey(finished.serverStaticPublicKey);
  const wrappingKey = deriveKey(fromBase64url(finished.exportKey), WRAP);
  const finish = await session.ask("POST", "/registration/finish", {
    registration_ticket: start.registration_ticket,
    registration_record: finished.registrationRecord,
    wrapped_key: toBase64url(await seal(wrappingKey, labelled(WRAP, ...session.scope), key)),
    stretching_profile: PROFILE,
    management_key: managementKey(key),
  });
  return { generation: finish.generation };
}

async function retrieve(session, password) {
  const status = await session.ask("GET", "");
  if (status.stretching_profile !== PROFILE) throw new Error("another stretching profile");
  const started = opaque.client.startLogin({ password });
  const start = await session.ask("POST", "/retrieval/start", {
    credential_request: started.startLoginRequest,
  });
  const login = opaque.client.finishLogin({
    password,
    clientLoginState: started.clientLoginState,
    loginResponse: start.credential_response,
    identifiers: session.identifiers,
    keyStretching: BY_NUMBERS,
  });
  const retrieval_ticket = start.retrieval_ticket;
  if (login === undefined) {
    const abandoned = await session.ask("POST", "/retrieval/abandon", { retrieval_ticket });
    return { wrong_password: true, attempts_remaining: abandoned.attempts_remaining };
  }
  session.checkServerKey(login.serverStaticPublicKey);
  const finish = await session.ask("POST", "/retrieval/finish", {
    retrieval_ticket,
    credential_finalization: login.finishLoginRequest,
  });
  const releaseKey = deriveKey(fromBase64url(login.sessionKey), RELEASE);
  const released = labelled(RELEASE, ...session.scope, finish.generation);
  const wrapped = await open(releaseKey, released, fromBase64url(finish.released_key));
  const wrappingKey = deriveKey(fromBase64url(login.exportKey), WRAP);
  const key = await open(wrappingKey, labelled(WRAP, ...session.scope), wrapped);
  return { key: Buffer.from(key).toString("hex"), generation: finish.generation };
}

/** Section 6: the Ed25519 public key with the seed HKDF(K, label manage). */
function managementKey(key) {
  // RFC 8410, section 7: what precedes the 32 bytes of a private key in PKCS #8.
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const der = Buffer.concat([prefix, deriveKey(key, MANAGE)]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return createPublicKey(privateKey).export({ format: "jwk" }).x;
}

/** What belongs to one account of one verified vault. */
class Session {
  constructor(job, statement) {
    this.channel = new Channel(job, statement);
    this.serverKey = statement.opaque_server_public_key;
    this.scope = [statement.vault_id, job.tenant, job.account];
    this.identifiers = {
      client: `${job.tenant}/${job.account}`,
      server: `backup-key-vault/v1/${statement.vault_id}`,
    };
  }

  async ask(method, endpoint, body) {
    const answer = await this.channel.send(method, endpoint, body);
    if (answer.status >= 300) throw new Error(`${endpoint}: ${JSON.stringify(answer)}`);
    return answer.body;
  }

  checkServerKey(key) {
    if (key !== this.serverKey) throw new Error("another OPAQUE key than the statement's");
  }
}

const job = JSON.parse(await text(process.stdin));
await opaque.ready;
const session = new Session(job, await fetchStatement(job.base, job.fingerprint));
const password = preparePassword(job.password);
const result =
  job.job === "register"
    ? await register(session, password, Buffer.from(job.key, "hex"))
    : await retrieve(session, password);
process.stdout.write(`${JSON.stringify(result)}\n`);
