//! Paths through terms of plain Rust, by hand and against a model that works on a recursive value.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::tree::{Forest, Id, LARGEST_KEY, Node, Tree};
use foundation_core::path::{Fault, follow};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const ENOUGH: u64 = u64::MAX;

/// A forest with `%{1 => {:1, [10, {:2, 20}, 30]}, :3 => [], [] => {}}` in it.
struct Sample {
    forest: Forest,
    root: Id,
}

impl Sample {
    fn new() -> Self {
        let mut forest = Forest::default();
        let root = forest.copy(&Tree::Map(vec![
            (
                Tree::Int(1),
                Tree::Tuple(vec![
                    Tree::Atom(1),
                    Tree::List(
                        vec![
                            Tree::Int(10),
                            Tree::Tuple(vec![Tree::Atom(2), Tree::Int(20)]),
                            Tree::Int(30),
                        ],
                        None,
                    ),
                ]),
            ),
            (Tree::Atom(3), Tree::List(Vec::new(), None)),
            (Tree::List(Vec::new(), None), Tree::Tuple(Vec::new())),
        ]));
        Sample { forest, root }
    }

    fn path(&mut self, steps: &[Node]) -> Id {
        let steps: Vec<Id> = steps
            .iter()
            .map(|step| self.forest.plant(step.clone()))
            .collect();
        let nil = self.forest.plant(Node::Nil);
        self.forest.list(&steps, nil)
    }

    fn follow(&mut self, steps: &[Node], work: u64) -> Result<Node, Fault> {
        let path = self.path(steps);
        let found = follow(&&self.forest, self.root, path, work)?;
        Ok(self.forest.node(found).clone())
    }
}

fn missing(at: u64, container: &'static str, what: &'static str) -> Fault {
    Fault::Missing {
        at,
        container,
        what,
    }
}

#[test]
fn a_step_is_read_by_the_container_it_meets() {
    use Node::{Atom, Int, Nil};
    let mut sample = Sample::new();
    for (steps, found) in [
        (vec![Int(1), Int(0)], Atom(1)),
        (vec![Int(1), Int(1), Int(0)], Int(10)),
        (vec![Int(1), Int(1), Int(2)], Int(30)),
        (vec![Int(1), Int(1), Atom(2)], Int(20)),
        (vec![Int(1), Int(1), Int(1), Int(0)], Atom(2)),
        (vec![Atom(3)], Nil),
        (vec![Nil], Node::Tuple(Vec::new())),
    ] {
        let node = sample.follow(&steps, ENOUGH).unwrap();
        assert_eq!(format!("{node:?}"), format!("{found:?}"), "{steps:?}");
    }
    let nowhere = sample.path(&[]);
    let root = follow(&&sample.forest, sample.root, nowhere, 0);
    assert_eq!(root, Ok(sample.root));
}

#[test]
fn a_step_that_leads_nowhere_says_where_and_why() {
    use Node::{Atom, Int, Nil};
    let mut sample = Sample::new();
    for (steps, fault) in [
        (vec![Int(2)], missing(0, "map", "key")),
        (vec![Int(1), Int(2)], missing(1, "tuple", "position")),
        (vec![Int(1), Int(-1)], missing(1, "tuple", "position")),
        (vec![Nil, Int(0)], missing(1, "tuple", "position")),
        (vec![Int(1), Int(1), Int(3)], missing(2, "list", "position")),
        (
            vec![Int(1), Int(1), Int(-1)],
            missing(2, "list", "position"),
        ),
        (
            vec![Int(1), Int(1), Int(i64::MAX)],
            missing(2, "list", "position"),
        ),
        (
            vec![Int(1), Int(1), Atom(9)],
            missing(2, "list", "keyword key"),
        ),
        (vec![Atom(3), Int(0)], missing(1, "list", "position")),
    ] {
        assert_eq!(
            sample.follow(&steps, ENOUGH).unwrap_err(),
            fault,
            "{steps:?}"
        );
        assert_eq!(fault.at(), Some(steps.len() as u64 - 1));
    }
    let large = Node::Tuple(vec![sample.root; LARGEST_KEY + 1]);
    let fault = sample
        .follow(std::slice::from_ref(&large), ENOUGH)
        .unwrap_err();
    assert_eq!((fault, fault.at()), (Fault::Large { at: 0 }, Some(0)));
    let missing = missing(0, "map", "key");
    let small = Node::Tuple(vec![sample.root; LARGEST_KEY]);
    assert_eq!(sample.follow(&[small], ENOUGH).unwrap_err(), missing);
    for (steps, reason) in [
        (vec![Int(1), large], "a tuple takes a position"),
        (vec![Int(1), Atom(1)], "a tuple takes a position"),
        (
            vec![Int(1), Int(0), Int(0)],
            "what stands there has no parts",
        ),
        (
            vec![Int(1), Int(1), Nil],
            "a list takes a position or the key of a keyword list",
        ),
    ] {
        let at = steps.len() as u64 - 1;
        let fault = sample.follow(&steps, ENOUGH).unwrap_err();
        assert_eq!(fault, Fault::NoStep { at, reason });
        assert_eq!(
            fault.to_string(),
            format!("the path leads nowhere at step {at}: {reason}")
        );
    }
}

