//! Which keys are meant, and how etcd is asked for them.

use crate::etcd::ApiServer;

/// Keys that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that begin so.
    Beginning(Vec<u8>),
    /// This one alone.
    Key(Vec<u8>),
}

/// The first key and the first after it that is not meant: a zero byte if there is none, and nothing if it is one key.
pub(super) type Range = (Vec<u8>, Vec<u8>);

impl Reach {
    /// All keys.
    pub fn all() -> Self {
        Self::Beginning(Vec::new())
    }

    /// How all of them begin.
    pub fn front(&self) -> &[u8] {
        match self {
            Self::Beginning(front) => front,
            Self::Key(key) => key,
        }
    }

    /// The same keys, ascending, and none of them twice.
    pub(super) fn each_once(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by(|one, other| {
            let alone = |it: &Self| matches!(it, Self::Key(_));
            (one.front(), alone(one)).cmp(&(other.front(), alone(other)))
        });
        all.dedup_by(|reach, before| before.holds(reach));
        all
    }

    fn holds(&self, other: &Self) -> bool {
        match self {
            Self::Beginning(front) => other.front().starts_with(front),
            Self::Key(_) => self == other,
        }
    }

    /// As ranges; without the API server's keys, unless all of it are its own.
    pub(super) fn ranges(&self, api_server: &ApiServer) -> Vec<Range> {
        let front = match self {
            Self::Key(key) => return vec![(key.clone(), Vec::new())],
            Self::Beginning(front) => front.as_slice(),
        };
        // The first of all keys.
        let from = if front.is_empty() { &[0] } else { front };
        let prefix = api_server.prefix();
        if prefix.starts_with(front) && prefix != front {
            vec![
                (from.to_vec(), prefix.to_vec()),
                (behind(prefix), behind(front)),
            ]
        } else {
            vec![(from.to_vec(), behind(front))]
        }
    }
}

/// The first key that does not begin with `front` and comes after those that do; a zero byte, if there is none.
fn behind(front: &[u8]) -> Vec<u8> {
    let mut end = front.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_what_is_meant_and_leave_the_api_server_alone() {
        let api_server = ApiServer::new("/registry");
        let found = |reach: Reach| -> Vec<(String, String)> {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
            let ranges = reach.ranges(&api_server).into_iter();
            ranges.map(|(from, end)| (text(from), text(end))).collect()
        };
        for (front, ranges) in [
            ("", &[("\0", "/registry/"), ("/registry0", "\0")][..]),
            ("/", &[("/", "/registry/"), ("/registry0", "0")]),
            ("/app/", &[("/app/", "/app0")]),
            ("/registry/pods", &[("/registry/pods", "/registry/podt")]),
            ("/registry/", &[("/registry/", "/registry0")]),
        ] {
            let ranges = ranges.iter().copied();
            let ranges = ranges.map(|(from, end)| (from.to_owned(), end.to_owned()));
            let reach = Reach::Beginning(front.into());
            assert_eq!(found(reach), ranges.collect::<Vec<_>>(), "{front}");
        }
        let one = found(Reach::Key("/app/a".into()));
        assert_eq!(one, [("/app/a".to_owned(), String::new())]);
        assert_eq!(behind(b"a\xff\xff"), b"b");
        assert_eq!(behind(b"\xff"), [0]);
    }

    #[test]
    fn what_is_meant_twice_is_asked_for_once_and_in_order() {
        let key = |key: &str| Reach::Key(key.into());
        let beginning = |front: &str| Reach::Beginning(front.into());
        let all = vec![
            key("b"),
            key("a/b"),
            beginning("a/"),
            key("a"),
            key("a/"),
            beginning("a/b"),
            key("a"),
        ];
        let once = [key("a"), beginning("a/"), key("b")];
        assert_eq!(Reach::each_once(all), once);
        let all = vec![key("x"), Reach::all(), beginning("y")];
        assert_eq!(Reach::each_once(all), [Reach::all()]);
    }
}
