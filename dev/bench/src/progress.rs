//! Where a long measurement is, on standard error: standard output has the results only.

use std::{
    fmt,
    sync::LazyLock,
    time::{Duration, Instant},
};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says what is done, or waited for, from now on.
pub(crate) fn say(what: fmt::Arguments<'_>) {
    eprintln!("{:6.1} s  {what}", BEGAN.elapsed().as_secs_f64());
}

/// Says how far something is, but not too often.
pub(crate) struct Progress(Option<Instant>);

impl Progress {
    const EVERY: Duration = Duration::from_secs(10);

    /// That of something that begins now.
    pub(crate) const fn begin() -> Self {
        Self(None)
    }

    /// Says how far it is, unless that was said a moment ago.
    pub(crate) fn say(&mut self, what: fmt::Arguments<'_>) {
        if self.0.is_none_or(|said| said.elapsed() >= Self::EVERY) {
            self.0 = Some(Instant::now());
            say(what);
        }
    }
}
