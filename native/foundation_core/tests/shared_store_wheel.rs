//! The timing wheel over slots that move, against a list of deadlines.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use foundation_core::reaper::{Millis, NEVER};
use foundation_core::shared_store::wheel::Wheel;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const START: Millis = 1_000_000_007;
const DAY: Millis = 24 * 60 * 60 * 1000;

/// Entries in a dense table: what goes away leaves its slot to the last one. Each knows its number and
/// when it is due, if it is on the wheel.
struct Table {
    slots: Vec<(u64, Option<Millis>)>,
    wheel: Wheel,
    made: u64,
    now: Millis,
}

impl Table {
    fn new() -> Self {
        Table {
            slots: Vec::new(),
            wheel: Wheel::new(START),
            made: 0,
            now: START,
        }
    }

    fn add(&mut self, deadline: Option<Millis>) {
        if let Some(deadline) = deadline {
            self.wheel.insert(self.slots.len() as u32, deadline);
        }
        self.slots.push((self.made, deadline));
        self.made += 1;
    }

    fn delete(&mut self, slot: usize) -> u64 {
        self.wheel.remove(slot as u32);
        let last = self.slots.len() - 1;
        if slot != last {
            self.wheel.moved(last as u32, slot as u32);
        }
        self.slots.swap_remove(slot).0
    }

    fn plan(&mut self, slot: usize, deadline: Millis) {
        self.wheel.insert(slot as u32, deadline);
        self.slots[slot].1 = (deadline != NEVER).then_some(deadline);
    }

    /// Deletes what is due, and says what that was.
    fn expire(&mut self, now: Millis, work: &mut u32) -> Vec<u64> {
        let mut gone = Vec::new();
        while let Some(slot) = self.wheel.due(now, work) {
            let deadline = self.slots[slot as usize].1.take();
            assert!(deadline.expect("came due, but is not planned") <= now);
            gone.push(self.delete(slot as usize));
        }
        gone
    }

    fn deadlines(&self) -> impl Iterator<Item = Millis> {
        self.slots.iter().filter_map(|slot| slot.1)
    }

