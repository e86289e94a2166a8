//! Readiness: a set of named conditions that all must hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The conditions of a process. It is ready while each of them holds.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, State>>>);

/// One condition of a [`Readiness`].
#[derive(Clone, Debug)]
pub struct Condition {
    readiness: Readiness,
    name: &'static str,
}

type State = Result<(), String>;

impl Readiness {
    /// Adds a condition, which does not hold yet.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.lock().insert(name, Err("not yet known".into()));
        Condition { readiness: self.clone(), name }
    }

    /// The conditions that do not hold, each with its reason.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        self.lock().iter().filter_map(|(name, state)| Some((*name, state.clone().err()?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    /// It holds. Logged when it did not before.
    pub fn holds(&self) {
        let before = self.readiness.lock().insert(self.name, Ok(()));
        if !matches!(before, Some(Ok(()))) {
            tracing::info!(condition = self.name, "ready");
        }
    }

    /// It does not hold, for a reason that a person can act on. Logged when the reason is new.
    pub fn fails(&self, reason: impl Into<String>) {
        let reason = reason.into();
        let before = self.readiness.lock().insert(self.name, Err(reason.clone()));
        if before.as_ref() != Some(&Err(reason.clone())) {
            tracing::warn!(condition = self.name, reason, "not ready");
        }
    }

    /// Whether it holds.
    pub fn is_held(&self) -> bool {
        self.readiness.lock().get(self.name).is_some_and(Result::is_ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_nothing_is_missing() {
        let readiness = Readiness::default();
        let (kafka, mysql) = (readiness.condition("kafka"), readiness.condition("mysql"));
        kafka.holds();
        mysql.fails("connection refused");
        assert_eq!(readiness.missing(), [("mysql", "connection refused".to_owned())]);
        mysql.holds();
        assert!(readiness.missing().is_empty() && mysql.is_held());
    }
}
