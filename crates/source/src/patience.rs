use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The first pause; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest is so many times as long.
const LONGEST: u32 = 16;

/// How long a server is asked again that does not answer, or says "not now". It may be starting; and if it hangs, an answer that is waited
/// for takes its time too, and is part of it.
pub(crate) struct Patience {
    limit: Duration,
    /// When the first question was asked that has no answer yet.
    since: Option<Instant>,
    pauses: u32,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            pauses: 0,
        }
    }

    /// Waits a moment; false if it is of no use any more. The question that got no answer was asked at `asked`.
    pub(crate) async fn go_on(&mut self, asked: Instant) -> bool {
        let since = *self.since.get_or_insert(asked);
        let pause = PAUSE * 2_u32.saturating_pow(self.pauses).min(LONGEST);
        if since.elapsed() + pause >= self.limit {
            return false;
        }
        self.pauses += 1;
        sleep(pause).await;
        true
    }

    /// It has answered.
    pub(crate) fn renew(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Whether something has failed since it last answered.
    pub(crate) fn is_tried(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_starts_is_asked_often_and_one_that_hangs_seldom() {
        let limit = Duration::from_secs(25);
        for (answer, questions, most) in [(0, 11, 25), (2, 7, 27), (60, 1, 60)] {
            let start = Instant::now();
            let mut patience = Patience::new(limit);
            let mut asked = 0;
            loop {
                let before = Instant::now();
                asked += 1;
                sleep(Duration::from_secs(answer)).await;
                if !patience.go_on(before).await {
                    break;
                }
            }
            assert_eq!(asked, questions, "{answer} s each");
            assert!(
                start.elapsed() <= Duration::from_secs(most),
                "{answer} s each"
            );
        }
    }
}
