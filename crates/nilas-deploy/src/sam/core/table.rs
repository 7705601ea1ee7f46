//! The order in which a dictionary of CPython 2.7 lists its keys: an open hash table's, filled and grown as it was.
//!
//! See `Objects/dictobject.c` and `Objects/stringobject.c` of CPython 2.7. Hashes are not randomised there by default.

use super::text::Text;

const SLOTS_MIN: usize = 8;
const PERTURB_SHIFT: u32 = 5;
/// From this many keys on a table doubles rather than quadruples.
const LARGE: usize = 50_000;

#[derive(Clone, Debug)]
enum Slot {
    Free,
    /// Held a key that was removed.
    Removed,
    Key(Text),
}

#[derive(Clone, Debug)]
pub(super) struct KeyTable {
    slots: Vec<Slot>,
    /// Keys held.
    size: usize,
    /// Slots that are not free.
    fill: usize,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self::with_slots(SLOTS_MIN)
    }
}

impl KeyTable {
    fn with_slots(count: usize) -> Self {
        Self { slots: vec![Slot::Free; count], size: 0, fill: 0 }
    }

    pub(super) fn add(&mut self, key: &Text) {
        let slot = self.find(key);
        match &self.slots[slot] {
            Slot::Key(_) => return,
            Slot::Free => self.fill += 1,
            Slot::Removed => {}
        }
        self.size += 1;
        self.slots[slot] = Slot::Key(key.clone());
        if self.fill * 3 >= self.slots.len() * 2 {
            self.resize(self.size * if self.size > LARGE { 2 } else { 4 });
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        let slot = self.find(key);
        if matches!(self.slots[slot], Slot::Key(_)) {
            self.slots[slot] = Slot::Removed;
            self.size -= 1;
        }
    }

    /// Adds all of a map's keys, growing once for them.
    pub(super) fn merge(&mut self, keys: &[Text]) {
        if keys.is_empty() {
            return;
        }
        if (self.fill + keys.len()) * 3 >= self.slots.len() * 2 {
            self.resize((self.size + keys.len()) * 2);
        }
        for key in keys {
            self.add(key);
        }
    }

    pub(super) fn keys(&self) -> Vec<Text> {
        let held = self.slots.iter().filter_map(|slot| match slot {
            Slot::Key(key) => Some(key.clone()),
            _ => None,
        });
        held.collect()
    }

    /// A table filled anew with the keys of this one.
    pub(super) fn deep_copy(&self) -> Self {
        let mut copy = Self::default();
        for key in self.keys() {
            copy.add(&key);
        }
        copy
    }

    /// The slot that holds the key, or the one where it goes.
    fn find(&self, key: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut perturb = hash(key);
        let mut walker = perturb & mask as u64;
        let mut reusable = None;
        loop {
            let slot = walker as usize & mask;
            match &self.slots[slot] {
                Slot::Free => return reusable.unwrap_or(slot),
                Slot::Key(held) if held.as_str() == key => return slot,
                Slot::Removed => {
                    reusable.get_or_insert(slot);
                }
                Slot::Key(_) => {}
            }
            walker = walker.wrapping_mul(5).wrapping_add(perturb).wrapping_add(1);
            perturb >>= PERTURB_SHIFT;
        }
    }

    fn resize(&mut self, request: usize) {
        let mut count = SLOTS_MIN;
        while count <= request {
            count <<= 1;
        }
        let keys = self.keys();
        *self = Self::with_slots(count);
        for key in keys {
            self.add(&key);
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut chars = text.chars().peekable();
    let Some(first) = chars.peek() else { return 0 };
    let mut hash = u64::from(*first as u32) << 7;
    let mut length = 0u64;
    for c in chars {
        hash = 1_000_003u64.wrapping_mul(hash) ^ u64::from(c as u32);
        length += 1;
    }
    hash ^= length;
    if hash == u64::MAX { u64::MAX - 1 } else { hash }
}
