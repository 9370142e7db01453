/// Follows the messages of a snapshot stream: the database in pieces, each saying how much is still to come; then one
/// more message with its SHA-256; then the end.
#[derive(Debug, Default)]
pub(super) struct Progress {
    remaining: Option<u64>,
    received: u64,
    ended: bool,
}

/// Why a stream of messages is not a snapshot: a clause about "it".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it broke off after {received} of {total} bytes")]
    Cut { received: u64, total: u64 },
    #[error("it was empty")]
    Empty,
    /// A server that fails to read its own database sends such messages without end.
    #[error(
        "the server sent nothing where {remaining} bytes were to come: its database may be unreadable"
    )]
    Nothing { remaining: u64 },
    #[error(
        "the server miscounted: {remaining} bytes were to come, and it sent {length} and said {left}"
    )]
    Count {
        remaining: u64,
        length: u64,
        left: u64,
    },
    #[error("it did not end with a SHA-256")]
    NoHash,
    #[error("it went on behind its end")]
    Beyond,
}

impl Progress {
    /// Judges the next message: `length` bytes, `left` of the database still to come.
    pub(super) fn message(&mut self, length: usize, left: u64) -> Result<(), Fault> {
        let length = length as u64;
        let Some(remaining) = self.remaining else {
            self.remaining = Some(left);
            self.received = length;
            return if length == 0 {
                Err(Fault::Empty)
            } else {
                Ok(())
            };
        };
        if self.ended {
            return Err(Fault::Beyond);
        }
        if remaining == 0 {
            self.ended = true;
            return if (length, left) == (32, 0) {
                Ok(())
            } else {
                Err(Fault::NoHash)
            };
        }
        if length == 0 {
            return Err(Fault::Nothing { remaining });
        }
        if remaining.checked_sub(length) != Some(left) {
            return Err(Fault::Count {
                remaining,
                length,
                left,
            });
        }
        self.remaining = Some(left);
        self.received += length;
        Ok(())
    }

    /// Judges the end of the stream.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match (self.remaining, self.ended) {
            (None, _) => Err(Fault::Empty),
            (Some(0), false) => Err(Fault::NoHash),
            (Some(_), true) => Ok(()),
            (Some(_), false) => Err(self.cut()),
        }
    }

    /// What to say when the stream failed on the way.
    pub(super) fn cut(&self) -> Fault {
        let total = self
            .received
            .saturating_add(self.remaining.unwrap_or_default());
        Fault::Cut {
            received: self.received,
            total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(messages: &[(usize, u64)]) -> Result<(), Fault> {
        let mut progress = Progress::default();
        messages
            .iter()
            .try_for_each(|&(length, left)| progress.message(length, left))?;
        progress.end()
    }

    #[test]
    fn only_a_whole_stream_is_accepted() {
        assert_eq!(follow(&[(10, 20), (10, 10), (10, 0), (32, 0)]), Ok(()));
        assert_eq!(follow(&[(10, 0), (32, 0)]), Ok(()));
        for (messages, fault) in [
            (&[][..], Fault::Empty),
            (&[(0, 10)], Fault::Empty),
            (
                &[(10, 20)],
                Fault::Cut {
                    received: 10,
                    total: 30,
                },
            ),
            (&[(10, 20), (0, 20)], Fault::Nothing { remaining: 20 }),
            (
                &[(10, 20), (10, 11)],
                Fault::Count {
                    remaining: 20,
                    length: 10,
                    left: 11,
                },
            ),
            (
                &[(10, 20), (21, 0)],
                Fault::Count {
                    remaining: 20,
                    length: 21,
                    left: 0,
                },
            ),
            (&[(10, 0)], Fault::NoHash),
            (&[(10, 0), (31, 0)], Fault::NoHash),
            (&[(10, 0), (32, 1)], Fault::NoHash),
            (&[(10, 0), (0, 0)], Fault::NoHash),
            (&[(10, 0), (32, 0), (32, 0)], Fault::Beyond),
        ] {
            assert_eq!(follow(messages), Err(fault), "{messages:?}");
        }
    }

    #[test]
    fn absurd_counts_do_not_overflow() {
        assert!(follow(&[(10, u64::MAX), (1, 5)]).is_err());
        assert!(follow(&[(10, u64::MAX)]).is_err());
    }
}
