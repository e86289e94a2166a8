//! What headers say: one that may be there once, and of a submission its idempotency key and how long to wait for its
//! row.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use fluxo_core::id::IdempotencyKey;

use super::problem::Problem;

/// The value of a header that may be there once, if it is there.
pub(super) fn only<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut all = headers.get_all(name).iter();
    let only = all.next();
    if all.next().is_some() {
        return Err(Problem::Header(name, "is there more than once".into()));
    }
    Ok(only)
}

/// The key of `Idempotency-Key`, if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    const NAME: &str = "Idempotency-Key";
    let Some(only) = only(headers, NAME)? else { return Ok(None) };
    let key = IdempotencyKey::parse(only.to_str().unwrap_or_default());
    key.map(Some).map_err(|invalid| Problem::Header(NAME, invalid.to_string().into()))
}

/// How long `Prefer: wait=<seconds>` asks to wait, at most `longest`. A preference that is not understood is none,
/// as RFC 7240 asks.
pub(super) fn wait(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let seconds = preferences.flat_map(|value| value.split(',')).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse::<u32>().ok()).flatten()
    })?;
    Some(Duration::from_secs(seconds.into()).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_wait_is_bounded_and_found_among_other_preferences() {
        let longest = Duration::from_secs(30);
        for (value, seconds) in [
            ("wait=5", Some(5)),
            ("return=minimal, wait=7", Some(7)),
            ("WAIT = 3", Some(3)),
            ("wait=\"3\"", Some(3)),
            ("wait=3600", Some(30)),
            ("wait=-1", None),
            ("wait", None),
            ("respond-async", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(wait(&headers(&[("prefer", value)]), longest), expected, "{value}");
        }
    }

    #[test]
    fn one_key_is_a_key_and_two_are_none() {
        let one = headers(&[("idempotency-key", "\"pedido-1\"")]);
        assert_eq!(idempotency_key(&one).unwrap(), Some(IdempotencyKey::parse("pedido-1").unwrap()));
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        for bad in [
            headers(&[("idempotency-key", "a"), ("idempotency-key", "b")]),
            headers(&[("idempotency-key", "a b")]),
            headers(&[("idempotency-key", "")]),
        ] {
            assert!(matches!(idempotency_key(&bad), Err(Problem::Header("Idempotency-Key", _))), "{bad:?}");
        }
    }
}
