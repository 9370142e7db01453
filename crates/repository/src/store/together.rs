use std::ops::Range;
use std::sync::{Arc, Mutex};

use futures::channel::oneshot::{self, Sender};
use futures::future::{Either, join_all, select};
use futures::pin_mut;

use super::beside::Beside;
use super::part::Pieces;
use super::{Name, Store};
use crate::Error;

/// As much as is asked of a server at once: a request then takes little longer than its bytes, and several are under way.
const TOGETHER_MAX: u64 = 4 << 20;

/// Parts of objects that are asked for at the same moment are read together where one begins where another ends: a server takes a while
/// for each request, and has its price for it.
pub(super) struct Together {
    beside: Beside,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A part that somebody waits for.
struct Asked {
    name: Name,
    range: Range<u64>,
    answer: Sender<Result<Pieces, Error>>,
}

impl Together {
    pub(super) fn new(beside: Beside) -> Self {
        Self {
            beside,
            asked: Arc::default(),
        }
    }

    pub(super) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// Asks `store`, whose this is, for a part of an object. `None`: the program ends.
    pub(super) async fn read(
        &self,
        store: &Store,
        name: &Name,
        range: Range<u64>,
    ) -> Option<Result<Pieces, Error>> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut asked = self.asked.lock().expect("nobody panics with it");
            asked.push(Asked {
                name: name.clone(),
                range,
                answer,
            });
            asked.len() == 1
        };
        if is_first {
            let (beside, asked, store) =
                (self.beside.clone(), Arc::clone(&self.asked), store.clone());
            // It has its turn when everybody who asks at this moment has asked.
            self.beside.start(async move {
                let asked = std::mem::take(&mut *asked.lock().expect("nobody panics with it"));
                for adjoining in adjoining(asked) {
                    beside.start(serve(store.clone(), adjoining));
                }
            });
        }
        answered.await.ok()
    }
}

/// In groups, each of parts of one object that lie side by side.
fn adjoining(mut asked: Vec<Asked>) -> Vec<Vec<Asked>> {
    asked.sort_by(|a, b| {
        (a.name.0.as_ref(), a.range.start).cmp(&(b.name.0.as_ref(), b.range.start))
    });
    let mut groups: Vec<Vec<Asked>> = Vec::new();
    for part in asked {
        match groups.last_mut() {
            Some(group) if goes_on(group, &part) => group.push(part),
            _ => groups.push(vec![part]),
        }
    }
    groups
}

fn goes_on(group: &[Asked], next: &Asked) -> bool {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return false;
    };
    last.name == next.name
        && last.range.end == next.range.start
        && next.range.end - first.range.start <= TOGETHER_MAX
}

/// Reads parts that lie side by side, as long as somebody waits for one of them.
async fn serve(store: Store, mut adjoining: Vec<Asked>) {
    let (Some(first), Some(last)) = (adjoining.first(), adjoining.last()) else {
        return;
    };
    let (name, whole) = (first.name.clone(), first.range.start..last.range.end);
    let read = {
        let gone = join_all(adjoining.iter_mut().map(|part| part.answer.cancellation()));
        let read = store.read_range(&name, whole.clone());
        pin_mut!(read);
        match select(read, gone).await {
            Either::Left((read, _)) => read,
            Either::Right(_) => return,
        }
    };
    // Whoever waited may have gone meanwhile: nobody minds an answer that is not taken.
    match read {
        Ok(pieces) => {
            for Asked { range, answer, .. } in adjoining {
                let inside = (range.start - whole.start)..(range.end - whole.start);
                let _ = answer.send(Ok(pieces.slice(inside)));
            }
        }
        Err(error) if adjoining.len() == 1 => {
            let alone = adjoining.remove(0);
            let _ = alone.answer.send(Err(error));
        }
        // What is wrong with one part is no reason to lose its neighbours.
        Err(_) => {
            for Asked { range, answer, .. } in adjoining {
                let _ = answer.send(store.read_range(&name, range).await);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use futures::executor::block_on;
    use futures::future::BoxFuture;
    use futures::{FutureExt as _, poll};

    use super::*;

    /// What was started, until it is run.
    #[derive(Clone, Default)]
    struct Started(Arc<Mutex<VecDeque<BoxFuture<'static, ()>>>>);

    impl Started {
        fn beside(&self) -> Beside {
            let started = self.clone();
            Beside::new(move |work| started.0.lock().expect("a queue").push_back(work))
        }

        /// Runs it, and what it starts; says how much it was.
        async fn run(&self) -> usize {
            let mut count = 0;
            loop {
                let next = self.0.lock().expect("a queue").pop_front();
                let Some(work) = next else { return count };
                work.await;
                count += 1;
            }
        }
    }

    fn name(number: u32) -> Name {
        Name::in_run(
            &"prod".parse().expect("a job name"),
            format::RunId([7; 16]),
            &format::pack_name(number),
        )
    }

    /// What each of these parts gives of two objects of 100 bytes, and how many requests were made.
    async fn ask(parts: &[(u32, Range<u64>)]) -> (Vec<Option<Vec<u8>>>, usize) {
        let started = Started::default();
        let mut store = Store::in_memory();
        for number in 0..2 {
            let bytes: Vec<u8> = (0..100).map(|at| at + 100 * number as u8).collect();
            let made = store.create(&name(number), Bytes::from(bytes)).await;
            assert!(made.expect("there is room"));
        }
        store.together = Some(Arc::new(Together::new(started.beside())));
        let mut reads = Vec::new();
        for (number, range) in parts {
            let (store, name, range) = (store.clone(), name(*number), range.clone());
            let mut read = async move { store.fetch(&name, range).await }.boxed();
            assert!(poll!(&mut read).is_pending());
            reads.push(read);
        }
        // One of them gathers what was asked for.
        let requests = started.run().await - 1;
        let mut found = Vec::new();
        for read in reads {
            let bytes = read.await.ok().map(|pieces| {
                let mut memory = Vec::new();
                super::super::Part::Fetched(pieces)
                    .read(&mut memory)
                    .expect("it is in memory")
                    .to_vec()
            });
            found.push(bytes);
        }
        (found, requests)
    }

    fn of(number: u8, range: Range<u8>) -> Vec<u8> {
        range.map(|at| at + 100 * number).collect()
    }

    #[test]
    fn parts_that_lie_side_by_side_are_read_together() {
        let parts = [
            (0, 20..50),
            (1, 50..60),
            (0, 0..20),
            (0, 50..51),
            (0, 60..100),
        ];
        let (found, requests) = block_on(ask(&parts));
        let expected = [
            of(0, 20..50),
            of(1, 50..60),
            of(0, 0..20),
            of(0, 50..51),
            of(0, 60..100),
        ];
        assert_eq!(found, expected.map(Some));
        assert_eq!(requests, 3);
    }

    #[test]
    fn a_part_that_is_not_there_harms_no_other() {
        let (found, requests) = block_on(ask(&[(0, 0..50), (0, 50..100), (0, 100..130)]));
        assert_eq!(found, [Some(of(0, 0..50)), Some(of(0, 50..100)), None]);
        assert_eq!(requests, 1);
    }

    #[test]
    fn no_request_is_longer_than_it_may_be() {
        let (answer, half) = (|| oneshot::channel().0, TOGETHER_MAX / 2 + 1);
        let asked = (0..3).map(|part| Asked {
            name: name(0),
            range: part * half..(part + 1) * half,
            answer: answer(),
        });
        assert_eq!(adjoining(asked.collect()).len(), 3);
    }
}
