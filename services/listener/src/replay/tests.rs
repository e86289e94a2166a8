//! What is read, and what is found.

use fluxo_core::{Client, transaction::Draft};
use fluxo_store::offsets::{StoredOffset, StoredOffsets};

use super::{
    range::{Log, decide},
    *,
};
use crate::{kafka::Identity, settings::Bound};

fn topic_id() -> TopicId {
    TopicId::parse("t1").unwrap()
}

/// A partition, and from where to where it is read.
type Range = (i32, (i64, i64));

/// Decides for two partitions: the first holds 100 to 200 and is recorded up to 150, the second begins at 0.
fn decided(from: Bound, to: Option<Bound>, partition: &[i32]) -> Result<Vec<Range>, String> {
    let wanted = Replay { from, to, partition: partition.to_vec(), dry_run: false };
    let found = Identity { cluster_id: "c1".into(), topic_id: topic_id(), partitions: 3 };
    let row = |next_offset| StoredOffset { cluster_id: "c1".into(), topic_id: topic_id(), next_offset };
    let stored = StoredOffsets::from([(0, row(150)), (1, row(10))]);
    let log = |start, end, from| Log { start, end, from, to: Some(120) };
    let logs =
        BTreeMap::from([(0, log(100, 200, Some(110))), (1, log(0, 10, Some(0))), (2, log(0, 9, None))]);
    decide(&wanted, &found, &stored, &logs)
        .map(|ranges| ranges.into_iter().collect())
        .map_err(|error| error.to_string())
}

#[test]
fn a_range_ends_where_the_listeners_are() {
    let time = Bound::Time(Timestamp::now());
    assert_eq!(decided(Bound::Offset(100), None, &[0]), Ok(vec![(0, (100, 150))]));
    assert_eq!(decided(Bound::Offset(100), Some(Bound::Offset(101)), &[0]), Ok(vec![(0, (100, 101))]));
    assert_eq!(decided(Bound::Offset(100), Some(Bound::Offset(999)), &[0]), Ok(vec![(0, (100, 150))]));
    // A partition that no listener has begun with is not read.
    assert_eq!(decided(time, None, &[]), Ok(vec![(0, (110, 150)), (1, (0, 10))]));
    assert_eq!(decided(time, Some(time), &[0]), Ok(vec![(0, (110, 120))]));
}

#[test]
fn a_range_that_kafka_no_longer_has_is_refused_with_the_first_offset_that_it_has() {
    let refused = decided(Bound::Offset(99), None, &[0]).unwrap_err();
    assert!(refused.contains("--partition 0 --from 100"), "{refused}");
    assert!(decided(Bound::Offset(0), None, &[1]).is_ok());
    assert!(decided(Bound::Offset(100), None, &[]).unwrap_err().contains("one partition's"));
    assert!(decided(Bound::Offset(0), None, &[7]).unwrap_err().contains("no partition 7"));
}

#[test]
fn what_is_found_for_a_record_follows_from_what_the_database_holds() {
    let place = |offset| Place { topic_id: topic_id(), position: Position { partition: 0, offset } };
    let draft = Draft {
        account: Some("ana"),
        kind: Some("entrada"),
        amount: Some("1"),
        currency: Some("BRL"),
        ..Draft::default()
    };
    let client = Client::parse("test").unwrap();
    let record = draft.parse().unwrap().accept(TransactionId::generate(), client.clone(), Timestamp::now());
    let id = record.transaction.id;
    let found = |row: Option<Option<(Accepted, Place)>>, quarantined: &[i64]| {
        let balance = fluxo_core::Balance { minor: 100, currency: record.transaction.money.currency() };
        let row = row.map(|row| {
            row.map(|(accepted, place)| {
                (
                    Recorded {
                        accepted,
                        account_seq: 1,
                        balance_after: balance,
                        recorded_at: Timestamp::now(),
                    },
                    place,
                )
            })
        });
        let rows = row.map(|row| (id, row)).into_iter().collect();
        find(
            &place(1),
            Ok(record.clone()),
            &Known { quarantined: quarantined.iter().copied().collect(), rows },
        )
    };
    let missing = Finding::Missing(Content::Accepted(Box::new(record.clone())));
    assert_eq!(found(None, &[]), missing);
    assert_eq!(found(None, &[1]), Finding::Quarantined);
    assert_eq!(found(Some(Some((record.clone(), place(1)))), &[]), Finding::Present);
    // Of a retry with the same content, and of another record with the id.
    assert_eq!(found(Some(Some((record.clone(), place(0)))), &[]), Finding::Present);
    let mut other = record.clone();
    other.content_hash = [7; 32].into();
    assert_eq!(found(Some(Some((other, place(0)))), &[]), missing);
    // Changed by somebody, hash and all else as it was.
    let mut changed = record.clone();
    changed.transaction.kind = fluxo_core::Kind::Saida;
    assert_eq!(found(Some(Some((changed, place(1)))), &[]), Finding::Differs(id, vec!["kind"]));
    assert!(matches!(found(Some(None), &[]), Finding::Differs(..)));
}
