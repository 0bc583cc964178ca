//! Canaries through everything that a vault can be asked, at its most talkative log level, and then
//! a search for them in everything that it leaves: log, error bodies, files, memory.

mod credential;
mod flows;
mod malformed;
mod observed;

use vault_tests::memory;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::gate::{AttackReport, Control, Gate, GateContext, OnlyInCopy};
use crate::patch::Patch;
use crate::shared_patches::DUMPABLE;

use self::flows::NOT_WRAPPED;
use self::observed::Observed;

/// The gate.
pub const GATE: Gate = Gate {
    name: "secrets",
    property: "canaries through every flow: no hit in logs at trace, error bodies, panic text or \
               the data folder; password, K and export key never appear in the server's memory \
               image, and no ended login's session key or destroyed record's credential \
               identifier or OPRF key stays in it",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Switch(SENT_IN_CLEAR),
        Control::Switch(NOT_WRAPPED),
        Control::Patch(&THE_PATH_IS_LOGGED),
        Control::Patch(&A_PROOF_IS_LOGGED),
        Control::Patch(&A_PROBLEM_ECHOES),
        Control::Patch(&ACCOUNTS_IN_CLEAR),
        Control::Patch(&A_COPY_STAYS),
        Control::Patch(&THE_IDENTIFIER_STAYS),
    ],
};

/// A broken device: it posts its password, over and over, and nothing is sealed.
const SENT_IN_CLEAR: &str = "a device sends its password instead of a sealed message";

/// The classical one: a path names a person.
pub const THE_PATH_IS_LOGGED: Patch = Patch {
    name: "a log line has the request's path",
    file: "vault-server/src/http/request_log.rs",
    text: "let route = route.map_or(\"none\", MatchedPath::as_str).to_owned();",
    instead: "let route = route.map_or(\"none\", MatchedPath::as_str);\n    \
              let route = if FAULT { request.uri().path() } else { route }.to_owned();",
};

/// Left over from a search for a bug.
pub const A_PROOF_IS_LOGGED: Patch = Patch {
    name: "KE3 is traced",
    file: "vault-server/src/service/opaque.rs",
    text: "let state = ServerLogin::<Suite>::deserialize(&login_state.0).ok()?;",
    instead: "if FAULT { tracing::trace!(bytes = ?finalization.0, \"verifying\"); }\n    \
              let state = ServerLogin::<Suite>::deserialize(&login_state.0).ok()?;",
};

/// So helpful.
pub const A_PROBLEM_ECHOES: Patch = Patch {
    name: "a problem names the unknown field",
    file: "vault-server/src/http/extract.rs",
    text: "    FIELDS.iter().find(named).map(|field| (*field).to_owned())\n",
    instead: "    if FAULT { return Some(inner); }\n    \
              FIELDS.iter().find(named).map(|field| (*field).to_owned())\n",
};

/// A database that names people.
pub const ACCOUNTS_IN_CLEAR: Patch = Patch {
    name: "the database knows accounts by their names",
    file: "vault-server/src/keyring/mod.rs",
    text: "        mac.finalize().into_bytes().into()\n",
    instead: "        if FAULT {\n            let mut name = [0; 32];\n            \
              name.iter_mut().zip(account.as_str().bytes()).for_each(|(to, from)| *to = from);\n            \
              return name;\n        }\n        mac.finalize().into_bytes().into()\n",
};

/// What is left on the stack, with which this gate was failed once, is there in some builds only. This
/// is in all of them.
pub const A_COPY_STAYS: Patch = Patch {
    name: "a copy of a login's secrets is never erased",
    file: "vault-server/src/service/opaque.rs",
    text: "    secret.zeroize();\n",
    instead: "    if FAULT { std::mem::forget(std::hint::black_box(taken.to_vec())); }\n    secret.zeroize();\n",
};

/// With it a destroyed record could be attempted again.
pub const THE_IDENTIFIER_STAYS: Patch = Patch {
    name: "a copy of a credential identifier is never erased",
    file: "vault-server/src/service/opaque.rs",
    text: "let identifier = started.credential_identifier().expose_secret();\n",
    instead: "let identifier = started.credential_identifier().expose_secret();\n    \
              if FAULT { std::mem::forget(std::hint::black_box(identifier.to_vec())); }\n",
};

/// Every line is asked for. Lines of libraries below a warning never come.
const LOG_FILTER: &str = "trace";

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let rounds = context.scaled(1, 3, 30);
    let options = ServerOptions {
        log_filter: LOG_FILTER,
        ..ServerOptions::default()
    };
    let mut server = context.start(options.without_waits(10))?;
    let mut observed = Observed::of(&server)?;
    let mut requests = 0;
    for round in 0..rounds {
        requests += flows::run(&server, &mut observed, round, &context).await?;
        requests += malformed::run(&server, &mut observed).await?;
    }
    if context.is_switched(SENT_IN_CLEAR) {
        malformed::send_in_clear(&server, flows::PASSWORD).await?;
    }
    let looked_at = in_memory(&server, &observed);
    observed.search_files(&server, "of the running vault")?;
    server.terminate()?;
    observed.search_files(&server, "of the stopped vault")?;
    observed.search_answers()?;
    observed.search_log(&server.log())?;
    let megabytes = looked_at? / 1_000_000;
    let what = format!(
        "requests with canaries, then {} patterns looked for in log, error bodies, files and \
         {megabytes} MB of memory",
        observed.patterns()
    );
    Ok(AttackReport::new(requests, what))
}

/// The server's memory while it runs and nothing is in flight.
fn in_memory(server: &ServerProcess, observed: &Observed) -> anyhow::Result<usize> {
    let image = match memory::image(server.running()) {
        Err(error) if memory::is_not_allowed(&error) => {
            let why = "only root may read the memory of a process that is not dumpable";
            let with = &DUMPABLE;
            return Err(OnlyInCopy { why, with }.into());
        }
        image => image?,
    };
    observed.search_memory(&image)?;
    Ok(image.iter().map(|part| part.bytes.len()).sum())
}
