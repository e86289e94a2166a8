//! Stands between an operator and the API server: sees each request, and may answer in the server's place.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower::BoxError;

/// What is done about each request. Clones are the same.
#[derive(Clone)]
pub(crate) struct Middle(Arc<Mutex<Shared>>);

struct Shared {
    rule: Rule,
    seen: Vec<Asked>,
}

type Rule = Arc<dyn Fn(&Asked) -> Fate + Send + Sync>;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    query: String,
    pub(crate) body: String,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The API server answers it.
    Passes,
    /// It never comes to the API server, and this is its answer: a code, and the reason as Kubernetes calls it.
    Answered(u16, &'static str),
    /// It never comes to the API server, which says that what is watched from has long passed.
    Expired,
    /// The API server does what it asks, and nobody hears of it.
    Unheard,
    /// Nothing becomes of it, ever.
    Lost,
}

impl Asked {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }

    /// Whether it is one of a pass that changes something.
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET && !self.is_of("leases") && !self.is_of("events")
    }

    pub(crate) fn is_apply(&self) -> bool {
        self.query.contains("force=true")
    }

    pub(crate) fn is_of(&self, kind: &str) -> bool {
        self.path.split('/').any(|part| part == kind)
    }
}

impl Middle {
    /// One that lets all pass.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Shared { rule: Arc::new(|_| Fate::Passes), seen: vec![] })))
    }

    /// From now on this is done.
    pub(crate) fn rule(&self, rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static) {
        self.0.lock().unwrap().rule = Arc::new(rule);
    }

    /// All that was asked, in order.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.0.lock().unwrap().seen.clone()
    }

    /// What was written, leases and events aside.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        self.seen().into_iter().filter(Asked::is_write).collect()
    }

    /// The client with this before it.
    pub(crate) fn before(&self, client: Client) -> Client {
        let (middle, namespace) = (self.clone(), client.default_namespace().to_owned());
        let send = move |request| {
            let (middle, client) = (middle.clone(), client.clone());
            async move { middle.send(&client, request).await }
        };
        Client::new(tower::service_fn(send), namespace)
    }

    async fn send(&self, client: &Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?.to_vec();
        let asked = Asked {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let fate = {
            let mut shared = self.0.lock().unwrap();
            shared.seen.push(asked.clone());
            (Arc::clone(&shared.rule))(&asked)
        };
        let request = Request::from_parts(parts, Body::from(body));
        match fate {
            Fate::Passes => Ok(client.send(request).await?),
            Fate::Answered(code, reason) => Ok(answer(code, &status(code, reason))),
            Fate::Expired => Ok(answer(200, &json!({"type": "ERROR", "object": status(410, "Expired")}))),
            Fate::Unheard => {
                client.send(request).await?;
                std::future::pending().await
            }
            Fate::Lost => std::future::pending().await,
        }
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the test says {reason}"), "reason": reason, "code": code,
    })
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    let answer = Response::builder().status(code).header("content-type", "application/json");
    answer.body(Body::from(format!("{body}\n").into_bytes())).unwrap()
}
