//! A user of its own for each test of rights.

use fluxo_kafka::admin::{self, Admin, On, Right};
use rdkafka::client::DefaultClientContext;
use uuid::Uuid;

use crate::{
    Login, secure_kafka,
    topic::{SECURE_ADMIN, TIMEOUT},
};

/// A user of the brokers of [`secure_kafka`] who may do what was granted, and nothing else. What was granted goes with this
/// value unless the test panics. The user stays: where one was made and deleted, Kafka (4.3.1) was seen to have no user at
/// all after its next start.
#[derive(Debug)]
pub struct TestUser {
    /// How it logs in.
    pub login: Login,
}

impl TestUser {
    /// Lets it do this. Brokers know of it a moment later.
    ///
    /// # Panics
    /// When the broker does not.
    pub async fn grant(&self, on: On<'_>, rights: &[Right]) {
        let is_topic = matches!(on, On::Topic(_));
        let (On::Topic(name) | On::Group(name)) = on;
        let (user, name, rights) = (self.login.username.clone(), name.to_owned(), rights.to_vec());
        let granted = ask(move |admin| {
            let on = if is_topic { On::Topic(&name) } else { On::Group(&name) };
            rights.into_iter().try_for_each(|right| admin.grant(&user, on, right))
        });
        granted.await.expect("the broker grants rights");
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        let user = self.login.username.clone();
        let what = format!("the rights of {user} on {}", self.login.bootstrap_servers);
        crate::clean_up(&what, ask(move |admin| admin.take_back(&user)));
    }
}

/// Makes a user who may do nothing.
///
/// # Panics
/// When a variable is missing or the broker does not make it.
pub async fn secure_user() -> TestUser {
    let login = Login {
        username: format!("fluxo-test-{}", Uuid::new_v4().simple()),
        password: Uuid::new_v4().to_string(),
        ..secure_kafka()
    };
    let Login { username, password, .. } = login.clone();
    let made = ask(move |admin| admin.upsert_user(&username, &password)).await;
    made.expect("the broker makes a user");
    TestUser { login }
}

/// Asks the brokers as their administrator, on a thread that may block.
async fn ask(
    question: impl FnOnce(&Admin<'_, DefaultClientContext>) -> Result<(), admin::Error> + Send + 'static,
) -> anyhow::Result<()> {
    let asked = move || question(&Admin::new(SECURE_ADMIN.inner(), TIMEOUT));
    Ok(tokio::task::spawn_blocking(asked).await??)
}
