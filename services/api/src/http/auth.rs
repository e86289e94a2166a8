//! Who calls: extractors that a call names as its first argument. What they refuse, the call never sees.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use fluxo_core::Client;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::keyed::DefaultKeyedStateStore,
};

use super::{App, problem::Problem};
use crate::{
    keys::{self, Denied, KeyHash, Scope},
    metrics::Refused,
};

/// A client that may send transactions.
pub(super) struct Writer(pub(super) Client);

/// A client that may read transactions, by the hash of its key.
pub(super) struct Reader(Option<KeyHash>);

impl Reader {
    /// Whether it still may, though its key was good when the call began.
    pub(super) fn is_still_admitted(&self, app: &App) -> bool {
        app.keys.client(self.0, Scope::Read).is_ok()
    }
}

/// The rate of each client's requests.
pub(crate) struct RateLimit(RateLimiter<Client, DefaultKeyedStateStore<Client>, DefaultClock>);

impl RateLimit {
    /// So many requests a second of each client; none when there is no limit.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        NonZeroU32::new(per_second).map(|rate| Self(RateLimiter::keyed(Quota::per_second(rate))))
    }

    fn check(&self, client: &Client) -> Result<(), Problem> {
        self.0
            .check_key(client)
            .map_err(|early| Problem::RateLimited(early.wait_time_from(DefaultClock::default().now())))
    }
}

impl FromRequestParts<Arc<App>> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        admit(app, &parts.headers, Scope::Write).map(|(client, _)| Self(client))
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        admit(app, &parts.headers, Scope::Read).map(|(_, hash)| Self(hash))
    }
}

fn admit(app: &App, headers: &HeaderMap, scope: Scope) -> Result<(Client, Option<KeyHash>), Problem> {
    let hash = bearer(headers).map(keys::hash);
    let client = app.keys.client(hash, scope).map_err(|denied| match denied {
        Denied::Unknown => {
            app.metrics.refused(Refused::Unauthenticated);
            Problem::Unauthenticated
        }
        Denied::Lacks(scope) => {
            app.metrics.refused(Refused::Forbidden);
            Problem::Forbidden(scope)
        }
    })?;
    if let Some(rate) = &app.rate {
        rate.check(&client).inspect_err(|_| app.metrics.refused(Refused::RateLimited))?;
    }
    Ok((client, hash))
}

/// The key of `Authorization: Bearer <key>`; the name of the scheme in any case.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, key) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
}
