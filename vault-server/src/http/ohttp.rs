//! The sealed channel (RFC 9458): a sealed request is opened, the inner router answers it, and the
//! answer is sealed. The handlers don't know of it.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use ohttp::ServerResponse;
use tower::ServiceExt;
use vault_protocol::inner_http::{
    InnerRequest, InnerResponse, MAX_SEALED_LEN, decode_request, encode_response,
};
use vault_protocol::ohttp_keys::{REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE};
use vault_protocol::problem::Problem;
use zeroize::Zeroizing;

use super::App;
use super::auth::RelayedAccount;
use super::extract::{collect, require_media_type};
use super::problem::ProblemResponse;

/// Inner headers that would be credentials: the token belongs to the relay, and a device has none.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "vault-account",
];

/// The longest inner answer that is sealed, in bytes; ours are below 2 KiB.
const MAX_ANSWER_LEN: usize = 64 * 1024;

/// Answers a sealed request. Everything that goes wrong before the message is open is an outer problem; afterwards the
/// outer status is 200, and the relay learns nothing (PROTOCOL.md section 5).
pub(super) async fn exchange(
    app: &App,
    inner: Router,
    request: Request,
) -> Result<Response, ProblemResponse> {
    require_media_type(request.headers(), REQUEST_MEDIA_TYPE)?;
    let relayed = request.extensions().get::<RelayedAccount>().cloned();
    let sealed = collect(request.into_body(), MAX_SEALED_LEN, app.body_timeout).await?;
    let _permit = app.permits.try_acquire().map_err(|_| Problem::Overloaded)?;
    let (opened, seal) = open(app, &sealed)?;
    let response = match inner_request(&opened, relayed) {
        Ok(request) => match inner.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(failure) => failure.into_response(),
    };
    answer(seal, response).await
}

fn open(app: &App, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, ServerResponse), ProblemResponse> {
    let publication = app.publication.load();
    let server = publication.server_for(sealed).ok_or(Problem::OhttpKey)?;
    let (opened, seal) = server
        .decapsulate(sealed)
        .map_err(|_| Problem::malformed())?;
    Ok((Zeroizing::new(opened), seal))
}

/// The inner request for the inner router. Inner problems from here on.
fn inner_request(
    opened: &[u8],
    relayed: Option<RelayedAccount>,
) -> Result<Request, ProblemResponse> {
    let inner = decode_request(opened).map_err(|_| Problem::malformed())?;
    refuse_credentials(&inner)?;
    let method = Method::from_bytes(&inner.method).map_err(|_| Problem::malformed())?;
    let mut request = Request::new(Body::from(inner.content));
    *request.method_mut() = method;
    *request.uri_mut() = path(&inner.path)?;
    for (name, value) in &inner.headers {
        if name.eq_ignore_ascii_case(header::CONTENT_TYPE.as_str().as_bytes()) {
            let value = HeaderValue::from_bytes(value).map_err(|_| Problem::malformed())?;
            request.headers_mut().append(header::CONTENT_TYPE, value);
        }
    }
    if let Some(relayed) = relayed {
        request.extensions_mut().insert(relayed);
    }
    Ok(request)
}

fn refuse_credentials(inner: &InnerRequest) -> Result<(), ProblemResponse> {
    let is_credential = |name: &[u8]| {
        CREDENTIALS
            .iter()
            .any(|credential| name.eq_ignore_ascii_case(credential.as_bytes()))
    };
    match inner.headers.iter().any(|(name, _)| is_credential(name)) {
        true => Err(Problem::malformed().into()),
        false => Ok(()),
    }
}

/// A plain path and nothing else: no authority, no query, no fragment, which a parser drops.
fn path(bytes: &[u8]) -> Result<Uri, ProblemResponse> {
    let uri = Uri::try_from(bytes).map_err(|_| Problem::malformed())?;
    if bytes.first() != Some(&b'/') || uri.path().as_bytes() != bytes {
        return Err(Problem::malformed().into());
    }
    Ok(uri)
}

async fn answer(seal: ServerResponse, response: Response) -> Result<Response, ProblemResponse> {
    let (parts, body) = response.into_parts();
    let content = axum::body::to_bytes(body, MAX_ANSWER_LEN)
        .await
        .map_err(|_| {
            tracing::error!("an inner answer could not be read");
            Problem::Unavailable
        })?;
    let kept = |name: &HeaderName| [header::CONTENT_TYPE, header::RETRY_AFTER].contains(name);
    let headers = parts.headers.iter().filter(|(name, _)| kept(name));
    let encoded = encode_response(&InnerResponse {
        status: parts.status.as_u16(),
        headers: headers
            .map(|(n, v)| (n.as_str().into(), v.as_bytes().to_vec()))
            .collect(),
        content: content.to_vec(),
    });
    let sealed = seal.encapsulate(&encoded).map_err(|_| {
        tracing::error!("an inner answer could not be sealed");
        Problem::Unavailable
    })?;
    let media_type = [(header::CONTENT_TYPE, RESPONSE_MEDIA_TYPE)];
    Ok((StatusCode::OK, media_type, sealed).into_response())
}
