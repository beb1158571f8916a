//! Terms in plain Rust: nodes that refer to each other by number, so that a part can be shared and
//! a chain of a million can be dropped.

use foundation_core::measure::{Shape, Size, Source, map_words};
use foundation_core::path::{Kind, Reader};

/// A term: the number of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u32);

/// What a term is.
#[derive(Clone, Debug)]
pub enum Node {
    /// No words of its own.
    Int(i64),
    /// No words of its own.
    Atom(u8),
    /// No words of its own.
    Nil,
    /// A list cell.
    Cons(Id, Id),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A small map: its keys, and its values in the same order.
    Record(Vec<Id>, Vec<Id>),
    /// A map.
    Map(Vec<(Id, Id)>),
    /// Words on the heap and bytes outside it.
    Blob(u64, u64),
}

/// Where terms lie.
#[derive(Default)]
pub struct Forest {
    nodes: Vec<Node>,
}

impl Forest {
    /// Adds a term.
    pub fn plant(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        Id(self.nodes.len() as u32 - 1)
    }

    /// Adds a list that ends in `tail`.
    pub fn list(&mut self, heads: &[Id], tail: Id) -> Id {
        heads.iter().rev().fold(tail, |tail, head| {
            let cell = Node::Cons(*head, tail);
            self.plant(cell)
        })
    }

    /// Adds a copy of a recursive term.
    pub fn copy(&mut self, tree: &Tree) -> Id {
        let node = match tree {
            Tree::Int(value) => Node::Int(*value),
            Tree::Atom(name) => Node::Atom(*name),
            Tree::Blob(words, payload) => Node::Blob(*words, *payload),
            Tree::List(heads, tail) => {
                let heads: Vec<Id> = heads.iter().map(|head| self.copy(head)).collect();
                let tail = match tail {
                    Some(tail) => self.copy(tail),
                    None => self.plant(Node::Nil),
                };
                return self.list(&heads, tail);
            }
            Tree::Tuple(parts) => Node::Tuple(parts.iter().map(|part| self.copy(part)).collect()),
            Tree::Map(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(key, value)| (self.copy(key), self.copy(value)));
                if pairs.len() <= 32 {
                    let (keys, values) = pairs.unzip();
                    Node::Record(keys, values)
                } else {
                    Node::Map(pairs.collect())
                }
            }
        };
        self.plant(node)
    }

    /// What a term is.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Whether both terms are equal; maps only where their pairs come in the same order, as in
    /// copies of one tree.
    pub fn same(&self, left: Id, right: Id) -> bool {
        let all = |left: &[Id], right: &[Id]| {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| self.same(*l, *r))
        };
        match (self.node(left), self.node(right)) {
            (Node::Int(left), Node::Int(right)) => left == right,
            (Node::Atom(left), Node::Atom(right)) => left == right,
            (Node::Nil, Node::Nil) => true,
            (Node::Cons(l1, l2), Node::Cons(r1, r2)) => self.same(*l1, *r1) && self.same(*l2, *r2),
            (Node::Tuple(left), Node::Tuple(right)) => all(left, right),
            (Node::Blob(w1, b1), Node::Blob(w2, b2)) => (w1, b1) == (w2, b2),
            (Node::Record(lk, lv), Node::Record(rk, rv)) => all(lk, rk) && all(lv, rv),
            (Node::Map(left), Node::Map(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|((lk, lv), (rk, rv))| self.same(*lk, *rk) && self.same(*lv, *rv))
            }
            _ => false,
        }
    }
}

/// A term as a recursive value, for models.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// An immediate.
    Int(i64),
    /// An immediate.
    Atom(u8),
    /// Words on the heap and bytes outside it.
    Blob(u64, u64),
    /// Heads and what stands in the last cell; `None` is the empty list.
    List(Vec<Tree>, Option<Box<Tree>>),
    /// A tuple.
    Tuple(Vec<Tree>),
    /// A map.
    Map(Vec<(Tree, Tree)>),
}