#[test]
fn a_path_that_is_no_proper_list_is_refused_at_its_end() {
    let mut sample = Sample::new();
    let end = sample.forest.plant(Node::Int(7));
    let one = sample.forest.plant(Node::Int(1));
    let two = sample.forest.plant(Node::Int(2));
    for (path, fault) in [
        (end, Fault::Improper),
        (sample.forest.list(&[one], end), Fault::Improper),
        // What fails first is told.
        (sample.forest.list(&[two], end), missing(0, "map", "key")),
    ] {
        let result = follow(&&sample.forest, sample.root, path, ENOUGH);
        assert_eq!(result, Err(fault));
    }
    assert_eq!((Fault::Improper.at(), Fault::Long.at()), (None, None));
}

#[test]
fn work_is_steps_and_cells_passed_and_one_less_is_too_little() {
    use Node::{Atom, Int};
    let mut sample = Sample::new();
    for (steps, work) in [
        (vec![], 0),
        (vec![Int(1)], 1),
        (vec![Int(1), Int(1)], 2),
        (vec![Int(1), Int(1), Int(0)], 3),
        (vec![Int(1), Int(1), Int(2)], 5),
        (vec![Int(1), Int(1), Atom(2)], 4),
    ] {
        assert!(sample.follow(&steps, work).is_ok(), "{steps:?}");
        for less in 0..work {
            let fault = sample.follow(&steps, less).unwrap_err();
            assert_eq!(fault, Fault::Long, "{steps:?} in {less}");
        }
    }
    // A key that is nowhere is looked for to the end.
    let absent = [Int(1), Int(1), Atom(9)];
    assert_eq!(sample.follow(&absent, 5).unwrap_err(), Fault::Long);
    let fault = sample.follow(&absent, 6).unwrap_err();
    assert_eq!(fault, missing(2, "list", "keyword key"));
}

#[test]
fn a_million_steps_and_a_million_cells() {
    const FAR: usize = 1_000_000;
    let mut forest = Forest::default();
    let (nil, end) = (forest.plant(Node::Nil), forest.plant(Node::Atom(1)));
    let zero = forest.plant(Node::Int(0));
    let far = forest.plant(Node::Int(FAR as i64 - 1));
    let deep = (0..FAR).fold(end, |inner, _| forest.plant(Node::Tuple(vec![inner])));
    let steps = forest.list(&vec![zero; FAR], nil);
    assert_eq!(follow(&&forest, deep, steps, FAR as u64), Ok(end));
    assert_eq!(
        follow(&&forest, deep, steps, FAR as u64 - 1),
        Err(Fault::Long)
    );

    let mut cells = vec![zero; FAR - 1];
    cells.push(end);
    let list = forest.list(&cells, nil);
    let step = forest.list(&[far], nil);
    assert_eq!(follow(&&forest, list, step, FAR as u64), Ok(end));
    assert_eq!(
        follow(&&forest, list, step, FAR as u64 - 1),
        Err(Fault::Long)
    );
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (-2..5i64).prop_map(Tree::Int),
        (0..4u8).prop_map(Tree::Atom),
        Just(Tree::Blob(2, 0)),
    ];
    leaf.prop_recursive(5, 100, 5, |inner| {
        let pair = (0..4u8, inner.clone())
            .prop_map(|(key, value)| Tree::Tuple(vec![Tree::Atom(key), value]));
        let tail = proptest::option::weighted(0.1, Just(Box::new(Tree::Blob(1, 0))));
        prop_oneof![
            (vec(prop_oneof![inner.clone(), pair], 0..5), tail)
                .prop_map(|(heads, tail)| Tree::List(heads, tail)),
            vec(inner.clone(), 0..5).prop_map(Tree::Tuple),
            vec((inner.clone(), inner), 0..5).prop_map(|pairs| Tree::Map(distinct(pairs))),
        ]
    })
}

