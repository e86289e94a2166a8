//! Parameters of the path and the query: known ones only, each at most once, and all that is wrong at once.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;

use super::problem::{BadParameter, Problem};

/// The parameters of a request.
pub(super) struct Parameters {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    bad: Vec<BadParameter>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = |part: &'static str| {
            Problem::Parameters(vec![BadParameter {
                parameter: part.into(),
                detail: "cannot be decoded".into(),
            }])
        };
        let path = Path::from_request_parts(parts, state).await.map_err(|_| bad("path"))?;
        let query = Query::from_request_parts(parts, state).await.map_err(|_| bad("query"))?;
        Ok(Self { path: path.0, query: query.0, bad: Vec::new() })
    }
}

impl Parameters {
    /// The parameter of the path with this name.
    pub(super) fn path<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (_, value) = self.path.iter().find(|(other, _)| other == name)?;
        let parsed = parse(value);
        self.keep(name, parsed)
    }

    /// The parameter of the query with this name, if it is there.
    pub(super) fn query<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let place = self.query.iter().position(|(other, _)| other == name)?;
        let (_, value) = self.query.swap_remove(place);
        let parsed = parse(&value);
        self.keep(name, parsed)
    }

    /// The parameter of the query with this name, which must be there.
    pub(super) fn required<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.query.iter().any(|(other, _)| other == name) {
            return self.query(name, parse);
        }
        self.refuse(name.into(), "is missing".into());
        None
    }

    /// The values that were taken, if all were good and nothing else is there.
    pub(super) fn end<T>(mut self, values: Option<T>) -> Result<T, Problem> {
        for (name, _) in std::mem::take(&mut self.query) {
            let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.refuse(name.into(), "is not a parameter of this call, or is there more than once".into());
        }
        values.filter(|_| self.bad.is_empty()).ok_or(Problem::Parameters(self.bad))
    }

    fn keep<T, E: ToString>(&mut self, name: &'static str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.refuse(name.into(), error.to_string().into())).ok()
    }

    fn refuse(&mut self, parameter: Cow<'static, str>, detail: Cow<'static, str>) {
        self.bad.push(BadParameter { parameter, detail });
    }
}
