//! What runs on every change: some seeds, and whether each mutant is found.

use clap::ValueEnum as _;
use fluxo_simulator::{Mutant, Summary, simulate};

#[test]
fn nothing_is_lost_and_nothing_is_twice_whatever_fails() {
    let mut all = Summary::default();
    for seed in 0..5_000 {
        match simulate(seed, None) {
            Ok(summary) => all.add(&summary),
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
    }
    // Seeds in which nothing of this happens would prove nothing.
    let seen = all.batches;
    let kinds = [
        seen.fenced,
        seen.unknown,
        seen.unconfirmed,
        seen.retried,
        seen.alone,
        seen.duplicates,
        seen.refused,
    ];
    assert!(kinds.iter().all(|count| *count > 10), "{all:?}");
}

#[test]
fn a_seed_always_means_the_same() {
    for seed in 0..20 {
        assert_eq!(format!("{:?}", simulate(seed, None)), format!("{:?}", simulate(seed, None)));
    }
}

#[test]
fn every_mutant_is_found() {
    let missed: Vec<_> = Mutant::value_variants()
        .iter()
        .filter(|mutant| (0..10_000).all(|seed| simulate(seed, Some(**mutant)).is_ok()))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
