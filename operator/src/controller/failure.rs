//! What a pass failed at, in one line for people.

use std::error::Error;

/// An error with all that it comes from.
pub(super) fn text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = of_kubernetes(error) {
            return format!("{text}: {}", said(error));
        }
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn of_kubernetes<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a kube::Error> {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    boxed.or_else(|| error.downcast_ref())
}

/// What kube's errors come from, they tell themselves. Of an answer of the API server its message is all there is to
/// read.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{Status, response::StatusSummary};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it could not be applied")]
    struct Outer(#[source] Box<kube::Error>);

    #[test]
    fn an_answer_of_the_api_server_is_told_in_its_words() {
        let status = Status {
            status: Some(StatusSummary::Failure),
            message: "failed calling webhook".into(),
            ..Status::default()
        };
        let error = Outer(Box::new(kube::Error::Api(status.boxed())));
        assert_eq!(text(&error), "it could not be applied: failed calling webhook");
    }
}
