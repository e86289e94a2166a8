//! What comes of a decision, with an API server that is simulated.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use futures::channel::mpsc;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use prometheus_client::registry::Registry;
use tower::BoxError;

use super::*;
use crate::{
    crd,
    kafka::Connection,
    scaling::{Mode, Policy, tests::POLICY},
};

const REFUSAL: &str = "deployments.apps \"payments-listener\" is forbidden";

/// Two listeners are wanted, and there is one.
fn target() -> Target {
    Target {
        connection: Connection::plaintext("localhost:1"),
        group: "fluxo.bank.payments".into(),
        topic: "transactions".into(),
        policy: Policy { mode: Mode::Fixed(2), declared: 2, ..POLICY },
        deployment: "payments-listener".into(),
        writes: true,
    }
}

/// An API server: what it answers to each request, and how many there were.
struct Server {
    code: AtomicU16,
    asked: AtomicUsize,
}

impl Server {
    fn client(self: &Arc<Self>) -> Client {
        let this = Arc::clone(self);
        let answer = move |_: Request<Body>| std::future::ready(this.answer());
        Client::new(tower::service_fn(answer), "bank")
    }

    fn answer(&self) -> Result<Response<Body>, BoxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let code = StatusCode::from_u16(self.code.load(Ordering::SeqCst))?;
        let body = if code.is_success() {
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {"replicas": 2}})
        } else {
            json!({
                "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                "message": REFUSAL, "reason": "Forbidden", "code": code.as_u16(),
            })
        };
        let answer = Response::builder().status(code).header("content-type", "application/json");
        Ok(answer.body(Body::from(body.to_string().into_bytes()))?)
    }
}

/// The loop, with a pipeline on its board whose turn it is.
struct Scene {
    autoscaler: Autoscaler,
    identity: Identity,
    target: Arc<Target>,
    watched: Arc<tokio::sync::Mutex<Watched>>,
    second: u64,
}

impl Scene {
    fn new(client: Client) -> Self {
        let board = Board::new(mpsc::unbounded().0);
        let identity = Identity { namespace: "bank".into(), name: "payments".into(), uid: "uid".into() };
        board.put(identity, target(), &[]);
        let (identity, target, watched) = board.due(Instant::now()).pop().unwrap();
        let autoscaler = Autoscaler {
            client,
            deployments: Seen(vec![]),
            board,
            clusters: Clusters::default(),
            metrics: Metrics::register(&mut Registry::default()),
            interval: Duration::from_secs(1),
            questions: 1,
        };
        Self { autoscaler, identity, target, watched, second: 0 }
    }

    /// One turn, in which there are so many listeners. What is then told.
    async fn turn(&mut self, wanted: u32) -> Report {
        self.second += 1;
        let replicas = Replicas { wanted, ready: wanted };
        let observation = Observation::unknown(Duration::from_secs(self.second), replicas);
        let mut watched = self.watched.lock().await;
        self.autoscaler.act(&self.identity, &self.target, &observation, &mut watched).await;
        self.autoscaler.board.report(&self.identity).unwrap()
    }
}

#[tokio::test]
async fn a_number_that_the_api_server_refuses_is_told_as_refused_until_it_is_written() {
    let server = Arc::new(Server { code: AtomicU16::new(403), asked: AtomicUsize::new(0) });
    let mut scene = Scene::new(server.client());
    let report = scene.turn(1).await;
    assert_eq!((report.reason, report.is_well), (crd::Reason::ApiServerError, false));
    let begins =
        "the change from 1 to 2 listeners could not be written, and is tried again: the API server answers: ";
    assert!(report.message.starts_with(&format!("{begins}{REFUSAL}")), "{}", report.message);
    assert!(report.message.contains("deployments/scale"), "{}", report.message);
    assert_eq!(report.decisions, []);

    scene.turn(1).await;
    assert_eq!(server.asked.load(Ordering::SeqCst), 2, "it is tried again at each turn");

    server.code.store(200, Ordering::SeqCst);
    let report = scene.turn(1).await;
    assert_eq!((report.reason, report.is_well), (crd::Reason::Fixed, true));
    let steps: Vec<_> = report.decisions.iter().map(|decision| (decision.from, decision.to)).collect();
    assert_eq!(steps, [(1, 2)]);
}

#[tokio::test]
async fn a_refusal_is_no_longer_told_when_nothing_is_to_be_written_any_more() {
    let server = Arc::new(Server { code: AtomicU16::new(403), asked: AtomicUsize::new(0) });
    let mut scene = Scene::new(server.client());
    assert!(!scene.turn(1).await.is_well);
    let report = scene.turn(2).await;
    assert_eq!((report.reason, report.is_well), (crd::Reason::Fixed, true));
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_declared_number_of_which_not_all_run_is_told_as_not_well() {
    let server = Arc::new(Server { code: AtomicU16::new(200), asked: AtomicUsize::new(0) });
    let mut scene = Scene::new(server.client());
    Arc::make_mut(&mut scene.target).policy.declared = 3;
    for wanted in [1, 2] {
        let report = scene.turn(wanted).await;
        assert_eq!((report.reason, report.is_well, report.replicas), (crd::Reason::AtMaximum, false, 2));
        assert!(report.message.contains("3 are declared, and only 2 run"), "{}", report.message);
    }
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_is_told_as_such() {
    let gone = |_: Request<Body>| std::future::ready(Err::<Response<Body>, BoxError>("gone".into()));
    let report = Scene::new(Client::new(tower::service_fn(gone), "bank")).turn(1).await;
    assert_eq!((report.reason, report.is_well), (crd::Reason::ApiServerError, false));
    assert!(report.message.contains("the API server cannot be asked: "), "{}", report.message);
}
