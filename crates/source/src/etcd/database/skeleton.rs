use super::compaction::Compaction;
use super::damage::Damage;
use super::keys::Keys;
use super::look::{Look, NAMES_MAX, Page, Slot};
use super::tree::{self, Database};
use crate::bolt::{Header, Kind, Meta, UNIT_MAX, Walk};

/// Entries of the tables of buckets that are kept at a time: free pages hold old tables too.
const SLOTS_MAX: usize = 1_000_000;
/// A free page may say that it still has overflow pages, which are others by now; then bytes are looked at more than once. Never this often.
const OFTEN: u64 = 8;

/// What is learned of a database as its bytes go by: a [`Database`] in the end.
///
/// Which pages are in use is known at the end only, so all are looked at, and about 50 bytes kept of each: 100 MiB for 8 GiB if no page
/// has overflow pages. Beside that it holds the unit that it is at.
#[derive(Default)]
pub struct Skeleton {
    walk: Walk,
    kept: Kept,
}

/// What is kept of the pages that went by, in use or not.
#[derive(Default)]
pub(super) struct Kept {
    /// Ascending by number.
    pub(super) pages: Vec<Page>,
    pub(super) keys: Keys,
    pub(super) tables: Vec<Vec<Slot>>,
    pub(super) names: Vec<Vec<u8>>,
    /// What pages say about compaction, ascending by page.
    pub(super) compactions: Vec<(u32, Compaction)>,
    /// The list of free pages, if one is stored and was seen, and the pages that it takes.
    pub(super) free: Option<(Vec<u64>, u64)>,
    slots: usize,
    /// Whether the table of buckets is one leaf and was seen: then no other table is kept.
    table_seen: bool,
    looked_at: u64,
    excess: Option<&'static str>,
}

impl Skeleton {
    /// Takes the next bytes of the file. What lies behind the database (its hash) is passed over.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.walk.push(bytes);
        while self.kept.excess.is_none()
            && let Some((header, meta)) = self.walk.page().zip(self.walk.meta())
        {
            if header.kind != Kind::FreeList || meta.free_list == Some(header.id) {
                let Some(unit) = self.walk.unit(&header) else {
                    return;
                };
                self.kept.look(&meta, &header, unit);
            }
            self.walk.go_on(header.id + 1);
        }
    }

    /// What the whole file is, when all of it has been fed.
    pub fn finish(self) -> Result<Database, Damage> {
        let meta = self.walk.meta().ok_or(Damage::Metas)?;
        if let Some(excess) = self.kept.excess {
            return Err(Damage::TooMany(excess));
        }
        let expected = meta.length().ok_or(Damage::Metas)?;
        let found = self.walk.fed();
        if found < expected {
            return Err(Damage::Cut { found, expected });
        }
        Ok(tree::follow(&self.kept, meta))
    }
}

impl Kept {
    fn look(&mut self, meta: &Meta, header: &Header, unit: &[u8]) {
        let mut look = Look {
            meta,
            header,
            unit,
            keys: &mut self.keys,
            names: &mut self.names,
            compaction: Compaction::default(),
        };
        match header.kind {
            Kind::FreeList => self.free = look.free_list(),
            Kind::Branch => self.pages.push(look.branch()),
            Kind::Leaf => {
                let (mut page, table) = look.leaf();
                if look.compaction != Compaction::default() {
                    self.compactions.push((page.id, look.compaction));
                }
                if let Some(table) = table {
                    page.keys = self.tables.len() as u32;
                    self.keep(table, header.id == meta.root);
                }
                self.pages.push(page);
            }
        }
        self.looked_at += unit.len() as u64;
        let behind = header.id * u64::from(meta.page_size) + UNIT_MAX;
        let excess = [
            (u32::try_from(meta.pages).is_err(), "pages"),
            (self.keys.overfull(), "keys"),
            (self.slots > SLOTS_MAX, "tables of buckets"),
            (self.names.len() > NAMES_MAX, "names of buckets"),
            (self.compactions.len() > SLOTS_MAX, "notes of compaction"),
            (self.looked_at / OFTEN > behind, "pages that overlap"),
        ];
        self.excess = excess.iter().find(|(is, _)| *is).map(|(_, what)| *what);
    }

    fn keep(&mut self, table: Vec<Slot>, root: bool) {
        if root {
            self.table_seen = true;
            self.tables.iter_mut().for_each(|table| *table = Vec::new());
        }
        let kept = root || !self.table_seen;
        self.slots += if kept { table.len() } else { 0 };
        self.tables.push(if kept { table } else { Vec::new() });
    }
}
