//! Doubly linked lists over the slots of a table: many lists share the nodes of one [`Links`].

use super::chunked::Sparse;

/// No slot.
pub const NONE: u32 = u32::MAX;

/// The ends of one list. Its slots belong to it and to the [`Links`] that it was built with.
#[derive(Debug)]
pub struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    /// An empty list.
    pub const fn new() -> Self {
        List {
            head: NONE,
            tail: NONE,
            len: 0,
        }
    }

    /// Slots in it.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no slot is in it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

/// A slot's neighbours. No slot has the same one on both sides, so two zeros are a slot that is in no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Node {
    prev: u32,
    next: u32,
}

/// The neighbours of every slot. A slot is in one list at most; which one the caller knows.
#[derive(Debug, Default)]
pub struct Links {
    nodes: Sparse<Node>,
}

impl Links {
    /// Nodes for no slots; they come with the slots.
    pub const fn new() -> Self {
        Links {
            nodes: Sparse::new(),
        }
    }

    /// Bytes of its own memory.
    pub fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    /// The first slot of a list.
    pub fn front(&self, list: &List) -> Option<u32> {
        (list.head != NONE).then_some(list.head)
    }

    /// Puts a slot that is in no list at the end of one.
    pub fn push_back(&mut self, list: &mut List, slot: u32) {
        let prev = list.tail;
        self.nodes.set(slot, Node { prev, next: NONE });
        self.join(list, prev, slot);
        list.tail = slot;
        list.len += 1;
    }

    /// Takes a slot out of the list that it is in.
    pub fn remove(&mut self, list: &mut List, slot: u32) {
        let Node { prev, next } = self.nodes.set(slot, Node::default());
        self.join(list, prev, next);
        self.join_back(list, prev, next);
        list.len -= 1;
    }

    /// Puts `to`, which is in no list, where `from` was in its list.
    pub fn moved(&mut self, list: &mut List, from: u32, to: u32) {
        let node = self.nodes.set(from, Node::default());
        self.nodes.set(to, node);
        self.join(list, node.prev, to);
        self.join_back(list, to, node.next);
    }

    /// Lets `prev`, or the list, know what comes next.
    fn join(&mut self, list: &mut List, prev: u32, next: u32) {
        if prev == NONE {
            list.head = next;
        } else {
            let node = self.nodes.get(prev);
            self.nodes.set(prev, Node { next, ..node });
        }
    }

    /// Lets `next`, or the list, know what comes before.
    fn join_back(&mut self, list: &mut List, prev: u32, next: u32) {
        if next == NONE {
            list.tail = prev;
        } else {
            let node = self.nodes.get(next);
            self.nodes.set(next, Node { prev, ..node });
        }
    }
}
