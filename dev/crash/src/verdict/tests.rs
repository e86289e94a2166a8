//! A round in which everything is right, and what is found when one thing is not.

use serde_json::json;

use super::*;

const OF: Uuid = Uuid::from_u128(1);

/// A round of one account: 3.00 in, 1.00 out, a key that comes again, once with other content, and one not ours.
#[derive(Clone)]
struct Scene {
    history: Vec<Posted>,
    topic: Vec<Record>,
    rows: Vec<Row>,
    quarantine: Vec<Quarantined>,
    dead_letters: Vec<Record>,
}

fn posted(tag: &str, minor: i64, id: u128, step: u64) -> Posted {
    Posted {
        tag: tag.into(),
        account: "ana".into(),
        minor,
        key: Some(tag.into()),
        sent: step,
        accepted: Some(step + 1),
        told: Told::Accepted,
        id: Some(Uuid::from_u128(id)),
    }
}

fn record(offset: i64, tag: &str, minor: i64, id: u128) -> Record {
    let value = json!({
        "id": Uuid::from_u128(id),
        "account": "ana",
        "kind": if minor < 0 { "saida" } else { "entrada" },
        "amount": format!("{}.{:02}", minor.abs() / 100, minor.abs() % 100),
        "content_hash": format!("{minor}"),
        "description": tag,
    });
    Record { position: (0, offset), key: "ana".into(), value: value.to_string().into(), origin: None }
}

fn row(offset: i64, id: u128, account_seq: i64, minor: i64, balance_after: i64) -> Row {
    let (id, account) = (Uuid::from_u128(id), "ana".into());
    Row { id, account, account_seq, minor, balance_after, position: (0, offset) }
}

fn right() -> Scene {
    let poison = Record { position: (0, 2), key: "ana".into(), value: "poison".into(), origin: None };
    let dead = |origin| Record { origin: Some((0, origin)), ..poison.clone() };
    let quarantined = |offset, reason: &str| Quarantined { position: (0, offset), reason: reason.into() };
    Scene {
        dead_letters: vec![dead(2), dead(4), dead(2)],
        history: vec![posted("a", 300, 1, 1), posted("b", -100, 2, 3), posted("a!", 301, 1, 5)],
        topic: vec![
            record(0, "a", 300, 1),
            record(1, "a", 300, 1),
            poison.clone(),
            record(3, "b", -100, 2),
            record(4, "a!", 301, 1),
        ],
        rows: vec![row(0, 1, 1, 300, 300), row(3, 2, 2, -100, 200)],
        quarantine: vec![quarantined(2, "not_ours"), quarantined(4, "conflict")],
    }
}

fn judge(scene: &Scene) -> Verdict {
    judge_by(&mut Model::default(), scene)
}

fn judge_by(model: &mut Model, scene: &Scene) -> Verdict {
    let Scene { history, topic, dead_letters, rows, quarantine } = scene;
    let foreign = &HashSet::from([(0, 2)]);
    model.judge(Round { history: history.clone(), topic, dead_letters, foreign, rows, quarantine })
}

/// The faults of a round that is right but for one change.
fn found(change: impl FnOnce(&mut Scene)) -> Vec<Wrong> {
    let mut round = right();
    change(&mut round);
    judge(&round).findings.into_iter().map(|(fault, _)| fault).collect()
}

#[test]
fn a_round_that_is_right_has_no_finding() {
    let Verdict { findings, duplicates, quarantined, unknown_and_there } = judge(&right());
    assert_eq!((findings.as_slice(), duplicates, quarantined, unknown_and_there), (&[] as &[_], 1, 2, 0));
}

#[test]
fn what_was_accepted_and_is_not_on_the_topic_is_lost() {
    assert_eq!(found(|round| round.history.push(posted("c", 5, 3, 7))), [Wrong::Lost]);
}

#[test]
fn what_is_on_the_topic_and_in_no_table_is_lost() {
    assert_eq!(found(|round| drop(round.rows.pop())), [Wrong::Lost]);
    assert_eq!(found(|round| drop(round.quarantine.pop())), [Wrong::Lost]);
}

#[test]
fn the_dead_letter_topic_has_all_of_the_quarantine_and_nothing_else() {
    assert_eq!(found(|round| drop(round.dead_letters.remove(1))), [Wrong::Lost]);
    assert_eq!(found(|round| round.dead_letters[0].origin = Some((0, 3))), [Wrong::Phantom]);
    assert_eq!(found(|round| round.dead_letters[0].origin = None), [Wrong::Phantom]);
}

#[test]
fn a_second_row_or_a_second_id_is_doubled() {
    assert_eq!(found(|round| round.rows.push(row(1, 1, 3, 300, 500))), [Wrong::Doubled]);
    let twice = |round: &mut Scene| {
        round.history[1].id = None;
        round.topic.push(record(5, "b", -100, 9));
        round.rows.push(row(5, 9, 3, -100, 100));
    };
    assert_eq!(found(twice), [Wrong::Doubled]);
}

#[test]
fn what_stands_before_one_that_was_accepted_before_is_reordered() {
    let later = |round: &mut Scene| {
        (round.history[0].sent, round.history[0].accepted) = (7, Some(8));
    };
    assert_eq!(found(later), [Wrong::Reordered, Wrong::Reordered]);
    assert_eq!(found(|round| round.rows[1].account_seq = 3), [Wrong::Reordered]);
}

#[test]
fn what_nobody_posted_is_a_phantom() {
    assert_eq!(found(|round| drop(round.history.remove(1))), [Wrong::Phantom]);
    assert_eq!(found(|round| round.rows.push(row(5, 9, 3, 1, 201))), [Wrong::Phantom]);
    let refused = Quarantined { position: (0, 3), reason: "overflow".into() };
    assert_eq!(found(|round| round.quarantine.push(refused)), [Wrong::Phantom]);
}

#[test]
fn an_amount_or_balance_that_is_off_is_miscounted() {
    assert_eq!(found(|round| round.rows[1].balance_after = 199), [Wrong::Miscounted]);
    assert_eq!(found(|round| round.history[1].minor = -101), [Wrong::Miscounted]);
}

#[test]
fn what_was_told_not_to_be_taken_and_is_there_was_told_wrongly() {
    let not_taken = |round: &mut Scene| {
        (round.history[1].told, round.history[1].accepted) = (Told::NotTaken, None);
    };
    assert_eq!(found(not_taken), [Wrong::ToldWrongly]);
    assert_eq!(found(|round| round.history[1].id = Some(OF)), [Wrong::ToldWrongly]);
}

#[test]
fn what_was_told_to_be_unknown_may_come_in_a_later_round_or_never() {
    for (told, expected) in [(Told::Unknown, vec![]), (Told::NotTaken, vec![Wrong::ToldWrongly])] {
        let late = Posted { told, accepted: None, id: None, ..posted("c", 5, 3, 7) };
        let mut model = Model::default();
        let mut scene = right();
        scene.history.push(late);
        assert_eq!(judge_by(&mut model, &scene).findings, []);
        (scene.history, scene.topic, scene.rows) =
            (vec![], vec![record(6, "c", 5, 3)], vec![row(6, 3, 3, 5, 205)]);
        let second = judge_by(&mut model, &scene);
        assert_eq!(second.findings.iter().map(|(fault, _)| *fault).collect::<Vec<_>>(), expected);
    }
}