fn distinct(pairs: Vec<(Tree, Tree)>) -> Vec<(Tree, Tree)> {
    let mut kept: Vec<(Tree, Tree)> = Vec::new();
    for pair in pairs {
        if !kept.iter().any(|(key, _)| *key == pair.0) {
            kept.push(pair);
        }
    }
    kept
}

/// What a step leads to, and how many cells it passes; `None` where it leads nowhere.
fn step<'t>(tree: &'t Tree, step: &Tree) -> Option<(&'t Tree, u64)> {
    match (tree, step) {
        (Tree::Map(pairs), key) => {
            let found = pairs.iter().find(|(own, _)| own == key)?;
            Some((&found.1, 0))
        }
        (Tree::Tuple(parts), Tree::Int(at)) => Some((parts.get(usize::try_from(*at).ok()?)?, 0)),
        (Tree::List(heads, _), Tree::Int(at)) => {
            Some((heads.get(usize::try_from(*at).ok()?)?, *at as u64))
        }
        (Tree::List(heads, _), Tree::Atom(_)) => {
            heads.iter().enumerate().find_map(|(at, head)| match head {
                Tree::Tuple(pair) if pair.len() == 2 && pair[0] == *step => {
                    Some((&pair[1], at as u64))
                }
                _ => None,
            })
        }
        _ => None,
    }
}

/// A step that leads somewhere, if the tree has parts; else any.
fn good_step(tree: &Tree, pick: Index) -> Tree {
    match tree {
        Tree::Map(pairs) if !pairs.is_empty() => pairs[pick.index(pairs.len())].0.clone(),
        Tree::List(parts, _) | Tree::Tuple(parts) if !parts.is_empty() => {
            Tree::Int(pick.index(parts.len()) as i64)
        }
        _ => Tree::Int(0),
    }
}

proptest! {
    #[test]
    fn paths_lead_where_the_model_says(
        tree in tree(),
        picks in vec((any::<Index>(), proptest::option::weighted(0.2, tree())), 0..6),
        slack in 0..3u64,
    ) {
        // Mostly steps that lead somewhere, so that paths get deep; now and then any term.
        let (mut part, mut steps, mut work, mut lost) = (&tree, Vec::new(), 0, None);
        for (pick, random) in picks {
            let next = random.unwrap_or_else(|| good_step(part, pick));
            if lost.is_none() {
                match step(part, &next) {
                    Some((found, cells)) => (part, work) = (found, work + 1 + cells),
                    None => lost = Some(steps.len() as u64),
                }
            }
            steps.push(next);
        }

        let mut forest = Forest::default();
        let root = forest.copy(&tree);
        let path = forest.copy(&Tree::List(steps, None));
        let result = follow(&&forest, root, path, ENOUGH);
        match lost {
            Some(at) => prop_assert_eq!(result.unwrap_err().at(), Some(at)),
            None => {
                let expected = forest.copy(part);
                let found = result.unwrap();
                prop_assert!(forest.same(found, expected));
                prop_assert_eq!(follow(&&forest, root, path, work + slack), Ok(found));
                if work > slack {
                    let result = follow(&&forest, root, path, work - slack - 1);
                    prop_assert_eq!(result, Err(Fault::Long));
                }
            }
        }
    }
}
