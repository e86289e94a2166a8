//! The plan, which is pure. That Kafka does what it says is tested on a real one.

use super::*;

fn wanted(partitions: u32, config: &[(&str, &str)]) -> Wanted {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Wanted { name: "transactions".into(), partitions, replicas: 3, config, growth_acknowledged: false }
}

fn found(partitions: i32, config: &[(&str, &str, bool)]) -> Found {
    let value = |(key, value, is_own): &(&str, &str, bool)| {
        ((*key).to_owned(), FoundValue { value: (*value).to_owned(), is_own: *is_own })
    };
    Found {
        topic_id: "id".into(),
        replicas: (0..partitions).map(|partition| (partition, 3)).collect(),
        config: config.iter().map(value).collect(),
    }
}

#[test]
fn a_topic_that_is_not_there_is_made() {
    assert_eq!(plan(&wanted(12, &[]), None).steps, [Step::Create]);
}

#[test]
fn a_topic_that_is_as_wanted_is_left_alone() {
    let config = [("retention.ms", "7200000", true), ("segment.ms", "1", true)];
    assert_eq!(plan(&wanted(12, &[("retention.ms", "7200000")]), Some(&found(12, &config))), Plan::default());
}

#[test]
fn a_topic_that_shrinks_is_refused() {
    let plan = plan(&wanted(6, &[]), Some(&found(12, &[])));
    assert_eq!(plan.steps, []);
    assert_eq!(plan.refusals, [Refusal::Shrink { from: 12, to: 6 }]);
    assert_eq!(plan.refusals[0].reason(), "NotSupported");
    assert!(plan.refusals[0].to_string().starts_with("Decreasing partitions not supported"));
}

#[test]
fn a_topic_grows_only_when_that_is_acknowledged() {
    let mut wanted = wanted(12, &[]);
    let refused = plan(&wanted, Some(&found(6, &[])));
    assert_eq!((refused.steps, refused.refusals), (vec![], vec![Refusal::Growth { from: 6, to: 12 }]));
    wanted.growth_acknowledged = true;
    let planned = plan(&wanted, Some(&found(6, &[])));
    assert_eq!((planned.steps, planned.refusals), (vec![Step::Grow { to: 12 }], vec![]));
}

#[test]
fn another_number_of_replicas_is_refused_for_the_partitions_that_have_it() {
    let mut found = found(3, &[]);
    found.replicas.insert(1, 1);
    let plan = plan(&wanted(3, &[]), Some(&found));
    assert_eq!(plan.refusals, [Refusal::Replicas { partitions: vec![1], wanted: 3 }]);
    let said = plan.refusals[0].to_string();
    assert!(
        said.starts_with("Replication factor change not supported, but required for partitions [1]"),
        "{said}"
    );
}

#[test]
fn only_declared_keys_that_differ_are_set_and_a_refusal_does_not_keep_them_from_it() {
    let config = [("retention.ms", "1", true), ("cleanup.policy", "delete", true), ("segment.ms", "1", true)];
    let wanted = wanted(6, &[("retention.ms", "2"), ("cleanup.policy", "delete"), ("new.key", "x")]);
    let plan = plan(&wanted, Some(&found(12, &config)));
    let drift = |found: Option<&str>, declared: &str| Drift {
        found: found.map(str::to_owned),
        declared: declared.to_owned(),
    };
    let expected =
        [("retention.ms".to_owned(), drift(Some("1"), "2")), ("new.key".to_owned(), drift(None, "x"))];
    assert_eq!(plan.steps, [Step::Configure(expected.into())]);
    assert_eq!(plan.refusals.len(), 1);
}

#[test]
fn a_declared_value_that_is_only_the_brokers_default_is_made_the_topics_own() {
    let plan = plan(&wanted(12, &[("retention.ms", "1")]), Some(&found(12, &[("retention.ms", "1", false)])));
    assert!(matches!(&plan.steps[..], [Step::Configure(_)]), "{plan:?}");
}

#[test]
fn a_value_that_is_written_in_another_way_is_not_set_again() {
    for (declared, told) in [
        ("0.50", "0.5"),
        ("1.0", "1"),
        ("TRUE", "true"),
        (" 7200000 ", "7200000"),
        ("compact, delete", "compact,delete"),
    ] {
        assert_eq!(normal(declared), normal(told));
    }
    for (one, other) in
        [("0.5", "0.05"), ("10", "1"), ("1.2.0", "1.2"), ("producer", "Producer"), ("v1.0", "v1")]
    {
        assert_ne!(normal(one), normal(other), "{one} {other}");
    }
}
