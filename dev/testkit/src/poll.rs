//! Waits for conditions, never for a fixed time.

use std::time::{Duration, Instant};

/// How often a condition is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `condition` until it has an answer, and gives it back.
///
/// # Panics
/// When there is none after `timeout`; the message has `what`, which says what was waited for.
pub async fn eventually<T>(
    what: &str,
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = condition().await {
            return answer;
        }
        assert!(began.elapsed() < timeout, "{what}: not within {timeout:?}");
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_asked_until_it_holds() {
        let mut asked = 0;
        let answer = eventually("the third time", Duration::from_secs(10), async || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(answer.await, "yes");
    }

    #[tokio::test]
    #[should_panic(expected = "what never is: not within 1ms")]
    async fn what_is_waited_for_is_told() {
        eventually("what never is", Duration::from_millis(1), async || None::<()>).await;
    }
}
