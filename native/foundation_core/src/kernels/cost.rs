//! What work takes, so that only what is short is done where others wait.
//!
//! The figures are what was measured on the input that takes longest, of those that fit in 100
//! microseconds, and a quarter more.

/// Nanoseconds, or thousandths of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Nanoseconds whatever the input is: of the arguments, and of a result that they size.
    pub fixed: u64,
    /// Picoseconds of each number, or byte.
    pub unit: u64,
    /// Picoseconds of each of many binaries, beside its bytes.
    pub item: u64,
    /// Whether as many numbers come out as go in.
    pub echoes: bool,
}

impl Cost {
    /// Of each number, or byte.
    pub(super) const fn of(unit: u64) -> Self {
        Cost {
            fixed: 0,
            unit,
            item: 0,
            echoes: false,
        }
    }

    /// And once, in picoseconds for each of so many.
    pub(super) const fn once(mut self, count: u64, each: u64) -> Self {
        self.fixed = self.fixed.saturating_add(count.saturating_mul(each) / 1000);
        self
    }

    /// And of each of many binaries.
    pub(super) const fn each(mut self, item: u64) -> Self {
        self.item = item;
        self
    }

    /// And the numbers come out again.
    pub(super) const fn echoing(mut self) -> Self {
        self.echoes = true;
        self
    }

    /// Picoseconds that are left for the input of so many nanoseconds; `None` where the rest takes
    /// more.
    pub fn left(&self, nanoseconds: u64) -> Option<u64> {
        let left = nanoseconds.checked_sub(self.fixed)?;
        Some(left.saturating_mul(1000))
    }
}