    fn check(&self) {
        assert_eq!(self.wheel.len() as usize, self.deadlines().count());
        match self.deadlines().min() {
            None => assert_eq!(self.wheel.next(), None),
            // What passed already is not planned for the past, but for now.
            Some(first) => assert!(self.wheel.next().unwrap() <= first.max(self.now)),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(Option<i64>),
    Delete(Index),
    Plan(Index, i64),
    Unplan(Index),
    Expire(u64, Option<u32>),
    /// To the time that the wheel asks for.
    Follow,
}

/// Times from now, of all sizes, some past.
fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        -100..=0i64,
        0..70i64,
        0..5000i64,
        0..DAY as i64,
        0..40_000 * DAY as i64,
        Just(i64::MAX),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![
        4 => 0..3u64, 4 => 0..300u64, 2 => 0..100_000u64, 1 => 0..DAY, 1 => 0..40_000 * DAY
    ];
    let work = prop_oneof![Just(None), (0..20u32).prop_map(Some)];
    prop_oneof![
        6 => proptest::option::weighted(0.8, times()).prop_map(Step::Add),
        2 => any::<Index>().prop_map(Step::Delete),
        2 => (any::<Index>(), times()).prop_map(|(at, time)| Step::Plan(at, time)),
        1 => any::<Index>().prop_map(Step::Unplan),
        4 => (ahead, work).prop_map(|(ahead, work)| Step::Expire(ahead, work)),
        2 => Just(Step::Follow),
    ]
}

fn run(table: &mut Table, step: Step) {
    let now = table.now;
    let at = |time: i64| match time {
        i64::MAX => NEVER,
        time => now.saturating_add_signed(time),
    };
    let size = table.slots.len();
    match step {
        Step::Add(time) => table.add(time.map(at).filter(|time| *time != NEVER)),
        Step::Delete(slot) if size > 0 => drop(table.delete(slot.index(size))),
        Step::Plan(slot, time) if size > 0 => table.plan(slot.index(size), at(time)),
        Step::Unplan(slot) if size > 0 => {
            table.wheel.remove(slot.index(size) as u32);
            table.slots[slot.index(size)].1 = None;
        }
        Step::Expire(ahead, Some(work)) => {
            table.now += ahead;
            let mut left = work;
            let gone = table.expire(table.now, &mut left).len() as u32;
            assert!(gone <= work - left);
            assert!(left == 0 || table.deadlines().all(|time| time > table.now));
        }
        Step::Expire(ahead, None) => {
            table.now += ahead;
            expire_all(table);
        }
        Step::Follow => {
            table.now = table.wheel.next().unwrap_or(now).max(now);
            expire_all(table);
        }
        _ => {}
    }
}

fn expire_all(table: &mut Table) {
    let due: BTreeSet<u64> = table
        .slots
        .iter()
        .filter(|slot| slot.1.is_some_and(|deadline| deadline <= table.now))
        .map(|slot| slot.0)
        .collect();
    let gone = table.expire(table.now, &mut u32::MAX.clone());
    assert_eq!(gone.len(), due.len());
    assert_eq!(BTreeSet::from_iter(gone), due);
    // Looking again at once would find nothing.
    assert!(table.wheel.next().is_none_or(|next| next > table.now));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn all_comes_due_in_time_and_once(steps in vec(steps(), 1..250)) {
        let mut table = Table::new();
        for step in steps {
            run(&mut table, step);
            table.check();
        }
        table.now = table.deadlines().max().unwrap_or(0).max(table.now);
        expire_all(&mut table);
        prop_assert!(table.wheel.is_empty());
    }
}

#[test]
fn following_the_wheel_meets_each_deadline_exactly() {
    let mut wheel = Wheel::new(START);
    for slot in 0..10_000u32 {
        wheel.insert(slot, deadline(slot));
    }
    let (mut met, mut looks) = (0, 0);
    while let Some(now) = wheel.next() {
        while let Some(slot) = wheel.due(now, &mut u32::MAX.clone()) {
            assert_eq!(deadline(slot), now);
            met += 1;
        }
        looks += 1;
    }
    assert_eq!(met, 10_000);
    // One look a deadline and one for each list of a higher level on its way there, at most.
    assert!(looks < 10_000 * 6, "{looks}");
}

/// Deadlines spread over ten years.
fn deadline(slot: u32) -> Millis {
    START + u64::from(slot).pow(2) * 3163 + u64::from(slot)
}

#[test]
fn a_million_in_one_tick_take_bounded_calls() {
    const MANY: u32 = 1_000_000;
    const WORK: u32 = 1000;
    let mut wheel = Wheel::new(START);
    // From level 2: 24 * 64 * 64 + 26 * 64 + 32 ticks.
    let deadline = START + 100_000;
    for slot in 0..MANY {
        wheel.insert(slot, deadline);
    }
    let mut seen = vec![false; MANY as usize];
    let (mut spent, mut calls) = (0, 0);
    while let Some(now) = wheel.next() {
        let mut work = WORK;
        while let Some(slot) = wheel.due(now, &mut work) {
            assert!(!std::mem::replace(&mut seen[slot as usize], true));
            assert_eq!(now, deadline);
        }
        spent += u64::from(WORK - work);
        calls += 1;
    }
    assert!(seen.into_iter().all(|seen| seen));
    // Each is touched twice on its way down and once at its end. Work is what a call does: were any
    // of it not counted, less than this would have been spent.
    assert_eq!(spent, 3 * u64::from(MANY));
    assert_eq!(calls, 3 * MANY / WORK);
}

#[test]
fn a_leap_over_all_deadlines_touches_each_once() {
    let mut wheel = Wheel::new(START);
    for slot in 0..10_000 {
        wheel.insert(slot, deadline(slot));
    }
    let mut work = 10_000;
    let mut gone = 0;
    while wheel.due(START + 4000 * DAY, &mut work).is_some() {
        gone += 1;
    }
    assert_eq!((gone, work), (10_000, 0));
}

#[test]
fn time_for_which_nothing_is_planned_costs_nothing() {
    let mut wheel = Wheel::new(START);
    let mut work = 8;
    assert_eq!(wheel.due(START + 40_000 * DAY, &mut work), None);
    assert_eq!(work, 8);
    // Ten years in steps of an hour, and one slot at their end: it cascades a few times in all.
    let end = START + 43_650 * DAY;
    wheel.insert(7, end);
    for now in (START + 40_000 * DAY..end).step_by(60 * 60 * 1000) {
        assert_eq!(wheel.due(now, &mut work), None);
    }
    assert_eq!(wheel.due(end, &mut work), Some(7));
    assert_eq!(wheel.next(), None);
}

#[test]
fn a_clock_that_stands_or_goes_back_ends_nothing_early() {
    let mut wheel = Wheel::new(START);
    let mut work = u32::MAX;
    assert_eq!(wheel.due(START + 500, &mut work), None);
    wheel.insert(0, START + 400);
    wheel.insert(1, START + 501);
    assert_eq!(wheel.due(START + 399, &mut work), None);
    assert_eq!(wheel.due(START + 500, &mut work), Some(0));
    assert_eq!(wheel.due(START + 500, &mut work), None);
    assert_eq!(wheel.due(START, &mut work), None);
    assert_eq!(wheel.due(START + 501, &mut work), Some(1));
}

#[test]
fn the_latest_deadlines_stay_on_the_wheel() {
    let mut wheel = Wheel::new(0);
    let mut work = u32::MAX;
    wheel.insert(0, NEVER - 1);
    wheel.insert(1, NEVER);
    assert_eq!(wheel.len(), 1);
    assert_eq!(wheel.due(1 << 47, &mut work), None);
    assert!(wheel.next().is_some_and(|next| next > 1 << 47));
    wheel.remove(0);
    wheel.remove(0);
    wheel.remove(12_345_678);
    assert_eq!(wheel.next(), None);
}

#[test]
fn few_slots_of_many_take_little_memory() {
    let mut wheel = Wheel::new(START);
    let before = wheel.bytes();
    wheel.insert(3_000_000, START + 5);
    // A chunk of 256 slots and the directories that lead there.
    assert!(wheel.bytes() - before < 512 * 1024, "{}", wheel.bytes());
    for slot in 0..200_000 {
        wheel.insert(slot, START + u64::from(slot));
    }
    wheel.remove(3_000_000);
    assert!(wheel.bytes() < 200_000 * 18, "{}", wheel.bytes());
    while wheel.due(START + DAY, &mut u32::MAX.clone()).is_some() {}
    // Part of the directories.
    assert!(wheel.bytes() < 128 * 1024, "{}", wheel.bytes());
}