/// A forest as a source for the walk. `patience` counts how often it says to go on.
pub struct Walk<'f> {
    forest: &'f Forest,
    /// How often the walk may ask.
    pub patience: std::cell::Cell<u64>,
    /// Terms looked at.
    pub looked: u64,
}

impl<'f> Walk<'f> {
    /// A walk that is never stopped.
    pub fn new(forest: &'f Forest) -> Self {
        Walk {
            forest,
            patience: std::cell::Cell::new(u64::MAX),
            looked: 0,
        }
    }
}

impl<'f> Source<'f> for Walk<'f> {
    type Term = Id;

    fn is_immediate(&self, term: Id) -> bool {
        matches!(
            self.forest.node(term),
            Node::Int(_) | Node::Atom(_) | Node::Nil
        )
    }

    fn look(&mut self, term: Id, size: &mut Size) -> Shape<'f, Id> {
        self.looked += 1;
        match self.forest.node(term) {
            Node::Cons(head, tail) => Shape::Cons(*head, *tail),
            Node::Tuple(parts) => {
                // One empty tuple serves all.
                if !parts.is_empty() {
                    size.heap_words += 1 + parts.len() as u64;
                }
                Shape::Tuple(parts)
            }
            Node::Record(keys, values) => {
                size.heap_words += map_words(keys.len() as u64);
                Shape::Record(keys, values)
            }
            Node::Map(pairs) => {
                size.heap_words += map_words(pairs.len() as u64);
                Shape::Map
            }
            Node::Blob(words, payload) => {
                size.leaf(*words, *payload);
                Shape::Leaf
            }
            Node::Int(_) | Node::Atom(_) | Node::Nil => unreachable!("an immediate was looked at"),
        }
    }

    fn entries(&mut self, map: Id, mut each: impl FnMut(&mut Self, Id)) {
        if let Node::Map(pairs) = self.forest.node(map) {
            for (key, value) in pairs {
                each(self, *key);
                each(self, *value);
            }
        }
    }

    fn keep_going(&self) -> bool {
        let left = self.patience.get();
        self.patience.set(left.saturating_sub(1));
        left > 0
    }
}

/// Elements of a tuple above which no map is asked for it.
pub const LARGEST_KEY: usize = 100;

impl<'f> Reader<'f> for &'f Forest {
    type Term = Id;

    fn kind(&self, term: Id) -> Kind<'f, Id> {
        match self.node(term) {
            Node::Map(_) | Node::Record(..) => Kind::Map,
            Node::Tuple(parts) => Kind::Tuple(parts),
            Node::Nil | Node::Cons(..) => Kind::List,
            _ => Kind::Other,
        }
    }

    fn is_large(&self, step: Id) -> bool {
        matches!(self.node(step), Node::Tuple(parts) if parts.len() > LARGEST_KEY)
    }

    fn value(&self, map: Id, key: Id) -> Option<Id> {
        match self.node(map) {
            Node::Record(keys, values) => {
                let at = keys.iter().position(|own| self.same(*own, key))?;
                Some(values[at])
            }
            Node::Map(pairs) => {
                let found = pairs.iter().find(|(own, _)| self.same(*own, key));
                found.map(|(_, value)| *value)
            }
            _ => None,
        }
    }

    fn cell(&self, list: Id) -> Option<(Id, Id)> {
        match self.node(list) {
            Node::Cons(head, tail) => Some((*head, *tail)),
            _ => None,
        }
    }

    fn is_nil(&self, term: Id) -> bool {
        matches!(self.node(term), Node::Nil)
    }

    fn position(&self, step: Id) -> Option<i64> {
        match self.node(step) {
            Node::Int(position) => Some(*position),
            _ => None,
        }
    }

    fn is_key(&self, step: Id) -> bool {
        matches!(self.node(step), Node::Atom(_))
    }

    fn same_key(&self, left: Id, right: Id) -> bool {
        matches!((self.node(left), self.node(right)), (Node::Atom(left), Node::Atom(right)) if left == right)
    }
}
