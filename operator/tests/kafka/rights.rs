//! What the operator may do where brokers have ACLs.

use std::collections::BTreeMap;

use fluxo_operator::{
    kafka::{
        Connection, Error, Kafka, Sasl, SaslMechanism, Tls,
        topic::{Step, Wanted, plan},
    },
    lag::Unknown,
};
use fluxo_testkit::{On, Right, TestUser, eventually, secure_topic, secure_user};

use uuid::Uuid;

use crate::PATIENCE;

fn connection(user: &TestUser) -> Connection {
    let login = user.login.clone();
    Connection {
        bootstrap_servers: login.bootstrap_servers,
        tls: Some(Tls { ca: Some(std::fs::read_to_string(login.authority).unwrap()), client: None }),
        sasl: Some(Sasl {
            mechanism: SaslMechanism::ScramSha512,
            username: login.username,
            password: login.password,
        }),
    }
}

fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Refused(why) if why.to_lowercase().contains("authorization"))
}

/// What a right is needed for is refused before, and comes to succeed after it was granted.
async fn needs<T: std::fmt::Debug>(
    user: &TestUser,
    (on, rights): (On<'_>, &[Right]),
    does: impl AsyncFn() -> Result<T, Error>,
) -> T {
    let refused = does().await.unwrap_err();
    assert!(is_refused(&refused), "{refused}");
    user.grant(on, rights).await;
    eventually("what was granted", PATIENCE, async || does().await.ok()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_readme_names_are_enough_to_keep_a_topic_and_each_is_needed() {
    let user = secure_user().await;
    let kafka = Kafka::new(connection(&user), "fluxo-tests").unwrap().with_timeout(PATIENCE);
    let mut wanted = Wanted {
        name: format!("fluxo-test-{}", Uuid::new_v4().simple()),
        partitions: 1,
        replicas: 1,
        config: BTreeMap::from([("retention.ms".into(), "7200000".into())]),
        growth_acknowledged: true,
    };
    let topic = wanted.name.clone();
    let on = On::Topic(&topic);

    // A topic that may not be seen is not taken for one that is not there.
    let found = needs(&user, (on, &[Right::Describe]), async || kafka.topic(&topic).await).await;
    assert_eq!(found, None);
    needs(&user, (on, &[Right::Create]), async || kafka.take(&Step::Create, &wanted).await).await;
    let see = async || kafka.topic(&topic).await;
    // That it is there is known a moment after it was made.
    let is_known = async || see().await.is_err_and(|error| is_refused(&error)).then_some(());
    eventually("the topic", PATIENCE, is_known).await;
    let found = needs(&user, (on, &[Right::DescribeConfigs]), see).await.unwrap();

    wanted.partitions = 2;
    wanted.config.insert("retention.ms".into(), "3600000".into());
    let plan = plan(&wanted, Some(&found));
    let of = |is: fn(&Step) -> bool| plan.steps.iter().find(|step| is(step)).unwrap();
    let grow = of(|step| matches!(step, Step::Grow { to: 2 }));
    needs(&user, (on, &[Right::Alter]), async || kafka.take(grow, &wanted).await).await;
    let configure = of(|step| matches!(step, Step::Configure(_)));
    needs(&user, (on, &[Right::AlterConfigs]), async || kafka.take(configure, &wanted).await).await;
    let delete = async || kafka.delete_topic(&topic, &found.topic_id).await;
    needs(&user, (on, &[Right::Delete]), delete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_readme_names_are_enough_to_read_the_lag_and_each_is_needed() {
    let (user, topic) = (secure_user().await, secure_topic(1).await);
    let group = format!("fluxo.{}", topic.name);
    let kafka = Kafka::new(connection(&user), &group).unwrap().with_timeout(PATIENCE);
    let offsets = async || kafka.offsets(&group, &topic.name).await;
    let until_refused = async |of: &str| {
        let is_refused = |unknown: Unknown| matches!(unknown, Unknown::Refused(why) if why.contains(of));
        let refused = async || offsets().await.is_err_and(is_refused).then_some(());
        eventually(of, PATIENCE, refused).await;
    };
    until_refused("Topic authorization failed").await;
    user.grant(On::Topic(&topic.name), &[Right::Describe]).await;
    until_refused("Group authorization failed").await;
    user.grant(On::Group(&group), &[Right::Describe]).await;
    let read = eventually("what was granted", PATIENCE, async || offsets().await.ok()).await;
    assert_eq!(read.lag(), Ok(0));
    kafka.group(&group).await.unwrap();
}
