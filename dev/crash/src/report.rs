//! What was done and found, as a table for people.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{fault::Fault, history::Answers, round::Played, verdict::Wrong};

/// All rounds together.
#[derive(Default)]
pub(crate) struct Report {
    rounds: u64,
    faults: BTreeMap<Fault, u64>,
    wrong: BTreeMap<Wrong, usize>,
    answers: Answers,
    counts: Counts,
    longest: Duration,
}

#[derive(Default)]
struct Counts {
    posted: usize,
    accepted: usize,
    not_taken: usize,
    unknown: usize,
    unknown_and_there: usize,
    records: usize,
    duplicates: usize,
    rows: usize,
    quarantined: usize,
    dead_letters: usize,
}

impl Report {
    pub(crate) fn add(&mut self, played: Played) {
        self.rounds += 1;
        for fault in played.faults {
            *self.faults.entry(fault).or_default() += 1;
        }
        for (wrong, _) in played.findings {
            *self.wrong.entry(wrong).or_default() += 1;
        }
        for (answer, count) in played.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        let counts = &mut self.counts;
        counts.posted += played.posted;
        counts.accepted += played.accepted;
        counts.not_taken += played.not_taken;
        counts.unknown += played.unknown;
        counts.unknown_and_there += played.unknown_and_there;
        counts.records += played.records;
        counts.duplicates += played.duplicates;
        counts.rows += played.rows;
        counts.quarantined += played.quarantined;
        counts.dead_letters += played.dead_letters;
        self.longest = self.longest.max(played.recovery);
    }

    pub(crate) fn table(&self) -> String {
        let Counts { posted, accepted, not_taken, unknown, unknown_and_there, .. } = self.counts;
        let Counts { records, duplicates, rows, quarantined, dead_letters, .. } = self.counts;
        let mut text = format!("| found | |\n|---|---:|\n| rounds | {} |\n", self.rounds);
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {name} | {value} |");
        };
        for (wrong, name) in Wrong::ALL {
            line(
                &format!("**{name}**"),
                format!("**{}**", self.wrong.get(&wrong).copied().unwrap_or_default()),
            );
        }
        line("transactions posted", posted.to_string());
        line("told that they are accepted", accepted.to_string());
        line("told each time that they were not taken, and given up", not_taken.to_string());
        line("told that it is unknown, or nothing, and given up", unknown.to_string());
        line("of these, on the topic after all", unknown_and_there.to_string());
        line("records on the topic", records.to_string());
        line("of these, a second time the same", duplicates.to_string());
        line("rows", rows.to_string());
        line("records in quarantine", quarantined.to_string());
        line("records on the dead-letter topic, each at least once", dead_letters.to_string());
        line("longest time from calm to the last row", format!("{:.1} s", self.longest.as_secs_f32()));
        if !self.faults.is_empty() {
            text += "\n| happened | times |\n|---|---:|\n";
            for (fault, name) in Fault::ALL {
                let _ =
                    writeln!(text, "| {name} | {} |", self.faults.get(&fault).copied().unwrap_or_default());
            }
        }
        text += "\n| answered to a request | times |\n|---|---:|\n";
        for (answer, count) in &self.answers {
            let _ = writeln!(text, "| {answer} | {count} |");
        }
        text
    }
}
